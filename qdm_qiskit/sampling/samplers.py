"""What a sampler is: the times of a reverse chain, and its step from each to the next.

A sampler holds options only. What a step needs of the steps before it, it is shown in :class:`Step`,
so one object serves any number of chains at once, and a chain can be taken up again where it stopped.
A step sees predictions, never the model: whatever runs the circuit can drive the chain.
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
"""Predictions that a sampler takes: Gaussian noise, or whatever the run's process predicts."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A state that the model was asked about, and what it predicted there."""

    t: int
    """The state's time."""
    u: float
    """``-log(alpha_bar)`` there; NaN where the process has none."""
    x: Tensor
    """``(batch, ...)``: the state."""
    prediction: Tensor
    """Of the same shape."""


@dataclass(frozen=True, eq=False)
class Ask:
    """What a step returns that needs a prediction at another state before it can go on."""

    x: Tensor
    """``(batch, ...)``: that state."""
    t: int
    """Its time, 1 to T."""


@dataclass(frozen=True, eq=False)
class Step:
    """Where a step stands: from time ``t`` to the ``following`` one."""

    process: DiffusionProcess
    """The run's process."""
    index: int
    """Steps before this one."""
    t: int
    """Time of the state at hand, 1 to T."""
    following: int
    """Time of the state that is wanted; 0 for the data."""
    u: float
    """``-log(alpha_bar)`` at ``t``; NaN where the process has none."""
    u_following: float
    """The same at ``following``; 0 for the data."""
    generator: torch.Generator
    """Source of all noise of the step. It is addressed by ``t``, so that no other step moves it."""
    past: tuple[Seen, ...] = ()
    """The steps before, as many as :attr:`Sampler.memory` says, the latest last."""
    tried: tuple[Seen, ...] = ()
    """The states that this step has asked about by :class:`Ask`, in their order."""

    @property
    def alpha_bar(self) -> float:
        """Share of the data's variance at ``t``."""
        return math.exp(-self.u)

    @property
    def alpha_bar_following(self) -> float:
        """The same at ``following``; 1 for the data."""
        return math.exp(-self.u_following)

    def normal(self, x: Tensor) -> Tensor:
        """Draw standard normal noise of the shape and type of ``x`` from the step's generator."""
        return torch.randn(x.shape, generator=self.generator).to(x)


class Sampler(ABC):
    """A reverse chain: which times it visits, and how it goes from one to the next.

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
    """What messages and manifests call it."""
    takes: ClassVar[Takes] = "noise"
    """``noise``: predictions are eps in ``x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps``.
    ``own``: they are what the run's process predicts, whatever that is."""
    memory: ClassVar[int] = 0
    """Steps before the one at hand that ``step`` looks back on."""

    @abstractmethod
    def timesteps(self, process: DiffusionProcess, steps: int | None) -> Sequence[int]:
        """Return the times that the chain visits, falling from at most T to at least 1.

        Args:
            process: The run's process; ``process.num_steps`` is T.
            steps: Steps asked for, 1 to T; None if the user said nothing.

        Raises:
            InvalidOption: If the sampler does not take so many.
        """

    @abstractmethod
    def step(self, x: Tensor, prediction: Tensor, here: Step) -> Tensor | Ask:
        """Return the state at the following time.

        Args:
            x: ``(batch, ...)``: the state at ``here.t``. States of Gaussian processes are data mapped
                to about [-1, 1].
            prediction: Of the same shape: what the model predicts there, see :attr:`takes`.
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
            if process.noise_betas is None:  # no other scheduler takes what this model predicts
                way_out = "leave them out, or train with a smaller num_steps"
            raise InvalidOption(
                f"The process's own chain takes all {process.num_steps} steps, got {steps}; {way_out}."
            )
        return range(process.num_steps, 0, -1)

    def step(self, x: Tensor, prediction: Tensor, here: Step) -> Tensor:
        """See :meth:`Sampler.step`."""
        return here.process.reverse_step(x, here.t, prediction, here.generator)
