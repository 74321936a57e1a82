"""Data sets of rows: tables, series, spins, deposits, and columns of numbers or texts as rows."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np

from ..arguments import of_kind
from ..errors import InvalidData
from .contract import Dataset, LabelledImages
from .row_format import (
    LARGEST_RANGE,
    LEAST_RANGE,
    MOST_CATEGORIES,
    MOST_CELLS,
    MOST_DECIMALS,
    Column,
    RowFormat,
)

__all__ = [
    "MISSING",
    "RowDataset",
    "Rows",
    "table_rows",
]

MISSING = frozenset({"", "?", "na", "n/a", "nan", "none", "null"})
"""Texts that stand for a missing value, in small letters."""


@dataclass(frozen=True, eq=False)
class Rows:
    """All rows of a data set."""

    format: RowFormat
    values: np.ndarray
    """``(count, columns)`` float64; a category is its position."""
    labels: np.ndarray | None = None
    """``(count,)`` int64 positions among the classes."""
    files: tuple[Path, ...] = ()
    """Files that they were read from."""


class RowDataset(Dataset):
    """A data set of rows. A model sees them as small pictures; samples are a table again.

    >>> import numpy as np
    >>> from qdm_qiskit.data import RowDataset, load_dataset, table_rows
    >>> class Boxes(RowDataset):
    ...     name, licence, source = "boxes", "CC0", "made here"
    ...     classes = ("small", "large")
    ...     def rows(self):
    ...         side = np.linspace(1, 2, 20)
    ...         kind = np.where(side > 1.5, "large", "small").tolist()
    ...         return table_rows({"side": side, "area": side**2, "kind": kind}, "kind",
    ...                           order=self.classes)
    >>> load_dataset(Boxes(), image_size=2, test_fraction=0.25).train.images.shape
    (16, 1, 2, 2)
    """

    @abstractmethod
    def rows(self) -> Rows:
        """Return all rows, the same in the same order every time."""

    @cached_property
    def loaded_rows(self) -> Rows:
        """The rows, made or read once.

        Raises:
            InvalidArgument: If :meth:`rows` gives something else.
        """
        return _checked(self.rows(), self.name)

    @final
    def load(self) -> LabelledImages:
        """See :meth:`.Dataset.load`."""
        rows = self.loaded_rows
        return LabelledImages(rows.format.images(rows.values)[:, 0], rows.labels, rows.files)


def table_rows(
    columns: Mapping[str, Sequence[Any] | np.ndarray],
    target: str = "",
    *,
    order: Sequence[str] = (),
    what: str = "the table",
    files: tuple[Path, ...] = (),
) -> Rows:
    """Return columns of numbers or texts as rows.

    Args:
        columns: Name to values, all of one length; texts that are all numbers are numbers.
        target: Column that a classifier of rows names, and whose values are the classes; a target of
            numbers has two classes, not above and above its median. Empty for none.
        order: Categories of the target in the order of their labels; sorted by default.
        what: The table's name in messages.
        files: Files that they were read from.

    Raises:
        InvalidData: If a value is missing or not finite, a column is constant, mixes numbers and
            texts or has too many different texts, lengths differ, or a class has one row.
    """
    if not columns or len({len(values) for values in columns.values()}) != 1:
        raise InvalidData(f"{what} needs columns of one length, got {len(columns)} columns.")
    count = len(next(iter(columns.values())))
    if count < 4:
        raise InvalidData(f"{what} needs at least 4 rows, got {count}.")
    if target and target not in columns:
        raise InvalidData(f"{what} has no column '{target}': its columns are {', '.join(columns)}.")
    found, values = [], np.zeros((count, len(columns)))
    for place, (name, given) in enumerate(columns.items()):
        wanted = order if name == target else ()
        column, values[:, place] = _column(name, list(given), wanted, what, target=name == target)
        found.append(column)
    classes: tuple[str, ...] = ()
    if target:
        classes = found[list(columns).index(target)].categories or ("low", "high")
    form = RowFormat(kind="table", columns=tuple(found), target=target, classes=classes)
    if form.cells > MOST_CELLS:
        raise InvalidData(
            f"Rows of {what} take {form.cells} cells; at most {MOST_CELLS} are taken."
        )
    return Rows(form, values, _labels(form, values, what), files)


def _checked(rows: Any, name: str) -> Rows:
    of_kind(rows, Rows, f"rows() of '{name}'", "table_rows(columns) makes some")
    values: Any = rows.values
    shape = (len(values), len(rows.format.columns)) if isinstance(values, np.ndarray) else ()
    if not shape or values.shape != shape or values.dtype.kind not in "fiu" or not len(values):
        got = getattr(values, "shape", type(values).__name__)
        raise InvalidData(f"The values of '{name}' are numbers (count, columns), got {got}.")
    for place, column in enumerate(rows.format.columns):
        own = values[:, place]
        if not np.isfinite(own).all() or own.min() < column.low or own.max() > column.high:
            raise InvalidData(
                f"Column '{column.name}' of '{name}' lies in {column.low:g} to {column.high:g}, got "
                f"{own.min():g} to {own.max():g}."
            )
    found: Rows = rows
    return found


def _column(
    name: str, given: list[Any], order: Sequence[str], what: str, *, target: bool
) -> tuple[Column, np.ndarray]:
    texts = [each.strip() if isinstance(each, str) else str(each) for each in given]
    for row, text in enumerate(texts, start=1):
        if text.lower() in MISSING:
            raise InvalidData(
                f"Column '{name}' of {what} has no value in row {row}: fill it in, or leave the row or "
                "the column out."
            )
    numbers = [_number(text) for text in texts]
    known = [each for each in numbers if each is not None]
    different = sorted(set(texts))
    if len(different) == 1 or (len(known) == len(texts) and len(set(known)) == 1):
        raise InvalidData(
            f"Column '{name}' of {what} is {different[0]} in every row, so there is nothing to learn: "
            "leave it out."
        )
    whole = len(known) == len(texts) and all(each == int(each) for each in known)
    coded = target and whole and len(set(known)) <= 10
    if len(known) == len(texts) and not coded and not order:
        low, high = min(known), max(known)
        if not LEAST_RANGE <= high - low <= LARGEST_RANGE:
            raise InvalidData(
                f"Column '{name}' of {what} goes from {low:g} to {high:g}: rescale it."
            )
        decimals = max(_decimals(text) for text in texts)
        return Column(name=name, low=low, high=high, decimals=decimals), np.array(known)
    if not coded and not order and len(known) > len(texts) / 2:
        row = numbers.index(None)
        raise InvalidData(
            f"Column '{name}' of {what} holds numbers, but '{texts[row][:40]}' in row {row + 1}: mend "
            "it, or leave the row or the column out."
        )
    if len(different) > MOST_CATEGORIES:
        raise InvalidData(
            f"Column '{name}' of {what} has {len(different)} different texts, and a category has at "
            f"most {MOST_CATEGORIES}: leave it out if it names rows, or group its values."
        )
    if coded:
        different = sorted(different, key=float)
    categories = tuple(order) or tuple(different)
    unknown = set(different) - set(categories)
    if unknown:
        raise InvalidData(f"Column '{name}' of {what} holds '{min(unknown)[:40]}', no category.")
    codes = np.array([categories.index(text) for text in texts], dtype=np.float64)
    high = float(len(categories) - 1)
    made = Column(name=name, kind="category", high=high, decimals=0, categories=categories)
    return made, codes


def _labels(form: RowFormat, values: np.ndarray, what: str) -> np.ndarray | None:
    if not form.target:
        return None
    place = [each.name for each in form.columns].index(form.target)
    target, column = form.columns[place], values[:, place]
    if target.kind != "category":
        return (column > np.median(column)).astype(np.int64)
    labels = column.astype(np.int64)
    for label, count in enumerate(np.bincount(labels, minlength=len(target.categories))):
        if count < 2:
            raise InvalidData(
                f"Class '{target.categories[label]}' of {what} has {count} "
                f"row{'s' if count != 1 else ''}, and a class is divided into training and test rows: "
                "leave it out, or bring 2 or more."
            )
    return labels


def _number(text: str) -> float | None:
    try:
        value = float("" if "_" in text else text)  # Python's own way to write thousands
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _decimals(text: str) -> int:
    if "e" in text.lower():
        return MOST_DECIMALS
    return min(MOST_DECIMALS, len(text.partition(".")[2].rstrip("0")))
