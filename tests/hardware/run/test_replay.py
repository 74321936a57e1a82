"""Replay: the stored images from the record alone, computed a second way; every damage noticed."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from qdm_qiskit.errors import CalibrationMismatch, InvalidData, InvalidPlan
from qdm_qiskit.hardware.ledger.run_files import StoredCounts, read_counts, write_counts
from qdm_qiskit.hardware.plan.planned_files import load_planned_run, read_inputs
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.run.commands import submit_run
from qdm_qiskit.hardware.run.replay import replay
from qdm_qiskit.mitigation.readout import ReadoutCalibration, mitigate
from qdm_qiskit.mitigation.simplex import nearest_probability
from tests.helpers import write_run

TARGET = "local:fake_nairobi"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 3 steps and 2 images, mitigated."""
    folder = write_run(tmp_path_factory.mktemp("runs") / "r")
    config = PlanConfig(
        targets=(TARGET,),
        num_images=2,
        shots=500,
        mitigation="m3",
        calibration_shots=1000,
        layout_trials=1,
    )
    plan = make_plan(folder, config, root=tmp_path_factory.mktemp("root"))
    assert submit_run(plan.folder).state == "done"
    shutil.rmtree(folder)  # the record alone
    return plan.folder


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """The run's folder without the ledger beside it."""
    return Path(shutil.copytree(finished, tmp_path / finished.name))


def test_a_replay_gives_the_stored_images_to_the_bit(copied):
    found = replay(copied)
    assert (found.done, found.stored, found.equal, found.difference) == (True, True, True, 0.0)
    with np.load(copied / "images.npz") as arrays:
        np.testing.assert_array_equal(found.images, arrays["images"])
        np.testing.assert_array_equal(found.trajectory, arrays["trajectory"])
    assert "to the bit" in found.sentence()
    assert [each.step for each in found.steps] == [3, 2, 1]
    assert json.loads(json.dumps(found.to_dict()))["equal"] is True


def test_the_images_are_what_the_counts_say(copied):
    """The same by hand: counts, mthree, simplex, ancilla 0, times 4, clamped."""
    found = replay(copied)
    plan = found.plan
    calibration = ReadoutCalibration.from_dict(
        json.loads((copied / "calibration-0001.json").read_text())
    )
    spec = load_planned_run(plan).model.spec
    for k, step in enumerate((3, 2, 1)):
        stored = read_counts(copied / "steps" / f"step-{step:04d}.npz")
        [counts] = stored.counts
        assert counts.sum(axis=1).tolist() == [500, 500]
        p = nearest_probability(
            mitigate(counts, calibration, plan.circuit.measured_qubits, "fake_nairobi")
        )
        pixels = np.clip(4 * p[:, spec.readout.selection(3)].sum(axis=-1), 0, 1)
        np.testing.assert_allclose(found.trajectory[k + 1], pixels.reshape(2, 1, 2, 2), atol=1e-6)


def test_distances_are_from_the_exact_distribution_of_the_same_circuits(copied):
    from qiskit.quantum_info import Statevector

    from qdm_qiskit.sampling import unrolled_circuit

    found = replay(copied)
    model = load_planned_run(found.plan).model
    circuit = unrolled_circuit(model).remove_final_measurements(inplace=False)
    x, _ = read_inputs(found.plan)
    amplitudes, _ = model.encode(torch.from_numpy(x), None)
    values = model.spec.input_values(amplitudes.double().numpy())
    exact = np.array([Statevector(circuit.assign_parameters(v)).probabilities() for v in values])
    [counts] = read_counts(copied / "steps" / "step-0003.npz").counts
    raw = counts / 500
    first = found.steps[0]
    assert first.raw_distance == pytest.approx(0.5 * np.abs(raw - exact).sum(1).mean(), abs=1e-6)
    draws = np.random.default_rng(1).multinomial(500, exact, size=(400, len(exact))) / 500
    alone = 0.5 * np.abs(draws - exact).sum(2).mean(1)
    # 5 standard errors of the mean over the draws.
    assert abs(first.shot_distance - alone.mean()) < 5 * alone.std() / 20
    fidelity = (np.sqrt(raw * exact).sum(1) ** 2).mean()
    assert first.raw_fidelity == pytest.approx(fidelity, abs=1e-6)
    assert first.mitigated_distance != first.raw_distance
    assert first.calibration == "calibration-0001"


