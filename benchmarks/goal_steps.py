"""Steps that a loss takes to a goal."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["steps_to"]


def steps_to(values: Sequence[float], goal: float, most: int) -> int:
    """Return the steps until the loss is at most the goal; one more than the most where it never is.

    Args:
        values: Losses: before the first step, and after each.
        goal: Loss to get to.
        most: Steps that were taken.
    """
    return next((step for step, value in enumerate(values) if value <= goal), most + 1)
