"""Expectation values of many Pauli sums at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor

from .autograd_ops import squared_modulus
from .pauli_values import Strings, pauli_values, strings_of

__all__ = [
    "TABLE_BYTES",
    "ObservableTable",
]

TABLE_BYTES = 2**26
"""Size above which no table is made: values are read from the states, string by string."""


class ObservableTable:
    """Pauli sums by the pattern of bits that they flip.

    All terms that flip the same bits share one product ``conj(state[flipped]) * state``; those that
    flip none, the diagonal ones, need the probabilities only.

    Args:
        observables: On one and the same number of qubits.
    """

    def __init__(self, observables: Sequence[SparsePauliOp]) -> None:
        self.num_qubits = int(observables[0].num_qubits)
        self._count = len(observables)
        self._strings = strings_of(observables)
        self._patterns: dict[int, np.ndarray] | None = None
        if self.bytes_of(self._strings, self.num_qubits) <= TABLE_BYTES:
            self._patterns = self._tables()
        self._tensors: dict[
            tuple[torch.dtype, torch.device, tuple[int, ...]], list[tuple[int, Tensor, Tensor]]
        ] = {}

    @staticmethod
    def bytes_of(strings: Sequence[Strings], num_qubits: int) -> int:
        """Return the memory of tables for these strings: a row of complex numbers an observable."""
        return sum(16 * len(each.coefficients) * 2**num_qubits for each in strings)

    def _tables(self) -> dict[int, np.ndarray]:
        """Return tables by pattern, ``(observables, 2**n)`` complex."""
        index = np.arange(2**self.num_qubits)
        patterns = {}
        for group in self._strings:
            table = np.zeros((self._count, 2**self.num_qubits), dtype=complex)
            for column, sign in enumerate(group.signs):
                # P|j> = i^(number of Y) (-1)^(z.j) |j xor x>
                parity = np.bitwise_count(index & sign).astype(np.int64) & 1
                values = group.factors[column] * (1 - 2 * parity)
                (rows,) = group.coefficients[:, column].nonzero()
                table[rows] += group.coefficients[rows, column, None] * values
            patterns[group.flip] = table
        return patterns

    def evaluate(self, state: Tensor, order: Sequence[int] | None = None) -> Tensor:
        """Return the expectation values.

        Args:
            state: ``(2**n, batch)``, complex or real.
            order: Its qubits, most significant first; Qiskit's order if None. The tables are put into
                this order once, rather than every state into Qiskit's.

        Returns:
            ``(observables, batch)`` real.
        """
        if self._patterns is None:
            places = range(self.num_qubits)[::-1] if order is None else order
            return pauli_values(self._strings, state, places)
        total: Tensor | None = None
        for flip, index, table in self._in_precision(state, order):
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
        """Return ``(observables, 2**n)`` real if there is a table that flips no bit, else None.

        Args:
            like: Gives precision and device.
            order: The same as for :meth:`evaluate`.
        """
        if self._patterns is None or set(self._patterns) != {0}:
            return None
        ((_, _, table),) = self._in_precision(like, order)
        return table

    def _in_precision(
        self, like: Tensor, order: Sequence[int] | None
    ) -> list[tuple[int, Tensor, Tensor]]:
        complex_dtype = like.dtype.to_complex()
        places = tuple(range(self.num_qubits))[::-1] if order is None else tuple(order)
        key = (complex_dtype, like.device, places)
        if key not in self._tensors:
            with torch.inference_mode(False):  # kept for runs that may want gradients
                self._tensors[key] = self._in_order(complex_dtype, like.device, places)
        return self._tensors[key]

    def _in_order(
        self, dtype: torch.dtype, device: torch.device, order: tuple[int, ...]
    ) -> list[tuple[int, Tensor, Tensor]]:
        """Return flipped bits, the row that each row is paired with, and the table."""
        assert self._patterns is not None  # the callers have looked
        index = np.arange(2**self.num_qubits)
        basis = np.zeros_like(index)  # basis state of each row
        for place, qubit in enumerate(order):
            basis |= (index >> (len(order) - 1 - place) & 1) << qubit
        row = np.argsort(basis)
        found = []
        for flip, table in self._patterns.items():
            moved = torch.tensor(table[:, basis], dtype=dtype, device=device)
            if flip == 0:
                moved = moved.real.contiguous()
            found.append((flip, torch.as_tensor(row[basis ^ flip], device=device), moved))
        return found
