"""Tensors as numpy arrays, whatever they carry with them.

``Tensor.numpy()`` refuses a tensor that takes part in a graph, lives on another device, is a lazy
conjugate, or has a type that numpy lacks. Loaders, runners and pictures only want the numbers.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

__all__ = [
    "device_of",
    "exact",
    "to_array",
    "to_exact_array",
]

_UNKNOWN_TO_NUMPY = (torch.bfloat16,)


def to_array(tensor: Tensor) -> np.ndarray:
    """Return the tensor's numbers in its type; bfloat16 becomes float32, which holds all of it.

    Returns:
        An array of the same shape; it may share memory with a tensor on the CPU.

    >>> to_array(torch.ones(2, requires_grad=True).bfloat16())
    array([1., 1.], dtype=float32)
    """
    plain = tensor.detach().cpu().resolve_conj().resolve_neg()
    if plain.dtype in _UNKNOWN_TO_NUMPY:
        plain = plain.float()
    found: np.ndarray = plain.numpy()
    return found


def to_exact_array(tensor: Tensor) -> np.ndarray:
    """Return the tensor's numbers in float64, or complex128 if they are complex."""
    return to_array(exact(tensor))


def exact(tensor: Tensor) -> Tensor:
    """Return the tensor in float64, or complex128: ``double()`` would drop imaginary parts."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float64))


def device_of(module: nn.Module) -> torch.device:
    """Return the device of a module's weights; the CPU if it has none."""
    return next((each.device for each in module.parameters()), torch.device("cpu"))
