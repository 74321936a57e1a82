"""Training with differential privacy: clipped gradients of single rows, noise, and what they spent.

Opacus (an extra) clips, adds noise and accounts; the gradients of single rows are taken here, one
backward pass each, because its hooks know torch's layers and not the engine's circuits.
"""

from __future__ import annotations

import importlib
import math
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from .. import options
from ..arguments import checked_path, of_kind
from ..canonical_json import content_sha256
from ..data import Dataset, find_dataset
from ..diffusion import make_process
from ..errors import InvalidCheckpoint, InvalidData, InvalidOption, MissingData, MissingDependency
from ..files import check_writable, read_json_object, write_json
from ..models import Denoiser
from ..progress import Message, Progress, silent
from ..rng import derived_seed
from ..training import RunConfig, TrainingResult
from ..training.checkpoint import (
    TrainingState,
    checkpoints,
    find_checkpoint,
    load_learner,
    load_training_state,
    save_checkpoint,
)
from ..training.epoch_end import measure_losses, write_history
from ..training.interruptions import stop_requests
from ..training.objective import Objective
from ..training.optimizers import set_learning_rate
from ..training.run_data import at_absolute_place, class_indices, classes_of, load_data, named_after
from ..training.run_folder import saved_run
from ..training.session import fresh_learners
from ..training.targets.target import exact
from .accounting import check_delta

__all__ = [
    "FILE",
    "SCHEMA",
    "PrivacyOptions",
    "PrivateTraining",
    "check_private",
    "read_private",
    "row_gradients",
    "train_privately",
]

SCHEMA = "qdm-private-training/1"
FILE = "private.json"


@dataclass(frozen=True, kw_only=True)
class PrivacyOptions:
    """Options of private training.

    >>> PrivacyOptions(noise=2.0).clip
    1.0
    """

    noise: float = 1.0
    """Noise multiplier: deviation of the noise by ``clip``; 0.05 to 1e6."""
    clip: float = 1.0
    """Largest norm of the gradient of a row, above 0."""
    delta: float = 1e-3
    """Chance that epsilon does not cover, in (0, 1); choose it below one by the number of rows."""
    seed: int | None = None
    """Seed of batches and noise, for tests: whoever knows it undoes the noise. None draws afresh."""

    def __post_init__(self) -> None:
        options.settle(self)
        if not 0.05 <= self.noise <= 1e6:
            raise InvalidOption(f"noise lies between 0.05 and 1e6, got {self.noise}.")
        if not 0 < self.clip <= 1e6:
            raise InvalidOption(f"clip lies above 0 and up to 1e6, got {self.clip}.")
        check_delta(self.delta)
        if self.seed is not None and self.seed < 0:
            raise InvalidOption(f"seed is at least 0, got {self.seed}.")

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class PrivateTraining:
    """A private training run and what it spent."""

    result: TrainingResult
    epsilon: float
    """With ``delta`` of the options, for adding or removing one row."""
    rate: float
    """Chance of each row to be in a batch."""
    steps: int


def check_private(config: RunConfig, rows: int) -> None:
    """Refuse runs for which noisy gradients would not be all that is learned of the data.

    Args:
        config: The run.
        rows: Training rows.

    Raises:
        InvalidOption: With the part that learns from the data otherwise.
    """
    training, process = config.training, make_process(config.diffusion)
    if process.compares_ensembles:
        raise InvalidOption(
            f"'{config.model}' compares whole batches with ensembles, so no row has a gradient of its "
            "own to be clipped: choose a model of images."
        )
    if training.optimizer != "adam":
        raise InvalidOption(
            f"Private training goes by optimizer='adam', the only one that is tested, got "
            f"'{training.optimizer}'; natural gradients and SPSA look at the data besides "
            "the gradients that are clipped."
        )
    if not exact(training):
        raise InvalidOption(
            f"Private training computes circuits exactly, got train_on={training.train_on}: leave it "
            "out."
        )
    if training.transfer_epochs:
        raise InvalidOption(
            "transfer_epochs trains a first model without privacy: set transfer_epochs=0."
        )
    if not 1 <= training.batch_size <= rows:
        raise InvalidOption(
            f"batch_size is at most the {rows} training rows, got {training.batch_size}: it is the "
            "mean size of batches whose rows are drawn."
        )


