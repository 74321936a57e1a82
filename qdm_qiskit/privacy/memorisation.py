"""Samples beside training rows: are they nearer to what was learned than to what was not?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..arguments import whole_number
from ..errors import InvalidData, InvalidOption
from ..evaluation.bootstrap import Interval, check_bootstrap, share_interval
from ..evaluation.image_metrics import nearest
from ..rng import stream
from .roc import LEAST

__all__ = ["Memorisation", "measure_memorisation"]

_NEAR = 0.05


@dataclass(frozen=True)
class Memorisation:
    """Nearest neighbours of samples among training and held-out rows."""

    samples: int
    share: float
    """Samples whose nearest row is a training row."""
    expected: float
    """Mean of that share where labels of training and held-out rows are exchanged at random."""
    null: tuple[float, float]
    """Central 95 % of that null distribution (or the level asked for)."""
    p_value: float
    """Chance of such a share or a larger one under it."""
    near: Interval
    """Samples nearer to a training row than the nearest 5 % of held-out rows are, with Wilson's
    interval: about 0.05 for samples that are like held-out rows."""
    copies: int
    """Samples that are a training row, up to 1e-6 in each pixel."""

    @property
    def found(self) -> bool:
        """True if the share lies above the null distribution's interval."""
        return self.share > self.null[1]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {**asdict(self), "null": list(self.null), "found": self.found}


def measure_memorisation(
    samples: np.ndarray,
    train: np.ndarray,
    held_out: np.ndarray,
    train_labels: np.ndarray | None = None,
    held_out_labels: np.ndarray | None = None,
    *,
    exchanges: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Memorisation:
    """Return whether samples lie nearer to training rows than chance puts them.

    If a model has learned the distribution and nothing of single rows, its samples do not know which
    rows were held out: exchanging training and held-out rows, within classes, changes nothing. So the
    test is exact for a random split, whatever the distances are like.

    Args:
        samples, train, held_out: ``(count, channels, height, width)`` in [0, 1].
        train_labels, held_out_labels: ``(count,)`` classes within which the split was drawn, or None.
        exchanges: Random exchanges of the null distribution, at least 20.
        level: Of the intervals.
        seed: Of the exchanges.

    Raises:
        InvalidOption: If ``exchanges`` or ``level`` is out of range.
        InvalidData: If there are fewer than 10 images of a kind, or they cannot be compared.

    >>> rows = np.random.default_rng(0).random((40, 1, 2, 2))
    >>> found = measure_memorisation(rows[:20], rows[:20], rows[20:], exchanges=100)
    >>> found.share, found.copies, found.p_value < 0.02
    (1.0, 20, True)
    """
    check_bootstrap(whole_number(exchanges, "exchanges"), level)
    for images, what in ((samples, "samples"), (train, "training rows"), (held_out, "test rows")):
        if len(images) < LEAST:
            raise InvalidData(f"Memorisation needs at least {LEAST} {what}, got {len(images)}.")
    if (train_labels is None) != (held_out_labels is None):
        raise InvalidOption("Labels are given of training and of held-out rows, or of neither.")
    rng = stream(seed, "evaluation", 34)
    pool = np.concatenate([train, held_out])
    # Of equal rows the first counts as the nearest one: the order must not know which were learned.
    order = rng.permutation(len(pool))
    member = order < len(train)
    if train_labels is None or held_out_labels is None:
        groups = [np.arange(len(pool))]
    else:
        labels = np.concatenate([train_labels, held_out_labels])[order]
        groups = [np.flatnonzero(labels == each) for each in np.unique(labels)]
    votes = np.bincount(nearest(samples, pool[order])[0], minlength=len(pool))
    share = float(votes[member].sum() / len(samples))
    null = np.empty(exchanges)
    exchanged = member.copy()
    for number in range(exchanges):
        for rows in groups:
            exchanged[rows] = member[rng.permutation(rows)]
        null[number] = votes[exchanged].sum() / len(samples)
    tail = (1 - level) / 2
    own, between = nearest(samples, train)[1], nearest(held_out, train)[1]
    least = np.quantile(between, _NEAR, method="lower")
    expected = sum(votes[rows].sum() * member[rows].mean() for rows in groups) / len(samples)
    return Memorisation(
        samples=len(samples),
        share=share,
        expected=float(expected),
        null=(float(np.quantile(null, tail)), float(np.quantile(null, 1 - tail))),
        p_value=float((1 + (null >= share - 1e-12).sum()) / (1 + exchanges)),
        near=share_interval(own < least, level),
        copies=int((own <= 1e-6).sum()),
    )
