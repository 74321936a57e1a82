"""x_T of the loader's own circuit: loaded exactly, the same on every target, kept by plans."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from qdm_qiskit.circuits import make_loader
from qdm_qiskit.circuits.loaders import Loading
from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.evaluation.ladder_rungs import RUNGS
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.run.commands import submit_run
from qdm_qiskit.hardware.run.replay import replay
from qdm_qiskit.sampling import SamplingConfig, sample, starts
from qdm_qiskit.sampling.starts import started

LOADER = "bricks:2"


@pytest.fixture(scope="module")
def dense(make_run):
    return make_run("q_dense", image_size=4, depth=1, num_steps=2)


def config(**options) -> SamplingConfig:
    shots = {} if options.get("target", "aer") == "engine" else {"shots": 2_000}
    chosen = {"num_images": 3, "target": "aer", "loader": LOADER, "start": "loader", **shots}
    return SamplingConfig(**{**chosen, **options})


def test_pure_noise_is_loaded_exactly(dense):
    plain = sample(dense, config(start="process"))
    found = sample(dense, config())
    first, usual = found.records[0], plain.records[0]
    assert min(first.loaded) > 1 - starts.FOUND > 0.99 > max(usual.loaded)
    record = found.manifest["start"]
    assert record["loader"] == LOADER
    assert "start" not in plain.manifest
    assert found.manifest["sampling"]["start"] == "loader"
    noise, own = (each.trajectory[0].reshape(3, 16).astype(float) for each in (plain, found))
    norms = [np.linalg.norm(each, axis=1) for each in (noise, own)]
    np.testing.assert_allclose(*norms, rtol=1e-6)
    overlaps = (noise * own).sum(axis=1) / norms[0] ** 2
    assert (overlaps > 0).all()  # the same sign, so pixels stay pixels
    np.testing.assert_allclose(overlaps**2, record["fidelity_with_noise"], atol=1e-5)
    states = Loading(make_loader(LOADER, 4), 4).states(own)  # of its circuit, not only near it
    np.testing.assert_allclose(np.abs((states * own).sum(axis=1)) / norms[1], 1, atol=1e-3)


def test_every_target_and_plan_starts_from_the_same_noise(dense, tmp_path):
    seen = [sample(dense, config(target=each)) for each in ("aer", "engine", "noisy:fake_lagos")]
    assert all(np.array_equal(each.trajectory[0], seen[0].trajectory[0]) for each in seen)
    more = sample(dense, config(target="engine", num_images=3, seed=1))
    assert not np.array_equal(more.trajectory[0], seen[0].trajectory[0])
    chosen = PlanConfig(
        targets=("local:fake_lagos",), num_images=3, shots=300, loader=LOADER, start="loader"
    )
    plan = make_plan(dense.checkpoint.parent.parent, chosen, root=tmp_path)
    with np.load(plan.folder / "inputs.npz") as arrays:
        np.testing.assert_array_equal(arrays["x"], seen[0].trajectory[0])
    assert submit_run(plan.folder).state == "done"
    assert replay(plan.folder).equal


def test_all_rungs_of_a_ladder_start_from_it(dense):
    ground = SimpleNamespace(config=config(target="noisy:fake_lagos"))
    exact = RUNGS["exact"].setup(ground).config
    assert (exact.target, exact.loader, exact.start) == ("engine", LOADER, "loader")
    ground.config = config(target="noisy:fake_lagos", start="process")
    assert RUNGS["exact"].setup(ground).config.loader is None


def test_states_of_a_chain_start_so_too(make_run):
    run = make_run("q_dense_unitary", image_size=4, depth=1, num_steps=2)
    loaded = run.with_loader("staircase:1")
    x = started(loaded, 4, seed=0, start="loader", labels=None).x
    plain = started(loaded, 4, seed=0, start="process", labels=None).x
    assert x.dtype == plain.dtype
    assert x.is_complex()
    near, usual = (
        Loading(make_loader("staircase:1", 4, phases=True), 4).loaded(each.flatten(1).numpy())
        for each in (x, plain)
    )
    assert near.fidelities.min() > 1 - starts.FOUND > usual.fidelities.max()
    overlaps = (plain.flatten(1).conj() * x.flatten(1)).sum(dim=1)
    assert torch.allclose(overlaps.imag, torch.zeros(4), atol=1e-4)  # the phase was drawn
    assert (overlaps.real > 0).all()


def test_what_has_no_such_start_is_refused_in_one_line(dense, make_run, monkeypatch):
    with pytest.raises(InvalidOption, match="The exact loader loads any noise exactly; name the"):
        sample(dense, config(target="engine", loader=None))
    several = make_run("cacioppo_latent", image_size=8, init_std=0.3)
    with pytest.raises(InvalidOption) as caught:
        started(several, 2, seed=0, start="loader", labels=None)
    assert "leave start at 'process'" in str(caught.value)
    with pytest.raises(InvalidOption, match="start is"):
        config(start="noise")
    with pytest.raises(InvalidOption, match="start"):
        PlanConfig(start="noise")
    with pytest.raises(InvalidOption, match="runs no loader"):
        SamplingConfig(loader=LOADER)
    monkeypatch.setattr(starts, "ROUNDS", 1)
    with pytest.raises(InvalidData, match="of 3 x_T are not found again by loader 'bricks:2'"):
        sample(dense, config(target="engine"))
