"""Data as rotation angles of single wires: basis, angle, dense angle and phase encoding.

Wire w of m takes the inputs in wire order, wire 0 being the most significant bit. Angles are radians
and are used as they are: a model that wants its data on a certain scale scales them.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from qiskit import QuantumCircuit

from ..errors import InvalidData, InvalidTemplate
from .checks import check_choice, check_counts
from .parameters import input_parameters
from .wires import wire_to_qubit

__all__ = [
    "Axis",
    "angle_encoding",
    "basis_angles",
    "basis_encoding",
    "dense_angle_encoding",
    "phase_encoding",
]

Axis = Literal["x", "y", "z"]
"""Axis of a rotation."""


def basis_encoding(num_wires: int) -> QuantumCircuit:
    """Encode bits as states ``|b_0 b_1 ...>`` exactly, with RY(pi b) so that the bits stay inputs.

    Args:
        num_wires: Number of wires, at least 1.

    Returns:
        A circuit with an input ``x_0000 ...`` for each wire: 0 or pi, from :func:`basis_angles`.

    Raises:
        InvalidTemplate: If there is no wire.
    """
    check_counts("basis_encoding", num_wires=(num_wires, 1))
    circuit = QuantumCircuit(num_wires, name="basis_encoding")
    for wire, angle in enumerate(input_parameters(num_wires)):
        circuit.ry(angle, wire_to_qubit(wire, num_wires))
    return circuit


def basis_angles(values: np.ndarray, num_wires: int) -> np.ndarray:
    """Return the angles with which :func:`basis_encoding` makes the basis states of whole numbers.

    Args:
        values: ``(batch,)`` whole numbers from 0 to ``2**num_wires - 1``.
        num_wires: Number of wires, 1 to 62.

    Returns:
        ``(batch, num_wires)`` angles, 0 or pi, the most significant bit first.

    Raises:
        InvalidData: If a value is no whole number or does not fit.
    """
    values = np.asarray(values)
    if not 1 <= num_wires <= 62:
        raise InvalidData(f"Basis states are numbered for 1 to 62 wires, got {num_wires!r:.20}.")
    whole = np.issubdtype(values.dtype, np.integer)
    if values.ndim != 1 or not whole or ((values < 0) | (values >= 2**num_wires)).any():
        raise InvalidData(
            f"Basis states of {num_wires} wires are whole numbers from 0 to {2**num_wires - 1}, of "
            f"shape (batch,), got shape {values.shape} of {values.dtype}"
            + (f", {values.min()} to {values.max()}." if whole and values.size else ".")
        )
    bits = (values[:, None] >> np.arange(num_wires - 1, -1, -1)) & 1
    return np.pi * bits


def angle_encoding(num_wires: int, *, axis: Axis = "x") -> QuantumCircuit:
    """Encode one value a wire: RX(x), RY(x), or H and RZ(x).

    RZ alone would leave ``|0>`` as it is up to a phase, so H stands before it.

    Args:
        num_wires: Number of wires and of inputs, at least 1.
        axis: Axis of the rotations.

    Returns:
        A circuit with the inputs ``x_0000 ...`` in wire order.

    Raises:
        InvalidTemplate: If there is no wire or the axis is unknown.

    References:
        Schuld and Petruccione, Machine Learning with Quantum Computers (2021).
    """
    check_counts("angle_encoding", num_wires=(num_wires, 1))
    check_choice("angle_encoding", "axis", axis, get_args(Axis))
    circuit = QuantumCircuit(num_wires, name="angle_encoding")
    for wire, angle in enumerate(input_parameters(num_wires)):
        qubit = wire_to_qubit(wire, num_wires)
        if axis == "z":
            circuit.h(qubit)
        getattr(circuit, f"r{axis}")(angle, qubit)
    return circuit


def dense_angle_encoding(num_values: int) -> QuantumCircuit:
    """Encode two values a wire: ``cos(a / 2) |0> + exp(i b) sin(a / 2) |1>``, by RY(a) and P(b).

    Args:
        num_values: Number of values, even, at least 2; wire w takes the values 2w (a) and 2w + 1 (b).

    Returns:
        A circuit of ``num_values / 2`` qubits with the inputs ``x_0000 ...``.

    Raises:
        InvalidTemplate: If the number is odd or below 2.

    References:
        LaRose and Coyle, arXiv:2003.01695, whose x are a / (2 pi) and b / (2 pi).
    """
    check_counts("dense_angle_encoding", num_values=(num_values, 2))
    if num_values % 2:
        raise InvalidTemplate(
            "dense_angle_encoding puts two values on a wire and needs an even num_values, "
            f"got {num_values}; add a zero."
        )
    angles = input_parameters(num_values)
    circuit = QuantumCircuit(num_values // 2, name="dense_angle_encoding")
    for wire in range(num_values // 2):
        qubit = wire_to_qubit(wire, num_values // 2)
        circuit.ry(angles[2 * wire], qubit)
        circuit.p(angles[2 * wire + 1], qubit)
    return circuit


def phase_encoding(num_wires: int) -> QuantumCircuit:
    """Encode one value a wire as a phase of equal amplitudes: ``(|0> + exp(i x) |1>) / sqrt(2)``.

    Args:
        num_wires: Number of wires and of inputs, at least 1.

    Returns:
        A circuit of H and P(x) with the inputs ``x_0000 ...`` in wire order.

    Raises:
        InvalidTemplate: If there is no wire.
    """
    check_counts("phase_encoding", num_wires=(num_wires, 1))
    circuit = QuantumCircuit(num_wires, name="phase_encoding")
    for wire, angle in enumerate(input_parameters(num_wires)):
        qubit = wire_to_qubit(wire, num_wires)
        circuit.h(qubit)
        circuit.p(angle, qubit)
    return circuit
