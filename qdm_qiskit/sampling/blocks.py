"""Sampling in blocks of images: each an item of work, whose images depend on its number alone.

Block 0 is what :func:`.sample` draws with the run's seed, given the calibration; block ``k`` is what
it draws with :func:`block_seed`. All blocks run on the same qubits, chosen by the run's seed, and share
one readout calibration. So neither the number of workers nor the order changes a bit.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..archives import read_arrays
from ..canonical_json import content_sha256
from ..errors import InvalidCheckpoint, InvalidData, InvalidOption
from ..files import write_bytes
from ..mitigation.readout import ReadoutCalibration
from ..work import WorkItem, item_seed
from .call_targets import KeptCircuits
from .config import SamplingConfig
from .sample import sample
from .samples import Samples
from .step_records import StepRecord
from .trained_run import TrainedRun, load_run

__all__ = [
    "BLOCK",
    "FOLDER",
    "Block",
    "block_arguments",
    "block_items",
    "block_seed",
    "blocks_of",
    "check_arrays",
    "joined_samples",
    "known_run",
    "sample_block",
]

BLOCK = 256
"""Images of a block."""
FOLDER = "blocks"
"""Folder of the blocks' arrays, beside the results of items."""

_FILE = re.compile(r"[0-9]{1,9}-[0-9a-f]{1,20}\.npz")


@dataclass(frozen=True)
class Block:
    """Some images of a sampling."""

    number: int
    """0, 1 ..."""
    first: int
    """Number of its first image."""
    count: int
    """Images."""


def blocks_of(num_images: int, size: int) -> list[Block]:
    """Return the blocks of a sampling; the last one may be smaller.

    Raises:
        InvalidOption: If the size is below 1.

    >>> [block.count for block in blocks_of(10, 4)]
    [4, 4, 2]
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise InvalidOption(f"block is a whole number of at least 1, got {size!r}.")
    return [
        Block(number, first, min(size, num_images - first))
        for number, first in enumerate(range(0, num_images, size))
    ]


def block_seed(seed: int, number: int) -> int:
    """Return the seed of a block: the run's own of the first, so that it is an ordinary sampling."""
    return seed if number == 0 else item_seed(seed, f"block-{number}")


def block_items(
    run: TrainedRun,
    config: SamplingConfig,
    size: int,
    *,
    device: str | None,
    calibration: ReadoutCalibration | None = None,
    best_seeds: Mapping[str, int] | None = None,
    threads: int = 1,
) -> list[WorkItem]:
    """Return the items that sample a run's blocks.

    Args:
        run: The run.
        config: Options of the whole.
        size: Images of a block.
        device: Name of the target's device, with its hash if it is one's own; None without one.
        calibration: A readout calibration to use in place of a new one.
        best_seeds: The best transpiler seed of circuits whose layouts were tried before.
        threads: CPU threads of torch: the last bits of a sum may depend on them.

    Raises:
        InvalidOption: If the size is below 1, or the options do not go with blocks.
    """
    if config.primitive == "estimator":
        raise InvalidOption(
            "An Estimator transpiles for each block again; leave workers, dask and block out, or "
            "primitive at 'sampler'."
        )
    shared = {
        **block_arguments(run, config, device),
        "size": size,
        "calibration": None if calibration is None else _plain(calibration.to_dict()),
        "threads": threads,
    }
    if best_seeds:
        shared["best_seeds"] = dict(best_seeds)
    key = content_sha256(shared)[:10]
    return [
        WorkItem(
            f"block-{each.number:06d}-{key}",
            sample_block,
            {**shared, "number": each.number, "first": each.first, "count": each.count},
        )
        for each in blocks_of(config.num_images, size)
    ]


