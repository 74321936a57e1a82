"""Train many runs that differ in options, here, on processes of this machine, or on many machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from ..arguments import checked_path
from ..files import check_writable
from ..progress import Progress, silent
from ..reports.sweep_render import write_sweep
from ..sweeps import (
    Draw,
    Halving,
    Search,
    SweepPlan,
    SweepResult,
    is_search,
    plan_search,
    plan_sweep,
    read_plan,
    read_search,
    run_search,
    run_sweep,
)
from ..training.run_log import log_names
from ..work import Workers
from .workers import taken_workers, whole_threads

__all__ = ["continue_sweep", "run_plan", "search", "sweep"]


def sweep(
    model: str,
    folder: str | Path,
    *,
    grid: Mapping[str, Sequence[Any]] | None = None,
    draw: Mapping[str, Draw | Sequence[Any]] | None = None,
    draws: int = 0,
    seeds: int = 1,
    seed: int = 0,
    halving: Halving | None = None,
    workers: int | Executor | Workers | None = None,
    scheduler: str | Any | None = None,
    threads: int = 1,
    log_with: str | Iterable[str] = "tensorboard",
    progress: Progress = silent,
    **options: Any,
) -> SweepResult:
    """Train a run for each point of a grid, or for points that are drawn, with each seed.

    A call that was stopped or killed goes on when it is made again; so does :func:`continue_sweep`.
    Each run is bit for bit the one that :func:`~qdm_qiskit.tasks.train` makes of its options alone, on
    as many threads.

    Args:
        model: A model's, preset's or circuit's name.
        folder: Folder of the sweep; its runs are below ``runs``.
        grid: Option to its values: ``{"depth": [2, 4, 8]}``.
        draw: Option to the ends between which it is drawn, ``{"learning_rate": Draw(1e-3, 0.1,
            log=True)}``, or to values of which one is drawn.
        draws: Points that are drawn, each of which is tried with the whole grid.
        seeds: Runs of each point.
        seed: The first seed; the other runs of a point have the next ones.
        halving: Stop bad points early.
        workers: Processes of this machine; or an executor of ``concurrent.futures``; or None for this
            process alone.
        scheduler: Address of a scheduler of Dask, ``"local"`` for a cluster of Dask's on this machine
            with as many ``workers``, or a cluster object of Dask's.
        threads: CPU threads of torch for each run.
        log_with: Where metrics and sample images of each run go beside its folder: ``"tensorboard"``,
            ``"wandb"``, ``"mlflow"``, several, or ``"none"``; see :func:`~qdm_qiskit.tasks.train`.
        progress: Receives a message for each run that ends, with the counts of all.
        options: Options of all runs, as for :func:`~qdm_qiskit.tasks.train`.

    Returns:
        The table, the curves, and what failed.

    Raises:
        UnknownName: If there is no model of this name.
        InvalidOption: If an option is unknown, out of range or named twice, or the folder holds another
            sweep.
        WorkersUnavailable: If workers are not there, or have other versions.
        MissingDependency: If Dask or a tracker is wanted and not installed.
        OutputNotWritable: If the folder cannot be written.

    >>> import tempfile
    >>> from qdm_qiskit.tasks import sweep
    >>> small = dict(image_size=2, num_steps=2, train_count=8, epochs=1, baseline=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = sweep("eeqdm", folder, grid={"depth": [1, 2]}, **small)
    >>> [(row.options["depth"], row.state) for row in found.table.rows]
    [(1, 'done'), (2, 'done')]
    """
    plan = plan_sweep(
        model,
        options,
        grid=grid,
        draw=draw,
        draws=draws,
        seeds=seeds,
        seed=seed,
        halving=halving,
    )
    place = checked_path(folder, "folder")
    return run_plan(
        plan,
        place,
        workers=workers,
        scheduler=scheduler,
        threads=threads,
        log_with=log_with,
        progress=progress,
    )


def continue_sweep(
    folder: str | Path,
    *,
    workers: int | Executor | Workers | None = None,
    scheduler: str | Any | None = None,
    threads: int = 1,
    log_with: str | Iterable[str] = "tensorboard",
    progress: Progress = silent,
) -> SweepResult:
    """Go on with a sweep; nothing that is done is done again.

    Args:
        folder: The sweep's.
        workers, scheduler, threads, log_with, progress: As for :func:`sweep`; they need not be those
            that it began with, but other threads do its runs once more.

    Returns:
        The table, the curves, and what failed.

    Raises:
        MissingData: If there is no sweep in the folder.
        Others: As :func:`sweep`.
    """
    place = checked_path(folder, "folder")
    plan = read_search(place) if is_search(place) else read_plan(place)
    return run_plan(
        plan,
        place,
        workers=workers,
        scheduler=scheduler,
        threads=threads,
        log_with=log_with,
        progress=progress,
    )


def search(
    model: str,
    folder: str | Path,
    *,
    draw: Mapping[str, Draw | Sequence[Any]],
    trials: int,
    at_once: int = 4,
    seeds: int = 1,
    seed: int = 0,
    method: str = "optuna",
    workers: int | Executor | Workers | None = None,
    scheduler: str | Any | None = None,
    threads: int = 1,
    log_with: str | Iterable[str] = "tensorboard",
    progress: Progress = silent,
    **options: Any,
) -> SweepResult:
    """Search options for the lowest test loss; :func:`continue_sweep` goes on.

    Args:
        model: A model's, preset's or circuit's name.
        folder: Folder of the search; its runs are below ``runs``.
        draw: Option to the ends between which it is searched, or to values.
        trials: Points that are tried.
        at_once: Points that are tried together, before the next ones are chosen.
        seeds: Runs of each point, whose mean test loss counts.
        seed: The first run's seed, on which the points depend too.
        method: Who chooses: ``optuna``, ``random``, ``spsa``, ``qaoa`` or ``surrogate``.
        workers, scheduler, threads, log_with, progress: As for :func:`sweep`.
        options: Options of all runs.

    Returns:
        The table, the curves, and what failed.

    Raises: as :func:`sweep`, and
        MissingDependency: If Optuna is to choose and is not installed.
    """
    plan = plan_search(
        model,
        options,
        draw=draw,
        trials=trials,
        at_once=at_once,
        seeds=seeds,
        seed=seed,
        method=method,
    )
    place = checked_path(folder, "folder")
    return run_plan(
        plan,
        place,
        workers=workers,
        scheduler=scheduler,
        threads=threads,
        log_with=log_with,
        progress=progress,
    )


def run_plan(
    plan: SweepPlan | Search,
    folder: Path,
    *,
    workers: int | Executor | Workers | None = None,
    scheduler: str | Any | None = None,
    threads: int = 1,
    log_with: str | Iterable[str] = "tensorboard",
    progress: Progress = silent,
) -> SweepResult:
    """Do a sweep or a search that is planned, and write its table and curves; see :func:`sweep`."""
    whole_threads(threads)
    names = log_names(log_with)
    check_writable(folder)
    with taken_workers(workers, scheduler, progress) as found:
        how: dict[str, Any] = {"workers": found, "threads": threads, "log_with": names}
        if isinstance(plan, Search):
            result = run_search(plan, folder, progress=progress, **how)
        else:
            result = run_sweep(plan, folder, progress=progress, **how)
    write_sweep(result, folder)
    return result
