"""A table with missing values, for a run that was trained on rows of the same columns."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ..errors import InvalidData, MissingData
from .csv_files import csv_lines
from .known import Known
from .row_format import Column, RowFormat
from .rows import MISSING

__all__ = ["read_gaps"]


def read_gaps(path: str | Path, form: RowFormat, size: int) -> Known:
    """Return the rows of a CSV file as pictures, and which of their cells are known.

    Args:
        path: A file with a header; its columns are those of the format, in any order. An empty field,
            or one of ``?``, ``na``, ``n/a``, ``nan``, ``none`` and ``null``, is missing.
        form: The format of a run's rows.
        size: Height and width of its pictures.

    Raises:
        MissingData: If there is no such file.
        InvalidData: If it is no table, has other columns, a value is no number, outside of the range of
            the data or an unknown category, nothing is missing, or all of a row is.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise MissingData(f"There is no table {path}.")
    header, *lines = csv_lines(path)
    names, wanted = [name.strip() for name in header], [each.name for each in form.columns]
    if sorted(names) != sorted(wanted):
        raise InvalidData(
            f"The columns of {path} are those of the run's data, {', '.join(wanted)[:200]}; got "
            f"{', '.join(names)[:200]}."
        )
    if not lines:
        raise InvalidData(f"{path} has a header and no rows.")
    values = np.zeros((len(lines), len(wanted)))
    known = np.ones(values.shape, dtype=bool)
    order = [names.index(name) for name in wanted]
    for row, line in enumerate(lines):
        if len(line) != len(names):
            raise InvalidData(
                f"Row {row + 1} of {path} has {len(line)} fields, and its header {len(names)}: mend it."
            )
        for place, (column, where) in enumerate(zip(form.columns, order, strict=True)):
            text = line[where].strip()
            if text.lower() in MISSING:
                known[row, place] = False
                values[row, place] = 0.0 if column.kind == "category" else column.low
            else:
                values[row, place] = _value(column, text, f"row {row + 1} of {path}")
        if not known[row].any():
            raise InvalidData(f"All values of row {row + 1} of {path} are missing; leave it out.")
    if known.all():
        raise InvalidData(f"No value of {path} is missing, so there is nothing to find.")
    widths = [column.cells for column in form.columns]
    cells = np.repeat(known, widths, axis=1)
    mask = np.ones((len(lines), 1, size, size), dtype=bool)
    mask.reshape(len(lines), -1)[:, : form.cells] = cells
    return Known(form.images(values, size), mask)


def _value(column: Column, text: str, where: str) -> float:
    if column.kind == "category":
        if text not in column.categories:
            raise InvalidData(
                f"Column '{column.name}' has the categories {', '.join(column.categories)[:200]}; got "
                f"{text[:40]!r} in {where}."
            )
        return float(column.categories.index(text))
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not column.low <= number <= column.high:
        raise InvalidData(
            f"Column '{column.name}' has numbers from {column.low:g} to {column.high:g} in the run's "
            f"data; got {text[:40]!r} in {where}."
        )
    return number
