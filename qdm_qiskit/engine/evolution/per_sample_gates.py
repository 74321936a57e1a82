"""Gates whose angles depend on inputs: one matrix for each sample, all of one size built at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..lowering.angles import Angle, AngleVector
from ..lowering.operations import Operation
from .gate_entries import Entries, differentiable_values

__all__ = [
    "SampleTable",
]


class SampleTable:
    """Matrices of runs of per-sample gates.

    Args:
        runs: Gates of each key; the gates of a run act on the same qubits
            in the same order.
    """

    def __init__(self, runs: Sequence[Sequence[Operation]]) -> None:
        self._runs = runs
        self._groups = [_Group(size, runs) for size in (2, 4)]

    def build(
        self, inputs: Tensor | None, weights: Tensor | None, like: Tensor
    ) -> dict[int, Tensor]:
        """Return the product of each run, ``(d, d, batch)``, by key."""
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
        angles: list[Angle] = [angle for each in members for angle in each.angles]
        self.angles = AngleVector(angles)
        # Every form here has one angle: gates with more are split or decomposed before.
        self._forms = [each.form for each in members]
        self._tables: dict[tuple[torch.dtype, torch.device], Entries] = {}

    def evaluate(
        self, inputs: Tensor | None, weights: Tensor | None, like: Tensor
    ) -> dict[tuple[int, int], Tensor]:
        """Return ``(d, d, batch)`` for each (key, step)."""
        if not self.places:
            return {}
        place = (like.dtype, like.device)
        if place not in self._tables:
            self._tables[place] = Entries.of(self._forms, like)
        theta = self.angles.evaluate(inputs, weights, like)
        entries = self._tables[place]
        values = differentiable_values(theta, entries)
        shaped = values.view(-1, self.size, self.size, values.shape[-1])
        return dict(zip(self.places, shaped.unbind(0), strict=True))
