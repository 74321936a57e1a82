"""From a model's images to the values of its circuit, for whatever runs the circuit outside torch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..layers.arrays import exact, to_exact_array
from ..layers.quantum_layer import normalised
from ..models import CircuitDenoiser, Denoiser


@torch.no_grad()
def encoded(
    model: CircuitDenoiser, x: Tensor, labels: Tensor | None, time: float | None = None
) -> tuple[Tensor | None, Tensor | None]:
    """What a model's circuit is given for images, free of the model's device, type and graph.

    Args:
        model: The model, wherever it is.
        x: ``(batch, *state_shape)``, wherever they are.
        labels: ``(batch,)`` class indices of guided models, else None.
        time: In (0, 1], the step divided by the number of steps; None where the circuit has no time.

    Returns:
        Amplitudes ``(batch, 2**n)`` with unit rows and inputs ``(batch, num_inputs)``, each None where
        the circuit takes none; on the CPU, in float64 or complex128, without a graph.
    """
    place = device_of(model)
    t = None if time is None else torch.full((len(x),), time, device=place)
    told = None if labels is None else labels.to(place)
    amplitudes, inputs = model.encode_at(x.to(place), t, told)
    if amplitudes is not None:
        amplitudes = exact(normalised(amplitudes, model.spec.num_amplitudes)).cpu()
    return amplitudes, None if inputs is None else exact(inputs).cpu()


def circuit_values(
    model: CircuitDenoiser, amplitudes: Tensor | None, inputs: Tensor | None
) -> np.ndarray:
    """Values of the full circuit's parameters, see :meth:`~.CircuitSpec.input_values`.

    Args:
        model: The model.
        amplitudes: ``(batch, 2**n)`` of any norm, or None; what a model's ``encode`` gives will do.
        inputs: ``(batch, num_inputs)`` or None, likewise.

    Returns:
        ``(batch, number of x_ parameters)`` float64.
    """
    return model.spec.input_values(
        None if amplitudes is None else to_exact_array(amplitudes),
        None if inputs is None else to_exact_array(inputs),
    )


def device_of(model: Denoiser) -> torch.device:
    """Where the model's weights are."""
    return next((each.device for each in model.parameters()), torch.device("cpu"))
