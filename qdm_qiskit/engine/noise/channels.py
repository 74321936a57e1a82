"""Channels as Kraus operators, and as real matrices in the basis of Pauli strings.

A density matrix is ``2**-n * sum_P r[P] P`` with real ``r[P] = tr(P rho)``. A channel maps ``r`` by a
real matrix: half the memory of complex superoperators and a quarter of their arithmetic. The index
of a Pauli string has one digit (I, X, Y, Z = 0 .. 3) for each qubit, qubit 0 the least significant,
as in :class:`qiskit.quantum_info.PTM`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property, reduce
from typing import TYPE_CHECKING

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, Delay, Instruction, Reset
from qiskit.circuit.library import IGate, get_standard_gate_name_mapping
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import Kraus, SuperOp

from ...errors import UnsupportedCircuit

if TYPE_CHECKING:
    from qiskit_aer.noise import QuantumError

__all__ = [
    "LETTERS",
    "NEGLIGIBLE",
    "PAULIS",
    "STANDARD_GATES",
    "Channel",
    "ReadoutMap",
    "channel_of_error",
    "channel_of_instruction",
    "on_axes",
    "pauli_matrix",
    "pauli_strings",
    "reset_channel",
    "transfer_matrix",
    "unitary_channel",
]

PAULIS = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
LETTERS = "IXYZ"
NEGLIGIBLE = 1e-24
"""Squared norm below which Kraus operators are left out."""

STANDARD_GATES = {name: gate.base_class for name, gate in get_standard_gate_name_mapping().items()}
"""Qiskit's own gates; a user's may have the name of one."""

_RESET = np.array([[[1, 0], [0, 0]], [[0, 1], [0, 0]]], dtype=complex)


@cache
def pauli_strings(num_qubits: int) -> np.ndarray:
    """Return all Pauli strings, ``(4**k, 2**k, 2**k)``."""
    found = np.ones((1, 1, 1), dtype=complex)
    for _ in range(num_qubits):
        d = 2 * found.shape[1]  # a new qubit is the most significant
        found = np.einsum("bkl,aij->bakilj", PAULIS, found).reshape(-1, d, d)
    return found


def pauli_matrix(letters: str) -> np.ndarray:
    """Return the matrix of a Pauli string; the last letter acts on the first qubit."""
    return reduce(np.kron, (PAULIS[LETTERS.index(letter)] for letter in letters))


def transfer_matrix(kraus: np.ndarray) -> np.ndarray:
    """Return ``R[i, j] = tr(P_i sum_k K_k P_j K_k^dagger) / d``.

    Args:
        kraus: ``(count, d, d)``.

    Returns:
        ``(d**2, d**2)`` float64.
    """
    d = kraus.shape[-1]
    strings = pauli_strings(int(d).bit_length() - 1)
    superoperator = np.einsum("kab,kcd->acbd", kraus, kraus.conj()).reshape(d * d, d * d)
    columns = strings.reshape(d * d, d * d)  # row i: vec(P_i), row-major
    # tr(P_i M) = sum_ab conj(P_i)_ab M_ab, for Hermitian P_i.
    return np.ascontiguousarray((columns.conj() @ superoperator @ columns.T).real / d)


@dataclass(frozen=True, eq=False)
class ReadoutMap:
    """A readout error as if it were a channel: every Pauli P but I becomes a + b P."""

    transfer: np.ndarray
    """Its real matrix in the Pauli basis."""


class Channel:
    """A completely positive, trace-preserving map on a few qubits.

    Args:
        kraus: ``(count, d, d)`` complex, Qiskit's order.
        error: One of Aer's errors instead, whose Kraus operators are worked out when they are asked
            for: its real matrix needs none.
    """

    def __init__(self, kraus: np.ndarray | None = None, *, error: QuantumError | None = None):
        self._given = kraus
        self._error = error

    @cached_property
    def kraus(self) -> np.ndarray:
        """``(count, d, d)`` complex, Qiskit's order."""
        if self._given is not None:
            return self._given
        assert self._error is not None  # there is one of both
        return _kraus_of_error(self._error)

    @cached_property
    def transfer(self) -> np.ndarray:
        """Its real matrix in the Pauli basis."""
        if self._given is not None:
            return transfer_matrix(self._given)
        assert self._error is not None
        return _transfer_of_error(self._error)

    @cached_property
    def branches(self) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities ``q`` and operators ``K / sqrt(q)`` of a trajectory's branches.

        ``q`` is the squared norm of K over the sum S of all of them, so that no branch multiplies
        the squared norm of a state by more than S (1 for mixtures of unitaries).
        """
        squared = np.linalg.norm(self.kraus, ord=2, axis=(1, 2)) ** 2
        probabilities = squared / squared.sum()
        return probabilities, self.kraus / np.sqrt(probabilities)[:, None, None]

    @cached_property
    def spread(self) -> float:
        """S: the sum of the squared norms of its Kraus operators, at least 1."""
        return float((np.linalg.norm(self.kraus, ord=2, axis=(1, 2)) ** 2).sum())


def reset_channel() -> Channel:
    """Return the channel that resets a qubit to |0>."""
    return Channel(_RESET)


def unitary_channel(matrix: np.ndarray) -> Channel:
    """Return the channel of a gate."""
    return Channel(matrix[None])


def channel_of_instruction(instruction: Instruction) -> Channel:
    """Return the channel of a ``kraus``, ``superop`` or noise instruction in a circuit.

    Raises:
        UnsupportedCircuit: If it is no completely positive, trace-preserving map.
    """
    error = getattr(instruction, "_quantum_error", None)
    if error is not None:
        return channel_of_error(error)
    try:
        superoperator = SuperOp(instruction)
    except QiskitError as problem:
        raise UnsupportedCircuit(
            f"Qiskit knows no channel for '{instruction.name}': {problem}."
        ) from problem
    if not superoperator.is_cptp(atol=1e-7):
        raise UnsupportedCircuit(
            "Channels must be completely positive and trace preserving; "
            f"'{instruction.name}' is not."
        )
    return _canonical(superoperator)


def channel_of_error(error: QuantumError) -> Channel:
    """Return the channel of one of Aer's errors, by Kraus operators of small spread.

    Aer gives errors as mixtures of circuits. Their operators, equal ones put together, are kept
    where they have a smaller spread than the canonical ones of the whole channel: the canonical
    ones of a depolarizing error need not be unitary.

    Raises:
        UnsupportedCircuit: If it is no completely positive, trace-preserving map.
    """
    channel = Channel(error=error)
    d = 2**error.num_qubits
    # The first row gives tr(E(P)) / d, so that sum_k K_k^dagger K_k is the sum of it times P.
    total = np.tensordot(channel.transfer[0], pauli_strings(error.num_qubits), axes=1)
    if not np.allclose(total, np.eye(d), atol=1e-7):
        raise UnsupportedCircuit(
            "Channels must be trace preserving; an error of the noise model deviates by "
            f"{np.abs(total - np.eye(d)).max():.1e}."
        )
    return channel


def _transfer_of_error(error: QuantumError) -> np.ndarray:
    """Return the real matrix of a mixture of circuits; each part is worked out once."""
    n = error.num_qubits
    known: dict[Hashable, np.ndarray] = {}
    total = np.zeros((4**n, 4**n))
    for circuit, probability in zip(error.circuits, error.probabilities, strict=True):
        if probability > 0:
            product = np.eye(4**n)
            for entry in circuit.data:
                where = tuple(circuit.find_bit(qubit).index for qubit in entry.qubits)
                key = (_content_of(entry.operation), where)
                if key not in known:
                    known[key] = on_axes(_transfer_of_part(entry.operation), where, range(n), 4)
                product = known[key] @ product
            total += probability * product
    return total


def _content_of(instruction: Instruction) -> Hashable:
    """Return what decides an instruction's channel; a name of its own only where that says little."""
    standard = STANDARD_GATES.get(instruction.name) is instruction.base_class
    if not standard and instruction.name not in ("kraus", "pauli", "unitary", "reset"):
        return object()
    return (instruction.name, *map(_number, instruction.params))


