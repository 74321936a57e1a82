"""Interleaved timing: all contenders in turn, again and again, in one process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

from workloads import Step

AT_LEAST_S = 0.03
"""A contender runs this long in each round, once at least."""


@dataclass
class Times:
    """Seconds of single steps."""

    first_s: float
    """The first call, with compilation."""
    factor: float = 1.0
    """Measured steps were this many times smaller."""
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    """Of the whole process, all threads."""

    @property
    def median_s(self) -> float:
        """Median wall time."""
        return self.factor * median(self.wall_s)

    @property
    def least_s(self) -> float:
        """Least wall time."""
        return self.factor * min(self.wall_s)

    @property
    def median_cpu_s(self) -> float:
        """Median processor time."""
        return self.factor * median(self.cpu_s)

    def as_dict(self) -> dict[str, float | int]:
        """For JSON."""
        return {
            "median_ms": 1e3 * self.median_s,
            "min_ms": 1e3 * self.least_s,
            "cpu_ms": 1e3 * self.median_cpu_s,
            "first_s": self.first_s,
            "steps": len(self.wall_s),
            "factor": self.factor,
        }


def measure(steps: Mapping[str, Step], times: Mapping[str, Times], rounds: int) -> None:
    """Run every step in turn, ``rounds`` times over, and add to its times."""
    for _ in range(rounds):
        for name, step in steps.items():
            if times[name].first_s < 1:
                step()  # whoever ran before has filled the caches
            spent = 0.0
            while spent < AT_LEAST_S:
                wall, cpu = time.perf_counter(), time.process_time()
                step()
                taken = time.perf_counter() - wall
                times[name].cpu_s.append(time.process_time() - cpu)
                times[name].wall_s.append(taken)
                spent += taken
