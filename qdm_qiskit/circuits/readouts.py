"""Readouts that several templates share."""

from __future__ import annotations

from collections.abc import Iterable

from qiskit.quantum_info import SparsePauliOp

from .spec import ExpectationReadout, wire_to_qubit

__all__ = [
    "z_readout",
]


def z_readout(num_wires: int, wires: Iterable[int] | None = None) -> ExpectationReadout:
    """Return the readout of expectation values of Z on some wires.

    Args:
        num_wires: Wires of the register.
        wires: The wires that are read, in this order; all if None.

    Returns:
        One observable for each wire.
    """
    read = range(num_wires) if wires is None else wires
    return ExpectationReadout(
        observables=tuple(
            SparsePauliOp.from_sparse_list(
                [("Z", [wire_to_qubit(wire, num_wires)], 1.0)], num_qubits=num_wires
            )
            for wire in read
        )
    )
