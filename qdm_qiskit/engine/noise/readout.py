"""Readout errors of probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...errors import InvalidData
from ..evolution.shot_sampling import draw_counts

__all__ = ["apply_readout", "draw_counts"]


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
            f"probabilities have shape (batch, 2**m), got {tuple(probabilities.shape)}."
        )
    for bits, matrix in errors:
        k, chosen = len(bits), [int(bit) for bit in bits]
        if len(set(chosen)) != k or not all(0 <= b < m for b in chosen):
            raise InvalidData(f"errors name distinct bits below {m}, got {chosen}.")
        if tuple(matrix.shape) != (2**k, 2**k):
            raise InvalidData(
                f"errors hold a matrix of {2**k} x {2**k} for {k} bits, got {tuple(matrix.shape)}."
            )
        table = torch.as_tensor(
            matrix, dtype=probabilities.dtype, device=probabilities.device
        ).reshape([2] * (2 * k))
        axes = [m - bit for bit in reversed(chosen)]
        split = probabilities.reshape(-1, *[2] * m)
        read = torch.tensordot(split, table, dims=(axes, list(range(k))))
        probabilities = read.movedim(list(range(-k, 0)), axes).reshape(probabilities.shape)
    return probabilities
