"""The contract of samplers: the times of a reverse chain, and its step from each to the next.

A sampler holds options only. :class:`Step` shows a step the earlier steps that it needs, so one
object serves any number of chains at once, and a stopped chain can go on later. A step sees
predictions, never the model, so any target can drive the chain.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from ..diffusion import DiffusionProcess
from ..errors import InvalidOption

__all__ = [
    "Ask",
    "ProcessSampler",
    "Sampler",
    "Seen",
    "Step",
    "Takes",
]

Takes = Literal["noise", "own"]
"""Predictions that a sampler takes: Gaussian noise, or the prediction of the run's process."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A state and the model's prediction for it."""

    t: int
    """Time of the state."""
    u: float
    """``-log(alpha_bar)`` there; NaN where the process has none."""
    x: Tensor
    """State, ``(batch, ...)``."""
    prediction: Tensor
    """Prediction, of the same shape."""


@dataclass(frozen=True, eq=False)
class Ask:
    """A step's request for a prediction at another state before it can go on."""

    x: Tensor
    """State of the prediction, ``(batch, ...)``."""
    t: int
    """Time of the state, 1 to T."""


@dataclass(frozen=True, eq=False)
class Step:
    """Data of a step from time ``t`` to the ``following`` one."""

    process: DiffusionProcess
    """The run's process."""
    index: int
    """Number of steps before this one."""
    t: int
    """Time of the state at hand, 1 to T."""
    following: int
    """Time of the wanted state; 0 for the data."""
    u: float
    """``-log(alpha_bar)`` at ``t``; NaN where the process has none."""
    u_following: float
    """``-log(alpha_bar)`` at ``following``; 0 for the data."""
    generator: torch.Generator
    """Source of all noise of the step, addressed by ``t``, so that no other step moves it."""
    past: tuple[Seen, ...] = ()
    """Earlier steps, as many as :attr:`Sampler.memory` says, the latest last."""
    tried: tuple[Seen, ...] = ()
    """States that this step has asked about by :class:`Ask`, in their order."""

    @property
    def alpha_bar(self) -> float:
        """Share of the data's variance at ``t``."""
        return math.exp(-self.u)

    @property
    def alpha_bar_following(self) -> float:
        """Share of the data's variance at ``following``; 1 for the data."""
        return math.exp(-self.u_following)

    def normal(self, x: Tensor) -> Tensor:
        """Draw standard normal noise of the shape and type of ``x`` from the step's generator."""
        return torch.randn(x.shape, generator=self.generator).to(x)


class Sampler(ABC):
    """A reverse chain: the times that it visits, and its step from each to the next.

    Subclasses may be frozen dataclasses; a field ``eta`` is set by the option of that name.

    >>> from qdm_qiskit.diffusion import InterpolatedNoise
    >>> class Halves(Sampler):
    ...     name = "halves"
    ...     takes = "own"
    ...     def timesteps(self, process, steps):
    ...         return range(process.num_steps, 0, -1)
    ...     def step(self, x, prediction, here):
    ...         own = here.process.reverse_step(x, here.t, prediction, here.generator)
    ...         return (x + own) / 2
    >>> list(Halves().timesteps(InterpolatedNoise(num_steps=3), None))
    [3, 2, 1]
    """

    name: ClassVar[str]
    """Name in messages and manifests."""
    takes: ClassVar[Takes] = "noise"
    """``noise``: predictions are eps in ``x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps``.
    ``own``: predictions are those of the run's process, of any kind."""
    memory: ClassVar[int] = 0
    """Number of earlier steps that ``step`` looks back on."""

    @abstractmethod
    def timesteps(self, process: DiffusionProcess, steps: int | None) -> Sequence[int]:
        """Return the times that the chain visits, falling from at most T to at least 1.

        Args:
            process: The run's process; ``process.num_steps`` is T.
            steps: Steps asked for, 1 to T; None if the user said nothing.

        Raises:
            InvalidOption: If the sampler does not take so many steps.
        """

    @abstractmethod
    def step(self, x: Tensor, prediction: Tensor, here: Step) -> Tensor | Ask:
        """Return the state at the following time.

        Args:
            x: ``(batch, ...)``: the state at ``here.t``. States of Gaussian processes are data mapped
                to about [-1, 1].
            prediction: The model's prediction there, of the same shape; see :attr:`takes`.
            here: Times, noise, earlier steps.

        Returns:
            The state at ``here.following``, of the shape and type of ``x``; or an :class:`Ask`, after
            which the step is called again with one more state in ``here.tried``.
        """


@final
class ProcessSampler(Sampler):
    """The process's own chain, step by step from T to 1."""

    name = "process"
    takes = "own"

    def timesteps(self, process: DiffusionProcess, steps: int | None) -> Sequence[int]:
        """See :meth:`Sampler.timesteps`."""
        if steps not in (None, process.num_steps):
            way_out = "choose scheduler ddim or dpm-solver++ for fewer"
            if process.noise_betas is None:  # no other scheduler takes this model's predictions
                way_out = "leave them out, or train with a smaller num_steps"
            raise InvalidOption(
                f"The process's own chain takes all {process.num_steps} steps, got {steps}; {way_out}."
            )
        return range(process.num_steps, 0, -1)

    def step(self, x: Tensor, prediction: Tensor, here: Step) -> Tensor:
        """See :meth:`Sampler.step`."""
        return here.process.reverse_step(x, here.t, prediction, here.generator)
