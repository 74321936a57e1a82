"""System metrics: each figure against a second way to it, on runs of all three kinds."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from qiskit import QuantumCircuit
from scipy import stats

from qdm_qiskit.circuits.qpy_files import circuits_from_qpy
from qdm_qiskit.errors import InvalidData, InvalidOption, MissingData
from qdm_qiskit.evaluation.system import SystemReport, spread_lines, system_report
from qdm_qiskit.evaluation.system_rows import ROWS, SystemRun
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.run.commands import submit_run
from qdm_qiskit.pages import render_page
from qdm_qiskit.reports.system_render import system_page, system_tables, write_system
from qdm_qiskit.reports.transpile_render import write_report
from qdm_qiskit.sampling import SamplingConfig, load_run, sample
from qdm_qiskit.sampling.samples import write_samples
from qdm_qiskit.tasks import cost
from qdm_qiskit.transpiling.cost import circuit_cost
from qdm_qiskit.transpiling.qubit_times import qubit_times
from tests.artifacts.test_files_of_0_1 import reads_their_circuits
from tests.helpers import ROOT, images_of, write_run
from tests.pages.reading import assert_self_contained

OLD = ROOT / "tests" / "fixtures" / "v0_1"
OLD_RUN = OLD / "hardware" / "2026-11-28-qddm-f5e47e7f"
OLD_OPEN = OLD / "hardware" / "2026-11-28-qddm-43d42fff"

Sampled = Callable[[str, int, str], Path]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "r")


@pytest.fixture(scope="module")
def hardware(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole life: planned, sent, collected, settled."""
    config = PlanConfig(
        targets=("local:fake_nairobi",), num_images=2, shots=100, layout_trials=1, seed=4
    )
    plan = make_plan(trained, config, root=tmp_path_factory.mktemp("root"))
    assert submit_run(plan.folder).state == "done"
    return plan.folder


