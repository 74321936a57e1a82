"""Circuits of gates for which the engine has no matrix, or one error.

The reference is what Qiskit's ``Statevector`` gives once parameters are bound. It takes a gate's
matrix where there is one, so an evolution is exact there, not a product formula.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import (
    AnnotatedOperation,
    ControlModifier,
    Gate,
    Instruction,
    InverseModifier,
    Operation,
    ParameterExpression,
    PowerModifier,
)
from qiskit.circuit.annotated_operation import Modifier
from qiskit.circuit.exceptions import CircuitError
from qiskit.circuit.library import (
    GlobalPhaseGate,
    HamiltonianGate,
    PauliEvolutionGate,
    RVGate,
    UnitaryGate,
)
from qiskit.exceptions import QiskitError
from qiskit.transpiler.passes import HighLevelSynthesis

from ...errors import UnsupportedCircuit
from ...transpiling.roots import root_as_matrix
from .angles import Call, Tree, tree_of
from .evolutions import MAX_DENSE_QUBITS, evolution_circuit, exponential_circuit
from .rotation_vectors import PHASE, ROTATIONS

__all__ = [
    "definition_of",
    "exact_circuit",
    "is_free",
    "matrix_of",
    "rotation_vector",
    "settled",
    "synthesised",
]


def is_free(operation: Operation) -> bool:
    """Return whether an operation holds parameters that are not bound."""
    if isinstance(operation, AnnotatedOperation):
        return is_free(operation.base_op)
    params = getattr(operation, "params", ())
    return any(isinstance(each, ParameterExpression) and each.parameters for each in params)


def settled(instruction: Instruction) -> Instruction:
    """Return the instruction, or a bound copy of a gate whose parameters have all cancelled.

    Only gates that are looked at as a whole are bound: elsewhere each angle is read by itself.
    """
    if not isinstance(instruction, RVGate | PauliEvolutionGate) or not is_free(instruction):
        return instruction
    values = [tree_of(each) for each in instruction.params]
    if not all(isinstance(each, float) for each in values):
        return instruction
    bound = instruction.copy()
    bound.params = values
    return bound


def matrix_of(
    operation: Operation, max_qubits: int, max_dense: int = MAX_DENSE_QUBITS
) -> np.ndarray | None:
    """Return the matrix of a gate without free parameters, or None if it must be decomposed.

    Args:
        operation: Any.
        max_qubits: Larger gates of Qiskit are decomposed: that is cheaper. Others, whose definition
            may be another thing than their matrix, are taken up to ``max_dense``.
        max_dense: Largest matrix.

    Raises:
        UnsupportedCircuit: If it is not unitary.
    """
    if not isinstance(operation, Gate | AnnotatedOperation) or is_free(operation):
        return None
    if operation.num_qubits > max_qubits:
        qiskits = str(type(operation).__module__).partition(".")[0] in ("qiskit", "None")
        if qiskits and not isinstance(operation, UnitaryGate | HamiltonianGate):
            return None
        if operation.num_qubits > max_dense:
            return None
    return _matrix(operation)


def _matrix(operation: Operation) -> np.ndarray | None:
    try:
        matrix = np.array(operation.to_matrix(), dtype=complex)  # a gate may change its own
    except (CircuitError, QiskitError, AttributeError, TypeError, ValueError):
        return None
    if not np.allclose(matrix @ matrix.conj().T, np.eye(len(matrix)), atol=1e-7):
        raise UnsupportedCircuit(f"The matrix of gate '{operation.name}' is not unitary.")
    return matrix


def exact_circuit(operation: Operation, max_dense: int = MAX_DENSE_QUBITS) -> QuantumCircuit | None:
    """Return a circuit for evolutions, whose definition may be inexact or fail; None for all else.

    Args:
        operation: Any.
        max_dense: Qubits of the largest matrix.

    Raises:
        UnsupportedCircuit: If it would be too large; the message names the gate.
    """
    if isinstance(operation, PauliEvolutionGate):
        return evolution_circuit(operation, max_dense)
    if isinstance(operation, HamiltonianGate) and is_free(operation):
        matrix, time = operation.params
        if operation.num_qubits > max_dense:
            raise UnsupportedCircuit(
                f"A gate '{operation.name}' with a free time has at most {max_dense} qubits here, "
                f"got {operation.num_qubits}; bind its time, or take a "
                "PauliEvolutionGate of fewer terms."
            )
        return exponential_circuit(np.asarray(matrix), time)
    return None


def rotation_vector(operation: Operation) -> tuple[list[tuple[str, Tree]], Tree] | None:
    """Return gates, angles and global phase of an ``RVGate`` with free parameters, else None."""
    if not isinstance(operation, RVGate) or not is_free(operation):
        return None
    vector = [tree_of(each) for each in operation.params]
    gates = [(gate, Call(function, tuple(vector))) for gate, function in ROTATIONS]
    return list(gates), Call(PHASE, tuple(vector))


def definition_of(instruction: Instruction, engine: str = "engine") -> QuantumCircuit:
    """Return Qiskit's definition of an instruction, or its synthesis where it has no definition.

    Args:
        instruction: That the engine has no matrix for.
        engine: Who asks, for the message.

    Raises:
        UnsupportedCircuit: If there is none; the message names the instruction.
    """
    try:
        definition = instruction.definition
    except Exception as error:  # code of any gate's author, who may raise anything
        free = "; bind its parameters" if is_free(instruction) else ""
        raise UnsupportedCircuit(
            f"Qiskit cannot decompose '{instruction.name}': {_line(error)}{free}."
        ) from error
    if definition is not None:
        return definition
    circuit = _synthesis(instruction)
    if circuit is not None:
        return circuit
    small = isinstance(instruction, Gate) and instruction.num_qubits <= MAX_DENSE_QUBITS
    matrix = _matrix(instruction) if small and not is_free(instruction) else None
    if matrix is None:
        raise UnsupportedCircuit(
            f"The {engine} has no matrix and Qiskit no definition for '{instruction.name}'."
        )
    circuit = QuantumCircuit(instruction.num_qubits)
    circuit.append(UnitaryGate(matrix), range(instruction.num_qubits))
    return circuit


def _synthesis(instruction: Instruction) -> QuantumCircuit | None:
    """Return the synthesis of a gate without definition by Qiskit's plugins."""
    circuit = QuantumCircuit(instruction.num_qubits, instruction.num_clbits)
    circuit.append(instruction, circuit.qubits, circuit.clbits)
    try:
        found = HighLevelSynthesis()(circuit)
    except Exception:  # plugins of any author; the caller goes on without
        return None
    same = any(item.operation.name == instruction.name for item in found.data)
    return None if same or found.num_qubits != circuit.num_qubits else found


