"""What goes along with a training run: measures after an epoch, keeps its best weights, ends it early.

A :class:`Callback` is a listener with three more questions after each epoch, asked in this order:
:meth:`~Callback.measure` adds values to the epoch's row of metrics, :meth:`~Callback.after_epoch` does
something with the model, and :meth:`~Callback.ends` may end the run. Rows are in checkpoints, so a run
that was stopped and continued with the same callbacks ends where it would have ended.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..arguments import all_of_kind, checked_text, real_number, whole_number
from ..data import Split
from ..diffusion import DiffusionProcess
from ..errors import InvalidArgument, InvalidData, InvalidOption, MissingData, unknown_name
from ..models import Denoiser
from ..progress import Message, Progress
from .checkpoint import BEST, BEST_NAME, find_checkpoint, load_training_state
from .config import RunConfig
from .progress import TrainingProgress, Warned

__all__ = [
    "BestCheckpoint",
    "Better",
    "Callback",
    "Callbacks",
    "EarlyStopping",
    "Epoch",
    "Rows",
    "told_together",
]

Rows = Sequence[Mapping[str, float]]
"""Metrics of complete epochs, a row each, the latest last."""
Better = Literal["lower", "higher"]
"""Better direction of a metric."""

KNOWN = (
    "train_loss",
    "test_loss",
    "test_loss_first_step",
    "identity_loss",
    "identity_loss_first_step",
    "average_loss",
    "baseline_loss",
    "baseline_train_loss",
    "seconds",
)
"""Metrics that rows have, some of them in some runs only."""


@dataclass(frozen=True, eq=False)
class Epoch:
    """A run after a complete epoch, as callbacks see it."""

    run: Path
    """The run's folder."""
    config: RunConfig
    """The run."""
    model: Denoiser
    """The model that would be sampled from, in evaluation mode: the average where there is one."""
    process: DiffusionProcess
    """The run's process."""
    split: Split
    """Its training and test images."""
    history: Rows
    """Metrics of all complete epochs; the last row is this epoch's."""
    draw: Callable[[int], np.ndarray]
    """See :meth:`samples`."""
    save: Callable[[str], Path]
    """See :meth:`save_checkpoint`."""

    @property
    def number(self) -> int:
        """Epochs that are complete."""
        return len(self.history)

    def samples(self, count: int) -> np.ndarray:
        """Draw samples of this epoch's model, exactly; the same ones each time.

        Args:
            count: Number of samples; of a guided model, of all classes in turn.

        Returns:
            ``(count, channels, height, width)`` float32 in [0, 1].

        Raises:
            InvalidData: If they are not finite.
        """
        return self.draw(count)

    def save_checkpoint(self, name: str = BEST) -> Path:
        """Write a checkpoint that stays, in place of an earlier one of this name.

        Args:
            name: ``best``, or ``best-`` and lower-case letters, digits and underscores.

        Returns:
            Its folder, ``RUN/checkpoints/NAME``, which :func:`~qdm_qiskit.sampling.load_run` takes.

        Raises:
            InvalidOption: If the name is another.
            OutputNotWritable: If it cannot be written.
        """
        return self.save(_checked_name(name))


class Callback(TrainingProgress):
    """Something that goes along with a training run; a subclass overrides what it wants.

    Of several processes the first alone calls it. An error that it raises ends the run, which can be
    continued from its last checkpoint.

    >>> import tempfile, qdm_qiskit as qdm
    >>> class Patient(Callback):
    ...     def ends(self, history):
    ...         return "Two epochs are enough." if len(history) == 2 else None
    >>> small = dict(image_size=2, depth=1, num_steps=2, train_count=8, epochs=9, baseline=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = qdm.train("eeqdm", f"{folder}/run", callbacks=[Patient()], **small)
    >>> result.epochs, result.ended
    (2, 'Two epochs are enough.')
    """

    needs: tuple[str, ...] = ()
    """Names of metrics that it looks for in rows."""
    measures: tuple[str, ...] = ()
    """Names of metrics that :meth:`measure` may add."""

    def begin(self, run: Path, history: Rows) -> str | None:
        """Prepare for a run that begins, or goes on after ``history``; a sentence is shown."""

    def measure(self, after: Epoch) -> Mapping[str, float]:
        """Return values for the epoch's row of metrics, by name."""
        return {}

    def after_epoch(self, after: Epoch) -> None:
        """Do something with the model after an epoch."""

    def ends(self, history: Rows) -> str | None:
        """Say in a sentence why the run ends here; None to go on.

        Args:
            history: All complete epochs. The answer depends on nothing else, so that it is the same
                after a stop.
        """


class EarlyStopping(Callback):
    """End a run that no longer gets better.

    Args:
        metric: Name of a metric in the rows: ``test_loss``, or what another callback measures.
        patience: Epochs without a better value after which the run ends, at least 1; epochs that have
            no value are not counted.
        min_delta: Least difference that counts as better, at least 0.
        better: Better direction of the metric.

    Raises:
        InvalidOption: If a number is out of range.

    >>> rows = [{"test_loss": each} for each in (0.9, 0.5, 0.6, 0.55)]
    >>> EarlyStopping(patience=2).ends(rows)
    'test_loss has not fallen below 0.5 for 2 epochs.'
    >>> EarlyStopping(patience=3).ends(rows) is None
    True
    """

    def __init__(
        self,
        metric: str = "test_loss",
        *,
        patience: int = 10,
        min_delta: float = 0.0,
        better: Better = "lower",
    ) -> None:
        self.metric, self.patience = (
            checked_text(metric, "metric"),
            whole_number(patience, "patience"),
        )
        self.min_delta, self.better = real_number(min_delta, "min_delta"), _direction(better)
        if self.patience < 1:
            raise InvalidOption(f"patience must be at least 1 epoch, got {patience}.")
        if not (math.isfinite(self.min_delta) and self.min_delta >= 0):
            raise InvalidOption(f"min_delta is a finite number >= 0, got {min_delta}.")
        self.needs = (self.metric,)

    def ends(self, history: Rows) -> str | None:
        """See :meth:`Callback.ends`."""
        values = [row[self.metric] for row in history if self.metric in row]
        best, since = math.nan, 0
        for value in values:
            gain = best - value if self.better == "lower" else value - best
            if math.isnan(best) or gain > self.min_delta:
                best, since = value, 0
            else:
                since += 1
        if since < self.patience:
            return None
        words = "fallen below" if self.better == "lower" else "risen above"
        return f"{self.metric} has not {words} {best:.6g} for {since} epochs."


