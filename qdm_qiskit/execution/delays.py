"""Rows of values that set the lengths of delays: Aer computes relaxation before it binds values."""

from __future__ import annotations

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit.exceptions import CircuitError

from ..circuits.delays import check_lengths, free_lengths
from ..errors import InvalidData
from .counts import Pub

__all__ = [
    "in_rows_of_one_length",
]


def in_rows_of_one_length(circuit: QuantumCircuit, values: np.ndarray) -> list[Pub]:
    """Split a circuit and its values into parts in which every delay's length is a number.

    Args:
        circuit: Any.
        values: ``(batch, num_parameters)`` in the order of ``circuit.parameters``.

    Returns:
        The pair itself if no value sets the length of a delay; else one pair for each run of rows
        with the same lengths, in order.

    Raises:
        InvalidData: If a length is negative, or no whole number of dt.
        UnsupportedCircuit: If a stretch or an expression sets the length of a delay.
    """
    free = free_lengths(circuit)
    if not free:
        check_lengths(circuit, "the simulation needs it")
        return [(circuit, values)]
    lengths = [k for k, each in enumerate(circuit.parameters) if each in free]
    others = [k for k in range(len(circuit.parameters)) if k not in lengths]
    new = np.flatnonzero((values[1:, lengths] != values[:-1, lengths]).any(axis=1)) + 1
    parts: list[Pub] = []
    for rows in np.split(values, new):
        bound = {circuit.parameters[k]: float(rows[0, k]) for k in lengths}
        try:
            part = circuit.assign_parameters(bound)
            check_lengths(part, "the simulation needs it")  # Qiskit looks at lengths when read
        except CircuitError as error:
            raise InvalidData(
                f"Circuit '{circuit.name}' cannot be run with delays of these lengths, "
                f"{rows[0, lengths].tolist()}: {str(error.message).rstrip('.')}."
            ) from error
        # Without parameters left, equal rows are more shots of one circuit.
        if others:
            parts.append((part, rows[:, others]))
        else:
            parts += [(part, row[None, others]) for row in rows]
    return parts
