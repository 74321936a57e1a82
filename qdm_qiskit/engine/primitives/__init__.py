"""Programs as Qiskit primitives and gradients, and a cache of compiled circuits."""

__all__ = [
    "batches",
    "circuit_cache",
    "circuit_key",
    "fubini_study",
    "gradients",
    "jacobians",
    "primitives",
]
