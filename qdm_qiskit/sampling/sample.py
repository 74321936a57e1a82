"""Sample images from a trained run and write them down."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..arguments import checked_path, of_kind
from ..circuits import Loader
from ..circuits.amortised import FOLDER as NETWORKS
from ..circuits.amortised import take_networks
from ..data import RowFormat, Split, save_grid
from ..data.places import own_file
from ..data.record import listed
from ..data.rows import row_format_from_dict
from ..diffusion import DiffusionProcess, OnStep, make_process
from ..doors import outside_names
from ..errors import (
    InvalidCheckpoint,
    InvalidData,
    InvalidOption,
    MissingData,
    OutputNotWritable,
    TargetUnavailable,
)
from ..execution.devices import DEVICES
from ..execution.runner import CircuitRunner
from ..execution.targets import Target, parse_target
from ..files import check_writable, read_json_object, write_atomic, write_json, write_text
from ..layers.arrays import device_of, to_array
from ..mitigation.readout import ReadoutCalibration
from ..mitigation.refit import AffineCorrection
from ..models import Denoiser, load_model, take_class
from ..noise_sources import NoiseSource, find_source
from ..noise_sources.generators import WORDS, generator_of
from ..noise_sources.source import source_origin
from ..notebook import card, facts, folded, one_line
from ..progress import Message, Progress, silent
from ..rng import derived_seed, stream
from ..training import RunConfig, find_checkpoint, load_split, run_from_dict, weights_folder
from ..training.run_data import classes_of
from ..training.targets.device import Place
from ..training.targets.places import read_places
from .analytic import fitted
from .at_once import chosen_chain, run_at_once, runner_of
from .call_targets import KeptCircuits
from .coherent import ChainResult
from .config import SamplingConfig
from .device import (
    DevicePredictor,
    EnginePredictor,
    StepRecord,
    check_has_calls,
)
from .loader_choice import AUTO, LoaderChoice, choose_loader, loaded_vectors
from .loader_names import resolved_loader
from .refit_record import on_refitted_qubits, read_refit
from .samplers import Sampler
from .schedulers import planned_chain, sampler_origin, scheduled_chain
from .shown import samples_card, summary
from .starts import started

__all__ = [
    "OUTPUTS",
    "PACKAGES",
    "PIPELINE_FILE",
    "SCHEMA",
    "Samples",
    "TrainedRun",
    "best_loader",
    "check_output",
    "chosen_labels",
    "load_run",
    "read_calibration",
    "sample",
    "write_samples",
]

SCHEMA = "qdm-samples/1"
PIPELINE_FILE = "pipeline.json"
"""Name of the run's configuration file beside a model that stands alone."""
OUTPUTS = ("samples.npz", "samples.png", "samples.csv", "calibration.json", "manifest.json")
"""Files that a sampling run may leave in its folder, in the order of writing."""
PACKAGES = (
    "qdm_qiskit",
    "qiskit",
    "qiskit-aer",
    "qiskit-ibm-runtime",
    "mthree",
    "torch",
    "numpy",
)


@dataclass(frozen=True)
class Samples:
    """Sampled images, with their path and record."""

    images: np.ndarray
    """``(count, channels, height, width)`` float32 in [0, 1]."""
    trajectory: np.ndarray
    """``(T + 1, count, channels, height, width)``: x_T .. x_0, the last of which are the images."""
    manifest: dict[str, Any]
    """Versions, seeds, shots, layout, calibration, steps."""
    records: tuple[StepRecord, ...]
    """Measurements of each step, for targets that run circuits."""
    circuit: Any = None
    """Transpiled circuit of a model of one, for targets that run circuits."""

    @property
    def rows(self) -> RowFormat | None:
        """What the images mean, where the run's data are rows of numbers."""
        record = (self.manifest.get("run") or {}).get("record") or {}
        return row_format_from_dict(record["rows"]) if "rows" in record else None

    def table(self) -> str:
        """Return samples of rows as the text of a CSV file; a guided model's class is the last column.

        Raises:
            InvalidData: If the run's data are images.
        """
        rows, told = self.rows, self.manifest.get("labels")
        if rows is None:
            raise InvalidData("These samples are images, and only rows of numbers make a table.")
        if told is None:
            return rows.csv(self.images)
        names = {
            int(position): rows.classes[int(label)]
            for label, position in self.manifest["classes"].items()
        }
        return rows.csv(self.images, [names[position] for position in told])

    def __repr__(self) -> str:
        return one_line("Samples", *summary(self.images, self.manifest))

    def _repr_html_(self) -> str:
        return samples_card("Samples", self.images, self.manifest, self.records)


