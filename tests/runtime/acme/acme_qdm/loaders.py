"""A loader that is not exact, and says by how much."""

from __future__ import annotations

import numpy as np
from qiskit import QuantumCircuit

from qdm_qiskit.circuits import amplitude_angles, amplitude_loader


class Sparing:
    """The exact cascade, with its angles rounded to multiples of a step."""

    def __init__(self, num_qubits: int, step: str = "0.05") -> None:
        self.num_qubits, self.step = num_qubits, float(step)
        self.error_bound = min(1.0, ((2**num_qubits - 1) * self.step / 4) ** 2)

    def circuit(self) -> QuantumCircuit:
        """The exact loader's circuit."""
        return amplitude_loader(self.num_qubits)

    def angles(self, data: np.ndarray) -> np.ndarray:
        """Its angles, rounded."""
        return np.round(amplitude_angles(data, self.num_qubits) / self.step) * self.step
