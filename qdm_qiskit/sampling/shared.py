"""Steps of some of a run's images alone, with the noise that the whole run draws for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import final

import torch
from torch import Tensor

from ..diffusion import DiffusionProcess, own_step
from .chain import its_failures
from .samplers import Ask, Sampler, Seen, Step

__all__ = ["SharedSampler", "shared_step"]


def shared_step(
    process: DiffusionProcess,
    x: Tensor,
    step: int,
    prediction: Tensor,
    generator: torch.Generator,
    rows: Sequence[int],
    images: Sequence[int],
) -> Tensor:
    """Return x_{t-1} of some images by the process's own step.

    Args:
        process, x, step, prediction, generator: As for :func:`~qdm_qiskit.diffusion.own_step`.
        rows: For each image of the whole run a row of ``x``: its own, or any as a stand-in.
        images: Number of each row's image in the whole run.
    """
    chosen = list(rows)
    return own_step(process, x[chosen], step, prediction[chosen], generator)[list(images)]


@final
class SharedSampler(Sampler):
    """Sampler of some images, which takes each step for the whole run and keeps theirs.

    Args:
        inner: The sampler of the run, which treats each image alone.
        rows, images: As for :func:`shared_step`.
        begins_at: Steps before the chain's first, for a sampler that counts them.
    """

    def __init__(
        self, inner: Sampler, rows: Sequence[int], images: Sequence[int], begins_at: int = 0
    ) -> None:
        self._inner, self._begins_at = inner, begins_at
        self._rows, self._images = list(rows), list(images)
        # What a chain asks of a sampler's class is said by its objects too.
        self.name = inner.name  # type: ignore[misc]
        self.takes = inner.takes  # type: ignore[misc]
        self.memory = inner.memory  # type: ignore[misc]

    def timesteps(self, process: DiffusionProcess, steps: int | None) -> Sequence[int]:
        """See :meth:`.Sampler.timesteps`."""
        return self._inner.timesteps(process, steps)

    def step(self, x: Tensor, prediction: Tensor, here: Step) -> Tensor | Ask:
        """See :meth:`.Sampler.step`."""
        whole = replace(
            here,
            index=here.index + self._begins_at,
            past=tuple(self._spread(each) for each in here.past),
            tried=tuple(self._spread(each) for each in here.tried),
        )
        with its_failures(self._inner, f"at step t={here.t}"):
            found = self._inner.step(x[self._rows], prediction[self._rows], whole)
        if isinstance(found, Ask):
            return replace(found, x=found.x[self._images])
        return found[self._images] if isinstance(found, Tensor) else found

    def _spread(self, seen: Seen) -> Seen:
        return replace(seen, x=seen.x[self._rows], prediction=seen.prediction[self._rows])