def row_gradients(
    model: Denoiser,
    objective: Objective,
    images: Tensor,
    positions: Tensor | None,
    seeds: list[int],
) -> list[Tensor]:
    """Return the gradient of each row's loss for each parameter.

    Args:
        model: What is trained.
        objective: The run's.
        images: ``(rows, channels, height, width)``; perhaps none.
        positions: ``(rows,)`` positions of classes for guided models, else None.
        seeds: One for each row, of the noise that makes its pairs.

    Returns:
        A tensor ``(rows, *shape)`` for each parameter, zero where the loss does not depend on it.
    """
    parameters = [each for each in model.parameters() if each.requires_grad]
    found: list[list[Tensor]] = [[] for _ in parameters]
    for row, seed in enumerate(seeds):
        generator = torch.Generator().manual_seed(seed)
        told = None if positions is None else positions[row : row + 1]
        loss = objective.loss(model, images[row : row + 1], told, generator)
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        for kept, parameter, gradient in zip(found, parameters, gradients, strict=True):
            kept.append(torch.zeros_like(parameter) if gradient is None else gradient)
    return [
        torch.stack(kept) if kept else parameter.new_zeros((0, *parameter.shape))
        for kept, parameter in zip(found, parameters, strict=True)
    ]


def train_privately(
    config: RunConfig,
    run: str | Path,
    private: PrivacyOptions,
    *,
    dataset: str | Dataset | None = None,
    resume: bool = False,
    progress: Progress = silent,
) -> PrivateTraining:
    """Train a model so that no single training row shows, as far as epsilon and delta say.

    An epoch is as many steps as batches of ``batch_size`` fill it; each row is in each batch by a draw
    of its own. The folder is a training run's, with ``private.json`` beside; of the training rows it
    holds the weights, and in ``config.json`` the hash of the data and ranges of columns, which epsilon
    does not cover. The loss on training rows is not written.

    Args:
        config: The run; a classical baseline beside the model is left out.
        run: Its folder.
        private: Noise, clipping, delta.
        dataset: A data set, or its name, in place of the run's own.
        resume: True to go on from the newest checkpoint.
        progress: Receives a message for each epoch.

    Raises:
        MissingDependency: If Opacus is not installed.
        InvalidOption: If the model or the options do not allow it, or the folder holds a run already.
        InvalidCheckpoint, MissingData: If a run cannot be resumed.
        InvalidData: As :func:`~qdm_qiskit.training.train`.
    """
    opacus = _opacus()
    of_kind(config, RunConfig, "config", "resolve_run(name) makes one")
    of_kind(private, PrivacyOptions, "private")
    run = checked_path(run, "run")
    config = replace(
        config,
        data=at_absolute_place(config.data),
        training=replace(config.training, baseline=False),
    )
    given = None if dataset is None else find_dataset(dataset)
    if given is not None:
        config = named_after(config, given)
    if resume:
        config = _saved(run, config, private)
    elif checkpoints(run):
        raise InvalidOption(
            f"{run} holds a run already; go on with resume, or choose another folder."
        )
    else:
        config = replace(config, record=None)
    course = _Course(opacus, config, run, private, given, resume)
    check_writable(run)
    write_json(run / "config.json", course.config.to_dict())
    return course.work(progress)


def read_private(run: Path) -> tuple[PrivacyOptions, float] | None:
    """Return the options and epsilon of a private training run, None of another.

    Raises:
        InvalidData: If the file is damaged.
    """
    path = run / FILE
    if not path.is_file():
        return None
    content = read_json_object(path)
    try:
        if content["schema"] != SCHEMA:
            raise InvalidOption(f"schema is not {SCHEMA}")
        epsilon = content["epsilon"]
        if isinstance(epsilon, bool) or not isinstance(epsilon, int | float):
            raise InvalidOption("epsilon is no number")
        return PrivacyOptions(**content["options"]), float(epsilon)
    except (KeyError, TypeError, InvalidOption) as error:
        raise InvalidData(f"{path} is no record of private training: {error}") from error


