"""What a denoiser of latents is told beside x_t: a few functions of the time, and the class."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import InvalidData
from .conditioning import Conditioning, condition_table

__all__ = [
    "TIME_FEATURES",
    "check_labels",
    "num_told",
    "told",
]

TIME_FEATURES = 3
"""``2t - 1``, ``sin(pi t)``, ``cos(2 pi t)``."""


def num_told(num_classes: int | None) -> int:
    """Return the length of a row of :func:`told`.

    >>> num_told(None), num_told(10)
    (3, 13)
    """
    return TIME_FEATURES + (num_classes or 0)


def told(
    t: Tensor,
    labels: Tensor | None,
    num_classes: int | None,
    conditioning: Conditioning = "label",
) -> Tensor:
    """Return the time's functions and the class, as one-hot values or as features of a kernel.

    Args:
        t: ``(batch,)`` in (0, 1].
        labels: ``(batch,)`` class indices where there are classes.
        num_classes: Classes; None for a model that is not guided.
        conditioning: Way in which the class is told.

    Returns:
        ``(batch, num_told(num_classes))``, of the type of ``t``.
    """
    columns = [2 * t - 1, torch.sin(math.pi * t), torch.cos(2 * math.pi * t)]
    rows = torch.stack(columns, dim=1)
    if num_classes is None:
        return rows
    assert labels is not None  # check_labels comes first
    table = condition_table(conditioning, num_classes).to(rows)
    return torch.cat([rows, table[labels.long()]], dim=1)


def check_labels(labels: Tensor | None, num_classes: int | None, batch: int, name: str) -> None:
    """Refuse labels that a model cannot be told.

    Raises:
        InvalidData: If they are missing, not wanted, of another length or kind, or out of range.
    """
    if num_classes is None:
        if labels is not None:
            raise InvalidData(f"'{name}' is not guided and takes no labels.")
        return
    if labels is None or tuple(labels.shape) != (batch,) or labels.is_floating_point():
        got = None if labels is None else f"{tuple(labels.shape)} of {labels.dtype}"
        raise InvalidData(
            f"'{name}' is guided and needs integer labels of shape ({batch},), got {got}."
        )
    if bool(((labels < 0) | (labels >= num_classes)).any()):
        raise InvalidData(
            f"Labels are class indices 0 .. {num_classes - 1}, got {labels.unique().tolist()}."
        )
