"""Roots of gates as matrices, before Qiskit synthesises them.

Qiskit adds the modifiers of an annotated operation up before it applies them: a negative power becomes
an inverse and a positive power, (A^-1)^(1/2), and a square with its root becomes nothing. Roots are
not like that: where A has the eigenvalue -1, as H has, that is another root than A^(-1/2), and
Qiskit 2.6 transpiles H^(-1/2) to its inverse. So the root that Qiskit's matrices have is taken here.
"""

from __future__ import annotations

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import (
    AnnotatedOperation,
    ControlFlowOp,
    Instruction,
    Operation,
    ParameterExpression,
    PowerModifier,
)
from qiskit.circuit.annotated_operation import Modifier
from qiskit.circuit.library import UnitaryGate

from ..errors import UnsupportedCircuit

__all__ = [
    "MAX_CONTROLLED_QUBITS",
    "MAX_ROOT_QUBITS",
    "root_as_matrix",
    "with_roots_as_matrices",
]

MAX_ROOT_QUBITS = 6
"""Operations with a root have at most so many qubits, controls included: such a matrix is some 2,000
CNOTs. On more qubits they are controls of a root of at most :data:`MAX_CONTROLLED_QUBITS`."""
MAX_CONTROLLED_QUBITS = 2


def with_roots_as_matrices(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit with every broken power of an annotated operation taken.

    Args:
        circuit: Any circuit; it stays as it is. Composite gates and blocks of control flow are
            looked into.

    Returns:
        The circuit itself where it holds no such power.

    Raises:
        UnsupportedCircuit: If the power is of a gate with free parameters, or of too many qubits.
    """
    if not any(_holds_root(item.operation) for item in circuit.data):
        return circuit
    new = circuit.copy_empty_like()
    for item in circuit.data:
        new._append(item.replace(operation=root_as_matrix(item.operation)))
    new._layout = circuit._layout
    return new


def root_as_matrix(operation: Operation, max_qubits: int = MAX_ROOT_QUBITS) -> Operation:
    """The operation with every broken power in it taken; itself where there is none.

    Args:
        operation: Any.
        max_qubits: Those of the largest matrix.

    Raises:
        UnsupportedCircuit: As for :func:`with_roots_as_matrices`.
    """
    if not _holds_root(operation):
        return operation
    if isinstance(operation, ControlFlowOp):
        return operation.replace_blocks([with_roots_as_matrices(b) for b in operation.blocks])
    if not isinstance(operation, AnnotatedOperation):
        assert isinstance(operation, Instruction)  # it has a definition
        taken = with_roots_as_matrices(operation.definition)
        return taken.to_instruction(label=operation.label)
    base, modifiers = _flat(operation)
    modifiers = [_whole(each) for each in modifiers]
    last = max((k for k, each in enumerate(modifiers) if _is_root(each)), default=-1)
    if last < 0:
        return AnnotatedOperation(root_as_matrix(base), modifiers)
    whole = AnnotatedOperation(base, modifiers)
    if whole.num_qubits <= max_qubits:
        return _matrix(whole, max_qubits)
    root = _matrix(AnnotatedOperation(base, modifiers[: last + 1]), MAX_CONTROLLED_QUBITS)
    return AnnotatedOperation(root, modifiers[last + 1 :])


def _matrix(operation: AnnotatedOperation, max_qubits: int) -> UnitaryGate:
    base = operation.base_op
    power = next(each.power for each in operation.modifiers if _is_root(each))
    what = f"'{base.name}' to the power {power:g}"
    if _is_free(base):
        raise UnsupportedCircuit(
            f"Roots of gates are taken from their matrix, and {what} has free parameters; bind them "
            "first, or write the power as a gate of its own."
        )
    if operation.num_qubits > max_qubits:
        raise UnsupportedCircuit(
            f"Roots are taken of gates of at most {max_qubits} qubits here, and {what} has "
            f"{operation.num_qubits}; write the power as gates of its own."
        )
    return UnitaryGate(np.asarray(operation.to_matrix()))


def _flat(operation: AnnotatedOperation) -> tuple[Operation, list[Modifier]]:
    """The innermost operation and all modifiers, in the order in which they are applied."""
    base, modifiers = operation.base_op, list(operation.modifiers)
    while isinstance(base, AnnotatedOperation):
        modifiers, base = [*base.modifiers, *modifiers], base.base_op
    return base, modifiers


def _is_root(modifier: Modifier) -> bool:
    return isinstance(modifier, PowerModifier) and modifier.power != int(modifier.power)


def _whole(modifier: Modifier) -> Modifier:
    """A power of 2.0 as one of 2, of which Qiskit takes no root."""
    if isinstance(modifier, PowerModifier) and not _is_root(modifier):
        return PowerModifier(int(modifier.power))
    return modifier


def _is_free(operation: Operation) -> bool:
    return any(
        isinstance(each, ParameterExpression) and each.parameters
        for each in getattr(operation, "params", ())
    )


def _holds_root(operation: Operation) -> bool:
    if isinstance(operation, ControlFlowOp):
        return any(_holds_root(item.operation) for b in operation.blocks for item in b.data)
    if isinstance(operation, AnnotatedOperation):
        base, modifiers = _flat(operation)
        powers = (each.power for each in modifiers if isinstance(each, PowerModifier))
        return any(isinstance(each, float) for each in powers) or _holds_root(base)
    if not isinstance(operation, Instruction) or getattr(operation, "_standard_gate", None):
        return False
    # Qiskit's own gates hold none; their definitions may cost seconds, and may fail.
    if str(type(operation).__module__).startswith("qiskit.circuit.library"):
        return False
    try:
        definition = operation.definition
    except Exception:  # code of any gate's author; whoever needs the definition names the gate
        return False
    return definition is not None and any(_holds_root(i.operation) for i in definition.data)
