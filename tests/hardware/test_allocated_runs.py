"""Runs whose calls have shots of their own: sent, killed, resumed, replayed, and what they save."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import qdm_qiskit.layers.state_calls
from qdm_qiskit.errors import BudgetExceeded
from qdm_qiskit.evaluation.hardware_run import hardware_report
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.ledger.run_files import read_counts
from qdm_qiskit.hardware.plan.call_jobs import chosen_sampler
from qdm_qiskit.hardware.plan.call_pilots import CallPilots, StepCall, call_variances
from qdm_qiskit.hardware.plan.call_shots import told_shots
from qdm_qiskit.hardware.plan.plan_file import read_plan
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.plan.run_plan import RunPlan
from qdm_qiskit.hardware.run.call_chain import CallChain
from qdm_qiskit.hardware.run.commands import submit_run
from qdm_qiskit.hardware.run.replay import replay
from qdm_qiskit.layers.calling import ExactTarget, together
from qdm_qiskit.reports.hardware_render import render_markdown
from qdm_qiskit.sampling import load_run
from qdm_qiskit.sampling.call_targets import EngineShots, Programs
from tests.hardware.reading_model import TwoReadings, write_reading_run
from tests.hardware.run.test_call_chain import Killed, Shelf, copied, killed_at, planned
from tests.helpers import images_of, write_run


class SideBySide(TwoReadings):
    """Noise that two circuits predict, asked together; nearly all of it the first."""

    name = "side-by-side"

    def forward(self, x, t, labels=None):
        first, second = together(
            [self.first, self.second], [(None, x.flatten(1)), (None, x.flatten(1) + t[:, None])]
        )
        return (x.flatten(1) + 1.6 * first.to(x) + 0.05 * second.to(x)).reshape(x.shape) / 2


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reading_run(tmp_path_factory.mktemp("apart") / "run", num_steps=2, kind=SideBySide)


@pytest.fixture(scope="module")
def filters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """QU-Net on 2 x 2 pixels: four calls a step, each of another circuit."""
    return write_run(tmp_path_factory.mktemp("filters") / "qu", "qu_net", levels=2, num_steps=2)


def pilots_of(run: Path, plan: RunPlan, seed: int, images: int = 32) -> CallPilots:
    """Chains from other x_T, with other draws, than those that the plan was fitted to."""
    trained = load_run(run)
    config = PlanConfig(targets=("engine",))
    sampler, times, _ = chosen_sampler(trained, config, None)
    calls: dict[tuple[int, str], StepCall] = {}
    for job in plan.calls.jobs:
        for call in job.calls:
            calls.setdefault((job.step, call.name), StepCall(job.step, job.number, call.name, 1.0))
    return CallPilots(trained, sampler, times, [*calls.values()], seed=seed, num_images=images)


def shots_of(plan: RunPlan) -> list[int]:
    return [next(iter(each)) for each in plan.calls.shots_of_calls.values()]


# --- a run --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_calls_that_are_asked_together_go_apart_and_are_found_again(apart, tmp_path):
    plan = planned(apart, tmp_path / "fresh", schedule="variance")
    even = planned(apart, tmp_path / "even")
    names = [each.name for each in plan.calls.jobs]
    assert names[:2] == ["step-0002-part-01", "step-0002-part-02"]
    shots = {call.name: job.shots for job in plan.calls.jobs for call in job.calls if job.step == 2}
    assert shots["first"] > 50 > shots["second"]
    assert plan.total_shots <= even.total_shots
    whole = copied(plan, tmp_path / "whole")
    with killed_at(0, "") as (writes, files):
        assert submit_run(whole.folder).state == "done"
    for job in plan.calls.jobs:
        stored = read_counts(whole.folder / "steps" / f"{job.name}.npz")
        assert {int(n) for each in stored.counts for n in each.sum(axis=1)} == {job.shots}
    points = [(writes[0] // 2, "within"), (writes[0] - 1, "after"), (len(files) // 2, "unnamed")]
    for number, side in points:
        again = copied(plan, tmp_path / f"killed-{number}-{side}")
        with pytest.raises(Killed), killed_at(number, side):
            submit_run(again.folder)
        state = submit_run(again.folder)
        assert (state.state, state.jobs) == ("done", len(names))
        np.testing.assert_array_equal(images_of(again.folder), images_of(whole.folder))
        found = replay(again.folder)
        assert found.difference == 0.0
    # Each circuit is measured against what its own shots leave.
    assert all(0.4 * e.shot_distance < e.raw_distance < 1.8 * e.shot_distance for e in found.steps)
    page, _ = hardware_report(again.folder)
    assert page.schedule == "variance"
    listed = [(e["step"], e["call"], e["shots"]) for e in page.shots_of_calls["calls"]]
    assert listed[:2] == [(2, "first", shots["first"]), (2, "second", shots["second"])]
    assert f"| 2 | first | {shots['first']} |" in render_markdown(page.to_dict())
    submit_run(even.folder)
    assert "shots_of_calls" not in hardware_report(even.folder)[0].to_dict()


def test_a_device_pays_a_job_for_calls_apart_only_where_it_saves_more(apart, tmp_path):
    few = planned(apart, tmp_path, "local:fake_nairobi", schedule="variance")
    assert [each.name for each in few.calls.jobs] == ["step-0002", "step-0001"]
    many = planned(apart, tmp_path, "local:fake_nairobi", schedule="variance", shots=20_000)
    even = planned(apart, tmp_path, "local:fake_nairobi", shots=20_000)
    assert len(many.calls.jobs) == 4
    assert many.total_shots <= even.total_shots


def test_a_budget_counts_the_shots_of_each_call_and_a_lost_one_is_sent_again(apart, tmp_path):
    provider = Shelf()
    config = PlanConfig(num_images=2, shots=2000, schedule="variance", budget="b")
    plan = make_plan(apart, config, root=tmp_path, provider=provider)
    # Only at t = 2, where nearly all noise comes from, a job of 2 s is less than the shots it saves.
    names = [each.name for each in plan.calls.jobs]
    assert names == ["step-0002-part-01", "step-0002-part-02", "step-0001"]
    taken = sum(each.shots * each.circuits for each in plan.calls.jobs)
    assert plan.total_shots == taken <= 2000 * 2 * 2 * 6
    ledger = Ledger.open(tmp_path)
    ledger.set_budget("b", shots=taken - 1)
    with pytest.raises(BudgetExceeded):
        submit_run(plan.folder, provider=provider)
    assert provider.jobs == {}
    ledger.set_budget("b", shots=taken)
    provider.lost = {"job-2"}
    assert submit_run(plan.folder, provider=provider).state == "done"
    sent = [(each.part, each.shots) for each in provider.jobs.values()]
    planned_shots = [(each.name, each.shots) for each in plan.calls.jobs]
    assert sorted(set(sent)) == sorted(planned_shots)
    assert len(sent) == 4
    ledger.close()
    found = replay(plan.folder)
    assert found.difference == 0.0
    # The circuits of both calls, of 7 times as many shots as the other's, against what theirs leave.
    assert found.steps[0].raw_distance == pytest.approx(found.steps[0].shot_distance, rel=0.35)


def test_states_are_told_by_the_shots_that_were_behind_them(tmp_path, monkeypatch):
    run = load_run(write_run(tmp_path / "run", "cacioppo", image_size=4, num_steps=1, init_std=0.3))
    weights = []
    estimate = qdm_qiskit.layers.state_calls.estimate_states

    def watched(frequencies, shots=None):
        weights.append(shots)
        return estimate(frequencies, shots)

    monkeypatch.setattr(qdm_qiskit.layers.state_calls, "estimate_states", watched)
    x = torch.rand((2, *run.model.state_shape), dtype=torch.complex64)
    target = EngineShots(0, Programs(), single=False)
    target.begin(1)
    told_shots(run.model, target, x, 1, None, num_steps=1, shots=lambda name: 4000)
    assert weights
    assert all(0 < each.max() <= 4000 + 1e-6 for each in weights)
    assert max(each.max() for each in weights) > 2000
    weights.clear()
    told_shots(run.model, ExactTarget(), x, 1, None, num_steps=1, shots=lambda name: None)
    assert weights
    assert all(each is None for each in weights)


# --- what it saves ------------------------------------------------------------------------------


def test_the_measured_error_is_the_predicted_one(apart, tmp_path):
    """Chain by chain, with the noise of one call after the other and with that of all at once."""
    plan = planned(apart, tmp_path, schedule="variance", shots=5000)
    pilots = pilots_of(apart, plan, 11)
    variances = call_variances(pilots, shots=5000, repeats=8)
    shots = np.array(shots_of(plan))
    predicted = (variances.chains / shots[:, None]).sum(axis=0)  # all calls are measured
    assert predicted.mean() == pytest.approx(variances.predicted(shots))
    measured = np.mean([pilots.squares(shots, repeat) for repeat in range(8, 20)], axis=0)
    gap = predicted - measured
    error = gap.std(ddof=1) / np.sqrt(len(gap))
    assert abs(gap.mean()) < 4 * error
    assert error < 0.15 * measured.mean()
    # Of other x_T, of which some are more sensitive, the prediction holds within a wider interval.
    other = np.mean([pilots_of(apart, plan, 12).squares(shots, r) for r in range(6)], axis=0)
    wide = np.hypot(predicted.std(ddof=1), other.std(ddof=1)) / np.sqrt(len(other))
    assert abs(predicted.mean() - other.mean()) < 4 * wide


@pytest.mark.slow
def test_images_of_a_unet_are_nearer_to_the_exact_ones_than_with_uniform_shots(filters, tmp_path):
    """The mean squared distance at equal executions, of runs and of chains of other seeds."""
    options = {"num_images": 24, "shots": 200}
    squares = {}
    for schedule in ("uniform", "variance"):
        plan = planned(filters, tmp_path, schedule=schedule, **options)
        submit_run(plan.folder)
        chain = CallChain(read_plan(plan.folder))
        while chain.left:
            chain.advance_exactly()
        away = (images_of(plan.folder) - chain.images()) ** 2
        squares[schedule] = away.reshape(24, -1).mean(axis=1)
        if schedule == "uniform":
            even = plan
    assert plan.total_shots <= even.total_shots
    shots = {"uniform": [200] * 8, "variance": shots_of(plan)}
    ratios = []
    for seed in range(21, 26):
        pilots = pilots_of(filters, plan, seed, images=16)
        mean = {
            name: np.mean([pilots.squares(each, r).mean() for r in range(2)])
            for name, each in shots.items()
        }
        ratios.append(mean["variance"] / mean["uniform"])
    error = np.std(ratios, ddof=1) / np.sqrt(len(ratios))
    assert np.mean(ratios) + 3 * error < 0.8
    assert squares["variance"].mean() < squares["uniform"].mean()
