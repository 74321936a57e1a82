"""Evolutions ``exp(-i t H)`` with a bound or free time as circuits that are exact.

Terms that commute with all others need no more than their own rotations. The others fall into groups
that commute with each other, and each group is diagonalised on the qubits that it acts on:
``V exp(-i t diag(values)) V^dagger``, where the middle is a product of rotations about Z.
"""

from __future__ import annotations

import warnings

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterExpression
from qiskit.circuit.library import PauliEvolutionGate, UnitaryGate
from qiskit.quantum_info import Pauli, SparseObservable, SparsePauliOp
from qiskit.synthesis import LieTrotter

__all__ = [
    "MAX_DENSE_QUBITS",
    "NEGLIGIBLE",
    "evolution_circuit",
    "exponential_circuit",
    "warn_of_definition",
]

MAX_DENSE_QUBITS = 10
"""Largest matrix that is diagonalised or taken as it is: 1024 x 1024, 16 MiB."""
NEGLIGIBLE = 1e-14
"""Share of the largest coefficient below which one is left out."""


def evolution_circuit(
    gate: PauliEvolutionGate, max_dense: int = MAX_DENSE_QUBITS
) -> QuantumCircuit:
    """Return a circuit of ``PauliEvolutionGate``, whatever its synthesis.

    Args:
        gate: Its time may be free.
        max_dense: Qubits of the largest matrix.

    Returns:
        Gates with a definition of their own and ``UnitaryGate``; the same for bound and free times.
        Exact, unless terms that do not commute act on more than ``max_dense`` qubits:
        the gate's own definition then, with a warning.
    """
    time: ParameterExpression | float = gate.params[0]
    given = gate.operator if isinstance(gate.operator, list) else [gate.operator]
    written = SparsePauliOp.sum([_pauli_sum(each) for each in given])
    out = QuantumCircuit(gate.num_qubits)
    if all(len(group) == 1 for group in _groups(written)):
        # Every product formula is exact; that of the operator as it was given is the shortest.
        out.compose(_product(gate.operator, time), inplace=True)
        return out
    total = written.simplify(atol=0)  # terms may have cancelled
    groups = _groups(total)
    alone = [group[0] for group in groups if len(group) == 1]
    if alone:
        out.compose(_product(total[alone], time), inplace=True)
    for group in groups:
        if len(group) == 1:
            continue
        part = total[group]
        acting = part.paulis.x | part.paulis.z
        where = np.flatnonzero(acting.any(axis=0))
        if len(where) > max_dense:
            warn_of_definition(
                gate,
                f"terms that do not commute act on {len(where)} qubits; up to {max_dense} it is exact",
            )
            return gate.definition
        small = SparsePauliOp(
            [Pauli((p.z[where], p.x[where], p.phase)) for p in part.paulis], part.coeffs
        )
        out.compose(exponential_circuit(small.to_matrix(), time), where.tolist(), inplace=True)
    return out


def exponential_circuit(hermitian: np.ndarray, time: ParameterExpression | float) -> QuantumCircuit:
    """Return ``exp(-i time hermitian)`` exactly.

    Args:
        hermitian: ``(2**k, 2**k)``.
        time: A number or an expression.

    Returns:
        On k qubits: two ``UnitaryGate`` and between them CX and RZ.
    """
    size = len(hermitian)
    matrix = (hermitian + hermitian.conj().T) / 2
    values, vectors = np.linalg.eigh(matrix.real if not matrix.imag.any() else matrix)
    out = QuantumCircuit(size.bit_length() - 1)
    qubits = out.qubits
    if not isinstance(time, ParameterExpression) or not time.parameters:
        turned = (vectors * np.exp(-1j * float(time) * values)) @ vectors.conj().T
        out.append(UnitaryGate(turned, check_input=False), qubits)
        return out
    out.append(UnitaryGate(vectors.conj().T, check_input=False), qubits)
    out.compose(_diagonal(values, time), inplace=True)
    out.append(UnitaryGate(vectors, check_input=False), qubits)
    return out


def _diagonal(values: np.ndarray, time: ParameterExpression) -> QuantumCircuit:
    """Return ``exp(-i time diag(values))`` as rotations about strings of Z."""
    size = len(values)
    num_qubits = size.bit_length() - 1
    strings = values / size  # by Walsh and Hadamard: coefficient of the Z string with these bits
    for bit in range(num_qubits):
        pairs = strings.reshape(-1, 2, 2**bit)
        strings = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], 1).reshape(-1)
    least = NEGLIGIBLE * max(np.abs(strings).max(), 1e-300)
    out = QuantumCircuit(num_qubits)
    out.global_phase = time * float(-strings[0])
    for target in range(num_qubits):
        # Gray code: from one string to the next a single CX.
        codes = [k ^ (k >> 1) for k in range(2**target)]
        if not (np.abs(strings[2**target + np.array(codes)]) > least).any():
            continue
        held = 0
        for code in codes:
            coefficient = float(strings[2**target + code])
            if abs(coefficient) <= least:
                continue
            _change(out, held ^ code, target)
            held = code
            out.rz(time * (2 * coefficient), target)
        _change(out, held, target)
    return out


def _change(circuit: QuantumCircuit, bits: int, target: int) -> None:
    for control in range(target):
        if bits >> control & 1:
            circuit.cx(control, target)


def _pauli_sum(operator: SparsePauliOp | SparseObservable) -> SparsePauliOp:
    if isinstance(operator, SparseObservable):
        return SparsePauliOp.from_sparse_observable(operator)
    return operator


def _groups(total: SparsePauliOp) -> list[list[int]]:
    """Return groups of terms, each of which commutes with all terms of other groups."""
    # Of SciPy, which takes a quarter of a second that circuits without evolutions do not need.
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    x, z = total.paulis.x.astype(np.float32), total.paulis.z.astype(np.float32)
    crossed = (x @ z.T + z @ x.T).astype(np.int64) & 1
    count, label = connected_components(csr_array(crossed), directed=False)
    return [np.flatnonzero(label == group).tolist() for group in range(count)]


def _product(
    operator: SparsePauliOp | SparseObservable | list[SparsePauliOp | SparseObservable],
    time: ParameterExpression | float,
) -> QuantumCircuit:
    """Return the rotations of terms that commute."""
    return PauliEvolutionGate(operator, time, synthesis=LieTrotter()).definition


def warn_of_definition(gate: PauliEvolutionGate, reason: str) -> None:
    """Say that a gate runs as its definition, where that differs from the gate."""
    given = gate.operator if isinstance(gate.operator, list) else [gate.operator]
    total = SparsePauliOp.sum([_pauli_sum(each) for each in given])
    if any(len(group) > 1 for group in _groups(total)):
        warnings.warn(
            f"Gate '{gate.name}' runs as its definition, a product formula as on hardware and not "
            f"exact, since {reason}.",
            UserWarning,
            stacklevel=2,
        )
