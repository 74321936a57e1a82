"""Products of many small matrices, and other functions that autograd alone would do slowly."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def matrix_dtype(like: Tensor, real: bool) -> torch.dtype:
    """Of a matrix in the precision of ``like``, a real tensor."""
    return number_dtype(like.dtype, not real)


def number_dtype(real: torch.dtype, complex_: bool) -> torch.dtype:
    """The real precision itself, or the complex numbers of that precision."""
    if not complex_:
        return real
    return torch.complex64 if real == torch.float32 else torch.complex128


def as_real(array: np.ndarray) -> np.ndarray:
    """The array without its imaginary part, if that is zero."""
    return array if np.iscomplexobj(array) and array.imag.any() else array.real


OWN_BACKWARD = 16
"""From this size on a Kronecker product has a backward pass of its own, which two products make."""


def kronecker(gates: Tensor, rows: Tensor) -> Tensor:
    """Kronecker products of table entries.

    Args:
        gates: ``(table, 2, 2)``.
        rows: ``(count, k)``; local qubit 0 least significant.

    Returns:
        ``(count, 2**k, 2**k)``.
    """
    parts = list(gates[rows.T].unbind(0))
    while len(parts) > 1:
        merged = []
        for low, high in zip(parts[0::2], parts[1::2], strict=False):
            a, b = high.shape[-1], low.shape[-1]
            if a * b < OWN_BACKWARD or not (high.requires_grad or low.requires_grad):
                product = high[:, :, None, :, None] * low[:, None, :, None, :]
                merged.append(product.reshape(-1, a * b, a * b))
            else:
                merged.append(_Kronecker.apply(high, low))
        if len(parts) % 2:
            merged.append(parts[-1])
        parts = merged
    return parts[0]


class _Kronecker(torch.autograd.Function):
    """``(count, a, a)`` and ``(count, b, b)`` to ``(count, a b, a b)``; back by two matrix products."""

    @staticmethod
    def forward(ctx, high: Tensor, low: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(high, low)
        a, b = high.shape[-1], low.shape[-1]
        product = high[:, :, None, :, None] * low[:, None, :, None, :]
        return product.reshape(-1, a * b, a * b)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[no-untyped-def]
        high, low = ctx.saved_tensors
        a, b = high.shape[-1], low.shape[-1]
        apart = grad.reshape(-1, a, b, a, b).transpose(2, 3).reshape(-1, a * a, b * b)
        to_high = torch.bmm(apart, low.conj().reshape(-1, b * b, 1))
        to_low = torch.bmm(high.conj().reshape(-1, 1, a * a), apart)
        return to_high.reshape(high.shape), to_low.reshape(low.shape)


def tree_product(factors: Tensor) -> Tensor:
    """``(blocks, m, d, d)`` factors, the first applied first, to ``(blocks, d, d)``."""
    while factors.shape[1] > 1:
        odd = factors.shape[1] % 2
        last = factors[:, -1:] if odd else None
        even = factors[:, : factors.shape[1] - odd]
        factors = even[:, 1::2] @ even[:, 0::2]
        if last is not None:
            factors = torch.cat([factors, last], dim=1)
    return factors[:, 0]


class _PermuteRows(torch.autograd.Function):
    """``x[index]`` for a permutation; its gradient is a gather too, not a scatter."""

    @staticmethod
    def forward(ctx, x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.inverse = inverse
        return x.index_select(0, index)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[no-untyped-def]
        return grad.index_select(0, ctx.inverse), None, None


def permute_rows(x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
    """Row ``i`` of the result is row ``index[i]``; ``inverse`` is the inverse permutation."""
    if not x.requires_grad:
        return x.index_select(0, index)
    return _PermuteRows.apply(x, index, inverse)


def turned(values: Tensor, phase: Tensor) -> Tensor:
    """``values * exp(i phase)``; torch.polar has a wrong gradient for negative values (torch 2.13)."""
    return torch.complex(values * torch.cos(phase), values * torch.sin(phase))
