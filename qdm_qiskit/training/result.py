"""What a training run leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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
