"""Qiskit gates as a list of operations: angles, matrices, decompositions, fusion."""

__all__ = [
    "angles",
    "decompose",
    "evolutions",
    "fusion",
    "gate_forms",
    "operations",
    "parameters",
    "pauli_sums",
    "rotation_vectors",
]