class _Course:
    """One call of private training."""

    def __init__(
        self,
        opacus: Any,
        config: RunConfig,
        run: Path,
        private: PrivacyOptions,
        dataset: Dataset | None,
        resume: bool,
    ) -> None:
        self.run, self.private = run, private
        loaded = load_data(config, dataset)
        self.split = loaded.split
        if config.record is None:
            config = replace(config, record=loaded.record())
        self.config = config
        rows = len(self.split.train)
        check_private(config, rows)
        training = config.training
        self.guided = bool(getattr(config.model_options, "guided", False))
        self.classes = classes_of(self.split)
        if self.guided and len(self.classes) > config.model_options.num_classes:
            raise InvalidOption(
                f"num_classes is {config.model_options.num_classes}, but the data have "
                f"{len(self.classes)} classes: set num_classes, or choose classes, as in classes=0,1."
            )
        self.process = make_process(config.diffusion)
        self.learner = fresh_learners(config, self.process)["model"]
        self.model = self.learner.model
        check_model(self.model)
        if training.start_from is not None and not resume:
            from ..training.transfer import start_from

            start_from(self.model, Path(training.start_from))
        self.state = TrainingState()
        if resume:
            checkpoint = find_checkpoint(run)
            load_learner(checkpoint, self.learner)
            self.state = load_training_state(checkpoint)
        self.objective = Objective(self.process, self.model)
        self.images = torch.from_numpy(self.split.train.images)
        positions = class_indices(self.split.train.labels, self.classes)
        self.positions = torch.from_numpy(positions) if self.guided else None
        self.an_epoch = math.ceil(rows / training.batch_size)
        self.rate = training.batch_size / rows
        self.accountant = opacus.accountants.RDPAccountant()
        if self.state.step:
            self.accountant.history = [(private.noise, self.rate, self.state.step)]
        # What a resumed call draws anew was of steps that nobody has seen.
        seed = secrets.randbits(63) if private.seed is None else private.seed + self.state.step
        self.draws = np.random.default_rng(seed)
        self.optimizer = opacus.optimizers.DPOptimizer(
            self.learner.optimizer,
            noise_multiplier=private.noise,
            max_grad_norm=private.clip,
            expected_batch_size=training.batch_size,
            generator=torch.Generator().manual_seed(int(self.draws.integers(2**63))),
        )
        hook = self.accountant.get_optimizer_hook_fn(sample_rate=self.rate)
        self.optimizer.attach_step_hook(hook)

    def work(self, progress: Progress) -> PrivateTraining:
        """Train to the last epoch, or until Ctrl-C and the end of the step in hand."""
        state, epochs = self.state, self.config.training.epochs
        interrupted = False
        with stop_requests() as stop:
            while state.epoch < epochs and not interrupted:
                set_learning_rate(self.learner.optimizer, self.config.training, epoch=state.epoch)
                self.model.train()
                while state.batch < self.an_epoch and not stop.is_set():
                    self._step()
                self.model.eval()
                if state.batch == self.an_epoch:
                    self._close_epoch()
                    progress(
                        Message(
                            f"epoch {state.epoch}: test loss {state.history[-1]['test_loss']:.5g}, "
                            f"epsilon {self.epsilon:.3g}",
                            state.epoch,
                            epochs,
                        )
                    )
                self._save()
                interrupted = stop.is_set() and state.epoch < epochs
        checkpoint = find_checkpoint(self.run)
        result = TrainingResult(
            self.run, checkpoint, state.epoch, interrupted, tuple(state.history)
        )
        return PrivateTraining(result, self.epsilon, self.rate, state.step)

    @property
    def epsilon(self) -> float:
        """What was spent so far, by Opacus's accountant."""
        return float(self.accountant.get_epsilon(delta=self.private.delta))

    def _step(self) -> None:
        state = self.state
        chosen = np.flatnonzero(self.draws.random(len(self.images)) < self.rate)
        seed = self.config.training.seed
        seeds = [derived_seed(seed, "noise", state.epoch, state.batch, int(i)) for i in chosen]
        rows = torch.from_numpy(chosen)
        told = None if self.positions is None else self.positions[rows]
        gradients = row_gradients(self.model, self.objective, self.images[rows], told, seeds)
        trained = [each for each in self.model.parameters() if each.requires_grad]
        for parameter, gradient in zip(trained, gradients, strict=True):
            cast(Any, parameter).grad_sample = gradient
        self.optimizer.step()
        self.optimizer.zero_grad()
        state.batch += 1
        state.step += 1

    def _close_epoch(self) -> None:
        state = self.state
        losses = measure_losses(
            self.objective,
            {"model": self.learner},
            self.split.test,
            self.classes,
            guided=self.guided,
            seed=self.config.training.seed,
            device=torch.device("cpu"),
        )
        if not math.isfinite(losses["test_loss"]):
            raise InvalidOption(
                f"The test loss became {losses['test_loss']} in epoch {state.epoch + 1}: training "
                f"diverged. Choose a learning_rate below {self.config.training.learning_rate}, in a "
                "new folder."
            )
        state.epoch += 1
        state.batch = 0
        state.history.append({"epoch": state.epoch, "step": state.step, **losses})
        write_history(self.run / "metrics.jsonl", state.history)

    def _save(self) -> None:
        if not self.state.step:
            return
        keep = self.config.training.keep_checkpoints
        save_checkpoint(self.run, {"model": self.learner}, self.state, keep)
        content = {
            "schema": SCHEMA,
            "options": self.private.to_dict(),
            "config_sha256": content_sha256(_without_record(self.config)),
            "accountant": "rdp",
            "rate": self.rate,
            "steps": self.state.step,
            "epsilon": self.epsilon,
            "adjacency": "add or remove one row",
        }
        write_json(self.run / FILE, content)


