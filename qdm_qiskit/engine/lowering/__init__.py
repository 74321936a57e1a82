"""Qiskit gates as a list of operations: angles, matrices, decompositions, fusion."""
