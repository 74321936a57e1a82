"""A quantum walk on a ring as a circuit; :mod:`.diffusion.ring_walks` has its distribution."""

from __future__ import annotations

from qiskit import QuantumCircuit

from ..arguments import whole_number
from ..diffusion.ring_walks import (
    MOST_POSITIONS,
    check_walk,
    classical_walk,
    momentum_walk,
    walk_distribution,
)

__all__ = ["MOST_POSITIONS", "classical_walk", "momentum_walk", "walk_circuit", "walk_distribution"]


def walk_circuit(num_qubits: int, steps: int) -> QuantumCircuit:
    """Return the unitary walk as a circuit, from position 0 and coin ``(|0> + i |1>) / sqrt 2``.

    Args:
        num_qubits: Qubits of the position, at least 1: ``2**num_qubits`` places.
        steps: Steps, at least 0.

    Returns:
        Position on qubits 0 .. num_qubits - 1, least significant first; the coin is the last qubit.

    Raises:
        InvalidOption: If a number is out of range.
    """
    check_walk(2 ** whole_number(num_qubits, "num_qubits"), steps, 0.0)
    coin = num_qubits
    circuit = QuantumCircuit(num_qubits + 1, name="walk")
    circuit.h(coin)
    circuit.s(coin)
    for _ in range(steps):
        circuit.h(coin)
        circuit.x(coin)  # up where the coin is 0
        for bit in reversed(range(num_qubits)):
            circuit.mcx([coin, *range(bit)], bit)
        circuit.x(coin)
        for bit in range(num_qubits):  # down where it is 1: the inverse
            circuit.mcx([coin, *range(bit)], bit)
    return circuit
