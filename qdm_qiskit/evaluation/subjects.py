"""Subjects of an evaluation: samples of runs, and the reference images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ..arguments import checked_path
from ..data import Dataset, LoadedData, RowFormat, Split, load_with_source, row_format
from ..data.npz import read_npz
from ..data.places import absolute_place
from ..diffusion import VelocityPrediction
from ..errors import InvalidCheckpoint, InvalidData, InvalidOption, MissingData
from ..files import read_json_object
from ..models import Denoiser, has_model, model_class
from ..models.competitors import Competitor
from ..models.on_latents import ComparedLatents
from ..rng import derived_seed
from ..sampling import Sampler, SamplingConfig, TrainedRun, load_run, sample
from ..sampling.samples import SCHEMA as SAMPLES_SCHEMA
from ..sampling.samples import read_images
from ..sampling.schedulers import planned_chain
from ..training import RunConfig, run_from_dict
from ..training.beside import FOLDER as BESIDE
from ..training.beside import has_beside, load_beside, read_losses
from ..training.competitors import FOLDER as COMPETITORS
from ..training.competitors import load_competitors, read_competitors
from ..training.run_data import NOT_VERIFIED, at_place, has_files, load_data, verified
from .image_metrics import check_images
from .owed import owed, owed_to_model

__all__ = [
    "PATH_NUMBERS",
    "Part",
    "Reference",
    "Subject",
    "asked_classes",
    "beside_subjects",
    "competitor_subjects",
    "labels_of",
    "load_reference",
    "run_subject",
    "samples_subject",
    "subject_of",
    "whole_split",
    "with_data_at",
]

PATH_NUMBERS = 2**26
"""Numbers of one batch's whole path from noise to images, which sampling holds in memory."""

Part = Literal["train", "test"]


@dataclass(frozen=True)
class Subject:
    """Images of one model, or the promise of them."""

    name: str
    source: str
    """Source of the images, in words."""
    config: RunConfig
    """The run that the model was trained in."""
    shape: tuple[int, int, int]
    """Channels, height and width."""
    draw: Callable[[int], np.ndarray]
    """Gives images in [0, 1], at most as many as asked for."""
    dataset: Dataset | None = None
    """The run's data set itself, where its name is not known here."""
    labels: Callable[[int], np.ndarray] | None = None
    """Gives the classes that :attr:`draw`'s images were asked to be of; None where nobody asked."""
    owes: str = ""
    """What its images owe to which part, in words."""
    origin: Mapping[str, Any] | None = None
    """JSON values from which :func:`subject_of` makes it in another process; None where it holds
    objects that have no name."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Remark on what is unknown of its data."""
        return () if self.config.record is not None else (f"{self.name}: {NOT_VERIFIED}",)

    def training_split(self) -> Split:
        """The images that its model was trained and tested on."""
        return load_data(self.config, self.dataset).split


