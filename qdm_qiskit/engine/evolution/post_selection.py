"""Norms of states after selected outcomes, and when they are nothing but rounding."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import InvalidData

__all__ = [
    "ROUNDING",
    "check_selected",
    "least_norm",
    "unit_columns",
]

ROUNDING = 16
"""Roundings in an amplitude that should be zero: gates and their cancellation leave a few of them."""


def unit_columns(state: Tensor, selections: int, before: Tensor | float = 1.0) -> Tensor:
    """Return states divided by their norms.

    Args:
        state: ``(2**n, batch)``, after the selections.
        selections: Number of outcomes that were selected.
        before: Norms of the states before, ``(1, batch)`` or one for all.

    Raises:
        InvalidData: If a state is zero, up to rounding.
    """
    norm = torch.linalg.vector_norm(state, dim=0, keepdim=True)
    check_selected(norm, selections, before)
    return state / norm


def least_norm(dtype: torch.dtype, selections: int) -> float:
    """Return the norm at and below which a state of norm 1 is nothing after selected outcomes.

    Rounding leaves an amplitude of size epsilon where a selected outcome does not happen. Several
    selections multiply: only norms below the product of their roundings are surely nothing.

    Args:
        dtype: A real precision.
        selections: Number of outcomes that were selected; 0 refuses nothing but zero itself.
    """
    return float((ROUNDING * torch.finfo(dtype).eps) ** selections) if selections else 0.0


def check_selected(norm: Tensor, selections: int, before: Tensor | float = 1.0) -> None:
    """Refuse states whose selected outcomes do not happen.

    Dividing by their norms would turn rounding errors into a state, and their slopes into gradients.

    Args:
        norm: Norms after the selections.
        selections: Number of outcomes that were selected.
        before: Norms before them.

    Raises:
        InvalidData: If one of them is nothing.
    """
    if bool((norm <= least_norm(norm.dtype, selections) * before).any()):
        raise InvalidData(
            "The selected outcomes have probability zero for a sample, or one that "
            f"{str(norm.dtype).removeprefix('torch.')} cannot tell from zero."
        )
