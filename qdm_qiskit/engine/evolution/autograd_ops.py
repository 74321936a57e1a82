"""Products of many small matrices, and other functions that autograd alone would do slowly."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def in_full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """A function that autocast leaves alone.

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
    """The numbers one after the other in memory, as machine code reads them.

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
    """Row ``i`` of the result is row ``index[i]``; ``inverse`` is the inverse permutation."""
    if not x.requires_grad:
        return x.index_select(0, index)
    return _PermuteRows.apply(x, index, inverse)


def turned(values: Tensor, phase: Tensor) -> Tensor:
    """``values * exp(i phase)``; torch.polar has a wrong gradient for negative values (torch 2.13)."""
    return torch.complex(values * torch.cos(phase), values * torch.sin(phase))
