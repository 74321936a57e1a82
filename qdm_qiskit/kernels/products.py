"""Kernel matrices of features: one matrix product, tile by tile.

A kernel of n inputs costs n runs of a circuit and one product, not n**2 circuits. Features are real
rows:

- ``overlap``: real and imaginary parts of states side by side; ``|<a|b>|**2``;
- ``trace``: real and imaginary parts of density matrices; ``tr(rho sigma)``;
- ``gauss``: Bloch vectors of all qubits; ``exp(-gamma sum_k |rho_k - sigma_k|**2)`` in the Frobenius
  norm, which is half of the squared distance of Bloch vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from ..engine.noise.memory import check_memory

__all__ = ["TILE", "Form", "Tile", "check_room", "product", "tiled_product"]

Form = Literal["overlap", "trace", "gauss"]
Tile: TypeAlias = Callable[[slice, slice], Tensor]
"""Function of rows and columns that makes a part of the matrix."""
TILE = 1024
"""Rows and columns of a tile, which stays in the cache between its product and what follows."""


def product(form: Form, a: Tensor, b: Tensor, gamma: float = 1.0) -> Tensor:
    """Return the kernel of all pairs of rows; differentiable.

    Args:
        form: The kernel's form.
        a: ``(m, width)`` real features.
        b: ``(n, width)``.
        gamma: Factor of ``gauss``.

    Returns:
        ``(m, n)`` real.
    """
    if form == "trace":
        return a @ b.T
    if form == "gauss":
        squared = _squares(a)[:, None] + _squares(b)[None, :] - 2 * (a @ b.T)
        return torch.exp(-0.5 * gamma * squared.clamp_min(0))
    half = a.shape[1] // 2
    if not bool(a[:, half:].detach().any()) and not bool(b[:, half:].detach().any()):
        # Derivatives in imaginary parts are zero where all of these are.
        return (a[:, :half] @ b[:, :half].T).square()
    turned = torch.cat([b[:, half:], -b[:, :half]], dim=1)
    return (a @ b.T).square() + (a @ turned.T).square()


@torch.no_grad()
def tiled_product(form: Form, a: Tensor, b: Tensor | None, gamma: float = 1.0) -> Tensor:
    """Return the same matrix without a graph, made in tiles.

    Args:
        form, a, gamma: As for :func:`product`.
        b: As for :func:`product`; None for ``a`` itself, whose matrix is made from half of its tiles
            and is symmetric to the bit.

    Returns:
        ``(m, n)`` real.
    """
    other = a if b is None else b
    found = a.new_empty(len(a), len(other))
    if form == "overlap":
        half = a.shape[1] // 2
        if not bool(a[:, half:].any()) and not bool(other[:, half:].any()):
            a, other = a[:, :half].contiguous(), other[:, :half].contiguous()
            return _tiles(found, lambda i, j: (a[i] @ other[j].T).square_(), symmetric=b is None)
        turned = torch.cat([other[:, half:], -other[:, :half]], dim=1)
        return _tiles(
            found,
            lambda i, j: (a[i] @ other[j].T).square_().add_((a[i] @ turned[j].T).square_()),
            symmetric=b is None,
        )
    if form == "trace":
        return _tiles(found, lambda i, j: a[i] @ other[j].T, symmetric=b is None)
    left, right = _squares(a)[:, None], _squares(other)[None, :]

    def gauss(i: slice, j: slice) -> Tensor:
        squared = torch.addmm(left[i] + right[:, j], a[i], other[j].T, alpha=-2)
        return squared.clamp_min_(0).mul_(-0.5 * gamma).exp_()

    return _tiles(found, gauss, symmetric=b is None)


def check_room(rows: int, columns: int, numbers: int, item: int) -> None:
    """Refuse a matrix that the memory cannot hold, before anything is computed.

    Args:
        rows, columns: Of the matrix.
        numbers: Real numbers of a row's features.
        item: Bytes of a number.

    Raises:
        InvalidData: With what is needed and what there is.
    """
    features = 3 * (rows + columns) * numbers  # as they are made, as they are kept, and turned
    check_memory(
        item * (rows * columns + features),
        torch.device("cpu"),
        f"A kernel of {rows} x {columns} pairs with {numbers} numbers a row",
        "take fewer rows, or float32",
    )


def _tiles(found: Tensor, tile: Tile, *, symmetric: bool) -> Tensor:
    rows, columns = found.shape
    for top in range(0, rows, TILE):
        i = slice(top, min(top + TILE, rows))
        for left in range(top if symmetric else 0, columns, TILE):
            j = slice(left, min(left + TILE, columns))
            made = tile(i, j)
            if symmetric and left == top:
                made = torch.tril(made) + torch.tril(made, -1).T
            found[i, j] = made
            if symmetric and left > top:
                found[j, i] = made.T
    return found


def _squares(rows: Tensor) -> Tensor:
    return rows.square().sum(dim=1)
