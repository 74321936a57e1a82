"""Fixed arrays and block matrices to which the steps of a program refer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "BlockHandle",
    "Constants",
]


class Constants:
    """Arrays of a program as tensors, converted once for each dtype and device."""

    def __init__(self) -> None:
        self._arrays: list[np.ndarray] = []
        self._tensors: dict[tuple[int, torch.dtype, torch.device], Tensor] = {}

    def add(self, array: np.ndarray) -> int:
        """Keep an array; the key that :meth:`get` takes."""
        self._arrays.append(np.ascontiguousarray(array))
        return len(self._arrays) - 1

    def array(self, key: int) -> np.ndarray:
        """Return the array itself."""
        return self._arrays[key]

    def get(self, key: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return the array as a tensor."""
        place = (key, dtype, device)
        found = self._tensors.get(place)
        if found is None:
            array = self._arrays[key]
            if not dtype.is_complex and np.iscomplexobj(array):
                array = array.real
            found = torch.tensor(array, dtype=dtype, device=device)
            self._tensors[place] = found
        return found

    def number(self, key: int, real: torch.dtype, device: torch.device) -> Tensor:
        """Return the array in the precision of ``real``: complex if the array is, real if not."""
        is_complex = np.iscomplexobj(self._arrays[key])
        return self.get(key, real.to_complex() if is_complex else real, device)

    def index(self, key: int, device: torch.device) -> Tensor:
        """Return the array as int64 indices."""
        return self.get(key, torch.int64, device)


@dataclass(frozen=True)
class BlockHandle:
    """Place of a block's matrix among those that are built at each run."""

    group: tuple[int, ...]
    """Number of qubits, number of factors, and stride of the columns that are needed; of a large block
    also a number of its own."""
    row: int
