"""Circuits one behind another on the same data qubits, each with ancillas of its own.

A step that projects or measures its ancillas leaves a state to the next step. With fresh ancillas for
each step nothing has to be measured before the end: a chain is one circuit of gates, and its readout
post-selects or records what every ancilla showed. :func:`with_reused_qubits` is the other form, for
devices: qubits that are done are measured, reset and used again, each into the bit that it has anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import (
    CircuitInstruction,
    Clbit,
    ControlledGate,
    Gate,
    Measure,
    Operation,
    Parameter,
    ParameterExpression,
    Qubit,
    Reset,
)
from qiskit.quantum_info import Operator

from ..arguments import of_kind
from ..errors import InvalidData, InvalidTemplate
from .parameters import input_parameters
from .readouts import ProbabilityReadout
from .spec import CircuitSpec

__all__ = ["Part", "composed", "referenced", "with_reused_qubits"]

SAME = 1e-9
"""Largest entry by which a unitary that counts as the identity differs from it."""


@dataclass(frozen=True, eq=False)
class Part:
    """A circuit and the angles of its weights."""

    spec: CircuitSpec
    """Amplitudes in, and a probability readout that reads or post-selects."""
    angles: np.ndarray | None = None
    """``(repeats * num_weights,)`` radians, to be bound; None leaves the weights free, as inputs."""
    repeats: int = 1
    """Runs one after another, each with weights of its own, before the ancillas are read."""


def composed(
    name: str, parts: Sequence[Part], *, record: bool = False, complex_amplitudes: bool = True
) -> CircuitSpec:
    """Return parts one behind another as one circuit without weights.

    Data are on qubits ``0 .. n-1`` in the order of each part's data qubits; the ancillas of the first
    part follow, then those of the second. The first part's loader loads for all. Inputs of the same
    number are one parameter in all parts; the weights that are left free are the inputs behind them,
    in the order of use.

    Args:
        name: Name of the circuit.
        parts: At least one, all of as many data qubits.
        record: Read the ancillas behind the data qubits, where a part does not post-select them; if
            not, they have to be post-selected.
        complex_amplitudes: Take complex states; real ones have a loader of half the angles.

    Returns:
        A spec that takes amplitudes and reads the data qubits, not renormalised: the sum of what it
        reads is the share of shots that the post-selection keeps.

    Raises:
        InvalidTemplate: If the parts do not fit together.
        InvalidData: If angles are not finite, or not a whole number of times the weights.

    >>> from qdm_qiskit.circuits import cacioppo_denoiser
    >>> part = Part(cacioppo_denoiser(2), np.zeros(42))
    >>> chain = composed("chain", [part, part, part])
    >>> chain.num_qubits, chain.readout.qubits, chain.readout.postselect
    (5, (0, 1), ((2, 0), (3, 0), (4, 0)))
    """
    if not parts:
        raise InvalidTemplate("A chain has at least one part, got none.")
    count = len(parts[0].spec.data_qubits)
    total = count + sum(len(part.spec.ancilla_qubits) for part in parts)
    circuit = QuantumCircuit(total, name=name)
    first = max(len(part.spec.inputs) for part in parts)
    free = sum(part.repeats * len(part.spec.weights) for part in parts if part.angles is None)
    fresh = iter(input_parameters(free, first))
    selected: list[tuple[int, int]] = []
    recorded: list[int] = []
    start = count
    for part in parts:
        spec = part.spec
        _check(spec, count, name)
        where = dict(zip(spec.data_qubits, range(count), strict=True))
        where |= {qubit: start + k for k, qubit in enumerate(spec.ancilla_qubits)}
        qubits = [where[qubit] for qubit in range(spec.num_qubits)]
        for bound in _repeats(part, fresh):
            circuit.compose(bound, qubits=qubits, inplace=True)
        assert isinstance(spec.readout, ProbabilityReadout)
        chosen = [(where[qubit], outcome) for qubit, outcome in spec.readout.postselect]
        selected += chosen
        rest = set(range(start, start + len(spec.ancilla_qubits))) - {q for q, _ in chosen}
        if rest and not record:
            raise InvalidTemplate(
                f"'{spec.name}' leaves ancillas of its own to be measured; post-select or record them."
            )
        recorded += sorted(rest)
        start += len(spec.ancilla_qubits)
    data = tuple(range(count))
    return CircuitSpec(
        name=name,
        circuit=circuit,
        encoding="amplitude",
        complex_amplitudes=complex_amplitudes,
        data_qubits=data,
        ancilla_qubits=tuple(range(count, total)),
        readout=ProbabilityReadout(qubits=(*data, *recorded), postselect=tuple(selected)),
        source=parts[0].spec.source,
        loader=parts[0].spec.loader,
    )


def _check(spec: CircuitSpec, count: int, name: str) -> None:
    readout = spec.readout
    fits = (
        spec.encoding == "amplitude"
        and isinstance(readout, ProbabilityReadout)
        and len(spec.data_qubits) == count
        and set(spec.data_qubits) <= set(readout.qubits)
    )
    if not fits:
        raise InvalidTemplate(
            f"Parts of '{name}' take amplitudes of {count} qubits and read these qubits; "
            f"'{spec.name}' does otherwise."
        )


def _repeats(part: Part, fresh: Iterator[Parameter]) -> Iterator[QuantumCircuit]:
    weights, circuit = part.spec.weights, part.spec.circuit
    size = part.repeats * len(weights)
    values: list[Parameter] | list[float]
    if part.angles is None:
        values = list(islice(fresh, size))
    else:
        angles = np.asarray(part.angles, dtype=np.float64)
        if angles.shape != (size,) or not np.isfinite(angles).all():
            raise InvalidData(
                f"'{part.spec.name}' takes {size} finite angles here, got shape {angles.shape} with "
                f"{int((~np.isfinite(angles)).sum())} of NaN or infinity."
            )
        values = angles.tolist()
    for start in range(0, max(size, 1), max(len(weights), 1)):
        chosen = values[start : start + len(weights)]
        yield circuit.assign_parameters(dict(zip(weights, chosen, strict=True)))


def referenced(spec: CircuitSpec) -> CircuitSpec:
    """Return a circuit that acts where one more qubit is 1, and nothing happens where it is 0.

    The qubit starts in ``(|0> + |1>)/sqrt(2)``, so that what the circuit makes of a state is told
    together with the state itself: its global phase, which no circuit alone has, is then a phase
    between two halves of one state. Gates whose angles are all fixed are left uncontrolled if these
    gates alone do nothing, as CNOT chains that undo each other; rotations then cost two CNOTs a qubit
    and layer.

    Args:
        spec: A result of :func:`composed`: data qubits first.

    Returns:
        A spec whose qubit n, behind the n data qubits, is the reference; it is read behind them, and
        the ancillas follow.

    Raises:
        InvalidTemplate: If the circuit holds what cannot be controlled.
    """
    n = len(spec.data_qubits)
    moved = [*range(n), *range(n + 1, spec.num_qubits + 1)]
    circuit = QuantumCircuit(spec.num_qubits + 1, name=spec.name)
    circuit.h(n)
    if spec.circuit.global_phase:
        circuit.p(spec.circuit.global_phase, n)
    gates = [item for item in spec.circuit.data if item.operation.name != "barrier"]
    freely = _is_nothing(spec.circuit, lambda item: not _is_free(item))
    position = 0
    while position < len(gates):
        three = gates[position : position + 3]
        qubits = [moved[spec.circuit.find_bit(q).index] for q in three[0].qubits]
        operation = three[0].operation
        if _is_euler(three):
            _controlled_euler(circuit, n, qubits[0], *(g.operation.params[0] for g in three))
            position += 3
            continue
        if freely and not _is_free(three[0]):
            circuit.append(operation, qubits)
        else:
            _append_controlled(circuit, n, operation, qubits)
        position += 1
    readout = spec.readout
    assert isinstance(readout, ProbabilityReadout)
    chosen = tuple((moved[qubit], outcome) for qubit, outcome in readout.postselect)
    return replace(
        spec,
        circuit=circuit,
        ancilla_qubits=tuple(range(n, spec.num_qubits + 1)),
        readout=ProbabilityReadout(
            qubits=(*(moved[qubit] for qubit in readout.qubits), n), postselect=chosen
        ),
    )


def _append_controlled(
    circuit: QuantumCircuit, control: int, operation: Operation, qubits: Sequence[int]
) -> None:
    """Append a controlled gate: one that Qiskit has, or the gate's definition, controlled.

    Raises:
        InvalidTemplate: If it is no gate, or one without a definition.
    """
    if not isinstance(operation, Gate):
        raise InvalidTemplate(
            f"'{circuit.name}' holds '{operation.name}', which is no gate and cannot be controlled."
        )
    found = operation.control(1, annotated=False)
    if type(found) is not ControlledGate:
        circuit.append(found, [control, *qubits])
        return
    inner = operation.definition
    if inner is None:
        raise InvalidTemplate(f"'{operation.name}' in '{circuit.name}' cannot be controlled.")
    if inner.global_phase:
        circuit.p(inner.global_phase, control)
    freely = _is_nothing(inner, lambda item: item.operation.num_qubits > 1)
    for item in inner.data:
        own = [qubits[inner.find_bit(q).index] for q in item.qubits]
        if freely and item.operation.num_qubits > 1:  # as the CNOTs around a controlled phase
            circuit.append(item.operation, own)
        else:
            _append_controlled(circuit, control, item.operation, own)


def _is_free(item: CircuitInstruction) -> bool:
    return any(isinstance(each, ParameterExpression) for each in item.operation.params)


def _is_nothing(circuit: QuantumCircuit, chosen: Callable[[CircuitInstruction], bool]) -> bool:
    """Return True if some of a circuit's gates alone do nothing at all."""
    some = QuantumCircuit(circuit.num_qubits)
    for item in circuit.data:
        if chosen(item) and item.operation.name != "barrier":
            some.append(item.operation, [circuit.find_bit(q).index for q in item.qubits])
    found = Operator(some).data
    return bool(np.abs(found - np.eye(len(found))).max() < SAME)


