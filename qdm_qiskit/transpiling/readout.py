"""Readout errors in the choice of a layout, for circuits that are measured later.

Qiskit's level 3 compares layouts by the errors of what a circuit holds: one without measurements goes
where gates are good, whatever reading those qubits costs. So such a circuit is transpiled with
measurements behind a barrier, which no optimization crosses, and they are taken out of the result.
"""

from __future__ import annotations

from collections.abc import Sequence

from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit import ControlFlowOp

from ..errors import InvalidOption

__all__ = [
    "REGISTER",
    "read_qubits",
    "with_readout",
    "without_readout",
]

REGISTER = "read_by_layout"
"""The register of the added measurements, and their barrier's label."""


def read_qubits(circuit: QuantumCircuit, read: Sequence[int] | None) -> tuple[int, ...]:
    """The qubits whose measurements are to be added.

    Args:
        circuit: A logical circuit.
        read: Qubits that are read later; all if None.

    Returns:
        Nothing for a circuit that measures, or branches, itself.

    Raises:
        InvalidOption: If qubits repeat or are not in the circuit.
    """
    if read is not None and (
        len(set(read)) < len(read) or not all(0 <= q < circuit.num_qubits for q in read)
    ):
        raise InvalidOption(
            f"read names different qubits of circuit '{circuit.name}', 0 to "
            f"{circuit.num_qubits - 1}, got {list(read)}."
        )
    measures = any(
        item.operation.name == "measure" or isinstance(item.operation, ControlFlowOp)
        for item in circuit.data
    )
    if measures:
        return ()
    return tuple(range(circuit.num_qubits) if read is None else (int(q) for q in read))


def with_readout(circuit: QuantumCircuit, read: Sequence[int]) -> QuantumCircuit:
    """The circuit with a barrier and a measurement of these qubits at its end."""
    measured = circuit.copy()
    bits = ClassicalRegister(len(read), REGISTER)
    measured.add_register(bits)
    measured.barrier(label=REGISTER)
    measured.measure(list(read), bits)
    return measured


def without_readout(isa: QuantumCircuit) -> tuple[QuantumCircuit, tuple[int, ...]]:
    """Return the transpiled circuit without the gates that :func:`with_readout` added.

    Returns:
        The circuit with its layout, and the qubit behind each added bit.
    """
    [added] = [register for register in isa.cregs if register.name == REGISTER]
    bare = QuantumCircuit(
        isa.qubits,
        [bit for bit in isa.clbits if bit not in added],
        *isa.qregs,
        *(register for register in isa.cregs if register.name != REGISTER),
        name=isa.name,
        global_phase=isa.global_phase,
        metadata=isa.metadata,
    )
    for variable in isa.iter_declared_vars():
        bare.add_uninitialized_var(variable)
    for stretch in isa.iter_declared_stretches():
        bare.add_stretch(stretch)
    qubit_of = {}
    for item in isa.data:
        if item.operation.name == "measure" and item.clbits[0] in added:
            qubit_of[added.index(item.clbits[0])] = isa.find_bit(item.qubits[0]).index
        elif not (item.operation.name == "barrier" and item.operation.label == REGISTER):
            bare.append(item)
    bare._layout = isa._layout
    return bare, tuple(qubit_of[k] for k in range(len(added)))
