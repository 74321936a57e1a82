"""Products of many small unitary matrices, and where the gradient of each factor is read.

Let ``P = L_m ... L_1`` act on the first columns of the identity. If one factor changes by
``dL_k = L_k X``, the product's value changes by ``Re tr(Z_k X)``; if by ``dL_k = Y L_k``, by
``Re tr(Z_(k+1) Y)``. The Z, one more than there are factors, hold all gradients; since the factors are
unitary they cost two products each, and nothing but the factors' products has to be stored.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = [
    "CALL_US",
    "ENTRY_US",
    "FACTOR_ENTRY_US",
    "LEVEL_US",
    "boundaries",
    "chain",
    "chain_us",
    "prefers_tree",
    "product_of",
]

CALL_US, LEVEL_US = 7.0, 60.0
"""Forward and backward of one factor in a sequence, and of one level of a tree, in calls of torch."""
ENTRY_US = 2.5e-4
"""A complex multiplication and addition, three times over."""
FACTOR_ENTRY_US = 0.01
"""Cost of one entry of a factor, forward and backward."""


def chain_us(m: int, d: int, columns: int, blocks: int = 1) -> tuple[float, float]:
    """Return the estimated microseconds of forward and backward pass, in turn and as a tree.

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
    """Return whether neighbours are multiplied pairwise, rather than one factor after the other.

    Args:
        m, d, columns, blocks: As for :func:`chain_us`.
    """
    in_turn, tree = chain_us(m, d, columns, blocks)
    return tree < in_turn


def chain(factors: Tensor, stride: int, *, tree: bool, differentiable: bool = True) -> list[Tensor]:
    """Return the product, with the partial products that :func:`boundaries` needs.

    Args:
        factors: ``(blocks, m, d, d)``, the first one applied first.
        stride: Distance of the columns of the product that are needed.
        tree: Multiply as a tree, or in turn.
        differentiable: True if autograd or forward mode may look inside, which costs more.

    Returns:
        All levels of the tree, the last one ``(blocks, 1, d, d)``; or one tensor, the partial
        products ``(m + 1, blocks, d, columns)``, from none of the factors to all.
        :func:`product_of` takes either.
    """
    return _tree(factors) if tree else [_in_turn(factors, stride, differentiable)]


def product_of(found: list[Tensor], stride: int, *, tree: bool) -> Tensor:
    """Return the product, ``(blocks, d, columns)``."""
    if not tree:
        return found[-1][-1]
    product = found[-1].squeeze(1)
    return product if stride == 1 else product[:, :, ::stride]


def boundaries(
    factors: Tensor, found: list[Tensor], grad: Tensor, stride: int, *, tree: bool
) -> Tensor:
    """Return all Z of the module's docstring, ``(m + 1, blocks, d, d)``.

    Args:
        factors: The same as for :func:`chain`.
        found: Its result.
        grad: ``(blocks, d, columns)``, of the product.
        stride, tree: As for :func:`chain`.
    """
    if not tree:
        return _boundaries_in_turn(factors, found[-1], grad)
    if stride > 1:
        spread = grad.new_zeros(*grad.shape[:2], grad.shape[1])
        spread[:, :, ::stride] = grad
        grad = spread
    return _boundaries_of_tree(found, grad).transpose(0, 1)


def _in_turn(factors: Tensor, stride: int, differentiable: bool) -> Tensor:
    blocks, m, d, _ = factors.shape
    if differentiable:
        start = torch.eye(d, dtype=factors.dtype, device=factors.device)[:, ::stride]
        partial = [start.expand(blocks, -1, -1)]
        for factor in factors.unbind(1):
            partial.append(factor @ partial[-1])
        return torch.stack(partial)
    found = factors.new_empty(m + 1, blocks, d, d // stride)
    found[0].zero_()[:, ::stride].diagonal(dim1=1, dim2=2).fill_(1)
    found[1] = factors[:, 0, :, ::stride]
    multiply, (matrices, states) = _each(factors.transpose(0, 1), found)
    for matrix, state, out in zip(matrices[1:], states[1:], states[2:], strict=False):
        multiply(matrix, state, out=out)
    return found


def _boundaries_in_turn(factors: Tensor, partial: Tensor, grad: Tensor) -> Tensor:
    blocks, m, d, _ = factors.shape
    # Gradients of the state before each factor, conjugate transposed, and of the last.
    rows = factors.new_empty(m + 1, blocks, grad.shape[-1], d)
    rows[m] = grad.mH
    multiply, (matrices, each) = _each(factors.transpose(0, 1), rows)
    for k in reversed(range(m)):
        multiply(each[k + 1], matrices[k], out=each[k])
    return torch.bmm(partial.flatten(0, 1), rows.flatten(0, 1)).view(m + 1, blocks, d, d)


def _each(*stacks: Tensor) -> tuple[Callable[..., Tensor], list[tuple[Tensor, ...]]]:
    """Return the call that multiplies matrices, and the ``(blocks, ., .)`` of each stack."""
    if stacks[0].shape[1] == 1:  # a single product has the cheaper call
        return torch.mm, [stack.squeeze(1).unbind(0) for stack in stacks]
    return torch.bmm, [stack.unbind(0) for stack in stacks]


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
    """Return the Z from the root to the leaves: a later factor has its parent's Z."""
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
    """Return ``left @ right`` for ``(blocks, m, d, d)``; one block needs no copy."""
    if len(left) == 1:
        return torch.bmm(left[0], right[0]).unsqueeze(0)
    return left @ right
