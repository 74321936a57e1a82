"""Predictions that do not depend on what the model is shown: a check for them.

A net whose ReLUs are all below zero gives one grey image for every input, with a loss that looks like a
loss. What tells it from a model that learns is the deviation of its predictions over the inputs.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = [
    "LEAST_SPREAD",
    "SPREADS",
    "constant_predictions",
    "relative_spread",
]

LEAST_SPREAD = 0.01
"""Predictions that deviate by less than this share of what their targets do are called constant."""
SPREADS = {"model": "spread", "baseline": "baseline_spread"}
"""Learner to the metric of an epoch that holds its spread, where that is below the least."""
_NAMES = {"model": "model", "baseline": "classical U-Net beside it"}


def relative_spread(predictions: Tensor, targets: Tensor, groups: Tensor | None) -> float | None:
    """Return the predictions' deviation from their mean over the inputs, in units of the targets'.

    Args:
        predictions: ``(pairs, ...)``, real or complex.
        targets: ``(pairs, ...)``: what should have been predicted.
        groups: ``(pairs,)`` integers: pairs that have a mean of their own, such as those of one step t;
            None for one mean of all.

    Returns:
        About 1 for good predictions, 0 for constant ones; None where the targets are constant.
    """
    wanted = _deviation(targets, groups)
    return None if wanted == 0 else _deviation(predictions, groups) / wanted


def constant_predictions(row: Mapping[str, float]) -> tuple[str, ...]:
    """A warning for each learner whose predictions were constant at the end of an epoch.

    Args:
        row: Metrics of the epoch.
    """
    return tuple(
        f"The predictions of the {_NAMES[learner]} are constant: over all test inputs they deviate by "
        f"{row[key]:.2%} of what their targets do, so its loss is that of one fixed image. Take "
        "another seed or a lower learning_rate."
        for learner, key in SPREADS.items()
        if row.get(key, 1.0) < LEAST_SPREAD
    )


def _deviation(values: Tensor, groups: Tensor | None) -> float:
    """Root mean square deviation from the groups' means, over all pairs and entries."""
    flat = torch.view_as_real(values.resolve_conj()) if values.is_complex() else values
    flat = flat.flatten(1).double()
    if groups is None:
        return float((flat - flat.mean(dim=0)).square().mean().sqrt())
    _, index = torch.unique(groups, return_inverse=True)
    counts = torch.bincount(index).to(flat)[:, None]
    means = torch.zeros(len(counts), flat.shape[1]).to(flat).index_add(0, index, flat) / counts
    return float((flat - means[index]).square().mean().sqrt())
