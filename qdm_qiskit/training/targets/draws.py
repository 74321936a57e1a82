"""Random numbers of circuits in training: by the run's seed, the step, the layer and its call."""

from __future__ import annotations

from collections import Counter
from zlib import crc32

import numpy as np

from ...rng import derived_seed, stream

__all__ = ["Draws"]


class Draws:
    """Streams of a run's circuits; a step that is done again, as on resume, draws the same numbers.

    Args:
        seed: The run's.

    >>> draws = Draws(3)
    >>> draws.begin(0, 5)
    >>> first = draws.next_seed("layer")
    >>> second = draws.next_seed("layer")
    >>> draws.begin(0, 5)
    >>> draws.next_seed("layer") == first != second
    True
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._place: tuple[int, ...] = ()
        self._asked: Counter[str] = Counter()

    def begin(self, *place: int) -> None:
        """Start a step, by its place in the run such as (epoch, batch)."""
        self._place = place
        self._asked.clear()

    def next(self, name: str) -> np.random.Generator:
        """Return the stream of a layer's next draw in the step."""
        return stream(self._seed, "circuits", *self._address(name))

    def next_seed(self, name: str) -> int:
        """Return a 31-bit seed in place of a stream."""
        return derived_seed(self._seed, "circuits", *self._address(name))

    def _address(self, name: str) -> tuple[int, ...]:
        number = self._asked[name]
        self._asked[name] += 1
        return (*self._place, crc32(name.encode()), number)
