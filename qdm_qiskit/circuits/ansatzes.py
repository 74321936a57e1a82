"""Trainable circuits for any number of wires: basic entangling, hardware-efficient, Hamiltonian."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import n_local

from ..errors import InvalidTemplate
from .checks import check_choice, check_counts
from .parameters import weight_parameters
from .wires import wire_to_qubit

__all__ = [
    "ROTATIONS",
    "Edges",
    "Entangler",
    "Pattern",
    "SpinModel",
    "append_basic_entangling_layers",
    "basic_entangling_layers",
    "hamiltonian_variational",
    "hardware_efficient",
]

Edges = Sequence[tuple[int, int]]
"""Pairs (control, target) of wires."""

Pattern = Literal["linear", "circular", "full"]
"""Wires that an entangling layer joins, as in Qiskit's ``n_local``."""

Entangler = Literal["cx", "cz"]
"""Gate that joins two wires."""

SpinModel = Literal["tfim", "heisenberg"]
"""Transverse-field Ising or isotropic Heisenberg chain."""

ROTATIONS = ("rx", "ry", "rz")


def basic_entangling_layers(num_wires: int, depth: int) -> QuantumCircuit:
    """Build layers of RX on each wire and a ring of CNOTs.

    A layer applies RX to the wires in order, then CNOT(i -> i + 1 mod m) for i = 0 .. m-1. Two wires
    have a single CNOT, one wire has none.

    Args:
        num_wires: Number of wires m, at least 1.
        depth: Number of layers, at least 1.

    Returns:
        A circuit with ``num_wires * depth`` angles in radians, by layer and wire.

    Raises:
        InvalidTemplate: If a count is below 1.

    References:
        De Falco et al. (2024), 40th channel of the full hybrid; PennyLane's BasicEntanglerLayers.
    """
    check_counts("basic_entangling_layers", num_wires=(num_wires, 1), depth=(depth, 1))
    weights = weight_parameters(num_wires * depth)
    circuit = QuantumCircuit(num_wires, name="basic_entangling_layers")
    qubits = [wire_to_qubit(wire, num_wires) for wire in range(num_wires)]
    append_basic_entangling_layers(circuit, qubits, weights)
    return circuit


