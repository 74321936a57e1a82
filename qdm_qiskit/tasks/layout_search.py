"""Transpiler seeds of a report as items of work; the report does not depend on who tried them."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from functools import lru_cache
from pathlib import Path
from typing import Any

from qiskit.providers import BackendV2

from ..arguments import checked_path
from ..canonical_json import content_sha256
from ..circuits import Loader
from ..errors import InvalidArgument, InvalidCheckpoint, InvalidOption, UnsupportedCircuit
from ..evaluation.run_cost import circuits_to_fit
from ..execution.devices import as_backend
from ..files import check_writable
from ..progress import Progress, silent
from ..sampling import load_run
from ..transpiling.search import TriedSeeds, tried_seed
from ..work import Workers, WorkItem, run_items
from .cost_subjects import CostSubject, prepared
from .workers import taken_workers

__all__ = ["named_subject", "search_by_workers", "try_seed"]


def named_subject(
    subject: object,
    options: Mapping[str, Any],
    loader: str | Loader | None,
    seed: int,
    **chain: Any,
) -> dict[str, Any]:
    """Return a subject as JSON values that every process knows.

    Args:
        subject, options, loader, seed, chain: As for :func:`.prepared`.

    Raises:
        InvalidArgument: If it or its loader is an object.
    """
    if not isinstance(subject, str | Path) or not isinstance(loader, str | None):
        raise InvalidArgument(
            "Workers know a run by its folder, and models, circuits and loaders by name, got "
            f"{type(subject).__name__} and loader {loader!r}; leave workers and dask out."
        )
    weights = None
    if Path(subject).is_dir():
        subject = str(checked_path(subject, "subject").absolute())
        weights = load_run(Path(subject)).weights_sha256
    plain = {k: str(v) if isinstance(v, Path) else v for k, v in options.items()}
    return {
        "subject": str(subject),
        "weights": weights,
        "options": plain,
        "loader": loader,
        "seed": seed,
        **chain,
    }


def search_by_workers(
    subject: Mapping[str, Any],
    devices: Sequence[BackendV2],
    seeds: Sequence[int],
    *,
    level: int,
    fractional: bool,
    workers: int | Executor | Workers | None,
    dask: str | Any | None,
    folder: str | Path | None,
    progress: Progress = silent,
) -> TriedSeeds:
    """Try seeds on devices, each an item of work.

    Args:
        subject: Of :func:`named_subject`.
        devices: Devices that have a name here.
        seeds: Transpiler seeds.
        level, fractional: As for :func:`.layout_trials`.
        workers, dask, folder, progress: As for :func:`.cost`.

    Returns:
        The search that knows their costs.

    Raises:
        KeyboardInterrupt: After Ctrl-C; what was tried stays in the folder.
        InvalidOption: If a trial failed.
        Others: As :func:`.run_items`.
    """
    items = []
    for device in devices:
        for number, seed in enumerate(seeds):
            each = {
                **subject,
                "device": device.name,
                "level": level,
                "fractional": fractional,
                "transpiler_seed": seed,
            }
            told = re.sub(r"[^A-Za-z0-9_.,=+@-]+", "-", device.name)[:100]
            address = f"{told},trial={number:05d}-{content_sha256(each)[:10]}"
            items.append(WorkItem(address, try_seed, each))
    with tempfile.TemporaryDirectory() as passing:
        where = Path(passing) if folder is None else checked_path(folder, "folder")
        check_writable(where)
        with taken_workers(workers, dask, progress) as found:
            outcome = run_items(items, where, found, progress)
    if outcome.interrupted:
        raise KeyboardInterrupt
    if outcome.failures:
        words = next(iter(outcome.failures.values()))
        raise InvalidOption(
            f"{len(outcome.failures)} of {len(items)} layout trials failed: {words}"
        )
    return TriedSeeds.of_results([outcome.results[item.address] for item in items])


def try_seed(
    folder: Path,
    *,
    device: str,
    level: int,
    fractional: bool,
    transpiler_seed: int,
    **subject: Any,
) -> dict[str, Any]:
    """Transpile the circuits of a subject with one seed; an item of :func:`search_by_workers`.

    Args:
        folder: Where results are kept; nothing else is written there.
        device: The device's name.
        level, fractional: As for :func:`.layout_trials`.
        transpiler_seed: The seed.
        subject: Of :func:`named_subject`.

    Returns:
        ``tried``: what :func:`.tried_seed` gives for each circuit that fits the device.
    """
    found, backend = _known(json.dumps(subject, sort_keys=True)), as_backend(device)
    if found.work is not None:
        circuits = circuits_to_fit(found.work, backend, every=subject["every"])
    else:
        assert found.circuit is not None
        circuits = [(found.circuit, None)]
    tried = []
    for circuit, read in circuits:
        try:
            tried.append(
                tried_seed(
                    circuit,
                    backend,
                    transpiler_seed,
                    level=level,
                    read=read,
                    fractional=fractional,
                )
            )
        except UnsupportedCircuit:  # the report says so, as it does without workers
            continue
    return {"tried": tried}


@lru_cache(maxsize=2)
def _known(text: str) -> CostSubject:
    """Return what the items of one process have in common."""
    of = json.loads(text)
    weights = of.pop("weights")
    if weights is not None and load_run(Path(of["subject"])).weights_sha256 != weights:
        raise InvalidCheckpoint(
            f"{of['subject']} has other weights than when this report began: begin it again."
        )
    subject, options, loader, seed = (of.pop(n) for n in ("subject", "options", "loader", "seed"))
    return prepared(subject, options, loader, seed, **of)