def _number(parameter: object) -> Hashable:
    if isinstance(parameter, np.ndarray):
        return parameter.shape, parameter.dtype.str, parameter.tobytes()
    return parameter if isinstance(parameter, int | float | str) else object()


def _transfer_of_part(instruction: Instruction) -> np.ndarray:
    return transfer_matrix(_kraus_of_part(instruction))


def _kraus_of_error(error: QuantumError) -> np.ndarray:
    operators: list[np.ndarray] = []
    for circuit, probability in zip(error.circuits, error.probabilities, strict=True):
        if probability > 0:
            found = _kraus_of_circuit(circuit)
            operators += [np.sqrt(probability) * operator for operator in found]
    mixture = Channel(_merged(operators))
    if mixture.spread < 1 + 1e-9:
        return mixture.kraus
    kraus, d = mixture.kraus, mixture.kraus.shape[-1]
    superoperator = np.einsum("kab,kcd->acbd", kraus.conj(), kraus).reshape(d * d, d * d)
    canonical = _canonical(SuperOp(superoperator))
    return min(mixture, canonical, key=lambda channel: channel.spread).kraus


def _canonical(superoperator: SuperOp) -> Channel:
    operators = Kraus(superoperator).data
    assert isinstance(operators, list)  # the second list is only there for maps that are not CP
    return Channel(_merged(operators))


