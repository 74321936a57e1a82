"""Layout of the two tables that machine code reads: one record for each step, of int64 numbers.

Addresses are those of arrays or functions of this process. :mod:`.step_table` fills the tables,
:mod:`.emit_run` writes the code that reads them.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "FORMS",
    "READING",
    "STEP",
    "ReadingFields",
    "StepFields",
    "StepKind",
]

FORMS = ("forward", "transposed", "adjoint")
"""Forms in which a matrix is applied; each is a field of :class:`StepFields`."""


class StepKind(IntEnum):
    """Action of a step."""

    BLOCK = 0
    """A block whose matrix all samples share."""
    MOVE = 1
    """A monomial that moves rows."""
    TURN = 2
    """A monomial that moves no row."""
    GATE = 3
    """A gate with one angle, which all samples share."""
    OWN_GATE = 4
    """A gate with one angle, of which each sample has its own."""


class StepFields(NamedTuple):
    """Fields of a step: numbers, or the values into which code has loaded them."""

    kind: Any
    """A :class:`StepKind`."""
    count: Any
    """Number of times that the block is applied; of a monomial the rows of the tile."""
    rows: Any
    """Address of int32 numbers: the first row of each application, or where each row comes from."""
    offsets: Any
    """Address of int32 numbers: the distance of each row of the block from the first."""
    matrix: Any
    """Address of the matrix, or of a monomial's factors."""
    forward: Any
    """Address of the function that applies the step."""
    transposed: Any
    """Address of the function that applies its transpose."""
    adjoint: Any
    """Address of the function that applies its adjoint, which undoes it."""


class ReadingFields(NamedTuple):
    """Fields of the reading of a gradient at a step, likewise."""

    function: Any
    """Address of the function that reads; 0 where nothing is read."""
    place: Any
    """Place of the result: the first of the sums, or a row of the slopes."""
    generator: Any
    """Address of the generator whose slope is read."""


STEP = np.dtype([(name, np.int64) for name in StepFields._fields])
"""Record of a step."""
READING = np.dtype([(name, np.int64) for name in ReadingFields._fields])
"""Record of a reading."""
