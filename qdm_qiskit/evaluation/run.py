"""The page of a run: its training, its comparisons, and each target's samples."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..archives import Headers, read_arrays
from ..arguments import checked_path
from ..data import Split
from ..errors import InvalidData, MissingData
from ..files import read_json_object
from ..layers.arrays import to_array
from ..rng import derived_seed
from ..sampling import load_run
from ..sampling.samples import SCHEMA as SAMPLES_SCHEMA
from ..sampling.step_records import SHOT_NOISE_ONLY
from ..training import load_split, read_history
from ..training.constant_predictions import constant_predictions
from ..training.run_data import NOT_VERIFIED, at_place
from .paths import forward_paths

__all__ = [
    "SCHEMA",
    "RunPictures",
    "RunReport",
    "TargetSummary",
    "nearest_distance",
    "run_report",
]

SCHEMA = "qdm-run-report/1"
MOST_PATH_VALUES = 10**8
"""Most values of a path out of noise that a report reads; a longer one is left out."""


@dataclass(frozen=True)
class TargetSummary:
    """Content of one folder of samples."""

    folder: str
    """Name of the folder."""
    target: str
    shots: int | None
    mitigation: str
    raw_distance: float | None
    """Total variation distance from the exact distribution, mean over steps and images."""
    mitigated_distance: float | None
    signal_left: float | None
    """Share of the exact distribution's signal, mean over steps and images."""
    two_qubit_gates: int | None
    expected_success: float | None
    sentence: str
    """The verdict over all steps, or that the target is exact."""
    nearest_distance: float
    """Root mean square pixel distance to the nearest training image, mean over the samples."""


@dataclass(frozen=True)
class RunReport:
    """A run in numbers; the images stand beside it."""

    name: str
    model: str
    parameters: int
    quantum_parameters: int
    qubits: int
    config: dict[str, Any]
    history: tuple[dict[str, float], ...]
    """A row of metrics an epoch."""
    warnings: tuple[str, ...]
    """Faults of the last epoch, a sentence each."""
    noise_nearest_distance: float
    """``nearest_distance`` of the noise that the chain starts from: the far end of the scale."""
    data_nearest_distance: float
    """The same for unseen test images: the near end of the scale."""
    targets: tuple[TargetSummary, ...]
    notes: tuple[str, ...] = ()
    """Remark on what is unknown of it."""

    def to_dict(self) -> dict[str, Any]:
        """JSON values, with the schema's name."""
        return {"schema": SCHEMA, **asdict(self)}


@dataclass(frozen=True)
class RunPictures:
    """The images of a run."""

    forward: np.ndarray
    """``(T + 1, channels, height, width)``: one training image on its way to noise."""
    samples: dict[str, np.ndarray]
    """Name to ``(count, channels, height, width)``."""
    chains: dict[str, np.ndarray] = field(default_factory=dict)
    """Name to ``(steps + 1, count, channels, height, width)``: some samples' way out of noise."""


def run_report(run: str | Path, *, data: Path | None = None) -> tuple[RunReport, RunPictures]:
    """Collect a trained run and the samples in its sub-folders.

    Args:
        run: The run's folder.
        data: Where the files of its data lie now; None looks where they were.

    Returns:
        Numbers and pictures; nothing is written.

    Raises:
        MissingData: If there is no run or it has no metrics.
        InvalidCheckpoint, InvalidData: If a file cannot be used, or the data are not the run's.
    """
    run = checked_path(run, "run")
    trained = load_run(run)
    split = load_split(at_place(trained.config, data))
    folders = sorted(each.parent for each in run.glob("*/manifest.json"))
    pictures: dict[str, np.ndarray] = {"test images": split.test.images[:16]}
    chains: dict[str, np.ndarray] = {}
    targets = []
    for folder in folders:
        manifest = read_json_object(folder / "manifest.json")
        if manifest.get("schema") != SAMPLES_SCHEMA:
            continue
        images = _images(folder / "samples.npz")
        pictures[folder.name] = images[:16]
        way = _way(folder / "samples.npz", images)
        if way is not None:
            chains[folder.name] = way[:, :16]
        targets.append(_summary(folder.name, manifest, images, split))
    if not targets:
        raise MissingData(
            f"There are no samples in {run}: make some with `qdm sample {run} --out {run / 'exact'}`."
        )
    targets.sort(key=lambda each: (each.target != "engine", each.folder))
    seed = trained.config.training.seed
    generator = torch.Generator().manual_seed(derived_seed(seed, "evaluation", 0))
    process = trained.process
    with torch.no_grad():
        path, _ = forward_paths(trained, torch.from_numpy(split.train.images[:1]), seed)
    start = process.start((64, *trained.model.state_shape), generator)
    noise = to_array(trained.model.decode_data(process.to_images(start).clamp(0, 1)))
    history = read_history(run)
    order = ["test images", *(each.folder for each in targets)]
    report = RunReport(
        name=run.resolve().name,
        model=trained.model.name,
        parameters=trained.model.num_parameters,
        quantum_parameters=trained.model.num_quantum_parameters,
        qubits=trained.model.num_qubits,
        config=trained.config.to_dict(),
        history=history,
        warnings=constant_predictions(history[-1]),
        noise_nearest_distance=nearest_distance(noise, split.train.images),
        data_nearest_distance=nearest_distance(split.test.images, split.train.images),
        targets=tuple(targets),
        notes=()
        if trained.config.record is not None
        else (f"{run.resolve().name}: {NOT_VERIFIED}",),
    )
    shown = {name: pictures[name] for name in order}
    ways = {name: chains[name] for name in order if name in chains}
    return report, RunPictures(path[:, 0], shown, ways)


