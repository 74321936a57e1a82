"""One call of the training loop: from a configuration and a folder to trained weights.

Every random number comes from a stream that is addressed by (epoch, batch), so a run that was
stopped anywhere continues bit for bit. Of several processes each draws the noise of the whole
batch and takes its part of the pairs: a run has one result, up to rounding, on any number of them.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..arguments import whole_number
from ..data import Dataset
from ..diffusion import DiffusionProcess, VelocityPrediction, make_process
from ..errors import InvalidCheckpoint, InvalidData, InvalidOption
from ..files import check_writable, write_json
from ..models import (
    ClassicalUNet,
    ClassicalUNetConfig,
    Denoiser,
    ModelChoice,
    build_model,
    load_model,
)
from ..models.on_latents import ComparedLatents
from ..models.plain_optimizers import Adam
from ..progress import Progress, silent
from ..rng import derived_seed
from .beside import has_beside, read_losses, write_beside
from .callbacks import Callbacks, Epoch
from .checkpoint import (
    AVERAGE,
    Learner,
    TrainingState,
    find_checkpoint,
    load_learner,
    load_training_state,
    save_checkpoint,
)
from .config import BY_GRADIENTS, RunConfig
from .constant_predictions import constant_predictions
from .epoch_end import draw_samples, measure_losses, write_history, write_samples
from .objective import WHOLE, Objective, Part
from .optimizers import make_optimizer, set_learning_rate
from .processes import join_processes
from .progress import EpochDone, Started, StepDone, Warned, WithoutGradient
from .result import TrainingResult
from .run_data import EpochBatches, class_indices, classes_of, load_data
from .run_folder import check_no_run
from .run_log import RunLog, log_names
from .still_weights import GradientRecord
from .targets.target import check_trainable, exact, training_target
from .transfer import start_from, take_over
from .weight_average import WeightAverage

__all__ = [
    "BASELINE_LEARNING_RATE",
    "Session",
    "fresh_learners",
]

BASELINE_LEARNING_RATE = 0.0047
"""Kölle's rate for the U-Net with channels 3, 6 (arXiv:2401.07049)."""


