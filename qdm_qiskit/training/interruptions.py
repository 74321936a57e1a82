"""Interruptions of a training run from outside: Ctrl-C, and a log that cannot be written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = [
    "silent_log_thread",
    "stop_requests",
]


@contextmanager
def silent_log_thread() -> Iterator[None]:
    """TensorBoard writes in a thread; when the disk is full, the error is ours to report, once."""
    previous = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        if not issubclass(args.exc_type, OSError):
            previous(args)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = previous


@contextmanager
def stop_requests() -> Iterator[threading.Event]:
    """Set an event at Ctrl-C, SIGTERM and SIGHUP, so that the step in hand is finished.

    A second one ends it at once. A signal that the process ignores, as SIGHUP under ``nohup``,
    stays ignored.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # signals reach the main thread only
        return

    def request(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    previous: dict[int, Any] = {}
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if each == signal.SIGHUP and signal.getsignal(each) == signal.SIG_IGN:
            continue
        previous[each] = signal.signal(each, request)
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
