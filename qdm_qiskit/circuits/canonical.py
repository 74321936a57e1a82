"""A circuit of any make as the plain circuit that specs hold and folders keep.

A plain circuit has one register, no labels, and only gates that Qiskit itself can write down and
read again: its standard gates, unitary matrices, evolutions and barriers. What else there is, such
as a gate of the user's own class, is replaced by its matrix or its definition, as Qiskit's
``Statevector`` does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import (
    Barrier,
    Bit,
    Clbit,
    ControlFlowOp,
    Delay,
    Gate,
    Instruction,
    Measure,
    Operation,
    ParameterExpression,
    Qubit,
)
from qiskit.circuit.library import (
    HamiltonianGate,
    PauliEvolutionGate,
    RVGate,
    UnitaryGate,
    get_standard_gate_name_mapping,
)
from qiskit.transpiler.passes import HighLevelSynthesis

from ..errors import InvalidTemplate

__all__ = [
    "MAX_MATRIX_QUBITS",
    "canonical_circuit",
    "is_plain",
]

MAX_MATRIX_QUBITS = 8
"""Qubits of the largest gate of a user's own class that is taken by its matrix."""

_STANDARD = {
    name: gate.base_class
    for name, gate in get_standard_gate_name_mapping().items()
    if isinstance(gate, Gate)
}
_OTHERS = (UnitaryGate, PauliEvolutionGate, HamiltonianGate, RVGate, Barrier, Delay)


def canonical_circuit(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the same circuit in gates that can be saved.

    Args:
        circuit: Any circuit without control flow; it is not changed.

    Returns:
        A circuit on as many qubits and classical bits, in their order, with the same parameters.

    Raises:
        InvalidTemplate: If something in it is no gate, barrier, delay or measurement.
    """
    if circuit.num_vars or circuit.num_stretches:
        raise InvalidTemplate(
            f"The circuit '{circuit.name}' has classical variables, which no spec holds; write it "
            "without them."
        )
    plain = QuantumCircuit(circuit.num_qubits, circuit.num_clbits, name=circuit.name)
    _append(plain, circuit, plain.qubits, plain.clbits)
    return plain


def is_plain(operation: Operation) -> bool:
    """Return whether an operation stands in a canonical circuit as it is."""
    if type(operation) in _OTHERS:
        return True
    # A user's gate may have the name of one of Qiskit's; an open control has another, "cx_o0".
    return isinstance(operation, Gate) and _STANDARD.get(operation.name) is operation.base_class


def _append(
    plain: QuantumCircuit,
    circuit: QuantumCircuit,
    qubits: Sequence[Qubit],
    clbits: Sequence[Clbit],
) -> None:
    place: dict[Bit, Bit] = {
        **dict(zip(circuit.qubits, qubits, strict=True)),
        **dict(zip(circuit.clbits, clbits, strict=True)),
    }
    plain.global_phase += circuit.global_phase
    for item in circuit.data:
        on = [place[bit] for bit in item.qubits]
        operation = item.operation
        if is_plain(operation) or isinstance(operation, Measure):
            plain.append(_bare(operation), on, [place[bit] for bit in item.clbits])
        else:
            _append(plain, _inside(operation), on, [place[bit] for bit in item.clbits])


def _bare(operation: Instruction) -> Instruction:
    """Return the operation without its label, which means something else in reports and noise."""
    numpy_numbers = any(isinstance(each, np.generic) for each in operation.params)
    if getattr(operation, "label", None) is None and not numpy_numbers:
        return operation
    bare = operation.to_mutable()
    bare.label = None
    bare.params = [each.item() if isinstance(each, np.generic) else each for each in bare.params]
    return bare


def _inside(operation: Operation) -> QuantumCircuit:
    """Return the operation that another one stands for."""
    if isinstance(operation, ControlFlowOp):
        raise InvalidTemplate(
            f"A spec's circuit has no control flow, got '{operation.name}'; a readout with "
            "`postselect` keeps the outcomes that are wanted."
        )
    matrix = _own_matrix(operation)
    if matrix is not None:
        found = QuantumCircuit(operation.num_qubits)
        found.append(UnitaryGate(matrix), found.qubits)
        return found
    if operation.name in ("reset", "initialize"):
        raise InvalidTemplate(
            f"A spec's circuit is made of gates, got '{operation.name}', which is none: qubits "
            "start in |0>, and StatePreparation prepares a fixed state."
        )
    try:
        definition = getattr(operation, "definition", None)
        if definition is None:
            definition = _synthesised(operation)
    except Exception as error:  # code of any gate's author, who may raise anything
        reason = " ".join(str(error).split())
        raise InvalidTemplate(
            f"Qiskit cannot decompose the gate '{operation.name}': {reason or type(error).__name__}."
        ) from error
    if definition is None:
        raise InvalidTemplate(
            f"The instruction '{operation.name}' has neither a matrix nor a definition; write it in "
            "gates of Qiskit's."
        )
    return definition


def _own_matrix(operation: Operation) -> np.ndarray | None:
    """Return the matrix of a fixed gate of a user's own class: its definition may differ."""
    ours = str(type(operation).__module__).partition(".")[0] in ("qiskit", "None")
    if ours or not isinstance(operation, Gate) or operation.num_qubits > MAX_MATRIX_QUBITS:
        return None
    if any(isinstance(each, ParameterExpression) for each in operation.params):
        return None
    try:
        return np.array(operation.to_matrix(), dtype=complex)
    except Exception:  # a gate without a matrix says so in many ways
        return None


def _synthesised(operation: Operation) -> QuantumCircuit | None:
    """Return Qiskit's form of a modified gate, a permutation, a Clifford; None if left whole."""
    circuit = QuantumCircuit(operation.num_qubits, operation.num_clbits)
    circuit.append(operation, circuit.qubits, circuit.clbits)
    found = HighLevelSynthesis()(circuit)
    whole = any(item.operation.name == operation.name for item in found.data)
    return None if whole else found
