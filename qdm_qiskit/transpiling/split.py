"""A full circuit is a loader, one labelled barrier, and a denoiser; here it is cut in two."""

from __future__ import annotations

from qiskit import QuantumCircuit
from qiskit.circuit import Bit

from ..errors import UnsupportedCircuit

__all__ = [
    "DENOISER",
    "has_barrier",
    "split_at_barrier",
]

DENOISER = "denoiser"
"""Label of the barrier between loader and denoiser: ``circuit.barrier(label=DENOISER)``."""


def has_barrier(circuit: QuantumCircuit, label: str = DENOISER) -> bool:
    """Return whether the circuit holds a barrier of this label."""
    return _barriers(circuit, label) > 0


def split_at_barrier(
    circuit: QuantumCircuit, label: str = DENOISER
) -> tuple[QuantumCircuit, QuantumCircuit]:
    """Cut a circuit at its labelled barrier, before or after transpilation.

    What depends on the barrier is the denoiser; the rest is the loader. Routing may use qubits that
    the barrier does not span, and the last gates there depend on neither side: they go to the
    loader, whose swaps they finish.

    Args:
        circuit: Holds one barrier of this label, spanning all its logical qubits.
        label: The barrier's label.

    Returns:
        Loader and denoiser, on the same qubits and bits; the barrier itself is in neither.
        Composed in this order they are the circuit.

    Raises:
        UnsupportedCircuit: Unless there is exactly one such barrier.
    """
    found = _barriers(circuit, label)
    if found != 1:
        raise UnsupportedCircuit(
            f"Splitting needs exactly one barrier labelled '{label}', circuit '{circuit.name}' has "
            f"{found}; build the full circuit with circuit.barrier(label='{label}')."
        )
    loader, denoiser = circuit.copy_empty_like(), circuit.copy_empty_like()
    loader.global_phase, denoiser.global_phase = circuit.global_phase, 0
    after: set[Bit] = set()
    for instruction in circuit.data:
        bits = (*instruction.qubits, *instruction.clbits)
        if instruction.operation.name == "barrier" and instruction.operation.label == label:
            after.update(bits)
        elif after.isdisjoint(bits):
            loader.append(instruction)
        else:
            after.update(bits)
            denoiser.append(instruction)
    return loader, denoiser


def _barriers(circuit: QuantumCircuit, label: str) -> int:
    return sum(i.operation.name == "barrier" and i.operation.label == label for i in circuit.data)
