"""A transpiled circuit as a template: on wires of its own, to be put on other qubits of the device."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import rustworkx
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import ControlFlowOp, Parameter
from qiskit.providers import BackendV2

from ..errors import UnsupportedCircuit
from .passes import transpile_for

__all__ = ["Template", "joint_circuit", "on_tile", "template_of"]


@dataclass(frozen=True, eq=False)
class Template:
    """Measured circuits of one layout, on wires that are numbered from 0.

    A model's readout may take several circuits, one for each basis; they share the wires.
    """

    circuits: tuple[QuantumCircuit, ...]
    """In the device's gates, on the wires."""
    home: tuple[int, ...]
    """Physical qubit of each wire where the transpiler laid it out."""
    start: tuple[int, ...]
    """Wire on which each logical qubit starts; empty if the layout is not known."""

    @property
    def num_wires(self) -> int:
        """Number of wires: qubits of the circuit, and those that routing passes through."""
        return len(self.home)

    @property
    def couplings(self) -> tuple[tuple[int, int], ...]:
        """Pairs of wires that a gate joins, ascending."""
        pairs = {
            tuple(sorted(circuit.find_bit(qubit).index for qubit in item.qubits))
            for circuit in self.circuits
            for item in circuit.data
            if len(item.qubits) == 2 and item.operation.name != "barrier"
        }
        return tuple(sorted((a, b) for a, b in pairs))

    def pattern(self) -> rustworkx.PyGraph:
        """Return the couplings as a connected graph.

        Wires that no gate joins are chained by couplings that no gate uses, so that a tile stays a
        connected patch of the device.
        """
        graph = rustworkx.PyGraph(multigraph=False)
        graph.add_nodes_from(range(self.num_wires))
        graph.add_edges_from_no_data(list(self.couplings))
        pieces = sorted(sorted(each) for each in rustworkx.connected_components(graph))
        for before, after in itertools.pairwise(pieces):
            graph.add_edge(before[-1], after[0], None)
        return graph


def template_of(circuits: Sequence[QuantumCircuit], start: Sequence[int] | None = None) -> Template:
    """Return the template of measured circuits of one layout.

    Args:
        circuits: On the device's physical qubits, in its gates; parameters may be free.
        start: Physical qubit on which each logical one starts; by the first circuit's layout if None.

    Raises:
        UnsupportedCircuit: If a circuit has control flow, or gates on three qubits.
    """
    for circuit in circuits:
        for item in circuit.data:
            wide = len(item.qubits) > 2 and item.operation.name != "barrier"
            if wide or isinstance(item.operation, ControlFlowOp):
                raise UnsupportedCircuit(
                    f"Circuit '{circuit.name}' has '{item.operation.name}' on {len(item.qubits)} "
                    "qubits, and tiles hold plain gates on one or two; run it without tiles."
                )
    home = sorted(_touched(circuits))
    wire = {qubit: k for k, qubit in enumerate(home)}
    if start is None and circuits[0].layout is not None:
        start = circuits[0].layout.initial_index_layout(filter_ancillas=True)
    wires: tuple[int, ...] = ()
    if start is not None and wire.keys() >= set(start):  # an untouched qubit has no wire
        wires = tuple(wire[qubit] for qubit in start)
    narrow = tuple(_moved(each, wire, len(home)) for each in circuits)
    return Template(narrow, tuple(home), wires)


def on_tile(
    template: Template, number: int, qubits: Sequence[int], backend: BackendV2
) -> QuantumCircuit:
    """Return one of a template's circuits on physical qubits of a device.

    The gates stay what they are where the device has them there; a device with another gate, or the
    same in the other direction, gets the circuit transpiled for these qubits.

    Args:
        template: The template.
        number: Number of the circuit.
        qubits: Physical qubit of each wire.
        backend: The device.

    Raises:
        UnsupportedCircuit: If it takes qubits besides the tile's.
    """
    narrow, target = template.circuits[number], backend.target
    index = {bit: k for k, bit in enumerate(narrow.qubits)}
    fits = all(
        target.instruction_supported(
            item.operation.name, tuple(qubits[index[bit]] for bit in item.qubits)
        )
        for item in narrow.data
        if item.operation.name not in ("barrier", "delay")
    )
    if fits:
        return _moved(narrow, dict(enumerate(qubits)), target.num_qubits)
    isa = transpile_for(narrow, backend, level=1, seed=0, initial_layout=list(qubits))
    used = _touched([isa])
    if not used <= set(qubits):
        raise UnsupportedCircuit(
            f"Circuit '{narrow.name}' on qubits {tuple(qubits)} of {backend.name} takes the qubits "
            f"{sorted(used - set(qubits))} besides; run it without tiles."
        )
    return isa