@dataclass(frozen=True)
class TrainedRun:
    """A trained model, its process and its configuration."""

    model: Denoiser
    process: DiffusionProcess
    config: RunConfig
    checkpoint: Path
    num_classes: int
    """Number of classes of a guided model."""
    refit: dict[str, Any] | None = None
    """Record of the refit that made the model, if one did."""

    def __repr__(self) -> str:
        return one_line("TrainedRun", self.config.model, self.checkpoint)

    def _repr_html_(self) -> str:
        config = self.config
        return card(
            config.model,
            facts(
                [
                    ("checkpoint", self.checkpoint),
                    ("preset", config.preset),
                    ("data set", config.data.dataset),
                    ("classes", ", ".join(map(str, config.data.classes)) or "all"),
                    ("process", f"{config.diffusion.process}, {self.process.num_steps} steps"),
                    ("epochs planned", config.training.epochs),
                ]
            ),
            folded("model", *self.model.shown()),
            about="trained run",
        )

    def class_positions(self) -> dict[int, int]:
        """Labels that a guided model has seen in training, each with its position for the model.

        A run of version 0.1 kept no labels: they are the chosen ones, those in its own file, or all
            of its data set.

        Raises:
            MissingData, InvalidData: If such a run's labels are in a missing file.
        """
        config, record = self.config, self.config.record
        if record is not None:
            return {label: record.classes.index(label) for label in sorted(record.train_classes)}
        classes = sorted(set(config.data.classes))
        if not classes and own_file(config.data.dataset) is not None:
            return _positions_in(load_split(config))
        return {label: k for k, label in enumerate(classes or range(self.num_classes))}

    def places(self, config: SamplingConfig, target: Target) -> dict[str, Place]:
        """Return where circuits stand on a device that the run was trained for, by their layer.

        Args:
            config: Options; one that asks for other places, or for another circuit, has none of these.
            target: Its target.

        Raises:
            InvalidCheckpoint: If the run's file of places cannot be used.
        """
        own = config.initial_layout or config.tiles is not None or config.loader is not None
        if own or config.fractional_gates or target.backend is None:
            return {}
        if (self.checkpoint / PIPELINE_FILE).is_file():
            return {}
        known = read_places(self.checkpoint.parent.parent).get(target.backend, [])
        return {place.layer: place for place in known}

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the file of its weights."""
        return _file_hash(weights_folder(self.checkpoint) / "model.safetensors")

    @property
    def networks(self) -> Path:
        """The folder of the networks that give angles of its loaders; see :mod:`.amortise`."""
        single = (self.checkpoint / PIPELINE_FILE).is_file()
        return (self.checkpoint if single else self.checkpoint.parent.parent) / NETWORKS

    def with_loader(self, loader: Loader | str) -> TrainedRun:
        """Return the run with another loader in front of its circuits.

        Args:
            loader: A loader, or the name of one.

        Raises:
            UnknownName, InvalidOption, InvalidTemplate, InvalidExtension: As
                :meth:`.Denoiser.with_loader`.
            MissingData: If the run has no network of the name.
        """
        if isinstance(loader, str):
            loader = resolved_loader(self.networks, loader)
        model = self.model.with_loader(loader)
        return replace(self, model=model, config=replace(self.config, model_options=model.config))


def best_loader(
    run: TrainedRun, name: str, *, seed: int = 0, progress: Progress = silent
) -> LoaderChoice:
    """Return the choice that a loader's name such as ``auto:fake_torino`` asks for.

    Args:
        run: The run, whose own exact chain gives the vectors.
        name: ``auto:`` and a device.
        seed: Seed of that chain.
        progress: Receives a message for each candidate, and the choice in words.

    Raises:
        UnknownName: If there is no such device.
        TargetUnavailable: If the run's model loads no amplitudes.
    """
    vectors = loaded_vectors(run.model, run.process, seed=seed)
    choice = choose_loader(vectors, name.removeprefix(AUTO), progress=progress)
    progress(Message(choice.sentence()))
    return choice


def _positions_in(split: Split) -> dict[int, int]:
    classes = classes_of(split).tolist()
    return {label: classes.index(label) for label in np.unique(split.train.labels).tolist()}


def load_run(
    run: Path,
    *,
    model_class: type[Denoiser] | None = None,
    loader: Loader | str | None = None,
) -> TrainedRun:
    """Load a run's latest model, its process and its configuration.

    Args:
        run: The run's folder, the folder of one of its checkpoints, or a saved pipeline's.
        model_class: Class of a model that no package brings; from then on it is known by its name.
        loader: A loader, or its name, in place of the one that the model was trained with.

    Returns:
        All three, with the model on the CPU in evaluation mode.

    Raises:
        MissingData: If there is no run or checkpoint.
        InvalidCheckpoint: If the files cannot be used.

    >>> import tempfile, qdm_qiskit as qdm
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     small = dict(image_size=2, depth=1, num_steps=2, train_count=8, epochs=1, baseline=False)
    ...     run = qdm.train("eeqdm", f"{folder}/first", **small).run
    ...     found = qdm.load_run(run)
    >>> found.model.num_qubits, found.process.num_steps
    (3, 2)
    """
    run = checked_path(run, "run")
    if model_class is not None:
        take_class(model_class)
    single = (run / PIPELINE_FILE).is_file()
    checkpoint = run if single else find_checkpoint(run)
    config_file = run / PIPELINE_FILE if single else checkpoint.parent.parent / "config.json"
    if not config_file.is_file():
        raise MissingData(f"{run} is no run of `qdm train`: {config_file} is missing.")
    try:
        config = run_from_dict(read_json_object(config_file))
    except (InvalidData, InvalidOption) as error:
        raise InvalidData(f"{config_file} cannot be used: {error}") from error
    weights = weights_folder(checkpoint)
    take_networks((run if single else checkpoint.parent.parent) / NETWORKS)
    model = load_model(weights, expected=config.model).eval()
    if model.config != config.model_options:
        raise InvalidCheckpoint(
            f"{checkpoint} belongs to another run: it was saved with {model.config}, but "
            f"{config_file} says {config.model_options}."
        )
    num_classes = len(set(config.data.classes)) or getattr(config.model_options, "num_classes", 1)
    if config.record is not None:
        num_classes = len(config.record.train_classes)
    process, refit = make_process(config.diffusion), read_refit(run)
    made = TrainedRun(model, process, config, checkpoint, num_classes, refit)
    return made if loader is None else made.with_loader(loader)


@torch.no_grad()
def sample(
    run: TrainedRun,
    config: SamplingConfig,
    *,
    sampler: str | Sampler | None = None,
    calibration: ReadoutCalibration | None = None,
    corrections: Mapping[str, AffineCorrection] | None = None,
    noise_source: NoiseSource | None = None,
    runner: CircuitRunner | None = None,
    kept: KeptCircuits | None = None,
    first: int = 0,
    on_step: OnStep | None = None,
    progress: Progress = silent,
) -> Samples:
    """Walk the reverse chain on a target.

    Args:
        run: From :func:`load_run`.
        config: Target, images, shots, mitigation, seed.
        sampler: A sampler, which needs no registration, or its name; None takes ``config.scheduler``.
        calibration: A readout calibration to use in place of a new one.
        corrections: Corrections of measured values by call, of :func:`.corrections_of`, on targets
            that run circuits.
        noise_source: Source of the bits of x_T and of the noise of steps; that of
            ``config.noise_source`` if None.
        runner: Runner of the circuits, in place of the target's own, on the target's device.
        kept: What several samplings of the run on this target share, for blocks of images.
        first: Number of the first image, from which classes take turns.
        on_step: Called after each step with the number of steps left and x; a returned tensor
            replaces x.
        progress: Receives the progress messages, with the number of finished steps.

    Returns:
        The images, the path and the manifest.

    Raises:
        TargetUnavailable: If the target cannot be used here, or the model has no circuit to run.
        InvalidOption: If a label is given to a model that is not guided, or is out of range; or the
            sampler does not fit the run.
        InvalidData, InvalidExtension: If another package's sampler returns a state that no chain
            can go on with.
    """
    of_kind(run, TrainedRun, "run", "load_run(folder) reads one")
    of_kind(config, SamplingConfig, "config")
    config = on_refitted_qubits(config, run.refit)
    target = parse_target(config.target)
    choice: LoaderChoice | None = None
    if config.loader is not None:
        name = config.loader
        if name.startswith(AUTO):
            choice = best_loader(run, name, seed=config.seed, progress=progress)
            name = choice.best.loader
        name = resolved_loader(run.networks, name)
        config = replace(config, loader=name)
        run = run.with_loader(name)
    model, process = run.model, run.process
    labels = chosen_labels(run, config, first)
    if sampler is not None and config.scheduler != "process":
        raise InvalidOption(
            f"sampler is given, and config.scheduler is '{config.scheduler}' besides; leave one out."
        )
    chosen: str | Sampler = config.scheduler if sampler is None else sampler
    sampled_by, times = planned_chain(process, chosen, config.num_inference_steps, config.eta)
    sampled_by = fitted(run, sampled_by, times)
    clock = time.perf_counter()

    source = noise_source
    if source is None and config.noise_source is not None:
        source = find_source(config.noise_source)

    states: dict[int, Tensor] = {}

    def generator(step: int) -> torch.Generator:
        if source is not None:
            if step not in states:  # a step that asks twice draws the same noise
                made = generator_of(source, stream(config.seed, "sampling", step))
                states[step] = made.get_state()
            return torch.Generator().set_state(states[step])
        return torch.Generator().manual_seed(derived_seed(config.seed, "sampling", step))

    begun = started(
        run,
        config.num_images,
        seed=config.seed,
        start=config.start,
        labels=labels,
        generator=generator(0),
    )
    x = begun.x
    at_once, why = chosen_chain(run, config, sampler, x, labels)
    device: DevicePredictor | None = None
    if kept is not None and runner is None and target.kind != "engine":
        if kept.runner is None:
            kept.runner = runner_of(config, target)
        runner = kept.runner
        runner.restart(config.seed)
    if at_once is None:
        prediction, device = _prediction_on(
            run, config, target, labels, calibration, runner, kept, progress
        )
    if config.primitive == "estimator" and (at_once is not None or corrections):
        raise InvalidOption(
            "A chain in one circuit, and corrections of measured values, read probabilities, and an "
            "Estimator gives expectation values; use primitive 'sampler'."
        )
    if corrections:
        if device is None or at_once is not None:
            raise InvalidOption(
                "corrections are of values that circuits return step by step; choose a target such "
                "as 'noisy:fake_torino', and chain 'steps'."
            )
        device.target.corrections = corrections

    def images_of(x: Tensor) -> np.ndarray:
        return to_array(model.decode_data(process.to_images(x).to(device_of(model))))

    path = [images_of(x)]
    total = 1 if at_once else config.num_inference_steps or process.num_steps
    progress(Message("sampling", 0, total))

    def keep(step: int, x: Tensor) -> Tensor | None:
        changed = None if on_step is None else on_step(step, x)
        path.append(images_of(x if changed is None else changed))
        progress(Message("sampling", total - step, total))
        return changed

    walked: ChainResult | None = None
    if at_once is not None:
        walked, device = run_at_once(
            at_once, config, target, x, labels, calibration, runner, kept, progress
        )
        x_0 = walked.states
        changed = keep(0, x_0)
        data = process.to_images(x_0 if changed is None else changed).clamp(0, 1)
    else:
        data = scheduled_chain(
            process,
            prediction,
            x,
            generator,
            scheduler=sampled_by,
            steps=config.num_inference_steps,
            on_step=keep,
        )
    images = to_array(model.decode_data(data.to(device_of(model))))
    path[-1] = images
    manifest = {
        "schema": SCHEMA,
        "sampling": {**asdict(config), "initial_layout": list(config.initial_layout)},
        "sampler": {
            "name": sampled_by.name,
            **asdict(sampler_origin(chosen)),
            **_options_of(sampled_by),
        },
        "run": run.config.to_dict(),
        # Run, "checkpoints" and its name; the run's path on this machine is nobody's business.
        "checkpoint": "/".join(run.checkpoint.resolve().parts[-3:]),
        "model_sha256": run.weights_sha256,
        # The positions that the model was told, and the data's labels that they stand for.
        "labels": None if labels is None else labels.tolist(),
        "classes": None if labels is None else run.class_positions(),
        "versions": {package: version(package) for package in PACKAGES},
        "python": platform.python_version(),
        "seconds": time.perf_counter() - clock,
        "device": None if device is None else {**device.manifest(), **_origin_of(target)},
    }
    if corrections:
        manifest["corrections"] = {name: each.to_dict() for name, each in corrections.items()}
    if run.refit is not None:
        manifest["refit"] = run.refit
    if begun.record is not None:
        manifest["start"] = begun.record
    if source is not None:
        manifest["noise_source"] = {
            **source.record(),
            "bits_a_step": 32 * WORDS,
            **asdict(source_origin(config.noise_source, source)),
        }
    if choice is not None:
        manifest["loader_choice"] = choice.to_dict()
    if walked is not None:
        manifest["chain"] = walked.manifest()
    elif why and config.shots is not None:
        manifest["chain"] = {"circuits": "step by step", "because": why}
    return Samples(
        images=images,
        trajectory=np.stack(path),
        manifest=manifest,
        records=() if device is None else tuple(device.records),
        circuit=device.isa if device is not None and len(device.prepared) == 1 else None,
    )


def _options_of(sampler: Any) -> dict[str, Any]:
    """Return the values of a sampler's fields, for the record."""
    if not is_dataclass(sampler) or not fields(sampler):
        return {}
    values = {each.name: getattr(sampler, each.name) for each in fields(sampler)}
    plain = {
        n: v if isinstance(v, int | float | str | None) else repr(v) for n, v in values.items()
    }
    return {"options": plain}


