"""A user's own table: a CSV file with a header, whose last column is the target."""

from __future__ import annotations

import csv
import io
from functools import cached_property
from pathlib import Path
from typing import final

from ..errors import InvalidData, MissingData
from .places import CSV
from .row_format import MOST_CELLS
from .rows import RowDataset, Rows, table_rows

__all__ = [
    "MOST_BYTES",
    "MOST_FIELD",
    "CsvTable",
    "csv_lines",
]

MOST_BYTES = 2**28
"""Most bytes of a file."""
MOST_FIELD = 1000
"""Most characters of a field."""


@final
class CsvTable(RowDataset):
    """The rows of a CSV file, UTF-8 with a header and commas.

    A column whose fields are all numbers is one of numbers, any other a category. The last column is
    the target; as whole numbers of at most ten values it is a category too. A target of numbers has
    two classes, not above and above its median.

    Args:
        path: The file.
    """

    licence = "the user's own"

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self.name = f"{CSV}{path}"
        self.source = f"a file, {self.path.name}"

    @cached_property
    def classes(self) -> tuple[str, ...]:  # type: ignore[override] # known when the file is read
        """Categories of the target; of numbers their two halves."""
        return self.loaded_rows.format.classes

    def rows(self) -> Rows:
        """See :meth:`.RowDataset.rows`.

        Raises:
            MissingData: If there is no such file.
            InvalidData: If it is no table, or as :func:`.table_rows`.
        """
        path = self.path
        if not path.is_file():
            raise MissingData(
                f"There is no file {path.name} in {path.absolute().parent}; the dataset 'csv:PATH' "
                "needs a CSV file."
            )
        header, *lines = csv_lines(path)
        names = [name.strip() for name in header]
        if len(names) < 2 or "" in names or len(set(names)) != len(names):
            raise InvalidData(
                f"The first line of {path} names its columns, two or more, each once; got "
                f"{', '.join(names)[:80]!r}."
            )
        if len(names) > MOST_CELLS:
            raise InvalidData(f"{path} has {len(names)} columns; at most {MOST_CELLS} are taken.")
        for row, line in enumerate(lines, start=1):
            if len(line) != len(names):
                raise InvalidData(
                    f"Row {row} of {path} has {len(line)} fields, and its header {len(names)}: mend it."
                )
        columns = {name: [line[place] for line in lines] for place, name in enumerate(names)}
        return table_rows(columns, names[-1], what=str(path), files=(path,))


def csv_lines(path: Path) -> list[list[str]]:
    """Return the fields of a CSV file, line by line, its header first; empty lines are left out.

    Raises:
        MissingData: If it cannot be read.
        InvalidData: If it is no UTF-8 text, no CSV file, empty or too large.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InvalidData(f"{path} is larger than {MOST_BYTES} bytes: take fewer rows.")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise MissingData(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise InvalidData(
            f"{path} is no UTF-8 text (byte {error.start}): save it as UTF-8."
        ) from error
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except csv.Error as error:
        raise InvalidData(f"{path} is no CSV file: {error}.") from error
    longest = max((len(field) for line in lines for field in line), default=0)
    if longest > MOST_FIELD:
        raise InvalidData(
            f"A field of {path} has {longest} characters; at most {MOST_FIELD} are read."
        )
    if not lines:
        raise InvalidData(f"{path} is empty: it needs a header and rows.")
    return lines
