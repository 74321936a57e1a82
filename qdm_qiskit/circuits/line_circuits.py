"""Circuits of RY, RZ and CZ along a line of qubits, which load vectors nearly.

Both patterns start with a rotation of each qubit; each CZ, between neighbours on the line, is followed
by a rotation of its two qubits. What differs is the order of the CZ. ``bricks``: layers of disjoint
pairs, even and odd in turn. ``staircase``: blocks of two CZ, from the middle of the line outwards, so
that the bonds in the middle are fed first; half the depth of a staircase from one end.

On the line the coarse bits of an image lie in the middle, see :func:`line_order`.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
from qiskit import QuantumCircuit

from ..errors import InvalidOption
from .parameters import input_parameters

__all__ = [
    "MAX_LAYERS",
    "MAX_LINE",
    "Pattern",
    "block_places",
    "line_circuit",
    "line_order",
    "line_pairs",
    "line_states",
    "off_line",
    "on_line",
]

Pattern = Literal["bricks", "staircase"]
MAX_LINE = 12
"""Most qubits of a line."""
MAX_LAYERS = 64
"""Most layers: 64 of 12 qubits are 1,408 CZ, more than any device runs."""


def line_order(num_qubits: int) -> tuple[int, ...]:
    """Return the qubits along the line, in the order in which images load best.

    A square image of ``2**k`` pixels a side has its column in the lower k bits of a pixel's index and
    its row in the upper ones. On the line come the row's bits from the least to the most significant,
    then the column's from the most to the least: what both share, the coarse shape, is in the middle.

    >>> line_order(6)
    (3, 4, 5, 2, 1, 0)
    """
    columns = num_qubits // 2
    return (*range(columns, num_qubits), *reversed(range(columns)))


def on_line(vectors: np.ndarray, num_qubits: int) -> np.ndarray:
    """Return vectors with their amplitudes in the line's order.

    Args:
        vectors: ``(batch, 2**n)``; index i is Qiskit's basis state i.

    Returns:
        ``(batch, 2**n)``; the first position of the line is the most significant bit.
    """
    return np.ascontiguousarray(np.asarray(vectors)[:, _positions(num_qubits)])


def off_line(vectors: np.ndarray, num_qubits: int) -> np.ndarray:
    """Return vectors in Qiskit's order from the line's; the inverse of :func:`on_line`."""
    found = np.empty_like(vectors)
    found[:, _positions(num_qubits)] = vectors
    return found


@cache
def _positions(num_qubits: int) -> np.ndarray:
    index = np.arange(2**num_qubits)
    found = np.zeros_like(index)
    for place, qubit in enumerate(line_order(num_qubits)):
        found |= ((index >> (num_qubits - 1 - place)) & 1) << qubit
    return found


@cache
def block_places(num_qubits: int, layers: int) -> tuple[int, ...]:
    """Return where a staircase's blocks begin on the line, in their order.

    >>> block_places(5, 1)
    (1, 0, 2, 3)
    """
    middle = max(0, (num_qubits - 2) // 2)
    outwards = sorted(range(num_qubits - 1), key=lambda place: (abs(place - middle), place))
    return tuple(outwards) * layers


@cache
def line_pairs(pattern: Pattern, num_qubits: int, layers: int) -> tuple[int, ...]:
    """Return the first position of each CZ, in order.

    A staircase's first block acts on \\|00>, where one CZ does what two do elsewhere.

    >>> line_pairs("bricks", 4, 2), line_pairs("staircase", 3, 1)
    ((0, 2, 1), (0, 1, 1))
    """
    if pattern == "bricks":
        return tuple(k for layer in range(layers) for k in range(layer % 2, num_qubits - 1, 2))
    return tuple(k for k in block_places(num_qubits, layers) for _ in range(2))[1:]


def line_circuit(
    num_qubits: int, pairs: tuple[int, ...], *, phases: bool, name: str
) -> QuantumCircuit:
    """Return the circuit of a line.

    Args:
        num_qubits: n.
        pairs: First position of each CZ, from :func:`line_pairs`.
        phases: Add an RZ behind each RY, for complex amplitudes.
        name: Of the circuit.

    Returns:
        A circuit of ``n + 2 len(pairs)`` RY, and as many RZ with ``phases``. Angles are radians,
        ``x_0000 ...`` in order of use.

    Raises:
        InvalidTemplate: If it needs more than 10,000 angles.
    """
    order = line_order(num_qubits)
    slots = num_qubits + 2 * len(pairs)
    angles = iter(input_parameters(slots * (2 if phases else 1)))
    circuit = QuantumCircuit(num_qubits, name=name)

    def turn(place: int) -> None:
        circuit.ry(next(angles), order[place])
        if phases:
            circuit.rz(next(angles), order[place])

    for place in range(num_qubits):
        turn(place)
    for place in pairs:
        circuit.cz(order[place], order[place + 1])
        turn(place)
        turn(place + 1)
    return circuit


def line_states(
    angles: np.ndarray, num_qubits: int, pairs: tuple[int, ...], *, phases: bool
) -> np.ndarray:
    """Return the states of :func:`line_circuit`, computed from its angles alone.

    Args:
        angles: ``(batch, number of parameters)`` radians.

    Returns:
        ``(batch, 2**n)`` in the line's order, float64, or complex128 with ``phases``.
    """
    size = 2**num_qubits
    states = np.zeros((len(angles), size), complex if phases else float)
    states[:, 0] = 1
    turns = iter(np.split(angles, angles.shape[1] // (2 if phases else 1), axis=1))
    for place in range(num_qubits):
        states = _turned(states, next(turns), place)
    for place in pairs:
        seen = states.reshape(len(states), 2**place, 2, 2, -1)
        seen[:, :, 1, 1] *= -1
        states = _turned(_turned(states, next(turns), place), next(turns), place + 1)
    return states


def _turned(states: np.ndarray, angles: np.ndarray, place: int) -> np.ndarray:
    """Return states behind RY, and RZ where there is a second angle, on a position of the line."""
    seen = states.reshape(len(states), 2**place, 2, -1)
    low, high = seen[:, :, 0], seen[:, :, 1]
    c, s = (f(angles[:, 0] / 2)[:, None, None] for f in (np.cos, np.sin))
    new_low, new_high = c * low - s * high, s * low + c * high
    if angles.shape[1] == 2:
        turn = np.exp(0.5j * angles[:, 1])[:, None, None]
        new_low, new_high = new_low / turn, new_high * turn
    return np.stack([new_low, new_high], axis=2).reshape(states.shape)


def checked_layers(text: str, name: str) -> int:
    """Return the number of layers that a loader's name gives.

    Raises:
        InvalidOption: If it is no whole number from 1 to :data:`MAX_LAYERS`.
    """
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:6]) <= MAX_LAYERS:
        raise InvalidOption(
            f"Loader '{name}' takes its layers, 1 to {MAX_LAYERS}, as in '{name}:4', got '{text}'."
        )
    return int(text)