def synthesised(operation: Operation) -> QuantumCircuit:
    """Return the gates of an abstract operation: a Clifford, or a gate with lazy modifiers.

    Raises:
        UnsupportedCircuit: If Qiskit has no synthesis; the message names the operation.
    """
    operation = root_as_matrix(operation, MAX_DENSE_QUBITS)
    name = operation.name
    if isinstance(operation, AnnotatedOperation):
        name = f"annotated {operation.base_op.name}"
        found = _modified(operation)
        if found is not None:
            return found
    abstract = QuantumCircuit(operation.num_qubits)
    try:
        abstract.append(operation, range(operation.num_qubits))
        circuit = HighLevelSynthesis()(abstract)
    except Exception as error:  # plugins and definitions of any author
        raise UnsupportedCircuit(
            f"The engine runs gates, and Qiskit cannot synthesise '{name}': {_line(error)}."
        ) from error
    if any(not isinstance(item.operation, Instruction) for item in circuit.data):
        raise UnsupportedCircuit(
            f"The engine runs gates, and Qiskit has no synthesis for '{name}'."
        )
    return circuit


def _modified(operation: AnnotatedOperation) -> QuantumCircuit | None:
    """Carry modifiers inside where Qiskit's synthesis would make an evolution inexact or fail."""
    base: Operation = operation.base_op
    modifiers = list(operation.modifiers)
    if isinstance(base, AnnotatedOperation):
        modifiers, base = [*base.modifiers, *modifiers], base.base_op
    controlled = any(isinstance(each, ControlModifier) for each in modifiers)
    if not _holds_special(base) or (controlled and isinstance(base, RVGate)):
        return None
    circuit = QuantumCircuit(base.num_qubits)
    circuit.append(base, circuit.qubits)
    for modifier in modifiers:
        found = _with_modifier(circuit, modifier)
        if found is None:
            return None
        circuit = found
    return circuit