@pytest.fixture(scope="module")
def sampled(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Sampled:
    root = tmp_path_factory.mktemp("samples")

    def make(target: str, seed: int, name: str) -> Path:
        folder = root / name
        if not folder.exists():
            shots = None if target == "engine" else 50
            config = SamplingConfig(
                num_images=2, target=target, shots=shots, seed=seed, layout_trials=1
            )
            write_samples(sample(load_run(trained), config), folder)
        return folder

    return make


def only(folder: Path, **options: float) -> SystemRun:
    [run] = system_report(folder, **options).runs
    return run


def used(circuit: QuantumCircuit) -> set[int]:
    """Numbers of the qubits on which something acts."""
    return {
        circuit.find_bit(qubit).index
        for each in circuit.data
        if each.operation.name not in ("barrier", "delay")
        for qubit in each.qubits
    }


def test_qubits_of_a_hardware_run_are_those_of_its_circuit(hardware):
    values = only(hardware).values
    circuit = circuits_from_qpy((hardware / "circuits.qpy").read_bytes())[0]
    backend = load_backend("fake_nairobi")
    assert (values["device_qubits"], circuit.num_qubits) == (7, 7)
    assert values["qubits_used"] == len(used(circuit))
    assert values["qubits_idle"] == 7 - len(used(circuit)) > 0
    assert values["qubits"] == load_run(hardware / "model").model.num_qubits == 3
    priced = circuit_cost(circuit, backend.target)
    assert values["depth"] == priced.depth == circuit.depth()
    assert values["two_qubit_gates"] == priced.two_qubit_count == circuit.num_nonlocal_gates()
    assert values["circuit_seconds"] == pytest.approx(priced.duration_seconds)
    times = qubit_times(circuit, backend.target)
    assert values["idle_seconds"] == pytest.approx(sum(times.idle.values()))
    assert values["busy_share"] == pytest.approx(
        sum(times.busy.values()) / len(used(circuit)) / priced.duration_seconds
    )
    assert values["gate_success"] * priced.readout_success == pytest.approx(
        values["expected_success"]
    )


def test_shots_and_seconds_of_a_hardware_run_are_those_of_files_and_ledger(hardware):
    values = only(hardware).values
    counted = 0
    for path in (hardware / "steps").glob("*.npz"):
        with np.load(path) as arrays:
            counted += int(sum(arrays[n].sum() for n in arrays.files if n.startswith("counts_")))
    assert values["shots"] == counted == 3 * 2 * 100
    assert values["executions"] == 6
    assert values["shots_image"] == counted / 2
    assert values["shots_step"] == counted / 3
    ledger = Ledger.open(hardware.parent)
    jobs = ledger.jobs(hardware.name)
    reserved = sum(row["seconds"] for row in ledger.reservations(hardware.name))
    events = [(row["at"], row["kind"], row["part"]) for row in ledger.events(hardware.name)]
    ledger.close()
    assert values["jobs"] == len(jobs) == 3
    assert values["qpu_planned"] == pytest.approx(reserved)
    assert values["qpu_planned_step"] == pytest.approx(reserved / 3)
    assert values["qpu_planned_image"] == pytest.approx(reserved / 2)
    assert values["qpu_charged"] == sum(row["seconds"] for row in jobs) == 0
    sent = {part: at for at, kind, part in events if kind == "sending"}
    back = {part: at for at, kind, part in events if kind == "collected"}
    assert values["job_seconds"] == pytest.approx(
        sum(back[part] - sent[part] for part in sent) / 3, abs=1e-4
    )
    assert values["queue_seconds"] == 0
    assert 0 < values["run_seconds"] <= values["in_jobs_seconds"]
    parts = ("in_jobs_seconds", "preparing_seconds", "post_seconds", "away_seconds")
    assert values["total_seconds"] == pytest.approx(sum(values[each] for each in parts))
    assert values["communication_seconds"] == pytest.approx(
        values["in_jobs_seconds"] - values["run_seconds"], abs=1e-4
    )


def test_samples_tell_what_their_manifest_tells(sampled):
    folder = sampled("noisy:fake_nairobi", 1, "noisy")
    values = only(folder).values
    manifest = json.loads((folder / "manifest.json").read_text())
    runner = manifest["device"]["runner"]
    assert values["shots"] == runner["total_shots"] == 3 * 2 * 50
    assert (values["jobs"], values["executions"]) == (runner["jobs"], runner["circuits"])
    assert values["run_seconds"] == runner["seconds"]
    assert values["classical_seconds"] == pytest.approx(manifest["seconds"] - runner["seconds"])
    assert values["seconds_image"] == pytest.approx(manifest["seconds"] / 2)
    assert values["device_qubits"] == 7
    assert values["qubits_used"] + values["qubits_idle"] == 7
    assert values["qubits_used"] >= len(manifest["device"]["layout"]["physical_qubits"])


def test_times_of_qubits_in_a_manifest_are_those_of_the_circuit(trained):
    config = SamplingConfig(num_images=1, target="noisy:fake_nairobi", shots=10, layout_trials=1)
    made = sample(load_run(trained), config)
    target = load_backend("fake_nairobi").target
    circuit = made.manifest["device"]["circuit"]
    measured = made.circuit.copy()
    if not any(each.operation.name == "measure" for each in measured.data):
        pytest.fail("the circuit of samples is measured")
    assert circuit["qubit_times"] == qubit_times(measured, target).record()
    assert circuit["qubit_times"]["used"] == len(used(measured))


def test_an_exact_target_has_no_device_and_says_so(sampled):
    run = only(sampled("engine", 1, "exact"))
    assert run.values.get("qubits_used") is None
    assert "no device" in run.why("qubits_used")
    assert run.values.get("shots") is None
    assert run.why("shots") == "none: exact circuits"


def test_a_training_run_has_logical_circuits_and_its_seconds():
    values = only(OLD / "training" / "plain").values
    lines = (OLD / "training" / "plain" / "metrics.jsonl").read_text().splitlines()
    seconds = sum(json.loads(line)["seconds"] for line in lines)
    assert values["total_seconds"] == pytest.approx(seconds)
    assert values["steps"] == 72
    assert values["seconds_step"] == pytest.approx(seconds / 72)
    model = load_run(OLD / "training" / "plain").model
    plain = model.spec.full_circuit()
    assert values["qubits"] == model.num_qubits == plain.num_qubits
    weights = next((OLD / "training" / "plain").rglob("model.safetensors"))
    newest = max((OLD / "training" / "plain" / "checkpoints").iterdir()) / "model.safetensors"
    assert values["result_sha256"] == hashlib.sha256(newest.read_bytes()).hexdigest()
    assert weights.is_file()


def test_energy_is_known_only_by_a_figure_that_was_given(sampled, hardware):
    folder = sampled("noisy:fake_nairobi", 1, "noisy")
    assert only(folder).values.get("energy_joules") is None
    assert only(folder).why("energy_joules") == "not known: no power was given"
    values = only(folder, watts=40.0).values
    assert values["energy_joules"] == pytest.approx(40 * values["total_seconds"])
    assert values["energy_image_joules"] == pytest.approx(20 * values["total_seconds"])
    values = only(hardware, watts=40.0).values
    worked = values["total_seconds"] - values["away_seconds"]
    assert values["energy_joules"] == pytest.approx(40 * worked)
    for bad in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InvalidOption, match="watts is a power above 0"):
            system_report(folder, watts=bad)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(sampled):
    first = sampled("noisy:fake_nairobi", 1, "noisy")
    again = sampled("noisy:fake_nairobi", 1, "again")
    other = sampled("noisy:fake_nairobi", 2, "other")
    report = system_report([first, again, other])
    [found] = report.repeats
    assert (found.runs, found.same) == (("noisy", "again"), True)
    hashes = [run.values["result_sha256"] for run in report.runs]
    equal = [np.array_equal(_images(first), _images(each)) for each in (again, other)]
    assert equal == [True, False]
    assert [each == hashes[0] for each in hashes[1:]] == equal
    over = {each.over: each for each in report.spreads}
    assert over["seeds"].runs == ("noisy", "other")  # a seed counts once
    assert over["repeats"].runs == ("noisy", "again")
    row = next(e for e in over["seeds"].varying if e.key == "total_seconds")
    seconds = [report.runs[k].values["total_seconds"] for k in (0, 2)]
    assert (row.count, row.mean) == (2, pytest.approx(np.mean(seconds)))
    assert row.std == pytest.approx(np.std(seconds, ddof=1))
    assert 0 <= row.low < row.mean < row.high
    half = stats.t.ppf(0.975, 1) * row.std / np.sqrt(2)
    assert row.high == pytest.approx(row.mean + half)
    assert "shots" in over["seeds"].constant
    assert any("Stability over calibrations is not measured" in each for each in report.notes())


