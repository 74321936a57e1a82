"""Runs whose calls are answered by IBM's Estimator, in local mode: planned, killed, replayed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp, Statevector

import qdm_qiskit as qdm
from qdm_qiskit.errors import InvalidData, InvalidOption, TargetUnavailable
from qdm_qiskit.evaluation.hardware_run import hardware_report
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.ledger.run_files import read_counts, write_counts
from qdm_qiskit.hardware.plan.estimator_circuits import on_device
from qdm_qiskit.hardware.plan.plan_file import read_plan
from qdm_qiskit.hardware.plan.planned_files import read_all_circuits
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.plan.qnn_question import read_question
from qdm_qiskit.hardware.run.commands import submit_run
from qdm_qiskit.hardware.run.replay import replay
from qdm_qiskit.reports.hardware_plan import plan_lines
from qdm_qiskit.reports.hardware_render import write_hardware_report
from tests.hardware.reading_model import write_reading_run
from tests.hardware.run.test_call_chain import Killed, Shelf, copied, killed_at, planned
from tests.helpers import images_of, write_run
from tests.tasks.test_qnn import OBSERVABLES, W, X, estimator, line, sampler

DEVICE = "local:fake_nairobi"
LEVEL_0 = {"resilience_level": 0}


def asked(root: Path, shots: int = 300, options: dict | None = None, **changes: object) -> object:
    return qdm.plan_qnn(
        estimator(),
        X,
        W,
        target=DEVICE,
        root=root,
        primitive="estimator",
        primitive_options=LEVEL_0 if options is None else options,
        shots=shots,
        layout_trials=1,
        **changes,
    )


def test_the_options_are_recorded_as_asked_and_as_resolved(tmp_path):
    plan = asked(tmp_path, options={"resilience": {"measure_mitigation": True}})
    assert read_plan(plan.folder) == plan
    assert json.loads(plan.estimator.options) == {"resilience": {"measure_mitigation": True}}
    resolved = json.loads(plan.estimator.resolved)
    assert resolved["twirling"]["enable_measure"] is True
    assert any("IBM's Estimator with" in each for each in plan_lines(plan))
    run = qdm.submit(plan, yes=True)
    manifest = json.loads((run.folder / "manifest.json").read_text())
    assert manifest["estimator"]["resolved"] == resolved


def test_circuits_and_observables_on_the_device_have_the_exact_values(tmp_path):
    """Layout and letters: the planned circuit of 7 qubits, by Qiskit's Statevector."""
    plan = asked(tmp_path)
    [circuit], _ = read_all_circuits(plan)
    assert circuit.num_clbits == 0
    call = read_question(plan).call(300)
    observables = on_device(call, plan.calls.circuits[0].plan, circuit.num_qubits)
    exact = qdm.run_qnn(estimator(), X, W).outputs
    for row, values in zip(exact, X, strict=True):
        bound = circuit.assign_parameters(dict(zip(circuit.parameters, values, strict=True)))
        state = Statevector(bound)
        found = [state.expectation_value(each).real for each in observables]
        np.testing.assert_allclose(found, row, atol=1e-9)


def test_its_executions_are_those_of_its_bases_and_what_learns_the_readout(tmp_path):
    plain = asked(tmp_path, 256)
    # Two bases of three rows.
    assert (plain.estimator.weights, plain.estimator.extra) == ((2.0,), 0)
    assert (plain.total_shots, plain.num_circuits, plain.num_jobs) == (2 * 3 * 256, 3, 1)
    length = plain.calls.circuits[0].seconds
    assert length > 3e-6  # with its readout
    each = plain.timing.rep_delay_seconds + length
    assert plain.total_seconds == pytest.approx(2.0 + 6 * 256 * each)
    trex = asked(tmp_path, 256, {"resilience_level": 1})
    assert trex.estimator.extra >= 256
    assert trex.total_shots >= plain.total_shots + 256
    zne = asked(tmp_path, 256, {"resilience_level": 2})
    assert zne.estimator.weights[0] == 3 * trex.estimator.weights[0]  # three noise factors


