"""Weights that have no gradient: what a run on a target should say it cannot train."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn

__all__ = [
    "LEAST_GRADIENT",
    "GradientRecord",
    "still_sentence",
]

LEAST_GRADIENT = 1e-9
"""Gradient up to which a weight is said to have none: Adam, which adds 1e-8 to a gradient's size
before it divides by it, moves such a weight by less than a tenth of the step size."""
_MOST_LISTED = 8


@final
class GradientRecord:
    """Largest gradient of each weight of a model over some steps."""

    def __init__(self) -> None:
        self._largest: dict[str, Tensor] = {}

    def add(self, model: nn.Module) -> None:
        """Add the gradients that a backward pass has left."""
        for name, weight in model.named_parameters():
            if not weight.requires_grad:
                continue
            now = torch.zeros_like(weight) if weight.grad is None else weight.grad.detach().abs()
            known = self._largest.get(name)
            self._largest[name] = now if known is None else torch.maximum(known, now)

    def still(self) -> dict[str, tuple[int, ...]]:
        """Return the positions in each flattened tensor whose gradient was never above the least.

        >>> record, layer = GradientRecord(), nn.Linear(2, 1, bias=False)
        >>> layer(torch.tensor([1.0, 0.0])).sum().backward()
        >>> record.add(layer)
        >>> record.still()
        {'weight': (1,)}
        """
        found = {
            name: tuple((each.flatten() <= LEAST_GRADIENT).nonzero().flatten().tolist())
            for name, each in self._largest.items()
        }
        return {name: places for name, places in found.items() if places}


def still_sentence(still: Mapping[str, tuple[int, ...]], model: nn.Module) -> str:
    """Return one line on weights without a gradient.

    Args:
        still: Of :meth:`GradientRecord.still`.
        model: Whose weights they are.
    """
    sizes = {name: weight.numel() for name, weight in model.named_parameters()}
    words = []
    for name, places in still.items():
        if len(places) == sizes[name]:
            words.append(f"all {len(places)} of {name}")
            continue
        listed = ", ".join(map(str, places[:_MOST_LISTED]))
        more = ", ..." if len(places) > _MOST_LISTED else ""
        words.append(f"{len(places)} of {sizes[name]} of {name} ({listed}{more})")
    return (
        f"These weights had no gradient above {LEAST_GRADIENT:g} in the first epoch and stay about "
        "where they are, as phases in front of a measurement, offsets in front of a normalisation and "
        f"what no image reaches do: {'; '.join(words)}."
    )
