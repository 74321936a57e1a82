"""The reverse chain, with whatever makes the predictions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..arguments import of_kind, whole_number, wrong
from ..errors import InvalidData, InvalidOption
from .base import DiffusionProcess, Predictor

__all__ = [
    "OnStep",
    "check_chain",
    "check_finite",
    "check_prediction",
    "own_step",
    "reverse_chain",
]

OnStep = Callable[[int, Tensor], Tensor | None]
"""``(t, x_t) -> None``, or the state to go on with."""


def reverse_chain(
    process: DiffusionProcess,
    prediction: Predictor,
    x: Tensor,
    generators: Callable[[int], torch.Generator],
    *,
    on_step: OnStep | None = None,
) -> Tensor:
    """Walk from x_T to x_0.

    Args:
        process: Gives the reverse step.
        prediction: The model, wherever it runs.
        x: ``(batch, ...)``: x_T.
        generators: The noise stream of each step t; streams are separate so that a chain can be
            taken up again at any step.
        on_step: Called with t - 1 and x_{t-1} after each step; a tensor that it gives back takes the
            place of x_{t-1}.

    Returns:
        x_0 as data, ``process.to_images(x_0)`` clamped to [0, 1].

    Raises:
        InvalidData: If a prediction or a state is not finite; the message names the step.
    """
    check_chain(process, prediction, x, generators)
    for step in range(process.num_steps, 0, -1):
        x = own_step(process, x, step, prediction(x, step), generators(step))
        if on_step is not None:
            changed = on_step(step - 1, x)
            x = x if changed is None else changed
    return process.to_images(x).clamp(0, 1)


def own_step(
    process: DiffusionProcess, x: Tensor, step: int, prediction: Tensor, generator: torch.Generator
) -> Tensor:
    """x_{t-1} by the process's own reverse step.

    Args:
        process: Gives the step.
        x: ``(batch, ...)``: x_t.
        step: t, 1 to T.
        prediction: The model's prediction to x_t.
        generator: The noise stream of the step.

    Raises:
        InvalidData: If the prediction is of another shape than x_t, or it or x_{t-1} is not finite.
        InvalidOption: If there is no such step.
    """
    of_kind(process, DiffusionProcess, "process")
    of_kind(x, Tensor, "x")
    if not 1 <= whole_number(step, "step") <= process.num_steps:
        raise InvalidOption(f"step is 1 to {process.num_steps}, got {step}.")
    of_kind(generator, torch.Generator, "generator")
    check_prediction(process, prediction, x, step)
    x = process.reverse_step(x, step, process.predicted_target(prediction), generator)
    check_finite(x, step, "state")
    return x


def check_chain(
    process: DiffusionProcess,
    prediction: Predictor,
    x: Tensor,
    generators: Callable[[int], torch.Generator],
) -> None:
    """Refuse what no chain can be walked with; arguments as for :func:`reverse_chain`.

    Raises:
        InvalidArgument: If one of them is of another kind.
    """
    of_kind(process, DiffusionProcess, "process", "make_process(config) makes one")
    of_kind(x, Tensor, "x")
    if not (x.is_floating_point() or x.is_complex()):  # noise would be cut down to whole numbers
        raise wrong(x.dtype, "x", "a tensor of real or complex floating-point numbers")
    for value, name in ((prediction, "prediction"), (generators, "generators")):
        if not callable(value):
            raise wrong(value, name, "a function")


def check_prediction(process: DiffusionProcess, prediction: Tensor, x: Tensor, step: int) -> None:
    """Refuse a model's prediction that is no tensor of the state's shape, or not finite.

    Args:
        process: If it compares ensembles, predictions hold the branches of a measurement and have a
            shape of their own.
        prediction: The model's, of x_t.
        x: ``(batch, ...)``: x_t.
        step: t, for the message.

    Raises:
        InvalidArgument: If it is no tensor.
        InvalidData: If it would be broadcast, or holds NaN or an infinity.
    """
    of_kind(prediction, Tensor, "prediction(x, t)")
    if prediction.shape != x.shape and not process.compares_ensembles:
        raise InvalidData(
            f"A model's prediction has the shape of x_t, {tuple(x.shape)}, got "
            f"{tuple(prediction.shape)} at step t={step}."
        )
    check_finite(prediction, step, "prediction")


def check_finite(values: Tensor, step: int, what: str) -> None:
    """Refuse values of a chain that are NaN or infinite; a clamp would make pixels of the latter.

    Args:
        values: ``(batch, ...)``, real or complex.
        step: t, for the message.
        what: "prediction" or "state", for the message.

    Raises:
        InvalidData: With the step and the first such sample.
    """
    of_kind(values, Tensor, "values")
    finite = torch.isfinite(values)
    if bool(finite.all()):
        return
    sample = int((~finite).reshape(len(values) if values.ndim else 1, -1).any(dim=1).nonzero()[0])
    raise InvalidData(
        f"Sampling left the finite numbers at step t={step}: the {what} of sample {sample} holds NaN "
        "or infinite values. Train for longer, or with a smaller beta_end, or choose another scheduler."
    )