def _merged(operators: Iterable[np.ndarray]) -> np.ndarray:
    """Return the operators with multiples of each other joined and negligible ones left out."""
    weights: dict[bytes, float] = {}
    shapes: dict[bytes, np.ndarray] = {}
    for operator in operators:
        norm = float(np.linalg.norm(operator))
        if norm**2 < NEGLIGIBLE:
            continue
        largest = operator.flat[int(np.argmax(np.abs(operator).round(9)))]
        shape = operator / norm * (abs(largest) / largest)
        key = (shape.round(9) + 0.0).tobytes()  # + 0.0: there is one zero only
        weights[key] = weights.get(key, 0.0) + norm**2
        shapes.setdefault(key, shape)
    return np.stack([np.sqrt(weights[key]) * shape for key, shape in shapes.items()])


def _kraus_of_circuit(circuit: QuantumCircuit) -> list[np.ndarray]:
    n = circuit.num_qubits
    products = [np.eye(2**n, dtype=complex)]
    for entry in circuit.data:
        where = [circuit.find_bit(qubit).index for qubit in entry.qubits]
        wide = [on_axes(each, where, range(n), 2) for each in _kraus_of_part(entry.operation)]
        products = [factor @ product for factor in wide for product in products]
    return products


def _kraus_of_part(instruction: Instruction) -> np.ndarray:
    """Return the Kraus operators of an instruction in the circuit of an error."""
    if isinstance(instruction, Barrier | Delay | IGate):
        return np.eye(2**instruction.num_qubits, dtype=complex)[None]
    if isinstance(instruction, Reset):
        return _RESET
    try:
        return np.asarray(instruction.to_matrix(), dtype=complex)[None]
    except (AttributeError, QiskitError):
        return channel_of_instruction(instruction).kraus


def on_axes(
    matrix: np.ndarray, qubits: Iterable[int], register: Iterable[int], base: int
) -> np.ndarray:
    """Return a matrix on some qubits as one on a register.

    Args:
        matrix: ``(base**k, base**k)``, the first of the qubits least significant.
        qubits: The k qubits.
        register: All qubits, the first least significant.
        base: 2 for operators, 4 for transfer matrices.

    Returns:
        ``(base**n, base**n)``.
    """
    where, names = list(qubits), list(register)
    n, k = len(names), len(where)
    axes = [n - 1 - names.index(qubit) for qubit in reversed(where)]
    identity = np.eye(base**n, dtype=matrix.dtype).reshape([base] * n + [-1])
    split = matrix.reshape([base] * (2 * k))
    spread = np.tensordot(split, identity, axes=(list(range(k, 2 * k)), axes))
    return np.moveaxis(spread, list(range(k)), axes).reshape(base**n, base**n)
