"""Result of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..notebook import Markup, card, facts, note, one_line, table
from .checkpoint import BEST
from .constant_predictions import constant_predictions

__all__ = [
    "TrainingResult",
]


@dataclass(frozen=True, repr=False)
class TrainingResult:
    """Result of a call of :func:`~qdm_qiskit.training.train`."""

    run: Path
    """The run's folder."""
    checkpoint: Path
    """Its newest checkpoint."""
    epochs: int
    """Epochs that are complete."""
    interrupted: bool
    """True if it was asked to stop before its end."""
    history: tuple[dict[str, float], ...]
    """One row of metrics for each complete epoch."""
    ended: str = ""
    """Why a callback ended the run before its last epoch; empty if none did."""

    @property
    def best(self) -> Path | None:
        """Return the checkpoint of the best epoch, where a :class:`~.BestCheckpoint` keeps one."""
        found = self.run / "checkpoints" / BEST
        return found if (found / "state.json").is_file() else None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return the faults of the last epoch, a sentence each; none if all is well."""
        return constant_predictions(self.history[-1]) if self.history else ()

    def __repr__(self) -> str:
        loss = f"test loss {self.history[-1]['test_loss']:.4g}" if self.history else "no epoch yet"
        return one_line("TrainingResult", self.run, f"{self.epochs} epochs", loss)

    def _repr_html_(self) -> str:
        done = f"{self.epochs} epochs complete" + (", interrupted" if self.interrupted else "")
        return card(
            self.run,
            facts([("progress", done), ("checkpoint", self.checkpoint), ("best", self.best)]),
            *([note(self.ended)] if self.ended else []),
            *([_metrics(self.history[-1])] if self.history else []),
            *(note(f"Warning: {sentence}") for sentence in self.warnings),
            about="training run",
        )


def _metrics(row: dict[str, float]) -> Markup:
    """The last epoch: the loss beside what costs nothing and what a classical network reaches."""
    lines = [
        ("test loss", row.get("test_loss")),
        ("identity: predicting no change at all", row.get("identity_loss")),
        ("classical U-Net", row.get("baseline_loss")),
        ("training loss", row.get("train_loss")),
        ("test loss at t = 1", row.get("test_loss_first_step")),
        ("identity at t = 1", row.get("identity_loss_first_step")),
    ]
    return table(("last epoch", ""), [line for line in lines if line[1] is not None])
