"""Counts drawn from probabilities."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import InvalidData

__all__ = [
    "DRAWN_AT_ONCE",
    "NORM_TOLERANCE",
    "draw_counts",
    "draw_selected",
]

DRAWN_AT_ONCE = 2**22
"""Random numbers that are held at once, 32 MiB."""
NORM_TOLERANCE = 1e-3
"""Most by which rounding may move a row's sum of probabilities from 1."""


def draw_counts(
    probabilities: Tensor, shots: int, generator: torch.Generator | None = None
) -> Tensor:
    """Draw shots.

    Args:
        probabilities: ``(batch, outcomes)``; negative rounding errors count as 0, and each row is
            normalised.
        shots: Number for each row, at least 1.
        generator: On the CPU; torch's own if None.

    Returns:
        ``(batch, outcomes)`` int64 on the CPU, each row with ``shots`` in all.

    Raises:
        InvalidData: If shots are below 1, or a row is not finite or sums to 0.
    """
    if shots < 1:
        raise InvalidData(f"shots is at least 1, got {shots}.")
    weights = probabilities.detach().to("cpu", torch.float64).clamp_min(0)
    totals = weights.sum(1, keepdim=True)
    if not torch.isfinite(weights).all() or bool((totals <= 0).any()):
        raise InvalidData(
            "probabilities are finite and each row has a positive sum, got another row."
        )
    edges = (weights / totals).cumsum(1)
    counts = torch.zeros(weights.shape, dtype=torch.int64)
    size = max(1, DRAWN_AT_ONCE // max(1, len(weights)))
    for start in range(0, shots, size):
        drawn = min(size, shots - start)
        draws = torch.rand(len(weights), drawn, generator=generator, dtype=torch.float64)
        found = torch.searchsorted(edges, draws * edges[:, -1:], right=True)
        found = found.clamp_max(weights.shape[1] - 1)
        counts.scatter_add_(1, found, torch.ones_like(found))
    return counts


def draw_selected(
    probabilities: Tensor,
    shots: int,
    *,
    selects: bool,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw shots, of which a selection may drop some.

    Args:
        probabilities: ``(batch, outcomes)``.
        shots, generator: As for :func:`draw_counts`.
        selects: True if a row's distance from 1 is the probability that a shot is dropped; if not,
            rows sum to 1.

    Returns:
        ``(batch, outcomes)`` int64 on the CPU, without the dropped shots.

    Raises:
        InvalidData: As for :func:`draw_counts`, or if a row sums to more than 1, or to less
            without a selection.
    """
    wide = probabilities.detach().to("cpu", torch.float64)
    totals = wide.sum(1, keepdim=True)
    low, high = float(totals.min()), float(totals.max())
    if high > 1 + NORM_TOLERANCE or (not selects and low < 1 - NORM_TOLERANCE):
        raise InvalidData(
            "Shots are drawn from states of norm 1, got probabilities that sum to "
            f"{low:.6g} .. {high:.6g}; normalise the initial states."
        )
    if not selects:
        return draw_counts(wide, shots, generator)
    dropped = (1 - totals).clamp_min(0)
    return draw_counts(torch.cat([wide, dropped], dim=1), shots, generator)[:, :-1]
