"""The part of a device that works: what circuits are transpiled for.

A calibrated error of 1 says that a gate was not calibrated or does not work. Such gates stand in a
device's coupling map like all others (22 of fake_torino's 300, all 144 of fake_kyoto's), and
routing, which does not look at errors, takes them. So Qiskit is given a target without them, on the
connected qubits that are left, and with the errors that the noise model applies.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import rustworkx
from qiskit import QuantumCircuit
from qiskit.circuit import Gate
from qiskit.circuit.library import CXGate
from qiskit.transpiler import InstructionProperties
from qiskit.transpiler import Target as DeviceTarget

from ..errors import UnsupportedCircuit
from .channels import gate_success, is_dead

__all__ = [
    "Native",
    "Pair",
    "WorkingPart",
    "refusal",
    "working_part",
]

Pair = tuple[int, ...]
Native = tuple[Gate, Pair]
"""A two-qubit gate of the device and its qubits, in order."""


@dataclass(frozen=True)
class WorkingPart:
    """Some qubits of a device, numbered from 0."""

    target: DeviceTarget
    """Instructions that work on them, with the errors that are applied."""
    qubits: tuple[int, ...]
    """The device's qubit behind each of the target's, in ascending order."""
    natives: Mapping[Pair, Native]
    """Real gate of each coupler, where couplers differ and the target holds cx."""
    whole: bool
    """True if these are all qubits of the device."""


def working_part(
    target: DeviceTarget,
    circuit: QuantumCircuit,
    initial_layout: Sequence[int] | None = None,
    *,
    device: str = "the device",
    bounded: bool = True,
) -> WorkingPart:
    """Choose where on a device a circuit is laid out.

    Args:
        target: The device.
        circuit: A logical circuit of no more qubits than the device has.
        initial_layout: Physical qubits that the caller wants.
        device: Its name, for messages.
        bounded: Whether gates with a range of angles may be used, where the device is used whole.

    Returns:
        The connected part that holds the initial layout, or else the largest one; all qubits that
        work where the circuit is larger than that, as it may consist of parts itself.

    Raises:
        UnsupportedCircuit: If the initial layout has qubits that do not work, or the circuit connects
            more qubits than any part.
    """
    couplers = [q for _, q, _ in _entries(target, 2)]
    if target.num_qubits is None or (not couplers and not list(_entries(target, 1))):
        everything = range(target.num_qubits or 0)
        return WorkingPart(target, tuple(everything), {}, True)
    usable = _usable_qubits(target)
    alive = [
        (name, q)
        for name, q, properties in _entries(target, 2)
        if usable.issuperset(q) and not is_dead(properties)
    ]
    parts = _parts(usable, [q for _, q in alive])
    if initial_layout is not None:
        chosen = _part_of(parts, usable, initial_layout, device)
    elif len(parts[0]) >= circuit.num_qubits:
        chosen = parts[0]
    elif couplers and len(parts[0]) < _largest_piece(circuit):
        raise refusal(target, circuit, device, "")  # Qiskit finds out after minutes
    else:
        chosen = usable
    qubits = tuple(sorted(chosen))
    inside = [(name, q) for name, q in alive if chosen.issuperset(q)]
    whole = len(qubits) == target.num_qubits
    if bounded and whole and len(inside) == len(couplers) and target.has_angle_bounds():
        # Qiskit does not tell a gate's range, so its target cannot be written anew.
        return WorkingPart(target, qubits, {}, True)
    inside = [(name, q) for name, q in inside if not target.gate_has_angle_bounds(name)]
    return _rebuilt(target, qubits, inside, whole)


def refusal(
    target: DeviceTarget, circuit: QuantumCircuit, device: str, reason: str
) -> UnsupportedCircuit:
    """Return the reason why a circuit cannot be laid out on the working part, in one line.

    Args:
        target: The device.
        circuit: The logical circuit.
        device: The device's name.
        reason: What Qiskit said, for devices on which everything works.
    """
    usable = _usable_qubits(target)
    couplers = {tuple(sorted(q)): False for _, q, _ in _entries(target, 2)}
    for _, q, properties in _entries(target, 2):
        couplers[tuple(sorted(q))] |= usable.issuperset(q) and not is_dead(properties)
    working = [q for q, works in couplers.items() if works]
    dead = len(couplers) - len(working)
    if couplers and not working:
        return UnsupportedCircuit(
            f"None of the {len(couplers)} couplers of {device} works: all their gates have a "
            f"calibrated error of 1, and circuit '{circuit.name}' needs two-qubit gates; choose "
            "another device."
        )
    largest = len(_parts(usable, working)[0])
    piece = _largest_piece(circuit)
    if couplers and piece > largest:
        return UnsupportedCircuit(
            f"Circuit '{circuit.name}' connects {piece} qubits and the largest connected part of "
            f"{device} that works has {largest}: {dead} of its {len(couplers)} couplers have a "
            "calibrated error of 1; use a smaller model or another device."
        )
    said = reason.partition(" For more details on this error")[0].rstrip(". ")
    gates = [n for n in target.operation_names if isinstance(target.operation_from_name(n), Gate)]
    return UnsupportedCircuit(
        f"Circuit '{circuit.name}' cannot be transpiled for {device}: {said}; its gates are "
        f"{', '.join(sorted(gates))}: take a device, or a noise model with entries, for a whole set "
        "such as rz, sx and cx."
    )


def _entries(
    target: DeviceTarget, num_qubits: int
) -> Iterator[tuple[str, tuple[int, ...], InstructionProperties | None]]:
    """Gates on this many qubits that the target has on qubits by number."""
    for name in target.operation_names:
        if isinstance(target.operation_from_name(name), Gate):
            for qubits, properties in (target[name] or {}).items():
                if qubits is not None and len(qubits) == num_qubits:
                    yield name, qubits, properties


def _usable_qubits(target: DeviceTarget) -> frozenset[int]:
    """Qubits whose one-qubit gates all work, as far as the device has them anywhere."""
    gates: dict[str, set[int]] = {}
    for name, (qubit,), properties in _entries(target, 1):
        found = gates.setdefault(name, set())
        if not is_dead(properties):
            found.add(qubit)
    # The transpiler takes identities out, so one that does not work is no loss.
    needed = [qubits for name, qubits in gates.items() if name != "id"]
    return frozenset(range(target.num_qubits)).intersection(*needed)


def _parts(usable: frozenset[int], couplers: Sequence[tuple[int, ...]]) -> list[frozenset[int]]:
    """Connected qubits, the largest set first."""
    graph = rustworkx.PyGraph()
    qubits = sorted(usable)
    node = dict(zip(qubits, graph.add_nodes_from(qubits), strict=True))
    graph.add_edges_from_no_data([(node[a], node[b]) for a, b in couplers])
    found = [frozenset(qubits[k] for k in each) for each in rustworkx.connected_components(graph)]
    return sorted(found, key=lambda part: (-len(part), min(part))) or [frozenset()]


def _largest_piece(circuit: QuantumCircuit) -> int:
    """The most qubits that instructions connect; barriers do not."""
    pairs: list[Pair] = []
    for item in circuit.data:
        if item.operation.name != "barrier":
            qubits = [circuit.find_bit(qubit).index for qubit in item.qubits]
            pairs += itertools.pairwise(qubits)
    return len(_parts(frozenset(range(circuit.num_qubits)), pairs)[0])


def _part_of(
    parts: Sequence[frozenset[int]],
    usable: frozenset[int],
    layout: Sequence[int],
    device: str,
) -> frozenset[int]:
    broken = sorted(set(layout) - usable)
    if broken:
        raise UnsupportedCircuit(
            f"Gates of qubits {broken} of {device} have a calibrated error of 1; choose an "
            "initial_layout without them."
        )
    for part in parts:
        if part.issuperset(layout):
            return part
    return usable


def _rebuilt(
    target: DeviceTarget, qubits: tuple[int, ...], alive: Sequence[tuple[str, Pair]], whole: bool
) -> WorkingPart:
    index = {qubit: k for k, qubit in enumerate(qubits)}
    part = DeviceTarget(
        description=target.description,
        num_qubits=len(qubits),
        dt=target.dt,
        granularity=target.granularity,
        min_length=target.min_length,
        pulse_alignment=target.pulse_alignment,
        acquire_alignment=target.acquire_alignment,
        qubit_properties=target.qubit_properties and [target.qubit_properties[q] for q in qubits],
    )
    natives = _natives(target, alive) if _mixed(alive) else {}
    kept = frozenset(alive)
    for name in target.operation_names:
        operation = target.operation_from_name(name)
        if isinstance(operation, type):  # control flow: on any qubits, without properties
            part.add_instruction(operation, name=name)
            continue
        if target.gate_has_angle_bounds(name):
            continue
        inside = {}
        for where, properties in (target[name] or {}).items():
            if where is None or not index.keys() >= set(where):
                continue
            if len(where) == 2 and isinstance(operation, Gate):
                if natives or (name, where) not in kept:
                    continue
            elif is_dead(properties):
                continue
            inside[tuple(index[q] for q in where)] = _applied(target, operation, where, properties)
        if inside:
            part.add_instruction(operation, inside, name=name)
    if natives:
        by_pair = {}
        for pair, (gate, where) in natives.items():
            properties = _applied(target, gate, where, target[gate.name][where])
            by_pair[tuple(index[q] for q in pair)] = properties
        part.add_instruction(CXGate(), by_pair)
    renumbered: dict[Pair, Native] = {
        (index[a], index[b]): (gate, (index[where[0]], index[where[1]]))
        for (a, b), (gate, where) in natives.items()
    }
    return WorkingPart(part, qubits, renumbered, whole)


def _applied(
    target: DeviceTarget,
    operation: object,
    qubits: tuple[int, ...],
    properties: InstructionProperties | None,
) -> InstructionProperties | None:
    if properties is None or properties.error is None or not isinstance(operation, Gate):
        return properties
    error = 1.0 - gate_success(target, properties, qubits)
    return InstructionProperties(duration=properties.duration, error=error)


def _mixed(alive: Sequence[tuple[str, Pair]]) -> bool:
    """Return whether no two-qubit gate is on all couplers, as on fake_cairo: ecr here, cx there."""
    couplers = {frozenset(q) for _, q in alive}
    return bool(couplers) and not any(
        {frozenset(q) for name, q in alive if name == each} == couplers
        for each in {name for name, _ in alive}
    )


def _natives(target: DeviceTarget, alive: Sequence[tuple[str, Pair]]) -> dict[Pair, Native]:
    """Return the best gate without parameters of each coupler, in both directions."""
    best: dict[frozenset[int], tuple[float, Native]] = {}
    for name, where in alive:
        gate, properties = target.operation_from_name(name), target[name][where]
        if gate.params:
            continue
        error = 1.0
        if properties is not None and properties.error is not None:
            error = 1.0 - gate_success(target, properties, where)
        coupler = frozenset(where)
        if coupler not in best or error < best[coupler][0]:
            best[coupler] = (error, (gate, where))
    return {
        pair: native
        for _, native in best.values()
        for pair in (native[1], (native[1][1], native[1][0]))
    }
