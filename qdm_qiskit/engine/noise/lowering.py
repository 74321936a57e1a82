"""Lowering of a circuit and a noise model to a list of channels and Pauli rotations.

Errors are attached as Qiskit Aer attaches them (0.17, tested against 0.18): a gate is looked up by
its label if it has one, by its name otherwise; an error for its very qubits, in order, goes before
one for all qubits; errors follow the instruction, those of a measurement precede it. Controls on 0
are X, the gate with its control on 1, and X, each with the error of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

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
from qiskit.circuit.library import PauliEvolutionGate, get_standard_gate_name_mapping

from ...circuits.delays import check_lengths
from ...errors import UnsupportedCircuit
from ...execution.aer_circuits import has_open_controls, on_ones
from ...execution.noise_coverage import NoiseCoverage, UnknownGates
from ..lowering.angles import Tree, parameters_of, tree_of
from ..lowering.decompose import (
    definition_of,
    exact_circuit,
    is_free,
    matrix_of,
    rotation_vector,
    settled,
)
from ..lowering.evolutions import warn_of_definition
from .channels import (
    STANDARD_GATES,
    Channel,
    ReadoutMap,
    channel_of_error,
    channel_of_instruction,
    pauli_matrix,
    reset_channel,
    unitary_channel,
)

if TYPE_CHECKING:
    from qiskit_aer.noise import NoiseModel

__all__ = [
    "MAX_EXACT_QUBITS",
    "MAX_FIXED_QUBITS",
    "Event",
    "NoisyCircuit",
    "lower",
]

MAX_FIXED_QUBITS = 3
"""Qubits above which gates without parameters are decomposed."""
MAX_EXACT_QUBITS = 5
"""Largest matrix of those that cannot be: a channel on k qubits has 16**k entries."""

_ROTATIONS: dict[str, tuple[tuple[str, tuple[int, ...], float], ...]] = {
    # Pauli string (the last letter acts on the first qubit), the gate's qubits, factor of the angle
    "rx": (("X", (0,), 1.0),),
    "ry": (("Y", (0,), 1.0),),
    "rz": (("Z", (0,), 1.0),),
    "p": (("Z", (0,), 1.0),),
    "u1": (("Z", (0,), 1.0),),
    "rxx": (("XX", (0, 1), 1.0),),
    "ryy": (("YY", (0, 1), 1.0),),
    "rzz": (("ZZ", (0, 1), 1.0),),
    "rzx": (("XZ", (0, 1), 1.0),),
    "crx": (("X", (1,), 0.5), ("XZ", (0, 1), -0.5)),
    "cry": (("Y", (1,), 0.5), ("YZ", (0, 1), -0.5)),
    "crz": (("Z", (1,), 0.5), ("ZZ", (0, 1), -0.5)),
    "cp": (("Z", (0,), 0.5), ("Z", (1,), 0.5), ("ZZ", (0, 1), -0.5)),
    "cu1": (("Z", (0,), 0.5), ("Z", (1,), 0.5), ("ZZ", (0, 1), -0.5)),
}
"""Gates as exp(-i angle P / 2), up to a global phase, which no density matrix has."""

_TABULATED = {
    name: gate.base_class
    for name, gate in get_standard_gate_name_mapping().items()
    if name in (*_ROTATIONS, "u", "u3")
}


@dataclass(frozen=True, eq=False)
class Event:
    """A channel or a rotation of the noisy circuit."""

    qubits: tuple[int, ...]
    """Circuit indices, the first least significant."""
    channel: Channel | ReadoutMap | None = None
    """A channel without parameters, or None for a rotation."""
    pauli: str = ""
    """The P of exp(-i angle P / 2)."""
    angle: ParameterExpression | Tree | None = None
    """Angle in radians."""
    on_inputs: bool = False
    """True if each sample has its own angle."""


@dataclass
class NoisyCircuit:
    """A circuit as channels and rotations, from :func:`lower`."""

    num_qubits: int
    events: list[Event]
    active: tuple[int, ...]
    """Qubits on which anything acts, in ascending order."""
    measured: tuple[int, ...]
    """The qubit behind each classical bit, for circuits that measure all of their bits."""
    confusion: dict[int, np.ndarray]
    """Matrix ``[true, read]`` of each qubit with a readout error."""


def lower(
    circuit: QuantumCircuit,
    noise_model: NoiseModel,
    inputs: Sequence[Parameter],
    physical_qubits: Sequence[int] | None,
    unknown_gates: UnknownGates,
) -> NoisyCircuit:
    """Attach the noise.

    Args:
        circuit: The same as for :func:`~qdm_qiskit.engine.compile_noisy`.
        noise_model: Aer's noise model.
        inputs: Parameters that each sample has its own values of.
        physical_qubits: Place in which the model finds each of the circuit's qubits.
        unknown_gates: The same as there.

    Returns:
        The events in order; all indices are those of the circuit.

    Raises:
        UnsupportedCircuit: As for :func:`~qdm_qiskit.engine.compile_noisy`.
    """
    n = circuit.num_qubits
    where = list(range(n)) if physical_qubits is None else [int(q) for q in physical_qubits]
    if len(where) != n or len(set(where)) != n or min(where, default=0) < 0:
        raise UnsupportedCircuit(
            f"physical_qubits names {n} distinct qubits of the noise model, got {where}."
        )
    errors = _Errors(noise_model, where)
    walk = _Walk(circuit, errors, frozenset(inputs))
    walk.append(_with_passes(circuit, noise_model, where), list(range(n)), top=True)
    if unknown_gates == "refuse":
        errors.refuse_gaps(walk.touched)
    bits = walk.measured
    complete = circuit.num_clbits > 0 and len(bits) == circuit.num_clbits
    measured = tuple(bits[k] for k in range(circuit.num_clbits)) if complete else ()
    return NoisyCircuit(
        n, walk.events, tuple(sorted(walk.touched)), measured, errors.readout(range(n))
    )


def _with_passes(
    circuit: QuantumCircuit, noise_model: NoiseModel, where: list[int]
) -> QuantumCircuit:
    """Return the circuit after the model's own passes, such as relaxation during delays."""
    passes = noise_model._pass_manager()
    if passes is None:
        return circuit
    check_lengths(circuit, "the noise model's relaxation depends on it")
    if where == list(range(len(where))):
        return passes.run(circuit)
    # The passes look up qubits by their index: put the circuit where the model has its qubits.
    wide = QuantumCircuit(max(where) + 1, circuit.num_clbits)
    wide.compose(circuit, qubits=where, clbits=range(circuit.num_clbits), inplace=True)
    noisy = passes.run(wide)
    back = circuit.copy_empty_like()
    place = {noisy.qubits[physical]: circuit.qubits[k] for k, physical in enumerate(where)}
    for entry in noisy.data:
        clbits = [circuit.clbits[noisy.find_bit(bit).index] for bit in entry.clbits]
        back.append(entry.operation, [place[qubit] for qubit in entry.qubits], clbits)
    return back


