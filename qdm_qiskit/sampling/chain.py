"""A reverse chain by any sampler: the next question to the model, and the step it leads to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from ..arguments import shown
from ..diffusion import DiffusionProcess, check_finite, check_prediction
from ..errors import InvalidData, InvalidExtension, QdmError
from .continuous import u_of_steps
from .samplers import Ask, Sampler, Seen, Step

__all__ = [
    "MOST_ASKED",
    "Chain",
    "checked_times",
    "is_built_in",
    "its_failures",
]

MOST_ASKED = 16
"""Most predictions that one step of another package's sampler asks for beyond its first; a step that
never ends is refused."""


class Chain:
    """A reverse chain, at one of its states.

    The caller asks the model the :attr:`question` and hands its prediction to :meth:`advance`,
    until no question is left.

    Args:
        process: The run's process.
        sampler: A sampler that takes the process's predictions.
        times: From :func:`checked_times`.
        x: ``(batch, ...)``: x_T.
        generators: The noise stream of each step, by its t.
    """

    def __init__(
        self,
        process: DiffusionProcess,
        sampler: Sampler,
        times: Sequence[int],
        x: Tensor,
        generators: Callable[[int], torch.Generator],
    ) -> None:
        self.process, self.sampler, self.times = process, sampler, list(times)
        self.x = x
        """The state at hand."""
        self.index = 0
        """Number of finished steps."""
        self._generators = generators
        has_noise = process.noise_betas is not None
        self._u = u_of_steps(process) if has_noise else [math.nan] * (process.num_steps + 1)
        self._past: tuple[Seen, ...] = ()
        self._seen: tuple[Seen, ...] = ()  # of the step at hand: its own state, then those it tried
        self._asked: Ask | None = None

    @property
    def left(self) -> int:
        """Number of steps that are left."""
        return len(self.times) - self.index

    @property
    def question(self) -> tuple[Tensor, int] | None:
        """State and time of the next prediction; None at the end."""
        if self._asked is not None:
            return self._asked.x, self._asked.t
        return (self.x, self.times[self.index]) if self.left else None

    def advance(self, prediction: Tensor) -> bool:
        """Take the model's prediction for the question.

        Args:
            prediction: The model's output, unchanged.

        Returns:
            True if that ended a step, so that :attr:`x` is the next state.

        Raises:
            InvalidArgument, InvalidData: If the prediction or the sampler's state has another shape
                or is not finite; the message names the step.
            InvalidExtension: If another package's sampler fails.
        """
        assert self.question is not None  # the caller reads the question first
        x, t = self.question
        check_prediction(self.process, prediction, x, t)
        if self.sampler.takes == "noise":
            prediction = self.process.noise_of(prediction, t, x)
            check_finite(prediction, t, "prediction")
        else:
            prediction = self.process.predicted_target(prediction)
        self._seen = (*self._seen, Seen(t, self._u[t], x, prediction))
        found = self._step()
        if isinstance(found, Ask):
            self._asked = self._checked(found)
            return False
        self._check_state(found)
        memory = self.sampler.memory
        self._past = (*self._past, self._seen[0])[-memory:] if memory else ()
        self.x, self._seen, self._asked = found, (), None
        self.index += 1
        return True

    def replace(self, x: Tensor) -> None:
        """Go on from another state; the steps before it stay in the sampler's memory."""
        self.x = x

    def _step(self) -> Tensor | Ask:
        first, *tried = self._seen
        times = [*self.times, 0]
        following = times[self.index + 1]
        here = Step(
            process=self.process,
            index=self.index,
            t=first.t,
            following=following,
            u=first.u,
            u_following=self._u[following],
            generator=self._generators(first.t),
            past=self._past,
            tried=tuple(tried),
        )
        with its_failures(self.sampler, f"at step t={first.t}"):
            return self.sampler.step(self.x, first.prediction, here)

    def _check_state(self, x: object) -> None:
        t = self._seen[0].t
        wanted, name = self.x, self.sampler.name
        if not isinstance(x, Tensor) or x.shape != wanted.shape or x.dtype != wanted.dtype:
            got = f"{tuple(x.shape)} and {x.dtype}" if isinstance(x, Tensor) else shown(x)
            raise InvalidData(
                f"Sampler '{name}' gives states of the shape and type of x_t, "
                f"{tuple(wanted.shape)} and {wanted.dtype}; got {got} at step t={t}."
            )
        if is_built_in(self.sampler):
            check_finite(x, t, "state")
        elif not bool(torch.isfinite(x).all()):
            raise InvalidData(
                f"Sampler '{name}' gives finite states, got NaN or an infinity at step t={t}."
            )

    def _checked(self, asked: Ask) -> Ask:
        self._check_state(asked.x)
        t, name = asked.t, self.sampler.name
        if type(t) is not int or not 1 <= t <= self.process.num_steps:
            raise InvalidData(
                f"Sampler '{name}' asks about times t = 1 to {self.process.num_steps}, got {t!r} at "
                f"step t={self._seen[0].t}."
            )
        if len(self._seen) > MOST_ASKED and not is_built_in(self.sampler):
            raise InvalidData(
                f"Sampler '{name}' asks for more than {MOST_ASKED} predictions at step "
                f"t={self._seen[0].t}."
            )
        return asked


def checked_times(sampler: Sampler, process: DiffusionProcess, steps: int | None) -> list[int]:
    """Return the times that a chain visits.

    Args:
        sampler: The sampler that lists them.
        process: The run's.
        steps: Steps asked for, 1 to T; None leaves it to the sampler.

    Raises:
        InvalidOption: If the sampler does not take so many steps.
        InvalidData: If they are no whole numbers, do not fall, or lie outside 1 to T, with the
            step.
        InvalidExtension: If another package's sampler fails.
    """
    with its_failures(sampler, "listing its times"):
        listed = list(sampler.timesteps(process, steps))
    name, most = sampler.name, process.num_steps
    rule = f"Sampler '{name}' has times that fall from at most {most} to at least 1"
    if not listed:
        raise InvalidData(f"{rule}, got none.")
    times: list[int] = []
    for index, each in enumerate(listed):
        try:
            t = each.__index__()  # ints of Python, numpy and torch
        except (AttributeError, TypeError):
            t = None
        if t is None or isinstance(each, bool) or not 1 <= t <= process.num_steps:
            raise InvalidData(f"{rule}, got {shown(each)} for step {index + 1}.")
        if times and t >= times[-1]:
            raise InvalidData(f"{rule}, got {t} after {times[-1]} for step {index + 1}.")
        times.append(t)
    return times


def is_built_in(part: object) -> bool:
    """Return True if a part's class stands in this package."""
    return type(part).__module__.startswith("qdm_qiskit.")


@contextmanager
def its_failures(sampler: Sampler, when: str) -> Iterator[None]:
    """Turn any exception of another package's sampler into one line that names its author.

    Raises:
        InvalidExtension: For any exception of a sampler of another package.
    """
    try:
        yield
    except QdmError:
        raise
    except Exception as error:  # a user's code may raise anything
        if is_built_in(sampler):
            raise
        reason = " ".join(str(error).split())
        raise InvalidExtension(
            f"Sampler '{sampler.name}' fails {when}: {type(error).__name__}: {reason}."
        ) from error
