"""Memory of a thread to work in, which it holds for the next time."""

from __future__ import annotations

import threading

import numpy as np

__all__ = ["HELD_BYTES", "working_memory"]

HELD_BYTES = 2**27
"""Bytes that a thread holds, at most, to work in the next time."""


class _Memory(threading.local):
    """Bytes of a thread.

    The system hands out memory page by page, and writes zeros to it first: up to a fifth of a step.
    """

    def __init__(self) -> None:
        self._held = np.empty(0, np.uint8)

    def bytes(self, size: int) -> np.ndarray:
        """Return bytes that nobody else has before the next call."""
        if size > HELD_BYTES:
            return np.empty(size, np.uint8)
        if size > len(self._held):
            self._held = np.empty(0, np.uint8)  # not both at a time
            self._held = np.empty(size, np.uint8)  # numpy asks for large pages, torch does not
        return self._held


_memory = _Memory()


def working_memory(size: int) -> np.ndarray:
    """Return bytes of this thread that nobody else has before its next call, ``(size,)`` or more."""
    return _memory.bytes(size)
