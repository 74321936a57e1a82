"""Record of an Estimator's jobs in a run plan: options asked for and resolved, and their work."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...execution.estimator_options import options_from_text
from .types import check

__all__ = ["EstimatorPlan"]


@dataclass(frozen=True, kw_only=True)
class EstimatorPlan:
    """Jobs of IBM's Estimator in place of its Sampler's; a PUB is a call with its observables."""

    options: str
    """Options that were asked for, as canonical JSON."""
    resolved: str
    """All options with which it runs, as canonical JSON."""
    weights: tuple[float, ...]
    """For each circuit the executions of one row and shot: bases, noise factors, whole
    randomizations."""
    extra: int
    """Executions of a job besides its rows: what learns the readout."""

    def __post_init__(self) -> None:
        for text in (self.options, self.resolved):
            options_from_text(text)
        good = bool(self.weights) and all(0 < each < math.inf for each in self.weights)
        check(good, "weights are above 0, one for each circuit", self.weights[:3])
        check(self.extra >= 0, "extra is >= 0", self.extra)