def sample_block(
    folder: Path, *, number: int, first: int, count: int, threads: int, **shared: Any
) -> dict[str, Any]:
    """Sample a block; an item of :func:`block_items`.

    Args:
        folder: The sampling's; the arrays go to a file below.
        number, first, count: The block.
        threads: CPU threads of torch.
        shared: What all blocks have in common.

    Returns:
        ``file`` and ``sha256`` of the arrays, and ``manifest``.

    Raises:
        Others: As :func:`.sample`.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        run, config, calibration, kept = _shared(json.dumps(shared, sort_keys=True))
        seed = block_seed(config.seed, number)
        own = replace(config, num_images=count, seed=seed)
        samples = sample(run, own, calibration=calibration, kept=kept, first=first)
    finally:
        torch.set_num_threads(before)
    buffer = io.BytesIO()
    np.savez(buffer, images=samples.images, trajectory=samples.trajectory)
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    file = f"{number:06d}-{digest[:10]}.npz"
    write_bytes(folder / FOLDER / file, content)
    return {"file": file, "sha256": digest, "manifest": _plain(samples.manifest)}


@lru_cache(maxsize=1)
def _shared(
    text: str,
) -> tuple[TrainedRun, SamplingConfig, ReadoutCalibration | None, KeptCircuits]:
    """Return what the blocks that one process samples have in common: circuits transpiled once."""
    of = json.loads(text)
    run, config = known_run(text)
    given = of["calibration"]
    calibration = None if given is None else ReadoutCalibration.from_dict(given)
    kept = KeptCircuits(config.seed, of["size"], best_seeds=of.get("best_seeds", {}))
    return run, config, calibration, kept


def block_arguments(run: TrainedRun, config: SamplingConfig, device: str | None) -> dict[str, Any]:
    """Return arguments of every item of a sampling; see :func:`block_items`."""
    return {
        "run": str(run.checkpoint.absolute()),
        "weights": run.weights_sha256,
        "config": _plain({**asdict(config), "initial_layout": list(config.initial_layout)}),
        "device": device,
    }


@lru_cache(maxsize=2)
def known_run(text: str) -> tuple[TrainedRun, SamplingConfig]:
    """Return the run and the options that an item's arguments, as JSON, tell of.

    Raises:
        InvalidCheckpoint: If the run has other weights now.
    """
    of = json.loads(text)
    run = load_run(Path(of["run"]))
    if run.weights_sha256 != of["weights"]:
        raise InvalidCheckpoint(
            f"{of['run']} has other weights than when this sampling began: begin it again."
        )
    options = of["config"]
    return run, SamplingConfig(**{**options, "initial_layout": tuple(options["initial_layout"])})


def check_arrays(item: WorkItem, folder: Path) -> None:
    """Forget the result of an item whose arrays are missing or damaged, so that it is done again."""
    from ..work.items import read_result

    found = read_result(item, folder)
    if found is None:
        return
    try:
        _arrays(folder, found)
    except InvalidData:
        item.result_file(folder).unlink()


def joined_samples(
    run: TrainedRun,
    config: SamplingConfig,
    size: int,
    results: Sequence[Mapping[str, Any]],
    folder: Path,
) -> Samples:
    """Return all blocks as one sampling.

    Its manifest is that of the first block, with all images' labels, and sums and means over blocks:
    ``seconds`` are those of all workers together. ``blocks`` says how it was divided.

    Args:
        run: The run.
        config: Options of the whole.
        size: Images of a block.
        results: Results of the items, in order.
        folder: The sampling's.

    Raises:
        InvalidData: If a block's files are damaged.
    """
    images, paths = zip(*(_arrays(folder, each) for each in results), strict=True)
    counts = [len(each) for each in images]
    try:
        manifest, records = _joined_manifest([each["manifest"] for each in results], counts)
        layout = {"initial_layout": list(config.initial_layout)}
        manifest["sampling"] = {**manifest["sampling"], **asdict(config), **layout}
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InvalidData(
            f"Results of blocks in {folder / 'items'} cannot be used "
            f"({type(error).__name__}: {error}): remove them, and they are done again."
        ) from error
    if manifest["labels"] is not None:
        manifest["classes"] = run.class_positions()
    manifest["blocks"] = {
        "images": size,
        "count": len(counts),
        "seeds": [block_seed(config.seed, number) for number in range(len(counts))],
    }
    return Samples(np.concatenate(images), np.concatenate(paths, axis=1), manifest, tuple(records))


def _arrays(folder: Path, result: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    name, digest = result.get("file"), result.get("sha256")
    if not isinstance(name, str) or not _FILE.fullmatch(name):
        raise InvalidData(f"A block in {folder} names no file of arrays, got {name!r:.60}.")
    path = folder / FOLDER / name
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != digest:
        raise InvalidData(f"{path} is missing or not what its block wrote; sample again.")
    arrays = read_arrays(content, ["images", "trajectory"])
    return arrays["images"], arrays["trajectory"]


def _joined_manifest(
    found: Sequence[dict[str, Any]], counts: Sequence[int]
) -> tuple[dict[str, Any], list[StepRecord]]:
    whole = json.loads(json.dumps(found[0]))
    whole["seconds"] = math.fsum(each["seconds"] for each in found)
    if whole["labels"] is not None:
        whole["labels"] = [label for each in found for label in each["labels"]]
    for part in ("chain", "start"):
        if isinstance(whole.get(part), dict):
            whole[part] = _joined_lists([each[part] for each in found], counts)
    records: list[StepRecord] = []
    if whole["device"] is not None:
        devices = [each["device"] for each in found]
        records = _joined_records([each["steps"] for each in devices], counts)
        whole["device"]["steps"] = [record.to_dict() for record in records]
        runner = whole["device"]["runner"]
        for name in ("jobs", "circuits", "total_shots", "seconds"):
            runner[name] = sum(each["runner"][name] for each in devices)
        on = runner["options"].get("circuits_on")
        if on is not None:
            told = [each["runner"]["options"]["circuits_on"] for each in devices]
            runner["options"]["circuits_on"] = {name: sum(t[name] for t in told) for name in on}
        if "value_errors" in whole["device"]:
            errors = zip(*(each["value_errors"] for each in devices), strict=True)
            whole["device"]["value_errors"] = [
                {**same[0], "standard_error": _rms([e["standard_error"] for e in same], counts)}
                for same in errors
            ]
    return whole, records


def _joined_lists(found: Sequence[dict[str, Any]], counts: Sequence[int]) -> dict[str, Any]:
    """Join lists with an entry for each image; the rest is the first block's."""
    whole = dict(found[0])
    for name, value in whole.items():
        if isinstance(value, list) and len(value) == counts[0]:
            whole[name] = [entry for each in found for entry in each[name]]
    if isinstance(whole.get("rounds"), int):
        whole["rounds"] = max(each["rounds"] for each in found)
    return whole


