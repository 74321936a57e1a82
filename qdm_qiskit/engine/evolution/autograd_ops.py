"""Functions of states that autograd alone would differentiate slowly."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

__all__ = [
    "P",
    "R",
    "in_full_precision",
    "mixed_product",
    "outer",
    "packed",
    "permute_rows",
    "squared_modulus",
    "turned",
]

P = ParamSpec("P")
R = TypeVar("R")


def in_full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that autocast leaves alone.

    Amplitudes and gradients keep the precision that they are asked for: torch would round products of
    real matrices to three digits, and leave those of complex matrices alone.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                with torch.autocast(device, enabled=False):
                    return function(*args, **kwargs)
        return function(*args, **kwargs)

    return run


def packed(tensor: Tensor) -> Tensor:
    """Return the numbers one after the other in memory, as machine code reads them.

    A conjugate may be a flag on the tensor, which ``contiguous()`` leaves where nothing has to move.
    """
    return tensor.resolve_conj().resolve_neg().contiguous()


class _PermuteRows(torch.autograd.Function):
    """``x[index]`` for a permutation; its gradient is a gather too, not a scatter."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        ctx.inverse = inverse
        return x.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad.index_select(0, ctx.inverse), None, None


def permute_rows(x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
    """Return the rows so that row ``i`` is row ``index[i]``; ``inverse`` undoes ``index``."""
    if not x.requires_grad:
        return x.index_select(0, index)
    return _PermuteRows.apply(x, index, inverse)


def turned(values: Tensor, phase: Tensor) -> Tensor:
    """Return ``values * exp(i phase)``; torch.polar has a wrong gradient for negative values (2.13)."""
    return torch.complex(values * torch.cos(phase), values * torch.sin(phase))


def mixed_product(matrix: Tensor, x: Tensor) -> Tensor:
    """Return ``matrix @ x`` for ``(high, d, columns)``; a real factor halves the arithmetic."""
    if matrix.is_complex() == x.is_complex():
        return _product(matrix, x)
    if x.is_complex():
        pairs = torch.view_as_real(x)
        return torch.view_as_complex(_product(matrix, pairs.flatten(-2)).unflatten(-1, (-1, 2)))
    # One complex product: two real ones, put together, take longer, and so does their gradient.
    return _product(matrix, x.to(matrix.dtype))


def _product(matrix: Tensor, x: Tensor) -> Tensor:
    if len(x) == 1:
        return torch.mm(
            matrix, x.squeeze(0)
        )  # x[0] would fill a whole state with zeros on the way back
    # torch.matmul would fold the batch into the columns, which copies x and the result.
    return torch.bmm(matrix.expand(len(x), -1, -1), x)


class _Outer(torch.autograd.Function):
    """:func:`outer`; autograd's own form conjugates and broadcasts more than it has to."""

    @staticmethod
    def forward(ctx: Any, high: Tensor, low: Tensor) -> Tensor:
        ctx.save_for_backward(high, low)
        return high.unsqueeze(1) * low.unsqueeze(0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        high, low = ctx.saved_tensors
        to_high = to_low = None
        if ctx.needs_input_grad[0]:
            to_high = (grad * low.conj().resolve_conj()).sum(1)
            if high.shape[1] < grad.shape[2]:
                to_high = to_high.sum(1, keepdim=True)
        if ctx.needs_input_grad[1]:
            to_low = (grad * high.conj().resolve_conj().unsqueeze(1)).sum(0)
            if low.shape[1] < grad.shape[2]:
                to_low = to_low.sum(1, keepdim=True)
        return to_high, to_low


def outer(high: Tensor, low: Tensor) -> Tensor:
    """Return the product of ``(a, batch)`` and ``(b, batch)``, ``(a, b, batch)``.

    A batch of 1 is every sample's.
    """
    # Forward mode, which runs without gradients of this kind, needs the plain form.
    wanted = high.requires_grad or low.requires_grad
    return _Outer.apply(high, low) if wanted else high.unsqueeze(1) * low.unsqueeze(0)


class _SquaredModulus(torch.autograd.Function):
    """``|x|**2``, perhaps of some rows only; autograd's own forms take up to seven times as long."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, axis: int, outcome: int) -> Tensor:
        ctx.place = axis, outcome
        ctx.save_for_backward(x)
        chosen = _rows_with(x, axis, outcome)
        # A complex product runs at the speed of memory; abs() takes roots, and a sum over pairs of
        # real and imaginary parts is not vectorised (torch 2.13).
        return (chosen * chosen.conj()).real.reshape(-1, x.shape[-1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        axis, outcome = ctx.place
        chosen = _rows_with(x, axis, outcome)
        values = chosen * (2 * grad).reshape(chosen.shape)
        if axis < 0:
            return values, None, None
        full = torch.zeros_like(x)
        _rows_with(full, axis, outcome).copy_(values)
        return full, None, None


def _rows_with(x: Tensor, axis: int, outcome: int) -> Tensor:
    """Return the rows in which one of the axes has an outcome; all of them for the axis -1."""
    return x if axis < 0 else x.view(2**axis, 2, -1, x.shape[-1]).select(1, outcome)


def squared_modulus(state: Tensor, axis: int = -1, outcome: int = 0) -> Tensor:
    """Return ``|x|**2`` of all rows, or of those in which an axis has an outcome.

    Args:
        state: ``(2**k, batch)``.
        axis: The k axes count from the most significant one; -1 for all rows.
        outcome: 0 or 1.

    Returns:
        Real, ``(2**k, batch)``, or half as many rows.
    """
    if state.is_complex():
        return _SquaredModulus.apply(state.contiguous(), axis, outcome)
    chosen = _rows_with(state, axis, outcome)
    return (chosen * chosen).reshape(-1, state.shape[-1])