def _origin_of(target: Target) -> dict[str, Any]:
    """Return the other package that brings a target's device, if one does."""
    name = (target.backend or "").partition("@")[0]
    if name not in outside_names("device"):
        return {}
    return {"origin": asdict(DEVICES.origin(name))}


def write_samples(samples: Samples, folder: Path) -> tuple[Path, ...]:
    """Write ``samples.npz``, ``samples.png``, the calibration if there is one, ``manifest.json``.

    Of a run on rows of numbers ``samples.csv`` has them as a table.

    Args:
        samples: From :func:`sample`.
        folder: Output folder, without samples.

    Returns:
        The files, with the manifest last: if it exists, all of them do.

    Raises:
        OutputNotWritable: If the folder holds samples already or cannot be written; then nothing of
            the attempt remains.
    """
    check_output(folder)
    device = samples.manifest["device"]
    calibration = None if device is None else device["calibration"]
    writers: dict[str, Callable[[Path], None]] = {
        "samples.npz": lambda path: write_atomic(path, lambda part: _arrays(samples, part)),
        "samples.png": lambda path: write_atomic(path, lambda part: _grid(samples.images, part)),
        "samples.csv": lambda path: write_text(path, samples.table()),
        "calibration.json": lambda path: write_json(path, calibration),
        "manifest.json": lambda path: write_json(path, samples.manifest),
    }
    if calibration is None:
        del writers["calibration.json"]
    if samples.rows is None:
        del writers["samples.csv"]
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        for name, write in writers.items():
            write(folder / name)
    except BaseException:  # Ctrl-C too leaves all files or none
        for name in writers:
            (folder / name).unlink(missing_ok=True)
        for each in made:
            with suppress(OSError):  # not made yet, or somebody else's files are in it by now
                each.rmdir()
        raise
    return tuple(folder / name for name in writers)


