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
        n = observables[0].num_qubits
        self._count = len(observables)
        powers = 1 << np.arange(n)
        self._index = np.arange(2**n)
        patterns: dict[int, np.ndarray] = {}
        for row, observable in enumerate(observables):
            terms = zip(observable.paulis.x, observable.paulis.z, observable.coeffs, strict=True)
            for x, z, coefficient in terms:
                flip, sign = int(x @ powers), int(z @ powers)
                parity = np.bitwise_count(self._index & sign).astype(np.int64) & 1
                # P|j> = i^(number of Y) (-1)^(z.j) |j xor x>
                values = coefficient * (1j) ** int((x & z).sum()) * (1 - 2 * parity)
                table = patterns.setdefault(flip, np.zeros((self._count, 2**n), dtype=complex))
                table[row] += values
        self._patterns = patterns
        self._tensors: dict[
            tuple[torch.dtype, torch.device, tuple[int, ...]], list[tuple[int, Tensor, Tensor]]
        ] = {}

    def evaluate(self, state: Tensor, order: Sequence[int] | None = None) -> Tensor:
        """Expectation values.

        Args:
            state: ``(2**n, batch)``, complex or real.
            order: Its qubits, most significant first; Qiskit's order if None. The tables are put into
                this order once, rather than every state into Qiskit's.

        Returns:
            ``(observables, batch)`` real.
        """
        total: Tensor | None = None
        for flip, index, table in self._parts(state, order):
            if flip == 0:
                part = table @ squared_modulus(state)
            else:
                product = state[index].conj() * state
                part = (table @ product.to(table.dtype)).real
            total = part if total is None else total + part
        if total is None:  # observables without any term
            return squared_modulus(state)[:1].expand(self._count, -1) * 0
        return total

    def diagonals(self, like: Tensor, order: Sequence[int]) -> Tensor | None:
        """``(observables, 2**n)`` real, if none of them flips a bit; None if one does.

        Args:
            like: Gives precision and device.
            order: As for :meth:`evaluate`.
        """
        if set(self._patterns) != {0}:
            return None
        ((_, _, table),) = self._parts(like, order)
        return table

    def _parts(self, like: Tensor, order: Sequence[int] | None) -> list[tuple[int, Tensor, Tensor]]:
        complex_dtype = torch.complex64 if like.dtype in (torch.float32, torch.complex64) else None
        complex_dtype = complex_dtype or torch.complex128
        n = len(self._index).bit_length() - 1
        places = tuple(range(n))[::-1] if order is None else tuple(order)
        key = (complex_dtype, like.device, places)
        if key not in self._tensors:
            with torch.inference_mode(False):  # kept for runs that may want gradients
                self._tensors[key] = self._in_order(complex_dtype, like.device, places)
        return self._tensors[key]

    def _in_order(
        self, dtype: torch.dtype, device: torch.device, order: tuple[int, ...]
    ) -> list[tuple[int, Tensor, Tensor]]:
        """Flipped bits, the row that each row is paired with, and the table."""
        basis = np.zeros_like(self._index)  # basis state of each row
        for place, qubit in enumerate(order):
            basis |= (self._index >> (len(order) - 1 - place) & 1) << qubit
        row = np.argsort(basis)
        found = []
        for flip, table in self._patterns.items():
            moved = torch.tensor(table[:, basis], dtype=dtype, device=device)
            if flip == 0:
                moved = moved.real.contiguous()
            found.append((flip, torch.as_tensor(row[basis ^ flip], device=device), moved))
        return found
