"""Cancelling a run one of whose sendings had no answer: nothing of it is passed over in silence."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from qdm_qiskit.errors import SubmissionUncertain
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.plan.run_plan import RunPlan
from qdm_qiskit.hardware.run.commands import cancel_run, collect_run, run_state, submit_run
from tests.helpers import QDM
from tests.runtime.conftest import make_settings
from tests.runtime.server import LocalServer

pytestmark = pytest.mark.slow  # seconds each: whole runs on the server

GRACE = 20.0
"""Longer than any of these tests may take."""
LISTS = {"method": "GET", "path": r"^/jobs\?"}


@pytest.fixture
def doubtful(server: LocalServer, root: Path, planned: Callable[..., RunPlan]):
    """`doubtful(lag, act)`: a run whose one POST had no answer, its job not in the list yet."""

    def make(*, lag: float = 0.0, act: bool = True) -> RunPlan:
        plan = planned(mode="job")
        make_settings(root, grace_seconds=0.1, submit_seconds=0.7)
        server.change(listing_lag_seconds=lag)
        server.fault(method="POST", path="/jobs$", act=act, delay_answer=1.5, answer="reset")
        with pytest.raises(SubmissionUncertain):
            submit_run(plan.folder / "plan.json")
        make_settings(root, grace_seconds=GRACE)
        return plan

    return make


def budget(root: Path) -> tuple[float, float]:
    ledger = Ledger.open(root)
    found = ledger.budget("qpu")
    ledger.close()
    return found.spent_seconds, found.reserved_seconds


def test_a_job_that_is_listed_late_is_waited_for_and_cancelled(server, root, doubtful):
    server.change(queue_seconds=60.0)
    plan = doubtful(lag=3.0)
    said: list[str] = []
    state = cancel_run(root, plan.run_id, progress=said.append)
    assert (state.state, state.reason) == ("cancelled", "cancelled, 1 job(s) with it")
    assert [job["status"] for job in server.ledger()["jobs"]] == ["Cancelled"]
    assert any("looking for its job" in text for text in said)
    assert budget(root) == (0.0, 0.0)


def test_a_job_that_has_run_by_then_is_named_and_can_be_collected(server, root, doubtful):
    plan = doubtful(lag=3.0)
    state = cancel_run(root, plan.run_id)
    [job] = server.ledger()["jobs"]
    assert job["status"] == "Completed"
    assert state.state == "cancelled"
    assert job["id"] in (state.reason or "")
    assert f"qdm run collect {plan.run_id}" in (state.reason or "")
    assert budget(root)[1] > 0  # its cost is not known to the ledger yet
    assert collect_run(root, plan.run_id).state == "done"
    assert budget(root) == (pytest.approx(server.ledger()["charged_seconds"]), 0.0)


def test_where_the_service_does_not_answer_the_run_is_not_called_cancelled(server, root, doubtful):
    server.change(queue_seconds=60.0)
    plan = doubtful(lag=2.0)
    make_settings(root, grace_seconds=GRACE, retry_seconds=0.3)
    server.fault(**LISTS, answer="status", code=501, times=1000)  # the client retries a 503
    [tag] = server.ledger()["by_tag"]
    told = subprocess.run(
        [QDM, "run", "cancel", plan.run_id, "--root", str(root)], capture_output=True, text=True
    )
    assert told.returncode not in (0, 1), told.stderr  # an error of its own, not a crash
    state = run_state(root, plan.run_id)
    assert state.state == "running"
    for text in (told.stderr, state.reason or ""):
        assert tag in text
        assert f"qdm run cancel {plan.run_id}" in text
    assert budget(root)[1] > 0
    server.clear_faults()
    state = cancel_run(root, plan.run_id)
    assert (state.state, state.reason) == ("cancelled", "cancelled, 1 job(s) with it")
    assert [job["status"] for job in server.ledger()["jobs"]] == ["Cancelled"]
    assert budget(root) == (0.0, 0.0)


def test_a_sending_that_created_nothing_is_given_up_after_the_grace(server, root, doubtful):
    plan = doubtful(act=False)
    make_settings(root, grace_seconds=1.5)
    said: list[str] = []
    state = cancel_run(root, plan.run_id, progress=said.append)
    assert (state.state, state.reason) == ("cancelled", "cancelled, 0 job(s) with it")
    assert any("none was created" in text for text in said)
    assert not server.ledger()["jobs"]
    assert budget(root) == (0.0, 0.0)