def check_output(folder: Path) -> None:
    """Refuse, before any work, a folder to which samples cannot be written.

    Raises:
        OutputNotWritable: If it holds samples already or cannot be written.
    """
    folder = checked_path(folder, "folder")
    check_writable(folder)
    for name in OUTPUTS:
        if (folder / name).exists():
            raise OutputNotWritable(
                f"{folder} holds a file {name} already, which is not overwritten; choose another "
                "folder."
            )


def read_calibration(path: Path) -> ReadoutCalibration:
    """Read a readout calibration that :func:`write_samples` wrote.

    Raises:
        InvalidData: If the file is missing or cannot be used.
    """
    path = checked_path(path, "path")
    return ReadoutCalibration.from_dict(read_json_object(path))


def _prediction_on(
    run: TrainedRun,
    config: SamplingConfig,
    target: Target,
    labels: Tensor | None,
    calibration: ReadoutCalibration | None,
    runner: CircuitRunner | None,
    kept: KeptCircuits | None,
    progress: Progress,
) -> tuple[Callable[[Tensor, int], Tensor], DevicePredictor | None]:
    """Return the model's prediction on a target; and where circuits run, its record.

    Raises:
        TargetUnavailable: If the target cannot be used here, or the model has no circuit calls.
        InvalidOption: If shots are asked of a model without circuit calls.
    """
    if target.kind == "engine":
        return _engine_prediction(run.model, run.process, config, labels, target), None
    check_has_calls(run.model, config.target)
    device = DevicePredictor.prepare(
        run.model,
        runner_of(config, target) if runner is None else runner,
        config,
        num_steps=run.process.num_steps,
        calibration=calibration,
        places=run.places(config, target),
        kept=kept,
        progress=progress,
    )
    return lambda x, step: device(x, step, labels), device