def run_subject(
    folder: str | Path,
    *,
    seed: int,
    scheduler: str | Sampler = "process",
    num_inference_steps: int | None = None,
    dataset: Dataset | None = None,
    model: Denoiser | None = None,
    name: str | None = None,
) -> Subject:
    """A trained run, from which images are sampled when they are asked for.

    Args:
        folder: As for :func:`~qdm_qiskit.sampling.load_run`.
        seed: Seed of the samples.
        scheduler: A sampler or its name, see :func:`~qdm_qiskit.sampling.sample`.
        num_inference_steps: Its steps.
        dataset: The data set that it was trained on, where that is no name that is known here.
        model: A denoiser in the place of the run's own, for the same process.
        name: Name in the table; the folder's if None.

    Raises:
        MissingData, InvalidData, InvalidCheckpoint: If the run cannot be loaded.
        InvalidOption: If the scheduler does not fit its process.
    """
    folder = checked_path(folder, "folder")
    run = load_run(folder)
    if model is not None:
        run = replace(run, model=model)
    guided = bool(getattr(run.config.model_options, "guided", False))
    sampler, times = planned_chain(run.process, scheduler, num_inference_steps)
    steps = len(times)
    numbers = (steps + 1) * int(np.prod(run.model.image_shape))

    def draw(count: int) -> np.ndarray:
        batch = min(count, max(1, PATH_NUMBERS // numbers))
        if guided and batch < count:  # so that each batch begins with the first class
            batch = max(1, batch // run.num_classes) * run.num_classes
        parts = []
        for index, start in enumerate(range(0, count, batch)):
            config = SamplingConfig(
                num_images=min(batch, count - start),
                seed=derived_seed(seed, "evaluation", 20, index),
                num_inference_steps=num_inference_steps,
            )
            parts.append(sample(run, config, sampler=scheduler).images)
        return np.concatenate(parts)

    chain = "its own chain" if scheduler == "process" else f"scheduler {sampler.name}"
    source = f"sampled exactly (engine) by {chain}, {steps} steps, seed {seed}"
    name = folder.resolve().name if name is None else name
    labels = asked_classes(run) if guided else None
    shape, owes = run.model.image_shape, "; ".join(owed_to_model(run.model, run.config))
    origin = None
    if isinstance(scheduler, str) and model is None and dataset is None:
        origin = {
            "kind": "run",
            "folder": str(run.checkpoint.absolute()),
            "weights": run.weights_sha256,
            "seed": seed,
            "scheduler": scheduler,
            "steps": num_inference_steps,
            "name": name,
        }
    return Subject(name, source, run.config, shape, draw, dataset, labels, owes, origin)


def asked_classes(run: TrainedRun) -> Callable[[int], np.ndarray]:
    """Return what gives the labels of samples whose class nobody chose: the classes in turn."""
    known = np.array(list(run.class_positions()))
    return lambda count: known[np.arange(count) % len(known)]


def beside_subjects(
    folder: str | Path,
    *,
    seed: int,
    scheduler: str | Sampler = "process",
    num_inference_steps: int | None = None,
    dataset: Dataset | None = None,
) -> list[Subject]:
    """Return what stands beside a run's model, sampled as the run is; empty where nothing does.

    Args, errors: as for :func:`run_subject`.
    """
    run = load_run(checked_path(folder, "folder"))
    base = run.checkpoint.parent.parent
    if not has_beside(run.model, run.config) or not read_losses(base):
        return []
    assert isinstance(run.model, ComparedLatents)
    assert isinstance(run.process, VelocityPrediction)
    found = []
    for name, model in load_beside(base, run.model, run.process).items():
        options: dict[str, Any] = {"seed": seed, "num_inference_steps": num_inference_steps}
        each = run_subject(
            folder, scheduler=scheduler, dataset=dataset, model=model, name=name, **options
        )
        if isinstance(scheduler, str) and dataset is None:
            origin = {
                "kind": "beside",
                "folder": str(run.checkpoint.absolute()),
                "weights": run.weights_sha256,
                "beside": _sha256(base / BESIDE / f"{name}.safetensors"),
                "seed": seed,
                "scheduler": scheduler,
                "steps": num_inference_steps,
                "name": name,
            }
            each = replace(each, origin=origin)
        found.append(each)
    return found


def competitor_subjects(
    folder: str | Path, *, seed: int, dataset: Dataset | None = None
) -> list[Subject]:
    """Return the classical generators that were fitted beside a run; empty where none was.

    Args:
        folder: As for :func:`run_subject`.
        seed: Seed of the samples.
        dataset: As for :func:`run_subject`.

    Raises:
        MissingData, InvalidData, InvalidCheckpoint: If the run or a file cannot be used.
    """
    run = load_run(checked_path(folder, "folder"))
    base = run.checkpoint.parent.parent
    record = read_competitors(base)
    guided = bool(getattr(run.config.model_options, "guided", False))
    positions = torch.tensor(list(run.class_positions().values())) if guided else None

    def drawn(competitor: Competitor) -> Callable[[int], np.ndarray]:
        def draw(count: int) -> np.ndarray:
            told = None if positions is None else positions[torch.arange(count) % len(positions)]
            source = torch.Generator().manual_seed(derived_seed(seed, "evaluation", 21))
            return competitor.draw(count, told, source).numpy()

        return draw

    found = []
    for name, each in load_competitors(base, run.model).items():
        owes = f"no circuit; {each.num_parameters:,} trained numbers make an image"
        if each.num_trained > each.num_parameters:
            owes += f", {each.num_trained - each.num_parameters:,} more in training"
        origin = None
        if dataset is None:
            origin = {
                "kind": "competitor",
                "folder": str(run.checkpoint.absolute()),
                "weights": run.weights_sha256,
                "competitor": _sha256(base / COMPETITORS / f"{name}.safetensors"),
                "seed": seed,
                "name": name,
            }
        found.append(
            Subject(
                name,
                f"classical, fitted in {record[name]['steps']:,} steps, seed {seed}",
                run.config,
                run.model.image_shape,
                drawn(each),
                dataset,
                asked_classes(run) if guided else None,
                owes,
                origin,
            )
        )
    return found


def samples_subject(folder: str | Path) -> Subject:
    """Samples that `qdm sample` has written.

    Args:
        folder: With ``samples.npz`` and ``manifest.json``.

    Raises:
        MissingData: If the folder holds no samples.
        InvalidData: If a file is damaged, or the images cannot be used.
    """
    folder = checked_path(folder, "folder")
    if not (folder / "manifest.json").is_file():
        raise MissingData(
            f"There are no samples in {folder}: make some with `qdm sample RUN --out {folder}`."
        )
    manifest = read_json_object(folder / "manifest.json")
    if manifest.get("schema") != SAMPLES_SCHEMA or not isinstance(manifest.get("run"), dict):
        raise InvalidData(f"{folder / 'manifest.json'} is not of schema '{SAMPLES_SCHEMA}'.")
    try:
        config = run_from_dict(manifest["run"])
    except InvalidOption as error:
        raise InvalidCheckpoint(f"{folder / 'manifest.json'} cannot be used: {error}") from error
    path = folder / "samples.npz"
    sampling = manifest.get("sampling")
    count = sampling.get("num_images") if isinstance(sampling, dict) else None
    try:
        images = read_images(path, count if isinstance(count, int) else None)
    except InvalidData as error:
        raise InvalidData(f"{path} holds no samples of `qdm sample`: {error}.") from error
    check_images(images, f"samples in {folder}")
    target = sampling.get("target", "engine") if isinstance(sampling, dict) else "engine"
    channels, height, width = images.shape[1:]
    return Subject(
        name=folder.resolve().name,
        source=f"read from its folder, sampled on {target}",
        config=config,
        shape=(channels, height, width),
        draw=lambda count: images[:count],
        labels=labels_of(manifest, len(images)),
        owes=owed(config, manifest),
        origin={
            "kind": "samples",
            "folder": str(folder.absolute()),
            "images": _sha256(path),
            "manifest": _sha256(folder / "manifest.json"),
        },
    )


def subject_of(origin: Mapping[str, Any]) -> Subject:
    """Return the subject that :attr:`Subject.origin` tells of.

    Raises:
        InvalidData: If its files are others now.
        Others: As :func:`run_subject`, :func:`beside_subjects` and :func:`samples_subject`.
    """
    folder = Path(origin["folder"])
    if origin["kind"] == "samples":
        found = samples_subject(folder)
    elif origin["kind"] == "competitor":
        others = {each.name: each for each in competitor_subjects(folder, seed=origin["seed"])}
        if origin["name"] not in others:
            raise InvalidData(f"{folder} has no '{origin['name']}' beside its model any more.")
        found = others[origin["name"]]
    else:
        options: dict[str, Any] = {
            "seed": origin["seed"],
            "scheduler": origin["scheduler"],
            "num_inference_steps": origin["steps"],
        }
        if origin["kind"] == "run":
            found = run_subject(folder, name=origin["name"], **options)
        else:
            named = {each.name: each for each in beside_subjects(folder, **options)}
            if origin["name"] not in named:
                raise InvalidData(f"{folder} has no '{origin['name']}' beside its model any more.")
            found = named[origin["name"]]
    if found.origin != origin:
        raise InvalidData(
            f"{folder} has other files than when this evaluation began: begin it again."
        )
    return found


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def labels_of(manifest: Mapping[str, Any], count: int) -> Callable[[int], np.ndarray] | None:
    """Return what gives the labels of finished samples; None of a model that is not guided.

    Args:
        manifest: Record of the samples.
        count: Number of samples.

    Raises:
        InvalidData: If the record's labels do not fit.
    """
    told, classes = manifest.get("labels"), manifest.get("classes")
    if told is None or classes is None:
        return None
    try:
        names = {int(position): int(label) for label, position in classes.items()}
        found = np.array([names[position] for position in told])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidData(f"A manifest's labels are positions in its classes: {error}.") from error
    if len(found) != count:
        raise InvalidData(f"A manifest has a label for each of {count} images, got {len(found)}.")
    return lambda first: found[:first]


def with_data_at(subjects: Sequence[Subject], places: Sequence[Path]) -> list[Subject]:
    """Subjects whose data lie somewhere else now, each with the first place that holds them.

    Args:
        subjects: Runs and folders of samples.
        places: ``.npz`` files, and folders of published files. A run whose data none of them holds
            looks where they were.

    Raises:
        InvalidData: If a place holds nobody's data.
    """
    refusals: dict[Path, str] = {}
    used = set()

    def placed(subject: Subject) -> Subject:
        for place in places if has_files(subject.config) else ():
            try:
                moved = at_place(subject.config, place)
                load_data(moved)
            except (InvalidData, InvalidOption, MissingData) as error:
                refusals[place] = str(error)
                continue
            used.add(place)
            return replace(subject, config=moved)
        return subject

    found = [placed(subject) for subject in subjects]
    for place in places:
        if place not in used:
            reason = refusals.get(place, "No other run's data are files.")
            raise InvalidData(f"{place} does not hold the data of a run in this table. {reason}")
    return found


@dataclass(frozen=True)
class Reference:
    """The real images."""

    dataset: str
    part: Part
    """Part of the data set that they are."""
    images: np.ndarray
    """``(count, channels, height, width)``: what samples are compared with."""
    labels: np.ndarray
    """``(count,)``: their classes."""
    other_labels: np.ndarray
    """Classes of :attr:`others`."""
    others: np.ndarray
    """Images of the other part: what real images score."""
    split: Split
    """Both parts, of the runs' classes."""
    whole: Split
    """Both parts, of all classes: what the domain classifier learns from."""
    own: bool
    """True if it is the first subject's own data set."""
    rows: RowFormat | None = None
    """What the images mean, where they are rows of numbers."""


def load_reference(
    subjects: Sequence[Subject], dataset: str | Dataset | None, part: Part, count: int
) -> Reference:
    """Reference images of the size of the subjects' images.

    Args:
        subjects: At least one; the first decides on classes and on the seed of the split.
        dataset: A data set or its name, or ``npz:PATH``; None takes the first subject's own.
        part: "test" or "train".
        count: Reference images at most.

    Raises:
        InvalidOption, UnknownName, MissingData: As for :func:`~qdm_qiskit.data.load_dataset`.
        InvalidData: If the subjects' images differ in size, or the reference's do.
    """
    first = subjects[0]
    for subject in subjects[1:]:
        if subject.shape != first.shape:
            raise InvalidData(
                f"Runs in one table need images of one size: {first.name} has "
                f"{_shape(first.shape)}, {subject.name} {_shape(subject.shape)}; evaluate them apart."
            )
    _, height, width = first.shape
    if has_model(first.config.model) and model_class(first.config.model).data_kind == "states":
        raise InvalidData(
            f"Evaluation compares images, and {first.name} makes quantum states: `qdm report states` "
            "says how near they are to fresh data."
        )
    if height != width:
        raise InvalidData(
            f"Evaluation compares square images, but {first.name} makes arrays of {height} x {width}: "
            "it is no image model."
        )
    data = first.config.data
    if isinstance(dataset, Dataset):
        name = dataset.name
    else:
        name = data.dataset if dataset is None else dataset
    name = absolute_place(name, None)[0]
    own = name == absolute_place(data.dataset, None)[0]
    if not own and name.startswith("npz:"):
        pixels = read_npz(name.removeprefix("npz:"))[0].pixels
        if pixels.shape[1:] != first.shape:
            raise InvalidData(
                f"The reference {name} has images of {_shape(pixels.shape[1:])}, {first.name} of "
                f"{_shape(first.shape)}: bring them to one size first."
            )
    given = dataset if isinstance(dataset, Dataset) else first.dataset if own else None
    whole = whole_split(first.config, first.shape, name, given=given)
    split = (
        whole_split(first.config, first.shape, name, data.classes, given=given) if own else whole
    )
    chosen, others = (split.test, split.train) if part == "test" else (split.train, split.test)
    return Reference(
        dataset=name,
        part=part,
        images=chosen.images[:count],
        labels=chosen.labels[:count],
        others=others.images[:count],
        other_labels=others.labels[:count],
        split=split,
        whole=whole,
        own=own,
        rows=row_format(name if given is None else given),
    )


def whole_split(
    config: RunConfig,
    shape: tuple[int, int, int],
    dataset: str,
    classes: tuple[int, ...] = (),
    *,
    given: Dataset | None = None,
) -> Split:
    """All images of a data set, divided as a run divides them, at the size of its images.

    Args:
        config: The run: its seed and test fraction divide the images.
        shape: Channels, height and width.
        dataset: The run's own data set, or another.
        classes: Classes to keep; all if empty.
        given: The data set itself, where its name is not known here.

    Raises: as :func:`~qdm_qiskit.data.load_dataset`, and for the run's own data as
        :func:`~qdm_qiskit.training.run_data.load_data`.
    """
    data = config.data
    own = absolute_place(dataset, None) == absolute_place(data.dataset, None)

    def load() -> LoadedData:
        return load_with_source(
            dataset if given is None else given,
            image_size=shape[1],
            channels=shape[0],
            classes=classes or None,
            test_fraction=data.test_fraction,
            seed=config.training.seed,
            folder=data.folder if own else None,
        )

    return (verified(config, load) if own else load()).split


def _shape(shape: Sequence[int]) -> str:
    channels, height, width = shape
    return f"{height} x {width} pixels in {channels} channel{'s' if channels > 1 else ''}"
