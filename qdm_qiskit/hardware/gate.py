"""A gate between two threads: a job leaves only after it is written down that it does.

IBM's client builds the payload and asks three or four questions before it sends a job. All that may
take long, and nothing of it creates a job. So "sending" is written down between these and the POST
itself: a process that dies earlier has sent nothing for sure, and the next one need not wait for a
job that may still appear. The call has a thread of its own, and the ledger belongs to the thread
that waits for it; hence the gate.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Literal, final

Sign = Literal["asked", "ended"]


class NotSent(Exception):
    """A POST was held back: nobody waits for it any more, or it could not be written down."""


@final
class Gate:
    """Where the thread of a call stops with a job, until the thread that waits lets it go.

    A gate that is closed stays closed: a call that was given up before its job had left never
    sends it.
    """

    def __init__(self) -> None:
        self.passed = False
        """Whether a POST was let go: from there on a job may exist."""
        self.answer: int | None = None
        """The HTTP status that the last POST was answered with; None without an answer."""
        self._signs: SimpleQueue[Sign] = SimpleQueue()
        self._changed = threading.Condition()
        self._granted = 0
        self._closed = False

    @property
    def in_doubt(self) -> bool:
        """Whether a job may exist: a POST has left, and the service has not refused it."""
        refused = self.answer is not None and 400 <= self.answer < 500
        return self.passed and (not refused or self.answer in (408, 425))

    # -- the thread of the call ---------------------------------------------------------------

    def ask(self) -> None:
        """Stop here until the POST may go.

        Raises:
            NotSent: If it may not.
        """
        with self._changed:
            self._signs.put("asked")
            self._changed.wait_for(lambda: self._granted or self._closed)
            if self._closed:
                raise NotSent("the call was given up before its job was sent")
            self._granted -= 1

    def end(self) -> None:
        """The call has ended, in one way or another."""
        self._signs.put("ended")

    # -- the thread that waits ----------------------------------------------------------------

    def sign(self, seconds: float) -> Sign | None:
        """What the call does next; None if it takes longer."""
        try:
            return self._signs.get(timeout=max(0.0, seconds))
        except Empty:
            return None

    def let_go(self) -> None:
        """Let the POST go that has asked."""
        with self._changed:
            self.passed = True
            self._granted += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Let none go any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


_here = threading.local()


@contextmanager
def through(gate: Gate) -> Iterator[None]:
    """Jobs that this thread sends in the block go through a gate."""
    _here.gate = gate
    try:
        yield
    finally:
        _here.gate = None


def gate_here() -> Gate | None:
    """The gate of this thread, if it has one."""
    found: Gate | None = getattr(_here, "gate", None)
    return found
