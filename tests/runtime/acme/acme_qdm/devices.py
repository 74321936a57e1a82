"""Acme's chip of five qubits."""

from __future__ import annotations

from qiskit.providers import BackendV2
from qiskit.providers.fake_provider import GenericBackendV2


def chip() -> BackendV2:
    """Five qubits in a ring."""
    ring = [[k, (k + 1) % 5] for k in range(5)]
    made = GenericBackendV2(5, basis_gates=["rz", "sx", "x", "cx"], coupling_map=ring, seed=11)
    made.name = "acme_ring_5"
    return made