class _Errors:
    """A noise model's errors, looked up as Aer does."""

    def __init__(self, noise_model: NoiseModel, where: list[int]) -> None:
        self._local = noise_model._local_quantum_errors
        self._default = noise_model._default_quantum_errors
        self._local_readout = noise_model._local_readout_errors
        self._default_readout = noise_model._default_readout_error
        self._where = where
        self._channels: dict[int, Channel] = {}
        self._coverage = NoiseCoverage(noise_model)
        self._gaps: dict[str, None] = {}
        self.knows_gates = self._coverage.knows_gates

    def know(self, instruction: Instruction) -> bool:
        """Return whether the model names this very instruction."""
        name = getattr(instruction, "label", None) or instruction.name
        return name in self._local or name in self._default

    def after(self, instruction: Instruction, qubits: Sequence[int]) -> Event | None:
        """Return the error of an instruction, as an event."""
        # Aer hands the labels of gates and delays on, and no others.
        label = instruction.label if isinstance(instruction, Gate | Delay) else None
        name = instruction.name if label is None else label
        physical = tuple(self._where[qubit] for qubit in qubits)
        error = self._local.get(name, {}).get(physical, self._default.get(name))
        if error is None:
            return None
        if error.num_qubits > len(qubits):
            raise UnsupportedCircuit(
                f"The noise model's error for '{name}' acts on {error.num_qubits} qubits, the "
                f"instruction on {len(qubits)}; non-local errors are not supported."
            )
        if id(error) not in self._channels:
            self._channels[id(error)] = channel_of_error(error)
        return Event(tuple(qubits[: error.num_qubits]), channel=self._channels[id(error)])

    def note_gap(self, gate: Gate, qubits: Sequence[int]) -> None:
        """Remember a gate that the model does not know."""
        gap = self._coverage.gap(gate, [self._where[qubit] for qubit in qubits])
        if gap is not None:
            self._gaps[gap] = None

    def refuse_gaps(self, touched: set[int]) -> None:
        """Raise if gates would run free of noise because the model does not know them.

        Raises:
            UnsupportedCircuit: With their names.
        """
        if self._gaps:
            raise self._coverage.refusal(list(self._gaps))
        physical = [self._where[qubit] for qubit in touched]
        if self._coverage.elsewhere(physical):
            raise self._coverage.refusal_elsewhere(physical)

    def readout(self, qubits: Sequence[int]) -> dict[int, np.ndarray]:
        """Return the assignment matrices of single qubits."""
        known = set(self._where)
        for several in self._local_readout:
            if len(several) > 1 and known.intersection(several):
                raise UnsupportedCircuit(
                    "Readout errors must be of one qubit each (Aer leaves out all others, since "
                    f"circuits measure one qubit at a time), got one of qubits {several}; use "
                    "qdm_qiskit.engine.noise.apply_readout on the probabilities."
                )
        found = {}
        for qubit in qubits:
            error = self._local_readout.get((self._where[qubit],), self._default_readout)
            if error is not None:
                found[qubit] = np.asarray(error.probabilities, dtype=np.float64)
        return found


