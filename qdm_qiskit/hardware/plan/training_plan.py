"""Training as a hardware run: what each optimizer step asks, in place of the steps of a chain."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from .types import MAX_STEPS, check

__all__ = ["OPTIMIZERS", "Optimizer", "TrainingPlan"]

Optimizer = Literal["adam", "spsa", "ridge"]
"""``ridge`` fits a linear tail in closed form."""
OPTIMIZERS = ("adam", "spsa", "ridge")
MOST_TRAINING_STEPS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """Training of a model by the run's counts; its batches are in ``inputs.npz``."""

    optimizer: Optimizer
    steps: int
    """Steps of the optimizer."""
    learning_rate: float
    perturbation: float
    """Of SPSA."""
    weights: tuple[str, ...]
    """Names of the parameters that are trained."""
    numbers: int
    """Numbers in them."""
    once: bool
    """True if no circuit depends on them: one batch is measured, once, for all steps."""
    shifted: int
    """Angles of all circuits that are shifted for each noisy image, ahead and behind; 0 of SPSA."""

    def __post_init__(self) -> None:
        most = MOST_TRAINING_STEPS if self.once else MAX_STEPS
        check(1 <= self.steps <= most, f"steps is 1 to {most}", self.steps)
        check(0 < self.learning_rate <= 1e3, "learning_rate is above 0", self.learning_rate)
        good = math.isfinite(self.perturbation) and 0 < self.perturbation <= 1e3
        check(good, "perturbation is above 0", self.perturbation)
        names = bool(self.weights) and all(e.isprintable() and e for e in self.weights)
        check(
            names and len(set(self.weights)) == len(self.weights), "weights are names", self.weights
        )
        check(1 <= self.numbers <= 10**9, "numbers is at least 1", self.numbers)
        check(0 <= self.shifted <= 10**6, "shifted is 0 to 1e6", self.shifted)
        check(self.optimizer != "ridge" or self.once, "ridge fits what is measured once", self.once)
        check(self.optimizer != "spsa" or not self.once, "spsa asks at each step", self.once)

    @property
    def measured_steps(self) -> int:
        """Steps that send jobs."""
        return 1 if self.once else self.steps

    def gradient(self) -> str:
        """Return in words what tells the direction of a step.

        >>> TrainingPlan(
        ...     optimizer="adam", steps=3, learning_rate=0.1, perturbation=0.1, weights=("w",),
        ...     numbers=4, once=False, shifted=5,
        ... ).gradient()
        'parameter shift, 5 angles ahead and behind'
        """
        if self.optimizer == "ridge":
            return "none: a linear tail in closed form"
        if self.once:
            return "exact, of what was measured once"
        if self.optimizer == "spsa":
            return "two losses a step, in one question (SPSA)"
        angles = "1 angle" if self.shifted == 1 else f"{self.shifted} angles"
        return f"parameter shift, {angles} ahead and behind"

    def sentence(self) -> str:
        """Return the training in words."""
        names = ", ".join(self.weights[:3]) + (" ..." if len(self.weights) > 3 else "")
        steps = "1 step" if self.steps == 1 else f"{self.steps} steps"
        how = f"{self.optimizer}, {steps}" if self.optimizer != "ridge" else "ridge"
        return f"{how}, of {self.numbers} numbers in {names}; gradient: {self.gradient()}"
