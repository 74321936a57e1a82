"""Options of an evaluation, and sets of them by name."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InvalidOption
from ..options import settle
from .bootstrap import check_bootstrap
from .subjects import Part

__all__ = ["MOST_IMAGES", "PROTOCOLS", "EvaluationConfig"]

MOST_IMAGES = 100_000
"""Images of each set at most."""


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """Options of an evaluation."""

    count: int = 512
    """Samples of each model, and reference images, at most."""
    part: Part = "test"
    """The part of the data set that is the reference."""
    resamples: int = 200
    """Bootstrap resamples of each metric."""
    level: float = 0.95
    """Level of the intervals."""
    kid_subset_size: int | None = None
    """Also print KID as papers do, over subsets of this many images; None does not."""
    kid_subsets: int = 100
    """Number of such subsets."""
    score_splits: int = 1
    """Parts into which the samples are divided for the classifier's and Inception's score."""
    seed: int = 0
    """Seed of samples, noise and resamples."""

    def __post_init__(self) -> None:
        settle(self)
        check_bootstrap(self.resamples, self.level)
        if self.part not in ("train", "test"):
            raise InvalidOption(f"The reference is 'test' or 'train' images, got {self.part!r}.")
        if not 2 <= self.count <= MOST_IMAGES:
            raise InvalidOption(f"count must be 2 to {MOST_IMAGES}, got {self.count}.")
        if self.seed < 0:
            raise InvalidOption(f"seed is >= 0, got {self.seed}.")
        if self.kid_subset_size is not None and self.kid_subset_size < 2:
            raise InvalidOption(f"kid_subset_size is at least 2, got {self.kid_subset_size}.")
        if self.kid_subsets < 1 or self.score_splits < 1:
            raise InvalidOption(
                "kid_subsets and score_splits are at least 1, got "
                f"{self.kid_subsets} and {self.score_splits}."
            )


PROTOCOLS: dict[str, EvaluationConfig] = {
    "small": EvaluationConfig(),
    "defalco": EvaluationConfig(count=7000, kid_subset_size=100, score_splits=10),
}
"""Sets of options: for small grey images, and as De Falco et al. (2024) measured."""
