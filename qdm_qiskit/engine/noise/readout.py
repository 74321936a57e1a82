"""Readout errors of probabilities, and counts drawn from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...errors import InvalidData


def apply_readout(
    probabilities: Tensor, errors: Sequence[tuple[Sequence[int], np.ndarray | Tensor]]
) -> Tensor:
    """Pass outcomes through assignment matrices, differentiably in both.

    Args:
        probabilities: ``(batch, 2**m)`` real; bit 0 of an outcome is the least significant.
        errors: Pairs of bits and their matrix ``[true, read]`` of shape ``(2**k, 2**k)``, in which
            the first of the bits is the least significant. Applied in order.

    Returns:
        ``(batch, 2**m)`` real.

    Raises:
        InvalidData: If a bit is out of range or repeated, or a shape does not fit.
    """
    m = probabilities.shape[-1].bit_length() - 1
    if probabilities.ndim != 2 or probabilities.shape[1] != 2**m:
        raise InvalidData(
            f"Probabilities have shape (batch, 2**m), got {tuple(probabilities.shape)}."
        )
    for bits, matrix in errors:
        k, chosen = len(bits), [int(bit) for bit in bits]
        if len(set(chosen)) != k or not all(0 <= b < m for b in chosen):
            raise InvalidData(f"Bits must be distinct and below {m}, got {chosen}.")
        if tuple(matrix.shape) != (2**k, 2**k):
            raise InvalidData(
                f"A matrix for {k} bits is {2**k} x {2**k}, got {tuple(matrix.shape)}."
            )
        table = torch.as_tensor(
            matrix, dtype=probabilities.dtype, device=probabilities.device
        ).reshape([2] * (2 * k))
        axes = [m - bit for bit in reversed(chosen)]
        split = probabilities.reshape(-1, *[2] * m)
        read = torch.tensordot(split, table, dims=(axes, list(range(k))))
        probabilities = read.movedim(list(range(-k, 0)), axes).reshape(probabilities.shape)
    return probabilities


def draw_counts(
    probabilities: Tensor, shots: int, generator: torch.Generator | None = None
) -> Tensor:
    """Draw shots.

    Args:
        probabilities: ``(batch, outcomes)``; negative rounding errors count as 0, and each row is
            normalised.
        shots: For each row, at least 1.
        generator: On the CPU; torch's own if None.

    Returns:
        ``(batch, outcomes)`` int64 on the CPU, each row with ``shots`` in all.

    Raises:
        InvalidData: If shots are below 1, or a row is not finite or sums to 0.
    """
    if shots < 1:
        raise InvalidData(f"Shots are at least 1, got {shots}.")
    weights = probabilities.detach().to("cpu", torch.float64).clamp_min(0)
    totals = weights.sum(1, keepdim=True)
    if not torch.isfinite(weights).all() or bool((totals <= 0).any()):
        raise InvalidData("Probabilities must be finite and have a positive sum.")
    edges = (weights / totals).cumsum(1)
    draws = torch.rand(len(weights), shots, generator=generator, dtype=torch.float64)
    found = torch.searchsorted(edges, draws * edges[:, -1:], right=True)
    found = found.clamp_max(weights.shape[1] - 1)
    return torch.zeros(weights.shape, dtype=torch.int64).scatter_add_(
        1, found, torch.ones_like(found)
    )
