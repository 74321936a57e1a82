"""One seed in, named independent random streams out.

Randomness is an argument everywhere in this package. A stream is addressed by its purpose and, where
work repeats, by an index such as ``(epoch, batch)``: no state has to be saved to continue a run
bit for bit, and drawing more numbers for one purpose never moves another.
"""

from __future__ import annotations

import numpy as np

from .errors import InvalidOption

__all__ = [
    "STREAMS",
    "derived_seed",
    "stream",
]

STREAMS = (
    "data",
    "init",
    "noise",
    "sampling",
    "transpiler",
    "shots",
    "calibration",
    "evaluation",
    "perturbations",
    "circuits",
    "work",
)
"""The purposes. New ones are appended: a stream's position is part of its identity."""


def _sequence(seed: int, name: str, index: tuple[int, ...]) -> np.random.SeedSequence:
    if name not in STREAMS:
        raise InvalidOption(f"Random streams are {', '.join(STREAMS)}; got '{name}'.")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InvalidOption(f"A seed is an integer >= 0, got {seed!r}.")
    return np.random.SeedSequence(int(seed), spawn_key=(STREAMS.index(name), *index))


def stream(seed: int, name: str, *index: int) -> np.random.Generator:
    """Return a numpy generator for one purpose.

    Args:
        seed: The run's seed, an integer >= 0.
        name: One of :data:`STREAMS`.
        index: Position within repeated work, for example ``epoch, batch``.

    Returns:
        A generator that is independent of every other name and index.

    Raises:
        InvalidOption: If the seed is negative or the name is unknown.

    >>> float(stream(7, "noise", 0).random()) == float(stream(7, "noise", 0).random())
    True
    """
    return np.random.default_rng(_sequence(seed, name, index))


def derived_seed(seed: int, name: str, *index: int) -> int:
    """Return a 31-bit seed for a library that wants an integer (torch, Aer, Qiskit's transpiler).

    Args, errors: as for :func:`stream`.
    """
    return int(_sequence(seed, name, index).generate_state(1)[0]) & 0x7FFFFFFF
