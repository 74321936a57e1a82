"""Layout of the tables that machine code reads, of int64 numbers: a record for each step, and one for
the angles of a whole program.

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
    "AngleFields",
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


class AngleFields(NamedTuple):
    """Fields of the angles of a whole program, likewise.

    A *turn* is ``phi = offset + slopes . weights + slopes . inputs``, of which cosine and sine are
    taken; entries of matrices are ``k0 + k1 cos(phi) + k2 sin(phi)``. Turns that all samples share
    stand first. Indices and starts are int32, coefficients real numbers.
    """

    shared: Any
    """Number of turns that all samples share."""
    own: Any
    """Number of turns of which each sample has its own."""
    offsets: Any
    """Address of each turn's offset."""
    weight_starts: Any
    """Address of the first weight of each turn among all of these, and one past the last."""
    weight_columns: Any
    """Address of their places among the weights."""
    weight_slopes: Any
    """Address of their slopes."""
    input_starts: Any
    """Address of the same for inputs."""
    input_columns: Any
    """Address of their places among the inputs."""
    input_slopes: Any
    """Address of their slopes."""
    numbers: Any
    """Number of real numbers in the matrices that all samples share."""
    number_turns: Any
    """Address of each one's turn."""
    number_factors: Any
    """Address of each one's three coefficients."""
    entries: Any
    """Number of complex numbers in the matrices of each sample."""
    entry_turns: Any
    """Address of each one's turn, counted from the first of the samples' own."""
    entry_factors: Any
    """Address of each one's six coefficients: three of the real part, three of the imaginary."""
    steps: Any
    """Number of steps."""
    table: Any
    """Address of the steps, whose gates have no matrix yet."""
    places: Any
    """Address of the first number or entry of each step that is a gate."""
    shared_gates: Any
    """Number of gates whose angle all samples share."""
    own_gates: Any
    """Number of gates with angles of each sample's own."""
    gate_turns: Any
    """Address of each gate's turn, those that are shared first."""
    gate_factors: Any
    """Address of what each gate's slope is multiplied with to be that of its turn."""


STEP = np.dtype([(name, np.int64) for name in StepFields._fields])
"""Record of a step."""
READING = np.dtype([(name, np.int64) for name in ReadingFields._fields])
"""Record of a reading."""
