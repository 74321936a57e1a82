"""The time of a hardware run from its journal: journals whose answers are known."""

from __future__ import annotations

import pytest

from qdm_qiskit.errors import InvalidData
from qdm_qiskit.evaluation.journal_times import run_times
from qdm_qiskit.hardware.ledger.run_files import iso


def event(at: float, kind: str, part: str | None = None, **detail: object) -> dict[str, object]:
    return {"at": iso(1000.0 + at), "kind": kind, "part": part, **detail}


def job(part: str, sent: float, back: float, **detail: object) -> list[dict[str, object]]:
    return [
        event(sent - 0.5, "intended", part, tag=part),
        event(sent, "sending", part, tag=part),
        event(sent + 0.25, "submitted", part, tag=part),
        event(back, "collected", part, tag=part, **detail),
    ]


def service(created: float, started: float, finished: float) -> dict[str, dict[str, float]]:
    """Times by a clock that is an hour ahead."""
    ahead = {"created": created, "started": started, "finished": finished}
    return {"service": {name: 4600.0 + at for name, at in ahead.items()}}


ONE = [
    event(0, "planned"),
    event(100, "reserved"),
    event(101, "run-running", reason=None),
    *job("step-0002", 104, 134, **service(105, 120, 130)),
    event(135, "settled", "step-0002"),
    event(136, "run-running", reason=None, step=1),
    *job("step-0001", 138, 148, **service(139, 140, 147)),
    event(149, "run-running", reason=None, step=0),
    event(151, "run-done", reason=None, step=0),
    event(500, "settled", "step-0001"),
]


def test_queue_run_and_the_rest_are_told_apart():
    found = run_times(ONE, in_process=False)
    first, second = found.jobs
    assert (first.part, first.turnaround, first.queue, first.run) == ("step-0002", 30, 15, 10)
    assert first.communication == 30 - 15 - 10
    assert (second.queue, second.run, second.communication) == (1, 7, 2)
    assert (found.sum_of("queue"), found.sum_of("run")) == (16, 17)


def test_parts_of_the_time_add_up_to_all_of_it():
    found = run_times(ONE, in_process=False)
    assert found.total == 51  # from 100, where work begins, to 151; what settles later is no work
    assert found.in_jobs == 30 + 10
    assert found.away == 1  # until the run began, at 101
    assert found.preparing == (104 - 101) + (138 - 136)
    assert found.post_processing == (136 - 134) + (151 - 148)
    parts = found.in_jobs + found.preparing + found.post_processing + found.away
    assert parts == pytest.approx(found.total)


@pytest.mark.parametrize("kind", ["interrupted", "run-failed", "killed"])
def test_time_in_which_nobody_is_at_work_is_none_of_it(kind):
    stop = [] if kind == "killed" else [event(135, kind, reason="gone")]
    journal = [*ONE[:7], *stop, event(1000, "run-running", reason=None)]
    found = run_times(journal, in_process=False)
    # Of a process that was killed nothing says when: all since its last event is away.
    assert found.away == pytest.approx(1 + 1000 - (134 if kind == "killed" else 135))
    assert found.total == pytest.approx(900)


def test_jobs_that_are_out_at_once_count_once_in_the_whole():
    journal = [
        event(0, "run-running"),
        *job("step-0001-01", 1, 20)[:3],
        *job("step-0001-02", 2, 31)[:3],
        event(20, "collected", "step-0001-01", tag="step-0001-01"),
        event(31, "collected", "step-0001-02", tag="step-0001-02"),
        event(32, "run-done"),
    ]
    found = run_times(journal, in_process=False)
    assert found.in_jobs == 31 - 1
    assert found.sum_of("turnaround") == (20 - 1) + (31 - 2)


def test_a_provider_that_says_nothing_leaves_the_split_open():
    found = run_times([event(0, "run-running"), *job("step-0001", 1, 5)], in_process=False)
    assert [(e.queue, e.run, e.communication) for e in found.jobs] == [(None, None, None)]
    assert found.sum_of("run") is None
    assert found.jobs[0].turnaround == 4


def test_a_job_of_this_process_waits_for_none():
    journal = [event(0, "run-running"), *job("step-0001", 1, 5, fetched_in=3.5)]
    [found] = run_times(journal, in_process=True).jobs
    assert (found.queue, found.run, found.communication) == (0.0, 3.5, 0.5)


def test_a_job_that_failed_has_no_time_and_was_out_all_the_same():
    journal = [
        event(0, "run-running"),
        *job("step-0001", 1, 5)[:3],
        event(5, "job-failed", "step-0001", tag="step-0001", reason="broken"),
        event(6, "reserved"),
        event(7, "intended", "step-0001", tag="again"),
    ]
    found = run_times(journal, in_process=False)
    assert (found.jobs, found.in_jobs) == ((), 4)
    assert (found.post_processing, found.preparing) == (1, 1 + 1)


def test_a_clock_that_was_put_back_takes_no_time_away():
    journal = [event(0, "run-running"), event(50, "intended", tag="a"), event(20, "run-done")]
    assert run_times(journal, in_process=True).total == 50


def test_nothing_done_is_none_and_no_journal_is_refused():
    assert run_times([event(0, "planned")], in_process=True) is None
    assert run_times([], in_process=True) is None
    for bad in ({"kind": "planned"}, {"at": "yesterday", "kind": "planned"}, {"at": iso(1.0)}):
        with pytest.raises(InvalidData, match="no time or no kind"):
            run_times([bad], in_process=True)
