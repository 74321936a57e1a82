"""Readout calibrations that come back too old, fail, are cancelled, or belong to an old plan."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from qdm_qiskit.canonical_json import content_sha256
from qdm_qiskit.errors import BudgetExceeded, CalibrationMismatch
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.plan.plan_file import read_plan
from qdm_qiskit.hardware.plan.run_plan import RunPlan
from qdm_qiskit.hardware.providers.collector import Collector
from qdm_qiskit.hardware.run.commands import (
    cancel_run,
    collect_run,
    resume_run,
    run_state,
    submit_run,
)
from tests.runtime.conftest import check_budget
from tests.runtime.server import LocalServer

pytestmark = pytest.mark.slow  # seconds each: whole runs on the server

Planned = Callable[..., RunPlan]


class Clocks:
    """The ledger's clock and the service's, each ahead of this machine's by some seconds."""

    def __init__(self) -> None:
        self.ledger = 0.0
        self.service = 0.0
        self.queue = 0.0
        """By so much both go ahead while a job is waited for."""


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    found = Clocks()
    ending, times = Collector.ending, Collector.times

    def waited(self, job_id, say):
        found.ledger += found.queue
        found.service += found.queue
        return ending(self, job_id, say)

    def finished(self, job_id):
        at = times(self, job_id)
        assert at.finished is not None
        return replace(at, finished=at.finished + found.service)

    monkeypatch.setattr(Ledger, "now", lambda self: time.time() + found.ledger)
    monkeypatch.setattr(Collector, "ending", waited)
    monkeypatch.setattr(Collector, "times", finished)
    return found


def parts(server: LocalServer, plan: RunPlan) -> list[str]:
    """``calibration-0001`` ...: what the service was sent for a run, in order."""
    tags = [tag for job in server.ledger()["jobs"] for tag in job["tags"] if plan.run_id in tag]
    return ["-".join(tag.removeprefix(f"qdm-{plan.run_id}-").split("-")[:2]) for tag in tags]


def jobs_of(server: LocalServer, plan: RunPlan, number: int) -> None:
    """Wait until the service has run so many jobs of a run."""
    end = time.monotonic() + 20.0
    while True:
        jobs = [j for j in server.ledger()["jobs"] if any(plan.run_id in t for t in j["tags"])]
        assert len(jobs) <= number
        if len(jobs) == number and all(j["status"] == "Completed" for j in jobs):
            return
        assert time.monotonic() < end, jobs
        time.sleep(0.02)


def sent_and_too_old(server: LocalServer, planned: Planned, clocks: Clocks) -> RunPlan:
    """A run whose calibration was sent, ran, and has waited beyond its time to live."""
    plan = planned(mode="job", mitigation="m3")
    assert plan.calibration is not None
    submit_run(plan.folder, detach=True)
    jobs_of(server, plan, 1)
    clocks.ledger += plan.calibration.ttl_seconds + 60
    clocks.service = 0.0
    return plan


def test_a_calibration_that_waited_too_long_is_renewed_by_the_same_command(
    server, root, planned, clocks, monkeypatch
):
    plan = sent_and_too_old(server, planned, clocks)
    said: list[str] = []
    obtain = Collector.counts

    def counts(self, *args, **kwargs):
        clocks.service = clocks.ledger  # what is run from now on is of now
        return obtain(self, *args, **kwargs)

    monkeypatch.setattr(Collector, "counts", counts)
    assert resume_run(root, plan.run_id, progress=said.append).state == "done"
    assert parts(server, plan) == ["calibration-0001", "calibration-0002", "step-0001"]
    assert sum("too old" in text for text in said) == 1
    check_budget(server, root)


def test_a_detached_run_sends_another_calibration_and_does_not_fail(server, root, planned, clocks):
    plan = sent_and_too_old(server, planned, clocks)
    said: list[str] = []
    # Without sending, nothing can be done about it, and nothing has failed.
    assert collect_run(root, plan.run_id, progress=said.append).state == "running"
    assert any("--calibration-hours" in text for text in said)
    assert parts(server, plan) == ["calibration-0001"]
    assert resume_run(root, plan.run_id, detach=True).state == "running"
    assert run_state(root, plan.run_id).reason is None
    assert parts(server, plan) == ["calibration-0001", "calibration-0002"]
    clocks.service = clocks.ledger
    jobs_of(server, plan, 2)
    assert resume_run(root, plan.run_id).state == "done"
    assert parts(server, plan) == ["calibration-0001", "calibration-0002", "step-0001"]
    check_budget(server, root)


def test_a_step_that_ran_yesterday_needs_no_calibration_of_today(server, root, planned, clocks):
    """Its own was fresh when it ran; another one was taken before its counts were looked at."""
    plan = planned(mode="job", mitigation="m3")
    assert plan.calibration is not None
    submit_run(plan.folder, detach=True)
    jobs_of(server, plan, 1)
    assert resume_run(root, plan.run_id, detach=True).state == "running"
    jobs_of(server, plan, 2)
    clocks.ledger = plan.calibration.ttl_seconds + 60.0
    assert resume_run(root, plan.run_id).state == "done"
    assert parts(server, plan) == ["calibration-0001", "step-0001"]
    check_budget(server, root)