@dataclass
class _Walk:
    """Walk over a circuit that collects events."""

    circuit: QuantumCircuit
    errors: _Errors
    inputs: frozenset[Parameter]
    events: list[Event] = field(default_factory=list)
    touched: set[int] = field(default_factory=set)
    measured: dict[int, int] = field(default_factory=dict)
    _finished: set[int] = field(default_factory=set)
    _channels: dict[tuple[object, ...], Channel | None] = field(default_factory=dict)
    _gate: str = ""
    """The user's own instruction, where a part of it is walked."""

    def append(
        self, circuit: QuantumCircuit, qubits: list[int], *, top: bool = False, noisy: bool = True
    ) -> None:
        """Append a circuit's instructions; without errors where they are parts of one gate."""
        for entry in circuit.data:
            instruction = entry.operation
            where = [qubits[circuit.find_bit(qubit).index] for qubit in entry.qubits]
            if isinstance(instruction, Barrier):
                continue
            self.touched.update(where)
            name = self._name(instruction)
            if isinstance(instruction, ControlFlowOp) or not isinstance(instruction, Instruction):
                raise UnsupportedCircuit(
                    "The noisy engine runs gates, resets and channels; "
                    f"got {name}: transpile the circuit first."
                )
            if self._finished.intersection(where):
                raise UnsupportedCircuit(
                    f"{name} acts on a measured qubit; the noisy engine allows measurements at the "
                    "end only."
                )
            if isinstance(instruction, Measure):
                error = self.errors.after(instruction, where) if noisy else None
                if error is not None:
                    self.events.append(error)
                self._finished.update(where)
                if top:
                    bit = circuit.find_bit(entry.clbits[0]).index
                    self.measured[bit] = where[0]
            elif noisy and has_open_controls(instruction) and _runs_on_aer(instruction):
                for gate, places in on_ones(instruction):
                    self._attach(gate, [where[k] for k in places], noisy)
            else:
                self._attach(instruction, where, noisy)

    def _attach(self, instruction: Instruction, where: list[int], noisy: bool) -> None:
        """Append an instruction and its error."""
        error = self.errors.after(instruction, where) if noisy else None
        outer, self._gate = self._gate, self._gate or instruction.name
        self._apply(instruction, where, noisy)
        self._gate = outer
        if error is not None:
            self.events.append(error)

    def _name(self, instruction: AbstractOperation) -> str:
        """Return the user's instruction, and which part of it this is, for messages."""
        base = getattr(instruction, "base_op", None)
        name = instruction.name if base is None else f"annotated {base.name}"
        return f"'{self._gate}', through its '{name}'," if self._gate else f"'{name}'"

    def _apply(self, instruction: Instruction, where: list[int], noisy: bool) -> None:
        if isinstance(instruction, Delay) or instruction.name == "id":
            return
        if isinstance(instruction, Reset):
            self.events.append(Event((where[0],), channel=reset_channel()))
            return
        instruction = settled(instruction)
        if self._evolution(instruction, where, noisy):
            return
        # Gates that Aer runs as they are carry one error as a whole; others would be unrolled.
        parts = noisy and not _runs_on_aer(instruction)
        if isinstance(instruction, Gate) and noisy and self.errors.knows_gates:
            if parts and not self.errors.know(instruction):
                self.append(definition_of(instruction, "noisy engine"), where)
                return
            self.errors.note_gap(instruction, where)
        symbolic = is_free(instruction)
        if symbolic and self._rotations(instruction, where):
            return
        channel = None if symbolic else self._fixed_channel(instruction)
        if channel is not None:
            if where:
                self.events.append(Event(tuple(where), channel=channel))
            return
        self.append(definition_of(instruction, "noisy engine"), where, noisy=parts)

    def _fixed_channel(self, instruction: Instruction) -> Channel | None:
        """Return the channel of a gate without free parameters; equal ones share it."""
        numbers = tuple(instruction.params)
        if STANDARD_GATES.get(instruction.name) is not instruction.base_class or not all(
            isinstance(each, int | float) for each in numbers
        ):
            return _fixed_channel(instruction)
        key = (instruction.name, *numbers)
        if key not in self._channels:
            self._channels[key] = _fixed_channel(instruction)
        return self._channels[key]

    def _evolution(self, instruction: Instruction, where: list[int], noisy: bool) -> bool:
        """Run an evolution exactly, unless the gates of its definition have errors."""
        evolves = isinstance(instruction, PauliEvolutionGate)
        if evolves and self.errors.knows_gates and not self.errors.know(instruction):
            warn_of_definition(instruction, "errors follow its gates")
            return False
        exact = exact_circuit(instruction, MAX_EXACT_QUBITS)
        if exact is None:
            return False
        if isinstance(instruction, Gate) and noisy and self.errors.knows_gates:
            self.errors.note_gap(instruction, where)
        self.append(exact, where, noisy=False)
        return True

    def _rotations(self, instruction: Instruction, where: list[int]) -> bool:
        controls = getattr(instruction, "num_ctrl_qubits", 0)
        if getattr(instruction, "ctrl_state", None) not in (None, 2**controls - 1):
            return False
        vector = rotation_vector(instruction)
        if vector is not None:
            for gate, tree in vector[0]:
                self._rotate(gate[-1].upper(), where, tree)
            return True
        if _TABULATED.get(instruction.name) is not instruction.base_class:
            return False
        if instruction.name in ("u", "u3"):
            theta, phi, lam = instruction.params
            for pauli, angle in (("Z", lam), ("Y", theta), ("Z", phi)):
                self._rotate(pauli, where, angle)
            return True
        for pauli, local, factor in _ROTATIONS[instruction.name]:
            self._rotate(pauli, [where[k] for k in local], instruction.params[0] * factor)
        return True

    def _rotate(self, pauli: str, where: list[int], angle: ParameterExpression | Tree) -> None:
        free = parameters_of(angle)
        if free:
            on_inputs = bool(self.inputs & free)
            self.events.append(Event(tuple(where), None, pauli, angle, on_inputs))
            return
        number = tree_of(angle)
        if not isinstance(number, float):
            raise UnsupportedCircuit(f"A gate angle must be real, got {angle} in '{self._gate}'.")
        if number:
            half, p = number / 2, pauli_matrix(pauli)
            matrix = math.cos(half) * np.eye(len(p)) - 1j * math.sin(half) * p
            self.events.append(Event(tuple(where), channel=unitary_channel(matrix)))


@cache
def _aer_gates() -> frozenset[str]:
    from qiskit_aer.backends.backend_utils import BASIS_GATES

    return frozenset(BASIS_GATES["automatic"])


def _runs_on_aer(instruction: Instruction) -> bool:
    """Return whether Aer runs a gate as it is, with controls on 0 as with those on 1."""
    name = instruction.name
    if has_open_controls(instruction):
        name = name.removesuffix(f"_o{instruction.ctrl_state}")
    return name in _aer_gates()


def _fixed_channel(instruction: Instruction) -> Channel | None:
    """Return the channel of a small instruction without free parameters, or None."""
    if not isinstance(instruction, Gate):
        if instruction.name in ("kraus", "superop") or hasattr(instruction, "_quantum_error"):
            return channel_of_instruction(instruction)
        return None
    matrix = matrix_of(instruction, MAX_FIXED_QUBITS, MAX_EXACT_QUBITS)
    return None if matrix is None else Channel(matrix[None])
