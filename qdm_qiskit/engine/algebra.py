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


def kronecker(gates: Tensor) -> Tensor:
    """Kronecker products of one-qubit matrices.

    Args:
        gates: ``(rows, count, k, 2, 2)``; local qubit 0 least significant.

    Returns:
        ``(rows, count, 2**k, 2**k)``.
    """
    left: list[Tensor] = []  # of odd numbers, the last one waits; the later, the less significant
    while gates.shape[2] > 1:
        if gates.shape[2] % 2:
            left.append(gates[:, :, -1])
        even = gates.shape[2] // 2 * 2
        gates = _kronecker_of_two(gates[:, :, 1:even:2], gates[:, :, 0:even:2])
    product = gates[:, :, 0]
    for high in reversed(left):
        product = _kronecker_of_two(high, product)
    return product


def _kronecker_of_two(high: Tensor, low: Tensor) -> Tensor:
    size = high.shape[-1] * low.shape[-1]
    product = high[..., :, None, :, None] * low[..., None, :, None, :]
    return product.reshape(*product.shape[:-4], size, size)


def tree_product(factors: Tensor) -> list[Tensor]:
    """Products of neighbours, then of neighbouring products, and so on.

    Args:
        factors: ``(blocks, m, d, d)``, the first one applied first.

    Returns:
        All levels of the tree, from the factors to ``(blocks, 1, d, d)``.
    """
    levels = [factors]
    while factors.shape[1] > 1:
        even = factors.shape[1] // 2 * 2
        product = _products(factors[:, 1:even:2], factors[:, 0:even:2])
        odd = even < factors.shape[1]
        factors = torch.cat([product, factors[:, -1:]], dim=1) if odd else product
        levels.append(factors)
    return levels


def _products(left: Tensor, right: Tensor) -> Tensor:
    """``left @ right`` for ``(blocks, m, d, d)``; one block needs no copy of its strided matrices."""
    if len(left) == 1:
        return torch.bmm(left[0], right[0]).unsqueeze(0)
    return left @ right


def tree_boundaries(levels: list[Tensor], grad: Tensor) -> Tensor:
    """The gradient of a product, seen before and after each of its unitary factors.

    For the product ``P = L_m ... L_1`` and a change ``dL_k = L_k X``, the product's change is worth
    ``Re tr(A_k^dagger X)``; for ``dL_k = Y L_k``, ``Re tr(A_(k+1)^dagger Y)``. One pass from the
    root of the tree to its leaves gives all A, at two products for each node.

    Args:
        levels: Of :func:`tree_product`.
        grad: ``(blocks, d, d)``.

    Returns:
        ``(blocks, m + 1, d, d)``: ``A_1 = P^dagger grad, ..., A_(m+1) = grad P^dagger``.
    """
    root = levels[-1][:, 0]
    after = torch.bmm(grad, root.mH).unsqueeze(1)
    for level in reversed(levels[:-1]):
        blocks, m, d, _ = level.shape
        even = m // 2 * 2
        later, here = level[:, 1:even:2], after[:, : even // 2]
        below = after.new_empty(blocks, m, d, d)
        below[:, 1:even:2] = here
        below[:, 0:even:2] = _products(later.mH, _products(here, later))
        if even < m:
            below[:, -1] = after[:, -1]
        after = below
    return torch.cat([torch.bmm(root.mH, grad).unsqueeze(1), after], dim=1)


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