def test_a_renewed_calibration_is_paid_within_the_budget(server, root, planned, clocks):
    plan = sent_and_too_old(server, planned, clocks)
    ledger = Ledger.open(root)
    ledger.set_budget("qpu", seconds=plan.total_seconds + 1.0)
    ledger.close()
    with pytest.raises(BudgetExceeded):
        resume_run(root, plan.run_id)
    assert parts(server, plan) == ["calibration-0001"]
    assert run_state(root, plan.run_id).state == "running"


def test_one_that_is_too_old_again_ends_the_command_and_says_what_to_do(
    server, root, planned, clocks
):
    plan = sent_and_too_old(server, planned, clocks)
    with pytest.raises(CalibrationMismatch, match=r"new readout.*--calibration-hours") as told:
        resume_run(root, plan.run_id)  # the service's clock stays behind: each comes back old
    assert "\n" not in str(told.value)
    assert parts(server, plan) == ["calibration-0001", "calibration-0002"]


def test_a_queue_longer_than_the_time_to_live_delays_a_step_and_does_not_fail_it(
    server, root, planned, clocks, monkeypatch
):
    plan = planned(mode="job", mitigation="m3")
    assert plan.calibration is not None
    ending = Collector.ending

    def once(self, job_id, say):
        clocks.queue = 0.0 if clocks.ledger else 2.0 * plan.calibration.ttl_seconds
        return ending(self, job_id, say)

    monkeypatch.setattr(Collector, "ending", once)
    assert submit_run(plan.folder).state == "done"
    assert parts(server, plan) == ["calibration-0001", "step-0001"]
    check_budget(server, root)


def test_a_queue_that_is_always_longer_ends_after_one_renewed_calibration(
    server, root, planned, clocks
):
    plan = planned(mode="job", mitigation="m3")
    assert plan.calibration is not None
    clocks.queue = 2.0 * plan.calibration.ttl_seconds
    with pytest.raises(CalibrationMismatch, match="--calibration-hours"):
        submit_run(plan.folder)
    assert parts(server, plan) == ["calibration-0001", "step-0001", "calibration-0002"]


def test_a_calibration_sent_for_old_counts_is_fetched_before_they_are_given_up(
    server, root, planned, clocks
):
    plan = sent_and_too_old(server, planned, clocks)
    clocks.ledger = 0.0
    resume_run(root, plan.run_id, detach=True)
    jobs_of(server, plan, 2)
    assert plan.calibration is not None
    ttl = plan.calibration.ttl_seconds
    clocks.ledger = clocks.service = ttl + 60.0  # the step, and a calibration sent for it
    resume_run(root, plan.run_id, detach=True)
    jobs_of(server, plan, 3)
    clocks.ledger = 3.0 * ttl
    assert resume_run(root, plan.run_id).state == "done"
    assert parts(server, plan) == ["calibration-0001", "step-0001", "calibration-0002"]
    check_budget(server, root)


@pytest.mark.parametrize("detach", [False, True])
def test_a_cancelled_calibration_does_not_keep_a_run_from_using_another(
    server, root, planned, detach
):
    one, two = planned(mode="job", mitigation="m3"), planned(mode="job", mitigation="m3", seed=5)
    server.change(queue_seconds=60.0)
    submit_run(two.folder, detach=True)
    cancel_run(root, two.run_id)
    server.change(queue_seconds=0.0)
    assert submit_run(one.folder).state == "done"
    said: list[str] = []
    resume_run(root, two.run_id, detach=detach, progress=said.append)
    if detach:
        assert parts(server, two) == ["calibration-0001", "step-0001"]
    assert resume_run(root, two.run_id).state == "done"
    assert any("used again" in text for text in said)
    jobs = [job for job in server.ledger()["jobs"] if any(two.run_id in t for t in job["tags"])]
    assert parts(server, two) == ["calibration-0001", "step-0001"]
    assert [job["status"] for job in jobs] == ["Cancelled", "Completed"]
    assert jobs[0]["charged_seconds"] == 0
    check_budget(server, root)


def test_a_job_of_a_plan_without_a_later_key_is_collected(server, root, planned):
    new = planned(mode="job", mitigation="m3")
    whole = json.loads((new.folder / "plan.json").read_text())
    del whole["content"]["calibration"]["found"]
    whole["content_sha256"] = content_sha256(whole["content"])
    whole["run_id"] = f"{new.date}-{new.model}-{whole['content_sha256'][:8]}"
    (new.folder / "plan.json").write_text(json.dumps(whole))
    plan = read_plan(new.folder.rename(root / whole["run_id"]))
    assert plan.run_id == whole["run_id"]
    submit_run(plan.folder, detach=True)
    jobs_of(server, plan, 1)
    collect_run(root, plan.run_id)
    assert (plan.folder / "calibration-0001.json").exists()
    assert resume_run(root, plan.run_id).state == "done"
    assert parts(server, plan) == ["calibration-0001", "step-0001"]
    check_budget(server, root)
