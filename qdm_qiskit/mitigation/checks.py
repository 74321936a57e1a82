"""Checks of numbers from outside, which refuse wrong ones in one line."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..arguments import wrong
from ..errors import InvalidData

__all__ = [
    "MOST_COUNTS",
    "indices",
    "real_numbers",
    "whole_counts",
]

MOST_COUNTS = float(2**53)
"""Largest whole number up to which float64 holds all of them."""


def real_numbers(values: Any, what: str) -> np.ndarray:
    """Return values as a float64 array.

    Args:
        values: An array, or nested sequences of one shape.
        what: Their name at the start of a sentence, in the plural.

    Raises:
        InvalidData: If they are no array of real numbers.
    """
    try:
        found = np.asarray(values)
        if found.dtype.kind in "biuf":
            return found.astype(np.float64, copy=False)
        if found.dtype.kind == "O":  # Python's own numbers, or no numbers at all
            return np.array([float(operator.index(each)) for each in found.flat]).reshape(
                found.shape
            )
    except (TypeError, ValueError, OverflowError) as error:
        told = " ".join(str(error).split())
        raise InvalidData(f"{what} are an array of real numbers, got {told:.80}.") from None
    raise InvalidData(f"{what} are an array of real numbers, got {found.dtype} values.")


def whole_counts(counts: Any, what: str = "Counts") -> np.ndarray:
    """Return counts as float64, which holds them exactly and adds them without overflow.

    Args:
        counts: An array of any shape and type of number.
        what: Their name at the start of a sentence.

    Raises:
        InvalidData: If they are not whole numbers from 0 to 2**53.
    """
    found = real_numbers(counts, what)
    bad = ~((found >= 0) & (found <= MOST_COUNTS) & (found == np.rint(found)))
    if bad.any():
        first = float(found[bad][0])
        hint = "; multiply frequencies by the number of shots and round" if 0 < first < 1 else ""
        raise InvalidData(f"{what} are whole numbers from 0 to 2**53, got {first:g}{hint}.")
    return found


def indices(values: Iterable[Any], name: str) -> tuple[int, ...]:
    """Return values as integers.

    Raises:
        InvalidArgument: If they are no integers.
    """
    try:
        return tuple(operator.index(each) for each in values)
    except TypeError:
        raise wrong(values, name, "a sequence of int") from None