@pytest.mark.parametrize("level", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_values_are_those_of_the_device_within_their_errors(tmp_path, level):
    """Beside the same Estimator asked in memory, and the Sampler's way."""
    plan = asked(tmp_path, 3_000, {"resilience_level": level})
    run = qdm.submit(plan, yes=True)
    memory = qdm.run_qnn(
        estimator(),
        X,
        W,
        target=DEVICE,
        primitive="estimator",
        primitive_options={"resilience_level": level},
        shots=3_000,
        layout_trials=1,
        seed=7,
    )
    both = np.hypot(run.standard_errors, memory.standard_errors)
    assert (np.abs(run.outputs - memory.outputs) < 6 * both).all()
    sampled = qdm.run_qnn(
        estimator(),
        X,
        W,
        target=DEVICE,
        shots=3_000,
        layout_trials=1,
        mitigation="m3" if level else "none",
    )
    both = np.hypot(run.standard_errors, sampled.standard_errors)
    assert (np.abs(run.outputs - sampled.outputs) < 6 * both + 0.03).all()
    assert replay(run.folder).difference == 0.0


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_any_write_it_ends_with_the_same_values(tmp_path, every):
    plan = asked(tmp_path / "fresh", 50)
    whole = copied(plan, tmp_path / "whole")
    with killed_at(0, "") as (writes, files):
        submit_run(whole.folder)
    expected = qdm.HardwareRun(whole.folder)
    sides = ("before", "within", "after")
    points = [(n, sides[n % 3]) for n in range(1, writes[0] + 1, every)]
    points += [(n, "unnamed") for n in range(1, len(files) + 1, every)]
    assert len(points) > (2 if every > 1 else 10)
    for number, side in points:
        again = copied(plan, tmp_path / f"killed-{number}-{side}")
        with pytest.raises(Killed), killed_at(number, side):
            submit_run(again.folder)
        assert submit_run(again.folder).jobs == 1
        run = qdm.HardwareRun(again.folder)
        np.testing.assert_array_equal(run.outputs, expected.outputs)
        np.testing.assert_array_equal(run.standard_errors, expected.standard_errors)
        assert replay(again.folder).difference == 0.0
        ledger = Ledger.open(again.folder.parent)
        assert not [row for row in ledger.reservations(again.run_id) if row["state"] == "held"]
        ledger.close()


@pytest.mark.slow
def test_a_model_of_expectation_values_runs_its_chain_by_the_estimator(tmp_path):
    run = write_reading_run(tmp_path / "readings")
    changes = {"scheduler": "ddim", "num_inference_steps": 2, "primitive": "estimator"}
    options = json.dumps(LEVEL_0)
    plan = planned(
        run, tmp_path / "runs", DEVICE, shots=4_000, primitive_options=options, **changes
    )
    assert [each.name for each in plan.calls.jobs][:2] == ["step-0004-01", "step-0004-02"]
    assert submit_run(plan.folder).state == "done"
    found = replay(plan.folder)
    assert found.difference == 0.0
    sampled = planned(
        run, tmp_path / "b", DEVICE, shots=4_000, scheduler="ddim", num_inference_steps=2
    )
    submit_run(sampled.folder)
    # One device, two primitives: the images differ by shot noise.
    off = np.abs(images_of(plan.folder) - images_of(sampled.folder))
    assert off.max() < 0.15
    page, pictures = hardware_report(plan.folder)
    files = write_hardware_report(page, pictures, tmp_path / "page")
    text = files[1].read_text()
    assert "No distributions are compared" in text
    for step in page.steps:  # as IBM computes them, of each call
        assert set(step["call_errors"]) == {"first", "second"}
        assert all(0 < each < 3 / np.sqrt(4_000) for each in step["call_errors"].values())
    assert "| first | 0." in text


def test_the_command_line_plans_it_or_says_why_not(tmp_path, capsys):
    from qdm_qiskit.cli.main import main

    def plan(run: Path, *more: str) -> int:
        fixed = ["--target", DEVICE, "--num-images", "1", "--shots", "64", "--layout-trials", "1"]
        root = ["--root", str(tmp_path / "runs"), "--quiet"]
        with pytest.raises(SystemExit) as end:
            main(["run", "plan", str(run), *fixed, *root, "--primitive", "estimator", *more])
        return int(end.value.code or 0)

    readings = write_reading_run(tmp_path / "readings", num_steps=1)
    assert plan(readings, "--primitive-options", json.dumps(LEVEL_0)) == 0
    assert 'IBM\'s Estimator with {"resilience_level":0}' in capsys.readouterr().out
    assert plan(write_run(tmp_path / "single")) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "reads probabilities" in said[0]
    assert plan(readings, "--primitive-options", "nonsense") == 2
    assert "JSON object" in capsys.readouterr().err


def test_rows_beyond_a_jobs_limits_go_into_parts(tmp_path, monkeypatch):
    from qdm_qiskit.hardware.plan import work

    monkeypatch.setattr(work, "MAX_EXECUTIONS", 1_300)  # two rows of two bases of 300 shots
    plan = asked(tmp_path)
    assert [each.name for each in plan.calls.jobs] == ["step-0001-part-01", "step-0001-part-02"]
    run = qdm.submit(plan, yes=True)
    exact = qdm.run_qnn(estimator(), X, W).outputs
    assert (np.abs(run.outputs - exact) < 6 * run.standard_errors + 0.15).all()


def test_a_changed_estimate_is_found(tmp_path):
    plan = asked(tmp_path, 50)
    run = qdm.submit(plan, yes=True)
    path = run.folder / "steps" / "step-0001.npz"
    stored = read_counts(path)
    path.unlink()
    write_counts(
        path, dataclasses.replace(stored, estimates=tuple(e + 1e-12 for e in stored.estimates))
    )
    assert not replay(run.folder).equal
    path.unlink()
    write_counts(path, dataclasses.replace(stored, estimates=(stored.estimates[0][:, :2],)))
    with pytest.raises(InvalidData, match="shape"):
        replay(run.folder)


def test_where_it_cannot_serve_it_is_one_line(tmp_path):
    estimates = {"primitive": "estimator", "root": tmp_path}
    cases = [
        (InvalidOption, "reads probabilities", sampler(), {"target": DEVICE}),
        (TargetUnavailable, "no Estimator of IBM's", estimator(), {"target": "aer"}),
        (TargetUnavailable, "no Estimator of IBM's", estimator(), {"provider": Shelf()}),
        (
            InvalidOption,
            "does not take the option 'resilience.trexx'",
            estimator(),
            {"target": DEVICE, "primitive_options": {"resilience": {"trexx": True}}},
        ),
        (
            InvalidOption,
            "incompatible",
            estimator(),
            {
                "target": DEVICE,
                "primitive_options": {
                    "resilience": {"pec_mitigation": True, "zne_mitigation": True}
                },
            },
        ),
        (InvalidOption, "JSON object", estimator(), {"target": DEVICE, "primitive_options": "[1]"}),
        (InvalidOption, "by its own options", estimator(), {"target": DEVICE, "mitigation": "m3"}),
        (InvalidOption, "in place of seconds", estimator(), {"target": DEVICE, "seconds": 9.0}),
        (
            InvalidOption,
            "by primitive_options",
            estimator(),
            {"target": DEVICE, "twirl_gates": True},
        ),
        (
            InvalidOption,
            "set primitive='estimator'",
            estimator(),
            {"target": DEVICE, "primitive": "sampler", "primitive_options": LEVEL_0},
        ),
    ]
    for kind, match, qnn, options in cases:
        with pytest.raises(kind, match=match) as error:
            qdm.plan_qnn(qnn, X, W, **{**estimates, **options})
        line(error)
    single = write_run(tmp_path / "single")
    config = PlanConfig(targets=(DEVICE,), num_images=1, primitive="estimator")
    with pytest.raises(InvalidOption, match="reads probabilities") as error:
        make_plan(single, config, root=tmp_path)
    line(error)
    constant = estimator([SparsePauliOp("III", 2.0), OBSERVABLES[1]])
    found = qdm.run_qnn(constant, X, W, target=DEVICE, shots=100, **estimates)
    np.testing.assert_allclose(found.outputs[:, 0], 2.0)
