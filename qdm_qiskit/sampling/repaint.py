"""Restoring images with a trained chain: what is known is put back at each step.

Models of pixels go by replacement (Lugmayr et al., arXiv:2201.09865, RePaint): after a step, x_{t-1}
gets what is known, made noisy to t - 1. For blocks' means that is ILVR (Choi et al.,
arXiv:2108.02938). Models of latents see no pixels: there the estimate of x_0 is decoded, what is known
is put back, and the step goes on from its code (after DDNM, Wang et al., arXiv:2212.00490). Where no
prediction tells x_0, each step walks the rest of the chain to one.
With more than one resample a step's result is made noisy again and the step is repeated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from ..data.known import Known
from ..diffusion import DiffusionProcess
from ..errors import InvalidOption
from ..layers.arrays import device_of
from ..models import Denoiser
from ..models.on_latents import OnLatents
from .chain import MOST_ASKED
from .continuous import u_of_steps
from .discrete import DDPM, radius_of
from .samplers import Ask, ProcessSampler, Sampler, Step, Takes

__all__ = [
    "MOST_ROLLOUTS",
    "Repaint",
    "RepaintLatents",
    "RepaintNoise",
    "RepaintRollouts",
    "check_images",
    "repaint_sampler",
]

MOST_ROLLOUTS = 16
"""Steps from which the rest of a chain is walked at most; of a longer chain they are spread evenly."""


class Repaint(Sampler):
    """Another sampler's chain, with what is known put back at each step.

    Args:
        inner: The sampler, which looks at one step and one prediction.
        known: What is known of each image of the batch.
        resamples: Times that each step but the last is walked, at least 1.
    """

    name = "repaint"
    takes: ClassVar[Takes] = "own"
    way: ClassVar[str] = "replacement"
    """Word for records."""

    def __init__(self, inner: Sampler, known: Known, resamples: int) -> None:
        self.inner, self.resamples = inner, resamples
        self.images = torch.from_numpy(known.images).float()
        self.mask = None if known.mask is None else torch.from_numpy(known.mask)
        self.factor = known.factor

    def timesteps(self, process: DiffusionProcess, steps: int | None) -> Sequence[int]:
        """See :meth:`.Sampler.timesteps`."""
        return self.inner.timesteps(process, steps)

    def part(self, x: Tensor) -> Tensor:
        """Return the means over blocks, spread over them, of states or images."""
        f = self.factor
        *first, height, width = x.shape
        means = x.reshape(*first, height // f, f, width // f, f).mean(dim=(-3, -1))
        return means.repeat_interleave(f, -1).repeat_interleave(f, -2)

    def put(self, x: Tensor, wanted: Tensor) -> Tensor:
        """Return x with the known part of ``wanted``; pixels to the bit."""
        if self.mask is not None:
            return torch.where(self.mask.to(x.device), wanted, x)
        return x + self.part(wanted - x)

    def put_decoded(self, x_0: Tensor, process: DiffusionProcess, model: Denoiser) -> Tensor:
        """Return the state of x_0's image with what is known in it."""
        place = device_of(model)
        images = model.decode_data(process.to_images(x_0).clamp(0, 1).to(place)).to(self.images)
        wanted = self.put(images, self.images).clamp(0, 1)
        return process.to_states(model.encode_data(wanted.to(place))).to(x_0)

    def step(self, x: Tensor, prediction: Tensor, here: Step) -> Tensor | Ask:
        """See :meth:`.Sampler.step`."""
        tries = len(here.tried)
        if tries:
            x, prediction = here.tried[-1].x, here.tried[-1].prediction
        generator = here.generator
        if tries:  # a step's generator begins afresh each time that it is asked
            seeds = torch.randint(2**62, (tries,), generator=generator)
            generator = torch.Generator().manual_seed(int(seeds[-1]))
        here = replace(here, generator=generator, tried=())
        found = self.restored(x, prediction, here)
        if here.following == 0 or tries + 1 >= self.resamples:
            return found
        process = here.process
        return Ask(process.forward_steps(found, here.following, here.t, generator), here.t)

    def restored(self, x: Tensor, prediction: Tensor, here: Step) -> Tensor:
        """Return the state at the following time, with what is known in it."""
        before = self._inner_step(x, prediction, here)
        states = here.process.to_states(self.images).to(before)
        if here.following:
            states = here.process.noised(states, here.following, here.generator).to(before)
        return self.put(before, states)

    def _inner_step(self, x: Tensor, prediction: Tensor, here: Step) -> Tensor:
        found = self.inner.step(x, prediction, here)
        if isinstance(found, Ask):
            raise InvalidOption(
                f"Sampler '{self.inner.name}' asks for several predictions in a step, and restoring "
                "takes one; choose process, ddpm or ddim."
            )
        return found


class RepaintNoise(Repaint):
    """The same around a sampler that takes predicted noise."""

    takes = "noise"


class RepaintLatents(Repaint):
    """The same for a model of latents: what is known is put into the estimate of x_0.

    Args:
        inner, known, resamples: As for :class:`Repaint`.
        model: Its codec.
    """

    takes = "noise"
    way = "estimate"

    def __init__(self, inner: Sampler, known: Known, resamples: int, model: Denoiser) -> None:
        super().__init__(inner, known, resamples)
        self.model = model

    def restored(self, x: Tensor, prediction: Tensor, here: Step) -> Tensor:
        """See :meth:`Repaint.restored`."""
        process = here.process
        signal, spread = math.exp(-here.u / 2), math.sqrt(-math.expm1(-here.u))
        x_0 = (x - spread * prediction) / signal
        most = radius_of(process)
        x_0 = x_0 if most is None else x_0.clamp(-most, most)
        x_0 = self.put_decoded(x_0, process, self.model)
        return self._inner_step(x, (x - signal * x_0) / spread, here)