def _images(folder: Path) -> np.ndarray:
    with np.load(folder / "samples.npz") as arrays:
        found: np.ndarray = arrays["images"]
    return found


def test_bits_that_changed_are_told(sampled, tmp_path):
    first = sampled("noisy:fake_nairobi", 1, "noisy")
    changed = shutil.copytree(first, tmp_path / "changed")
    manifest = json.loads((changed / "manifest.json").read_text())
    manifest["versions"]["numpy"] = "0.1"
    (changed / "manifest.json").write_text(json.dumps(manifest))
    arrays = dict(np.load(changed / "samples.npz"))
    arrays["images"][0, 0, 0, 0] += np.float32(1e-6)
    np.savez_compressed(changed / "samples.npz", **arrays)
    [found] = system_report([first, changed]).repeats
    assert (found.same, found.results, found.versions) == (False, 2, ("numpy",))
    assert found.sentence().startswith("Warning: ")


def test_devices_are_calibrations_and_not_seeds(sampled):
    runs = [sampled("noisy:fake_nairobi", 1, "noisy"), sampled("noisy:fake_lagos", 1, "lagos")]
    report = system_report(runs)
    assert [each.over for each in report.spreads] == ["calibrations"]
    [row] = [e for e in report.spreads[0].varying if e.key == "expected_success"]
    both = [run.values["expected_success"] for run in report.runs]
    assert row.std == pytest.approx(abs(both[0] - both[1]) / np.sqrt(2))
    assert spread_lines(report.spreads[0])
    assert report.repeats == ()


