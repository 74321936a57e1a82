"""Successive halving: all points train for a few epochs, the best of them for more, and so on.

Jamieson and Talwalkar, arXiv:1502.07943; with a factor of 3 as in Hyperband, arXiv:1603.06560.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import InvalidOption

__all__ = ["Halving"]


@dataclass(frozen=True)
class Halving:
    """Successive halving.

    Args:
        first_epochs: Epochs of every run, at least 1.
        factor: The epochs grow by it, and one of so many points goes on; at least 2.

    Raises:
        InvalidOption: If they are not.

    >>> Halving(first_epochs=2, factor=3).rungs(20)
    (2, 6, 18, 20)
    """

    first_epochs: int = 1
    factor: int = 3

    def __post_init__(self) -> None:
        for name, least in (("first_epochs", 1), ("factor", 2)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InvalidOption(f"{name} is a whole number of at least {least}, got {value!r}.")

    def check(self, epochs: int) -> None:
        """Refuse runs that are too short to be stopped early.

        Raises:
            InvalidOption: If the first rung is the last.
        """
        if self.first_epochs >= epochs:
            raise InvalidOption(
                f"first_epochs must be below the runs' epochs, got {self.first_epochs} and {epochs}."
            )

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """Return the epochs after which points are compared, the whole run's last."""
        found = []
        rung = self.first_epochs
        while rung < epochs:
            found.append(rung)
            rung *= self.factor
        return (*found, epochs)

    def survivors(self, losses: Mapping[str, tuple[str, float | None]]) -> set[str]:
        """Return the runs that go on: those of the best points, by the mean over their seeds.

        Args:
            losses: Run to its point and its test loss, None for one that failed.

        Returns:
            Runs of one of ``factor`` points, rounded up; points where a run failed come last, and
            a failed run does not go on.
        """
        of_point: dict[str, list[float]] = defaultdict(list)
        for point, loss in losses.values():
            of_point[point].append(math.inf if loss is None else loss)
        means = {point: sum(each) / len(each) for point, each in of_point.items()}
        best = sorted(means, key=means.__getitem__)[: math.ceil(len(means) / self.factor)]
        return {run for run, (point, loss) in losses.items() if point in best and loss is not None}
