"""Share of a run: the images of a fleet's run that one device answers, by their addresses.

An image is known by its address, its number in the whole run. What is drawn for it, x_T and the noise
of each step, is what the whole run draws at that address, wherever the image is answered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...canonical_json import check
from .types import MAX_IMAGES, MAX_STEPS

__all__ = ["SharePlan"]

_RUN_ID = re.compile(r"\d{4}-\d{2}-\d{2}-[A-Za-z0-9_-]+-[0-9a-f]{8}")


@dataclass(frozen=True, kw_only=True)
class SharePlan:
    """Images that a run answers of a fleet's."""

    fleet: str
    """Id of the fleet."""
    of: int
    """Images of the whole fleet."""
    images: tuple[int, ...]
    """Addresses of the run's images, rising; its row k is image ``images[k]``."""
    begins_at: int = 0
    """Steps that another run has answered before: its x is that run's state after them."""
    after: str | None = None
    """Id of that run, which had these images until its device failed; None of a first share."""

    def __post_init__(self) -> None:
        for text in (self.fleet, *(() if self.after is None else (self.after,))):
            check(bool(_RUN_ID.fullmatch(text)), "a share names a fleet and a run by id", text)
        check(1 <= self.of <= MAX_IMAGES, f"of is 1 to {MAX_IMAGES}", self.of)
        rising = list(self.images) == sorted(set(self.images))
        check(bool(self.images) and rising, "images are addresses that rise", self.images[:3])
        check(
            self.images[0] >= 0 and self.images[-1] < self.of,
            f"images are addresses below {self.of}",
            self.images[-1],
        )
        check(0 <= self.begins_at <= MAX_STEPS, "begins_at is a number of steps", self.begins_at)
        early = self.after is not None or self.begins_at == 0
        check(early, "a share that begins late comes after another run", self.begins_at)

    def rows(self) -> list[int]:
        """Return for each address of the whole a row of the share: its own, or 0 as a stand-in.

        >>> SharePlan(fleet="2026-01-01-a-00000000", of=4, images=(1, 3)).rows()
        [0, 0, 0, 1]
        """
        found = [0] * self.of
        for row, image in enumerate(self.images):
            found[image] = row
        return found