@torch.no_grad()
def check_model(model: Denoiser) -> None:
    """Refuse models that learn from the data besides their gradients.

    Args:
        model: With fresh weights.

    Raises:
        InvalidOption: If it fits a codec, or keeps running means of what it sees.
    """
    if model.learns_from_data:
        raise InvalidOption(
            f"'{model.name}' fits a codec or an order of pixels to the training rows before its first "
            "step, which no noise covers: choose a model, or options, that do not."
        )
    before = {name: value.clone() for name, value in model.named_buffers()}
    x = torch.rand((3, *model.state_shape), generator=torch.Generator().manual_seed(0))
    guided = bool(getattr(model.config, "guided", False))
    model.train()
    model(x, torch.full((3,), 0.5), torch.zeros(3, dtype=torch.int64) if guided else None)
    model.eval()
    for name, value in model.named_buffers():
        if not torch.equal(value, before[name]):
            raise InvalidOption(
                f"'{model.name}' keeps running means of what it has seen ({name}), which no noise "
                "covers: choose a model without batch normalisation."
            )


def _saved(run: Path, config: RunConfig, private: PrivacyOptions) -> RunConfig:
    """Return the configuration of a run that goes on, if it is the same."""
    known = read_private(run)
    if known is None or not checkpoints(run):
        raise MissingData(f"{run} holds no private run to go on with: {FILE} is missing.")
    saved = saved_run(run)
    if replace(saved, record=None, data=config.data) != replace(config, record=None):
        same = saved.with_epochs(config.training.epochs)
        if replace(same, data=config.data) != config:
            raise InvalidCheckpoint(f"{run} was trained with other options: choose another folder.")
    if known[0] != private:
        raise InvalidCheckpoint(
            f"{run} was trained with {known[0]}: go on with these, or choose another folder."
        )
    return saved.with_epochs(config.training.epochs)


def _without_record(config: RunConfig) -> Mapping[str, Any]:
    return replace(config, record=None).to_dict()


def _opacus() -> Any:
    """Return Opacus with the modules that are used."""
    try:
        for name in ("opacus.accountants", "opacus.optimizers"):
            importlib.import_module(name)
    except ImportError as error:
        raise MissingDependency(
            "Private training needs the package opacus: pip install 'qdm_qiskit[opacus]'."
        ) from error
    return importlib.import_module("opacus")
