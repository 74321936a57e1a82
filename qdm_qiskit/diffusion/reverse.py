"""The reverse chain, with whatever makes the predictions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import InvalidData
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

    Raises:
        InvalidData: If an answer or a state is not finite; the message names the step.
    """
    for step in range(process.num_steps, 0, -1):
        x = own_step(process, x, step, answer(x, step), generators(step))
        if on_step is not None:
            changed = on_step(step - 1, x)
            x = x if changed is None else changed
    return process.to_images(x).clamp(0, 1)


def own_step(
    process: DiffusionProcess, x: Tensor, step: int, answer: Tensor, generator: torch.Generator
) -> Tensor:
    """x_{t-1} by the process's own reverse step.

    Args:
        process: Gives the step.
        x: ``(batch, ...)``: x_t.
        step: t.
        answer: The model's answer to x_t.
        generator: The noise stream of the step.

    Raises:
        InvalidData: If the answer or x_{t-1} is not finite.
    """
    check_finite(answer, step, "prediction")
    x = process.reverse_step(x, step, process.prediction(answer), generator)
    check_finite(x, step, "state")
    return x


def check_finite(values: Tensor, step: int, what: str) -> None:
    """Refuse values of a chain that are NaN or infinite; a clamp would make pixels of the latter.

    Args:
        values: ``(batch, ...)``, real or complex.
        step: t, for the message.
        what: "prediction" or "state", for the message.

    Raises:
        InvalidData: With the step and the first such sample.
    """
    finite = torch.isfinite(values)
    if bool(finite.all()):
        return
    sample = int((~finite).flatten(1).any(dim=1).nonzero()[0])
    raise InvalidData(
        f"Sampling left the finite numbers at step t={step}: the {what} of sample {sample} holds NaN "
        "or infinite values. Train for longer, or with a smaller beta_end, or choose another scheduler."
    )
