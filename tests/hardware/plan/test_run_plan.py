"""Plans: what is in them, what they refuse, and that nothing in them can be changed."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qpy
from qiskit.quantum_info import Operator

from qdm_qiskit.canonical_json import content_sha256, from_plain
from qdm_qiskit.errors import (
    InvalidData,
    InvalidOption,
    InvalidPlan,
    MissingData,
    OutputNotWritable,
    QdmError,
    TargetUnavailable,
)
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.hardware.plan.plan_file import read_plan, write_plan
from qdm_qiskit.hardware.plan.planned_files import (
    check_files,
    load_planned_run,
    planned_values,
    read_circuits,
    read_inputs,
)
from qdm_qiskit.hardware.plan.prepare import PlanConfig, draft_plan, make_plan
from qdm_qiskit.hardware.plan.run_plan import ExecutionOptions, FoundCalibration, RunPlan, is_run_id
from qdm_qiskit.models import save_model
from qdm_qiskit.sampling import SamplingConfig, sample, unrolled_circuit
from qdm_qiskit.transpiling.passes import measured_physical_qubits, transpile_for
from tests.helpers import write_run

TODAY = date(2026, 3, 1)
LOCAL = "local:fake_torino"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "r")


@pytest.fixture(scope="module")
def planned(run: Path, tmp_path_factory: pytest.TempPathFactory) -> RunPlan:
    config = PlanConfig(
        targets=(LOCAL,), num_images=4, shots=100, mitigation="m3", layout_trials=2, budget="b"
    )
    return make_plan(run, config, root=tmp_path_factory.mktemp("root"), today=TODAY)


@pytest.fixture
def clone(planned: RunPlan, tmp_path: Path) -> RunPlan:
    """A copy of the planned folder, to be damaged."""
    folder = tmp_path / planned.run_id
    for source in planned.folder.rglob("*"):
        if source.is_file():
            target = folder / source.relative_to(planned.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    return dataclasses.replace(planned, folder=folder)


# --- what a plan holds --------------------------------------------------------------------------


def test_a_plan_reads_back_as_it_was_made(planned):
    assert read_plan(planned.folder) == planned
    assert read_plan(planned.folder / "plan.json") == planned
    assert planned.folder.name == planned.run_id
    assert is_run_id(planned.run_id)
    assert planned.run_id == f"2026-03-01-eeqdm-{planned.content_sha256[:8]}"
    check_files(planned)


def test_images_cost_rows_not_jobs(planned):
    # T = 3 steps and one calibration, whatever the number of images.
    assert planned.num_jobs == 3 + 1
    assert [each.step for each in planned.steps] == [3, 2, 1]
    assert all((each.rows, each.shots) == (4, 100) for each in planned.steps)
    # 3 qubits are calibrated by 4 balanced circuits.
    assert planned.num_circuits == 3 * 4 + 4
    assert planned.total_shots == 3 * 4 * 100 + 4 * 8192


def test_a_calibration_that_was_found_is_no_job_of_the_run(planned, tmp_path):
    found = FoundCalibration(path=FOUND, taken_at=TIME)
    wanted = dataclasses.replace(planned.calibration, found=found)
    plan = dataclasses.replace(planned, calibration=wanted, folder=tmp_path)
    assert (plan.num_jobs, plan.num_circuits, plan.total_shots) == (3, 12, 1200)
    assert plan.total_seconds == pytest.approx(planned.total_seconds - wanted.seconds)
    assert plan.most_seconds == planned.most_seconds == planned.total_seconds
    assert plan.content_sha256 != planned.content_sha256
    write_plan(plan, tmp_path / "plan.json")
    assert read_plan(tmp_path) == plan


def test_runs_that_differ_by_their_seed_measure_the_same_qubits(run, planned, tmp_path):
    config = PlanConfig(targets=(LOCAL,), num_images=4, shots=100, layout_trials=2, seed=7)
    other = make_plan(run, config, root=tmp_path, today=TODAY)
    assert other.circuit.measured_qubits == planned.circuit.measured_qubits
    assert other.circuit.transpiler_seed == planned.circuit.transpiler_seed


def test_the_circuit_is_the_models_transpiled_once(planned, run):
    from qdm_qiskit.sampling import load_run

    isa, calibration = read_circuits(planned)
    logical = unrolled_circuit(load_run(run).model)
    backend = load_backend("fake_torino")
    # The same unitary, on the physical qubits that the plan names, for some angles.
    values = np.array([0.3, 1.1, -0.7])
    bound = isa.assign_parameters(values).remove_final_measurements(inplace=False)
    physical = list(planned.circuit.physical_qubits)
    for instruction in isa.data:
        if instruction.operation.name != "barrier":
            place = tuple(isa.find_bit(q).index for q in instruction.qubits)
            assert backend.target.instruction_supported(instruction.operation.name, place)
    small = QuantumCircuit(3)
    for instruction in bound.data:
        if instruction.operation.name != "barrier":
            place = [physical.index(bound.find_bit(q).index) for q in instruction.qubits]
            small.append(instruction.operation, place)
    small.global_phase = bound.global_phase
    expected = logical.assign_parameters(values).remove_final_measurements(inplace=False)
    probabilities = [np.abs(Operator(each).data[:, 0]) ** 2 for each in (small, expected)]
    order = [physical.index(q) for q in measured_physical_qubits(isa)]
    permuted = np.zeros(8)
    for k, p in enumerate(probabilities[0]):
        permuted[sum(((k >> q) & 1) << bit for bit, q in enumerate(order))] += p
    np.testing.assert_allclose(permuted, probabilities[1], atol=1e-12)
    assert planned.circuit.measured_qubits == measured_physical_qubits(isa)
    # Where each logical qubit starts, from the transpiler's other face of the same layout.
    again = transpile_for(logical, backend, level=3, seed=planned.circuit.transpiler_seed)
    layout = again.layout.initial_virtual_layout(filter_ancillas=True)
    assert planned.circuit.physical_qubits == tuple(layout[qubit] for qubit in logical.qubits)
    assert len(calibration) == planned.calibration.circuits == 4
    assert measured_physical_qubits(calibration[0]) == planned.circuit.measured_qubits


def test_the_start_is_that_of_qdm_sample(planned, run):
    from qdm_qiskit.sampling import load_run

    x, labels = read_inputs(planned)
    samples = sample(load_run(run), SamplingConfig(num_images=4))
    np.testing.assert_array_equal(x, samples.trajectory[0])
    assert labels is None


def test_labels_of_a_guided_model_are_planned(tmp_path):
    folder = write_run(tmp_path / "r", "qddm", guided=True, num_classes=3)
    plan = make_plan(folder, PlanConfig(targets=("aer",), num_images=5), root=tmp_path / "root")
    assert read_inputs(plan)[1].tolist() == [0, 1, 2, 0, 1]


def test_the_models_copy_outlives_the_model(tmp_path):
    folder = write_run(tmp_path / "r")
    plan = make_plan(folder, PlanConfig(targets=("aer",)), root=tmp_path / "root")
    before = load_planned_run(plan).model.layer.angles()
    weights = folder / "checkpoints" / "step-00000001" / "model.safetensors"
    weights.write_bytes(b"trained further")
    assert torch.equal(load_planned_run(read_plan(plan.folder)).model.layer.angles(), before)


def test_averaged_weights_are_the_ones_that_are_planned(tmp_path):
    from qdm_qiskit.models import load_model
    from qdm_qiskit.sampling import load_run
    from qdm_qiskit.training.checkpoint import AVERAGE

    folder = write_run(tmp_path / "r")
    checkpoint = folder / "checkpoints" / "step-00000001"
    model = load_model(checkpoint)
    with torch.no_grad():
        model.layer.weights.add_(0.5)
    save_model(model, checkpoint / AVERAGE)
    plan = make_plan(folder, PlanConfig(targets=("aer",)), root=tmp_path / "root")
    angles = load_planned_run(plan).model.layer.angles()
    assert torch.equal(angles, load_run(folder).model.layer.angles())
    assert torch.equal(angles, model.layer.angles())


def test_the_same_plan_on_the_same_day_is_the_same_run(run, tmp_path):
    config = PlanConfig(targets=(LOCAL,), num_images=2, layout_trials=1)
    drafts = [draft_plan(run, config, today=TODAY) for _ in range(2)]
    assert drafts[0].plan.run_id == drafts[1].plan.run_id
    assert drafts[0].contents == drafts[1].contents
    plan = drafts[0].write(tmp_path)
    before = {each: each.read_bytes() for each in plan.folder.rglob("*") if each.is_file()}
    with pytest.raises(OutputNotWritable, match=r"planned already.*a different seed"):
        drafts[1].write(tmp_path)
    assert {each: each.read_bytes() for each in plan.folder.rglob("*") if each.is_file()} == before
    assert [each.name for each in tmp_path.iterdir()] == [plan.run_id]
    others = [
        draft_plan(run, config, today=date(2026, 3, 2)),
        draft_plan(run, dataclasses.replace(config, seed=1), today=TODAY),
        draft_plan(run, dataclasses.replace(config, shots=4095), today=TODAY),
    ]
    assert len({plan.run_id, *(each.plan.run_id for each in others)}) == 4


def test_a_plan_that_cannot_be_written_leaves_nothing(run, tmp_path, monkeypatch):
    from qdm_qiskit.hardware.plan import prepare as planning

    def full_disk(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(planning, "write_bytes", full_disk)
    with pytest.raises(OutputNotWritable, match="No space left"):
        make_plan(run, PlanConfig(targets=("aer",)), root=tmp_path / "root")
    assert list((tmp_path / "root").iterdir()) == []


# --- nothing in it can be changed ---------------------------------------------------------------


def leaves(value: Any, path: tuple = ()) -> list[tuple]:
    """Paths of all values in nested JSON."""
    if isinstance(value, dict) and value:
        return [p for key, each in value.items() for p in leaves(each, (*path, key))]
    if isinstance(value, list) and value:
        return [p for key, each in enumerate(value) for p in leaves(each, (*path, key))]
    return [path]


def replaced(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return "other" if value != "other" else "another"


def test_every_single_change_is_refused(clone):
    path = clone.folder / "plan.json"
    whole = json.loads(path.read_text())
    paths = leaves(whole)
    assert len(paths) > 60
    for where in paths:
        changed = copy.deepcopy(whole)
        inside = changed
        for key in where[:-1]:
            inside = inside[key]
        inside[where[-1]] = replaced(inside[where[-1]])
        path.write_text(json.dumps(changed))
        with pytest.raises(InvalidPlan):
            read_plan(path)
    path.write_text(json.dumps(whole))
    assert read_plan(path) == clone


def test_a_changed_plan_is_refused_with_its_hash(clone):
    path = clone.folder / "plan.json"
    text = path.read_text()
    path.write_text(text.replace('"shots": 100', '"shots": 1', 1))
    with pytest.raises(InvalidPlan, match=clone.content_sha256[:16]):
        read_plan(path)


def rewritten(clone: RunPlan, change: Callable[[dict], None]) -> Path:
    """The plan with a change that its hash and id follow, as somebody with this code can do."""
    path = clone.folder / "plan.json"
    whole = json.loads(path.read_text())
    change(whole["content"])
    whole["content_sha256"] = content_sha256(whole["content"])
    content = whole["content"]
    whole["run_id"] = f"{content.get('date')}-{content.get('model')}-{whole['content_sha256'][:8]}"
    path.write_text(json.dumps(whole))
    return path


FOUND, TIME = "2026-01-01-eeqdm-00000000/calibration-0001.json", "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c["steps"].pop(), "steps"),
        (lambda c: c["steps"][0].update(shots=0), "shots"),
        (lambda c: c["steps"][0].update(shots=10**30), "huge|shots"),
        (lambda c: c["steps"][0].update(shots=True), "shots"),
        (lambda c: c["steps"][0].update(shots="100"), "shots"),
        (lambda c: c["steps"][0].update(rows=3), "rows"),
        (lambda c: c["steps"][0].update(seconds=-1.0), "seconds"),
        (lambda c: c.update(num_images=10**9), "num_images"),
        (lambda c: c.update(seed=-1), "seed"),
        (lambda c: c.update(target="ibm:../../etc"), "target"),
        (lambda c: c.update(mode="all"), "mode"),
        (lambda c: c.update(mitigation="none"), "calibration"),
        (lambda c: c.update(calibration=None), "calibration"),
        (lambda c: c.update(date="yesterday"), "date"),
        (lambda c: c.update(model="../../x"), "model"),
        (lambda c: c.update(model_run="a\x1b[2Jb"), "model_run"),
        (lambda c: c.update(budget="b\nb"), "budget"),
        (lambda c: c.update(backend="b" * 129), "backend"),
        (lambda c: c.update(extra=1), "unknown"),
        (lambda c: c.pop("seed"), "lacks"),
        (lambda c: c["files"][0].update(path="../../../etc/passwd"), "file"),
        (lambda c: c["files"][0].update(path="/etc/passwd"), "file"),
        (lambda c: c["files"][0].update(sha256="0"), "sha256"),
        (lambda c: c["files"].pop(0), "files"),
        (lambda c: c["files"].reverse(), "files"),
        (lambda c: c["circuit"].update(measured_qubits=[0, 0, 0]), "measured"),
        (lambda c: c["circuit"].update(parameters=["x_0001", "x_0000"]), "parameters"),
        (lambda c: c["circuit"].update(expected_success=2.0), "success"),
        (lambda c: c["timing"].update(rep_delay_seconds=-1.0), "seconds"),
        (lambda c: c["options"].update(rep_delay_seconds=9.0), "rep_delay"),
        (lambda c: c.update(steps={}), "list"),
        (lambda c: c.update(image_shape=[1, 2]), "image_shape"),
        (lambda c: c.update(state_shape=[]), "shapes"),
        (lambda c: c.update(schedule="variance"), "variances"),
        (lambda c: c["calibration"].pop("shots"), "lacks"),
        (lambda c: c["calibration"].update(extra=1), "unknown"),
        (lambda c: (c["calibration"].pop("found"), c["calibration"].pop("shots")), "lacks"),
        (lambda c: (c["calibration"].pop("found"), c["calibration"].update(kept=1)), "unknown"),
        (lambda c: (c["calibration"].pop("found"), c.pop("seed")), "lacks"),
        (lambda c: c["calibration"].update(correction="distance-4"), "all, distance-3; got"),
        (lambda c: c["calibration"].update(correction=""), "correction is one of"),
        (lambda c: c["calibration"].update(correction=None), "correction is one of"),
        (lambda c: c["calibration"].update(correction=3), "correction is one of"),
        (lambda c: c["calibration"].update(found={"path": FOUND}), "lacks"),
        (lambda c: c["calibration"].update(found={"path": "../x", "taken_at": TIME}), "path"),
        (lambda c: c["calibration"].update(found={"path": FOUND, "taken_at": "now"}), "taken_at"),
    ],
)
def test_nonsense_with_a_good_hash_is_refused_by_name(clone, change, says):
    with pytest.raises(InvalidPlan, match=says) as caught:
        read_plan(rewritten(clone, change))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_a_plan_of_a_time_before_a_calibration_could_be_found_is_read_and_keeps_its_id(clone):
    path = rewritten(clone, lambda c: c["calibration"].pop("found"))
    written = json.loads(path.read_text())
    plan = read_plan(path)
    assert plan.calibration == clone.calibration
    assert plan.calibration.found is None
    assert (plan.run_id, plan.content_sha256) == (written["run_id"], written["content_sha256"])
    assert plan.run_id != clone.run_id
    assert json.loads(json.dumps(plan.content())) == written["content"]
    write_plan(plan, path)
    assert json.loads(path.read_text()) == written
    # The hash is over what was written: the key cannot be added to it, nor anything changed in it.
    for change in (
        lambda c: c["calibration"].update(found=None),
        lambda c: c["calibration"].update(shots=c["calibration"]["shots"] + 1),
    ):
        whole = json.loads(json.dumps(written))
        change(whole["content"])
        path.write_text(json.dumps(whole))
        with pytest.raises(InvalidPlan, match="was changed"):
            read_plan(path)


@pytest.mark.parametrize("gone", [("correction",), ("correction", "found")])
def test_a_plan_of_a_time_without_a_correction_keeps_that_of_0_1(clone, gone):
    path = rewritten(clone, lambda c: [c["calibration"].pop(key) for key in gone])
    written = json.loads(path.read_text())
    plan = read_plan(path)
    assert plan.calibration.correction == "distance-3"
    assert "a new plan" in plan.note
    assert (plan.run_id, plan.content_sha256) == (written["run_id"], written["content_sha256"])
    write_plan(plan, path)
    assert json.loads(path.read_text()) == written
    written["content"]["calibration"]["correction"] = "all"
    path.write_text(json.dumps(written))
    with pytest.raises(InvalidPlan, match="was changed"):
        read_plan(path)


def test_a_new_plan_says_that_it_corrects_over_all_distances(planned):
    written = json.loads((planned.folder / "plan.json").read_text())["content"]
    assert written["calibration"]["correction"] == "all"
    assert planned.note is None
    with pytest.raises(InvalidOption, match="correction is one of"):
        dataclasses.replace(planned.calibration, correction="distance-2")


def test_a_truncated_plan_is_refused_wherever_it_ends(clone):
    path = clone.folder / "plan.json"
    text = path.read_text()
    for end in range(0, len(text) - 2, 97):
        path.write_text(text[:end])
        with pytest.raises(InvalidPlan):
            read_plan(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"{" * 100_000,
        b'{"schema": NaN}',
        b"1" * 5000,
        b'{"schema":"qdm-run-plan/1","run_id":1,"content_sha256":2,"content":3}',
        b'{"schema":"qdm-run-plan/1","run_id":"","content_sha256":"","content":{"a":1e999}}',
    ],
)
def test_what_is_no_plan_is_refused(tmp_path, content):
    (tmp_path / "plan.json").write_bytes(content)
    with pytest.raises(InvalidPlan):
        read_plan(tmp_path)


def test_a_missing_plan_says_how_to_make_one(tmp_path):
    with pytest.raises(MissingData, match="qdm run plan"):
        read_plan(tmp_path / "nowhere" / "plan.json")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists))
@settings(max_examples=50, deadline=None)
def test_no_json_value_makes_a_plan_by_chance(value):
    with pytest.raises(QdmError):
        from_plain(RunPlan, value)


@pytest.mark.parametrize("name", ["circuits.qpy", "inputs.npz", "model/config.json"])
def test_a_changed_file_is_refused_before_it_is_read(clone, name, monkeypatch):
    def parsed(*args, **kwargs):
        raise AssertionError("it was parsed")

    monkeypatch.setattr(qpy, "load", parsed)
    monkeypatch.setattr(np, "load", parsed)
    path = clone.folder / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    readers = {"circuits.qpy": read_circuits, "inputs.npz": read_inputs}
    for read in (check_files, readers.get(name, load_planned_run)):
        with pytest.raises(InvalidPlan, match=r"was changed.*SHA-256"):
            read(clone)
    path.unlink()
    with pytest.raises(InvalidPlan, match="cannot be read"):
        check_files(clone)


def test_changed_weights_are_refused(clone):
    [weights] = (clone.folder / "model").rglob("model.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(InvalidPlan, match="was changed"):
        load_planned_run(clone)


def test_circuits_of_another_model_are_refused(clone):
    """A file that has the right hash and is still not what the plan says."""
    import hashlib

    def other(content):
        buffer = clone.folder / "circuits.qpy"
        with buffer.open("wb") as file:
            qpy.dump([QuantumCircuit(1)], file)
        entry = next(f for f in content["files"] if f["path"] == "circuits.qpy")
        entry["sha256"] = hashlib.sha256(buffer.read_bytes()).hexdigest()

    plan = read_plan(rewritten(clone, other))
    with pytest.raises(InvalidPlan, match="parameters"):
        read_circuits(plan)


# --- what cannot be planned ---------------------------------------------------------------------


def test_a_model_without_a_single_circuit_is_refused_by_name(tmp_path):
    folder = write_run(tmp_path / "r", "classical_unet", image_size=8)
    with pytest.raises(TargetUnavailable, match="'classical_unet' is no single circuit"):
        make_plan(folder, PlanConfig(), root=tmp_path / "root")
    assert not (tmp_path / "root").exists() or list((tmp_path / "root").iterdir()) == []


def test_a_qpu_needs_its_backend(run, tmp_path):
    with pytest.raises(TargetUnavailable, match="ibm:ibm_fez"):
        make_plan(run, PlanConfig(targets=("ibm:ibm_fez",)), root=tmp_path)


def test_a_given_backend_gives_the_target_its_name(run, tmp_path):
    backend = load_backend("fake_fez")
    backend.name = "ibm_fez"
    config = PlanConfig(targets=("ibm:least_busy",), num_images=1, layout_trials=1)
    plan = make_plan(run, config, root=tmp_path, backend=backend)
    assert (plan.backend, plan.target, plan.is_qpu) == ("ibm_fez", "ibm:ibm_fez", True)
    assert plan.targets == ("ibm:least_busy",)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"targets": ()}, "at least one target"),
        ({"targets": ("nowhere",)}, "nowhere"),
        ({"shots": 0}, "shots"),
        ({"num_images": 0}, "num_images"),
        ({"seed": -1}, "seed"),
        ({"seconds": float("nan")}, "seconds"),
        ({"precision": 0.1}, "precision"),
        ({"schedule": "precision"}, "precision"),
        ({"schedule": "precision", "precision": 0.1, "seconds": 5.0}, "not both"),
        ({"calibration_ttl_seconds": 0}, "ttl"),
    ],
)
def test_options_out_of_range_are_refused(options, says):
    with pytest.raises(QdmError, match=says):
        PlanConfig(**options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"shots": 100_001}, "at most 100000 shots"),
        ({"targets": ("engine",), "shots": 5_000_001}, "it cannot be split, so lower shots"),
        ({"calibration_shots": 100_001, "mitigation": "m3"}, "calibration"),
        ({"label": 1}, "not guided"),
        ({"seconds": 6.0}, "3 jobs"),
    ],
)
def test_what_ibm_or_the_model_would_refuse_is_refused_now(run, tmp_path, options, says):
    with pytest.raises(InvalidOption, match=says):
        make_plan(run, PlanConfig(**{"targets": (LOCAL,), **options}), root=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_mitigation_needs_readout_errors(run, tmp_path):
    for target in ("engine", "aer"):
        with pytest.raises(InvalidOption, match=f"'{target}' has no readout errors"):
            make_plan(run, PlanConfig(targets=(target,), mitigation="m3"), root=tmp_path)


def test_seconds_decide_the_shots(run, tmp_path):
    config = PlanConfig(targets=(LOCAL,), num_images=4, seconds=30.0, mitigation="m3")
    plan = make_plan(run, config, root=tmp_path)
    one_more = 3 * 4 * (plan.timing.rep_delay_seconds + plan.timing.circuit_seconds)
    assert plan.total_seconds <= 30.0 < plan.total_seconds + one_more
    with pytest.raises(InvalidOption, match="takes no QPU seconds"):
        make_plan(run, PlanConfig(targets=("aer",), seconds=30.0), root=tmp_path)


@pytest.mark.parametrize("shots", [100, 4096, 5000])
def test_twirled_shots_are_what_ibm_runs(run, tmp_path, shots):
    from qiskit_ibm_runtime.executor.calculate_twirling_shots import calculate_twirling_shots

    options = ExecutionOptions(twirl_gates=True)
    backend = load_backend("fake_torino")
    backend.name = "ibm_torino"
    config = PlanConfig(targets=("ibm:ibm_torino",), shots=shots, options=options, layout_trials=1)
    plan = make_plan(run, config, root=tmp_path, backend=backend)
    for each in plan.steps:
        randomizations, shots_each = calculate_twirling_shots(each.shots, "auto", "auto")
        assert randomizations * shots_each == each.shots <= shots


def test_values_are_selected_by_name(planned):
    values = np.arange(8.0).reshape(2, 4)
    np.testing.assert_array_equal(planned_values(planned, values), values[:, :3])
    fewer = dataclasses.replace(
        planned, circuit=dataclasses.replace(planned.circuit, parameters=("x_0000", "x_0002"))
    )
    np.testing.assert_array_equal(planned_values(fewer, values), values[:, [0, 2]])
    for bad in (values[:, :2], values[0], np.full((1, 4), np.nan)):
        with pytest.raises(InvalidData):
            planned_values(planned, bad)


@given(
    shots=st.integers(1, 10**6),
    images=st.integers(1, 1000),
    seed=st.integers(0, 2**31),
    budget=st.none() | st.text(st.characters(categories=["L", "N", "P"]), max_size=20),
)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_plan_survives_its_file(planned, tmp_path, shots, images, seed, budget):
    steps = tuple(dataclasses.replace(s, shots=shots, rows=images) for s in planned.steps)
    plan = dataclasses.replace(
        planned, steps=steps, num_images=images, seed=seed, budget=budget, folder=tmp_path
    )
    write_plan(plan, tmp_path / "plan.json")
    assert read_plan(tmp_path) == plan
