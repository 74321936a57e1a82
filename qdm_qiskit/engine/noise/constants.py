"""Constant arrays as tensors, made once for each precision and device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["Constants"]


class Constants:
    """Tensors by what they stand for."""

    def __init__(self) -> None:
        self._tensors: dict[tuple[object, torch.dtype, torch.device], Tensor] = {}

    def of(
        self, key: object, array: np.ndarray, like: Tensor, dtype: torch.dtype | None = None
    ) -> Tensor:
        """Return an array as a tensor.

        Args:
            key: Names the array, which is read the first time only.
            array: Numbers.
            like: Its device is taken.
            dtype: That of ``like`` if None; int64 for integers.
        """
        if dtype is None:
            dtype = torch.int64 if array.dtype.kind == "i" else like.dtype
        place = (key, dtype, like.device)
        if place not in self._tensors:
            self._tensors[place] = torch.tensor(array, dtype=dtype, device=like.device)
        return self._tensors[place]
