"""Rows of numbers and categories as small pictures, and back: tables, series, spins, deposits.

The reverse chain works on arrays ``(channels, height, width)`` in [0, 1]. A row becomes the first
cells of a square of one channel, in the order of its columns: a number or a spin takes one cell, a
category one cell a value (one-hot). A number's range over the data set is put at 0.1 to 0.9, so that
no row is zero everywhere; cells beyond the row are 0. scikit-learn's MinMaxScaler and OneHotEncoder do
it and undo it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from ..csv_text import csv_text
from ..errors import InvalidData, InvalidOption

if TYPE_CHECKING:
    from sklearn.preprocessing import MinMaxScaler, OneHotEncoder

__all__ = [
    "HIGH",
    "LARGEST_RANGE",
    "LEAST_RANGE",
    "LOW",
    "MOST_CATEGORIES",
    "MOST_CELLS",
    "MOST_DECIMALS",
    "Column",
    "ColumnKind",
    "RowFormat",
    "RowKind",
    "row_format_from_dict",
]

LOW, HIGH = 0.1, 0.9
"""Cells of the least and the largest number of a column."""
MOST_CATEGORIES = 32
"""Most values of a category: each takes a cell."""
MOST_CELLS = 4096
"""Most cells of a row."""
MOST_DECIMALS = 9
"""Most decimals of a number."""
LEAST_RANGE, LARGEST_RANGE = 1e-9, 1e300
"""Ends of the range of a column: between them it can be scaled to cells and back."""

ColumnKind = Literal["number", "category", "spin"]
RowKind = Literal["table", "series", "spins", "showers"]
"""Meaning of a row: it decides which metrics are measured."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a row."""

    name: str
    """Name in ``samples.csv``."""
    kind: ColumnKind = "number"
    """A number; one of several texts; or a spin, which is -1 or 1."""
    low: float = 0.0
    """Least value of the data set; 0 of a category."""
    high: float = 1.0
    """Largest value; of a category the position of the last."""
    decimals: int = MOST_DECIMALS
    """Decimals of a number, as the data have them."""
    categories: tuple[str, ...] = ()
    """Values of a category."""

    @property
    def cells(self) -> int:
        """Cells that it takes."""
        return len(self.categories) if self.kind == "category" else 1


