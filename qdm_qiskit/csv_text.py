"""CSV as text, which every reader of CSV reads back."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["csv_text"]


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    r"""Return rows as CSV, a line each, which ends with a newline.

    >>> csv_text([["name", "loss"], ["two\rlines", 0.5]])
    'name,loss\n"two\rlines",0.5\n'
    """
    lines = []
    for row in rows:
        buffer = io.StringIO(newline="")
        # Python below 3.13 quotes a carriage return only where the ends of lines have one.
        csv.writer(buffer, lineterminator="\r\n").writerow(row)
        lines.append(buffer.getvalue().removesuffix("\r\n") + "\n")
    return "".join(lines)
