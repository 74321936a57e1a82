"""Qiskit's ``RVGate``, a rotation about a vector of free length and direction, as rotations about axes.

The gate is ``exp(-i (x X + y Y + z Z) / 2)``. Its Euler angles as RZ RY RX have no derivatives
where the middle one is a right angle. An RY by a right angle is taken out first there, so that
values and derivatives exist everywhere, at the vector 0 as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import InvalidData

__all__ = [
    "PHASE",
    "ROTATIONS",
    "SMALL",
    "STEEP",
    "OfReal",
    "Quaternion",
    "about_x",
    "about_y",
    "about_z",
    "phase",
    "tilt",
]

STEEP = 0.8
"""Sine of the middle angle from which on a right angle is taken out."""
SMALL = 1e-6
"""Squared length below which series are used."""

Quaternion = tuple[Tensor, Tensor, Tensor, Tensor]
"""w, x, y, z of w - i (x X + y Y + z Z)."""


def _quaternion(vector: Sequence[Tensor]) -> Quaternion:
    x, y, z = vector
    squared = x * x + y * y + z * z
    small = squared < SMALL
    length = torch.where(small, torch.ones_like(squared), squared).sqrt()
    cosine = torch.where(small, 1 - squared / 8, torch.cos(length / 2))
    ratio = torch.where(small, 0.5 - squared / 48, torch.sin(length / 2) / length)
    return cosine, x * ratio, y * ratio, z * ratio


def _middle(q: Quaternion) -> Tensor:
    """Return the sine of the RY's angle."""
    w, x, y, z = q
    return 2 * (w * y - x * z)


def tilt(*vector: Tensor) -> Tensor:
    """Return the angle of the RY that goes first: 0 or a right angle."""
    steep = _middle(_quaternion(vector)).detach().abs() > STEEP
    return steep.to(vector[0].dtype) * (math.pi / 2)


def _rest(vector: Sequence[Tensor]) -> Quaternion:
    """Return the gate without the first RY."""
    w, x, y, z = _quaternion(vector)
    half = tilt(*vector) / 2
    c, s = torch.cos(half), torch.sin(half)
    return w * c + y * s, x * c + z * s, y * c - w * s, z * c - x * s


def about_x(*vector: Tensor) -> Tensor:
    """Return the angle of the RX that goes second."""
    w, x, y, z = _rest(vector)
    return torch.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))


def about_y(*vector: Tensor) -> Tensor:
    """Return the angle of the RY that goes third."""
    return torch.asin(_middle(_rest(vector)))


def about_z(*vector: Tensor) -> Tensor:
    """Return the angle of the RZ that goes last."""
    w, x, y, z = _rest(vector)
    return torch.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def phase(*vector: Tensor) -> Tensor:
    """Return the global phase, 0 or pi: Euler angles know a rotation up to its sign."""
    halves = [each(*vector).detach() / 2 for each in (about_x, about_y, about_z)]
    (ca, cb, cc), (sa, sb, sc) = map(torch.cos, halves), map(torch.sin, halves)
    product = (
        ca * cb * cc + sa * sb * sc,
        sa * cb * cc - ca * sb * sc,
        ca * sb * cc + sa * cb * sc,
        ca * cb * sc - sa * sb * cc,
    )
    pairs = zip(_rest(vector), product, strict=True)
    overlap = sum((p.detach() * q for p, q in pairs), torch.zeros_like(ca))
    return (overlap < 0).to(overlap.dtype) * math.pi


@dataclass(frozen=True)
class OfReal:
    """A function of tensors, extended to numbers, all of which must be real."""

    function: Callable[..., Tensor]

    def __call__(self, *vector: Tensor | float) -> Tensor:
        """Return the function's value.

        Raises:
            InvalidData: If a number has an imaginary part.
        """
        like = next(each for each in vector if isinstance(each, Tensor))
        real = like.real.dtype if like.is_complex() else like.dtype
        components = []
        for each in vector:
            value = each if isinstance(each, Tensor) else like.new_tensor(each)
            if value.is_complex():
                if float(value.detach().imag.abs().max()) > 64 * torch.finfo(real).eps:
                    raise InvalidData("The vector of a gate 'rv' must be real.")
                value = value.real
            components.append(value.to(real))
        return self.function(*torch.broadcast_tensors(*components))


ROTATIONS = (
    ("ry", OfReal(tilt)),
    ("rx", OfReal(about_x)),
    ("ry", OfReal(about_y)),
    ("rz", OfReal(about_z)),
)
"""Gates in order, and their angles as functions of the vector."""
PHASE = OfReal(phase)
"""The global phase as a function of the vector."""
