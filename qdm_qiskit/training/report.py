"""What a training run tells: to those who watch it, and at its end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..models import Denoiser
from .config import RunConfig
from .constant_predictions import constant_predictions


@dataclass(frozen=True)
class TrainingResult:
    """What a call of :func:`~qdm_qiskit.training.train` left behind."""

    run: Path
    """The run's folder."""
    checkpoint: Path
    """Its newest checkpoint."""
    epochs: int
    """Epochs that are complete."""
    interrupted: bool
    """Whether it was asked to stop before its end."""
    history: tuple[dict[str, float], ...]
    """One row of metrics for each complete epoch."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with the last epoch, a sentence each; none if all is well."""
        return constant_predictions(self.history[-1]) if self.history else ()


class ProgressReport:
    """What the loop tells whoever watches; the base class is silent."""

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
