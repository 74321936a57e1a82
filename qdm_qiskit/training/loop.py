"""The training loop, on accelerate: one process or many, CPU or GPU.

Every random number comes from a stream that is addressed by (epoch, batch), so a run that was
stopped anywhere continues bit for bit.
"""

from __future__ import annotations

import json
import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, TensorDataset

from ..data import STATE_ENSEMBLES, Split, load_dataset, load_states, save_grid
from ..diffusion import TrainingPairs, make_process, reverse_chain
from ..errors import (
    InvalidCheckpoint,
    InvalidData,
    InvalidOption,
    MissingData,
    OutputNotWritable,
)
from ..files import check_writable, read_json_object, write_json, write_text
from ..models import (
    MODELS,
    ClassicalUNet,
    ClassicalUNetConfig,
    Denoiser,
    ModelChoice,
    build_model,
    load_model,
)
from ..rng import derived_seed, stream
from .checkpoint import (
    AVERAGE,
    Learner,
    Progress,
    checkpoints,
    find_checkpoint,
    load_learner,
    load_progress,
    load_weights,
    save_checkpoint,
)
from .config import RunConfig, run_from_dict
from .interruptions import silent_log_thread, stop_requests
from .optimizers import make_optimizer, set_learning_rate
from .transfer import FOLDER, take_over, teacher_run
from .weight_average import WeightAverage

BASELINE_LEARNING_RATE = 0.0047
"""Kölle's rate for the U-Net with channels 3, 6 (arXiv:2401.07049)."""
TEST_STREAM = 1_000_000_000
"""Index of the noise stream of test pairs: the same pairs in every epoch."""


@dataclass(frozen=True)
class TrainingResult:
    """What a call of :func:`train` left behind."""

    run: Path
    checkpoint: Path
    epochs: int
    interrupted: bool
    history: tuple[dict[str, float], ...]


class EpochBatches(Sampler[list[int]]):
    """Batches of one epoch, in an order that depends on seed and epoch only."""

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.epoch = 0
        self.first = 0

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        order = stream(self.seed, "data", 1, self.epoch).permutation(self.count)
        for batch in range(self.first, len(self)):
            start = batch * self.batch_size
            yield order[start : start + self.batch_size].tolist()


class ProgressReport:
    """What the loop tells whoever watches; the base class is silent."""

    def start(self, config: RunConfig, model: Denoiser, steps: int, done: int) -> None:
        """The run begins: ``steps`` in all, of which ``done`` are behind it."""

    def step(self, epoch: int, loss: float) -> None:
        """One optimizer step is done."""

    def epoch(self, row: dict[str, float]) -> None:
        """One epoch is done, with its metrics."""

    def stop(self) -> None:
        """The run ends or is interrupted."""


def train(
    config: RunConfig,
    run: Path,
    *,
    resume: str | None = None,
    report: ProgressReport | None = None,
) -> TrainingResult:
    """Train a model, or continue a run.

    Args:
        config: The run.
        run: Its folder. A fresh run wants one without a run in it.
        resume: "latest" or a checkpoint's name to continue from; None starts afresh.
        report: Is told of every step and epoch.

    Returns:
        Where the run stands. After Ctrl-C (or SIGTERM) it is checkpointed and ``interrupted``.

    Raises:
        InvalidOption: If the folder holds a run already, a run is to be continued with other options
            than its own (epochs apart), or the loss becomes infinite or NaN.
        InvalidCheckpoint, MissingData: If the checkpoint cannot be used.
        InvalidData: If the images cannot be used.
        OutputNotWritable: If the folder cannot be written.
    """
    report = report or ProgressReport()
    teacher = None
    if config.training.transfer_epochs and not checkpoints(run):
        result = _train_teacher(config, run, resume, report)
        if result.interrupted:
            return result
        teacher, resume = load_weights(result.checkpoint), None
    return _train_part(config, run, resume, report, teacher)


