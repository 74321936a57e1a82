"""Shots over the steps: allocations against closed forms, variances against resampling."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.hardware.plan.plan_file import read_plan
from qdm_qiskit.hardware.plan.planned_files import read_inputs
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.plan.shot_allocation import (
    PilotChains,
    ShotAllocation,
    best_allocation,
    measured_steps,
    precise_allocation,
    step_variances,
    uniform_shots,
    variance_shots,
)
from qdm_qiskit.models import ModelChoice, build_model
from qdm_qiskit.sampling import TrainedRun
from qdm_qiskit.training import resolve_run
from tests.helpers import write_run


def run_of(model: str = "eeqdm", **options: object) -> TrainedRun:
    from pathlib import Path

    from qdm_qiskit.diffusion import make_process

    settings_ = {"image_size": 2, "num_steps": 3, "depth": 1, "init_std": 1.0, **options}
    config = resolve_run(model, settings_)
    choice = ModelChoice(
        model=config.model, preset=None, config=config.model_options, source="test"
    )
    denoiser = build_model(choice, generator=torch.Generator().manual_seed(3)).eval()
    return TrainedRun(denoiser, make_process(config.diffusion), config, Path("nowhere"), 1)


@pytest.fixture(scope="module")
def run():
    return run_of()


@pytest.fixture(scope="module")
def pilot(run):
    return PilotChains(run, seed=1)


# --- allocations --------------------------------------------------------------------------------

VARIANCES = st.lists(st.floats(0, 1e6), min_size=1, max_size=30).filter(any)


@given(
    VARIANCES, st.integers(1, 10**6), st.sampled_from([1, 64]), st.none() | st.integers(1, 10**5)
)
@settings(max_examples=80)
def test_an_allocation_keeps_every_promise(variances, total, bucket, most):
    c = np.array(variances)
    if total < len(c) * bucket:
        with pytest.raises(InvalidOption, match="do not reach"):
            variance_shots(c, total, bucket=bucket, most=most)
        return
    shots = variance_shots(c, total, bucket=bucket, most=most)
    assert sum(shots) <= total
    assert all(each >= 1 and each % bucket == 0 for each in shots)
    least = min(32, total // bucket // len(c) * bucket)
    assert min(shots) >= least
    if most is None:
        # Nothing is left over but what makes no whole bucket.
        assert sum(shots) > total - bucket
    else:
        assert max(shots) <= max(most, -(-32 // bucket) * bucket)
    # More variance never means fewer shots.
    for a in np.argsort(c, kind="stable")[:-1]:
        for b in np.flatnonzero(c > c[a] * (1 + 1e-9) + 1e-12):
            assert shots[b] >= shots[a] - bucket


@given(st.lists(st.floats(1, 100), min_size=2, max_size=6), st.integers(0, 10**6))
@settings(max_examples=50)
def test_no_other_allocation_has_a_smaller_error(variances, seed):
    c, total = np.array(variances), 10**6
    shots = np.array(variance_shots(c, total))
    least = (c / shots).sum()
    # The closed form of the least: (sum of roots)^2 / total; whole shots cost next to nothing.
    assert least == pytest.approx(np.sqrt(c).sum() ** 2 / total, rel=1e-6)
    others = np.random.default_rng(seed).dirichlet(np.ones(len(c)), 100) * total
    assert (least <= (c / others).sum(axis=1) * (1 + 1e-6)).all()


def test_uniform_shots_leave_the_remainder():
    assert uniform_shots(3, 100) == (33, 33, 33)
    assert uniform_shots(3, 1000, bucket=64) == (320, 320, 320)
    with pytest.raises(InvalidOption, match="2 shots"):
        uniform_shots(3, 2)


@pytest.mark.parametrize("bad", [[], [0, 0], [1, -1], [1, math.nan], [[1, 2]]])
def test_variances_that_make_no_sense_are_refused(bad):
    with pytest.raises(InvalidData, match="Variances"):
        variance_shots(np.array(bad, dtype=float), 100)


@given(st.integers(1, 10_000))
def test_measured_steps_reach_from_the_first_to_the_last(num_steps):
    steps = measured_steps(num_steps)
    assert steps[0] == num_steps
    assert steps[-1] == 1
    assert list(steps) == sorted(set(steps), reverse=True)
    assert len(steps) <= 16


# --- variances ----------------------------------------------------------------------------------


def test_the_exact_pilot_chain_is_the_models_own(run, pilot):
    """Against the model's forward pass, which takes another way."""
    x = pilot.exact[3]
    for step in (3, 2, 1):
        x = run.model(x, torch.ones(len(x)), None).detach()
        torch.testing.assert_close(pilot.exact[step - 1], x, atol=1e-5, rtol=0)


