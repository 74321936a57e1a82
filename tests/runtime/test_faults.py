"""Each fault of the network and the service, met by a whole run of ours.

A fault is survived, or it ends the run with one line that says what happened to the job. Either way
the server's ledger says how many jobs were created and paid, and the budget says the same.
"""

from __future__ import annotations

import errno
import os
import re
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import pytest
from packaging.version import Version

from qdm_qiskit.errors import BudgetExceeded, OutputNotWritable, QdmError
from qdm_qiskit.hardware.ibm.account import ServiceHandle
from qdm_qiskit.hardware.ledger.ledger import RunState
from qdm_qiskit.hardware.plan.run_plan import RunPlan
from qdm_qiskit.hardware.providers import jobs as run_jobs
from qdm_qiskit.hardware.run.commands import resume_run, run_state, submit_run
from tests.runtime.conftest import check_budget, make_settings
from tests.runtime.server import API_KEY, LocalServer

POST = {"method": "POST", "path": "^/jobs$"}
STATUS = {"method": "GET", "path": r"^/jobs/[^/?]+(\?.*)?$"}
RESULTS = {"method": "GET", "path": "/results$"}
LISTING = {"method": "GET", "path": r"^/jobs\?"}
METRICS = {"method": "GET", "path": "/metrics$"}
OPEN = {"method": "POST", "path": "^/sessions$"}
CLOSE = {"method": "PATCH", "path": "^/sessions/"}

CLIENT = Version(version("qiskit-ibm-runtime"))

Rule = dict[str, object]


def status(code: int, **more: object) -> Rule:
    return {"answer": "status", "code": code, **more}


@dataclass(frozen=True)
class Row:
    """One fault that a run survives."""

    name: str
    rules: tuple[Rule, ...]
    jobs: int = 1
    """Jobs that were created; one of them is used."""
    cancelled: int = 0
    """Duplicates that were cancelled while they waited."""


SURVIVED = (
    Row("GET 429 with Retry-After", (STATUS | status(429, headers={"Retry-After": "1"}),)),
    Row("GET 502 twice", (STATUS | status(502, times=2),)),
    Row("GET reset twice", (STATUS | {"answer": "reset", "times": 2},)),
    Row("GET 429 without Retry-After", (STATUS | status(429, times=2),)),
    Row("GET 500 six times", (STATUS | status(500, times=6),)),
    Row("status cut", (STATUS | {"answer": "cut"},)),
    Row("status reset within", (STATUS | {"answer": "reset_mid"},)),
    Row("status as a login page", (STATUS | {"answer": "html"},)),
    Row("status truncated", (STATUS | {"answer": "truncate"},)),
    Row("results cut", (RESULTS | {"answer": "cut"},)),
    Row("results reset within", (RESULTS | {"answer": "reset_mid"},)),
    Row("results truncated", (RESULTS | {"answer": "truncate", "times": 2},)),
    Row("results as a login page", (RESULTS | {"answer": "html"},)),
    Row("results not there yet", (RESULTS | {"answer": "empty", "times": 2},)),
    Row("results 503 six times", (RESULTS | status(503, times=6),)),
    Row("metrics 500 six times", (METRICS | status(500, times=6),)),
    Row("metrics truncated", (METRICS | {"answer": "truncate"},)),
    Row("POST 502 before", (POST | status(502, act=False),)),
    Row("POST 502 after", (POST | status(502, act=True),)),
    Row("POST repeated on the way, queued", (POST | {"twice": True},), jobs=2, cancelled=1),
    Row("POST repeated, answer lost", (POST | {"twice": True, "answer": "reset"},), 2, 1),
    Row("POST 503 three times", (POST | status(503, act=False, times=3),)),
    Row("POST 429", (POST | status(429, act=False, times=2),)),
    Row("POST reset before", (POST | {"answer": "reset", "act": False},)),
    Row("POST reset after", (POST | {"answer": "reset"},)),
    Row("POST reset within", (POST | {"answer": "reset_mid"},)),
    Row("POST answer cut", (POST | {"answer": "cut"},)),
    Row("POST answer truncated", (POST | {"answer": "truncate"},)),
    Row("POST as a login page, no job", (POST | {"answer": "html", "act": False},)),
    Row("POST as a login page, a job", (POST | {"answer": "html"},)),
    Row("POST 401", (POST | status(401, act=False),)),
    Row(
        "POST reset after, listing fails",
        (POST | {"answer": "reset"}, LISTING | status(500, times=6, skip=1)),
    ),
    Row("usage fails before the POST", ({"path": "/instances/usage", **status(500, times=12)},)),
    Row(
        "backends fail before the POST",
        ({"path": r"^/backends\?", "skip": 2, **status(500, times=6)},),
    ),
    Row(
        "token refused before the POST",
        ({"path": r"^/backends\?", "skip": 2, **status(401, act=False)},),
    ),
    Row("backends fail while connecting", ({"path": r"^/backends\?", **status(500, times=6)},)),
    Row("opening a batch 502 after", (OPEN | status(502, act=True),)),
    Row("opening a batch reset after", (OPEN | {"answer": "reset"},)),
    Row("opening a batch 503 six times", (OPEN | status(503, act=False, times=6),)),
    Row("closing the batch fails", (CLOSE | status(502, act=False),)),
    Row("closing the batch reset", (CLOSE | {"answer": "reset", "act": False},)),
)  # fmt: skip