def _train_part(
    config: RunConfig,
    run: Path,
    resume: str | None,
    report: ProgressReport,
    teacher: Denoiser | None = None,
    *,
    leads_on: bool = False,
) -> TrainingResult:
    """One run without what comes before it; with ``leads_on`` a stop in its last step counts too."""
    existed = run.exists()
    was_empty = not existed or (run.is_dir() and not any(run.iterdir()))
    session = _Session(config, run, resume, teacher)
    with stop_requests() as stop, silent_log_thread():
        try:
            result = session.work(report, stop)
            return replace(result, interrupted=result.interrupted or (stop.is_set() and leads_on))
        except (BrokenPipeError, MissingData):
            raise
        except OSError as error:  # our own writer, TensorBoard's, or a folder that cannot be made
            _close_log(session.accelerator)
            way_out = "Choose a folder with write permission and free space"
            if checkpoints(run):
                way_out += "; --resume latest continues from the last checkpoint"
            elif was_empty:
                _remove_started(run, whole=not existed)
            reason = getattr(error.__cause__, "strerror", None) or error.strerror or error
            raise OutputNotWritable(f"Cannot write into {run}: {reason}. {way_out}.") from error
        finally:
            report.stop()
            _close_log(session.accelerator)


def _train_teacher(
    config: RunConfig, run: Path, resume: str | None, report: ProgressReport
) -> TrainingResult:
    """Train the classical part of a run with transfer, or the rest of it.

    The run's own configuration is written first: one that was stopped in this part resumes from it.
    """
    teacher, folder = teacher_run(config), run / FOLDER
    if resume is None:
        _check_no_run(run, folder)
    else:
        find_checkpoint(folder, resume)
        _check_same_run(run, config)
    existed = run.exists()
    was_empty = not existed or (run.is_dir() and not any(run.iterdir()))
    check_writable(run)
    write_json(run / "config.json", config.to_dict())
    try:
        return _train_part(teacher, folder, resume, report, leads_on=True)
    except BaseException:
        if was_empty and not checkpoints(folder):
            _remove_started(run, whole=not existed)
        raise


def _check_no_run(run: Path, folder: Path) -> None:
    """Refuse to start afresh where there is a run: ``folder`` is where its checkpoints would be."""
    if checkpoints(folder):
        raise InvalidOption(
            f"{run} holds a run already; continue it with --resume latest, or choose another folder."
        )


def _check_same_run(run: Path, config: RunConfig) -> None:
    """Refuse to continue a run under another configuration: the result would be neither."""
    try:
        saved = run_from_dict(read_json_object(run / "config.json"))
    except (InvalidData, InvalidOption) as error:
        raise InvalidCheckpoint(f"{run} cannot be resumed: {error}") from error
    if saved.with_epochs(config.training.epochs) != config:
        raise InvalidOption(
            f"{run} was started with other options, and only epochs may change on resume; "
            f"take those of {run / 'config.json'}, or another folder for a new run."
        )


def load_split(config: RunConfig) -> Split:
    """The images of a run, at its model's size and channels, or its states.

    Raises: as :func:`qdm_qiskit.data.load_dataset` and :func:`qdm_qiskit.data.load_states`.
    """
    data = config.data
    if MODELS[config.model].data_kind == "states":
        return load_states(
            data.dataset,
            num_qubits=config.model_options.num_qubits,
            train_count=data.train_count,
            test_count=data.test_count,
            seed=config.training.seed,
        )
    if data.dataset in STATE_ENSEMBLES:
        raise InvalidOption(
            f"'{data.dataset}' holds quantum states, but model '{config.model}' takes images; choose "
            "another data set, or model quddpm."
        )
    channels, size, _ = _image_shape(config)
    return load_dataset(
        data.dataset,
        image_size=size,
        channels=channels,
        classes=data.classes or None,
        train_count=data.train_count,
        test_count=data.test_count,
        test_fraction=data.test_fraction,
        seed=config.training.seed,
        folder=data.folder,
    )


