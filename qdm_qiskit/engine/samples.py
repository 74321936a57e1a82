"""Gates whose angles depend on inputs: one matrix for each sample, all of one size built at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .algebra import turned
from .expressions import Angle, AngleVector
from .operations import Operation


class SampleTable:
    """Matrices of runs of per-sample gates.

    Args:
        runs: For each key its gates; the gates of a run act on the same qubits
            in the same order.
    """

    def __init__(self, runs: Sequence[Sequence[Operation]]) -> None:
        self._runs = runs
        self._groups = [_Group(size, runs) for size in (2, 4)]

    def build(
        self, inputs: Tensor | None, weights: Tensor | None, like: Tensor
    ) -> dict[int, Tensor]:
        """The product of each run, ``(d, d, batch)``, by key."""
        gates: dict[tuple[int, int], Tensor] = {}
        for group in self._groups:
            gates.update(group.evaluate(inputs, weights, like))
        products = {}
        for key, run in enumerate(self._runs):
            product = gates[key, 0]
            for step in range(1, len(run)):
                later = gates[key, step]
                product = (later.unsqueeze(2) * product.unsqueeze(0)).sum(1)
            products[key] = product
        return products


class _Group:
    """The gates of one size."""

    def __init__(self, size: int, runs: Sequence[Sequence[Operation]]) -> None:
        self.size = size
        self.places = []
        members: list[Operation] = []
        for key, run in enumerate(runs):
            for step, operation in enumerate(run):
                if operation.form.size == size:
                    self.places.append((key, step))
                    members.append(operation)
        self.arrays: list[np.ndarray] = []
        self._tensors: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
        angles: list[Angle] = [angle for each in members for angle in each.angles]
        self.angles = AngleVector(angles)
        if members:
            forms = [each.form for each in members]
            # Every form here has one angle: gates with more are split or decomposed before.
            self.arrays = [
                np.stack([form.cos for form in forms]),
                np.stack([form.cos_offset for form in forms])[..., None],
                np.stack([form.scale for form in forms])[..., None],
                np.stack([form.phase for form in forms]),
                np.stack([form.phase_offset for form in forms])[..., None],
            ]

    def evaluate(
        self, inputs: Tensor | None, weights: Tensor | None, like: Tensor
    ) -> dict[tuple[int, int], Tensor]:
        """``(d, d, batch)`` for each (key, step)."""
        if not self.places:
            return {}
        place = (like.dtype, like.device)
        if place not in self._tensors:
            self._tensors[place] = [
                torch.tensor(array, dtype=like.dtype, device=like.device) for array in self.arrays
            ]
        cos, cos_offset, scale, phase, phase_offset = self._tensors[place]
        theta = self.angles.evaluate(inputs, weights, like).unsqueeze(1)
        modulus = torch.cos(cos * theta + cos_offset) * scale
        values = turned(modulus, phase * theta + phase_offset)
        shaped = values.reshape(-1, self.size, self.size, values.shape[-1])
        return dict(zip(self.places, shaped.unbind(0), strict=True))
