"""Where the numbers of a column stand in memory, its parts in it, and blocks in a part.

A column's numbers have one base-4 digit for each qubit. Behind each run of ``4**6`` numbers there is a
gap of 16. Digits would otherwise lie powers of two apart, and the 256 rows of a part, each from another
place, in a few sets of the caches: these throw a line out before the next part takes what lies beside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from .column_forms import LANES, LOW_DIGITS, Mode

__all__ = [
    "LEAST_DIGITS",
    "RUN_DIGITS",
    "Part",
    "apart",
    "length",
    "part_of",
    "spread",
    "tiles_of",
    "with_neighbours",
]

LEAST_DIGITS = 5
"""Digits of the shortest vector: both lanes, and rows of one of the last two digits and another."""
RUN_DIGITS = 2 * LOW_DIGITS
"""Digits of the runs between gaps: those of the low and the middle table of products."""
_GAP = LANES
"""Numbers of a gap: one cache line in single precision."""


class Part:
    """Parts of a vector that are fetched, one after the other.

    Attributes:
        mode: How a part is fetched.
        bases: ``(parts,)`` int32: where they begin.
        places: int32: what :meth:`.emit_columns.ColumnWriter.fetch` reads.
        count: Rows or, if turned, times 16 rows of a part.
    """

    def __init__(self, mode: Mode, bases: np.ndarray, places: np.ndarray, count: int) -> None:
        self.mode, self.bases, self.places, self.count = mode, bases, places, count


def apart(digit: int) -> int:
    """Return how many numbers lie between two values of a digit."""
    if digit < RUN_DIGITS:
        return int(4**digit)
    return int(4 ** (digit - RUN_DIGITS) * (4**RUN_DIGITS + _GAP))


def length(digits: int) -> int:
    """Return how many numbers a vector takes, its gaps too; a multiple of 16."""
    return apart(digits)


def spread(index: np.ndarray) -> np.ndarray:
    """Return where the numbers with these indices stand, int32."""
    index = np.asarray(index, np.int32)
    return index + (index >> 2 * RUN_DIGITS) * np.int32(_GAP)


@cache
def part_of(digits: int, rows: tuple[int, ...]) -> Part:
    """Return the parts of a vector whose rows are all numbers of some digits.

    Args:
        digits: Those of the vector, at least two more than the rows'.
        rows: Ascending, as :func:`with_neighbours` gives them.
    """
    free = [d for d in range(digits) if d not in rows]
    lanes, rest = free[:2], free[2:]
    bases = _offsets(tuple(reversed(rest)), apart)
    if 0 not in rows:
        places = _offsets(tuple(reversed(rows)), apart)
        return Part("runs", bases, places, len(places))
    high = _offsets(tuple(reversed(rows[2:])), apart)
    low = _offsets(tuple(reversed(lanes)), apart)
    places = np.add.outer(high, low).ravel().astype(np.int32)
    return Part("turned", bases, places, len(high))


def with_neighbours(rows: frozenset[int]) -> frozenset[int]:
    """Return digits of a part's rows: both of the last two or none, as they are fetched together."""
    return rows | {0, 1} if rows & {0, 1} else rows


@cache
def tiles_of(digits: int, block: tuple[int, ...], itemsize: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where the tiles of a block stand in a part, which has no gaps.

    Args:
        digits: Those of the part's rows.
        block: One or two of them, the first the more significant in the block's matrix.
        itemsize: Bytes of a number.

    Returns:
        Rows where tiles begin, int32; bytes between numbers of the block's digits, int64, the less
        significant first.
    """
    others = tuple(d for d in reversed(range(digits)) if d not in block)
    strides = [4**d * LANES * itemsize for d in reversed(block)]
    return _offsets(others, lambda digit: int(4**digit)), np.array(strides, np.int64)


def _offsets(chosen: Sequence[int], weight: Callable[[int], int]) -> np.ndarray:
    """Return the offsets of all numbers of some digits, the first the most significant."""
    found = np.zeros(1, np.int32)
    for digit in chosen:
        found = np.add.outer(found, np.arange(4, dtype=np.int32) * weight(digit)).ravel()
    return found.astype(np.int32)
