"""Observables of any of Qiskit's types as Hermitian Pauli sums."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from qiskit.exceptions import QiskitError
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.quantum_info import Operator, SparseObservable, SparsePauliOp

from ...arguments import all_of_kind
from ...circuits.readouts import WAY_TO_SUMS
from ...errors import InvalidData

__all__ = [
    "as_pauli_sum",
    "as_sparse_observable",
    "observable_key",
    "pauli_sum_key",
    "pauli_sums",
]


def as_sparse_observable(observable: Any) -> SparseObservable:
    """Return one observable in the form that Qiskit's primitives use.

    Args:
        observable: A ``SparsePauliOp``, ``Pauli``, ``SparseObservable``, ``Operator``, or a label.

    Returns:
        Simplified, with real coefficients.

    Raises:
        InvalidData: If it is not Hermitian, zero, or of no such type.
    """
    try:
        if isinstance(observable, Operator):
            observable = SparsePauliOp.from_operator(observable)
        return ObservablesArray.coerce_observable(observable)
    except (TypeError, ValueError, QiskitError) as error:
        raise InvalidData(f"An observable is Hermitian and not zero: {_line(error)}") from error


def as_pauli_sum(observable: SparseObservable) -> SparsePauliOp:
    """Return a sum of Paulis; k projectors such as ``|0><0|`` become 2**k terms."""
    return SparsePauliOp.from_sparse_observable(observable)


def pauli_sums(observables: Any, num_qubits: int, way_out: str = "") -> list[SparsePauliOp]:
    """Return the observables of a program, checked.

    Raises:
        InvalidArgument: If they are no sequence of Pauli sums; a single one is none.
        InvalidData: If one acts on another number of qubits.
    """
    found = all_of_kind(observables, SparsePauliOp, "observables", WAY_TO_SUMS)
    for observable in found:
        if observable.num_qubits != num_qubits:
            raise InvalidData(
                f"observables act on all {num_qubits} qubits, got one on "
                f"{observable.num_qubits}{way_out}."
            )
    return found


def observable_key(observable: SparseObservable) -> Hashable:
    """Return the observable's content, to be hashed."""
    return (
        observable.num_qubits,
        np.asarray(observable.coeffs).tobytes(),
        np.asarray(observable.bit_terms).tobytes(),
        np.asarray(observable.indices).tobytes(),
        np.asarray(observable.boundaries).tobytes(),
    )


def pauli_sum_key(observable: SparsePauliOp) -> Hashable:
    """Return the content of a Pauli sum, to be hashed; term by term, not simplified."""
    paulis = observable.paulis
    coefficients = np.asarray(observable.coeffs, dtype=complex)
    return (paulis.num_qubits, paulis.x.tobytes(), paulis.z.tobytes(), coefficients.tobytes())


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
