"""Compilation of a ``QuantumCircuit`` into a :class:`CircuitProgram`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import (
    Barrier,
    ControlFlowOp,
    Delay,
    Instruction,
    Measure,
    Parameter,
    ParameterExpression,
    Reset,
)
from qiskit.circuit import Operation as AbstractOperation
from qiskit.circuit.library import IGate, get_standard_gate_name_mapping

from ..arguments import of_kind
from ..errors import InvalidOption, UnsupportedCircuit
from .lowering.angles import Angle, Tree, compile_angle
from .lowering.decompose import (
    definition_of,
    exact_circuit,
    is_free,
    matrix_of,
    rotation_vector,
    settled,
    synthesised,
)
from .lowering.gate_forms import FORMS
from .lowering.operations import Operation
from .lowering.parameters import parameter_columns
from .program import CircuitProgram

__all__ = [
    "MAX_FIXED_QUBITS",
    "compile_circuit",
]

MAX_FIXED_QUBITS = 5
"""Qubits above which gates without parameters are decomposed instead of taken as a matrix."""

# A name alone says nothing: a user's composite gate may be called "rz" or "barrier" as well.
_TABULATED = {
    name: gate.base_class
    for name, gate in get_standard_gate_name_mapping().items()
    if name in (*FORMS, "u", "u3")
}


def compile_circuit(
    circuit: QuantumCircuit,
    inputs: Sequence[Parameter] = (),
    weights: Sequence[Parameter] = (),
    *,
    postselect: Mapping[int, int] | None = None,
    renormalise: bool = False,
    dtype: torch.dtype = torch.float32,
) -> CircuitProgram:
    """Compile a circuit into a batched torch program.

    Args:
        circuit: Gates, composite instructions, barriers, measurements at the end, and measurements
            in between whose outcome is selected, each of which a reset may follow. On at least one
            qubit. Gates act as in Qiskit's ``Statevector``, evolutions are exact; one that
            is too large for that runs as its definition, with a UserWarning.
        inputs: Parameters that differ between the samples of a batch.
        weights: Parameters that all samples share.
        postselect: Classical bit to the outcome that is kept. The state is projected, so its squared
            norm is the probability of all selected outcomes.
        renormalise: Divide the final state by its norm.
        dtype: Real precision of runs without any tensor, of a circuit without parameters for
            example; elsewhere the tensors decide.

    Returns:
        The program; its tensors follow the order of ``inputs`` and ``weights``, and its basis
        states Qiskit's order (qubit 0 least significant).

    Raises:
        UnsupportedCircuit: If a parameter of the circuit stands in neither list or in both, a listed
            one is not in the circuit, or an instruction is no gate and no projection (measurement
            in between whose outcome is not selected, a reset without one, control flow); the
            message names it.
        InvalidOption: If ``dtype`` is neither float32 nor float64.

    >>> from qiskit.circuit import Parameter
    >>> angle, circuit = Parameter("angle"), QuantumCircuit(1)
    >>> _ = circuit.rx(angle, 0)
    >>> program = compile_circuit(circuit, weights=[angle])
    >>> program.probabilities(weights=torch.tensor([torch.pi / 2])).flatten()
    tensor([0.5000, 0.5000])
    """
    of_kind(circuit, QuantumCircuit, "circuit", "a spec holds one as `spec.circuit`")
    if dtype not in (torch.float32, torch.float64):
        raise InvalidOption(f"dtype is float32 or float64 of torch, got {dtype}.")
    if not circuit.num_qubits:
        held = [item.operation.name for item in circuit.data]
        raise UnsupportedCircuit(
            f"The engine runs circuits of at least 1 qubit, got '{circuit.name}' with none, which "
            f"holds {held or 'nothing'}."
        )
    positions = parameter_columns(circuit, inputs, weights)
    chosen = dict(postselect or {})
    wrong = [b for b, v in chosen.items() if not 0 <= b < circuit.num_clbits or v not in (0, 1)]
    if wrong:
        raise UnsupportedCircuit(
            f"postselect maps classical bits 0 .. {circuit.num_clbits - 1} to 0 or 1, got {chosen}."
        )
    lowering = _Lowering(positions, chosen)
    lowering.append(circuit, list(range(circuit.num_qubits)), list(range(circuit.num_clbits)))
    if chosen:
        missing = [b for b in chosen if b not in lowering.selected]
        if missing:
            raise UnsupportedCircuit(
                f"postselect names classical bits that are never measured: {missing}."
            )
    angles = [compile_angle(phase, positions) for phase in lowering.phases]
    return CircuitProgram(
        num_qubits=circuit.num_qubits,
        num_inputs=len(inputs),
        num_weights=len(weights),
        operations=lowering.operations,
        phases=[angle for angle in angles if angle.expression != 0],
        renormalise=renormalise,
        fresh=frozenset(lowering.fresh),
        dtype=dtype,
    )


class _Lowering:
    """Walk over a circuit that collects operations and global phases."""

    def __init__(
        self, positions: dict[Parameter, tuple[str, int]], postselect: dict[int, int]
    ) -> None:
        self.positions = positions
        self.postselect = postselect
        self.operations: list[Operation] = []
        self.phases: list[ParameterExpression | Tree] = []
        self.selected: set[int] = set()
        self.fresh: set[int] = set()
        self._finished: set[int] = set()
        self._last: dict[int, int] = {}  # qubit to its last operation
        self._gate = ""  # the user's own instruction, where a part of it is walked

    def append(self, circuit: QuantumCircuit, qubits: list[int], clbits: list[int]) -> None:
        """Append the circuit's gates on the given global bits; composite ones are decomposed."""
        if isinstance(circuit.global_phase, ParameterExpression) or circuit.global_phase:
            self.phases.append(circuit.global_phase)
        for item in circuit.data:
            instruction = item.operation
            where = [qubits[circuit.find_bit(qubit).index] for qubit in item.qubits]
            bits = [clbits[circuit.find_bit(bit).index] for bit in item.clbits]
            if isinstance(instruction, Barrier | Delay | IGate):
                continue
            if isinstance(instruction, Measure):
                self._measure(where[0], bits[0])
                continue
            name = self._name(instruction.name)
            if isinstance(instruction, ControlFlowOp):
                raise UnsupportedCircuit(
                    f"The engine runs gates and projections, no control flow; got {name}."
                )
            if self._finished.intersection(where):
                raise UnsupportedCircuit(
                    f"{name} acts on a measured qubit; the engine allows measurements at the end, "
                    "and in between those whose outcome `postselect` names."
                )
            if isinstance(instruction, Reset):
                self._reset(where[0])
                continue
            outer, self._gate = self._gate, self._gate or instruction.name
            if isinstance(instruction, Instruction):
                self._instruction(instruction, where, bits)
            else:
                self._abstract(instruction, where)
            self._gate = outer

    def _name(self, name: str) -> str:
        """Return the user's instruction, and which part of it this is, for messages."""
        return f"'{self._gate}', through its '{name}'," if self._gate else f"'{name}'"

    def _measure(self, qubit: int, bit: int) -> None:
        if bit in self.postselect:
            self.selected.add(bit)
            self._add(Operation((qubit,), outcome=self.postselect[bit]))
        else:
            self._finished.add(qubit)

    def _reset(self, qubit: int) -> None:
        last = self._last.get(qubit)
        if last is None:
            self.fresh.add(qubit)  # nothing to do, as long as no initial state covers it
            return
        if self.operations[last].outcome is None:
            raise UnsupportedCircuit(
                "The engine resets a qubit only after a measurement whose outcome `postselect` names "
                f"(got {self._name('reset').rstrip(',')} on qubit {qubit})."
            )
        self.operations[last] = replace(self.operations[last], to_zero=True)

    def _instruction(self, instruction: Instruction, where: list[int], bits: list[int]) -> None:
        instruction = settled(instruction)
        symbolic = is_free(instruction)
        # A controlled gate whose control acts on 0 keeps its name and needs its own matrix.
        plain = getattr(instruction, "ctrl_state", None) in (
            None,
            2 ** getattr(instruction, "num_ctrl_qubits", 0) - 1,
        )
        if symbolic and plain and _TABULATED.get(instruction.name) is instruction.base_class:
            name = self._gate
            angles = tuple(compile_angle(p, self.positions, name) for p in instruction.params)
            for operation in _split(instruction.name, tuple(where), angles):
                self._add(operation)
            return
        vector = rotation_vector(instruction) if symbolic else None
        if vector is not None:
            gates, phase = vector
            for gate, tree in gates:
                angle = compile_angle(tree, self.positions, self._gate)
                self._add(Operation(tuple(where), gate=gate, angles=(angle,)))
            self.phases.append(phase)
            return
        exact = exact_circuit(instruction)
        if exact is not None:
            self.append(exact, where, [])
        elif not self._fixed(matrix_of(instruction, MAX_FIXED_QUBITS), where):
            self.append(definition_of(instruction), where, bits)

    def _abstract(self, operation: AbstractOperation, where: list[int]) -> None:
        if not self._fixed(matrix_of(operation, MAX_FIXED_QUBITS), where):
            self.append(synthesised(operation), where, [])

    def _fixed(self, matrix: np.ndarray | None, where: list[int]) -> bool:
        """Add a matrix, if there is one."""
        if matrix is None:
            return False
        if where:
            self._add(Operation(tuple(where), fixed=matrix))
        else:
            self.phases.append(float(np.angle(matrix[0, 0])))
        return True

    def _add(self, operation: Operation) -> None:
        for qubit in operation.qubits:
            self._last[qubit] = len(self.operations)
        self.operations.append(operation)


_QUARTER = np.diag([np.exp(-0.25j * np.pi), np.exp(0.25j * np.pi)])  # RZ(pi / 2)


def _split(name: str, qubits: tuple[int, ...], angles: tuple[Angle, ...]) -> list[Operation]:
    """Return a gate as phases around a real rotation where it can be: reals cost half as much."""
    if name in ("u", "u3"):
        theta, phi, lam = angles
        return [
            Operation(qubits, gate="p", angles=(lam,)),
            Operation(qubits, gate="ry", angles=(theta,)),
            Operation(qubits, gate="p", angles=(phi,)),
        ]
    if name == "rx" and not angles[0].depends_on_inputs:
        return [
            Operation(qubits, fixed=_QUARTER),
            Operation(qubits, gate="ry", angles=angles),
            Operation(qubits, fixed=_QUARTER.conj()),
        ]
    return [Operation(qubits, gate=name, angles=angles)]
