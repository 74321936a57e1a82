"""Quantum diffusion models as Qiskit templates, trained on simulators and costed before they run."""

__version__ = "0.1.0"