def joint_circuit(circuits: Sequence[QuantumCircuit]) -> QuantumCircuit:
    """Return circuits on disjoint qubits of one device as one circuit.

    Args:
        circuits: On the device's physical qubits, each measured at its end into one register.

    Returns:
        A circuit with a register ``tile_00``, ``tile_01``, ... for each, and the parameters of each in
        their order, ``tile_00_0000``, ...; all are measured together, after the last gate of any.

    Raises:
        UnsupportedCircuit: If two circuits share a qubit, or one does not end in its measurements.

    >>> small = QuantumCircuit(3, 1)
    >>> _ = small.x(0), small.measure(0, 0)
    >>> other = QuantumCircuit(3, 1)
    >>> _ = other.measure(2, 0)
    >>> found = joint_circuit([small, other])
    >>> found.num_clbits, [register.name for register in found.cregs]
    (2, ['tile_00', 'tile_01'])
    """
    joint = QuantumCircuit(QuantumRegister(circuits[0].num_qubits, "q"))
    joint.name = f"{circuits[0].name}_x{len(circuits)}"
    taken: set[int] = set()
    reads: list[tuple[int, int]] = []
    for number, circuit in enumerate(circuits):
        used = _touched([circuit])
        if shared := sorted(taken & used):
            raise UnsupportedCircuit(
                f"Tiles of one circuit share no qubit, and two of '{circuit.name}' share {shared}."
            )
        taken |= used
        first_bit = joint.num_clbits
        joint.add_register(ClassicalRegister(circuit.num_clbits, f"tile_{number:02d}"))
        # Numbered, as names sort otherwise than the elements of a vector.
        named = circuit.assign_parameters(
            {
                each: Parameter(f"tile_{number:02d}_{position:04d}")
                for position, each in enumerate(circuit.parameters)
            }
        )
        reads += [(q, first_bit + bit) for q, bit in _append_gates(joint, named, used)]
    joint.barrier(sorted(taken))
    for qubit, bit in reads:
        joint.measure(qubit, bit)
    return joint


def _append_gates(
    joint: QuantumCircuit, circuit: QuantumCircuit, used: set[int]
) -> list[tuple[int, int]]:
    """Append the gates of a circuit; return the qubit and the bit of each of its measurements."""
    reads: list[tuple[int, int]] = []
    for item in circuit.data:
        where = [circuit.find_bit(qubit).index for qubit in item.qubits]
        if item.operation.name == "barrier":
            joint.barrier([qubit for qubit in where if qubit in used])
            continue
        if {qubit for qubit, _ in reads}.intersection(where) or (
            item.clbits and item.operation.name != "measure"
        ):
            raise UnsupportedCircuit(
                f"Circuit '{circuit.name}' goes on after it measures qubit {where[0]}, and tiles are "
                "measured together at their end; run it without tiles."
            )
        if item.operation.name == "measure":
            reads.append((where[0], circuit.find_bit(item.clbits[0]).index))
        else:
            joint.append(item.operation, where)
    return reads


def _touched(circuits: Iterable[QuantumCircuit]) -> set[int]:
    """Return the qubits on which an instruction acts; barriers do not count."""
    return {
        circuit.find_bit(qubit).index
        for circuit in circuits
        for item in circuit.data
        if item.operation.name != "barrier"
        for qubit in item.qubits
    }


def _moved(circuit: QuantumCircuit, place: Mapping[int, int], width: int) -> QuantumCircuit:
    """Return a circuit with each qubit at its new number; barriers lose qubits without one."""
    moved = QuantumCircuit(
        QuantumRegister(width, "q"),
        *circuit.cregs,
        name=circuit.name,
        global_phase=circuit.global_phase,
    )
    bits = {bit: k for k, bit in enumerate(circuit.qubits)}
    for item in circuit.data:
        where = [place[bits[bit]] for bit in item.qubits if bits[bit] in place]
        if item.operation.name != "barrier":
            moved.append(item.operation, where, item.clbits)
        elif where:
            moved.barrier(where)
    return moved
