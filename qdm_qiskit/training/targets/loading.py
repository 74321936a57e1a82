"""Values of a circuit's inputs from amplitudes and angles, differentiable where that is possible."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...circuits import CircuitSpec
from ...circuits.loaders import ExactLoader, loader_name
from ...errors import TargetUnavailable
from ...layers.arrays import to_exact_array

__all__ = ["exact_loader_angles", "input_values"]


def input_values(spec: CircuitSpec, amplitudes: Tensor | None, inputs: Tensor | None) -> Tensor:
    """Return the values of a full circuit's ``x_...`` parameters.

    Args:
        spec: The circuit with its loader.
        amplitudes: ``(batch, 2**n)`` with unit rows, or None.
        inputs: ``(batch, num_inputs)`` in radians, or None.

    Returns:
        ``(batch, values)`` float64; ``(1, 0)`` for a circuit that takes none. It has a graph to the
        inputs, and to amplitudes that the exact loader loads.

    Raises:
        InvalidData: As :meth:`.CircuitSpec.input_values`.
        TargetUnavailable: If amplitudes need a gradient that their loader does not give.
    """
    if amplitudes is None and inputs is None:
        return torch.zeros(1, 0, dtype=torch.float64)
    plain = spec.input_values(
        None if amplitudes is None else to_exact_array(amplitudes),
        None if inputs is None else to_exact_array(inputs),
    )
    given = amplitudes if amplitudes is not None else inputs
    assert given is not None
    values = torch.from_numpy(np.ascontiguousarray(plain)).to(given.device)
    loaded = values[:, : spec.num_loader_inputs]
    if torch.is_grad_enabled() and amplitudes is not None and amplitudes.requires_grad:
        if not isinstance(spec.loading.loader, ExactLoader):
            raise TargetUnavailable(
                f"The model trains what it loads into '{spec.name}', and loader "
                f"'{loader_name(spec.loader)}' has no gradient; take the loader 'exact'."
            )
        loaded = exact_loader_angles(amplitudes, phases=spec.loading.phases)
    rest = values[:, spec.num_loader_inputs :]
    if inputs is not None:
        rest = inputs.double()
    return torch.cat([loaded, rest], dim=1)


def exact_loader_angles(vectors: Tensor, *, phases: bool = False) -> Tensor:
    """Return the angles of :func:`.amplitude_angles`, differentiable in the vectors.

    Where two neighbours are both 0 the state does not depend on the angle between them: the
    derivative there is taken as 0.

    Args:
        vectors: ``(batch, 2**n)`` real, or complex with ``phases``.
        phases: The same as for the loader.

    Returns:
        ``(batch, 2**n - 1)`` float64 in radians, twice as many with ``phases``.
    """
    values = vectors.to(torch.complex128 if vectors.is_complex() else torch.float64)
    count = values.shape[1].bit_length() - 1
    sizes = _sizes(values)
    lowest = sizes if phases else values.real if values.is_complex() else values
    levels = []
    for level in reversed(range(count)):
        pairs = lowest.reshape(len(values), 2**level, 2)
        levels.append(_multiplexed(2 * _arctan2(pairs[..., 1], pairs[..., 0])))
        lowest = _sizes(torch.complex(pairs[..., 0], pairs[..., 1]))
    angles = levels[::-1]
    if phases:
        turned = values if values.is_complex() else values.to(torch.complex128)
        phase = _arctan2(turned.imag, turned.real)
        turns = []
        for level in reversed(range(count)):
            pairs = phase.reshape(len(values), 2**level, 2)
            turns.append(_multiplexed(pairs[..., 1] - pairs[..., 0]))
            phase = pairs.mean(dim=-1)
        angles += turns[::-1]
    return torch.cat(angles, dim=1)


def _sizes(values: Tensor) -> Tensor:
    """Return absolute values, with derivative 0 at 0."""
    zero = values == 0
    return torch.where(zero, torch.ones_like(values), values).abs().masked_fill(zero, 0.0)


def _arctan2(y: Tensor, x: Tensor) -> Tensor:
    zero = (x == 0) & (y == 0)
    return torch.atan2(y, torch.where(zero, torch.ones_like(x), x)).masked_fill(zero, 0.0)


def _multiplexed(angles: Tensor) -> Tensor:
    """Return the angles of a uniformly controlled rotation in the loader's order of Gray codes."""
    count = angles.shape[-1]
    step = 1
    while step < count:
        pairs = angles.reshape(*angles.shape[:-1], count // (2 * step), 2, step)
        low, high = pairs[..., 0, :], pairs[..., 1, :]
        angles = torch.stack([low + high, low - high], dim=-2).reshape(angles.shape)
        step *= 2
    j = torch.arange(count, device=angles.device)
    return angles[..., j ^ (j >> 1)] / count
