"""Real and complex numbers of a precision, for arrays and tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def matrix_dtype(like: Tensor, real: bool) -> torch.dtype:
    """Of a matrix in the precision of ``like``, a real tensor."""
    return number_dtype(like.dtype, not real)


def number_dtype(real: torch.dtype, complex_: bool) -> torch.dtype:
    """The real precision itself, or the complex numbers of that precision."""
    if not complex_:
        return real
    return torch.complex64 if real == torch.float32 else torch.complex128


def as_real(array: np.ndarray) -> np.ndarray:
    """The array without its imaginary part, if that is zero."""
    return array if np.iscomplexobj(array) and array.imag.any() else array.real
