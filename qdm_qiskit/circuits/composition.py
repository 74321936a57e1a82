"""Circuits one behind another on the same data qubits, each with ancillas of its own.

A step that projects or measures its ancillas leaves a state to the next step. With fresh ancillas for
each step nothing has to be measured before the end: a chain is one circuit of gates, and its readout
post-selects or records what every ancilla showed. :func:`with_reused_qubits` is the other form, for
devices: qubits that are done are measured, reset and used again, each into the bit that it has anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Clbit, Measure, Operation, Qubit, Reset

from ..arguments import of_kind
from ..errors import InvalidData, InvalidTemplate
from .spec import CircuitSpec, ProbabilityReadout

__all__ = ["Part", "composed", "with_reused_qubits"]


@dataclass(frozen=True, eq=False)
class Part:
    """A circuit and the angles of its weights."""

    spec: CircuitSpec
    """Amplitudes in, and a probability readout that reads or post-selects."""
    angles: np.ndarray
    """``(repeats * num_weights,)`` radians; several repeats run one after another, then the readout
    follows."""


def composed(
    name: str, parts: Sequence[Part], *, record: bool = False, renormalise: bool = False
) -> CircuitSpec:
    """Return parts one behind another as one circuit, with their weights bound.

    Data are on qubits ``0 .. n-1`` in the order of each part's data qubits; the ancillas of the first
    part follow, then those of the second. Inputs of the same number are one parameter in all parts.

    Args:
        name: Of the circuit.
        parts: At least one, all of as many data qubits.
        record: Read the ancillas behind the data qubits, where a part does not post-select them; if
            not, they have to be post-selected.
        renormalise: As in :class:`.ProbabilityReadout`.

    Returns:
        A spec without weights that takes complex amplitudes. It reads the data qubits.

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
    selected: list[tuple[int, int]] = []
    recorded: list[int] = []
    start = count
    for part in parts:
        spec = part.spec
        _check(spec, count, name)
        where = dict(zip(spec.data_qubits, range(count), strict=True))
        where |= {qubit: start + k for k, qubit in enumerate(spec.ancilla_qubits)}
        qubits = [where[qubit] for qubit in range(spec.num_qubits)]
        for bound in _repeats(part):
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
        complex_amplitudes=True,
        data_qubits=data,
        ancilla_qubits=tuple(range(count, total)),
        readout=ProbabilityReadout(
            qubits=(*data, *recorded), postselect=tuple(selected), renormalise=renormalise
        ),
        source=parts[0].spec.source,
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


def _repeats(part: Part) -> list[QuantumCircuit]:
    weights = part.spec.weights
    angles = np.asarray(part.angles, dtype=np.float64)
    whole = len(angles) == 0 if not weights else len(angles) and len(angles) % len(weights) == 0
    if angles.ndim != 1 or not whole or not np.isfinite(angles).all():
        raise InvalidData(
            f"'{part.spec.name}' takes {len(weights)} finite angles, or so many for each repeat, got "
            f"shape {angles.shape}."
        )
    rows = angles.reshape(-1, len(weights)).tolist() if weights else [[]]
    return [
        part.spec.circuit.assign_parameters(dict(zip(weights, row, strict=True))) for row in rows
    ]


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