@pytest.fixture
def run(planned: Callable[..., RunPlan]) -> Callable[..., RunState]:
    """`run(steps=1, ...)`: plan and submit; `run.said` has the report, `run.plan` the plan."""

    def go(**options: object) -> RunState:
        go.plan = planned(**options)  # type: ignore[attr-defined]
        return submit_run(go.plan.folder / "plan.json", progress=go.said.append)  # type: ignore[attr-defined]

    go.said = []  # type: ignore[attr-defined]
    return go


def paid(server: LocalServer) -> int:
    return sum(job["charged_seconds"] > 0 for job in server.ledger()["jobs"])


def one_line(error: BaseException) -> str:
    """The error's message; one line, no token in its traceback with all local variables."""
    text = str(error)
    assert "\n" not in text
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    trace = "".join(told.format(chain=True))
    assert "submit_run" in trace
    assert API_KEY not in trace
    assert not re.search(r"eyJ[A-Za-z0-9_-]{8,}", trace)
    return text


@pytest.mark.parametrize("row", SURVIVED, ids=lambda row: row.name)
def test_survived(server, root, run, naps, row):
    if row.name == "token refused before the POST" and Version("0.51") > CLIENT:
        pytest.skip("this client asks for no backends right before a POST")
    server.change(queue_seconds=0.3 if row.cancelled else 0.0)
    for rule in row.rules:
        server.fault(**rule)
    state = run()
    assert state.state == "done", state.reason
    jobs = server.ledger()["jobs"]
    assert len(jobs) == row.jobs
    assert sum(job["status"] == "Cancelled" for job in jobs) == row.cancelled
    assert paid(server) == 1
    check_budget(server, root)
    assert not [rule for rule in server.faults()["left"] if not rule["times"] > 1]


def test_a_post_repeated_on_the_way_whose_jobs_have_both_run_is_counted_twice(server, root, run):
    """Nothing can be cancelled any more; what was paid is in the budget, and the run says so."""
    server.fault(**POST, twice=True, delay_answer=1.0)
    state = run()
    assert state.state == "done"
    assert state.jobs == len(server.ledger()["jobs"]) == paid(server) == 2
    assert state.seconds_charged == pytest.approx(server.ledger()["charged_seconds"])
    check_budget(server, root)


def test_a_listing_that_lags_behind_a_lost_answer(server, root, run):
    make_settings(root, grace_seconds=3.0)
    server.change(listing_lag_seconds=0.5)  # longer than the looks, shorter than the grace
    server.fault(**POST, answer="reset")
    assert run().state == "done"
    assert len(server.ledger()["jobs"]) == 1
    check_budget(server, root)


def test_a_submission_without_an_answer_is_given_up_and_found_later(server, root, run):
    make_settings(root, submit_seconds=1.0)
    server.fault(**POST, delay_answer=3.0)  # the job is there, its answer is not
    assert run().state == "done"
    assert len(server.ledger()["jobs"]) == 1
    check_budget(server, root)


def test_a_silent_server_is_given_up_and_asked_again(server, root, run):
    make_settings(root, call_seconds=1.0)
    server.fault(**RESULTS, delay=5.0)
    began = time.monotonic()
    assert run().state == "done"
    assert time.monotonic() - began < 5.0
    check_budget(server, root)


# -- faults that end the run ------------------------------------------------------------------


@pytest.mark.parametrize("code", [413, 409, 400, 403])
def test_a_refused_submission_ends_with_no_job(server, root, run, naps, code):
    server.fault(**POST, **status(code, act=False, times=9))
    with pytest.raises(QdmError) as told:
        run()
    text = one_line(told.value)
    assert str(code) in text
    assert "no job" in text
    server.clear_faults()
    assert not server.ledger()["jobs"]
    assert resume_run(root, run.plan.run_id).state == "done"
    assert paid(server) == 1
    check_budget(server, root)


