"""A compiled circuit, run on batches of inputs with exact gradients by autograd."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor

from ..errors import InvalidData
from .expressions import Angle
from .operations import Block, MatrixSource, Operation, apply_matrix, block_matrix

_COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}
_REAL = {complex_: real for real, complex_ in _COMPLEX.items()}


class CircuitProgram:
    """A circuit as a differentiable function of inputs, weights and initial state.

    Made by :func:`~qdm_qiskit.engine.compile_circuit`. Precision and device are those of the
    tensors it is given: float32 computes in complex64, float64 in complex128. Where they differ, the
    weights decide, then the inputs; the others are converted.
    """

    def __init__(
        self,
        *,
        num_qubits: int,
        num_inputs: int,
        num_weights: int,
        operations: list[Operation],
        blocks: list[Block],
        phases: list[Angle],
    ) -> None:
        self.num_qubits = num_qubits
        self.num_inputs = num_inputs
        self.num_weights = num_weights
        self._operations = operations
        self._blocks = blocks
        self._phases = phases

    def statevector(
        self,
        inputs: Tensor | None = None,
        weights: Tensor | None = None,
        initial_state: Tensor | None = None,
    ) -> Tensor:
        """The final states.

        Args:
            inputs: ``(batch, num_inputs)`` real.
            weights: ``(num_weights,)`` real.
            initial_state: ``(batch, 2**n)`` real or complex; |0...0> if None. Not normalised here.

        Returns:
            ``(batch, 2**n)`` complex; batch is 1 where neither inputs nor states are given.

        Raises:
            InvalidData: If a shape or dtype does not fit, or inputs or weights are not finite.
        """
        batch, like = self._check(inputs, weights, initial_state)
        dtype = _COMPLEX[like.dtype]
        inputs = None if inputs is None else inputs.to(like.dtype)
        weights = None if weights is None else weights.to(like.dtype)
        if initial_state is None:
            state = torch.zeros(batch, 2**self.num_qubits, dtype=dtype, device=like.device)
            state[:, 0] = 1
        else:
            state = initial_state.to(dtype)
        matrices = MatrixSource(self._operations, inputs, weights, like, dtype)
        for block in self._blocks:
            if block.qubits:
                state = apply_matrix(state, block_matrix(block, matrices, state), block.qubits)
            else:
                operation = block.operations[0]
                state = apply_matrix(state, matrices[operation], operation.qubits)
        for phase in self._phases:
            angle = phase.evaluate(inputs, weights, like)
            state = state * torch.complex(torch.cos(angle), torch.sin(angle)).reshape(-1, 1)
        return state

    def probabilities(
        self,
        inputs: Tensor | None = None,
        weights: Tensor | None = None,
        initial_state: Tensor | None = None,
        *,
        qubits: Sequence[int] | None = None,
    ) -> Tensor:
        """Probabilities of all basis states, or of those of some qubits.

        Args:
            inputs, weights, initial_state: As for :meth:`statevector`.
            qubits: Qiskit indices; the first is the least significant bit of the outcome.

        Returns:
            ``(batch, 2**len(qubits))`` real.

        Raises:
            InvalidData: As for :meth:`statevector`, or if a qubit is out of range or repeated.
        """
        state = self.statevector(inputs, weights, initial_state)
        probabilities = state.real**2 + state.imag**2
        if qubits is None:
            return probabilities
        n = self.num_qubits
        if len(set(qubits)) != len(qubits) or not all(0 <= qubit < n for qubit in qubits):
            raise InvalidData(f"Qubits must be distinct and below {n}, got {list(qubits)}.")
        axes = [n - qubit for qubit in reversed(qubits)]
        rest = [axis for axis in range(1, n + 1) if axis not in axes]
        split = probabilities.reshape(-1, *[2] * n).permute([0, *axes, *rest])
        return split.reshape(len(state), 2 ** len(qubits), -1).sum(-1)

    def expectation(
        self,
        observables: Sequence[SparsePauliOp],
        inputs: Tensor | None = None,
        weights: Tensor | None = None,
        initial_state: Tensor | None = None,
    ) -> Tensor:
        """Expectation values of Hermitian Pauli sums.

        Args:
            observables: Operators on all qubits of the circuit.
            inputs, weights, initial_state: As for :meth:`statevector`.

        Returns:
            ``(batch, len(observables))`` real.

        Raises:
            InvalidData: As for :meth:`statevector`, or if an observable has another number of qubits.
        """
        for observable in observables:
            if observable.num_qubits != self.num_qubits:
                raise InvalidData(
                    f"Observables act on all {self.num_qubits} qubits, got one on "
                    f"{observable.num_qubits}."
                )
        state = self.statevector(inputs, weights, initial_state)
        return torch.stack([_expectation(state, each) for each in observables], dim=1)

    def _check(
        self, inputs: Tensor | None, weights: Tensor | None, initial_state: Tensor | None
    ) -> tuple[int, Tensor]:
        """The batch size, and a real tensor that carries dtype and device."""
        batches = []
        if self.num_inputs or inputs is not None:
            if inputs is None or inputs.ndim != 2 or inputs.shape[1] != self.num_inputs:
                raise InvalidData(
                    f"Inputs have shape (batch, {self.num_inputs}), "
                    f"got {None if inputs is None else tuple(inputs.shape)}."
                )
            batches.append(len(inputs))
        if self.num_weights or weights is not None:
            if weights is None or tuple(weights.shape) != (self.num_weights,):
                raise InvalidData(
                    f"Weights have shape ({self.num_weights},), "
                    f"got {None if weights is None else tuple(weights.shape)}."
                )
        if initial_state is not None:
            if initial_state.ndim != 2 or initial_state.shape[1] != 2**self.num_qubits:
                raise InvalidData(
                    f"Initial states have shape (batch, {2**self.num_qubits}), "
                    f"got {tuple(initial_state.shape)}."
                )
            batches.append(len(initial_state))
        if len(set(batches)) > 1:
            raise InvalidData(f"Inputs and initial states have one batch size, got {batches}.")
        for name, tensor in (("Inputs", inputs), ("Weights", weights)):
            if tensor is not None and tensor.is_complex():
                raise InvalidData(f"{name} are angles and must be real, got {tensor.dtype}.")
            if tensor is not None and not torch.isfinite(tensor).all():
                raise InvalidData(f"{name} must be finite, got NaN or infinity.")
        given = [tensor for tensor in (weights, inputs, initial_state) if tensor is not None]
        like = given[0] if given else torch.zeros(())
        real = _REAL.get(like.dtype, like.dtype)
        if real not in _COMPLEX:
            raise InvalidData(f"The engine computes in float32 or float64, got {like.dtype}.")
        return (batches[0] if batches else 1), torch.zeros((), dtype=real, device=like.device)


def _expectation(state: Tensor, observable: SparsePauliOp) -> Tensor:
    """``<state| observable |state>`` for each sample; terms with one X pattern are added first."""
    n = observable.num_qubits
    powers = 1 << np.arange(n)
    index = np.arange(2**n)
    columns: dict[int, np.ndarray] = {}
    for x, z, coefficient in zip(
        observable.paulis.x, observable.paulis.z, observable.coeffs, strict=True
    ):
        flip, sign = int(x @ powers), int(z @ powers)
        parity = np.bitwise_count(index & sign).astype(np.int64) & 1
        # P|j> = i^(number of Y) (-1)^(z.j) |j xor x>
        values = coefficient * (1j) ** int((x & z).sum()) * (1 - 2 * parity)
        columns[flip] = columns.get(flip, 0) + values
    total = torch.zeros(len(state), dtype=_REAL[state.dtype], device=state.device)
    for flip, values in columns.items():
        moved = state[:, torch.as_tensor(index ^ flip, device=state.device)]
        factor = torch.as_tensor(values, dtype=state.dtype, device=state.device)
        total = total + (moved.conj() * factor * state).sum(-1).real
    return total
