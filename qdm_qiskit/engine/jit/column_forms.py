"""What the functions on columns are written for: shapes of records, parts, matrices and tables."""

from __future__ import annotations

from typing import Literal

__all__ = ["FIELDS", "LANES", "LEAST_READ", "LOW_DIGITS", "Form", "Mode", "Pattern", "entries"]

LANES = 16
"""Numbers of a row of a part: two digits."""
FIELDS = 8
"""Numbers of a record: the function's address and its seven arguments."""
LEAST_READ = 2
"""Digits of the shortest column that is read: a row of the low table for each lane."""
LOW_DIGITS = 3
"""Digits of the low and of the middle table of products, at most."""

Mode = Literal["runs", "turned"]
"""How a part is fetched, see :mod:`.emit_columns`."""
Form = Literal["forward", "transposed"]
"""Whether a matrix is applied as it is."""
Pattern = tuple[int, ...]
"""For each row of a matrix the columns that may hold anything but zero, column k as bit k."""


def entries(pattern: Pattern) -> list[tuple[int, int]]:
    """Return the rows and columns of a pattern, row by row."""
    return [(r, c) for r, mask in enumerate(pattern) for c in range(len(pattern)) if mask >> c & 1]