class RepaintRollouts(Repaint):
    """The same for any chain whose states can be decoded, encoded and made noisy again.

    A step from t walks the rest of the chain to an x_0, which is decoded, gets what is known, is
    encoded, and made noisy to the following time by the process itself: a draw of x_0 by the model in
    the place of an estimate. A chain of T steps asks for T (T + 1) / 2 predictions.

    Args:
        inner, known, resamples: As for :class:`Repaint`.
        model: Its codec.
        steps: Steps of the inner chain; None leaves it to the sampler.
    """

    way = "rollouts"

    def __init__(
        self, inner: Sampler, known: Known, resamples: int, model: Denoiser, steps: int | None
    ) -> None:
        super().__init__(inner, known, resamples)
        self.model, self.steps = model, steps

    def step(self, x: Tensor, prediction: Tensor, here: Step) -> Tensor | Ask:
        """See :meth:`.Sampler.step`."""
        process = here.process
        times = list(self.inner.timesteps(process, self.steps))
        stride = -(-len(times) // MOST_ROLLOUTS)
        left = [t for t in times if t <= here.t]
        if (len(left) - 1) % stride:
            return self._inner_step(x, prediction, here)
        walks = self.resamples if here.following else 1
        # Asks so far say where the walk stands: which walk, and which of its steps.
        walk, place = divmod(len(here.tried), len(left))
        if here.tried:
            x, prediction = here.tried[-1].x, here.tried[-1].prediction
        seeds = torch.randint(2**62, (len(here.tried) + 1,), generator=here.generator)
        generator = torch.Generator().manual_seed(int(seeds[-1]))
        t, following = left[place], [*left, 0][place + 1]
        u, u_following = (_u_of(process, each) for each in (t, following))
        now = replace(
            here,
            index=here.index + place,
            t=t,
            following=following,
            u=u,
            u_following=u_following,
            generator=generator,
            tried=(),
        )
        found = self._inner_step(x, prediction, now)
        if following:
            return Ask(found, following)
        found = self.put_decoded(found, process, self.model)
        if walk + 1 < walks:
            return Ask(process.noised(found, here.t, generator).to(found), here.t)
        if here.following:
            return process.noised(found, here.following, generator).to(found)
        return found


def _u_of(process: DiffusionProcess, t: int) -> float:
    return math.nan if process.noise_betas is None else u_of_steps(process)[t]


def repaint_sampler(
    model: Denoiser,
    process: DiffusionProcess,
    inner: Sampler,
    known: Known,
    resamples: int = 1,
    steps: int | None = None,
) -> Repaint:
    """Return the sampler that restores images with a model.

    Args:
        model: The model, for its codec.
        process: The process that it was trained with.
        inner: The chain that is walked.
        known: What is known of each image of the batch.
        resamples: Times that each step but the last is walked, 1 to 16.
        steps: Steps of the inner chain; None leaves it to the sampler.

    Raises:
        InvalidOption: If the model, the process or the sampler cannot restore, with the way out.
    """
    if not 1 <= resamples <= MOST_ASKED:
        raise InvalidOption(f"resamples is 1 to {MOST_ASKED}, got {resamples}.")
    if inner.memory:
        raise InvalidOption(
            f"Sampler '{inner.name}' looks back on earlier steps, which restoring changes; choose "
            "process, ddpm or ddim."
        )
    check_images(model, known)
    pixels = model.state_shape == model.image_shape and not isinstance(model, OnLatents)
    if pixels and not process.compares_ensembles:
        _check_again(process, resamples)
        made = RepaintNoise if inner.takes == "noise" else Repaint
        return made(inner, known, resamples)
    if process.noise_betas is not None and process.state_space == "real" and not pixels:
        own = DDPM() if isinstance(inner, ProcessSampler) else inner
        return RepaintLatents(own, known, resamples, model)
    if inner.takes == "noise":
        raise InvalidOption(
            f"'{model.name}' is restored by the chain of its own process; leave scheduler out."
        )
    _check_noised(process)
    return RepaintRollouts(inner, known, resamples, model, steps)


def check_images(model: Denoiser, known: Known) -> None:
    """Refuse a model that makes no images, or images of another shape.

    Raises:
        InvalidOption: With both shapes.
    """
    if model.data_kind != "images":
        raise InvalidOption(f"'{model.name}' makes quantum states, which are no images to restore.")
    if tuple(known.images.shape[1:]) != model.image_shape:
        raise InvalidOption(
            f"'{model.name}' restores images of {model.image_shape}, got "
            f"{tuple(known.images.shape[1:])}."
        )


def _check_noised(process: DiffusionProcess) -> None:
    """Refuse a process, of another package, that cannot make x_t of x_0."""
    own = type(process).noised is not DiffusionProcess.noised
    if not own and process.forward_betas is None:
        raise InvalidOption(
            f"Process {type(process).__name__} makes no x_t of x_0 at one step, which restoring in "
            "the chain takes; choose among samples instead, candidates=512."
        )


def _check_again(process: DiffusionProcess, resamples: int) -> None:
    """Refuse several resamples where the process has no step from x_t to a later one."""
    own = type(process).forward_steps is not DiffusionProcess.forward_steps
    if resamples > 1 and not own and process.forward_betas is None:
        raise InvalidOption(
            f"Process {type(process).__name__} has no step from x_t to a later one; take 1 resample."
        )