class Session:
    """A run that is about to begin or to go on.

    Args:
        config: The run. Its data are compared with its record, or recorded if it has none.
        run: Its folder.
        resume: "latest" or a checkpoint's name; None starts afresh.
        teacher: A trained classical model whose weights a fresh run takes over.
        dataset: The data set itself; None finds it by its name.
        progress: Receives what takes a while before the first step.
        log_with: Where metrics go beside the folder, see :func:`~.run_log.log_names`.
        callbacks: What goes along with the run; asked in the first process alone.

    Raises: as :func:`~qdm_qiskit.training.train`.
    """

    def __init__(
        self,
        config: RunConfig,
        run: Path,
        resume: str | None,
        teacher: Denoiser | None = None,
        dataset: Dataset | None = None,
        progress: Progress = silent,
        log_with: str | Iterable[str] = "tensorboard",
        callbacks: Callbacks | None = None,
    ) -> None:
        if resume is None:
            check_no_run(run, run)
        seed = config.training.seed
        _seed_all(derived_seed(seed, "init"))
        loaded = load_data(config, dataset)
        if config.record is None:
            config = replace(config, record=loaded.record())
        self.config, self.run = config, run
        self.split = loaded.split
        self.classes = classes_of(self.split)
        self.guided = bool(getattr(config.model_options, "guided", False))
        if self.guided and len(self.classes) > config.model_options.num_classes:
            raise InvalidOption(
                f"num_classes is {config.model_options.num_classes}, but the data have "
                f"{len(self.classes)} classes: set num_classes, or choose classes, as in classes=0,1."
            )
        self.process = make_process(config.diffusion)
        self.learners = fresh_learners(config, self.process)
        if not exact(config.training):
            check_trainable(self.learners["model"].model, config.training.train_on)
        self.objective = Objective(self.process, self.learners["model"].model)
        self.state = TrainingState()
        if resume is not None:
            self._restore(resume)
        check_writable(run)
        if resume is None:
            self._begin(teacher)
        self.target = training_target(
            self.learners["model"].model,
            config.training,
            run,
            resume=resume is not None,
            progress=progress,
        )
        begins = self.state.step == 0
        watched = self.target is not None and config.training.optimizer in BY_GRADIENTS and begins
        self.gradients = GradientRecord() if watched else None
        self.processes = join_processes()
        self.callbacks = callbacks if callbacks and self.processes.leads else Callbacks()
        self.own_part = Part(self.processes.index, self.processes.count)
        self.part = self.own_part
        train_set = self.split.train
        self.images = torch.from_numpy(train_set.images)
        self.labels = torch.from_numpy(class_indices(train_set.labels, self.classes))
        self.batches = EpochBatches(len(train_set), config.training.batch_size, seed)
        for learner in self.learners.values():
            learner.model, learner.optimizer = self.processes.prepare(
                learner.model, learner.optimizer
            )
        names = log_names(log_with)
        self.log = RunLog(names if self.processes.leads else (), run, self.config, progress)

    def _begin(self, teacher: Denoiser | None) -> None:
        """Fit the model to the data before its first step, and take over what a teacher knows."""
        learner, training = self.learners["model"], self.config.training
        generator = torch.Generator().manual_seed(derived_seed(training.seed, "init", 2))
        train = self.split.train
        labels = torch.from_numpy(class_indices(train.labels, self.classes))
        learner.model.fit_labelled(torch.from_numpy(train.images), labels, generator)
        if training.start_from is not None:
            start_from(learner.model, Path(training.start_from))
        if teacher is not None:
            take_over(learner.model, teacher)
        if training.weight_average:
            learner.average = WeightAverage(learner.model)

    def _restore(self, which: str) -> None:
        checkpoint = find_checkpoint(self.run, which)
        for name, learner in self.learners.items():
            load_learner(checkpoint if name == "model" else checkpoint / name, learner)
        self.state = load_training_state(checkpoint)
        if self.config.training.weight_average:
            averaged = load_model(checkpoint / AVERAGE, expected=self.config.model)
            self.learners["model"].average = WeightAverage(averaged, self.state.step)
        if self.state.epoch > self.config.training.epochs:
            raise InvalidCheckpoint(
                f"{checkpoint} stands at epoch {self.state.epoch}, beyond the run's "
                f"{self.config.training.epochs} epochs."
            )
        batches = -(-len(self.split.train) // self.config.training.batch_size)
        if self.state.batch >= batches:
            raise InvalidCheckpoint(
                f"{checkpoint} stands after batch {self.state.batch} of an epoch, but the run's "
                f"epochs have {batches} batches."
            )

    def work(self, progress: Progress, stop: threading.Event) -> TrainingResult:
        """Train to the run's last epoch, or until ``stop`` is set and the step in hand is done."""
        config, state = self.config, self.state
        if self.processes.leads:
            write_json(self.run / "config.json", config.to_dict())
        epochs = config.training.epochs
        steps = epochs * len(self.batches)
        progress(Started(config, self._bare("model"), state.step, steps))
        self.callbacks.begin(self.run, tuple(state.history), progress)
        checkpoint: Path | None = None
        reason = self._ends()
        while state.epoch < epochs and not reason:
            started = time.perf_counter()
            with self._circuits():
                stopped = self._train_epoch(progress, stop)
            if stopped and state.batch < len(self.batches):
                return self._result(self._checkpoint(), interrupted=True)
            row = self._close_epoch(time.perf_counter() - started, progress)
            progress(EpochDone(row, state.step, steps))
            for sentence in constant_predictions(row):
                progress(Warned(sentence))
            if self.callbacks.given:
                self.callbacks.after_epoch(self._epoch())
            reason = self._ends()
            last, stopped = state.epoch == epochs or bool(reason), self.asked(stop)
            if last or state.epoch % config.training.checkpoint_every == 0 or stopped:
                checkpoint = self._checkpoint()
            if stopped and not last:
                return self._result(checkpoint or self._checkpoint(), interrupted=True)
        result = self._result(checkpoint or self._checkpoint(), interrupted=False)
        self._stand_beside(progress)
        return replace(result, ended=reason)

    def _ends(self) -> str:
        """Return why the run ends before its last epoch; empty where it goes on."""
        reason = self.callbacks.ends(tuple(self.state.history)) or ""
        if self.processes.any(bool(reason)):
            return reason or "The first process ended the run."
        return ""

    def _epoch(self) -> Epoch:
        """The run after an epoch, for callbacks."""
        average, state = self.learners["model"].average, self.state
        model = self._bare("model") if average is None else average.model

        def draw(count: int) -> np.ndarray:
            return self._draw(whole_number(count, "count"))

        def save(name: str) -> Path:
            return save_checkpoint(self.run, self._bare_learners(), state, 1, name)

        return Epoch(
            self.run,
            self.config,
            model,
            self.process,
            self.split,
            tuple(dict(row) for row in state.history),
            draw,
            save,
        )

    def _stand_beside(self, progress: Progress) -> None:
        """Fit at the end what stands beside a model of latents, if that is not done."""
        model = self._bare("model")
        if not has_beside(model, self.config) or not self.processes.leads:
            return
        if not read_losses(self.run):
            assert isinstance(model, ComparedLatents)
            assert isinstance(self.process, VelocityPrediction)
            average = self.learners["model"].average
            judged = model if average is None else average.model
            assert isinstance(judged, ComparedLatents)
            write_beside(self.run, judged.cpu(), self.process, self.config, self.split, progress)

    def asked(self, stop: threading.Event) -> bool:
        """Return whether any process was asked to stop; all get to know, and end the same step."""
        return self.processes.any(stop.is_set())

    def close(self) -> None:
        """End the log."""
        # Not accelerate's end_training: it would part the processes before a second session.
        self.log.close()

    def _train_epoch(self, progress: Progress, stop: threading.Event) -> bool:
        """The rest of an epoch's batches, or up to a stop; whether there was one."""
        state = self.state
        steps = self.config.training.epochs * len(self.batches)
        self.batches.epoch, self.batches.first = state.epoch, state.batch
        set_learning_rate(self.learners["model"].optimizer, self.config.training, epoch=state.epoch)
        for learner in self.learners.values():
            learner.model.train()
        device = self.processes.device
        for rows in self.batches:
            images, labels = self.images[rows].to(device), self.labels[rows].to(device)
            self.part = self.own_part
            if self.target is not None:
                self.target.begin(state.epoch, state.batch, state.step)
                if self.target.together(len(images)):
                    self.part = WHOLE
            losses = {}
            for name in self.learners:
                losses[name] = self._step(name, partial(self._batch_loss, name, images, labels))
                if not math.isfinite(losses[name]):
                    raise InvalidOption(
                        f"The loss of the {name} became {losses[name]} at step {state.step + 1}: "
                        f"training diverged. Choose a learning_rate below "
                        f"{self.config.training.learning_rate}, in a new folder."
                    )
            average = self.learners["model"].average
            if average is not None:
                average.update(self._bare("model"))
            state.batch += 1
            state.step += 1
            state.images += len(images)
            state.loss_sum += losses["model"] * len(images)
            state.baseline_sum += losses.get("baseline", 0.0) * len(images)
            progress(StepDone(state.epoch + 1, losses["model"], state.step, steps))
            if self.asked(stop):
                return True
        return False

    def _step(self, name: str, loss_now: Callable[[], Tensor]) -> float:
        """One step of a learner; the mean over the processes of the losses that it took."""
        optimizer = self.learners[name].optimizer
        if name != "model" or self.config.training.optimizer not in ("spsa", "qn-spsa"):
            optimizer.zero_grad()
            loss = loss_now()
            self.processes.backward(loss)
            if name == "model" and self.gradients is not None:
                self.gradients.add(self._bare(name))
            optimizer.step()
            return self.processes.mean(loss.detach())
        taken: list[float] = []

        def closure() -> float:
            taken.append(self.processes.mean(loss_now()))
            return taken[-1]

        optimizer.step(closure)
        return sum(taken) / len(taken)

    def _batch_loss(self, name: str, images: Tensor, labels: Tensor) -> Tensor:
        """This process's part of the loss of a batch.

        The noise is that of the batch's place in the run: the same for all learners and processes.
        """
        place = self.state.epoch, self.state.batch, 0
        seed = derived_seed(self.config.training.seed, "noise", *place)
        generator = torch.Generator().manual_seed(seed)
        told = labels if self.guided and name == "model" else None
        model = self.learners[name].model
        return self.objective.loss(model, images, told, generator, self.part)

    def _close_epoch(self, seconds: float, progress: Progress) -> dict[str, float]:
        """Count the epoch, measure on the test images, write metrics and pictures."""
        state = self.state
        for learner in self.learners.values():
            learner.model.eval()  # batch normalisation uses what it has seen in training
        if self.gradients is not None:
            if still := self.gradients.still():
                progress(WithoutGradient(still, self._bare("model")))
            self.gradients = None
        row = {
            "epoch": state.epoch + 1,
            "step": state.step,
            "train_loss": state.loss_sum / state.images,
            **self._test_losses(),
            "seconds": seconds,
        }
        if "baseline" in self.learners:
            row["baseline_train_loss"] = state.baseline_sum / state.images
        state.epoch += 1
        state.batch, state.images, state.loss_sum, state.baseline_sum = 0, 0, 0.0, 0.0
        state.history.append(row)
        if self.callbacks.given:
            row.update(self.callbacks.measure(self._epoch()))
        self.log.write(
            {key: value for key, value in row.items() if key not in ("epoch", "step")}, state.epoch
        )
        every = self.config.training.sample_every
        if self.processes.leads:
            write_history(self.run / "metrics.jsonl", state.history)
            if every and state.epoch % every == 0:
                self._write_samples(progress)
        return row

    def _test_losses(self) -> dict[str, float]:
        """The losses on the test images, with circuits where they are trained."""
        with self._circuits():
            if self.target is not None:
                self.target.begin(self.state.epoch, -1, 0)
                self.target.together(None)
            return measure_losses(
                self.objective,
                self._bare_learners(),
                self.split.test,
                self.classes,
                guided=self.guided,
                seed=self.config.training.seed,
                device=self.processes.device,
            )

    def _circuits(self) -> AbstractContextManager[None]:
        """Circuits of the model and of its average on the run's target, until the context ends."""
        if self.target is None:
            return nullcontext()
        average = self.learners["model"].average
        return self.target.answering(
            self._bare("model"), None if average is None else average.model
        )

    def _write_samples(self, progress: Progress) -> None:
        """Write the epoch's grid; a model whose samples are not finite yet is trained further."""
        epoch = self.state.epoch
        png = self.run / "samples" / f"epoch-{epoch:04d}.png"
        try:
            write_samples(png, self._draw(16))
        except InvalidData as error:
            progress(Warned(f"There is no sample grid of epoch {epoch}: {error}"))
            return
        self.log.picture(png, epoch)

    def _draw(self, count: int) -> np.ndarray:
        """Draw samples of the epoch."""
        average = self.learners["model"].average
        return draw_samples(
            self._bare("model") if average is None else average.model,
            self.process,
            classes=self._seen() if self.guided else None,
            seed=self.config.training.seed,
            epoch=self.state.epoch,
            device=self.processes.device,
            count=count,
        )

    def _seen(self) -> Tensor:
        """Positions of the classes that occur among the training images."""
        return torch.from_numpy(class_indices(np.unique(self.split.train.labels), self.classes))

    def _checkpoint(self) -> Path:
        keep = self.config.training.keep_checkpoints
        if self.processes.leads:
            save_checkpoint(self.run, self._bare_learners(), self.state, keep)
        self.processes.wait()
        return find_checkpoint(self.run)

    def _bare(self, name: str) -> Denoiser:
        return self.processes.bare(self.learners[name].model)

    def _bare_learners(self) -> dict[str, Learner]:
        """The learners without what joined processes wrap around their models."""
        return {
            name: Learner(self._bare(name), learner.optimizer, learner.average)
            for name, learner in self.learners.items()
        }

    def _result(self, checkpoint: Path, *, interrupted: bool) -> TrainingResult:
        return TrainingResult(
            run=self.run,
            checkpoint=checkpoint,
            epochs=self.state.epoch,
            interrupted=interrupted,
            history=tuple(self.state.history),
        )


def _seed_all(seed: int) -> None:
    """Seed the generators that a library might draw from; ours have addresses of their own."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (a library's global one)
    torch.manual_seed(seed)


def fresh_learners(config: RunConfig, process: DiffusionProcess) -> dict[str, Learner]:
    """A run's model with its optimizer, and the classical baseline where there is one.

    Args:
        config: The run.
        process: Its diffusion process; the baseline only fits one of images in [0, 1].
    """
    seed = config.training.seed

    def generator(index: int) -> torch.Generator:
        return torch.Generator().manual_seed(derived_seed(seed, "init", index))

    choice = ModelChoice(
        model=config.model, preset=config.preset, config=config.model_options, source=""
    )
    model = build_model(choice, generator=generator(0))
    learners = {"model": Learner(model, make_optimizer(model, config.training))}
    of_images = process.state_space == "unit" and model.state_shape == model.image_shape
    comparable = of_images and config.model != ClassicalUNet.name
    if config.training.baseline and comparable:
        options = config.model_options
        shape = ClassicalUNetConfig(image_size=options.image_size, channels=options.channels)
        baseline = ClassicalUNet(shape, generator=generator(1))
        optimizer = Adam(baseline.parameters(), lr=BASELINE_LEARNING_RATE)
        learners["baseline"] = Learner(baseline, optimizer)
    return learners