def nearest_distance(images: np.ndarray, references: np.ndarray) -> float:
    """Root mean square pixel distance to the nearest reference, mean over the images.

    Args:
        images: ``(count, channels, height, width)``.
        references: ``(others, channels, height, width)``.

    Returns:
        0 for copies; for images in [0, 1] at most 1.
    """
    flat, other = (each.reshape(len(each), -1).astype(np.float64) for each in (images, references))
    squared = (flat**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * flat @ other.T
    return float(np.sqrt(np.clip(squared.min(axis=1), 0, None) / flat.shape[1]).mean())


def _summary(
    name: str, manifest: dict[str, Any], images: np.ndarray, split: Split
) -> TargetSummary:
    device = manifest["device"]
    steps = [] if device is None else device["steps"]

    def mean(key: str) -> float | None:
        values = [step[key] for step in steps if step[key] is not None]
        return float(np.mean(values)) if values else None

    sampling = manifest["sampling"]
    circuit = {} if device is None else device["circuit"]
    return TargetSummary(
        folder=name,
        target=sampling["target"],
        shots=sampling["shots"],
        mitigation=sampling["mitigation"],
        raw_distance=mean("raw_distance"),
        mitigated_distance=mean("mitigated_distance"),
        signal_left=mean("signal_left"),
        two_qubit_gates=circuit.get("two_qubit_gates"),
        expected_success=circuit.get("expected_success"),
        sentence=_verdict(steps, mean("signal_left")),
        nearest_distance=nearest_distance(images, split.train.images),
    )


def _verdict(steps: list[dict[str, Any]], left: float | None) -> str:
    """One sentence over all steps; the share of the signal is their mean."""
    if not steps or left is None:
        return "No device noise."
    if steps[-1]["sentence"] == SHOT_NOISE_ONLY:
        return SHOT_NOISE_ONLY
    erased = sum(step["erased_images"] > 0 for step in steps)
    share = f"about {min(1.0, left):.0%} of the signal is left in a step"
    if erased:
        return f"The device's noise has erased images in {erased} of {len(steps)} steps; {share}."
    if left < 0.5:
        return f"The device's noise has erased most of the signal: {share}."
    return f"The signal survives the device's noise: {share}."


def _images(path: Path) -> np.ndarray:
    try:
        return read_arrays(path, ["images"])["images"]
    except (InvalidData, KeyError) as error:
        raise InvalidData(f"{path} holds no samples of `qdm sample`: {error}.") from error


class _TooLong(InvalidData):
    """A path that is too long for a page."""


def _way(path: Path, images: np.ndarray) -> np.ndarray | None:
    """Return the path of samples out of noise; None if it was not kept, or is too long for a page."""

    def short(headers: Headers) -> None:
        header = headers.get("trajectory")
        if header is not None and math.prod(header.shape) > MOST_PATH_VALUES:
            raise _TooLong("its path is too long")

    try:
        way = read_arrays(path, ["trajectory"], check=short).get("trajectory")
    except _TooLong:
        return None
    if way is not None and (way.ndim != 5 or way.shape[1:] != images.shape):
        raise InvalidData(f"{path} holds a path of other images than its own.")
    return way
