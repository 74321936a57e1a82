"""Qiskit gates as a list of operations: angles, matrices, decompositions, fusion."""

__all__ = [
    "angles",
    "decompose",
    "dtypes",
    "evolutions",
    "fusion",
    "gate_forms",
    "operations",
    "pauli_sums",
    "rotation_vectors",
]