def _engine_prediction(
    model: Denoiser,
    process: DiffusionProcess,
    config: SamplingConfig,
    labels: Tensor | None,
    target: Target,
) -> Callable[[Tensor, int], Tensor]:
    """Return the model itself; with shots, sampled frequencies replace its circuits' outputs."""
    if target.device == "cuda" and not torch.cuda.is_available():
        raise TargetUnavailable("Target 'engine:cuda' needs a CUDA device; use 'engine'.")
    model = model.to(target.device)

    def exact(x: Tensor, step: int) -> Tensor:
        time_ = torch.full((len(x),), step / process.num_steps, device=target.device)
        moved = None if labels is None else labels.to(target.device)
        return model(x.to(target.device), time_, moved).cpu()

    if config.shots is None:
        return exact
    if not model.num_qubits:
        raise InvalidOption(f"'{model.name}' has no circuits and has no shots; leave them out.")
    drawn = EnginePredictor(model, config, num_steps=process.num_steps)
    return lambda x, step: drawn(x, step, labels)


def chosen_labels(run: TrainedRun, config: SamplingConfig, first: int = 0) -> Tensor | None:
    """Return the class of each image of a guided model.

    Args:
        run: The run.
        config: The number of images and the label, as in the data; without one the classes take
            turns.
        first: Number of the first image.

    Returns:
        Positions among the run's classes, ``(num_images,)`` int64; None if the model is not guided.

    Raises:
        InvalidOption: If a label is given to a model that is not guided, or is none of its classes.
    """
    guided = bool(getattr(run.config.model_options, "guided", False))
    if not guided:
        if config.label is not None:
            raise InvalidOption(f"'{run.model.name}' of this run is not guided and takes no label.")
        return None
    positions = run.class_positions()
    if config.label is None:
        return torch.tensor(list(positions.values()))[
            torch.arange(first, first + config.num_images) % len(positions)
        ]
    if config.label not in positions:
        chosen = dict.fromkeys(label for label in run.config.data.classes if label in positions)
        raise InvalidOption(
            f"label is one of {listed(list(chosen or positions))}; got {config.label!r}. The model "
            "has seen no other classes in training."
        )
    return torch.full((config.num_images,), positions[config.label])


def _arrays(samples: Samples, part: Path) -> None:
    arrays = {"images": samples.images, "trajectory": samples.trajectory}
    if samples.manifest["labels"] is not None:
        arrays["labels"] = np.array(samples.manifest["labels"], dtype=np.int64)
    # numpy's annotations take a keyword for its option `allow_pickle`.
    np.savez_compressed(part, **arrays)  # type: ignore[arg-type] # not allow_pickle


def _grid(images: np.ndarray, part: Path) -> None:
    save_grid(images, part, overwrite=True)


def _file_hash(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
