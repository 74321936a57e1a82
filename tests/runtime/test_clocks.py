"""A wall clock that jumps by an hour or a day, and a service that accepts late: paid once, no silence.

The clock of the process is moved, all of it, IBM's client included. The server's stays.
"""

# ruff: noqa: F811 (a fixture of another file is an argument here)

from __future__ import annotations

import random
import shutil
import signal
import time
from itertools import pairwise

import pytest

from qdm_qiskit.hardware.ibm.post_guard import ServiceClock
from qdm_qiskit.hardware.ledger import clocks
from qdm_qiskit.hardware.ledger.ledger import Ledger
from tests.runtime.conftest import make_settings
from tests.runtime.test_kills import (
    check_same,
    forge,  # noqa: F401 (a fixture)
    fresh,
    moments,
    next_call,
    undisturbed,  # noqa: F401 (a fixture)
)

HOUR, DAY = 3600.0, 86_400.0
JUMPS = (HOUR, -HOUR, DAY, -DAY)
LONGEST_SILENCE = 10.0


@pytest.mark.parametrize(
    "ahead", [HOUR, *(pytest.param(each, marks=pytest.mark.slow) for each in JUMPS[1:])]
)
def test_a_job_accepted_late_is_found_by_a_process_whose_clock_is_wrong(
    server, forge, undisturbed, tmp_path, ahead
):
    """0.1 took the hour for the grace time, sent the job again, and paid it twice."""
    root = fresh(server, tmp_path, undisturbed, "late")
    make_settings(root, grace_seconds=15.0)
    server.fault(method="POST", path="^/jobs$", delay=6.0)
    pid, _ = forge.start("submit", root, undisturbed.run)
    end = time.monotonic() + 30.0
    while not server.faults()["used"]:
        assert time.monotonic() < end
        time.sleep(0.02)
    forge.kill(pid)
    assert forge.wait(pid) == -signal.SIGKILL
    answer = forge.finish("resume", root, undisturbed.run, ahead=ahead)
    assert answer["state"]["state"] == "done"
    assert [each for each in answer["said"] if "the clock of this machine is" in each]
    check_same(server, root, undisturbed)


def test_a_clock_that_was_a_day_ahead_while_sending_is_not_waited_for(
    server, forge, undisturbed, tmp_path
):
    """0.1 waited for that day, and said nothing."""
    root = fresh(server, tmp_path, undisturbed, "ahead")
    make_settings(root, grace_seconds=2.0)
    number = moments(undisturbed, "sending")[0]
    pid, _ = forge.start("submit", root, undisturbed.run, kill=[number, "after"], ahead=DAY)
    assert forge.wait(pid) == -signal.SIGKILL
    answer = forge.finish("resume", root, undisturbed.run)
    assert answer["state"]["state"] == "done"
    times = [0.0, *answer["times"]]
    assert max(b - a for a, b in pairwise(times)) < LONGEST_SILENCE
    check_same(server, root, undisturbed)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_clock_that_jumps_at_recorded_points(server, forge, undisturbed, tmp_path):
    """Jumps take turns; half of the processes are killed there, and the next has a right clock."""
    numbers = list(range(1, len(undisturbed.writes) + 1))
    random.Random(5).shuffle(numbers)
    for count, number in enumerate(numbers[:8]):
        root = fresh(server, tmp_path, undisturbed, f"point-{number}")
        jump = [number, JUMPS[count % len(JUMPS)]]
        if count % 2:
            answer = forge.finish("submit", root, undisturbed.run, jump=jump)
        else:
            kill = [min(number + 1, len(undisturbed.writes)), "after"]
            pid, _ = forge.start("submit", root, undisturbed.run, jump=jump, kill=kill)
            assert forge.wait(pid) == -signal.SIGKILL
            call = next_call(root, undisturbed)
            answer = forge.finish(call, root, undisturbed.run)
        assert answer["state"]["state"] == "done"
        times = [0.0, *answer["times"]]
        assert max(b - a for a, b in pairwise(times)) < LONGEST_SILENCE
        check_same(server, root, undisturbed)
        shutil.rmtree(root)


def test_seconds_between_stamps_need_one_boot_or_the_service():
    then = {"boot": "a", "uptime": 10.0, "service": 1000.0}
    assert clocks.seconds_between(then, {"boot": "a", "uptime": 12.0, "service": 9.0}) == 2.0
    assert clocks.seconds_between(then, {"boot": "b", "uptime": 3.0, "service": 1007.0}) == 7.0
    assert clocks.seconds_between(then, {"boot": "b", "uptime": 99.0, "service": None}) is None
    assert clocks.seconds_between({**then, "boot": None}, {"boot": None, "uptime": 99.0}) is None
    assert clocks.seconds_between(None, then) is None


def test_a_sending_of_unknown_age_is_looked_for_as_long_as_one_of_this_moment(tmp_path):
    """Of an earlier version, or of another machine whose service said no time."""
    ledger = Ledger.open(tmp_path)
    run = "2026-01-01-eeqdm-00000000"
    ledger.add_run(run, plan_sha256="a" * 64, budget=None, total_steps=1, seconds_estimated=1.0)
    ledger.reserve(None, run, [("step-0001", 1.0, 10)])
    intention = ledger.intend(
        tag="t",
        run_id=run,
        part="step-0001",
        attempt=1,
        payload_sha256="b" * 64,
        backend="b",
        instance="i",
        mode="job",
        session_id=None,
    )
    assert ledger.seconds_in_doubt(intention) is None
    ledger.event(run, "sending", "step-0001", tag="t", mode="job", session=None)
    assert ledger.seconds_in_doubt(intention) == 0.0
    ledger.sending("t", "job", None)
    time.sleep(0.1)
    assert 0.09 <= ledger.seconds_in_doubt(intention) < 5.0
    ledger.close()


def test_the_time_of_the_service_takes_the_place_of_a_wrong_clock():
    now = [5000.0]
    clock = clocks.LedgerClock(lambda: now[0])
    assert (clock(), clock.error()) == (5000.0, None)
    service = ServiceClock()
    clock.follow(service.now)
    for no_date in (None, "", "soon", "Thu, 99 Foo 2026 00:00:00 GMT"):
        service.see(no_date)
    assert clock() == 5000.0
    service.see("Thu, 01 Jan 1970 01:23:22 GMT")  # 5002: the same, but for its rounding
    assert (clock(), clock.error()) == (5000.0, None)
    now[0] += DAY
    assert clock() == pytest.approx(5002.0, abs=1.0)
    assert clock.error() == pytest.approx(DAY - 2.0, abs=1.0)
    assert clock.stamp()["service"] == pytest.approx(5002.0, abs=1.0)
