"""Numbers of wires and qubits.

Papers number wires from the most significant bit, Qiskit numbers qubits from the least significant.
:func:`wire_to_qubit` is the only place where the two meet.
"""

from __future__ import annotations

__all__ = [
    "wire_to_qubit",
]


def wire_to_qubit(wire: int, num_wires: int) -> int:
    """Return the Qiskit qubit of a paper's wire: wire 0 is the most significant bit.

    >>> [wire_to_qubit(wire, 3) for wire in range(3)]
    [2, 1, 0]
    """
    return num_wires - 1 - wire