def append_basic_entangling_layers(
    circuit: QuantumCircuit, qubits: Sequence[int], weights: Sequence[Parameter]
) -> None:
    """Append :func:`basic_entangling_layers` to some qubits of a circuit, in place.

    Args:
        circuit: The circuit to extend.
        qubits: Qiskit indices in wire order.
        weights: ``len(qubits) * depth`` parameters; their number gives the depth.
    """
    count = len(qubits)
    angles = iter(weights)
    for _ in range(len(weights) // count):
        for qubit in qubits:
            circuit.rx(next(angles), qubit)
        for wire in range({1: 0, 2: 1}.get(count, count)):
            circuit.cx(qubits[wire], qubits[(wire + 1) % count])


def hardware_efficient(
    num_wires: int,
    depth: int,
    *,
    entanglement: Pattern | Edges = "linear",
    rotations: Sequence[str] = ("ry", "rz"),
    entangler: Entangler = "cx",
    final_rotations: bool = True,
) -> QuantumCircuit:
    """Build layers of rotations and of two-wire gates where they are cheap; Qiskit's ``n_local``.

    Args:
        num_wires: Number of wires m, at least 1.
        depth: Number of entangling layers, at least 1.
        entanglement: ``"linear"``: (0, 1), (1, 2), ...; ``"circular"``: (m-1, 0) before these;
            ``"full"``: all pairs; or pairs of wires in their order, as those of a device from
            :func:`~qdm_qiskit.circuits.device_region`.
        rotations: Gates of a rotation layer, in their order, of rx, ry, rz.
        entangler: Two-wire gate.
        final_rotations: Close with one more rotation layer.

    Returns:
        A circuit with ``num_wires * len(rotations) * (depth + 1)`` angles in radians (``depth`` without
        the final layer), by layer, gate, and wire.

    Raises:
        InvalidTemplate: If a count is below 1, a name is unknown, or a pair is impossible.

    References:
        Kandala et al., arXiv:1704.05018. With ry, rz and linear pairs it is Qiskit's
        ``efficient_su2``, with ry its ``real_amplitudes``.
    """
    name = "hardware_efficient"
    check_counts(name, num_wires=(num_wires, 1), depth=(depth, 1))
    check_choice(name, "entangler", entangler, get_args(Entangler))
    if isinstance(rotations, str) or not rotations:
        raise InvalidTemplate(
            f"rotations of {name} is a list of {', '.join(ROTATIONS)}, got {rotations!r:.40}."
        )
    for rotation in rotations:
        check_choice(name, "rotations", rotation, ROTATIONS)
    if isinstance(entanglement, str):
        check_choice(name, "entanglement", entanglement, get_args(Pattern))
    else:
        _check_edges(name, num_wires, entanglement)
    layers = depth + (1 if final_rotations else 0)
    weights = weight_parameters(num_wires * len(rotations) * layers)
    if num_wires == 1 or not len(entanglement):  # n_local wants at least one pair
        layer_pairs: str | list[tuple[int, int]] = []
    elif isinstance(entanglement, str):
        layer_pairs = entanglement
    else:
        layer_pairs = [(int(a), int(b)) for a, b in entanglement]
    library = n_local(
        num_wires,
        list(rotations),
        [entangler] if layer_pairs else [],
        layer_pairs or "linear",
        reps=depth,
        skip_final_rotation_layer=not final_rotations,
    )
    circuit = QuantumCircuit(num_wires, name=name)
    qubits = [wire_to_qubit(wire, num_wires) for wire in range(num_wires)]
    circuit.compose(library.assign_parameters(weights), qubits=qubits, inplace=True)
    return circuit


def _check_edges(template: str, num_wires: int, edges: Edges) -> None:
    seen = set()
    for edge in edges:
        pair = tuple(edge) if isinstance(edge, Sequence) and not isinstance(edge, str) else ()
        fits = len(pair) == 2 and all(isinstance(w, int) and 0 <= w < num_wires for w in pair)
        if not fits or len(set(pair)) < 2 or frozenset(pair) in seen:
            raise InvalidTemplate(
                f"Pairs of {template} are two different wires below {num_wires}, each pair once, "
                f"got {edge!r:.40}."
            )
        seen.add(frozenset(pair))


def hamiltonian_variational(
    num_wires: int, depth: int, *, model: SpinModel = "tfim", periodic: bool = False
) -> QuantumCircuit:
    """Build layers that evolve a simple ground state under the parts of a spin chain's Hamiltonian.

    ``"tfim"``: all wires in |+>, then for each layer RZZ(a) on all bonds and RX(b) on all wires.
    ``"heisenberg"``: singlets on the bonds (0, 1), (2, 3), ..., then for each layer RXX(a), RYY(a),
    RZZ(a) on the bonds (1, 2), (3, 4), ... and the same with b on the bonds (0, 1), (2, 3), .... The
    gates of a part share one angle; coupling constants are absorbed in it.

    Args:
        num_wires: Length of the chain, at least 2; even for ``"heisenberg"``.
        depth: Number of layers, at least 1.
        model: The Hamiltonian.
        periodic: Join the last wire with the first; needs at least 3 wires.

    Returns:
        A circuit with ``2 * depth`` angles in radians, (a, b) for each layer: a gate with the angle a
        is ``exp(-i a P / 2)``. A Heisenberg chain of two wires without odd bonds has only b.

    Raises:
        InvalidTemplate: If a count does not fit or the model is unknown.

    References:
        Wecker, Hastings and Troyer, arXiv:1507.08969; Wiersema et al., arXiv:2008.02941.
    """
    name = "hamiltonian_variational"
    check_counts(name, num_wires=(num_wires, 3 if periodic else 2), depth=(depth, 1))
    check_choice(name, "model", model, get_args(SpinModel))
    if model == "heisenberg" and num_wires % 2:
        raise InvalidTemplate(
            f"{name} pairs the wires of a Heisenberg chain into singlets and needs an even num_wires, "
            f"got {num_wires}."
        )
    circuit = QuantumCircuit(num_wires, name=name)
    qubits = [wire_to_qubit(wire, num_wires) for wire in range(num_wires)]
    bonds = [(qubits[i], qubits[i + 1]) for i in range(num_wires - 1)]
    if periodic:
        bonds.append((qubits[-1], qubits[0]))
    even, odd = bonds[0::2], bonds[1::2]
    per_layer = 2 if model == "tfim" or odd else 1
    weights = iter(weight_parameters(per_layer * depth))
    if model == "tfim":
        for qubit in qubits:
            circuit.h(qubit)
        for _ in range(depth):
            bond_angle, field_angle = next(weights), next(weights)
            for pair in bonds:
                circuit.rzz(bond_angle, *pair)
            for qubit in qubits:
                circuit.rx(field_angle, qubit)
        return circuit
    for first, second in even:
        circuit.x([first, second])
        circuit.h(first)
        circuit.cx(first, second)
    for _ in range(depth):
        for part in (odd, even) if odd else (even,):
            angle = next(weights)
            for pair in part:
                circuit.rxx(angle, *pair)
                circuit.ryy(angle, *pair)
                circuit.rzz(angle, *pair)
    return circuit
