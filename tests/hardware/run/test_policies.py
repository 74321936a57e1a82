"""Policies of one's own that fail, answer nonsense or change; and the pages that list decisions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from qdm_qiskit.cli.main import main
from qdm_qiskit.errors import InvalidExtension, InvalidPlan, JobFailed, QdmError
from qdm_qiskit.evaluation import step_decisions
from qdm_qiskit.evaluation.hardware_run import hardware_report
from qdm_qiskit.hardware.ledger.decision_files import StepDecision, read_decisions
from qdm_qiskit.hardware.plan.routing import StepQuestion, Verdict
from qdm_qiskit.pages import render_page
from qdm_qiskit.reports.hardware_render import hardware_page, render_markdown
from qdm_qiskit.tasks import HardwareRun, plan
from qdm_qiskit.tasks.fleets import Fleet, plan_fleet
from tests.helpers import write_run

STEPS = 3


class Policy:
    """A policy that a function decides."""

    def __init__(self, decide: Callable[[StepQuestion], Any]) -> None:
        self._decide = decide

    def decide(self, question: StepQuestion) -> Any:
        return self._decide(question)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("trained") / "run", num_steps=STEPS)


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> HardwareRun:
    options = {"num_images": 2, "shots": 64, "routing": "given"}
    return HardwareRun(plan(trained, "engine", root=tmp_path / "root", **options).folder)


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def raises(error: Exception) -> Policy:
    def decide(question: StepQuestion) -> Verdict:
        raise error

    return Policy(decide)


class Other(Verdict):
    """A verdict that is not checked where it is made."""

    def __post_init__(self) -> None:
        return


async def later(question: StepQuestion) -> Verdict:
    return Verdict("device", "later")


NONSENSE: tuple[tuple[Any, str], ...] = (
    (raises(ValueError("two\nlines")), "ValueError: two lines"),
    (raises(KeyError()), "KeyError"),
    (raises(Mute()), "Mute: no message"),
    (raises(RecursionError("deep")), "RecursionError: deep"),
    (raises(JobFailed("as if the device had failed")), "JobFailed: as if the device"),
    (raises(ValueError("x" * 10_000)), "x" * 300),
    (Policy(lambda question: None), "answers with a Verdict, got NoneType"),
    (Policy(lambda question: "device"), "answers with a Verdict, got str"),
    (Policy(lambda question: Verdict("moon", "far")), "route is one of"),  # type: ignore[arg-type]
    (Policy(lambda question: Verdict("device", "two\nlines")), "reason is one line"),
    (Policy(lambda question: Other("moon", "far")), "route is one of"),  # type: ignore[arg-type]
    (Policy(lambda question: Other("device", 7)), "reason is one line"),  # type: ignore[arg-type]
    (Policy(lambda question: Verdict("hold", "early")), "less than two predictions"),
    (Policy(lambda question: setattr(question, "step", 0)), "FrozenInstanceError"),
    (Policy(lambda question, more: None), "TypeError"),  # type: ignore[arg-type]
)


def test_a_policy_that_fails_or_says_nonsense_ends_in_one_line_and_loses_nothing(run):
    for policy, says in NONSENSE:
        with pytest.raises(InvalidExtension) as caught:
            run.submit(yes=True, routing=policy)
        text = str(caught.value)
        assert says in text
        assert "\n" not in text
        assert len(text) < 700
        assert read_decisions(run.folder) == ()
        assert run.state.state == "running"
    run.resume(routing=Policy(lambda question: Verdict("exact", "again")))
    found = run.replay()
    assert found.equal
    assert [each.route for each in found.steps] == ["exact"] * STEPS


@pytest.mark.filterwarnings("ignore:coroutine")
def test_a_policy_that_answers_later_is_refused(run):
    with pytest.raises(InvalidExtension, match="got coroutine"):
        run.submit(yes=True, routing=Policy(later))


def test_a_policy_that_leaves_python_leaves_a_run_that_goes_on(run):
    with pytest.raises(SystemExit):
        run.submit(yes=True, routing=Policy(lambda question: exit_at(question, 2)))
    assert [each.step for each in read_decisions(run.folder)] == [3]
    run.resume(routing=Policy(lambda question: Verdict("device", "again")))
    assert [each.route for each in run.replay().steps] == ["exact", "device", "device"]
    assert run.replay().equal


def exit_at(question: StepQuestion, step: int) -> Verdict:
    if question.step == step:
        raise SystemExit(3)
    return Verdict("exact", "before")


def test_another_policy_on_resume_decides_only_what_is_not_decided(run):
    first = Policy(lambda q: Verdict("stop" if q.step == 1 else "exact", "first"))
    with pytest.raises(QdmError, match="lets neither the device nor this machine"):
        run.submit(yes=True, routing=first)
    asked: list[int] = []

    def second(question: StepQuestion) -> Verdict:
        asked.append(question.step)
        return Verdict("device", "second")

    run.resume(routing=Policy(second))
    assert asked == [1]
    assert [each.route for each in run.replay().steps] == ["exact", "exact", "device"]


def test_a_plan_whose_policy_was_changed_is_refused(run):
    path = run.folder / "plan.json"
    path.write_text(path.read_text().replace('"given"', '"limits"'))
    with pytest.raises(InvalidPlan) as caught:
        run.submit(yes=True)
    assert "\n" not in str(caught.value)


def test_what_cannot_decide_is_refused_before_anything_is_sent(run):
    for policy in (7, Policy, "limits", object()):
        with pytest.raises(QdmError) as caught:
            run.submit(yes=True, routing=policy)  # type: ignore[arg-type]
        assert "decide(question)" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not (run.folder / "decisions").exists()


# -- pages ------------------------------------------------------------------------------------------

REASON = "<script>alert(1)</script> | a bar"


def qdm(words: list[str]) -> None:
    """Run the command line, which leaves with code 0."""
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 0


def in_words(question: StepQuestion) -> Verdict:
    return Verdict("exact" if question.step == 2 else "device", REASON)


def test_each_decision_stands_in_report_page_and_status(run, capsys):
    run.submit(yes=True, routing=Policy(in_words))
    report, pictures = hardware_report(run.folder)
    rows = report.to_dict()["routing"]["decisions"]
    assert [(each["step"], each["route"]) for each in rows] == [
        (3, "device"), (2, "exact"), (1, "device"),
    ]  # fmt: skip
    assert [each["seconds_charged"] for each in rows] == [0.0] * STEPS  # the engine charges nothing
    seconds = {each.step: each.seconds for each in run.plan.steps}
    assert [each["seconds_estimated"] for each in rows] == [seconds[3], 0.0, seconds[1]]
    assert rows[1]["told"]["exact_allowed"] is True
    markdown = render_markdown(report.to_dict())
    page = render_page(hardware_page(report.to_dict(), pictures))
    assert "## Routing" in markdown
    assert REASON.replace("|", "\\|") in markdown
    assert "of 3 steps: the device 2, exact values of this machine 1" in markdown
    assert "Routing" in page
    assert "<script>alert(1)" not in page
    assert "alert(1)" in page
    qdm(["run", "status", str(run.folder)])
    told = capsys.readouterr().out
    assert "routing    who answers each step" in told
    assert [line.split()[:2] for line in told.splitlines() if REASON in line] == [
        ["3", "device"], ["2", "exact"], ["1", "device"],
    ]  # fmt: skip
    qdm(["run", "status", str(run.folder), "--json"])
    kept = json.loads(capsys.readouterr().out)["decisions"]
    assert [each["reason"] for each in kept] == [REASON] * STEPS


def test_a_run_that_this_machine_answered_alone_says_so(trained, tmp_path):
    options = {"num_images": 2, "shots": 64, "routing": "limits:seconds=0", "root": tmp_path}
    run = HardwareRun(plan(trained, "engine", **options).folder)
    run.submit(yes=True)
    text = render_markdown(hardware_report(run.folder)[0].to_dict())
    assert "The device answered no step" in text
    assert "seconds=0 keeps the device out" in text


@pytest.mark.slow  # a page of each group
def test_groups_list_the_decisions_of_each(trained, tmp_path, capsys):
    options = {"num_images": 3, "shots": 64, "routing": "given", "root": tmp_path}
    fleet = plan_fleet(trained, ["engine"], groups=3, **options)
    fleet.submit(yes=True, routing=Policy(in_words))
    assert {len(each) for each in fleet.decisions.values()} == {STEPS}
    qdm(["run", "status", str(fleet.folder)])
    told = capsys.readouterr().out
    assert [line.split(",")[0] for line in told.splitlines() if line.startswith("group ")] == [
        "group 1", "group 2", "group 3",
    ]  # fmt: skip
    qdm(["run", "status", str(fleet.folder), "--json"])
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [len(each["decisions"]) for each in runs] == [STEPS] * 3
    qdm(["run", "report", str(fleet.folder)])
    page = Fleet(fleet.folder).folder / "report"
    rows = json.loads((page / "report.json").read_text())["decisions"]
    assert [(each["group"], each["step"]) for each in rows] == [
        (group, step) for group in (1, 2, 3) for step in (3, 2, 1)
    ]
    assert REASON in (page / "report.md").read_text()


def test_charges_of_decisions_add_up_to_those_of_the_jobs_of_steps(monkeypatch):
    routes = [(2, "device"), (2, "device"), (2, "exact"), (1, "stop"), (1, "device")]
    decisions = [
        StepDecision(
            number=number, step=step, route=route, reason="as it comes", policy="limits",
            at="2026-11-30T00:00:00+00:00", failure=None, told='{"seconds": 3.5}',
        )
        for number, (step, route) in enumerate(routes, start=1)
    ]  # fmt: skip
    monkeypatch.setattr(step_decisions, "read_decisions", lambda folder: tuple(decisions))
    parts = {2: [("step-0002", 3.5, 1)], 1: [("a", 1.0, 1), ("b", 1.0, 1)]}
    fake: Any = SimpleNamespace(parts_of=parts.__getitem__)
    jobs: list[dict[str, Any]] = [
        {"part": "step-0002", "tag": "2-1", "seconds_charged": 1.0},
        {"part": "step-0002", "tag": "2-1", "seconds_charged": 0.5},  # its duplicate
        {"part": "step-0002", "tag": "2-2", "seconds_charged": 2.0},
        {"part": "step-0002", "tag": "2-3", "seconds_charged": 4.0},  # sent without a question
        {"part": "calibration-0001", "tag": "c", "seconds_charged": 9.0},
        {"part": "a", "tag": "a-1", "seconds_charged": 0.25},
        {"part": "b", "tag": "b-1", "seconds_charged": 0.75},
    ]
    found = step_decisions.routed_steps(fake, Path(), jobs)
    assert [each.seconds_charged for each in found] == [1.5, 6.0, 0.0, 0.0, 1.0]
    assert [each.seconds_estimated for each in found] == [3.5, 3.5, 0.0, 0.0, 3.5]
    jobs[-1]["seconds_charged"] = None
    assert step_decisions.routed_steps(fake, Path(), jobs)[-1].seconds_charged is None
    unknown = step_decisions.routed_steps(fake, Path(), None)
    assert {each.seconds_charged for each in unknown} == {None}


def test_runs_without_a_policy_have_no_decisions(trained, tmp_path, capsys):
    run = HardwareRun(plan(trained, "engine", num_images=2, shots=64, root=tmp_path).folder)
    run.submit(yes=True)
    assert run.decisions == ()
    assert "routing" not in hardware_report(run.folder)[0].to_dict()
    qdm(["run", "status", str(run.folder), "--json"])
    assert "decisions" not in json.loads(capsys.readouterr().out)
