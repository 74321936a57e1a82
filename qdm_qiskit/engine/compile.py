"""From a ``QuantumCircuit`` to a :class:`CircuitProgram`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import (
    Barrier,
    ControlFlowOp,
    Delay,
    Gate,
    Instruction,
    Measure,
    Parameter,
    ParameterExpression,
    Reset,
)
from qiskit.circuit import Operation as AbstractOperation
from qiskit.circuit.exceptions import CircuitError
from qiskit.circuit.library import IGate, get_standard_gate_name_mapping
from qiskit.exceptions import QiskitError
from qiskit.transpiler.passes import HighLevelSynthesis

from ..errors import UnsupportedCircuit
from .expressions import compile_angle
from .gates import MATRICES
from .operations import Operation, fold
from .program import CircuitProgram

MAX_FOLDED_QUBITS = 5
"""Largest block that is multiplied into one matrix: 32 x 32."""

# A name alone says nothing: a user's composite gate may be called "rz" or "barrier" as well.
_TABULATED = {
    name: gate.base_class
    for name, gate in get_standard_gate_name_mapping().items()
    if name in MATRICES
}


def compile_circuit(
    circuit: QuantumCircuit,
    inputs: Sequence[Parameter] = (),
    weights: Sequence[Parameter] = (),
) -> CircuitProgram:
    """Compile a circuit into a batched torch program.

    Args:
        circuit: Gates, composite instructions, barriers and measurements at the end.
        inputs: Parameters that differ between the samples of a batch.
        weights: Parameters that all samples share.

    Returns:
        The program; its tensors follow the order of ``inputs`` and ``weights``, and its basis
        states Qiskit's order (qubit 0 least significant).

    Raises:
        UnsupportedCircuit: If a parameter of the circuit stands in neither list or in both, a listed
            one is not in the circuit, or an instruction is not a gate (mid-circuit measurement,
            reset, control flow); the message names it.
    """
    positions: dict[Parameter, tuple[str, int]] = {}
    for source, parameters in (("inputs", inputs), ("weights", weights)):
        for column, parameter in enumerate(parameters):
            if parameter in positions:
                raise UnsupportedCircuit(
                    f"Each parameter is listed once, '{parameter.name}' is listed twice."
                )
            positions[parameter] = (source, column)
    present = dict.fromkeys(circuit.parameters)  # sorted anew at each access: ask once
    unbound = [p.name for p in present if p not in positions]
    unknown = [p.name for p in positions if p not in present]
    if unbound or unknown:
        raise UnsupportedCircuit(
            "Inputs and weights must together be the circuit's parameters: "
            f"{unbound or 'none'} of the circuit are not listed, "
            f"{unknown or 'none'} of those listed are not in the circuit."
        )
    operations: list[Operation] = []
    phases = [circuit.global_phase]
    finished: set[int] = set()
    _flatten(circuit, list(range(circuit.num_qubits)), positions, operations, phases, finished)
    angles = [compile_angle(phase, positions) for phase in phases]
    return CircuitProgram(
        num_qubits=circuit.num_qubits,
        num_inputs=len(inputs),
        num_weights=len(weights),
        operations=operations,
        blocks=fold(operations, MAX_FOLDED_QUBITS),
        phases=[angle for angle in angles if angle.positions or float(angle.expression)],
    )


def _flatten(
    circuit: QuantumCircuit,
    qubits: list[int],
    positions: dict[Parameter, tuple[str, int]],
    operations: list[Operation],
    phases: list[ParameterExpression | float],
    finished: set[int],
) -> None:
    """Append the circuit's gates on the given global qubits; composite ones are decomposed."""
    for item in circuit.data:
        instruction = item.operation
        where = [qubits[circuit.find_bit(qubit).index] for qubit in item.qubits]
        if isinstance(instruction, Barrier | Delay | IGate):
            continue
        if isinstance(instruction, Measure):
            finished.update(where)
            continue
        if isinstance(instruction, ControlFlowOp | Reset):
            raise UnsupportedCircuit(
                "The engine runs gates, and measurements at the end: no control flow, no reset; "
                f"got '{instruction.name}'."
            )
        if finished.intersection(where):
            raise UnsupportedCircuit(
                f"'{instruction.name}' acts on a measured qubit; the engine allows measurements "
                "at the end only."
            )
        if not isinstance(instruction, Instruction):
            definition = _synthesised(instruction)
            phases.append(definition.global_phase)
            _flatten(definition, where, positions, operations, phases, finished)
            continue
        symbolic = any(
            isinstance(p, ParameterExpression) and p.parameters for p in instruction.params
        )
        # A controlled gate whose control acts on 0 keeps its name and needs its own matrix.
        plain = getattr(instruction, "ctrl_state", None) in (
            None,
            2 ** getattr(instruction, "num_ctrl_qubits", 0) - 1,
        )
        if symbolic and plain and _TABULATED.get(instruction.name) is instruction.base_class:
            angles = tuple(compile_angle(p, positions) for p in instruction.params)
            operations.append(Operation(tuple(where), gate=instruction.name, angles=angles))
            continue
        matrix = None if symbolic else _fixed_matrix(instruction)
        if matrix is not None:
            operations.append(Operation(tuple(where), matrix=matrix))
            continue
        definition = instruction.definition
        if definition is None:
            raise UnsupportedCircuit(
                f"The engine has no matrix and Qiskit no definition for '{instruction.name}'."
            )
        if isinstance(definition.global_phase, ParameterExpression) or definition.global_phase:
            phases.append(definition.global_phase)
        _flatten(definition, where, positions, operations, phases, finished)


def _synthesised(operation: AbstractOperation) -> QuantumCircuit:
    """Gates of an abstract operation: a Clifford, or a gate with lazy controls and inverses."""
    abstract = QuantumCircuit(operation.num_qubits)
    try:
        abstract.append(operation, range(operation.num_qubits))
        circuit = HighLevelSynthesis()(abstract)
    except (CircuitError, QiskitError) as error:
        raise UnsupportedCircuit(
            f"The engine runs gates, and Qiskit cannot synthesise '{operation.name}': {error}."
        ) from error
    if any(not isinstance(item.operation, Instruction) for item in circuit.data):
        raise UnsupportedCircuit(
            f"The engine runs gates, and Qiskit has no synthesis for '{operation.name}'."
        )
    return circuit


def _fixed_matrix(instruction: Instruction) -> np.ndarray | None:
    """The matrix of a small gate without free parameters, or None where it must be decomposed."""
    if not isinstance(instruction, Gate) or instruction.num_qubits > MAX_FOLDED_QUBITS:
        return None
    try:
        return np.asarray(instruction.to_matrix(), dtype=complex)
    except (CircuitError, QiskitError, AttributeError, TypeError):
        return None
