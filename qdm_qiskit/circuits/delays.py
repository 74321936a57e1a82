"""Delays whose length is not a number."""

from __future__ import annotations

from qiskit import QuantumCircuit
from qiskit.circuit import ControlFlowOp, Delay, Operation, Parameter, ParameterExpression

from ..errors import UnsupportedCircuit

__all__ = [
    "check_lengths",
    "free_lengths",
]


def free_lengths(circuit: QuantumCircuit) -> frozenset[Parameter]:
    """Return the parameters that decide how long delays are, in blocks of control flow too."""
    found: set[Parameter] = set()
    for item in circuit.data:
        if isinstance(item.operation, ControlFlowOp):
            found.update(*(free_lengths(block) for block in item.operation.blocks))
        elif _is_free(item.operation):
            found |= item.operation.duration.parameters
    return frozenset(found)


def check_lengths(circuit: QuantumCircuit, why: str) -> None:
    """Refuse delays whose length is not known.

    Args:
        circuit: Any.
        why: Reason why they are needed, for the message, such as "relaxation in a delay needs its
            length".

    Raises:
        UnsupportedCircuit: If a delay holds free parameters, a stretch or an expression.
    """
    for item in circuit.data:
        operation = item.operation
        if isinstance(operation, ControlFlowOp):
            for block in operation.blocks:
                check_lengths(block, why)
        elif _is_free(operation):
            names = ", ".join(sorted(each.name for each in operation.duration.parameters))
            raise UnsupportedCircuit(
                f"A delay of circuit '{circuit.name}' has a free length ({names}), and {why}; bind "
                "it with assign_parameters."
            )
        elif isinstance(operation, Delay) and operation.unit == "expr":
            raise UnsupportedCircuit(
                f"A delay of circuit '{circuit.name}' is as long as a stretch or an expression says, "
                f"and {why}; write its length as a number."
            )


def _is_free(operation: Operation) -> bool:
    if not isinstance(operation, Delay) or not isinstance(operation.duration, ParameterExpression):
        return False
    return bool(operation.duration.parameters)
