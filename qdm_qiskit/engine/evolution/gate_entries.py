"""Entries of gates with one angle each, and their slopes, for many angles at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..lowering.gate_forms import GateForm
from .autograd_ops import turned

__all__ = [
    "Entries",
    "differentiable_values",
]


@dataclass(frozen=True)
class Entries:
    """Coefficients of the entries of gates with one angle, ``(gates, entries, 1)`` each."""

    cos: Tensor
    cos_offset: Tensor
    scale: Tensor
    factor: Tensor | None
    """Part of the phase that does not depend on the angle, complex; None if all are real."""
    phase: Tensor | None
    """Coefficients of the angle in the phase; None where no phase depends on an angle."""

    @classmethod
    def of(cls, forms: Sequence[GateForm], like: Tensor, *, real: bool = False) -> Entries:
        """Return the tables of gates in the precision of ``like``; ``real`` if no entry is complex."""

        def tensor(arrays: Sequence[np.ndarray]) -> Tensor:
            return torch.tensor(np.stack(arrays), dtype=like.dtype, device=like.device)

        offset = tensor([form.phase_offset for form in forms])[..., None]
        turns = any(form.phase.any() for form in forms)
        return cls(
            cos=tensor([form.cos for form in forms]),
            cos_offset=tensor([form.cos_offset for form in forms])[..., None],
            scale=tensor([form.scale for form in forms])[..., None],
            factor=None if real else torch.polar(torch.ones_like(offset), offset),
            phase=tensor([form.phase for form in forms]) if turns else None,
        )

    def values(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(gates, entries, batch)`` and the cosines' arguments, for ``(gates, batch)``."""
        theta = theta.unsqueeze(1)
        argument = torch.addcmul(self.cos_offset, self.cos, theta)
        return self._turned(torch.cos(argument) * self.scale, theta), argument

    def slopes(self, theta: Tensor, argument: Tensor, values: Tensor) -> Tensor:
        """Return the derivatives of the values in their angles."""
        slope = torch.sin(argument) * (self.cos * self.scale).neg()
        found = self._turned(slope, theta.unsqueeze(1))
        return found if self.phase is None else found + 1j * self.phase * values

    def _turned(self, modulus: Tensor, theta: Tensor) -> Tensor:
        if self.factor is None:
            return modulus
        if self.phase is None:
            return modulus * self.factor
        return turned(modulus, self.phase * theta) * self.factor


class _Values(torch.autograd.Function):
    """:meth:`Entries.values`; autograd alone takes twice the calls."""

    @staticmethod
    def forward(ctx: Any, theta: Tensor, entries: Entries) -> Tensor:
        values, argument = entries.values(theta)
        ctx.entries = entries
        ctx.save_for_backward(theta, argument, values)
        return values

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        theta, argument, values = ctx.saved_tensors
        if torch.is_grad_enabled():
            # A graph of the gradient is asked for: autograd differentiates the plain operations.
            value, _ = ctx.entries.values(theta)
            return torch.autograd.grad(value, theta, grad, create_graph=True)[0], None
        slopes = ctx.entries.slopes(theta, argument, values)
        return (grad.conj() * slopes).real.sum(1), None


def differentiable_values(theta: Tensor, entries: Entries) -> Tensor:
    """Return :meth:`Entries.values` for ``(gates, batch)`` angles, with a gradient of its own."""
    # Forward mode, which runs without gradients of this kind, needs the plain form.
    return _Values.apply(theta, entries) if theta.requires_grad else entries.values(theta)[0]
