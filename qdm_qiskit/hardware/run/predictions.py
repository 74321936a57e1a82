"""How far a chain's predictions still move, which says what holding one would cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["prediction_change"]


def prediction_change(predictions: Sequence[Tensor]) -> float | None:
    """Return the root mean square change between the last two predictions; None of less than two."""
    if len(predictions) < 2:
        return None
    before, last = predictions[-2:]
    return float((last - before).abs().double().square().mean().sqrt())