def _joined_records(
    found: Sequence[Sequence[dict[str, Any]]], counts: Sequence[int]
) -> list[StepRecord]:
    """Join the blocks' records of each step and call: means over images, and the worst verdict."""
    joined = []
    for same in zip(*found, strict=True):
        first = same[0]
        if len({(each["step"], each.get("call")) for each in same}) > 1:
            raise ValueError("its blocks have other steps")
        worst = min(same, key=lambda each: each["signal_left"])
        sentence = worst["sentence"]
        if len({each["sentence"] for each in same}) > 1:
            sentence += f" (Worst of {len(same)} blocks.)"
        mitigated = [each["mitigated_distance"] for each in same]
        errors = [each.get("standard_error") for each in same]
        loaded = None
        if first.get("loaded") is not None:
            loaded = [value for each in same for value in each["loaded"]]
        joined.append(
            StepRecord(
                step=first["step"],
                raw_distance=_mean([each["raw_distance"] for each in same], counts),
                mitigated_distance=None if None in mitigated else _mean(mitigated, counts),
                signal_left=_mean([each["signal_left"] for each in same], counts),
                erased_images=sum(each["erased_images"] for each in same),
                postselected=_mean([each["postselected"] for each in same], counts),
                sentence=sentence,
                call=first.get("call"),
                loader=first.get("loader"),
                loaded=loaded,
                standard_error=_rms(errors, counts),
            )
        )
    return joined


def _mean(values: Sequence[float], counts: Sequence[int]) -> float:
    return math.fsum(v * n for v, n in zip(values, counts, strict=True)) / sum(counts)


def _rms(values: Sequence[float | None], counts: Sequence[int]) -> float | None:
    known = [(v * v, n) for v, n in zip(values, counts, strict=True) if v is not None]
    if not known:
        return None
    return math.sqrt(math.fsum(v * n for v, n in known) / sum(n for _, n in known))


def _plain(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return JSON values, the same from a worker as from a file."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(content)))
    return plain
