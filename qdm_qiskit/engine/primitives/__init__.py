"""Programs as Qiskit primitives and gradients, and a cache of what was compiled."""

__all__ = [
    "circuit_cache",
    "circuit_key",
    "fubini_study",
    "gradients",
    "jacobians",
    "primitives",
]
