"""A secret column guessed by a model's loss: of rows that it learned better than of others?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..arguments import checked_text, whole_number
from ..data import RowFormat
from ..errors import InvalidData, InvalidOption, unknown_name
from ..evaluation.bootstrap import Interval, share_interval
from .roc import LEAST

__all__ = ["AttributeInference", "candidates_of", "infer_attribute"]


@dataclass(frozen=True)
class AttributeInference:
    """Shares of rows whose secret was guessed."""

    column: str
    candidates: tuple[float, ...]
    """Values that were tried; of a category its positions."""
    members: Interval
    """Of rows that were learned, with Wilson's interval."""
    others: Interval
    """Of rows that were not: what the other columns tell by themselves."""
    commonest: float
    """Share of the commonest candidate: a guess that needs no model."""
    advantage: Interval
    """Difference of the two, with Newcombe's interval (1998, method 10)."""

    @property
    def found(self) -> bool:
        """True if the difference's interval lies above 0."""
        return self.advantage.low > 0

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {**asdict(self), "candidates": list(self.candidates), "found": self.found}


def candidates_of(form: RowFormat, values: np.ndarray, column: str, bins: int = 5) -> np.ndarray:
    """Return the values of a column that a guess chooses from.

    Args:
        form: The rows' format.
        values: ``(rows, columns)``.
        column: Name of the secret column.
        bins: Quantiles of a column of numbers, at least 2.

    Returns:
        Categories' positions, the two spins, or medians of equally frequent bins.

    Raises:
        UnknownName: If there is no such column.
        InvalidOption: If there are fewer than 2 bins.
        InvalidData: If the column has one value.
    """
    names = [each.name for each in form.columns]
    if checked_text(column, "column") not in names:
        raise unknown_name("column", column, names)
    if whole_number(bins, "bins") < 2:
        raise InvalidOption(f"bins must be at least 2, got {bins}.")
    place = names.index(column)
    known = np.unique(values[:, place])
    if form.columns[place].kind == "number" and len(known) > bins:
        known = np.unique(np.quantile(values[:, place], (np.arange(bins) + 0.5) / bins))
    if len(known) < 2:
        raise InvalidData(
            f"Column '{column}' has one value in these rows: there is nothing to guess; choose another."
        )
    return known


def infer_attribute(
    form: RowFormat,
    values: np.ndarray,
    member: np.ndarray,
    column: str,
    losses: Callable[[np.ndarray], np.ndarray],
    *,
    bins: int = 5,
    level: float = 0.95,
) -> AttributeInference:
    """Return how well the loss tells a column from all the others.

    Whoever attacks knows a row but one column, tries all candidates and takes the one with the least
    loss. What the other columns tell of it works for rows outside of the training too, so the
    difference counts.

    Args:
        form: The rows' format.
        values: ``(rows, columns)``, from :meth:`.RowFormat.values`.
        member: ``(rows,)`` booleans: what was learned.
        column: Name of the secret column.
        losses: Losses ``(rows,)`` of changed values ``(rows, columns)``, always on the same noise.
        bins: As for :func:`candidates_of`.
        level: Of the intervals.

    Raises:
        UnknownName, InvalidOption, InvalidData: As :func:`candidates_of`; InvalidData too if there are
            fewer than 10 rows of a kind.
    """
    candidates = candidates_of(form, values, column, bins)
    place = [each.name for each in form.columns].index(column)
    for rows, what in ((member, "members"), (~member, "non-members")):
        if rows.sum() < LEAST:
            raise InvalidData(
                f"Attribute inference needs at least {LEAST} {what}, got {int(rows.sum())}."
            )
    tried = []
    for candidate in candidates:
        changed = values.copy()
        changed[:, place] = candidate
        tried.append(losses(changed))
    guess = np.argmin(tried, axis=0)
    truth = np.abs(values[:, [place]] - candidates).argmin(axis=1)
    hits = guess == truth
    inside, outside = share_interval(hits[member], level), share_interval(hits[~member], level)
    gap = inside.estimate - outside.estimate
    down = math.hypot(inside.estimate - inside.low, outside.high - outside.estimate)
    up = math.hypot(inside.high - inside.estimate, outside.estimate - outside.low)
    return AttributeInference(
        column=column,
        candidates=tuple(candidates.tolist()),
        members=inside,
        others=outside,
        commonest=float(np.bincount(truth).max() / len(truth)),
        advantage=Interval(gap, gap - down, gap + up),
    )