@reads_their_circuits
def test_a_run_of_version_0_1_is_read_and_what_it_lacks_is_said(tmp_path):
    # A copy: whoever opens a ledger of 0.1 brings it up to date.
    root = shutil.copytree(OLD / "hardware", tmp_path / "hardware")
    run = only(root / OLD_RUN.name)
    manifest = json.loads((OLD_RUN / "manifest.json").read_text())
    journal = {e["kind"]: datetime.fromisoformat(e["at"]) for e in reversed(manifest["journal"])}
    begun, done = journal["reserved"], journal["run-done"]
    assert run.values["total_seconds"] == pytest.approx((done - begun).total_seconds())
    assert (run.values["jobs"], run.values["qpu_planned"]) == (11, manifest["seconds_estimated"])
    assert run.values["shots"] == 10 * 2 * 64 + 512
    assert run.values.get("run_seconds") is None
    assert run.why("run_seconds") == "not recorded"
    images = images_of(OLD_RUN)
    plain = f"{images.dtype.str} {images.shape} ".encode() + images.tobytes()
    assert run.values["result_sha256"] == hashlib.sha256(plain).hexdigest()
    samples = only(OLD / "samples" / "noisy")
    assert samples.why("qubits_idle") == "not recorded"
    assert samples.values["depth"] == 97


def test_a_planned_run_has_costs_and_no_times(tmp_path, trained):
    config = PlanConfig(targets=("aer",), num_images=2, shots=10, seed=4)
    plan = make_plan(trained, config, root=tmp_path)
    run = only(plan.folder, watts=1.0)
    assert run.values["qpu_planned"] == plan.total_seconds
    for key in ("jobs", "shots", "shots_image", "total_seconds", "run_seconds", "qpu_charged"):
        assert run.values.get(key) is None
        assert run.why(key) == "not run yet", key
    assert run.values.get("energy_joules") is None
    assert run.why("qubits_idle") == "none: 'aer' has no device"
    assert run.values["qubits"] == 3


def test_a_transpile_report_in_a_run_gives_it_a_device(trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    assert only(run).why("depth") == "not transpiled"
    report = cost(run, ["fake_nairobi"], trials=1)
    write_report(report, run / "report")
    values = only(run).values
    [device] = report.backends
    assert values["device_qubits"] == device.device_qubits == 7
    assert values["depth"] == device.cost.total.depth
    assert values["expected_success"] == device.cost.total.expected_success
    assert only(run).why("qubits_idle") == "a transpile report does not say"
    [path] = (run / "report").glob("*.json")
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "backends": 2 * content["backends"]}))
    assert only(run).why("depth") == "transpiled for several devices"


@reads_their_circuits
def test_an_open_run_has_no_figure_of_a_step_or_an_image(tmp_path):
    root = shutil.copytree(OLD / "hardware", tmp_path / "hardware")
    run = only(root / OLD_OPEN.name)
    assert run.state != "done"
    assert run.values["shots"] == 2 * 64
    for key in ("shots_step", "shots_image", "qpu_charged_step", "seconds_image"):
        assert run.values.get(key) is None
        assert run.why(key) == "the run is not done"
    assert run.why("result_sha256") == "not done"


