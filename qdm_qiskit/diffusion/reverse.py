"""The reverse chain, with whatever makes the predictions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .base import Answer, DiffusionProcess

OnStep = Callable[[int, Tensor], Tensor | None]
"""``(t, x_t) -> None``, or the state to go on with."""


def reverse_chain(
    process: DiffusionProcess,
    answer: Answer,
    x: Tensor,
    generators: Callable[[int], torch.Generator],
    *,
    on_step: OnStep | None = None,
) -> Tensor:
    """Walk from x_T to x_0.

    Args:
        process: Gives the reverse step.
        answer: The model, wherever it runs.
        x: ``(batch, ...)``: x_T.
        generators: The noise stream of each step t; streams are separate so that a chain can be
            taken up again at any step.
        on_step: Called with t - 1 and x_{t-1} after each step; a tensor that it gives back takes the
            place of x_{t-1}.

    Returns:
        x_0 as data, ``process.to_images(x_0)`` clamped to [0, 1].
    """
    for step in range(process.num_steps, 0, -1):
        prediction = process.prediction(answer(x, step))
        x = process.reverse_step(x, step, prediction, generators(step))
        if on_step is not None:
            changed = on_step(step - 1, x)
            x = x if changed is None else changed
    return process.to_images(x).clamp(0, 1)