def class_indices(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Positions of labels in the sorted list of classes, int64."""
    return np.searchsorted(classes, labels).astype(np.int64)


class _Session:
    """One call of :func:`train`."""

    def __init__(
        self, config: RunConfig, run: Path, resume: str | None, teacher: Denoiser | None = None
    ) -> None:
        if resume is None:
            _check_no_run(run, run)
        self.config, self.run = config, run
        seed = config.training.seed
        set_seed(derived_seed(seed, "init"))
        self.split = load_split(config)
        self.classes = np.unique(np.concatenate([self.split.train.labels, self.split.test.labels]))
        self.guided = bool(getattr(config.model_options, "guided", False))
        if self.guided and len(self.classes) > config.model_options.num_classes:
            raise InvalidOption(
                f"num_classes is {config.model_options.num_classes}, but the data have "
                f"{len(self.classes)} classes: set num_classes, or choose classes, as in classes=0,1."
            )
        self.process = make_process(config.diffusion)
        self.learners = self._fresh_learners(seed)
        self.progress = Progress()
        if resume is not None:
            self._restore(resume)
        check_writable(run)
        if resume is None:
            model = self.learners["model"].model
            generator = torch.Generator().manual_seed(derived_seed(seed, "init", 2))
            images = torch.from_numpy(self.split.train.images)
            model.fit_data(images, generator)
            if teacher is not None:
                take_over(model, teacher)
            if config.training.weight_average:
                self.learners["model"].average = WeightAverage(model)
        self.accelerator = Accelerator(log_with="tensorboard", project_dir=str(run))
        self.batches = EpochBatches(len(self.split.train), config.training.batch_size, seed)
        train_set = self.split.train
        tensors = TensorDataset(
            torch.from_numpy(train_set.images),
            torch.from_numpy(class_indices(train_set.labels, self.classes)),
        )
        loader = DataLoader(tensors, batch_sampler=self.batches)
        self.loader = self.accelerator.prepare_data_loader(loader)
        for learner in self.learners.values():
            learner.model, learner.optimizer = self.accelerator.prepare(
                learner.model, learner.optimizer
            )

    def _fresh_learners(self, seed: int) -> dict[str, Learner]:
        def generator(index: int) -> torch.Generator:
            return torch.Generator().manual_seed(derived_seed(seed, "init", index))

        config = self.config
        choice = ModelChoice(
            model=config.model, preset=config.preset, config=config.model_options, source=""
        )
        model = build_model(choice, generator=generator(0))
        learners = {"model": Learner(model, make_optimizer(model, config.training))}
        comparable = self.process.state_space == "unit" and config.model != ClassicalUNet.name
        if config.training.baseline and comparable:
            channels, size, _ = _image_shape(config)
            baseline = ClassicalUNet(
                ClassicalUNetConfig(image_size=size, channels=channels), generator=generator(1)
            )
            optimizer = torch.optim.Adam(baseline.parameters(), lr=BASELINE_LEARNING_RATE)
            learners["baseline"] = Learner(baseline, optimizer)
        return learners

    def _restore(self, which: str) -> None:
        checkpoint = find_checkpoint(self.run, which)
        if checkpoint == self.run:
            raise InvalidOption(
                f"{self.run} is a checkpoint, whose files would be overwritten: resume its run, "
                f"{self.run.parent.parent}, from '{self.run.name}'."
            )
        _check_same_run(self.run, self.config)
        for name, learner in self.learners.items():
            load_learner(checkpoint if name == "model" else checkpoint / name, learner)
        self.progress = load_progress(checkpoint)
        if self.config.training.weight_average:
            averaged = load_model(checkpoint / AVERAGE, expected=self.config.model)
            self.learners["model"].average = WeightAverage(averaged, self.progress.step)
        if self.progress.epoch > self.config.training.epochs:
            raise InvalidCheckpoint(
                f"{checkpoint} stands at epoch {self.progress.epoch}, beyond the run's "
                f"{self.config.training.epochs} epochs."
            )
        batches = -(-len(self.split.train) // self.config.training.batch_size)
        if self.progress.batch >= batches:
            raise InvalidCheckpoint(
                f"{checkpoint} stands after batch {self.progress.batch} of an epoch, but the run's "
                f"epochs have {batches} batches."
            )

    def work(self, report: ProgressReport, stop: threading.Event) -> TrainingResult:
        config, progress = self.config, self.progress
        if self.accelerator.is_main_process:
            write_json(self.run / "config.json", config.to_dict())
        self.accelerator.init_trackers("tensorboard")
        epochs = config.training.epochs
        report.start(config, self._bare("model"), epochs * len(self.batches), progress.step)
        checkpoint: Path | None = None
        while progress.epoch < epochs:
            started = time.perf_counter()
            self._train_epoch(report, stop)
            if stop.is_set() and progress.batch < len(self.batches):
                return self._result(self._checkpoint(), interrupted=True)
            row = self._close_epoch(time.perf_counter() - started)
            report.epoch(row)
            last = progress.epoch == epochs
            if last or progress.epoch % config.training.checkpoint_every == 0 or stop.is_set():
                checkpoint = self._checkpoint()
            if stop.is_set() and not last:
                return self._result(checkpoint or self._checkpoint(), interrupted=True)
        return self._result(checkpoint or self._checkpoint(), interrupted=False)

    def _train_epoch(self, report: ProgressReport, stop: threading.Event) -> None:
        progress = self.progress
        self.batches.epoch, self.batches.first = progress.epoch, progress.batch
        set_learning_rate(
            self.learners["model"].optimizer, self.config.training, epoch=progress.epoch
        )
        process_index = self.accelerator.process_index
        for learner in self.learners.values():
            learner.model.train()
        for images, labels in self.loader:
            index = (progress.epoch, progress.batch, process_index)
            losses = {}
            for name, learner in self.learners.items():
                loss = partial(self._batch_loss, learner.model, images, labels, index)
                losses[name] = self._step(name, loss)
                if not math.isfinite(losses[name]):
                    raise InvalidOption(
                        f"The loss of the {name} became {losses[name]} at step {progress.step + 1}: "
                        f"training diverged. Choose a learning_rate below "
                        f"{self.config.training.learning_rate}, in a new folder."
                    )
            average = self.learners["model"].average
            if average is not None:
                average.update(self._bare("model"))
            progress.batch += 1
            progress.step += 1
            progress.images += len(images)
            progress.loss_sum += losses["model"] * len(images)
            progress.baseline_sum += losses.get("baseline", 0.0) * len(images)
            report.step(progress.epoch + 1, losses["model"])
            if stop.is_set():
                return

    def _step(self, name: str, loss_now: Callable[[], Tensor]) -> float:
        """One step of a learner; the mean over the processes of the losses that it took."""
        optimizer = self.learners[name].optimizer
        if name != "model" or self.config.training.optimizer not in ("spsa", "qn-spsa"):
            optimizer.zero_grad()
            loss = loss_now()
            self.accelerator.backward(loss)
            optimizer.step()
            return float(self.accelerator.reduce(loss.detach(), "mean"))
        taken: list[float] = []

        def closure() -> float:
            taken.append(float(self.accelerator.reduce(loss_now(), "mean")))
            return taken[-1]

        optimizer.step(closure)
        return sum(taken) / len(taken)

    def _batch_loss(
        self, model: Denoiser, images: Tensor, labels: Tensor, index: tuple[int, ...]
    ) -> Tensor:
        """The loss of a batch on the noise of its place in the run: the same for all learners."""
        seed = derived_seed(self.config.training.seed, "noise", *index)
        return self._loss(model, images, labels, torch.Generator().manual_seed(seed))

    def _loss(
        self, model: Denoiser, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        """The mean loss of all pairs of a batch."""
        pairs = self._inputs(model, self._pairs(images, generator), labels, generator)
        answer = self._answer(model, pairs.noisy, pairs.step, labels[pairs.source])
        return self.process.losses(answer, pairs).mean()

    def _inputs(
        self, model: Denoiser, pairs: TrainingPairs, labels: Tensor, generator: torch.Generator
    ) -> TrainingPairs:
        """The pairs, with the model's own inputs where the process trains on those."""

        def answer(x: Tensor, step: int) -> Tensor:
            return self._answer(model, x, torch.full((len(x),), step, device=x.device), labels)

        return self.process.as_generated(pairs, answer, generator)

    def _pairs(self, images: Tensor, generator: torch.Generator) -> TrainingPairs:
        with torch.no_grad():
            x_0 = self.process.to_states(self._bare("model").encode_data(images))
            return self.process.training_pairs(x_0, generator)

    def _answer(self, model: Denoiser, x: Tensor, step: Tensor, labels: Tensor) -> Tensor:
        guided = self.guided and model is self.learners["model"].model
        return model(x, step / self.process.num_steps, labels if guided else None)

    def _close_epoch(self, seconds: float) -> dict[str, float]:
        """Count the epoch, measure on the test images, write metrics and pictures."""
        progress = self.progress
        for learner in self.learners.values():
            learner.model.eval()  # batch normalisation uses what it has seen in training
        row = {
            "epoch": progress.epoch + 1,
            "step": progress.step,
            "train_loss": progress.loss_sum / progress.images,
            **self.test_losses(),
            "seconds": seconds,
        }
        if "baseline" in self.learners:
            row["baseline_train_loss"] = progress.baseline_sum / progress.images
        progress.epoch += 1
        progress.batch, progress.images, progress.loss_sum, progress.baseline_sum = 0, 0, 0.0, 0.0
        progress.history.append(row)
        self.accelerator.log(
            {key: value for key, value in row.items() if key not in ("epoch", "step")},
            step=progress.epoch,
        )
        every = self.config.training.sample_every
        if self.accelerator.is_main_process:
            write_text(self.run / "metrics.jsonl", _json_lines(progress.history))
            if every and progress.epoch % every == 0:
                self._write_samples()
        return row

    @torch.no_grad()
    def test_losses(self) -> dict[str, float]:
        """Mean losses on the test images, on the same noise in every epoch.

        Where a process trains every step of each image, those of t = 1 stand beside the mean: the
        last step of the chain is the hardest, and a mean over T hides it.
        """
        test = self.split.test
        sums: dict[str, float] = {}

        def add(key: str, value: Tensor, count: int) -> None:
            sums[key] = sums.get(key, 0.0) + float(value) * count

        chunk = 256
        for part, start in enumerate(range(0, len(test), chunk)):
            images = torch.from_numpy(test.images[start : start + chunk])
            labels = torch.from_numpy(
                class_indices(test.labels[start : start + chunk], self.classes)
            )
            images, labels = images.to(self.device), labels.to(self.device)
            seed = derived_seed(self.config.training.seed, "noise", TEST_STREAM, part)
            generator = torch.Generator().manual_seed(seed)
            pairs = self._pairs(images, generator)
            losses = {"identity_loss": self.process.identity_losses(pairs)}
            for name, learner in self.learners.items():
                given = self._inputs(learner.model, pairs, labels, generator)
                answer = self._answer(learner.model, given.noisy, given.step, labels[given.source])
                key = "test_loss" if name == "model" else "baseline_loss"
                losses[key] = self.process.losses(answer, given)
            average = self.learners["model"].average
            if average is not None:
                guide = labels[pairs.source] if self.guided else None
                time_ = pairs.step / self.process.num_steps
                losses["average_loss"] = self.process.losses(
                    average.model(pairs.noisy, time_, guide), pairs
                )
            first = pairs.step == 1
            for key, values in losses.items():
                add(key, values.mean(), len(images))
                if self.process.every_step and key in ("test_loss", "identity_loss"):
                    add(f"{key}_first_step", values[first].mean(), len(images))
        return {key: value / len(test) for key, value in sums.items()}

    @torch.no_grad()
    def _write_samples(self, count: int = 16) -> None:
        seed, epoch = self.config.training.seed, self.progress.epoch
        average = self.learners["model"].average
        model = self._bare("model") if average is None else average.model
        shape = (count, *model.state_shape)
        labels = torch.arange(count, device=self.device) % len(self.classes)

        def generator(step: int) -> torch.Generator:
            return torch.Generator().manual_seed(derived_seed(seed, "evaluation", epoch, step))

        def answer(x: Tensor, step: int) -> Tensor:
            time_ = torch.full((count,), step / self.process.num_steps, device=self.device)
            return model(x, time_, labels if self.guided else None)

        start = self.process.start(shape, generator(0)).to(self.device)
        images = model.decode_data(reverse_chain(self.process, answer, start, generator))
        folder = self.run / "samples"
        folder.mkdir(exist_ok=True)
        path = folder / f"epoch-{epoch:04d}.png"
        save_grid(images.cpu().numpy(), path, overwrite=True)

    def _checkpoint(self) -> Path:
        bare = {
            name: Learner(self._bare(name), learner.optimizer, learner.average)
            for name, learner in self.learners.items()
        }
        keep = self.config.training.keep_checkpoints
        if self.accelerator.is_main_process:
            save_checkpoint(self.run, bare, self.progress, keep)
        self.accelerator.wait_for_everyone()
        return find_checkpoint(self.run)

    def _bare(self, name: str) -> Denoiser:
        return self.accelerator.unwrap_model(self.learners[name].model)

    @property
    def device(self) -> torch.device:
        return self.accelerator.device

    def _result(self, checkpoint: Path, *, interrupted: bool) -> TrainingResult:
        return TrainingResult(
            run=self.run,
            checkpoint=checkpoint,
            epochs=self.progress.epoch,
            interrupted=interrupted,
            history=tuple(self.progress.history),
        )


def _close_log(accelerator: Accelerator) -> None:
    """End the trackers; they flush once more what could not be written, or never were opened."""
    with suppress(OSError, AttributeError):
        accelerator.end_training()


def _remove_started(run: Path, *, whole: bool) -> None:
    """Take back what a run wrote that could not even write its first checkpoint.

    Only for folders that were empty before: nothing else is ours to remove.
    """
    with suppress(OSError):
        for each in run.iterdir():
            if each.is_dir():
                shutil.rmtree(each, ignore_errors=True)
            else:
                each.unlink(missing_ok=True)
        if whole:
            run.rmdir()


def _image_shape(config: RunConfig) -> tuple[int, int, int]:
    model = config.model_options
    return model.channels, model.image_size, model.image_size


def _json_lines(rows: list[dict[str, float]]) -> str:
    return "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows)
