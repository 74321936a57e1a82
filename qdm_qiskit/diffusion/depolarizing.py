"""Diffusion of ensembles of pure states towards Haar-random ones (QuDDPM, arXiv:2310.05866)."""

from __future__ import annotations

import math
from typing import Literal, final, get_args

import torch
from torch import Tensor

from ..errors import InvalidData, InvalidOption
from .base import check_start
from .ensemble_process import EnsembleProcess
from .ensembles import EnsembleLoss, ensemble_losses

__all__ = [
    "ANGLE_VARIANCE",
    "LEFT_AT_LAST",
    "Depolarizing",
    "Scrambler",
    "closed_form",
]

Scrambler = Literal["haar", "gates"]
"""A state becomes a Haar-random one with some probability, or all are turned a little by gates."""
ANGLE_VARIANCE = 15.0
"""Sum over all steps of the variance of an angle, in radians squared, with gates."""
LEFT_AT_LAST = 0.02
"""a_T with ``haar``."""


@final
class Depolarizing(EnsembleProcess):
    """Ensembles whose mean state is ``a_t rho_0 + (1 - a_t) I/d``.

    With ``haar``, a step replaces a state by a Haar-random one with a probability ``p_t`` that makes
    ``a_t = prod (1 - p_s)`` fall evenly from 1 to 0.02. With ``gates``, every qubit is turned about a
    random axis by a normal angle of variance ``v_t``, and every pair of qubits about ZZ by as much; v_t
    grows with t and sums to 15. For one qubit ``a_t = prod (1 + 2 exp(-v_s/2)) / 3``; for more there is
    no such form, but the end is random as well.

    The reverse step is a circuit with ancillas, one of whose outcomes is drawn. A model predicts
    all of them: unnormalised states ``(batch, outcomes, d)``. See :class:`.EnsembleProcess`.

    Args:
        num_steps: T, at least 1.
        scrambler: How states are diffused.
        loss: Distance of ensembles; see :func:`~qdm_qiskit.diffusion.ensembles.ensemble_losses`.

    Raises:
        InvalidOption: If an option is unknown or out of range.
    """

    state_space = "complex"

    def __init__(
        self, num_steps: int = 6, *, scrambler: Scrambler = "gates", loss: EnsembleLoss = "mmd"
    ) -> None:
        super().__init__(num_steps)
        if scrambler not in ("haar", "gates"):
            raise InvalidOption(f"scrambler is 'haar' or 'gates', got {scrambler!r}.")
        if loss not in get_args(EnsembleLoss):
            raise InvalidOption(
                f"ensemble_loss is mmd, wasserstein, trace, fidelity or projected; got {loss!r}."
            )
        self.scrambler: Scrambler = scrambler
        self.loss: EnsembleLoss = loss

    def signal(self) -> Tensor:
        """a_0 .. a_T in float64; with gates, of a single qubit."""
        step = torch.arange(self.num_steps + 1, dtype=torch.float64)
        if self.scrambler == "haar":
            return 1 - (1 - LEFT_AT_LAST) * step / self.num_steps
        variance = 2 * ANGLE_VARIANCE * step / (self.num_steps * (self.num_steps + 1))
        return torch.cumprod((1 + 2 * torch.exp(-variance / 2)) / 3, dim=0)

    def to_states(self, images: Tensor) -> Tensor:
        """Unit states ``(batch, d)`` of arrays ``(batch, 1, 2, d)``; see :mod:`qdm_qiskit.data.states`.

        Raises:
            InvalidData: If the arrays have another shape or d is no power of two.
        """
        width = images.shape[-1]
        if images.ndim != 4 or images.shape[1:3] != (1, 2) or width & (width - 1):
            raise InvalidData(
                f"Process 'depolarizing' takes states of shape (batch, 1, 2, 2**n), got "
                f"{tuple(images.shape)}: choose a data set of states."
            )
        parts = 2 * images - 1
        states = torch.complex(parts[:, 0, 0].contiguous(), parts[:, 0, 1].contiguous())
        return states / torch.linalg.vector_norm(states, dim=1, keepdim=True)

    def to_images(self, states: Tensor) -> Tensor:
        """The inverse of :meth:`to_states`."""
        return (torch.stack([states.real, states.imag], dim=1)[:, None] + 1) / 2

    def trajectory(self, x_0: Tensor, generator: torch.Generator) -> Tensor:
        """One forward path for each state, ``(T + 1, batch, d)`` from ``(batch, d)``."""
        path, signal = [x_0], self.signal().tolist()
        for step in range(1, self.num_steps + 1):
            if self.scrambler == "haar":
                probability = 1 - signal[step] / signal[step - 1]
                lost = torch.rand(len(x_0), 1, generator=generator) < probability
                fresh = self.start(tuple(x_0.shape), generator)
                path.append(torch.where(lost.to(x_0.device), fresh.to(x_0), path[-1]))
            else:
                variance = 2 * ANGLE_VARIANCE * step / (self.num_steps * (self.num_steps + 1))
                path.append(_turned(path[-1], math.sqrt(variance), generator))
        return torch.stack(path)

    def distances(self, outcomes: Tensor, target: Tensor) -> Tensor:
        """See :meth:`.EnsembleProcess.distances`."""
        return ensemble_losses(self.loss, outcomes, target)

    def certain(self, states: Tensor) -> Tensor:
        """See :meth:`.EnsembleProcess.certain`."""
        return states[:, None]

    def start(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Haar-random states, complex64."""
        check_start(shape, generator)
        parts = torch.randn(*shape, 2, generator=generator)
        states = torch.view_as_complex(parts)
        return states / torch.linalg.vector_norm(states, dim=1, keepdim=True)

    def reverse_step(
        self, x: Tensor, step: int, prediction: Tensor, generator: torch.Generator
    ) -> Tensor:
        """One of the outcomes, drawn by its probability and normalised."""
        probabilities = prediction.abs().square().sum(dim=2)
        drawn = torch.multinomial(probabilities.cpu(), 1, generator=generator)[:, 0]
        states = prediction[torch.arange(len(x)), drawn.to(prediction.device)]
        return states / torch.linalg.vector_norm(states, dim=1, keepdim=True)


def _turned(states: Tensor, size: float, generator: torch.Generator) -> Tensor:
    """Turn every qubit about a random axis and every pair about ZZ, by angles of deviation ``size``."""
    batch, width = states.shape
    count = width.bit_length() - 1
    axis = torch.randn(batch, count, 3, generator=generator)
    axis = axis / torch.linalg.vector_norm(axis, dim=2, keepdim=True)
    half = size / 2 * torch.randn(batch, count, 1, generator=generator)
    x, y, z = (axis * half.sin()).to(states.real).unbind(2)
    cos = half[..., 0].cos().to(states.real)
    rows = (
        torch.complex(cos, -z),
        torch.complex(-y, -x),
        torch.complex(y, -x),
        torch.complex(cos, z),
    )
    gates = torch.stack(rows, dim=2).reshape(batch, count, 2, 2)
    for qubit in range(count):
        split = states.reshape(batch, -1, 2, 2**qubit)
        states = torch.einsum("bij,bajc->baic", gates[:, qubit], split).reshape(batch, width)
    if count == 1:
        return states
    bits = torch.arange(width)[:, None] >> torch.arange(count) & 1
    signs = (1 - 2 * bits).to(torch.float32)
    upper = torch.triu_indices(count, count, offset=1)
    products = signs[:, upper[0]] * signs[:, upper[1]]  # (d, pairs)
    angles = size / 2 * torch.randn(batch, products.shape[1], generator=generator)
    phase = (angles @ products.T).to(states.real)
    return states * torch.polar(torch.ones_like(phase), -phase)


def closed_form(rho_0: Tensor, signal: float) -> Tensor:
    """``a rho_0 + (1 - a) I/d`` for a density matrix ``(d, d)``.

    Raises:
        InvalidOption: If ``a`` is outside [0, 1].
    """
    if not (math.isfinite(signal) and 0 <= signal <= 1):
        raise InvalidOption(f"The signal a lies in [0, 1], got {signal}.")
    width = len(rho_0)
    return signal * rho_0 + (1 - signal) * torch.eye(width, dtype=rho_0.dtype) / width
