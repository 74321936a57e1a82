"""Fixed and trainable entangling stages that the papers' templates are built from."""

from __future__ import annotations

from collections.abc import Sequence

from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from .checks import check_counts
from .parameters import weight_parameters
from .wires import wire_to_qubit

__all__ = [
    "append_strongly_entangling_layers",
    "pairwise_bell_stage",
    "strongly_entangling_layers",
]


def pairwise_bell_stage(num_wires: int) -> QuantumCircuit:
    """Entangle the first half of the wires with the second half, pair by pair.

    H on wires ``0 .. h-1`` with ``h = ceil(num_wires / 2)``, then CNOT from wire i to wire ``i + h``
    for each i with a partner (an odd register leaves its middle wire without one).

    Args:
        num_wires: Number of wires, at least 2. Wire 0 is Qiskit's highest qubit.

    Returns:
        A circuit without parameters.

    Raises:
        InvalidTemplate: If there are fewer than 2 wires.

    References:
        Shah and Vatsa, arXiv:2411.15973, section 3.1.
    """
    check_counts("pairwise_bell_stage", num_wires=(num_wires, 2))
    half = (num_wires + 1) // 2
    circuit = QuantumCircuit(num_wires, name="pairwise_bell_stage")
    for wire in range(half):
        circuit.h(wire_to_qubit(wire, num_wires))
    for wire in range(num_wires - half):
        circuit.cx(wire_to_qubit(wire, num_wires), wire_to_qubit(wire + half, num_wires))
    return circuit


def strongly_entangling_layers(num_wires: int, depth: int) -> QuantumCircuit:
    """Build layers of general rotations and a ring of CNOTs whose range grows from layer to layer.

    Layer l applies RZ(phi) RY(theta) RZ(omega) to each wire (RZ(phi) first) and then, for m > 1
    wires, CNOT(i -> (i + r) mod m) for i = 0 .. m-1 with ``r = (l mod (m - 1)) + 1``.

    Args:
        num_wires: Number of wires m, at least 1. Wire 0 is Qiskit's highest qubit.
        depth: Number of layers, at least 1.

    Returns:
        A circuit with ``3 * num_wires * depth`` angles in radians, ``w_0000 ...``, ordered by layer,
        wire, and (phi, theta, omega).

    Raises:
        InvalidTemplate: If a count is below 1.

    References:
        Schuld et al., arXiv:1804.00633; range rule as in PennyLane's StronglyEntanglingLayers.
    """
    check_counts("strongly_entangling_layers", num_wires=(num_wires, 1), depth=(depth, 1))
    weights = weight_parameters(3 * num_wires * depth)
    circuit = QuantumCircuit(num_wires, name="strongly_entangling_layers")
    qubits = [wire_to_qubit(wire, num_wires) for wire in range(num_wires)]
    append_strongly_entangling_layers(circuit, qubits, weights)
    return circuit


def append_strongly_entangling_layers(
    circuit: QuantumCircuit,
    qubits: Sequence[int],
    weights: Sequence[Parameter],
    line: Sequence[int] | None = None,
) -> None:
    """Append :func:`strongly_entangling_layers` to some qubits of a circuit, in place.

    Args:
        circuit: The circuit to extend.
        qubits: Qiskit indices in wire order.
        weights: ``3 * len(qubits) * depth`` parameters; their number gives the depth.
        line: The same qubits in the order of a line: CNOTs are then laid between its neighbours, the
            even pairs before the odd ones, as a device couples them. In a ring if None.
    """
    count = len(qubits)
    angles = iter(weights)
    for layer in range(len(weights) // (3 * count)):
        for qubit in qubits:
            circuit.rz(next(angles), qubit)
            circuit.ry(next(angles), qubit)
            circuit.rz(next(angles), qubit)
        if line is not None:
            for start in [*range(0, count - 1, 2), *range(1, count - 1, 2)]:
                circuit.cx(line[start], line[start + 1])
        elif count > 1:
            reach = layer % (count - 1) + 1
            for wire in range(count):
                circuit.cx(qubits[wire], qubits[(wire + reach) % count])
