"""A QNN's run on hardware: planned, paid, sent, stopped, taken up again, replayed, reported."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.neural_networks import EstimatorQNN
from typer.testing import CliRunner

import qdm_qiskit as qdm
from qdm_qiskit.cli.main import app
from qdm_qiskit.errors import (
    BudgetExceeded,
    InvalidData,
    InvalidOption,
    InvalidPlan,
    MissingData,
    OutputNotWritable,
    QdmError,
    TargetUnavailable,
    UnknownName,
)
from qdm_qiskit.evaluation.hardware_run import hardware_report
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.ledger.output_files import read_outputs
from qdm_qiskit.hardware.plan.plan_file import read_plan
from qdm_qiskit.hardware.plan.qnn_question import read_question
from qdm_qiskit.hardware.providers.settings import ServiceSettings
from qdm_qiskit.hardware.run.commands import submit_run
from qdm_qiskit.hardware.run.replay import replay
from qdm_qiskit.pages.drawing import shown as drawn
from qdm_qiskit.reports.hardware_plan import plan_lines, plan_summary
from qdm_qiskit.reports.hardware_render import write_hardware_report
from qdm_qiskit.tasks import QnnRun
from tests.hardware.run.test_call_chain import Killed, Shelf, copied, killed_at
from tests.pages.reading import assert_self_contained
from tests.tasks.test_qnn import KINDS, OBSERVABLES, W, X, circuit, estimator, line, sampler

DEVICE = "local:fake_nairobi"
QUICK = {"shots": 300, "layout_trials": 1, "optimization_level": 1}


def shelf_charges(provider: Shelf) -> float:
    return sum(provider.usage(job_id) for job_id in provider.jobs)


# --- the plan -------------------------------------------------------------------------------------


def test_a_plan_states_the_cost_and_holds_the_question_without_the_object(tmp_path):
    plan = qdm.plan_qnn(estimator(), X, W, target=DEVICE, root=tmp_path, **QUICK)
    assert read_plan(plan.folder) == plan
    assert json.loads((plan.folder / "plan.json").read_text())["schema"] == "qdm-run-plan/3"
    assert sorted(each.name for each in plan.folder.iterdir()) == [
        "circuits.qpy",
        "inputs.npz",
        "plan.json",
        "qnn.json",
    ]
    # ZZI, IZI and IIZ share a circuit, XIX has another: 3 rows each.
    assert (plan.num_jobs, plan.num_circuits, plan.total_shots) == (1, 6, 1800)
    lengths = [each.seconds for each in plan.calls.circuits]
    each = [300 * (plan.timing.rep_delay_seconds + seconds) for seconds in lengths]
    assert plan.total_seconds == pytest.approx(2.0 + 3 * sum(each))
    text = "\n".join(plan_lines(plan))
    assert "EstimatorQNN, 3 qubits, 2 inputs, 3 weights, output (2,)" in text
    assert "rows       3, each with 2 circuits, one for each basis" in text
    assert plan_summary(plan)["qnn"]["rows"] == 3
    question = read_question(plan)
    np.testing.assert_array_equal(question.inputs, X)
    np.testing.assert_array_equal(question.weights, W)
    plan._repr_html_()


@pytest.mark.parametrize("kind", KINDS)
def test_the_question_of_a_folder_has_the_exact_outputs_of_the_qnn(kind, tmp_path):
    """Every kind of readout and ``interpret``, from the files alone."""
    from qdm_qiskit.hardware.run.qnn_chain import QnnChain

    qnn = KINDS[kind]()
    plan = qdm.plan_qnn(qnn, X, W, target="engine", root=tmp_path, shots=40_000)
    expected = qdm.run_qnn(qnn, X, W).outputs
    np.testing.assert_allclose(QnnChain(plan).exact(), expected, atol=1e-12)
    own = qnn.forward(X, W)  # exact of an EstimatorQNN, of 20,000 shots of a SamplerQNN
    spread = np.sqrt(np.maximum(expected * (1 - expected), 0.0) / 20_000)
    slack = 0.0 if kind == "estimator" else 5 * spread
    assert (np.abs(own - expected) <= slack + 1e-9).all()
    run = qdm.submit(plan, yes=True)
    off = np.abs(run.outputs - expected)
    assert (off <= 5 * run.standard_errors + 1e-4).all()
    assert run.outputs.shape == expected.shape


PLANS = """
import sys
import qdm_qiskit as qdm
from tests.tasks.test_qnn import W, X, estimator
plan = qdm.plan_qnn(
    estimator(), X, W, target="local:fake_nairobi", root=sys.argv[1], shots=300, layout_trials=1,
    optimization_level=1,
)
print(plan.qnn.question_sha256, plan.content_sha256)
"""


@pytest.mark.slow
def test_the_same_question_has_the_same_hash_in_every_process(tmp_path):
    plan = qdm.plan_qnn(estimator(), X, W, target=DEVICE, root=tmp_path / "here", **QUICK)
    there = subprocess.run(
        [sys.executable, "-c", PLANS, str(tmp_path / "there")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert there.stdout.split() == [plan.qnn.question_sha256, plan.content_sha256]
    others = [
        qdm.plan_qnn(estimator(), X + 1e-9, W, target="aer", root=tmp_path),
        qdm.plan_qnn(estimator(), X, W + 1e-9, target="aer", root=tmp_path),
        qdm.plan_qnn(estimator(OBSERVABLES[:1]), X, W, target="aer", root=tmp_path),
        qdm.plan_qnn(sampler(), X, W, target="aer", root=tmp_path),
        qdm.plan_qnn(KINDS["parity"](), X, W, target="aer", root=tmp_path),
    ]
    hashes = {each.qnn.question_sha256 for each in (plan, *others)}
    assert len(hashes) == 6
    with pytest.raises(OutputNotWritable, match="planned already"):
        qdm.plan_qnn(estimator(), X, W, target=DEVICE, root=tmp_path / "here", **QUICK)


# --- sent -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"mitigation": "m3", "calibration_shots": 2_000}])
@pytest.mark.parametrize("make", [estimator, KINDS["parity"]])
def test_on_a_device_it_gives_what_the_run_in_memory_gives(make, options, tmp_path):
    """The same circuits, whose noise leaves the same values; errors of the same size."""
    asked = {"target": DEVICE, "shots": 4_000, "layout_trials": 1, **options}
    found = qdm.run_qnn(make(), X, W, root=tmp_path, **asked)
    memory = qdm.run_qnn(make(), X, W, seed=5, **asked)
    assert found.outputs.shape == memory.outputs.shape
    both = np.hypot(found.standard_errors, memory.standard_errors)
    slack = 0.03 if options else 0.0  # of two calibrations
    assert (np.abs(found.outputs - memory.outputs) <= 5 * both + slack).all()
    np.testing.assert_allclose(found.standard_errors, memory.standard_errors, rtol=0.3, atol=1e-3)
    assert (found.circuits, found.shots) == (memory.circuits, memory.shots)
    assert replay(found.folder).difference == 0.0


def test_what_charges_needs_a_budget_that_allows_it(tmp_path):
    provider = Shelf()
    asked = {"provider": provider, "root": tmp_path, **QUICK}
    with pytest.raises(TargetUnavailable, match="nothing was sent; name the budget") as error:
        qdm.run_qnn(estimator(), X, W, **asked)
    line(error)
    qdm.set_budget("b", seconds=2.0, root=tmp_path)
    with pytest.raises(BudgetExceeded):
        qdm.run_qnn(estimator(), X, W, budget="b", **asked)
    assert provider.jobs == {}
    qdm.set_budget("b", seconds=60.0, root=tmp_path)
    found = qdm.run_qnn(estimator(), X, W, budget="b", **asked)
    assert found.jobs == len(provider.jobs) == 1
    assert found.qpu_seconds == pytest.approx(shelf_charges(provider))
    # 2 s a job, 1 ms an execution: 2 bases of 3 rows.
    assert found.estimated_seconds == pytest.approx(2.0 + 6 * 300 * 0.001)
    assert qdm.budget("b", root=tmp_path).spent_seconds == pytest.approx(found.qpu_seconds)
    exact = qdm.run_qnn(estimator(), X, W).outputs
    assert (np.abs(found.outputs - exact) <= 5 * found.standard_errors).all()
    # The same once more on the same day is the same run: nothing is sent.
    again = qdm.run_qnn(estimator(), X, W, budget="b", **asked)
    assert (again.folder, len(provider.jobs)) == (found.folder, 1)
    np.testing.assert_array_equal(again.outputs, found.outputs)
    other = qdm.run_qnn(estimator(), X, W, budget="b", seed=1, **asked)
    assert other.folder != found.folder
    assert len(provider.jobs) == 2


class Tomorrow(datetime.date):
    """The day after."""

    @classmethod
    def today(cls):
        return super().today() + datetime.timedelta(days=1)


def test_a_script_that_died_is_started_again_and_pays_once(tmp_path, monkeypatch):
    """Also on another day, when its plan would have another id."""
    provider = Shelf()
    qdm.set_budget("b", seconds=60.0, root=tmp_path)
    asked = {"provider": provider, "root": tmp_path, "budget": "b", **QUICK}
    with pytest.raises(Killed), killed_at(9, "after"):
        qdm.run_qnn(estimator(), X, W, **asked)
    assert len(provider.jobs) == 1
    [folder] = [each for each in tmp_path.iterdir() if each.is_dir() and "qnn" in each.name]
    monkeypatch.setattr("qdm_qiskit.tasks.qnn_plans.date", Tomorrow)
    found = qdm.run_qnn(estimator(), X, W, **asked)
    assert found.folder == folder
    assert len(provider.jobs) == 1
    ledger = Ledger.open(tmp_path)
    assert ledger.budget("b").spent_seconds == pytest.approx(shelf_charges(provider))
    assert ledger.budget("b").reserved_seconds == 0
    ledger.close()
    # It is done now, on an earlier day: asked once more it is measured once more.
    monkeypatch.setattr("qdm_qiskit.hardware.plan.prepare_qnn.date", Tomorrow)
    again = qdm.run_qnn(estimator(), X, W, **asked)
    assert again.folder != folder
    assert len(provider.jobs) == 2


def test_a_lost_job_is_sent_again(tmp_path):
    provider = Shelf()
    provider.lost = {"job-1"}
    qdm.set_budget("b", seconds=60.0, root=tmp_path)
    asked = {"provider": provider, "root": tmp_path, "budget": "b", **QUICK}
    found = qdm.run_qnn(estimator(), X, W, **asked)
    assert list(provider.jobs) == ["job-1", "job-2"]
    assert found.qpu_seconds == pytest.approx(provider.usage("job-2"))


@pytest.mark.parametrize("every", [6, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "options",
    [{}, pytest.param({"mitigation": "m3", "calibration_shots": 200}, marks=pytest.mark.slow)],
)
def test_killed_at_any_write_it_ends_with_the_same_outputs(tmp_path, every, options):
    """At transactions of the ledger, before, within and after each in turn, and at files."""
    asked = {**QUICK, "shots": 60, **options}
    plan = qdm.plan_qnn(estimator(), X, W, target=DEVICE, root=tmp_path / "fresh", **asked)
    whole = copied(plan, tmp_path / "whole")
    with killed_at(0, "") as (writes, files):
        submit_run(whole.folder)
    expected = read_outputs(whole.folder)
    sides = ("before", "within", "after")
    points = [(n, sides[n % 3]) for n in range(1, writes[0] + 1, every)]
    points += [(n, "unnamed") for n in range(1, len(files) + 1, every)]
    assert len(points) > (2 if every > 1 else 12)
    for number, side in points:
        again = copied(plan, tmp_path / f"killed-{number}-{side}")
        with pytest.raises(Killed), killed_at(number, side):
            submit_run(again.folder)
        state = submit_run(again.folder)
        assert (state.state, state.jobs) == ("done", plan.num_jobs), (number, side)
        assert read_outputs(again.folder).difference(expected) == 0.0, (number, side)
        assert replay(again.folder).difference == 0.0
        ledger = Ledger.open(again.folder.parent)
        assert not [row for row in ledger.reservations(again.run_id) if row["state"] == "held"]
        ledger.close()


def test_rows_beyond_a_jobs_limits_go_into_parts(tmp_path, monkeypatch):
    from qdm_qiskit.hardware.plan import work

    monkeypatch.setattr(work, "MAX_EXECUTIONS", 1_300)  # two rows of two bases of 300 shots
    plan = qdm.plan_qnn(estimator(), X, W, target="aer", root=tmp_path, **QUICK)
    assert [each.name for each in plan.calls.jobs] == ["step-0001-part-01", "step-0001-part-02"]
    run = qdm.submit(plan, yes=True)
    expected = qdm.run_qnn(estimator(), X, W).outputs
    assert (np.abs(run.outputs - expected) <= 5 * run.standard_errors).all()
    assert run.replay().equal


# --- by the command line, without the object --------------------------------------------------------


def qdm_run(*arguments: str, root: Path) -> str:
    result = CliRunner().invoke(app, ["run", *arguments, "--root", str(root)])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.slow
def test_all_commands_work_on_the_folder_alone(tmp_path, monkeypatch):
    plan = qdm.plan_qnn(
        TorchConnector(estimator(), initial_weights=W), torch.from_numpy(X), target=DEVICE,
        root=tmp_path, **QUICK,
    )  # fmt: skip
    # Whatever the QNN was: its library is not asked for.
    monkeypatch.setitem(sys.modules, "qiskit_machine_learning", None)
    assert "planned" in qdm_run("status", "latest", root=tmp_path)
    told = json.loads(qdm_run("submit", "latest", "--yes", "--json", root=tmp_path))
    assert told["state"] == "done"
    assert plan.run_id in qdm_run("list", root=tmp_path)
    assert json.loads(qdm_run("resume", "latest", "--json", root=tmp_path))["state"] == "done"
    assert "the outputs are the stored ones to the bit" in qdm_run(
        "replay", "latest", root=tmp_path
    )
    qdm_run("collect", "latest", root=tmp_path)
    qdm_run("cancel", "latest", root=tmp_path)
    page = json.loads(qdm_run("report", "latest", "--json", root=tmp_path))
    stored = read_outputs(plan.folder)
    np.testing.assert_array_equal(page["qnn"]["outputs"], stored.outputs)
    np.testing.assert_array_equal(page["qnn"]["errors"], stored.standard_errors)
    exact = qdm.HardwareRun(plan.folder)
    assert exact.images is None
    np.testing.assert_array_equal(exact.outputs, stored.outputs)
    text = (plan.folder / "report" / "report.md").read_text()
    assert "| row | output | value | standard error | exact |" in text
    first = page["qnn"]["outputs"][0][0]
    assert f"| 0 | 0 | {first:.3f} |" in text
    assert (plan.folder / "report" / "report.png").stat().st_size > 10_000
    exact._repr_html_()


def test_detached_it_is_collected_later(tmp_path, monkeypatch):
    from qdm_qiskit.hardware.providers.local import LocalProvider

    monkeypatch.setattr(LocalProvider, "in_process", False)
    monkeypatch.setattr(LocalProvider, "status", lambda self, job_id: "queued")
    plan = qdm.plan_qnn(estimator(), X, W, target=DEVICE, root=tmp_path, **QUICK)
    run = qdm.submit(plan, yes=True, detach=True)
    assert (run.state.state, run.state.jobs, run.outputs) == ("running", 1, None)
    assert not run.replay().done
    with pytest.raises(MissingData, match="no outputs yet"):
        QnnRun.read(run)
    with pytest.raises(MissingData, match="no finished step"):
        hardware_report(plan.folder)
    monkeypatch.setattr(LocalProvider, "status", lambda self, job_id: "done")
    assert run.collect().state.state == "done"
    assert QnnRun.read(run).jobs == 1


# --- changed and refused ----------------------------------------------------------------------------


def test_a_changed_record_is_found(tmp_path):
    plan = qdm.plan_qnn(sampler(), X, W, target="aer", root=tmp_path, **QUICK)
    run = qdm.submit(plan, yes=True)
    other = shutil.copytree(plan.folder, tmp_path / "b" / plan.run_id)
    kept = read_outputs(other)
    (other / "outputs.npz").unlink()
    from qdm_qiskit.hardware.ledger.output_files import write_outputs

    for change, verdict in ((1e-15, "up to rounding"), (1e-5, "DIFFER")):
        write_outputs(other, dataclasses.replace(kept, outputs=kept.outputs + change))
        found = replay(other)
        assert not found.equal
        assert found.rounded == (verdict == "up to rounding")
        assert verdict in found.sentence()
        (other / "outputs.npz").unlink()
    with pytest.raises(MissingData, match="no images"):
        found.images  # noqa: B018
    for name in ("qnn.json", "inputs.npz", "circuits.qpy"):
        changed = shutil.copytree(plan.folder, tmp_path / name / plan.run_id)
        content = (changed / name).read_bytes()
        (changed / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(InvalidPlan, match="was changed"):
            replay(changed)
    (plan.folder / "outputs.npz").write_bytes(b"no zip")
    with pytest.raises(InvalidData, match="cannot be used"):
        run.outputs  # noqa: B018


def test_bad_input_is_said_in_one_line_and_leaves_no_run(tmp_path):
    constant = estimator([SparsePauliOp("III", 2.0)])
    many = QuantumCircuit(8)
    for qubit, angle in enumerate(ParameterVector("w", 8)):
        many.ry(angle, qubit)
    wide = EstimatorQNN(circuit=many, weight_params=many.parameters)
    plan_cases = [
        (InvalidOption, "nothing to measure", constant, {}),
        (InvalidOption, "num_images", estimator(), {"num_images": 2}),
        (InvalidOption, "at least 1", estimator(), {"shots": 0}),
        (InvalidOption, "2 shots at least", estimator(), {"shots": 1}),
        (InvalidOption, "without decoupling", estimator(), {"twirl_gates": True}),
        (InvalidOption, "needs a target", estimator(), {"target": None}),
        (UnknownName, "budget 'b'", estimator(), {"budget": "b"}),
    ]
    for kind, match, qnn, options in plan_cases:
        with pytest.raises(kind, match=match) as error:
            qdm.plan_qnn(qnn, X, W, **{"target": DEVICE, "root": tmp_path, **options})
        line(error)
    with pytest.raises(QdmError, match="8 qubits") as error:
        qdm.plan_qnn(wide, None, np.ones(8), target=DEVICE, root=tmp_path)
    line(error)
    run_cases = [
        ("set shots", {"shots": None}),
        ("leave calibration out", {"calibration": object()}),
        ("plan_qnn takes seconds", {"seconds": 3.0}),
        ("leave target out", {"provider": Shelf()}),
        ("shots is a whole number", {"shots": True}),
        ("got readout", {"readout": "asymmetric"}),
    ]
    for match, options in run_cases:
        asked = {"target": DEVICE, "root": tmp_path, "shots": 100, **options}
        with pytest.raises(InvalidOption, match=match) as error:
            qdm.run_qnn(estimator(), X, W, **asked)
        line(error)
    assert not [each for each in tmp_path.iterdir() if each.is_dir()]
    with pytest.raises(InvalidOption, match="leave settings out") as error:
        qdm.run_qnn(estimator(), X, W, target=DEVICE, shots=100, settings=ServiceSettings())
    line(error)
    model = qdm.plan_qnn(estimator(), X, W, target="aer", root=tmp_path)
    with pytest.raises(InvalidOption, match="nothing was sent"):
        qdm.submit(model)


def test_more_qubits_than_can_be_computed_exactly_run_all_the_same(tmp_path):
    """A QPU takes them; the page and the replay do without exact values."""
    wide = QuantumCircuit(22)
    for qubit, angle in enumerate(ParameterVector("w", 22)):
        wide.ry(angle, qubit)
    wide.cx(0, 1)
    observable = SparsePauliOp.from_sparse_list([("ZZ", [0, 1], 1.0), ("Z", [21], 0.5)], 22)
    qnn = EstimatorQNN(circuit=wide, weight_params=wide.parameters, observables=observable)
    angles = np.linspace(0, 1, 22)
    plan = qdm.plan_qnn(qnn, None, angles, target="aer", root=tmp_path, shots=400)
    run = qdm.submit(plan, yes=True)
    # After the CX qubit 1 holds the parity: ZZ is the Z of qubit 1 before it.
    exact = np.cos(angles[1]) + 0.5 * np.cos(angles[21])
    assert abs(run.outputs[0, 0] - exact) < 5 * run.standard_errors[0, 0]
    assert run.replay().equal
    report, pictures = hardware_report(plan.folder)
    assert report.qnn["exact"] is None
    text = write_hardware_report(report, pictures, tmp_path / "page")[1].read_text()
    assert "too many qubits for exact outputs" in text


def test_seconds_decide_the_shots(tmp_path):
    plan = qdm.plan_qnn(
        estimator(), X, W, target=DEVICE, root=tmp_path, seconds=4.0, layout_trials=1
    )
    shots = plan.calls.jobs[0].shots
    assert 3.9 < plan.total_seconds <= 4.0
    more = qdm.plan_qnn(
        estimator(), X, W, target=DEVICE, root=tmp_path, shots=shots + 1, layout_trials=1
    )
    assert more.total_seconds > 4.0


def test_a_qnn_without_inputs_and_a_page_of_many_outputs(tmp_path):
    found, inputs, weights = circuit()
    bound = found.assign_parameters(dict(zip(inputs, [0.3, 0.4], strict=True)))
    qnn = EstimatorQNN(circuit=bound, weight_params=weights, observables=OBSERVABLES)
    plan = qdm.plan_qnn(qnn, None, W, target="aer", root=tmp_path, shots=500)
    assert qdm.submit(plan, yes=True).outputs.shape == (1, 2)
    many = np.tile(X, (30, 1))
    plan = qdm.plan_qnn(sampler(), many, W, target="engine", root=tmp_path, shots=50)
    qdm.submit(plan, yes=True)
    report, pictures = hardware_report(plan.folder)
    files = write_hardware_report(report, pictures, tmp_path / "page")
    text = files[1].read_text()
    assert "64 of 720 outputs are listed" in text
    shown = assert_self_contained(files[2].read_text())
    assert len(shown.all("circle")) == 2 * 64  # each listed output, measured and exact
    assert f"row 0, output 0, exact: value {drawn(report.qnn['exact'][0][0])}" in shown.words()
    assert text.count("\n| ") < 80