@dataclass(frozen=True, kw_only=True)
class RowFormat:
    """What the cells of a row mean; a run keeps it, so that its samples become a table again.

    >>> import numpy as np
    >>> form = RowFormat(kind="table", columns=(
    ...     Column(name="height", low=1.0, high=3.0, decimals=1),
    ...     Column(name="colour", kind="category", high=1, categories=("red", "blue")),
    ... ))
    >>> images = form.images(np.array([[1.0, 1], [2.5, 0]]))
    >>> images[:, 0].astype(float).round(3).tolist()
    [[[0.1, 0.1], [0.9, 0.0]], [[0.7, 0.9], [0.1, 0.0]]]
    >>> form.values(images).tolist()
    [[1.0, 1.0], [2.5, 0.0]]
    """

    kind: RowKind
    columns: tuple[Column, ...]
    target: str = ""
    """Column that a classifier of rows names; empty if there is none."""
    shape: tuple[int, ...] = ()
    """The columns' order: (length,) of a series, (side, side) of spins, (layers, rings) of showers."""
    classes: tuple[str, ...] = ()
    """Names of the labels, in their order; empty if rows have none."""

    @property
    def cells(self) -> int:
        """Cells of a row."""
        return sum(column.cells for column in self.columns)

    @property
    def size(self) -> int:
        """Height and width of the least square that holds a row, at least 2."""
        return max(2, math.isqrt(self.cells - 1) + 1)

    def images(self, values: np.ndarray, size: int | None = None) -> np.ndarray:
        """Return rows as pictures.

        Args:
            values: ``(count, columns)`` finite numbers; a category is its position.
            size: Height and width; the least if None.

        Returns:
            ``(count, 1, size, size)`` float32 in [0, 1].

        Raises:
            InvalidOption: If the rows do not fit into the size.
        """
        numbers, categories = self._places
        cells = np.zeros((len(values), self.cells))
        if numbers[0]:
            cells[:, numbers[1]] = self._scaler.transform(values[:, numbers[0]])
        if categories[0]:
            names = [
                [
                    self.columns[place].categories[int(code)]
                    for place, code in zip(categories[0], row, strict=True)
                ]
                for row in values[:, categories[0]]
            ]
            hot = self._encoder.transform(np.array(names, dtype=object))
            cells[:, categories[1]] = LOW + (HIGH - LOW) * hot
        return _square(cells.astype(np.float32), self.size if size is None else size, self)

    def at_size(self, images: np.ndarray, size: int) -> np.ndarray:
        """Return rows in pictures of another size; cells are added or left out, none is changed.

        Args:
            images: ``(count, 1, any, any)``.
            size: Height and width.

        Raises:
            InvalidOption: If the rows do not fit into the size.
        """
        return _square(self.row_cells(images).astype(np.float32), size, self)

    def row_cells(self, images: np.ndarray) -> np.ndarray:
        """Return the cells of rows, ``(count, cells)`` float64.

        Args:
            images: ``(count, 1, height, width)`` with at least as many pixels.

        Raises:
            InvalidData: If the shape is another one.
        """
        if images.ndim != 4 or images.shape[1] != 1 or images[0].size < self.cells:
            raise InvalidData(
                f"Rows of {self.cells} cells are arrays (count, 1, height, width) with as many pixels, "
                f"got {images.shape}."
            )
        return images.reshape(len(images), -1)[:, : self.cells].astype(np.float64)

    def values(self, images: np.ndarray) -> np.ndarray:
        """Return pictures as rows: numbers within the range of the data, rounded as the data are.

        Args:
            images: ``(count, 1, height, width)``.

        Returns:
            ``(count, columns)`` float64; a category is the position of its largest cell.
        """
        cells = self.row_cells(images)
        found = np.zeros((len(cells), len(self.columns)))
        numbers, categories = self._places
        if numbers[0]:
            inside = np.clip(cells[:, numbers[1]], LOW, HIGH)
            found[:, numbers[0]] = self._scaler.inverse_transform(inside)
        if categories[0]:
            hot = np.zeros((len(cells), len(categories[1])))
            start, rows = 0, np.arange(len(cells))
            for place in categories[0]:
                width = self.columns[place].cells
                largest = cells[:, categories[1][start : start + width]].argmax(axis=1)
                hot[rows, start + largest] = 1
                start += width
            names = self._encoder.inverse_transform(hot)
            for place, column in zip(categories[0], names.T, strict=True):
                known = self.columns[place].categories
                found[:, place] = [known.index(name) for name in column]
        for place, each in enumerate(self.columns):
            if each.kind == "spin":
                found[:, place] = np.where(found[:, place] > 0, 1.0, -1.0)
            elif each.kind == "number":
                found[:, place] = found[:, place].round(each.decimals)
        return found

    def texts(self, values: np.ndarray) -> list[list[str]]:
        """Return rows as people write them: names of categories, numbers with their decimals."""
        return [
            [_text(column, float(value)) for column, value in zip(self.columns, row, strict=True)]
            for row in values
        ]

    def csv(self, images: np.ndarray, told: Sequence[str] | None = None) -> str:
        """Return pictures as the text of a CSV file with a header.

        Args:
            images: ``(count, 1, height, width)``.
            told: The class that each was asked to be of; a last column ``told_class`` has it.
        """
        names = [column.name for column in self.columns]
        rows = self.texts(self.values(images))
        if told is None:
            return csv_text([names, *rows])
        lines = ([*row, name] for row, name in zip(rows, told, strict=True))
        return csv_text([[*names, "told_class"], *lines])

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        columns = [{**asdict(each), "categories": list(each.categories)} for each in self.columns]
        return {
            **asdict(self),
            "columns": columns,
            "shape": list(self.shape),
            "classes": list(self.classes),
        }

    @cached_property
    def _places(self) -> tuple[tuple[list[int], list[int]], tuple[list[int], list[int]]]:
        """Columns and cells of numbers, and those of categories."""
        numbers: tuple[list[int], list[int]] = ([], [])
        categories: tuple[list[int], list[int]] = ([], [])
        start = 0
        for place, column in enumerate(self.columns):
            which = categories if column.kind == "category" else numbers
            which[0].append(place)
            which[1].extend(range(start, start + column.cells))
            start += column.cells
        return numbers, categories

    @cached_property
    def _scaler(self) -> MinMaxScaler:
        from sklearn.preprocessing import MinMaxScaler  # most of a second, so only when asked

        ends = [
            [getattr(each, end) for each in self.columns if each.kind != "category"]
            for end in ("low", "high")
        ]
        return MinMaxScaler(feature_range=(LOW, HIGH)).fit(np.array(ends))

    @cached_property
    def _encoder(self) -> OneHotEncoder:
        from sklearn.preprocessing import OneHotEncoder

        known = [
            np.array(each.categories, dtype=object)
            for each in self.columns
            if each.kind == "category"
        ]
        encoder = OneHotEncoder(categories=known, sparse_output=False)
        return encoder.fit(np.array([[each[0] for each in known]], dtype=object))


