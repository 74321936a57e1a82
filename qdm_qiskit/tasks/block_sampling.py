"""Sample a run in blocks of images, on processes of this machine or workers of Dask."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import InvalidOption, WorkersUnavailable
from ..execution.devices import as_backend
from ..execution.targets import parse_target
from ..files import check_writable
from ..mitigation.readout import ReadoutCalibration
from ..progress import Progress, silent
from ..sampling import Samples, SamplingConfig, load_run, write_samples
from ..sampling.blocks import (
    BLOCK,
    FOLDER,
    block_items,
    check_arrays,
    joined_samples,
)
from ..sampling.layout_items import best_seeds, layout_items
from ..sampling.schedulers import planned_chain
from ..sampling.trained_run import best_loader, chosen_labels
from ..work import Outcome, Workers, WorkItem, run_items, said_of
from .workers import taken_workers, whole_threads

__all__ = ["sample_in_blocks"]


def sample_in_blocks(
    run: Path,
    config: SamplingConfig,
    *,
    out: Path | None = None,
    block: int | None = None,
    calibration: ReadoutCalibration | None = None,
    workers: int | Executor | Workers | None = None,
    dask: str | Any | None = None,
    threads: int = 1,
    progress: Progress = silent,
) -> Samples:
    """Sample a run in blocks, each an item of work; see :func:`.sample`.

    Blocks that are done stay in ``out`` until all are: the same call goes on after a stop or a kill.

    Args:
        run: Folder of a run or of a checkpoint.
        config: Target, images, shots, mitigation, seed.
        out: Folder to write images and manifest to; None writes nothing.
        block: Images of a block, at least 1; :data:`.BLOCK` if None.
        calibration: A readout calibration to use in place of a new one.
        workers, dask: Who works, as ``workers`` and ``scheduler`` of :func:`.sweep`.
        threads: CPU threads of torch for each block.
        progress: Receives a message for each block that ends, with the counts of all.

    Returns:
        All images, as of one sampling.

    Raises:
        InvalidOption: If the options do not go with blocks, or a block failed.
        KeyboardInterrupt: After Ctrl-C, when what was done is kept.
        WorkersUnavailable, MissingDependency, OutputNotWritable: As :func:`.sweep`.
        Others: As :func:`.sample`.
    """
    whole_threads(threads)
    trained = load_run(run)
    target = parse_target(config.target)
    chosen_labels(trained, config)
    planned_chain(trained.process, config.scheduler, config.num_inference_steps, config.eta)
    device = None if target.backend is None else as_backend(target.backend).name
    choice = None
    if config.loader is not None and config.loader.startswith("auto:"):
        choice = best_loader(trained, config.loader, seed=config.seed, progress=progress)
        config = replace(config, loader=choice.best.loader)
    size = BLOCK if block is None else block

    def blocks(best: Mapping[str, int] | None = None) -> list[WorkItem]:
        return block_items(
            trained,
            config,
            size,
            device=device,
            calibration=calibration,
            best_seeds=best,
            threads=threads,
        )

    items = blocks()  # what cannot be is said before any work
    layouts = layout_items(trained, config, device=device)
    with tempfile.TemporaryDirectory() as passing:
        where = Path(passing) if out is None else out
        check_writable(where)
        with taken_workers(workers, dask, progress) as found:
            if layouts:
                outcome = run_items(layouts, where, found, said_of("layouts", progress))
                _check_done(outcome, len(layouts), "layout trials")
                tried = [outcome.results[item.address] for item in layouts]
                items = blocks(best_seeds(config, tried))
            for item in items:
                check_arrays(item, where)
            outcome = run_items(items, where, found, progress)
        _check_done(outcome, len(items), "blocks")
        results: list[Mapping[str, Any]] = [outcome.results[item.address] for item in items]
        samples = joined_samples(trained, config, size, results, where)
        if choice is not None:
            samples.manifest["loader_choice"] = choice.to_dict()
        if out is not None:
            write_samples(samples, out)
            for name in (FOLDER, "items"):  # all of it is in the samples
                shutil.rmtree(out / name, ignore_errors=True)
    return samples


def _check_done(outcome: Outcome, count: int, what: str) -> None:
    """Refuse to go on without all items.

    Raises:
        KeyboardInterrupt: After Ctrl-C.
        WorkersUnavailable, InvalidOption: If an item failed.
    """
    if outcome.interrupted:
        raise KeyboardInterrupt
    if outcome.failures:
        number, words = len(outcome.failures), next(iter(outcome.failures.values()))
        if "worker died" in words:
            raise WorkersUnavailable(
                f"{number} of {count} {what}: {words}. Those that are done are kept; give a smaller "
                "block."
            )
        raise InvalidOption(f"{number} of {count} {what} failed: {words}")
