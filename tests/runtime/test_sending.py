"""When "sending" is written down: at the last moment before the POST, seen from the server."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from qdm_qiskit.errors import OutputNotWritable, ServiceUnavailable
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.run.commands import resume_run, submit_run
from tests.runtime.conftest import make_settings

USAGE = {"method": "GET", "path": "/instances/usage"}
GRACE = 25.0
"""Longer than all else in these tests."""


def kinds(root, run_id: str) -> list[str]:
    ledger = Ledger.open(root)
    found = [str(row["kind"]) for row in ledger.events(run_id)]
    ledger.close()
    return found


def test_it_is_written_down_when_only_the_post_remains(server, root, planned, monkeypatch):
    plan = planned()
    seen: list[Counter[str]] = []
    sending = Ledger.sending

    def look(self: Ledger, *what: object) -> None:
        seen.append(Counter(server.ledger()["requests"]))
        sending(self, *what)  # type: ignore[arg-type]

    monkeypatch.setattr(Ledger, "sending", look)
    assert submit_run(plan.folder / "plan.json").state == "done"
    [then] = seen
    end = Counter(server.ledger()["requests"])
    assert (then["POST /jobs"], end["POST /jobs"]) == (0, 1)
    for question in ("GET /instances/usage", "GET /backends/{name}/status", "POST /sessions"):
        assert then[question] == end[question] > 0, question


def test_a_ledger_that_cannot_be_written_holds_the_job_back(server, root, planned, monkeypatch):
    plan = planned()

    def full(*_: object) -> None:
        raise OutputNotWritable("Cannot write ledger.sqlite.log: No space left on device.")

    monkeypatch.setattr(Ledger, "sending", full)
    with pytest.raises(OutputNotWritable):
        submit_run(plan.folder / "plan.json")
    monkeypatch.undo()
    time.sleep(0.3)
    assert not server.ledger()["jobs"]
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    assert resume_run(root, plan.run_id).state == "done"
    assert len(server.ledger()["jobs"]) == 1


def test_a_silent_service_before_the_post_gets_no_job_later(server, root, planned):
    """The call is given up; when the answer comes, its thread holds the job back."""
    plan = planned(mode="job")
    make_settings(root, submit_seconds=1.0, grace_seconds=GRACE)
    server.fault(**USAGE, skip=1, delay=2.0)  # the first is our own question
    began = time.monotonic()
    with pytest.raises(ServiceUnavailable, match="no job was created"):
        submit_run(plan.folder / "plan.json")
    assert time.monotonic() - began < GRACE
    time.sleep(2.5)
    assert not server.ledger()["jobs"]
    assert "sending" not in kinds(root, plan.run_id)
    began = time.monotonic()
    assert resume_run(root, plan.run_id).state == "done"
    assert time.monotonic() - began < GRACE
    assert len(server.ledger()["jobs"]) == 1


@pytest.mark.parametrize(
    "body", ['{"id": null, "backend": null}', '{"id": "x", "backend": "ibm_other"}', "[]"]
)
def test_an_answer_that_makes_no_sense_is_no_refusal(server, root, planned, body):
    """The job was created all the same; it is found by its tag, and paid once."""
    plan = planned(mode="job")
    make_settings(root, grace_seconds=6.0)
    server.change(listing_lag_seconds=1.0)
    server.fault(method="POST", path="/jobs$", answer="status", code=200, body=body)
    assert submit_run(plan.folder / "plan.json").state == "done"
    jobs = server.ledger()["jobs"]
    assert len(jobs) == 1
    ledger = Ledger.open(root)
    spent = ledger.budget("qpu").spent_seconds
    ledger.close()
    assert spent == pytest.approx(jobs[0]["charged_seconds"])