def row_format_from_dict(content: object) -> RowFormat:
    """Return the format that :meth:`RowFormat.to_dict` gave.

    Raises:
        InvalidOption: If a field is missing, unknown or of another kind.
    """
    names = {"kind", "columns", "target", "shape", "classes"}
    if not isinstance(content, Mapping) or set(content) != names:
        raise InvalidOption(
            f"The rows of a run's 'record' have the fields {', '.join(sorted(names))}."
        )
    kind, columns, shape = content["kind"], content["columns"], content["shape"]
    if kind not in get_args(RowKind) or not isinstance(content["target"], str):
        raise InvalidOption(f"Rows are {', '.join(get_args(RowKind))}, got {str(kind)[:80]!r}.")
    if not isinstance(columns, list) or not 1 <= len(columns) <= MOST_CELLS:
        raise InvalidOption(f"Rows have a list of 1 to {MOST_CELLS} columns.")
    if not isinstance(shape, list) or not all(
        type(n) is int and 0 < n <= MOST_CELLS for n in shape
    ):
        raise InvalidOption("The shape of rows is a list of whole numbers above 0.")
    if shape and math.prod(shape) != len(columns):
        raise InvalidOption(f"Rows of {len(columns)} columns have another shape than {shape}.")
    classes = content["classes"]
    if not isinstance(classes, list) or not all(isinstance(each, str) for each in classes):
        raise InvalidOption("The classes of rows are a list of names.")
    made = tuple(_column_from_dict(each) for each in columns)
    form = RowFormat(
        kind=kind,
        columns=made,
        target=content["target"],
        shape=tuple(shape),
        classes=tuple(classes),
    )
    if form.cells > MOST_CELLS:
        raise InvalidOption(f"A row has at most {MOST_CELLS} cells, got {form.cells}.")
    if form.target and form.target not in {each.name for each in made}:
        raise InvalidOption(f"Rows have no column '{form.target[:80]}'.")
    return form


def _column_from_dict(content: object) -> Column:
    names = {"name", "kind", "low", "high", "decimals", "categories"}
    if not isinstance(content, Mapping) or set(content) != names:
        raise InvalidOption(f"A column has the fields {', '.join(sorted(names))}.")
    kind, categories = content["kind"], content["categories"]
    ends = [content["low"], content["high"]]
    numbers = all(type(end) in (int, float) and abs(end) <= 1e308 for end in ends)
    if kind not in get_args(ColumnKind) or not isinstance(content["name"], str) or not numbers:
        raise InvalidOption(
            "A column has a name, a kind that is known, and finite ends of its range."
        )
    if not LEAST_RANGE <= float(ends[1]) - float(ends[0]) <= LARGEST_RANGE:
        raise InvalidOption(
            f"The range of a column begins below its end, got {ends[0]:g} to {ends[1]:g}."
        )
    decimals = content["decimals"]
    if type(decimals) is not int or not 0 <= decimals <= MOST_DECIMALS:
        raise InvalidOption(
            f"A column has 0 to {MOST_DECIMALS} decimals, got {str(decimals)[:20]}."
        )
    texts = isinstance(categories, list) and all(isinstance(each, str) for each in categories)
    few = texts and len(set(categories)) == len(categories) <= MOST_CATEGORIES
    if not few or (kind == "category") != (len(categories) >= 2):
        raise InvalidOption(f"A category has 2 to {MOST_CATEGORIES} different texts, others none.")
    return Column(
        name=content["name"],
        kind=kind,
        low=float(ends[0]),
        high=float(ends[1]),
        decimals=decimals,
        categories=tuple(categories),
    )


def _square(cells: np.ndarray, size: int, form: RowFormat) -> np.ndarray:
    if size * size < cells.shape[1]:
        raise InvalidOption(
            f"image_size={size} has {size * size} cells, and a row takes {cells.shape[1]}: take "
            f"image_size={form.size} or more."
        )
    padded = np.zeros((len(cells), size * size), dtype=np.float32)
    padded[:, : cells.shape[1]] = cells
    return padded.reshape(-1, 1, size, size)


def _text(column: Column, value: float) -> str:
    if column.kind == "category":
        return column.categories[int(value)]
    return f"{value + 0.0:.{column.decimals}f}" if column.decimals else str(int(value))
