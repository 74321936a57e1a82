"""Expectation values of many Pauli sums at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor

from .steps import squared_modulus


class ObservableTable:
    """Pauli sums by the pattern of bits that they flip.

    All terms that flip the same bits share one product ``conj(state[flipped]) * state``; those that
    flip none, the diagonal ones, need the probabilities only.

    Args:
        observables: On one and the same number of qubits.
    """

    def __init__(self, observables: Sequence[SparsePauliOp]) -> None:
        self.observables = list(observables)  # kept alive: programs find this table by identity
        n = self.observables[0].num_qubits
        powers = 1 << np.arange(n)
        self._index = np.arange(2**n)
        patterns: dict[int, np.ndarray] = {}
        for row, observable in enumerate(self.observables):
            terms = zip(observable.paulis.x, observable.paulis.z, observable.coeffs, strict=True)
            for x, z, coefficient in terms:
                flip, sign = int(x @ powers), int(z @ powers)
                parity = np.bitwise_count(self._index & sign).astype(np.int64) & 1
                # P|j> = i^(number of Y) (-1)^(z.j) |j xor x>
                values = coefficient * (1j) ** int((x & z).sum()) * (1 - 2 * parity)
                table = patterns.setdefault(
                    flip, np.zeros((len(self.observables), 2**n), dtype=complex)
                )
                table[row] += values
        self._patterns = patterns
        self._tensors: dict[tuple[torch.dtype, torch.device], list[tuple[int, Tensor, Tensor]]] = {}

    def evaluate(self, state: Tensor) -> Tensor:
        """Expectation values.

        Args:
            state: ``(2**n, batch)``, complex or real.

        Returns:
            ``(observables, batch)`` real.
        """
        complex_dtype = torch.complex64 if state.dtype in (torch.float32, torch.complex64) else None
        complex_dtype = complex_dtype or torch.complex128
        place = (complex_dtype, state.device)
        if place not in self._tensors:
            self._tensors[place] = [
                (
                    flip,
                    torch.as_tensor(self._index ^ flip, device=state.device),
                    torch.tensor(table, dtype=complex_dtype, device=state.device),
                )
                for flip, table in self._patterns.items()
            ]
        total: Tensor | None = None
        for flip, index, table in self._tensors[place]:
            if flip == 0:
                part = table.real @ squared_modulus(state)
            else:
                product = state[index].conj() * state
                part = (table @ product.to(table.dtype)).real
            total = part if total is None else total + part
        if total is None:  # observables without any term
            return squared_modulus(state)[:1].expand(len(self.observables), -1) * 0
        return total
