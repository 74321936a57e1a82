"""Meetings at a counter: nobody goes on before all are here."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from qdm_qiskit.engine.jit import meeting
from qdm_qiskit.errors import TargetUnavailable


def test_nobody_goes_on_before_all_are_here():
    counter, seen, late = np.zeros(1, np.int64), [], threading.Event()

    def come_late():
        late.wait(10)
        seen.append("second")
        meeting.meet(counter.ctypes.data, 2)

    other = threading.Thread(target=come_late)
    other.start()
    threading.Timer(0.05, late.set).start()
    meeting.meet(counter.ctypes.data, 2)
    assert seen == ["second"]
    other.join(10)
    assert counter[0] == 2


def test_others_that_do_not_come_are_said(monkeypatch):
    monkeypatch.setattr(meeting, "LONGEST_WAIT_S", 0.0)
    counter = np.zeros(1, np.int64)
    with pytest.raises(
        TargetUnavailable, match=r"has not come for 0 minutes; stop all of them, and r"
    ):
        meeting.meet(counter.ctypes.data, 2)