def _is_euler(items: Sequence[CircuitInstruction]) -> bool:
    """Return True if gates are RZ, RY, RZ of one qubit with free angles."""
    return (
        [item.operation.name for item in items] == ["rz", "ry", "rz"]
        and len({item.qubits for item in items}) == 1
        and all(_is_free(item) for item in items)
    )


def _controlled_euler(
    circuit: QuantumCircuit,
    control: int,
    target: int,
    first: ParameterExpression,
    middle: ParameterExpression,
    last: ParameterExpression,
) -> None:
    """Append controlled RZ(last) RY(middle) RZ(first): two CNOTs (Barenco et al. 1995, lemma 4.3)."""
    # No angle of two parameters: QPY orders those by identities that are drawn anew each time.
    circuit.rz(first / 2, target)
    circuit.rz(-last / 2, target)
    circuit.cx(control, target)
    circuit.rz(-first / 2, target)
    circuit.rz(-last / 2, target)
    circuit.ry(-middle / 2, target)
    circuit.cx(control, target)
    circuit.ry(middle / 2, target)
    circuit.rz(last, target)


def with_reused_qubits(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a measured circuit on fewer qubits: who is done is measured, reset and used again.

    Every classical bit keeps its number and its meaning. Qubits that enter in |0> late take the place
    of qubits whose last gate has passed; barriers are left out. The counts have the distribution of
    the given circuit's.

    Args:
        circuit: Gates, then one measurement of each qubit.

    Returns:
        A circuit with measurements and resets in the middle, which devices run without feed-forward.

    Raises:
        InvalidTemplate: If a qubit is measured twice or not at all, or used after its measurement.
    """
    of_kind(circuit, QuantumCircuit, "circuit")
    gates = [each for each in circuit.data if each.operation.name not in ("measure", "barrier")]
    bit_of = {
        item.qubits[0]: item.clbits[0] for item in circuit.data if item.operation.name == "measure"
    }
    measured = [item.qubits[0] for item in circuit.data if item.operation.name == "measure"]
    if len(measured) != circuit.num_qubits or set(measured) != set(circuit.qubits):
        raise InvalidTemplate(
            f"Qubits of '{circuit.name}' are used again once measured, so each is measured once; "
            f"got {len(measured)} measurements of {circuit.num_qubits} qubits."
        )
    last = {qubit: k for k, item in enumerate(gates) for qubit in item.qubits}
    place: dict[Qubit, int] = {}
    free: list[int] = []
    lines: list[tuple[Operation, list[int], list[Clbit]]] = []

    def seat(qubit: Qubit) -> None:
        if free:
            place[qubit] = free.pop()
            lines.append((Reset(), [place[qubit]], []))
        else:
            place[qubit] = len(set(place.values()))

    def read(qubit: Qubit) -> None:
        lines.append((Measure(), [place[qubit]], [bit_of[qubit]]))
        free.append(place[qubit])

    for number, item in enumerate(gates):
        for qubit in item.qubits:
            if qubit not in place:
                seat(qubit)
        lines.append((item.operation, [place[qubit] for qubit in item.qubits], []))
        for qubit in item.qubits:
            if last[qubit] == number:
                read(qubit)
    for qubit in circuit.qubits:
        if qubit not in last:  # no gate at all: it reads 0
            seat(qubit)
            read(qubit)
    found = QuantumCircuit(len(set(place.values())), name=circuit.name)
    for register in circuit.cregs:
        found.add_register(register)
    for operation, qubits, clbits in lines:
        found.append(operation, qubits, clbits)
    return found