class BestCheckpoint(Callback):
    """Keep the checkpoint of the best epoch, in ``RUN/checkpoints/best``.

    :func:`~qdm_qiskit.sampling.load_run` and every command take that folder as a run, and ``best`` is
    a checkpoint to resume from.

    Args:
        metric: Name of a metric in the rows: ``test_loss``, or what another callback measures.
        better: Better direction of the metric.
        name: Name of the checkpoint, for runs that keep several: ``best-kid``.

    Raises:
        InvalidOption: If the name is none.
    """

    def __init__(
        self, metric: str = "test_loss", *, better: Better = "lower", name: str = BEST
    ) -> None:
        self.metric, self.better = checked_text(metric, "metric"), _direction(better)
        self.name, self.needs = _checked_name(name), (self.metric,)
        self.value: float | None = None
        """Best value so far; None before the first."""

    def begin(self, run: Path, history: Rows) -> str | None:
        """See :meth:`Callback.begin`."""
        self.value = None
        try:
            kept = load_training_state(find_checkpoint(run, self.name)).history
        except MissingData:
            if not history:
                return None
            return (
                f"No '{self.name}' of epochs 1 to {len(history)} was kept; it is the best of those "
                "that follow."
            )
        self.value = kept[-1].get(self.metric) if kept else None
        return None

    def after_epoch(self, after: Epoch) -> None:
        """See :meth:`Callback.after_epoch`."""
        value = after.history[-1].get(self.metric)
        if value is None:
            return
        if self.value is None or (
            value < self.value if self.better == "lower" else value > self.value
        ):
            after.save_checkpoint(self.name)
            self.value = value


class Callbacks:
    """The callbacks of a run, asked one after the other.

    Args:
        given: What the caller gave.

    Raises:
        InvalidArgument: If something is no callback.
        UnknownName: If one looks for a metric that no row will have.
        InvalidOption: If two keep checkpoints of one name.
    """

    def __init__(self, given: Iterable[Callback] = ()) -> None:
        way_out = "objects of classes that inherit qdm_qiskit.training.Callback, in a list"
        self.given = all_of_kind(given, Callback, "callbacks", way_out)
        known = [*KNOWN, *(name for each in self.given for name in each.measures)]
        for each in self.given:
            for name in each.needs:
                if name not in known:
                    raise unknown_name("metric of training", name, known)
        kept = [each.name for each in self.given if isinstance(each, BestCheckpoint)]
        if len(set(kept)) < len(kept):
            raise InvalidOption(
                "Each BestCheckpoint keeps a checkpoint of its own name; give the second one "
                "name='best-other'."
            )

    def begin(self, run: Path, history: Rows, progress: Progress) -> None:
        """Prepare all of them."""
        for each in self.given:
            said = each.begin(run, history)
            if said:
                progress(Warned(said))

    def measure(self, after: Epoch) -> dict[str, float]:
        """Return what they add to the epoch's row.

        Raises:
            InvalidData: If a value is no finite number, or its name stands in the row already.
        """
        found: dict[str, float] = {}
        for each in self.given:
            for name, value in each.measure(after).items():
                kind = type(each).__name__
                try:
                    number = real_number(value, name)
                except InvalidArgument as error:
                    raise InvalidData(f"{kind}.measure: {error}") from error
                if not math.isfinite(number):
                    raise InvalidData(
                        f"{kind}.measure gives finite numbers, got {name} = {number}; leave it out of "
                        "epochs in which it cannot be known."
                    )
                if name in found or name in after.history[-1]:
                    raise InvalidData(
                        f"{kind}.measure gives '{name}', which the row has already; call it otherwise."
                    )
                found[name] = number
        return found

    def after_epoch(self, after: Epoch) -> None:
        """Tell all of them; the first row must have what they need, unless it is measured later."""
        later = {name for each in self.given for name in each.measures}
        for each in self.given:
            for name in each.needs:
                if len(after.history) == 1 and name not in after.history[0] and name not in later:
                    raise unknown_name("metric of this run called", name, after.history[0])
            each.after_epoch(after)

    def ends(self, history: Rows) -> str | None:
        """Return why the run ends here, if any of them says so."""
        for each in self.given:
            reason = each.ends(history) if history else None
            if reason:
                return " ".join(str(reason).split())
        return None


def told_together(progress: Progress, callbacks: Callbacks) -> Progress:
    """Return a listener that tells another and all callbacks."""

    def tell(message: Message) -> None:
        progress(message)
        for each in callbacks.given:
            each(message)

    return tell


def _direction(better: Better) -> Better:
    if better not in ("lower", "higher"):
        raise InvalidOption(f"better is 'lower' or 'higher', got {better!r}.")
    return better


def _checked_name(name: str) -> str:
    if not BEST_NAME.fullmatch(checked_text(name, "name")):
        raise InvalidOption(
            f"A checkpoint that stays is called 'best' or like 'best-kid', got {name!r}."
        )
    return name