def test_an_unfinished_run_is_replayed_as_far_as_it_goes(copied):
    (copied / "steps" / "step-0001.npz").unlink()
    (copied / "images.npz").unlink()
    found = replay(copied)
    assert (found.done, found.stored, len(found.steps)) == (False, False, 2)
    assert found.trajectory.shape == (3, 2, 1, 2, 2)
    assert "2 of 3 steps" in found.sentence()
    assert "qdm run resume" in found.sentence()


def test_missing_images_are_no_success(copied):
    (copied / "images.npz").unlink()
    found = replay(copied)
    assert not found.equal
    assert "no images are stored" in found.sentence()


@pytest.mark.parametrize("step", [3, 2, 1])
def test_changed_counts_change_the_images(copied, step):
    path = copied / "steps" / f"step-{step:04d}.npz"
    stored = read_counts(path)
    counts = stored.counts[0].copy()
    low, high = int(counts[0].argmin()), int(counts[0].argmax())
    counts[0, low] += 100
    counts[0, high] -= 100
    path.unlink()
    write_counts(path, StoredCounts(counts=(counts,), info=stored.info))
    found = replay(copied)
    assert not found.equal
    assert found.difference > 0
    assert "DIFFER" in found.sentence()


def test_changed_images_are_noticed(copied):
    with np.load(copied / "images.npz") as arrays:
        images, trajectory = arrays["images"], arrays["trajectory"]
    changed = trajectory.copy()
    changed[1, 0, 0, 0, 0] += np.float32(1e-6)
    np.savez(copied / "images.npz", images=images, trajectory=changed)
    assert 0 < replay(copied).difference < 1e-5
    np.savez(copied / "images.npz", images=images + 1, trajectory=trajectory)
    with pytest.raises(InvalidData, match="not the last of its trajectory"):
        replay(copied)
    np.savez(copied / "images.npz", images=images[:1], trajectory=trajectory[:, :1])
    assert replay(copied).difference == float("inf")


def test_a_changed_calibration_is_refused(copied):
    path = copied / "calibration-0001.json"
    content = json.loads(path.read_text())
    qubit = str(content["qubits"][0])
    content["matrices"][qubit] = [[1.0, 0.0], [0.0, 1.0]]
    path.write_text(json.dumps(content))
    with pytest.raises(CalibrationMismatch, match="was changed"):
        replay(copied)


def test_a_foreign_or_stale_calibration_is_refused(copied):
    path = copied / "calibration-0001.json"
    content = json.loads(path.read_text())
    (copied / "calibration-0001.npz").unlink()  # as if taken over from another run
    path.write_text(json.dumps({**content, "backend": "fake_lagos"}))
    with pytest.raises(CalibrationMismatch, match="fake_lagos"):
        replay(copied)
    path.write_text(json.dumps({**content, "taken_at": "2020-01-01T00:00:00+00:00"}))
    with pytest.raises(CalibrationMismatch, match="no calibration within"):
        replay(copied)


@pytest.mark.parametrize("name", ["plan.json", "circuits.qpy", "inputs.npz"])
def test_a_changed_plan_is_refused(copied, name):
    path = copied / name
    content = path.read_bytes()
    path.write_bytes(content.replace(b"2", b"3", 1) if name == "plan.json" else content + b" ")
    with pytest.raises(InvalidPlan):
        replay(copied)


@pytest.mark.parametrize("name", ["steps/step-0002.npz", "calibration-0001.npz", "images.npz"])
@pytest.mark.parametrize("keep", [0, 10, 200])
def test_a_truncated_file_is_refused_by_name(copied, name, keep):
    path = copied / name
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InvalidData, match=path.name):
        replay(copied)


def test_counts_of_another_run_are_refused(copied):
    path = copied / "steps" / "step-0003.npz"
    stored = read_counts(path)
    path.unlink()
    more = dataclasses.replace(stored, counts=(np.vstack([stored.counts[0]] * 2),))
    write_counts(path, more)
    with pytest.raises(InvalidData, match="another run"):
        replay(copied)


def test_a_replay_writes_nothing(copied):
    before = {each: each.stat().st_mtime_ns for each in copied.rglob("*")}
    replay(copied)
    assert {each: each.stat().st_mtime_ns for each in copied.rglob("*")} == before
    assert [each.name for each in copied.parent.iterdir()] == [copied.name]
