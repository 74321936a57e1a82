"""Products of many small unitary matrices, and where the gradient of each factor is read.

Let ``P = L_m ... L_1`` act on the first columns of the identity. If one factor changes by
``dL_k = L_k X``, the product's value changes by ``Re tr(Z_k X)``; if by ``dL_k = Y L_k``, by
``Re tr(Z_(k+1) Y)``. The Z, one more than there are factors, hold all gradients; since the factors are
unitary they cost two products each, and nothing but the factors' products has to be stored.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

CALL_US, LEVEL_US = 7.0, 60.0
"""Forward and backward of one factor in a sequence, and of one level of a tree, in calls of torch."""
ENTRY_US = 2.5e-4
"""A complex multiplication and addition, three times over."""


def chain_us(m: int, d: int, columns: int, blocks: int = 1) -> tuple[float, float]:
    """Estimated microseconds of forward and backward pass, in turn and as a tree.

    A tree needs few calls of torch for many factors, but multiplies whole matrices.

    Args:
        m: Factors.
        d: Their size.
        columns: Columns that are needed.
        blocks: Products of this kind, at once.
    """
    in_turn = m * (CALL_US + ENTRY_US * blocks * d * d * columns)
    tree = (m - 1).bit_length() * LEVEL_US + m * ENTRY_US * blocks * d**3
    return in_turn, tree


def prefers_tree(m: int, d: int, columns: int, blocks: int) -> bool:
    """Whether neighbours are multiplied pairwise, rather than one factor after the other.

    Args:
        m, d, columns, blocks: As for :func:`chain_us`.
    """
    in_turn, tree = chain_us(m, d, columns, blocks)
    return tree < in_turn


def chain(factors: Tensor, stride: int, *, tree: bool) -> list[Tensor]:
    """The product and what :func:`boundaries` needs of it.

    Args:
        factors: ``(blocks, m, d, d)``, the first one applied first.
        stride: Every so many columns of the product are needed.
        tree: Multiply as a tree, or in turn.

    Returns:
        All levels of the tree, the last one ``(blocks, 1, d, d)``; or the partial products
        ``(blocks, d, columns)``, the last one the whole. :func:`product_of` takes either.
    """
    return _tree(factors) if tree else _in_turn(factors, stride)


def product_of(found: list[Tensor], stride: int, *, tree: bool) -> Tensor:
    """The product, ``(blocks, d, columns)``."""
    if not tree:
        return found[-1]
    product = found[-1].squeeze(1)
    return product if stride == 1 else product[:, :, ::stride]


def boundaries(
    factors: Tensor, found: list[Tensor], grad: Tensor, stride: int, *, tree: bool
) -> Tensor:
    """All Z of the module's docstring, ``(blocks, m + 1, d, d)``.

    Args:
        factors: As for :func:`chain`.
        found: Its result.
        grad: ``(blocks, d, columns)``, of the product.
        stride, tree: As for :func:`chain`.
    """
    if not tree:
        return _boundaries_in_turn(factors, found, grad)
    if stride > 1:
        spread = grad.new_zeros(*grad.shape[:2], grad.shape[1])
        spread[:, :, ::stride] = grad
        grad = spread
    return _boundaries_of_tree(found, grad)


def _in_turn(factors: Tensor, stride: int) -> list[Tensor]:
    first, *rest = factors.unbind(1)
    partial = [first[:, :, ::stride] if stride > 1 else first]
    for factor in rest:
        partial.append(_product(factor, partial[-1]))
    return partial


def _boundaries_in_turn(factors: Tensor, partial: Sequence[Tensor], grad: Tensor) -> Tensor:
    blocks, m, d, _ = factors.shape
    stride = d // grad.shape[-1]
    rows = [grad.mH.resolve_conj()]
    for factor in reversed(factors.unbind(1)):
        rows.append(_product(rows[-1], factor))
    rows.reverse()  # gradients of the state before each factor, conjugate transposed, and the last
    start = torch.zeros_like(partial[0])
    start[:, ::stride].diagonal(dim1=1, dim2=2).fill_(1)
    left = torch.stack([start, *partial], dim=1).flatten(0, 1)
    right = torch.stack(rows, dim=1).flatten(0, 1)
    return torch.bmm(left, right).view(blocks, m + 1, d, d)


def _product(left: Tensor, right: Tensor) -> Tensor:
    if len(left) == 1:  # a single product has the cheaper call
        return torch.mm(left[0], right[0]).unsqueeze(0)
    return torch.bmm(left, right)


def _tree(factors: Tensor) -> list[Tensor]:
    levels = [factors]
    while factors.shape[1] > 1:
        even = factors.shape[1] // 2 * 2
        product = _products(factors[:, 1:even:2], factors[:, 0:even:2])
        odd = even < factors.shape[1]
        factors = torch.cat([product, factors[:, -1:]], dim=1) if odd else product
        levels.append(factors)
    return levels


def _boundaries_of_tree(levels: list[Tensor], grad: Tensor) -> Tensor:
    """From the root to the leaves: a later factor sees what its parent sees."""
    root, adjoint = levels[-1][:, 0], grad.mH.resolve_conj()
    after = torch.bmm(root, adjoint).unsqueeze(1)
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
    return torch.cat([torch.bmm(adjoint, root).unsqueeze(1), after], dim=1)


def _products(left: Tensor, right: Tensor) -> Tensor:
    """``left @ right`` for ``(blocks, m, d, d)``; one block needs no copy of its strided matrices."""
    if len(left) == 1:
        return torch.bmm(left[0], right[0]).unsqueeze(0)
    return left @ right
