"""Readouts of a circuit: probabilities of some qubits, or expectation values of observables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from qiskit.quantum_info import SparsePauliOp

from .wires import wire_to_qubit

__all__ = [
    "WAY_TO_SUMS",
    "ExpectationReadout",
    "ProbabilityReadout",
    "Readout",
    "z_readout",
]

WAY_TO_SUMS = "give a list, and text as SparsePauliOp(text)"
"""Way out for callers that give something else where observables are wanted."""


@dataclass(frozen=True, kw_only=True)
class ProbabilityReadout:
    """Readout of the joint distribution of some qubits, optionally given outcomes of others."""

    qubits: tuple[int, ...]
    """Qiskit indices; the first is the least significant bit of an outcome's index."""
    postselect: tuple[tuple[int, int], ...] = ()
    """Pairs (qubit, outcome) that must hold for a shot to count."""
    renormalise: bool = False
    """True to divide by the post-selection's probability; False keeps the joint probability."""

    def words(self) -> str:
        """Return in words what is read."""
        given = ", ".join(f"q[{qubit}] = {outcome}" for qubit, outcome in self.postselect)
        of = ", ".join(f"q[{qubit}]" for qubit in self.qubits) or "no qubit"
        return f"{self.num_outputs} probabilities of {of}" + (f", where {given}" if given else "")

    @property
    def num_outputs(self) -> int:
        """Length of the readout vector: ``2**len(qubits)``."""
        return 2 ** len(self.qubits)

    @property
    def measured(self) -> tuple[int, ...]:
        """The qubits whose outcomes are needed, in ascending order."""
        return tuple(sorted({*self.qubits, *(qubit for qubit, _ in self.postselect)}))

    def selection(self, num_qubits: int) -> np.ndarray:
        """Return the basis states of the whole register that make up each output.

        Args:
            num_qubits: Qubits of the register that was measured.

        Returns:
            Integers of shape ``(num_outputs, 2**k)``, where k qubits are summed over:
            ``probabilities[..., selection].sum(-1)`` is the readout.
        """
        index = np.arange(2**num_qubits)
        kept = np.ones(index.size, dtype=bool)
        for qubit, outcome in self.postselect:
            kept &= ((index >> qubit) & 1) == outcome
        index = index[kept]
        output = np.zeros_like(index)
        for position, qubit in enumerate(self.qubits):
            output |= ((index >> qubit) & 1) << position
        return index[np.argsort(output, kind="stable")].reshape(self.num_outputs, -1)


@dataclass(frozen=True, kw_only=True)
class ExpectationReadout:
    """Readout of the expectation values of observables."""

    observables: tuple[SparsePauliOp, ...]
    """Hermitian operators on the whole register; a spec copies them."""

    def words(self) -> str:
        """Return in words what is read; of many observables the first three."""
        shown = [
            " + ".join(f"{weight.real:g} {label}" for label, weight in each.to_list()[:4])
            for each in self.observables[:3]
        ]
        more = ", ..." if self.num_outputs > len(shown) else ""
        return f"{self.num_outputs} expectation values: {', '.join(shown)}{more}"

    @property
    def num_outputs(self) -> int:
        """Length of the readout vector: the number of observables."""
        return len(self.observables)

    @property
    def measured(self) -> tuple[int, ...]:
        """The qubits that any observable acts on, in ascending order."""
        acts = [(each.paulis.x | each.paulis.z).any(axis=0) for each in self.observables]
        return tuple(int(qubit) for qubit in np.flatnonzero(np.any(acts, axis=0)))


Readout = ProbabilityReadout | ExpectationReadout


def z_readout(num_wires: int, wires: Iterable[int] | None = None) -> ExpectationReadout:
    """Return the readout of expectation values of Z on some wires.

    Args:
        num_wires: Wires of the register.
        wires: The wires that are read, in this order; all if None.

    Returns:
        One observable for each wire.
    """
    read = range(num_wires) if wires is None else wires
    return ExpectationReadout(
        observables=tuple(
            SparsePauliOp.from_sparse_list(
                [("Z", [wire_to_qubit(wire, num_wires)], 1.0)], num_qubits=num_wires
            )
            for wire in read
        )
    )