def _holds_special(operation: Operation) -> bool:
    if isinstance(operation, AnnotatedOperation):
        return _holds_special(operation.base_op)
    if isinstance(operation, PauliEvolutionGate):
        return True
    if isinstance(operation, HamiltonianGate | RVGate):
        return is_free(operation)
    if getattr(operation, "_standard_gate", None) is not None:
        return False
    try:
        definition = getattr(operation, "definition", None)
    except Exception:  # as above; whoever needs the definition names the gate
        return False
    return definition is not None and any(_holds_special(i.operation) for i in definition.data)


def _with_modifier(circuit: QuantumCircuit, modifier: Modifier) -> QuantumCircuit | None:
    """Return the circuit inverted, repeated or controlled, gate by gate."""
    flat = _opened(circuit)
    if isinstance(modifier, InverseModifier):
        out = QuantumCircuit(flat.num_qubits, global_phase=-flat.global_phase)
        for item in reversed(flat.data):
            out.append(_inverse(item.operation), _places(flat, item.qubits))
        return out
    if isinstance(modifier, PowerModifier):
        return _power(flat, modifier.power)
    assert isinstance(modifier, ControlModifier)  # Qiskit has three
    controls = modifier.num_ctrl_qubits
    out = QuantumCircuit(controls + flat.num_qubits)
    for item in flat.data:
        where = [controls + place for place in _places(flat, item.qubits)]
        operation = _controlled(item.operation, controls, modifier.ctrl_state)
        out.append(operation, [*range(controls), *where])
    phase = flat.global_phase
    if isinstance(phase, ParameterExpression) or phase:
        gate = GlobalPhaseGate(phase)
        out.append(_controlled(gate, controls, modifier.ctrl_state), range(controls))
    return out


def _power(circuit: QuantumCircuit, power: float) -> QuantumCircuit | None:
    """Return the number of repetitions; other powers are roots, which free angles have not."""
    if power != int(power):
        return None
    once = circuit if power >= 0 else _with_modifier(circuit, InverseModifier())
    if once is None:
        return None
    out = QuantumCircuit(circuit.num_qubits)
    for _ in range(abs(int(power))):
        out.compose(once, inplace=True)
    return out


def _inverse(operation: Operation) -> Operation:
    if isinstance(operation, PauliEvolutionGate | HamiltonianGate | RVGate):
        return operation.inverse()
    return AnnotatedOperation(operation, [InverseModifier()])


def _controlled(operation: Operation, controls: int, state: int) -> Operation:
    if isinstance(operation, PauliEvolutionGate):
        return operation.control(controls, ctrl_state=state)
    if isinstance(operation, HamiltonianGate):
        projector = np.zeros((2**controls, 2**controls))
        projector[state, state] = 1
        matrix, time = operation.params
        return HamiltonianGate(np.kron(np.asarray(matrix), projector), time)
    return AnnotatedOperation(operation, [ControlModifier(controls, state)])


def _opened(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit with its evolutions taken out of composite gates."""
    out = circuit.copy_empty_like()
    for item in circuit.data:
        gate = item.operation
        plain = isinstance(gate, PauliEvolutionGate | HamiltonianGate | RVGate)
        if plain or not _holds_special(gate):
            out.append(gate, item.qubits)
            continue
        inner = synthesised(gate) if isinstance(gate, AnnotatedOperation) else gate.definition
        out.compose(_opened(inner), item.qubits, inplace=True)
    return out


def _places(circuit: QuantumCircuit, qubits: Iterable[object]) -> list[int]:
    return [circuit.find_bit(qubit).index for qubit in qubits]


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).strip("'\".")