def test_the_local_variance_is_that_of_the_multinomial():
    """Where no pixel is clamped, p (1 - p) / n, scaled as the decoder scales."""
    run = run_of("qddm", image_size=4, depth=2)
    pilot = PilotChains(run, seed=1)
    found = step_variances(pilot, shots=4096, repeats=20).local
    # The last step's prediction is the final image: both variances are one.
    assert step_variances(pilot).final[-1] == step_variances(pilot).local[-1]
    from qdm_qiskit.layers.quantum_layer import normalised
    from qdm_qiskit.sampling import register_probabilities

    for k, step in enumerate((3, 2, 1)):
        amplitudes, _ = run.model.encode(pilot.exact[step], None)
        p = register_probabilities(run.model, normalised(amplitudes, 16), None)
        kept = p[:, run.model.spec.readout.selection(5)].sum(axis=-1)
        scale = run.model.spec.num_amplitudes
        inside = kept * scale < 0.9
        expected = np.where(inside, scale**2 * kept * (1 - kept), 0.0).mean()
        # Clamped pixels add less than free ones would: a bound on both sides.
        free = (scale**2 * kept * (1 - kept)).mean()
        assert 0.9 * expected <= found[k] <= 1.1 * free


def test_the_error_falls_as_one_over_the_root_of_the_shots(pilot):
    shots = [2**k for k in range(9, 15)]
    errors = [pilot.error((n, n, n), repeats=6) for n in shots]
    slope = np.polyfit(np.log2(shots), np.log2(errors), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.05)


def test_the_variances_predict_the_error_of_many_shots(pilot):
    c = step_variances(pilot, shots=20_000, repeats=30).final
    shots = np.array([10_000, 30_000, 20_000])
    # First order: exact up to 1 / shots; the rest is the spread of 30 * 32 chains.
    predicted = math.sqrt((c / shots).sum())
    assert pilot.error(shots.tolist(), repeats=30) == pytest.approx(predicted, rel=0.15)


def test_the_pilot_is_no_part_of_the_run(pilot, tmp_path):
    """Its x_T are others than those of the run that the schedule is for."""
    folder = write_run(tmp_path / "r")
    config = PlanConfig(targets=("aer",), num_images=32, seed=1)
    x, _ = read_inputs(make_plan(folder, config, root=tmp_path / "root"))
    assert x.shape == tuple(pilot.exact[3].shape)
    assert not (x == pilot.exact[3].numpy()).all(axis=(1, 2, 3)).any()


def test_long_chains_are_interpolated():
    run = run_of(num_steps=40)
    variances = step_variances(PilotChains(run, seed=0, num_images=4), shots=200, repeats=1)
    assert len(variances.measured) <= 16
    assert variances.final.shape == (40,)
    assert np.isfinite(variances.final).all()
    assert (variances.final >= 0).all()


# --- the choice ---------------------------------------------------------------------------------


class Lopsided:
    """Chains whose error is known: a sum over steps, or uniform is best by decree."""

    num_steps = 3

    def __init__(self, c: list[float], *, flat: bool = False) -> None:
        self.c, self.flat = np.array(c), flat

    def error(self, shots, **_):
        if self.flat:
            return float(np.std(shots)) + 1.0
        return float(np.sqrt((self.c / np.array(shots)).sum()))


def test_the_power_follows_what_the_chains_say():
    c = np.array([100.0, 4.0, 1.0])
    best = best_allocation(Lopsided([100, 4, 1]), c, 13_000)
    assert best.power == 1.0
    assert best.shots == (10_000, 2_000, 1_000)
    assert best.error < best.uniform_error
    even = best_allocation(Lopsided([100, 4, 1], flat=True), c, 13_000)
    assert even == ShotAllocation(shots=(4333, 4333, 4333), power=0.0, error=1.0, uniform_error=1.0)


def test_a_precision_is_met_on_the_chains_and_not_by_far(pilot):
    found, variances = precise_allocation(pilot, 0.05)
    assert pilot.error(found.shots) <= 0.05
    fewer = [max(1, int(0.7 * each)) for each in found.shots]
    assert pilot.error(fewer) > 0.05
    assert variances.shape == (3,)
    with pytest.raises(InvalidOption, match="ask for less precision"):
        precise_allocation(pilot, 1e-5, most=100_000)
    with pytest.raises(InvalidOption, match="above 0"):
        precise_allocation(pilot, 0.0)


def test_a_planned_schedule_is_recorded(tmp_path):
    folder = write_run(tmp_path / "r")
    config = PlanConfig(targets=("aer",), schedule="variance", shots=500, num_images=2)
    plan = read_plan(make_plan(folder, config, root=tmp_path / "root").folder)
    assert plan.shot_choice is not None
    assert sum(each.shots for each in plan.steps) <= 3 * 500
    assert plan.shot_choice.error <= plan.shot_choice.uniform_error
    precise = PlanConfig(targets=("aer",), schedule="precision", precision=0.1, num_images=2)
    plan = make_plan(folder, precise, root=tmp_path / "root")
    assert plan.shot_choice.error <= 0.1