def test_a_folder_of_runs_gives_a_column_each(sampled, hardware):
    folders = {sampled("engine", 1, "exact"), sampled("engine", 2, "exact-2")}
    report = system_report([sampled("engine", 1, "exact").parent, hardware])
    assert {hardware.name, *(each.name for each in folders)} <= {run.name for run in report.runs}


def test_the_table_shows_itself_and_its_files_hold_the_numbers(sampled, hardware, tmp_path):
    runs = [sampled("engine", 1, "exact"), sampled("noisy:fake_nairobi", 1, "noisy"), hardware]
    report = system_report(runs)
    names = [run.name for run in report.runs]
    paths = write_system(report, tmp_path / "out")
    assert [path.name for path in paths] == ["system.csv", "system.json", "system.html"]
    content = json.loads(paths[1].read_text())
    assert content["schema"].startswith("qdm-system/")
    keys = [row.key for rows in ROWS.values() for row in rows]
    for told, run in zip(content["runs"], report.runs, strict=True):
        assert list(told["metrics"]) == sorted(keys)
        for key in keys:  # a value, or a reason
            assert (told["metrics"][key] is None) == (key in told["missing"])
            assert told["metrics"][key] == run.values.get(key)
    lines = {row["metric"]: row for row in csv.DictReader(io.StringIO(report.to_csv()))}
    assert [float(lines["shots"][name]) for name in names[1:]] == [300, 600]
    assert lines["shots"]["exact"] == ""
    page = paths[2].read_text()
    assert_self_contained(page)
    for shown in (page, report._repr_html_()):
        assert all(name in shown for name in names)
        assert "time in which used qubits work" in shown
        assert "Reproducibility is not measured" in shown
    assert len(system_tables(report)) == len(report.sections()) + len(report.spreads)
    assert repr(report) == "<SystemReport: 3 runs, 0 sets that repeat each other>"


def test_names_on_a_page_are_text(sampled, tmp_path):
    folder = tmp_path / "<b>bold"
    shutil.copytree(sampled("engine", 1, "exact"), folder)
    report = system_report(folder)
    for shown in (render_page(system_page(report)), report._repr_html_()):
        assert "<b>bold" not in shown
        assert "&lt;b&gt;bold" in shown


def test_what_is_no_run_is_one_line(tmp_path, sampled):
    with pytest.raises(MissingData, match="There are no training, sampling or hardware runs in"):
        system_report(tmp_path)
    with pytest.raises(MissingData, match="There is no folder"):
        system_report(tmp_path / "missing")
    with pytest.raises(MissingData, match="name one folder or more"):
        system_report([])
    (tmp_path / "fleet").mkdir()
    (tmp_path / "fleet" / "fleet.json").write_text("{}")
    with pytest.raises(MissingData, match="several devices share"):
        system_report(tmp_path / "fleet")
    bad = shutil.copytree(sampled("engine", 1, "exact"), tmp_path / "bad")
    (bad / "manifest.json").write_text('{"schema": "qdm-samples/' + '1"}')
    with pytest.raises(InvalidData, match="cannot be read"):
        system_report(bad)
    with pytest.raises(MissingData, match="No run can be read: "):
        system_report(tmp_path / "bad" / "..")
    (bad / "manifest.json").write_text('{"schema": "qdm-samples/' + '1", "sampling": {"seed": 1}}')
    with pytest.raises(InvalidData, match="is no manifest of samples"):
        system_report(bad)


def test_a_run_that_cannot_be_read_is_told_beside_the_others(sampled, tmp_path):
    shutil.copytree(sampled("engine", 1, "exact"), tmp_path / "good")
    bad = shutil.copytree(sampled("engine", 1, "exact"), tmp_path / "bad")
    (bad / "manifest.json").write_text('{"schema": "qdm-samples/' + '1"}')
    report = system_report(tmp_path)
    assert isinstance(report, SystemReport)
    assert [run.name for run in report.runs] == ["good"]
    told = [each for each in report.notes() if each.startswith("Warning: ")]
    assert len(told) == 1
    assert "bad cannot be read" in told[0]
