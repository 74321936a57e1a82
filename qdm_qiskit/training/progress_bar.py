"""Progress of training for people: a bar in a terminal, a line that moves in a notebook."""

from __future__ import annotations

import sys
import time
from html import escape
from typing import Any

from ..models import Denoiser
from ..progress import Progress, silent
from .config import RunConfig
from .progress import TrainingProgress

__all__ = ["NotebookBar", "TerminalBar", "progress_bar"]

LEAST_SECONDS = 0.25
"""Between two changes of a notebook's line."""


def progress_bar() -> Progress:
    """Return a listener for who watches: in a notebook, in a terminal; else a silent one."""
    if in_notebook():
        return NotebookBar()
    return TerminalBar() if sys.stderr.isatty() else silent


def in_notebook() -> bool:
    """Return whether a notebook's kernel runs this code, which can show HTML."""
    shell: Any = sys.modules.get("IPython")
    running = shell.get_ipython() if shell is not None and hasattr(shell, "get_ipython") else None
    return running is not None and getattr(running, "kernel", None) is not None


def _counts(config: RunConfig, model: Denoiser) -> str:
    return (
        f"{config.model}: {model.num_parameters} parameters "
        f"({model.num_quantum_parameters} in circuits), {model.num_qubits} qubits"
    )


class TerminalBar(TrainingProgress):
    """A bar with loss and rate, and a line for each tenth of the epochs; on standard error."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.progress import (
            Progress as Bar,
        )

        self.console = Console(stderr=True)
        self.bar = Bar(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.5f}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self.console,
            # In a log file the lines of the epochs say enough.
            disable=not self.console.is_interactive,
        )
        self.every = 1
        self.warned: set[str] = set()

    def start(self, config: RunConfig, model: Denoiser, steps: int, done: int) -> None:
        """See :meth:`.TrainingProgress.start`."""
        self.console.print(_counts(config, model))
        self.every = max(1, config.training.epochs // 10)
        self.task = self.bar.add_task(
            "train", total=steps, completed=done, epoch=0, loss=float("nan"), rate=""
        )
        self.bar.start()

    def note(self, text: str) -> None:
        """See :meth:`.TrainingProgress.note`."""
        self.console.print(f"note: {text}", highlight=False, soft_wrap=True)

    def step(self, epoch: int, loss: float) -> None:
        """See :meth:`.TrainingProgress.step`."""
        speed = self.bar.tasks[0].speed
        rate = f"{speed:.1f} steps/s" if speed else ""
        self.bar.update(self.task, advance=1, epoch=epoch, loss=loss, rate=rate)

    def epoch(self, row: dict[str, float]) -> None:
        """See :meth:`.TrainingProgress.epoch`."""
        if row["epoch"] % self.every and row["epoch"] != 1:
            return
        beside = f"  identity {row['identity_loss']:.5f}"
        if "baseline_loss" in row:
            beside += f"  classical U-Net {row['baseline_loss']:.5f}"
        self.console.print(
            f"epoch {row['epoch']:>4}  train {row['train_loss']:.5f}  "
            f"test {row['test_loss']:.5f}{beside}",
            highlight=False,
            soft_wrap=True,
        )

    def warn(self, sentence: str) -> None:
        """See :meth:`.TrainingProgress.warn`; each kind once."""
        rule = sentence.partition(":")[0]  # numbers of the epoch follow
        if rule not in self.warned:
            self.console.print(f"warning: {sentence}", highlight=False, soft_wrap=True)
        self.warned.add(rule)

    def stop(self) -> None:
        """See :meth:`.TrainingProgress.stop`."""
        self.bar.stop()


class NotebookBar(TrainingProgress):
    """A line below the cell, which is written over at most four times a second; no widgets needed."""

    def __init__(self) -> None:
        self.title, self.loss = "", float("nan")
        self.steps = self.done = self.first = 0
        self.row: dict[str, float] = {}
        self.notes: dict[str, str] = {}
        self.began = self.shown = 0.0
        self._handle: Any = None

    def start(self, config: RunConfig, model: Denoiser, steps: int, done: int) -> None:
        """See :meth:`.TrainingProgress.start`."""
        self.title, self.steps, self.done, self.first = _counts(config, model), steps, done, done
        self.began = time.monotonic()
        self._show()

    def note(self, text: str) -> None:
        """See :meth:`.TrainingProgress.note`."""
        self.notes.setdefault(str(text).partition(":")[0], f"note: {text}")
        self._show()

    def warn(self, sentence: str) -> None:
        """See :meth:`.TrainingProgress.warn`; each kind once."""
        self.notes.setdefault(str(sentence).partition(":")[0], f"warning: {sentence}")
        self._show()

    def step(self, epoch: int, loss: float) -> None:
        """See :meth:`.TrainingProgress.step`."""
        self.done, self.loss = self.done + 1, loss
        if time.monotonic() - self.shown >= LEAST_SECONDS:
            self._show()

    def epoch(self, row: dict[str, float]) -> None:
        """See :meth:`.TrainingProgress.epoch`."""
        self.row = row

    def stop(self) -> None:
        """See :meth:`.TrainingProgress.stop`."""
        self._show()

    def markup(self) -> str:
        """Return the line's HTML."""
        taken = time.monotonic() - self.began
        new = self.done - self.first if self.title else 0
        words = [f"{self.done} of {self.steps} steps", f"loss {self.loss:.5f}"]
        if self.row:
            words.append(
                f"epoch {self.row['epoch']:.0f}: test {self.row['test_loss']:.5f}, "
                f"identity {self.row['identity_loss']:.5f}"
            )
        if new and self.done < self.steps:
            words.append(f"{(self.steps - self.done) * taken / new:.0f} s left")
        lines = [self.title, ", ".join(words), *self.notes.values()]
        bar = f'<progress value="{self.done}" max="{max(1, self.steps)}"></progress>'
        return f'<div class="qdm">{bar} ' + "<br>".join(map(escape, lines)) + "</div>"

    def _show(self) -> None:
        from IPython.display import HTML, display

        self.shown = time.monotonic()
        content = HTML(self.markup())
        if self._handle is None:
            self._handle = display(content, display_id=True)
        else:
            self._handle.update(content)
