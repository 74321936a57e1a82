"""The workers that a caller means."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

from ..errors import InvalidArgument, InvalidOption
from ..progress import Progress, silent
from ..work import AnyExecutor, InThisProcess, Processes, Workers
from ..work.dask import DaskWorkers

__all__ = ["take_workers", "taken_workers", "whole_threads"]


def take_workers(
    workers: int | Executor | Workers | None,
    scheduler: str | Any | None = None,
    progress: Progress = silent,
) -> Workers:
    """Return the workers that a caller means.

    Args:
        workers: See :func:`.sweep`.
        scheduler: Likewise.
        progress: Receives what a user should know of them.

    Raises:
        InvalidOption: If there are two kinds of them, or a number is below 1.
        InvalidArgument: If it is nothing that takes items.
        MissingDependency: If Dask is wanted and not installed.
    """
    if scheduler is not None:
        if workers is not None and not isinstance(workers, int):
            raise InvalidOption(
                "Name one of workers and scheduler, got an executor and a scheduler."
            )
        address = None if isinstance(scheduler, str) and scheduler == "local" else scheduler
        return DaskWorkers(address, workers, progress=progress)
    if workers is None:
        return InThisProcess()
    if isinstance(workers, int):
        return Processes(workers)
    if isinstance(workers, Workers):
        return workers
    if hasattr(workers, "submit"):
        return AnyExecutor(workers)
    raise InvalidArgument(
        f"workers is a number, or an executor with the method submit, got {type(workers).__name__}."
    )


@contextmanager
def taken_workers(
    workers: int | Executor | Workers | None,
    scheduler: str | Any | None = None,
    progress: Progress = silent,
) -> Iterator[Workers]:
    """Hold the workers that a caller means, and close them; as :func:`take_workers`."""
    found = take_workers(workers, scheduler, progress)
    try:
        yield found
    finally:
        found.close()


def whole_threads(threads: int) -> None:
    """Refuse a number of threads that is none.

    Raises:
        InvalidOption: If it is no whole number of at least 1.
    """
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise InvalidOption(f"threads is a whole number of at least 1, got {threads!r}.")
