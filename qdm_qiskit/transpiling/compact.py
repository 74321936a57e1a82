"""A transpiled circuit on the few qubits of a device that it uses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import PauliList, SparsePauliOp

__all__ = ["Compact", "compact"]


class Compact(NamedTuple):
    """A circuit without the qubits that nothing touches."""

    circuit: QuantumCircuit
    """Without classical bits."""
    qubits: list[int]
    """The number that each of its qubits had, ascending."""
    observables: list[SparsePauliOp]
    """On its qubits."""


def compact(
    circuit: QuantumCircuit,
    observables: Sequence[SparsePauliOp] = (),
    also: Iterable[int] = (),
) -> Compact:
    """Leave out the qubits that no gate, no observable and no one else touches; at least one stays.

    Args:
        circuit: Without classical bits; parameters may be free.
        observables: On its qubits.
        also: Qubits that stay whatever touches them.

    >>> circuit = QuantumCircuit(5)
    >>> _ = circuit.h(3), circuit.barrier()
    >>> found = compact(circuit, [SparsePauliOp("ZIIII")])
    >>> found.qubits, found.circuit.num_qubits, found.observables[0].paulis.to_labels()
    ([3, 4], 2, ['ZI'])
    """
    index = {qubit: k for k, qubit in enumerate(circuit.qubits)}
    used = {index[q] for i in circuit.data if i.operation.name != "barrier" for q in i.qubits}
    used |= set(also)
    for each in observables:
        used |= {int(q) for q in np.flatnonzero((each.paulis.x | each.paulis.z).any(axis=0))}
    kept = sorted(used) or [0]
    place = {qubit: k for k, qubit in enumerate(kept)}
    small = QuantumCircuit(len(kept), name=circuit.name, global_phase=circuit.global_phase)
    for item in circuit.data:
        where = [place[index[qubit]] for qubit in item.qubits if index[qubit] in place]
        if item.operation.name != "barrier":
            small.append(item.operation, where)
        elif where:
            small.barrier(where)
    return Compact(small, kept, [_on(each, kept) for each in observables])


def _on(observable: SparsePauliOp, kept: Sequence[int]) -> SparsePauliOp:
    paulis, columns = observable.paulis, list(kept)
    letters = PauliList.from_symplectic(paulis.z[:, columns], paulis.x[:, columns])
    return SparsePauliOp(letters, observable.coeffs)
