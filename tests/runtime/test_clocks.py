"""Clocks that decide: stamps of a boot, the service's Date, and sendings whose age nobody knows.

What whole runs make of them is in test_kills.py, and the sender's wait in test_sender.py.
"""

from __future__ import annotations

import time

import pytest

from qdm_qiskit import clocks
from qdm_qiskit.hardware.ibm.post_guard import ServiceClock
from qdm_qiskit.hardware.ledger.ledger import Ledger

DAY = 86_400.0


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
