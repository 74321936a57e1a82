"""Distances between ensembles of quantum states, differentiable where they serve as losses.

A generated ensemble may hold branches: the unnormalised states ``(samples, branches, d)`` that each
outcome of a measurement leaves of a sample, whose squared norms are the outcomes' probabilities.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "ROUNDS",
    "SHARPNESS",
    "EnsembleLoss",
    "Kernel",
    "bloch_rows",
    "chords",
    "ensemble_losses",
    "mmd",
    "overlaps",
    "transport",
    "wasserstein",
    "weighted_mmd",
]

EnsembleLoss = Literal["mmd", "wasserstein", "trace", "fidelity", "projected"]
"""See :func:`ensemble_losses`."""
Kernel = Callable[[Tensor, Tensor], Tensor]
"""Values of a kernel at all pairs of two batches of rows."""
SHARPNESS, ROUNDS = 0.02, 40
"""Entropy and iterations of the Sinkhorn plan."""


def overlaps(left: Tensor, right: Tensor) -> Tensor:
    """``|<a|b>|**2`` of all pairs, ``(..., m, k)`` from ``(..., m, d)`` and ``(..., k, d)``."""
    return (left.conj() @ right.transpose(-1, -2)).abs().square()


def ensemble_losses(kind: EnsembleLoss, branches: Tensor, target: Tensor) -> Tensor:
    """The distance of generated ensembles from target ensembles, one for each group.

    ``mmd``: maximum mean discrepancy with the kernel ``|<a|b>|**2``, unbiased. It is the
    Hilbert-Schmidt distance of the mean states, so it sees nothing else. ``wasserstein``: optimal
    transport with cost ``1 - |<a|b>|**2``, smoothed by a little entropy. ``trace``: trace distance of
    the mean states. ``fidelity``: mean infidelity of each sample and its own target. ``projected``:
    maximum mean discrepancy, unbiased, with the kernel ``exp(-sum_k |rho_k - sigma_k|**2)`` of the
    reduced states of single qubits k, in the Frobenius norm. It is not linear in the states and so
    sees how they spread, as far as single qubits tell.

    Args:
        kind: The distance.
        branches: ``(groups, samples, branches, d)``.
        target: ``(groups, samples, d)`` with unit rows.

    Returns:
        ``(groups,)``.
    """
    if kind == "mmd":
        return _mmd(branches, target)
    if kind == "projected":
        return _projected(branches, target)
    if kind == "trace":
        generated = torch.einsum("gskd,gske->gde", branches, branches.conj()) / branches.shape[1]
        wanted = torch.einsum("gsd,gse->gde", target, target.conj()) / target.shape[1]
        return torch.linalg.eigvalsh(generated - wanted).abs().sum(dim=1) / 2
    if kind == "fidelity":
        fidelity = torch.einsum("gskd,gsd->gsk", branches.conj(), target).abs().square().sum(2)
        return 1 - fidelity.mean(dim=1)
    return _transport(branches, target)


def _mmd(branches: Tensor, target: Tensor) -> Tensor:
    groups, samples, _, width = branches.shape
    flat = branches.reshape(groups, -1, width)
    within = overlaps(flat, flat).reshape(groups, samples, -1, samples, branches.shape[2])
    within = within.sum(dim=(2, 4))  # unnormalised branches weight themselves
    own = overlaps(target, target)
    between = overlaps(flat, target).sum(dim=(1, 2)) / (samples * target.shape[1])
    return _mean_of_pairs(within) + _mean_of_pairs(own) - 2 * between


def _projected(branches: Tensor, target: Tensor) -> Tensor:
    weight = branches.abs().square().sum(dim=3)
    norm = weight.clamp_min(1e-9)  # a branch of probability zero has no state
    made = bloch_rows(branches / norm.sqrt()[..., None])
    return weighted_mmd(chords, weight, made, bloch_rows(target))


def weighted_mmd(kernel: Kernel, weight: Tensor, made: Tensor, wanted: Tensor) -> Tensor:
    """The unbiased squared MMD of ensembles with branches from ensembles without.

    Args:
        kernel: ``(groups, m, k)`` from ``(groups, m, f)`` and ``(groups, k, f)``.
        weight: ``(groups, samples, branches)`` probabilities, of a sample's branches 1 in sum.
        made: ``(groups, samples, branches, f)``.
        wanted: ``(groups, count, f)``.

    Returns:
        ``(groups,)``.
    """
    samples, outcomes = weight.shape[1:]
    rows, flat = made.flatten(1, 2), weight.flatten(1)
    within = kernel(rows, rows) * flat[:, :, None] * flat[:, None, :]
    within = within.unflatten(2, (samples, outcomes)).unflatten(1, (samples, outcomes))
    between = (kernel(rows, wanted) * flat[:, :, None]).sum(dim=(1, 2))
    between = between / (samples * wanted.shape[1])
    inside = _mean_of_pairs(within.sum(dim=(2, 4))) + _mean_of_pairs(kernel(wanted, wanted))
    return inside - 2 * between


def bloch_rows(states: Tensor) -> Tensor:
    """Bloch vectors of all qubits, ``(..., 3 n)`` real from ``(..., 2**n)``, qubit 0 first."""
    width = states.shape[-1]
    found = []
    for qubit in range(width.bit_length() - 1):
        pairs = states.unflatten(-1, (-1, 2, 2**qubit))
        zero, one = pairs.unbind(-2)
        cross = 2 * (zero.conj() * one).sum(dim=(-2, -1))
        height = (zero.abs().square() - one.abs().square()).sum(dim=(-2, -1))
        found += [cross.real, cross.imag, height]
    return torch.stack(found, dim=-1)


def chords(left: Tensor, right: Tensor) -> Tensor:
    """``exp(-|r - s|**2 / 2)`` of rows of Bloch vectors, ``(..., m, k)`` of ``(..., m, 3 n)`` and k.

    The squared distance is twice that of the reduced states in the Frobenius norm.
    """
    squared = left.square().sum(2)[:, :, None] + right.square().sum(2)[:, None, :]
    return torch.exp(-0.5 * (squared - 2 * left @ right.transpose(1, 2)).clamp_min(0))


def _mean_of_pairs(matrix: Tensor) -> Tensor:
    count = matrix.shape[1]
    apart = matrix.sum(dim=(1, 2)) - matrix.diagonal(dim1=1, dim2=2).sum(dim=1)
    return apart / max(1, count * (count - 1))


def _transport(branches: Tensor, target: Tensor) -> Tensor:
    flat = branches.flatten(1, 2)
    # A branch of probability zero has no state; it keeps a tiny weight and no gradient trouble.
    weight = flat.abs().square().sum(dim=2).clamp_min(1e-9)
    return transport(weight, 1 - overlaps(flat, target) / weight[:, :, None])


def transport(weight: Tensor, cost: Tensor) -> Tensor:
    """The cost of optimal transport, smoothed by a little entropy; differentiable in both arguments.

    Args:
        weight: ``(groups, m)`` above 0: weights of what is moved, which need not sum to 1.
        cost: ``(groups, m, k)``, to k places of equal weight.

    Returns:
        ``(groups,)``.
    """
    share = weight / weight.sum(dim=1, keepdim=True)
    with torch.no_grad():
        plan, potential = _sinkhorn(share, cost)
    # By the envelope theorem the plan is constant, and the potential is the gradient in the shares.
    moved = (plan * cost).sum(dim=(1, 2))
    return moved + (potential * (share - share.detach())).sum(dim=1)


def _sinkhorn(share: Tensor, cost: Tensor) -> tuple[Tensor, Tensor]:
    """Plan ``(groups, m, k)`` and potential of the rows ``(groups, m)``, columns of equal weight."""
    count = cost.shape[2]
    log_share = share.log()
    column = torch.zeros_like(cost[:, 0])
    row = torch.zeros_like(share)
    for _ in range(ROUNDS):
        row = SHARPNESS * (log_share - ((column[:, None] - cost) / SHARPNESS).logsumexp(dim=2))
        column = SHARPNESS * (
            -np.log(count) - ((row[:, :, None] - cost) / SHARPNESS).logsumexp(dim=1)
        )
    plan = ((row[:, :, None] + column[:, None] - cost) / SHARPNESS).exp()
    return plan, row


def mmd(left: np.ndarray, right: np.ndarray) -> float:
    """Unbiased squared MMD of two ensembles of unit rows, kernel ``|<a|b>|**2``; may be below 0."""
    one, other = (torch.from_numpy(each).to(torch.complex128) for each in (left, right))
    values = []
    for each in (one, other):
        inside = overlaps(each, each)
        values.append((inside.sum() - inside.diagonal().sum()) / (len(each) * (len(each) - 1)))
    return float(values[0] + values[1] - 2 * overlaps(one, other).mean())


def wasserstein(left: np.ndarray, right: np.ndarray) -> float:
    """Exact optimal transport of two ensembles of equal size, cost ``1 - |<a|b>|**2``; in [0, 1]."""
    from scipy.optimize import linear_sum_assignment

    cost = 1 - np.abs(left.conj() @ right.T) ** 2
    rows, columns = linear_sum_assignment(cost)
    return float(cost[rows, columns].mean())
