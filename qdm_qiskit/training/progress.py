"""Messages of a training run at work, which carry their numbers."""

from __future__ import annotations

from typing import Self

from ..models import Denoiser
from ..progress import Message
from .config import RunConfig
from .still_weights import still_sentence

__all__ = [
    "Ended",
    "EpochDone",
    "Started",
    "StepDone",
    "TrainingProgress",
    "Warned",
    "WithoutGradient",
]


class Started(Message):
    """The run begins, or goes on."""

    config: RunConfig
    model: Denoiser

    def __new__(cls, config: RunConfig, model: Denoiser, done: int, total: int) -> Self:
        """Say it in words, and keep the numbers."""
        message = super().__new__(cls, f"training {config.model}", done, total)
        message.config, message.model = config, model
        return message


class StepDone(Message):
    """One optimizer step is done."""

    epoch: int
    """The epoch of the step, from 1."""
    loss: float

    def __new__(cls, epoch: int, loss: float, done: int, total: int) -> Self:
        """Say it in words, and keep the numbers."""
        message = super().__new__(cls, f"step {done}: loss {loss:.5f}", done, total)
        message.epoch, message.loss = epoch, loss
        return message


class EpochDone(Message):
    """One epoch is done."""

    row: dict[str, float]
    """Its metrics."""

    def __new__(cls, row: dict[str, float], done: int, total: int) -> Self:
        """Say it in words, and keep the numbers."""
        message = super().__new__(
            cls, f"epoch {row['epoch']}: test loss {row['test_loss']:.5f}", done, total
        )
        message.row = row
        return message


class Warned(Message):
    """Something is wrong that training does not stop for; perhaps in every epoch again."""


class WithoutGradient(Message):
    """Weights that a run on a target cannot train: no gradient reached them in its first epoch."""

    weights: dict[str, tuple[int, ...]]
    """Positions in each flattened tensor."""

    def __new__(cls, weights: dict[str, tuple[int, ...]], model: Denoiser) -> Self:
        """Say it in words, and keep the positions."""
        message = super().__new__(cls, still_sentence(weights, model))
        message.weights = weights
        return message


class Ended(Message):
    """The run ends, is interrupted, or has failed."""


class TrainingProgress:
    """A :data:`~qdm_qiskit.progress.Progress` with a method for each message of training.

    The base class is silent; a listener overrides what it wants to hear. :func:`~.train` takes plain
    callables as well.
    """

    def __call__(self, message: Message) -> None:
        """Hand a message to its method."""
        match message:
            case Started():
                self.start(message.config, message.model, message.total or 0, message.done or 0)
            case StepDone():
                self.step(message.epoch, message.loss)
            case EpochDone():
                self.epoch(message.row)
            case Warned():
                self.warn(message)
            case Ended():
                self.stop()
            case _:
                self.note(message)

    def start(self, config: RunConfig, model: Denoiser, steps: int, done: int) -> None:
        """The run begins: ``steps`` in all, of which ``done`` are behind it."""

    def note(self, text: str) -> None:
        """Something that whoever watches should know; one sentence."""

    def step(self, epoch: int, loss: float) -> None:
        """One optimizer step is done."""

    def epoch(self, row: dict[str, float]) -> None:
        """One epoch is done, with its metrics."""

    def warn(self, sentence: str) -> None:
        """Something is wrong that training does not stop for; perhaps in every epoch again."""

    def stop(self) -> None:
        """The run ends or is interrupted."""
