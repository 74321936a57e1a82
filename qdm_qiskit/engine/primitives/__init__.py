"""Programs as Qiskit primitives and gradients, and a cache of compiled circuits."""
