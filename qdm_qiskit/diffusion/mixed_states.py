"""Diffusion of ensembles of mixed states, each a product of single qubits.

A mixed state of a qubit is its Bloch vector r of length at most 1, ``rho = (I + r.sigma) / 2``; a state
of n qubits here is ``rho_1 x ... x rho_n``, an array of ``3 n`` real numbers, qubit 0 first.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ..errors import InvalidData, InvalidOption
from .base import check_start
from .ensemble_process import EnsembleProcess
from .ensembles import EnsembleLoss, chords, transport, weighted_mmd

__all__ = [
    "LEFT_AT_LAST",
    "MIXED_LOSSES",
    "MixedStates",
    "fidelities",
    "in_ball",
    "mixed_losses",
    "product_overlaps",
]

MIXED_LOSSES: tuple[EnsembleLoss, ...] = ("mmd", "wasserstein", "fidelity", "projected")
"""Distances of :func:`mixed_losses`."""
LEFT_AT_LAST = 0.02
"""a_T."""
_NO_WEIGHT = 1e-9
"""An outcome of no probability has no state; it keeps this weight, and no gradient trouble."""


def in_ball(states: Tensor) -> Tensor:
    """Bloch vectors ``(..., 3 n)``, of which those longer than 1 are shortened to 1."""
    vectors = states.unflatten(-1, (-1, 3))
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return (vectors / length.clamp(min=1)).flatten(-2)


def product_overlaps(left: Tensor, right: Tensor) -> Tensor:
    """``Tr(rho sigma)`` of all pairs, ``(..., m, k)`` from ``(..., m, 3 n)`` and ``(..., k, 3 n)``."""
    one, other = left.unflatten(-1, (-1, 3)), right.unflatten(-1, (-1, 3))
    return ((1 + torch.einsum("...mqa,...kqa->...mkq", one, other)) / 2).prod(dim=-1)


def fidelities(left: Tensor, right: Tensor) -> Tensor:
    """Uhlmann's fidelity of each pair of rows, ``(...)`` from ``(..., 3 n)`` twice.

    Of a qubit it is ``(1 + r.s + sqrt((1 - r.r) (1 - s.s))) / 2``, of a product the product.
    """
    one, other = left.unflatten(-1, (-1, 3)), right.unflatten(-1, (-1, 3))
    mixed = (1 - one.square().sum(-1)).clamp_min(0) * (1 - other.square().sum(-1)).clamp_min(0)
    return ((1 + (one * other).sum(-1) + mixed.clamp_min(_NO_WEIGHT).sqrt()) / 2).prod(dim=-1)


def mixed_losses(kind: EnsembleLoss, outcomes: Tensor, target: Tensor) -> Tensor:
    """The distance of generated ensembles from target ensembles, one for each group.

    ``wasserstein``: optimal transport, smoothed by a little entropy, with cost
    ``sum_k Tr (rho_k - sigma_k)**2`` over the qubits k. ``projected``: maximum mean discrepancy,
    unbiased, with the kernel ``exp(-sum_k Tr (rho_k - sigma_k)**2)``. ``mmd``: with the kernel
    ``Tr(rho sigma)``, which sees the mean of the products and nothing else. ``fidelity``: mean
    infidelity of each sample and its own target.

    Args:
        kind: The distance.
        outcomes: ``(groups, samples, outcomes, 1 + 3 n)``: the probability p of each outcome, and p
            times the Bloch vectors that it leaves.
        target: ``(groups, samples, 3 n)``.

    Returns:
        ``(groups,)``.
    """
    weight = outcomes[..., 0].clamp_min(_NO_WEIGHT)
    made = outcomes[..., 1:] / weight[..., None]
    if kind == "mmd":
        return weighted_mmd(product_overlaps, weight, made, target)
    if kind == "projected":
        return weighted_mmd(chords, weight, made, target)
    if kind == "fidelity":
        found = fidelities(made, target[:, :, None].expand_as(made))
        return 1 - (weight * found).sum(dim=2).mean(dim=1)
    rows = made.flatten(1, 2)
    squared = rows.square().sum(2)[:, :, None] + target.square().sum(2)[:, None, :]
    cost = (squared - 2 * rows @ target.transpose(1, 2)).clamp_min(0) / 2
    return transport(weight.flatten(1), cost)


@final
class MixedStates(EnsembleProcess):
    """``rho_t = a_t rho_0 + (1 - a_t) sigma`` for each qubit, with one random sigma for each path.

    Sigma is drawn by the Hilbert-Schmidt measure: its Bloch vector is uniform in the ball. Over sigma
    the mean is the depolarizing channel, ``a_t rho_0 + (1 - a_t) I/2``, and a_t falls evenly from 1 to
    0.02.

    A model predicts ``(batch, outcomes, 1 + 3 n)``; see :func:`mixed_losses`. The reverse step draws an
    outcome by its probability; probabilities below 0 and Bloch vectors longer than 1, which counts of
    different circuits can give, are set to 0 and shortened to 1.

    Args:
        num_steps: T, at least 1.
        loss: Distance of ensembles.

    Raises:
        InvalidOption: If an option is unknown or out of range.
    """

    state_space = "real"

    def __init__(self, num_steps: int = 6, *, loss: EnsembleLoss = "projected") -> None:
        super().__init__(num_steps)
        if loss not in MIXED_LOSSES:
            raise InvalidOption(
                f"ensemble_loss of mixed states is one of {', '.join(MIXED_LOSSES)}, got {loss!r}."
            )
        self.loss: EnsembleLoss = loss

    def signal(self) -> Tensor:
        """a_0 .. a_T in float64."""
        step = torch.arange(self.num_steps + 1, dtype=torch.float64)
        return 1 - (1 - LEFT_AT_LAST) * step / self.num_steps

    def to_states(self, images: Tensor) -> Tensor:
        """Bloch vectors ``(batch, 3 n)`` of data ``(batch, 3 n)`` in [0, 1], inside of the ball.

        Raises:
            InvalidData: If the data are no rows of three numbers a qubit.
        """
        if images.ndim != 2 or images.shape[1] % 3 or not images.shape[1]:
            raise InvalidData(
                "Process 'mixed_states' takes rows of 3 numbers a qubit, got shape "
                f"{tuple(images.shape)}: choose model mixed_quddpm."
            )
        return in_ball(2 * images - 1)

    def to_images(self, states: Tensor) -> Tensor:
        """Map Bloch vectors to [0, 1]."""
        return (states + 1) / 2

    def trajectory(self, x_0: Tensor, generator: torch.Generator) -> Tensor:
        """See :meth:`.EnsembleProcess.trajectory`."""
        noise = self.start(tuple(x_0.shape), generator).to(x_0)
        left = self.signal().to(x_0)[:, None, None]
        return left * x_0 + (1 - left) * noise

    def noised(self, x_0: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """See :meth:`.DiffusionProcess.noised`."""
        left = float(self.signal()[step])
        return left * x_0 + (1 - left) * self.start(tuple(x_0.shape), generator).to(x_0)

    def distances(self, outcomes: Tensor, target: Tensor) -> Tensor:
        """See :meth:`.EnsembleProcess.distances`."""
        return mixed_losses(self.loss, outcomes, target)

    def certain(self, states: Tensor) -> Tensor:
        """See :meth:`.EnsembleProcess.certain`."""
        return torch.cat([torch.ones_like(states[:, :1]), states], dim=1)[:, None]

    def start(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Random mixed states: Bloch vectors uniform in the ball."""
        check_start(shape, generator)
        count = (shape[0], shape[1] // 3)
        direction = torch.randn(*count, 3, generator=generator)
        direction = direction / torch.linalg.vector_norm(direction, dim=2, keepdim=True)
        length = torch.rand(*count, 1, generator=generator) ** (1 / 3)
        return (length * direction).flatten(1)

    def reverse_step(
        self, x: Tensor, step: int, prediction: Tensor, generator: torch.Generator
    ) -> Tensor:
        """One of the outcomes, drawn by its probability."""
        probabilities = prediction[:, :, 0].clamp_min(0)
        drawn = torch.multinomial(probabilities.cpu(), 1, generator=generator)[:, 0]
        chosen = prediction[torch.arange(len(x)), drawn.to(prediction.device)]
        return in_ball(chosen[:, 1:] / chosen[:, :1])
