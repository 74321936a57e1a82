"""Runs on tiles: planned, priced, sent, stopped, taken up again and replayed."""

from __future__ import annotations

import dataclasses
import json
import math
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from qdm_qiskit.canonical_json import content_sha256
from qdm_qiskit.errors import InvalidOption, InvalidPlan, TargetUnavailable
from qdm_qiskit.execution.noisy import NoisyRunner
from qdm_qiskit.hardware.ledger.run_files import calibration_names, counts_path, read_counts
from qdm_qiskit.hardware.plan import call_jobs
from qdm_qiskit.hardware.plan.plan_file import read_plan
from qdm_qiskit.hardware.plan.planned_files import read_all_circuits
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.plan.run_plan import RunPlan
from qdm_qiskit.hardware.run import call_chain
from qdm_qiskit.hardware.run.call_chain import CallChain, CallJob, PlannedTarget
from qdm_qiskit.hardware.run.commands import resume_run, submit_run
from qdm_qiskit.hardware.run.replay import replay
from qdm_qiskit.reports.hardware_plan import plan_lines, plan_summary
from tests.hardware.reading_model import write_reading_run
from tests.helpers import images_of, write_run

DEVICE = "local:fake_torino"


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EEQDM on 2 x 2 pixels: one circuit of 3 qubits, two steps."""
    return write_run(tmp_path_factory.mktemp("runs") / "r", "eeqdm", num_steps=2)


@pytest.fixture
def readings(tmp_path: Path) -> Path:
    return write_reading_run(tmp_path / "readings", num_steps=2)


def planned(run: Path, root: Path, target: str = DEVICE, **changes: object) -> RunPlan:
    options: dict[str, object] = {
        "targets": (target,),
        "num_images": 7,
        "shots": 60,
        "calibration_shots": 300,
        "layout_trials": 1,
        "tiles": "3",
        **changes,
    }
    return make_plan(run, PlanConfig(**options), root=root)  # type: ignore[arg-type]


def test_a_job_has_a_row_of_every_tile_in_each_execution(digits, tmp_path):
    plan = planned(digits, tmp_path, mitigation="m3")
    assert plan.schema == "qdm-run-plan/2"
    assert read_plan(plan.folder) == plan
    [tiled] = plan.calls.tiles.circuits
    assert len(tiled.tiles) == 3
    for job in plan.calls.jobs:
        assert [(each.first, each.rows) for each in job.calls] == [(0, 3), (3, 3), (6, 1)]
        assert [each.circuits for each in job.calls] == [(0,), (1,), (2,)]
        assert job.together == ((0, 1, 2),)
        assert job.circuits == 3  # executions, where one place takes seven
    # The price by the formula, from the plan's own numbers and those of a plan without tiles.
    alone = planned(digits, tmp_path / "alone", mitigation="m3", tiles=None)
    clock, longest = plan.timing, max(each.seconds for each in plan.calls.circuits)
    for step in plan.steps:
        wanted = 2.0 + 3 * 60 * (clock.rep_delay_seconds + longest)
        assert step.seconds == pytest.approx(wanted, rel=1e-12)
    assert plan.calls.tiles.seconds_without == pytest.approx(alone.total_seconds, rel=1e-12)
    assert plan.calls.tiles.executions_without == sum(e for _, _, e in alone.parts()) == 2 * 7 * 60
    # Three qubits take four circuits, on all nine qubits at once as on three.
    assert plan.calibration.circuits == alone.calibration.circuits == 4
    assert len(plan.measured_qubits) == 9
    own, calibration = read_all_circuits(plan)
    assert (len(own), len(calibration)) == (3, 3 * 4)


def test_the_page_shows_both_prices(digits, tmp_path):
    plan = planned(digits, tmp_path, shots=4000)
    text = "\n".join(plan_lines(plan))
    alone = plan.calls.tiles.seconds_without
    assert f"{plan.most_seconds / 7:.2f} QPU seconds an image" in text
    assert f"{alone / 7:.2f} without tiles" in text
    assert "3 places of the chip at once" in text
    summary = plan_summary(plan)
    assert summary["tiles"]["seconds_without"] == alone
    assert summary["tiles"]["circuits"][0]["tiles"][0]["expected_success"] > 0.9
    json.dumps(summary)
    assert plan_summary(planned(digits, tmp_path / "b", tiles=None))["tiles"] is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "tiles",
    [
        "3",
        "auto",
        ">=0.9",
    ],
)
def test_a_run_on_tiles_ends_with_images_that_a_replay_finds_again(digits, tmp_path, tiles):
    plan = planned(digits, tmp_path, tiles=tiles, mitigation="m3")
    assert submit_run(plan.folder).state == "done"
    found = replay(plan.folder)
    assert found.equal
    assert found.done
    assert images_of(plan.folder).shape == (7, 1, 2, 2)
    assert calibration_names(plan.folder) == ["calibration-0001"]
    assert all(each.mitigated_distance is not None for each in found.steps)
    manifest = json.loads((plan.folder / "manifest.json").read_text())
    number = len(plan.calls.tiles.circuits[0].tiles)
    assert len(manifest["calls"]["circuits"]) == number
    assert number == (3 if tiles == "3" else 7)


@pytest.mark.slow
def test_counts_of_each_row_are_those_of_its_tile(digits, tmp_path):
    shots = 20_000
    plan = planned(digits, tmp_path, shots=shots)
    submit_run(plan.folder)
    jobs: list[CallJob] = []

    def noted(asked):
        jobs.extend(asked)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        CallChain(plan).walk(PlannedTarget(plan, noted))
    own, _ = read_all_circuits(plan)
    pubs = jobs[0].pubs(lambda number: own[number])
    stored = read_counts(counts_path(plan.folder, jobs[0].plan.name)).counts
    runner = NoisyRunner("fake_torino", seed=0)
    assert [len(each) for each in stored] == [3, 3, 1]
    for (circuit, values), counts in zip(pubs, stored, strict=True):
        wanted = runner.exact_probabilities(circuit, values)
        sigma = np.sqrt(wanted * (1 - wanted) / shots)
        assert (np.abs(counts / shots - wanted) < 5 * sigma + 1e-9).all()


@pytest.mark.slow
def test_stopped_after_every_job_it_ends_with_the_same_images(digits, tmp_path, monkeypatch):
    from qdm_qiskit.hardware.providers.local import LocalProvider

    whole = planned(digits, tmp_path / "whole", mitigation="m3")
    submit_run(whole.folder)
    monkeypatch.setattr(LocalProvider, "in_process", False)
    monkeypatch.setattr(LocalProvider, "status", lambda self, job_id: "done")
    parts = planned(digits, tmp_path / "parts", mitigation="m3")
    state, times = submit_run(parts.folder, detach=True), 1
    while state.state != "done":
        state, times = resume_run(tmp_path / "parts", parts.run_id, detach=True), times + 1
        assert times < 20
    assert times > 2
    np.testing.assert_array_equal(images_of(parts.folder), images_of(whole.folder))


@pytest.mark.slow
@pytest.mark.parametrize("mitigation", [pytest.param("none", marks=pytest.mark.slow), "m3"])
def test_calls_of_several_bases_have_tiles_of_their_own(
    readings, tmp_path, mitigation, monkeypatch
):
    plan = planned(readings, tmp_path, mitigation=mitigation, num_images=4, shots=200)
    assert len(plan.calls.tiles.circuits) == 2  # two circuits, each with tiles
    for job in plan.calls.jobs:
        bases = {len(call.circuits) for call in job.calls}
        assert bases == {3}
        assert [len(each) for each in job.together] == [2, 2, 2]
        assert job.circuits == 2 * 3
    submit_run(plan.folder)
    answers = []
    made = call_chain.call_result
    monkeypatch.setattr(
        call_chain, "call_result", lambda call, found: (answers.append(found), made(call, found))[1]
    )
    assert replay(plan.folder).equal
    monkeypatch.undo()
    # Two steps of two calls, each on two tiles, which are read out by matrices of their own.
    assert len(answers) == 2 * 2 * 2
    if mitigation == "m3":
        first, second = (np.array(each.readout.matrices) for each in answers[:2])
        assert np.abs(first - second).max() > 1e-3
    # As on one place, up to shot noise and the noise of other qubits.
    other = planned(
        readings, tmp_path / "alone", mitigation=mitigation, num_images=4, shots=200, tiles=None
    )
    submit_run(other.folder)
    assert np.abs(images_of(plan.folder) - images_of(other.folder)).mean() < 0.2


@pytest.mark.slow
def test_rows_beyond_a_jobs_limits_go_into_parts(digits, tmp_path, monkeypatch):
    from qdm_qiskit.hardware.plan import work

    whole = planned(digits, tmp_path / "whole")
    monkeypatch.setattr(work, "MAX_EXECUTIONS", 2 * 60)  # two rows on every tile
    plan = planned(digits, tmp_path)
    first = list(next(jobs for _, jobs in groupby(plan.calls.jobs, key=lambda each: each.step)))
    assert [job.circuits for job in first] == [2, 1]
    rows = [(c.first, c.rows) for job in first for c in job.calls]
    assert rows == [(0, 2), (2, 2), (4, 2), (6, 1)]
    assert [e for _, _, e in plan.parts()] == [120, 60] * 2
    submit_run(plan.folder)
    assert replay(plan.folder).equal
    monkeypatch.setattr(work, "MAX_EXECUTIONS", 59)
    with pytest.raises(InvalidOption, match=r"One row of call '.*' on each of 3 tiles takes 60"):
        planned(digits, tmp_path)
    assert whole.total_seconds < plan.total_seconds  # a job more a step costs its overhead


def test_too_many_jobs_are_refused_on_tiles_too(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(call_jobs, "MAX_RUN_JOBS", 1)
    with pytest.raises(InvalidOption, match=r"takes more than 1 jobs by step t=\d"):
        planned(digits, tmp_path)


def test_seconds_decide_the_shots_on_tiles_too(digits, tmp_path):
    plan = planned(digits, tmp_path, seconds=10.0)
    more = planned(digits, tmp_path / "alone", seconds=10.0, tiles=None)
    assert plan.total_seconds <= 10.0
    assert plan.steps[0].shots > 2 * more.steps[0].shots
    assert plan.calls.tiles.seconds_without > 10.0


def test_a_plan_without_tiles_is_written_as_before(readings, tmp_path):
    plan = planned(readings, tmp_path, tiles=None, num_images=1)
    content = json.loads((plan.folder / "plan.json").read_text())["content"]
    assert sorted(content["calls"]) == ["circuits", "jobs", "sampler"]
    assert read_plan(plan.folder) == plan


def _changed(plan: RunPlan, change) -> Path:
    """The plan with a changed content and its hash, by somebody who knows the format."""
    path = plan.folder / "plan.json"
    whole = json.loads(path.read_text())
    change(whole["content"])
    whole["content_sha256"] = content_sha256(whole["content"])
    whole["run_id"] = whole["run_id"][:-8] + whole["content_sha256"][:8]
    path.write_text(json.dumps(whole))
    return path


@pytest.mark.parametrize(
    ("where", "value", "text"),
    [
        ("qubits", [0, 1], "a tile has its own circuits"),
        ("gate_success", 1.5, "a success is 0 to 1"),
        ("circuits", [1], "every circuit is on one tile"),
    ],
)
def test_tiles_that_make_no_sense_are_refused(digits, tmp_path, where, value, text):
    plan = planned(digits, tmp_path)

    def change(content):
        content["calls"]["tiles"]["circuits"][0]["tiles"][0][where] = value

    with pytest.raises(InvalidPlan, match=text):
        read_plan(_changed(plan, change))


def test_two_tiles_on_one_qubit_are_refused(digits, tmp_path):
    plan = planned(digits, tmp_path)

    def change(content):
        tiles = content["calls"]["tiles"]["circuits"][0]["tiles"]
        tiles[0]["qubits"] = [*tiles[0]["qubits"], tiles[1]["qubits"][0]]

    with pytest.raises(InvalidPlan, match="tiles share no qubit"):
        read_plan(_changed(plan, change))


@pytest.mark.parametrize("target", ["engine", "aer"])
def test_targets_without_qubits_are_refused(digits, tmp_path, target):
    with pytest.raises(InvalidOption, match="no qubits to lay tiles on, got tiles=3"):
        planned(digits, tmp_path, target)


def test_what_the_chip_does_not_have_is_refused(digits, tmp_path):
    with pytest.raises(TargetUnavailable, match="no place for circuit"):
        planned(digits, tmp_path, tiles=">=0.999")
    with pytest.raises(InvalidOption, match="disjoint tiles of 3 qubits"):
        planned(digits, tmp_path, tiles="60", num_images=60)
    with pytest.raises(InvalidOption, match="tile_buffer belongs to tiles"):
        PlanConfig(tile_buffer=True)
    assert not list(tmp_path.glob("2*"))


def test_tiles_are_a_number_or_a_text():
    assert PlanConfig(tiles=4).tiles == "4"  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="tiles is 'auto'"):
        PlanConfig(tiles="most")
    with pytest.raises(InvalidOption, match="tiles"):
        PlanConfig(tiles=True)  # type: ignore[arg-type]
    assert not math.isnan(dataclasses.replace(PlanConfig(), tiles=">=0.7").tile_choice.floor)
