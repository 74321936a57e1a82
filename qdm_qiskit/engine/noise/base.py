"""Common base of density-matrix and trajectory programs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor

from ...errors import InvalidData
from ..arguments import Signature, check_tensors
from ..lowering.pauli_sums import pauli_sums
from .lowering import NoisyCircuit

__all__ = [
    "MAX_OUTCOME_QUBITS",
    "Arguments",
    "NoisyProgram",
    "confusion_terms",
    "is_differentiated",
]

MAX_OUTCOME_QUBITS = 24
"""Most qubits whose probabilities are given: 2**24 numbers a sample."""


@dataclass(frozen=True)
class Arguments:
    """Checked tensors of one call."""

    inputs: Tensor | None
    weights: Tensor | None
    state: Tensor | None
    covered: tuple[int, ...]
    """Qubits that the initial state covers, the first least significant."""
    batch: int
    like: Tensor
    """A real scalar that carries dtype and device."""


class NoisyProgram(ABC):
    """A noisy circuit as a differentiable function of inputs, weights and initial state.

    It is made by :func:`~qdm_qiskit.engine.compile_noisy`. Qubits are those of the circuit, by
    their index there: physical ones for a transpiled circuit. Those on which nothing acts cost
    nothing. Precision and device are those of the tensors that it is given, as for
    :class:`~qdm_qiskit.engine.CircuitProgram`.
    """

    def __init__(
        self, noisy: NoisyCircuit, inputs: Sequence[Parameter], weights: Sequence[Parameter]
    ) -> None:
        self.num_qubits = noisy.num_qubits
        """Qubits of the circuit."""
        self.active = noisy.active
        """Qubits on which anything acts, in ascending order."""
        self.measured = noisy.measured
        """The qubit behind each classical bit: ``qubits=program.measured`` gives outcomes as counts
        have them. Empty unless every bit is measured."""
        self.inputs = tuple(inputs)
        self.weights = tuple(weights)
        self._noisy = noisy
        self._takes = Signature(
            self.num_qubits,
            len(self.inputs),
            len(self.weights),
            self.active,
            weights_of_samples=False,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the parts of a copy; plans hold identities of objects and are made anew."""
        return type(self), (self._noisy, self.inputs, self.weights)

    @abstractmethod
    def probabilities(
        self,
        inputs: Tensor | None = None,
        weights: Tensor | None = None,
        initial_state: Tensor | None = None,
        *,
        initial_qubits: Sequence[int] | None = None,
        qubits: Sequence[int] | None = None,
        readout: bool = True,
    ) -> Tensor:
        """Return the probabilities of outcomes.

        Args:
            inputs: ``(batch, num_inputs)`` real.
            weights: ``(num_weights,)`` real.
            initial_state: ``(batch, 2**k)`` amplitudes; |0...0> if None. Not normalised here.
            initial_qubits: The k qubits that the initial state covers, the first least significant;
                all active ones if None.
            qubits: The first is the least significant bit of the outcome; all qubits of the circuit
                if None.
            readout: True if outcomes pass through the readout errors.

        Returns:
            ``(batch, 2**len(qubits))`` real; batch is 1 where neither inputs nor states are given.

        Raises:
            InvalidData: If a shape, dtype or qubit does not fit, values are not finite, or the
                memory does not suffice (before it is allocated).
        """

    @abstractmethod
    def expectation(
        self,
        observables: Sequence[SparsePauliOp],
        inputs: Tensor | None = None,
        weights: Tensor | None = None,
        initial_state: Tensor | None = None,
        *,
        initial_qubits: Sequence[int] | None = None,
        readout: bool = True,
    ) -> Tensor:
        """Return the expectation values of Hermitian Pauli sums.

        Args:
            observables: On all qubits of the circuit: for a transpiled one as
                ``observable.apply_layout(circuit.layout)`` gives them.
            inputs, weights, initial_state, initial_qubits: As for :meth:`probabilities`.
            readout: True if each Pauli string is read through the readout errors of its qubits, as
                a device without mitigation reads it (changes of basis taken as free of noise).

        Returns:
            ``(batch, len(observables))`` real.

        Raises:
            InvalidData: As for :meth:`probabilities`.
        """

    def _arguments(
        self,
        inputs: Tensor | None,
        weights: Tensor | None,
        state: Tensor | None,
        initial_qubits: Sequence[int] | None,
    ) -> Arguments:
        check_tensors(inputs=inputs, weights=weights, initial_state=state)
        batch, like, covered = self._takes.check(inputs, weights, state, initial_qubits)
        real = like.dtype
        if state is not None:
            if not torch.isfinite(torch.view_as_real(state) if state.is_complex() else state).all():
                raise InvalidData(
                    "Initial states must be finite, got NaN or infinity in initial_state."
                )
            state = state.to(real.to_complex())
        return Arguments(
            None if inputs is None else inputs.to(real),
            None if weights is None else weights.to(real),
            state,
            covered,
            batch,
            like,
        )

    @staticmethod
    def _connected(values: Tensor, arguments: Arguments, joined: Collection[str] = ()) -> Tensor:
        """Return the values with a graph to all inputs and weights, so that derivatives are 0.

        A parameter may have cancelled, or stand in a global phase only.

        Args:
            values: Of any shape.
            arguments: What was given.
            joined: Of "inputs" and "weights", those to which there is a graph already.
        """
        if torch.is_grad_enabled():
            for name, given in (("inputs", arguments.inputs), ("weights", arguments.weights)):
                if given is not None and given.requires_grad and name not in joined:
                    values = values + given.flatten()[:0].sum()
        return values

    def _qubits(self, qubits: Sequence[int] | None, default: Sequence[int]) -> tuple[int, ...]:
        chosen = tuple(default if qubits is None else (int(q) for q in qubits))
        if len(set(chosen)) != len(chosen) or not all(0 <= q < self.num_qubits for q in chosen):
            raise InvalidData(
                f"qubits are distinct and below {self.num_qubits}, got {list(chosen)}."
            )
        return chosen

    def _outcome_qubits(self, qubits: Sequence[int] | None) -> tuple[int, ...]:
        chosen = self._qubits(qubits, range(self.num_qubits))
        if len(chosen) > MAX_OUTCOME_QUBITS:
            raise InvalidData(
                f"qubits holds at most {MAX_OUTCOME_QUBITS}, got {len(chosen)} of a "
                f"circuit with {self.num_qubits}; name those to read."
            )
        return chosen

    def _pauli_terms(
        self, observables: Sequence[SparsePauliOp]
    ) -> tuple[list[tuple[tuple[int, int], ...]], np.ndarray]:
        """Return distinct Pauli strings on active qubits, and each observable's coefficients.

        A string is ((qubit, digit), ...) with digits 1, 2, 3 for X, Y, Z. On a qubit on which nothing
        acts, Z is 1 and X and Y are 0 up to readout, which :meth:`_idle` knows.
        """
        rows: dict[tuple[tuple[int, int], ...], dict[int, float]] = {}
        way_out = "; use observable.apply_layout(circuit.layout)"
        for column, observable in enumerate(pauli_sums(observables, self.num_qubits, way_out)):
            if np.abs(np.imag(observable.coeffs)).max(initial=0) > 1e-9:
                raise InvalidData("observables are Hermitian, got complex coefficients.")
            for x, z, coefficient in zip(
                observable.paulis.x, observable.paulis.z, observable.coeffs.real, strict=True
            ):
                digits = x.astype(int) + 3 * z - 2 * (x & z)  # X 1, Z 3, XZ 2
                string = tuple((int(q), int(digits[q])) for q in np.flatnonzero(digits))
                found = rows.setdefault(string, {})
                found[column] = found.get(column, 0.0) + float(coefficient)
        table = np.zeros((len(observables), len(rows)))
        for row, columns in enumerate(rows.values()):
            for column, coefficient in columns.items():
                table[column, row] = coefficient
        return list(rows), table


def confusion_terms(matrix: np.ndarray) -> tuple[float, float]:
    """Return a and b of the readout error ``[true, read]``, which turns Z into a + b Z."""
    zero, one = matrix[0, 0] - matrix[0, 1], matrix[1, 0] - matrix[1, 1]
    return (zero + one) / 2, (zero - one) / 2


def is_differentiated(arguments: Arguments) -> bool:
    """Return whether torch keeps what it computes for a backward pass."""
    given = (arguments.inputs, arguments.weights, arguments.state)
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in given)
