"""Programs as Qiskit primitives and gradients, and a cache of what was compiled."""
