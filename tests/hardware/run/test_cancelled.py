"""A cancelled run is called cancelled, wherever it is listed and until it is resumed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qdm_qiskit.errors import JobFailed, ServiceUnavailable
from qdm_qiskit.evaluation.hardware_run import hardware_report
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.ledger.schema import run_state_of
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.plan.run_plan import RunPlan
from qdm_qiskit.hardware.providers.context import RunContext
from qdm_qiskit.hardware.providers.jobs import RunJobs
from qdm_qiskit.hardware.providers.local import LocalProvider
from qdm_qiskit.hardware.run.commands import (
    cancel_run,
    collect_run,
    resume_run,
    run_state,
    submit_run,
)
from qdm_qiskit.hardware.run.manifest import manifest
from qdm_qiskit.reports.hardware_render import render_markdown
from tests.helpers import write_run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "r")


@pytest.fixture
def plan(trained: Path, tmp_path: Path) -> RunPlan:
    config = PlanConfig(targets=("engine",), num_images=2, shots=50)
    return make_plan(trained, config, root=tmp_path)


def stopped_after(plan: RunPlan, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run that many steps, then stop as on Ctrl-C."""
    run = LocalProvider.result

    def some(self: LocalProvider, job_id: str, request: object) -> list[np.ndarray]:
        if len(list((plan.folder / "steps").glob("*.npz"))) >= steps:
            raise KeyboardInterrupt
        return run(self, job_id, request)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(LocalProvider, "result", some)
        with pytest.raises(KeyboardInterrupt):
            submit_run(plan.folder)


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_cancelled_by_us_with_some_steps_done(plan, tmp_path, monkeypatch, steps):
    stopped_after(plan, steps, monkeypatch)
    state = cancel_run(tmp_path, plan.run_id)
    assert (state.state, state.step) == ("cancelled", 3 - steps)
    assert cancel_run(tmp_path, plan.run_id).state == "cancelled"
    assert collect_run(tmp_path, plan.run_id).state == "cancelled"
    assert "cancelled" in (run_state(tmp_path, plan.run_id).reason or "")
    assert resume_run(tmp_path, plan.run_id).state == "done"
    assert cancel_run(tmp_path, plan.run_id).state == "done"


def test_cancelled_before_it_was_sent(plan, tmp_path):
    ledger = Ledger.open(tmp_path)  # as `qdm run plan` enters it
    ledger.add_run(
        plan.run_id,
        plan_sha256=plan.content_sha256,
        budget=None,
        total_steps=plan.num_steps,
        seconds_estimated=plan.total_seconds,
    )
    ledger.close()
    assert cancel_run(tmp_path, plan.run_id).state == "cancelled"
    assert submit_run(plan.folder).state == "done"


def test_counts_that_are_fetched_leave_a_cancelled_run_cancelled(plan, tmp_path, monkeypatch):
    """As where jobs had run before they could be cancelled: one step more, and not all."""
    stopped_after(plan, 1, monkeypatch)
    cancel_run(tmp_path, plan.run_id)
    obtain, left = RunJobs.obtain, [1]

    def fetch(self: RunJobs, request: object) -> object:
        left[0] -= 1
        return obtain(self, request) if left[0] >= 0 else None  # type: ignore[arg-type]

    monkeypatch.setattr(RunJobs, "fetch", fetch)
    ledger = Ledger.open(tmp_path)
    ledger.reserve(None, plan.run_id, [(step.name, 0.0, 1) for step in plan.steps])
    ledger.close()
    state = collect_run(tmp_path, plan.run_id)
    assert (state.state, state.step) == ("cancelled", 1)
    assert "cancelled" in (state.reason or "")


def test_a_service_that_does_not_answer_leaves_it_cancelled(plan, tmp_path, monkeypatch):
    stopped_after(plan, 1, monkeypatch)
    cancel_run(tmp_path, plan.run_id)

    def silent(self: RunJobs, request: object) -> None:
        raise ServiceUnavailable("IBM Quantum does not answer.")

    monkeypatch.setattr(RunJobs, "fetch", silent)
    with pytest.raises(ServiceUnavailable):
        collect_run(tmp_path, plan.run_id)
    assert run_state(tmp_path, plan.run_id).state == "cancelled"


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_job_that_the_service_cancelled_is_no_failure(plan, tmp_path, monkeypatch, cancelled):
    def gone(self: RunJobs, request: object) -> None:
        raise JobFailed("step-0003 has no counts.", cancelled=cancelled)

    monkeypatch.setattr(RunJobs, "obtain", gone)
    with pytest.raises(JobFailed):
        submit_run(plan.folder)
    state = run_state(tmp_path, plan.run_id)
    assert state.state == ("cancelled" if cancelled else "failed")
    monkeypatch.undo()
    assert resume_run(tmp_path, plan.run_id).state == "done"


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_job_is_listed_as_it_ended(tmp_path, cancelled):
    ledger = Ledger.open(tmp_path)
    ledger.reserve(None, "r", [("step-0001", 1.0, 1)])
    names = {"tag": "t", "run_id": "r", "part": "step-0001", "payload_sha256": "0" * 64}
    place = {"backend": "b", "instance": "", "mode": "job", "session_id": None}
    ledger.intend(**names, **place, attempt=1)
    ledger.sent("t", "j", how="answered")
    ledger.job_failed("t", "why", cancelled=cancelled)
    word = "cancelled" if cancelled else "failed"
    assert [row["state"] for row in ledger.jobs("r")] == [word]
    assert [row["kind"] for row in ledger.events("r")][-1] == f"job-{word}"
    assert [each.part for each in ledger.unsettled("r")] == ["step-0001"]  # its cost is asked for
    ledger.close()


def test_record_and_page_say_it(plan, tmp_path, monkeypatch):
    stopped_after(plan, 1, monkeypatch)
    cancel_run(tmp_path, plan.run_id)
    ledger = Ledger.open_to_read(tmp_path)
    assert manifest(RunContext(plan=plan, ledger=ledger))["state"] == "cancelled"
    ledger.close()
    page, _ = hardware_report(plan.folder)
    assert page.cancelled
    assert "cancelled after 1 of 3 steps" in render_markdown(page.to_dict())
    resume_run(tmp_path, plan.run_id)
    page, _ = hardware_report(plan.folder)
    assert not page.cancelled
    assert json.loads((plan.folder / "manifest.json").read_text())["state"] == "done"


@pytest.mark.parametrize(
    ("state", "reason", "expected"),
    [
        ("failed", "cancelled before it was sent", "cancelled"),
        ("failed", "cancelled, 2 job(s) with it; x had run already", "cancelled"),
        ("failed", "step-0003 of run r has no counts: job j failed: cancelled, twice", "failed"),
        ("failed", None, "failed"),
        ("running", "cancelled, 1 job(s) with it", "running"),
    ],
)
def test_ledgers_of_earlier_versions_are_read(state, reason, expected):
    numbers = (
        "step",
        "total_steps",
        "jobs",
        "seconds_estimated",
        "charged",
        "created_at",
        "updated_at",
    )
    row = dict.fromkeys(("run_id", "budget", "plan_sha256", *numbers))
    assert run_state_of({**row, "state": state, "reason": reason}).state == expected