def test_a_service_that_stays_away_ends_the_run_and_resume_goes_on(server, root, run, naps):
    make_settings(root, retry_seconds=0.5, submit_attempts=2)
    server.fault(**POST, **status(503, act=False, times=100))
    with pytest.raises(QdmError) as told:
        run()
    assert "resume" in one_line(told.value)
    assert not server.ledger()["jobs"]
    server.clear_faults()
    assert resume_run(root, run.plan.run_id).state == "done"
    check_budget(server, root)


def test_results_that_never_come_leave_a_paid_job_and_resume_fetches_them(server, root, run, naps):
    make_settings(root, retry_seconds=0.5)
    server.fault(**RESULTS, answer="truncate", times=100)
    with pytest.raises(QdmError) as told:
        run()
    text = one_line(told.value)
    job = server.ledger()["jobs"][0]["id"]
    assert job in text
    server.clear_faults()
    assert resume_run(root, run.plan.run_id).state == "done"
    assert len(server.ledger()["jobs"]) == paid(server) == 1
    check_budget(server, root)


def test_nothing_is_asked_between_counts_and_their_file(server, root, run, monkeypatch):
    happened: list[str] = []
    once, write = ServiceHandle.once, run_jobs.write_counts

    def asked(self: ServiceHandle, what: str, *rest: object, **more: object) -> object:
        happened.append(what)
        return once(self, what, *rest, **more)  # type: ignore[arg-type]

    def written(*what: object) -> None:
        happened.append("saved")
        write(*what)  # type: ignore[arg-type]

    monkeypatch.setattr(ServiceHandle, "once", asked)
    monkeypatch.setattr(run_jobs, "write_counts", written)
    assert run().state == "done"
    assert happened[happened.index("saved") - 1].endswith("fetching its results")


@pytest.mark.parametrize("status", ["Queued", "Completed"])
def test_a_disk_that_is_full_while_a_job_is_out_loses_nothing(
    server, root, run, monkeypatch, status
):
    """Not even the job's id can be written down, or its counts cannot."""
    real = os.fsync

    def fsync(handle: int) -> None:
        jobs = server.ledger()["jobs"]
        if jobs and status in ("Queued", jobs[0]["status"]):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OutputNotWritable) as told:
        run()
    assert "No space left" in one_line(told.value)
    monkeypatch.setattr(os, "fsync", real)
    assert resume_run(root, run.plan.run_id).state == "done"
    assert len(server.ledger()["jobs"]) == paid(server) == 1
    check_budget(server, root)


def test_a_job_that_fails_at_no_cost_is_sent_anew(server, root, run):
    server.fault(job="Failed", reason="the fridge is warm", reason_code=1517)
    assert run().state == "done"
    assert [job["status"] for job in server.ledger()["jobs"]] == ["Failed", "Completed"]
    assert paid(server) == 1
    check_budget(server, root)


def test_a_job_that_fails_again_and_again_ends_the_run_with_its_reason(server, root, run):
    server.fault(job="Failed", reason="the fridge is warm", reason_code=1517, times=50)
    with pytest.raises(QdmError) as told:
        run()
    assert "the fridge is warm" in one_line(told.value)
    assert len(server.ledger()["jobs"]) <= 3
    assert paid(server) == 0
    check_budget(server, root)


def test_a_job_that_fails_and_costs_is_not_sent_anew_by_itself(server, root, run):
    server.fault(job="Failed", reason="half way", reason_code=1517, charge=True)
    with pytest.raises(QdmError) as told:
        run()
    assert "half way" in one_line(told.value)
    assert len(server.ledger()["jobs"]) == paid(server) == 1
    check_budget(server, root)


def test_a_job_that_ran_too_long_is_charged_and_ends_the_run(server, root, run):
    server.fault(job="Cancelled", reason="ran too long", reason_code=1305, charge=True)
    with pytest.raises(QdmError) as told:
        run()
    assert "1305" in one_line(told.value)
    assert len(server.ledger()["jobs"]) == 1
    check_budget(server, root)


def test_a_job_cancelled_by_someone_ends_the_run_and_resume_sends_it_anew(server, root, run):
    server.fault(job="Cancelled", reason="cancelled in the console", reason_code=0)
    with pytest.raises(QdmError) as told:
        run()
    assert "was cancelled (charged 0 s)" in one_line(told.value)
    assert run_state(root, run.plan.run_id).state == "cancelled"
    assert resume_run(root, run.plan.run_id).state == "done"
    assert paid(server) == 1
    check_budget(server, root)


def test_an_instance_without_enough_seconds_is_not_asked_for_a_job(server, root, run):
    server.change(limit_seconds=1.0)
    with pytest.raises(BudgetExceeded) as told:
        run()
    assert "1 QPU seconds left" in one_line(told.value)
    assert not server.ledger()["jobs"]
    check_budget(server, root)


