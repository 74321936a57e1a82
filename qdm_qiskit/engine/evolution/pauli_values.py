"""Expectation values of Pauli strings from the states themselves, without tables.

A string multiplies a state by a sign for each basis state, the product of one of the upper
bits and one of the lower bits: two short vectors instead of one of ``2**n`` numbers. Hundreds of
strings on twenty qubits thus need the memory of a few states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor

__all__ = [
    "BLOCK",
    "STRINGS",
    "Strings",
    "pauli_values",
    "strings_of",
]

STRINGS = 64
"""Strings that are read at once."""
BLOCK = 2**15
"""Amplitudes that are read at once: 512 KiB in complex128."""


@dataclass(frozen=True)
class Strings:
    """Pauli strings that flip the same bits."""

    flip: int
    """Bits of a basis state, qubit 0 the lowest."""
    signs: np.ndarray
    """``(strings,)`` integers: bits whose value 1 gives a factor -1."""
    factors: np.ndarray
    """``(strings,)`` complex: ``i ** (number of Y)``."""
    coefficients: np.ndarray
    """``(observables, strings)`` complex."""


def strings_of(observables: Sequence[SparsePauliOp]) -> list[Strings]:
    """Return the strings of Pauli sums by the bits that they flip; equal strings are joined.

    Args:
        observables: On one and the same number of qubits.
    """
    powers = [1 << qubit for qubit in range(observables[0].num_qubits)]
    found: dict[int, dict[int, dict[int, complex]]] = {}
    for row, observable in enumerate(observables):
        terms = zip(observable.paulis.x, observable.paulis.z, observable.coeffs, strict=True)
        for x, z, coefficient in terms:
            flip, sign = (
                sum(p for p, bit in zip(powers, bits, strict=True) if bit) for bits in (x, z)
            )
            column = found.setdefault(flip, {}).setdefault(sign, {})
            column[row] = column.get(row, 0) + coefficient
    groups = []
    for flip, columns in found.items():
        coefficients = np.zeros((len(observables), len(columns)), dtype=complex)
        for place, column in enumerate(columns.values()):
            coefficients[list(column), place] = list(column.values())
        factors = np.array([1j ** (flip & sign).bit_count() for sign in columns])
        groups.append(Strings(flip, np.array(list(columns)), factors, coefficients))
    return groups


def pauli_values(groups: Sequence[Strings], state: Tensor, order: Sequence[int]) -> Tensor:
    """Return the expectation values, differentiable in the state.

    Args:
        groups: At least one.
        state: ``(2**n, batch)``, complex or real.
        order: Its qubits, most significant first.

    Returns:
        ``(observables, batch)`` real.
    """
    if torch._C._are_functorch_transforms_active():  # those know no function of our own
        return _values(groups, state, order)
    found: Tensor = _PauliValues.apply(state, groups, tuple(order))
    return found


class _PauliValues(torch.autograd.Function):
    """Gradient 2 O psi of <psi|O|psi>, which needs no product of the forward pass."""

    @staticmethod
    def forward(
        ctx: Any, state: Tensor, groups: Sequence[Strings], order: tuple[int, ...]
    ) -> Tensor:
        ctx.save_for_backward(state)
        ctx.groups, ctx.order = groups, order
        return _values(groups, state, order)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (state,) = ctx.saved_tensors
        return 2 * _applied(ctx.groups, grad, state, ctx.order), None, None


def _values(groups: Sequence[Strings], state: Tensor, order: Sequence[int]) -> Tensor:
    cube, lower = _cube(state)
    total = state.new_zeros(len(groups[0].coefficients), state.shape[1]).real
    for group in groups:
        flip, masks = _row_bits(group, order)
        low = _signs(masks, np.arange(2**lower), state)
        sums = torch.zeros_like(state[:1]).expand(len(masks), -1)
        for rows in _blocks(cube):
            here = _rows(cube, rows)
            product = _flipped(cube, rows, flip, lower).conj() * here
            if not flip and product.is_complex():
                product = product.real
            high = _signs(masks >> lower, rows, state)
            found = []
            for chosen in _slices(len(masks)):
                # The upper bits are summed first: (strings, 2**n) numbers never exist.
                half = _times(high[chosen], product)
                own = torch.einsum("sl,slb->sb", low[chosen].to(half.dtype), half)
                found.append(own.to(state.dtype))
            sums = sums + torch.cat(found)
        total = total + (_weights(group, state) @ sums).real
    return total


def _applied(
    groups: Sequence[Strings], grad: Tensor, state: Tensor, order: Sequence[int]
) -> Tensor:
    """Return ``sum_k grad[k] O_k`` applied to each state, ``(2**n, batch)``."""
    cube, lower = _cube(state)
    found = []
    for rows in _blocks(cube):
        total = torch.zeros_like(_rows(cube, rows))
        for group in groups:
            flip, masks = _row_bits(group, order)
            given = _weights(group, state).t() @ grad.to(state.dtype)  # (strings, batch)
            # The sign of the basis state that a string takes here, and not of the one here.
            high = _signs(masks >> lower, rows ^ (flip >> lower), state)
            low = _signs(masks, np.arange(2**lower) ^ (flip & (2**lower - 1)), state)
            factor = torch.zeros_like(total)
            for chosen in _slices(len(masks)):
                half = low[chosen].to(given.dtype)[:, :, None] * given[chosen][:, None, :]
                factor = factor + torch.einsum("sr,slb->rlb", high[chosen].to(half.dtype), half)
            total = total + factor * _flipped(cube, rows, flip, lower)
        found.append(total)
    return torch.cat(found).reshape(state.shape)


def _cube(state: Tensor) -> tuple[Tensor, int]:
    """Return ``(2**upper, 2**lower, batch)``, and the number of lower bits."""
    n = len(state).bit_length() - 1
    lower = n - n // 2
    return state.reshape(-1, 2**lower, state.shape[1]), lower


def _blocks(cube: Tensor) -> list[np.ndarray]:
    """Yield values of the upper bits, as many as a core's cache holds amplitudes of."""
    size = max(1, BLOCK // cube[0].numel())
    return np.array_split(np.arange(len(cube)), -(-len(cube) // size))


def _slices(count: int) -> list[slice]:
    return [slice(start, min(start + STRINGS, count)) for start in range(0, count, STRINGS)]


def _times(signs: Tensor, product: Tensor) -> Tensor:
    """Return ``(strings, rows)`` real times ``(rows, 2**lower, batch)``."""
    flat = torch.view_as_real(product) if product.is_complex() else product
    found = (signs.to(flat.dtype) @ flat.reshape(len(flat), -1)).reshape(-1, *flat.shape[1:])
    return torch.view_as_complex(found) if product.is_complex() else found


def _weights(group: Strings, like: Tensor) -> Tensor:
    """Return ``(observables, strings)``: Hermitian parts of coefficients times factors."""
    values = group.coefficients.real * group.factors
    if not like.is_complex():
        values = values.real  # i times a real product adds nothing
    return torch.as_tensor(values, device=like.device).to(like.dtype)


def _signs(masks: np.ndarray, rows: np.ndarray, like: Tensor) -> Tensor:
    """Return ``(strings, rows)`` signs: -1 where an odd number of a mask's bits is set."""
    bits = np.bitwise_count(masks[:, None] & rows) & 1
    return torch.as_tensor(1 - 2 * bits.astype(np.int8), device=like.device)


def _row_bits(group: Strings, order: Sequence[int]) -> tuple[int, np.ndarray]:
    """Return the bits of rows that flip, and those that give signs."""
    n = len(order)
    moved = [(qubit, n - 1 - place) for place, qubit in enumerate(order)]
    masks = np.array([group.flip, *group.signs])
    rows = np.zeros_like(masks)
    for qubit, bit in moved:
        rows |= (masks >> qubit & 1) << bit
    return int(rows[0]), rows[1:]


def _rows(cube: Tensor, rows: np.ndarray) -> Tensor:
    return cube.index_select(0, torch.as_tensor(rows, device=cube.device))


def _flipped(cube: Tensor, rows: np.ndarray, flip: int, lower: int) -> Tensor:
    """Return the amplitudes where the upper bits differ from the given values by a flip."""
    if flip == 0:
        return _rows(cube, rows)
    own = np.arange(2**lower) ^ (flip & (2**lower - 1))
    moved = _rows(cube, rows ^ (flip >> lower))
    return moved.index_select(1, torch.as_tensor(own, device=cube.device))
