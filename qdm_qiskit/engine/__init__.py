"""Any Qiskit circuit as a batched torch program with exact gradients."""

from .compile import compile_circuit
from .program import CircuitProgram

__all__ = ["CircuitProgram", "compile_circuit"]
