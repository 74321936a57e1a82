"""Compare a model on many devices, optimization levels and loaders."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import torch

from ..arguments import checked_path, checked_text, whole_number, wrong
from ..canonical_json import content_sha256
from ..diffusion import make_process
from ..errors import InvalidCheckpoint, InvalidOption, unknown_name
from ..evaluation.comparison import Comparison, comparison_table, device_row
from ..evaluation.run_cost import Work
from ..execution.devices import DeviceLike, as_backend, device_names, is_device_name
from ..execution.snapshots import backend_names
from ..files import check_writable
from ..models import build_model
from ..models.catalog import ModelChoice
from ..overview import RunRow
from ..progress import Progress, silent
from ..rng import derived_seed
from ..sampling import load_run
from ..training.config import resolve_run
from ..work import Workers, WorkItem, run_items
from .amortising import loader_for
from .cost_subjects import subject_name
from .run_work import run_work
from .workers import taken_workers

__all__ = ["ALL", "Comparison", "compare", "cost_on_device", "listed_devices"]

ALL = "all"
"""Stands for every device that has a name here."""


def compare(
    subject: str | Path,
    backends: DeviceLike | Sequence[DeviceLike] = ALL,
    *,
    levels: Sequence[int] = (3,),
    loaders: Sequence[str | None] = (None,),
    settings: Mapping[str, Any] | None = None,
    trials: int = 3,
    shots: int = 4096,
    num_images: int = 16,
    sampler: str = "process",
    num_inference_steps: int | None = None,
    fractional_gates: bool = False,
    seed: int = 0,
    folder: str | Path | None = None,
    workers: int | Executor | Workers | None = None,
    scheduler: str | Any | None = None,
    progress: Progress = silent,
) -> Comparison:
    """Count what a model costs on many devices, at optimization levels and with loaders.

    Each device with a level and a loader is an item of work, whose result stays in the folder: a call
    that was stopped goes on when it is made again, and more devices do those alone.

    Args:
        subject: Folder of a trained run, or a model's, preset's or circuit's name, whose weights are
            then fresh.
        backends: ``"all"``, or devices: names, ``BackendV2`` or Aer ``NoiseModel`` objects. Workers
            in other processes know devices by name only.
        levels: Qiskit's optimization levels, 0 to 3.
        loaders: Names of loaders; None is the model's own.
        settings: Options of a model or preset and of its process, by name; values may be text.
        trials: Transpiler seeds tried for each circuit, at least 1; the best counts.
        shots: Shots of each circuit.
        num_images: Images of the run that QPU seconds are for, at least 1.
        sampler: Sampler of that run, such as ``ddim``.
        num_inference_steps: Its steps; all of them if None.
        fractional_gates: True to use a device's rzz for free angles too.
        seed: Seed of fresh weights, the example image and the transpiler.
        folder: Where results of items are kept; None keeps none.
        workers, scheduler: Who works, as for :func:`.sweep`.
        progress: Receives a message for each item that ends, with the counts of all.

    Returns:
        The table, which shows itself in a notebook. A device that is too small is a row of its own.

    Raises:
        UnknownName: If there is no such model, device or loader.
        InvalidOption: If an option is unknown or out of range, or the model is classical.
        WorkersUnavailable, MissingDependency, OutputNotWritable: As :func:`.sweep`.

    >>> small = dict(image_size=2, depth=1, num_steps=2)
    >>> found = compare("eeqdm", ["fake_quito", "fake_lima"], settings=small, trials=1)
    >>> [(row.state, row.metrics["two_qubit"] > 0) for row in found.table.rows]
    [('done', True), ('done', True)]
    """
    devices = listed_devices(backends)
    options = {k: str(v) if isinstance(v, Path) else v for k, v in (settings or {}).items()}
    _check(levels, loaders, trials, num_images)
    named = isinstance(subject, str) and not Path(subject).is_dir()
    place = None if named else checked_path(subject, "subject").absolute()
    if place is not None and options:
        raise InvalidOption(
            f"Options are for models and presets by name; a run has its own, got {', '.join(options)}."
        )
    run = None if place is None else load_run(place)
    shared: dict[str, Any] = {
        "subject": checked_text(subject, "subject") if place is None else str(place),
        "weights": None if run is None else run.weights_sha256,
        "settings": options,
        "shots": shots,
        "num_images": num_images,
        "sampler": sampler,
        "steps": num_inference_steps,
        "seed": seed,
    }
    works = {}
    for loader in loaders:  # what cannot be is said before the first item
        known = loader if run is None else loader_for(run, loader)
        works[known] = _work_of({**shared, "loader": known})
    items = {}
    for device, level, loader in product(devices, levels, works):
        each = {
            **shared,
            "loader": loader,
            "device": device,
            "level": int(level),
            "trials": int(trials),
            "fractional": bool(fractional_gates),
        }
        told = re.sub(
            r"[^A-Za-z0-9_.,=+@-]+", "-", f"{device},level={level},loader={loader or 'own'}"
        )
        address = f"{told[:150]}-{content_sha256(each)[:10]}"
        items[device, level, loader] = WorkItem(address, cost_on_device, each)
    name = subject_name(str(subject), options) if place is None else place.resolve().name
    first = next(iter(works.values()))
    about = (
        f"{first.images} images in {first.chain}, {shots} shots a circuit, by {first.way}; best of "
        f"{trials} transpiler seeds"
    )
    with tempfile.TemporaryDirectory() as passing:
        where = Path(passing) if folder is None else checked_path(folder, "folder")
        check_writable(where)
        with taken_workers(workers, scheduler, progress) as found:
            outcome = run_items(list(items.values()), where, found, progress)
    rows, failures = [], {}
    for (device, level, loader), item in items.items():
        result = dict(outcome.results.get(item.address, {}))
        failed = outcome.failures.get(item.address)
        state = result.pop("state", "open" if failed is None else "failed")
        chosen = {"level": level, "loader": "own" if loader is None else loader}
        if failed is not None:
            failures[f"{device} level={level} loader={chosen['loader']}"] = failed
        rows.append(RunRow(device, "device", state, chosen, result))
    made = comparison_table(name, rows)
    return Comparison(name, about, made, failures, outcome.interrupted)


def cost_on_device(
    folder: Path, *, device: str, level: int, trials: int, fractional: bool, **shared: Any
) -> dict[str, Any]:
    """Return what a model costs on a device; an item of :func:`compare`.

    Args:
        folder: The comparison's; nothing is written there.
        device: The device's name.
        level: Optimization level.
        trials: Transpiler seeds.
        fractional: True to use rzz for free angles too.
        shared: What all items of a loader have in common.

    Returns:
        As :func:`.device_row`.
    """
    work = _work_of(shared)
    seeds = [derived_seed(shared["seed"], "transpiler", trial) for trial in range(trials)]
    return device_row(
        "comparison",
        work,
        device,
        level=level,
        seeds=seeds,
        shots=shared["shots"],
        fractional=fractional,
    )


def listed_devices(backends: DeviceLike | Sequence[DeviceLike]) -> list[str]:
    """Return names of devices; those of one's own with the hash of their content.

    Args:
        backends: ``"all"``, a device, or several.

    Raises:
        UnknownName: If there is no such device.
        InvalidOption: If there is none at all.
        InvalidArgument: If one is something else.
    """
    several = isinstance(backends, Sequence) and not isinstance(backends, str)
    asked: list[Any] = list(backends) if several else [backends]
    if ALL in [each for each in asked if isinstance(each, str)]:
        asked = list(device_names())
    if not asked:
        raise InvalidOption("A comparison needs at least one backend, got none.")
    snapshots = frozenset(backend_names())
    found = []
    for each in asked:
        if isinstance(each, str):
            if each in snapshots:  # loading all of them would take a while
                found.append(each)
                continue
            if not is_device_name(each):
                raise unknown_name("device", each, device_names())
        found.append(as_backend(each, "backends").name)
    return list(dict.fromkeys(found))


def _check(
    levels: Sequence[int], loaders: Sequence[str | None], trials: int, num_images: int
) -> None:
    for what, value in (("levels", levels), ("loaders", loaders)):
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise wrong(value, what, "a list", "such as [1, 3] or ['exact']")
        if not value:
            raise InvalidOption(f"{what} is a list with at least one of them, got none.")
    for level in levels:
        if whole_number(level, "levels") not in (0, 1, 2, 3):
            raise InvalidOption(f"levels are 0 to 3, got {level}.")
    for loader in loaders:
        if loader is not None:
            checked_text(loader, "loaders")
    for what, number in (("trials", trials), ("num_images", num_images)):
        if whole_number(number, what) < 1:
            raise InvalidOption(f"{what} must be at least 1, got {number}.")


def _work_of(shared: Mapping[str, Any]) -> Work:
    return _known_work(json.dumps(dict(shared), sort_keys=True))


@lru_cache(maxsize=4)
def _known_work(text: str) -> Work:
    """Return the calls that items with these values have in common."""
    of = json.loads(text)
    if of["weights"] is not None:
        run = load_run(Path(of["subject"]))
        if run.weights_sha256 != of["weights"]:
            raise InvalidCheckpoint(
                f"{of['subject']} has other weights than when this comparison began: begin it again."
            )
        model, process = run.model, run.process
    else:
        config = resolve_run(of["subject"], of["settings"])
        generator = torch.Generator().manual_seed(derived_seed(of["seed"], "init", 0))
        choice = ModelChoice(
            model=config.model, preset=config.preset, config=config.model_options, source=""
        )
        model = build_model(choice, generator=generator)
        process = make_process(config.diffusion)
    if of["loader"] is not None:
        model = model.with_loader(of["loader"])
    return run_work(
        model,
        process,
        num_images=of["num_images"],
        scheduler=of["sampler"],
        steps=of["steps"],
        shots=of["shots"],
        seed=of["seed"],
    )