# -- sessions and identity --------------------------------------------------------------------


def test_a_batch_closed_by_the_service_is_opened_again(server, root, run):
    """The queued job fails with 1217 at no cost; the next goes into a new batch."""
    server.fault(job="Failed", reason="the session has been closed", reason_code=1217)
    assert run().state == "done"
    assert paid(server) == 1
    check_budget(server, root)


def test_a_batch_that_takes_no_more_jobs_is_opened_again(server, root, run):
    body = '{"errors": [{"code": 1217, "message": "the session has been closed"}]}'
    server.fault(**POST, **status(400, act=False, body=body))
    assert run().state == "done"
    assert len(server.ledger()["sessions"]) == 2
    assert paid(server) == 1
    check_budget(server, root)


def test_tokens_revoked_in_the_middle(server, root, run):
    server.change(queue_seconds=0.3)
    server.fault(**STATUS, **status(401, act=False))
    server.fault(**RESULTS, **status(401, act=False))
    assert run().state == "done"
    assert paid(server) == 1
    check_budget(server, root)


@pytest.mark.slow
def test_tokens_that_expire_are_renewed(server, root, run):
    server.change(token_life_seconds=11, queue_seconds=2.5)  # renewed 10 s before the end
    assert run().state == "done"
    assert server.ledger()["requests"]["POST /iam/identity/token"] >= 3
    assert len(server.ledger()["jobs"]) == 1
    check_budget(server, root)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Unable to retrieve IBM Cloud access token")
def test_a_renewal_that_fails_makes_a_new_service_and_no_stall(server, root, planned):
    """IBM's client would wait 60 s before it asks again for a token."""
    server.change(token_life_seconds=11, queue_seconds=4.0)  # renewed 10 s before the end
    plan, told = planned(), []

    def tell(message: object) -> None:
        told.append(str(message))
        if len(told) == 1:  # while the job waits, however long it took to come there
            server.fault(path="/identity/token", **status(500, times=2))

    began = time.monotonic()
    assert submit_run(plan.folder, progress=tell).state == "done"
    assert time.monotonic() - began < 40.0
    assert told[0].endswith("waiting in the queue")
    assert not server.faults()["left"]
    assert paid(server) == 1
    check_budget(server, root)


@pytest.mark.slow
def test_a_batch_whose_time_is_over_is_opened_again(server, root, run):
    make_settings(root, session_max_seconds=1)
    server.change(queue_seconds=0.8)
    assert run(steps=3).state == "done"
    sessions = server.ledger()["sessions"]
    assert len(sessions) > 1
    assert not any(each["accepting_jobs"] for each in sessions)
    assert paid(server) == 3
    check_budget(server, root)


def test_a_server_that_is_killed_and_comes_back(server, root, run):
    server.change(queue_seconds=1.0)

    def restart() -> None:
        time.sleep(1.2)
        server.kill()
        server.start()

    thread = threading.Thread(target=restart)
    thread.start()
    make_settings(root, retry_seconds=60.0)
    try:
        assert run(steps=2).state == "done"
    finally:
        thread.join()
    assert len(server.ledger()["jobs"]) == paid(server) == 2
    check_budget(server, root)


@pytest.mark.parametrize(
    ("path", "key"),
    [("^$", "a wrong key"), ("/identity/token", None), ("/resources/search", None)],
    ids=["wrong key", "IAM fails", "search fails"],
)
def test_an_account_that_cannot_be_used(server, root, planned, monkeypatch, path, key):
    plan = planned()
    make_settings(root, retry_seconds=0.3)
    if key is not None:
        monkeypatch.setenv("QISKIT_IBM_TOKEN", key)
    server.fault(path=path, **status(500, times=50))
    with pytest.raises(QdmError) as told:
        submit_run(plan.folder / "plan.json")
    assert key is None or key not in str(told.value)
    assert one_line(told.value)
    assert not server.ledger()["jobs"]


def test_no_account_at_all(server, root, planned, monkeypatch, tmp_path):
    plan = planned()
    for name in ("QISKIT_IBM_TOKEN", "QISKIT_IBM_INSTANCE", "QISKIT_IBM_CHANNEL", "QISKIT_IBM_URL"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(QdmError):
        submit_run(plan.folder / "plan.json")
    assert not server.ledger()["jobs"]


@pytest.mark.filterwarnings("ignore:The backend ibm_nairobi currently has a status of paused")
def test_a_paused_backend_is_waited_for(server, root, run):
    server.change(paused=["ibm_nairobi"])
    timer = threading.Timer(1.0, lambda: server.change(paused=[]))
    timer.start()
    assert run().state == "done"
    timer.join()
    assert paid(server) == 1
    check_budget(server, root)
