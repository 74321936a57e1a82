"""File locks, which the system frees when their process dies."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path

from ...errors import LedgerBusy, OutputNotWritable

__all__ = [
    "not_writable",
    "wait_for_lock",
]


def wait_for_lock(handle: int, what: str, seconds: float) -> None:
    """Take an exclusive lock on an open file.

    Args:
        handle: The file.
        what: What it protects, for the message.
        seconds: Longest wait.

    Raises:
        LedgerBusy: If another process keeps it for longer.
    """
    deadline = time.monotonic() + seconds
    pause = 0.001
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise LedgerBusy(
                    f"{what} is in use by another process (waited {seconds:g} s); wait for it to "
                    "finish, or stop it."
                ) from None
            time.sleep(pause)
            pause = min(0.05, pause * 1.5)


def not_writable(path: Path, error: OSError) -> OutputNotWritable:
    """Return the error for a file that the system does not let us write."""
    return OutputNotWritable(
        f"Cannot write {path}: {error.strerror or error}; nothing was changed. Choose a folder "
        "with write permission and free space."
    )
