"""Where items run; each is something with the interface of ``concurrent.futures``."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from multiprocessing.connection import wait
from typing import Any, Protocol, runtime_checkable

from ..errors import InvalidOption, WorkersUnavailable
from .items import busy

__all__ = [
    "AnyExecutor",
    "InThisProcess",
    "Processes",
    "Workers",
]

SECONDS_TO_STOP = 60
"""Time that an item gets to come to a stop when the process that sent it has died."""


@runtime_checkable
class Workers(Protocol):
    """Processes that do items.

    :func:`~.run_items` opens them, sends items to what :meth:`open` returns, and opens them again
    when :meth:`lost` or :meth:`alive` say that they are gone. Whoever made them closes them.
    """

    @property
    def at_once(self) -> int | None:
        """Items that are sent before one of them is done; None sends all."""
        ...

    def open(self) -> Executor:
        """Return an executor that takes items: the same until it was lost.

        Raises:
            WorkersUnavailable: If there is none.
        """
        ...

    def lost(self, error: BaseException) -> bool:
        """Return True if the workers are gone, and the item that raised this is not to blame."""
        ...

    def alive(self) -> bool:
        """Return False if what was opened will not answer any more."""
        ...

    def close(self) -> None:
        """Let the workers go; items that run are stopped, or left to end where that is not ours."""
        ...


class _Serial(Executor):
    """An executor that does what it is given before it returns."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # whatever the work raises, as an executor must
            future.set_exception(error)
        return future


class InThisProcess:
    """This process, one item after the other."""

    at_once: int | None = 1

    def open(self) -> Executor:
        """Return an executor that works in the caller's thread."""
        return _Serial()

    def lost(self, error: BaseException) -> bool:
        """Return False: this process is here."""
        return False

    def alive(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Do nothing."""


class Processes:
    """Processes of this machine, by the standard library.

    When one dies, the standard library ends the others too; their items start again, from their last
    checkpoint where they have one.

    Args:
        count: How many, at least 1.

    Raises:
        InvalidOption: If it is not.
    """

    def __init__(self, count: int) -> None:
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise InvalidOption(f"workers is a whole number of at least 1, got {count!r}.")
        self.count, self.at_once = count, count
        self._pool: ProcessPoolExecutor | None = None

    def open(self) -> Executor:
        """Return a pool of processes."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.count, multiprocessing.get_context("spawn"), initializer=_live_with_parent
            )
        return self._pool

    def lost(self, error: BaseException) -> bool:
        """Return True if a process died."""
        broken = isinstance(error, BrokenExecutor)
        if broken:
            self.close()
        return broken

    def alive(self) -> bool:
        """Return True: a pool says by itself that it is broken."""
        return True

    def close(self) -> None:
        """Wait for the processes to end what they do."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


class AnyExecutor:
    """An executor of the caller's own, such as one of ``concurrent.futures`` or of mpi4py.

    It stays open. If it breaks, there is no other, and the error says so.

    Args:
        executor: Anything with ``submit`` that returns futures of ``concurrent.futures``.
        at_once: Items that are sent before one of them is done; None sends all.
    """

    def __init__(self, executor: Executor, at_once: int | None = None) -> None:
        self.executor, self.at_once = executor, at_once
        self._lost = False

    def open(self) -> Executor:
        """Return it.

        Raises:
            WorkersUnavailable: If it was lost.
        """
        if self._lost:
            raise WorkersUnavailable(
                "The executor broke before all items were done; those that are done are kept. Call "
                "again with a new one."
            )
        return self.executor

    def lost(self, error: BaseException) -> bool:
        """Return True if it is broken."""
        broken = isinstance(error, BrokenExecutor)
        self._lost = self._lost or broken
        return broken

    def alive(self) -> bool:
        """Return True: futures are all that is known of it."""
        return True

    def close(self) -> None:
        """Leave it open: it is its maker's."""


def _live_with_parent() -> None:
    """Prepare a process: Ctrl-C is for the item at work, and nothing outlives the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # training listens for itself
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow(sentinel: int) -> None:
        wait([sentinel])
        os.kill(os.getpid(), signal.SIGTERM)  # training ends its step and writes a checkpoint
        busy(SECONDS_TO_STOP)
        os._exit(1)

    threading.Thread(target=follow, args=(parent.sentinel,), daemon=True).start()
