"""Refit of a plan: circuits that teach a model's linear tail, or a correction, what the device does.

A refit is a job like a calibration's: planned, priced, sent once, kept, and used again by later runs
of the same model at the same places of the same device until it is stale. ``refit.npz`` beside the
plan has the noisy states that it runs.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ...canonical_json import check
from ...errors import InvalidOption
from .calls import CallPlan, bound_circuits, run_together
from .refit_choice import LEAST_CIRCUITS, MOST_CIRCUITS
from .types import MAX_SHOTS

__all__ = [
    "REFIT",
    "FoundRefit",
    "RefitKind",
    "RefitPlan",
    "base_name",
]

REFIT = "refit.npz"
"""File with the states of a refit."""

RefitKind = Literal["head", "values"]
"""``head`` fits a model's linear layer again, ``values`` a gain and an offset of each value."""

_FOUND = re.compile(r"\d{4}-\d{2}-\d{2}-[A-Za-z0-9_-]+-[0-9a-f]{8}/refit-\d{4}\.json")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def base_name(name: str) -> str:
    """Return a call's name without the number of the sampler's ask.

    >>> base_name("layer@2")
    'layer'
    """
    return name.partition("@")[0]


@dataclass(frozen=True, kw_only=True)
class FoundRefit:
    """A refit of an earlier run that served when this one was planned; sending looks again."""

    path: str
    """Path of its file, relative to the folder of all runs."""
    taken_at: str
    """Time of the refit, ISO 8601."""

    def __post_init__(self) -> None:
        good = bool(_FOUND.fullmatch(self.path))
        check(good, "a refit's path is RUN/refit-0001.json", self.path)
        try:
            datetime.fromisoformat(self.taken_at)
        except ValueError:
            raise InvalidOption(f"taken_at is ISO 8601, got {self.taken_at!r:.80}.") from None


@dataclass(frozen=True, kw_only=True)
class RefitPlan:
    """The refit of a run: one job, taken again when it is too old."""

    kind: RefitKind
    circuits: int
    """Training images with noise; a call has a row for each of them, or for each patch of each."""
    shots: int
    """Shots of each row."""
    model_sha256: str
    """Hash of the model's options and weights."""
    places: tuple[str, ...]
    """SHA-256 of each entry of ``circuits.qpy`` that a call runs: gates, qubits and bits."""
    calls: tuple[CallPlan, ...]
    """Rows of each call at each place."""
    ttl_seconds: int
    """Age at which a refit is stale."""
    seconds: float
    """Estimated QPU seconds of its job."""
    found: FoundRefit | None = None
    """Refit that can be used in its place; None if it must be taken."""

    def __post_init__(self) -> None:
        good = LEAST_CIRCUITS <= self.circuits <= MOST_CIRCUITS
        check(good, f"circuits is {LEAST_CIRCUITS} to {MOST_CIRCUITS}", self.circuits)
        check(1 <= self.shots <= MAX_SHOTS, f"shots is 1 to {MAX_SHOTS}", self.shots)
        check(1 <= self.ttl_seconds <= 10**9, "ttl_seconds is 1 to 1e9", self.ttl_seconds)
        check(0 <= self.seconds < math.inf, "seconds is finite and >= 0", self.seconds)
        hashes = all(_SHA256.fullmatch(each) for each in (self.model_sha256, *self.places))
        check(hashes, "hashes are 64 hex digits", self.model_sha256)
        check(bool(self.calls), "a refit has calls", self.calls)
        inside = all(0 <= c < len(self.places) for e in self.calls for c in e.circuits)
        check(inside, "a refit's circuits are those of the steps", len(self.places))
        rows: dict[str, int] = {}
        for each in self.calls:
            check(each.first == rows.get(each.name, 0), "rows follow each other", each.first)
            rows[each.name] = each.first + each.rows

    @property
    def rows(self) -> dict[str, int]:
        """Number of rows of each call."""
        return {e.name: e.first + e.rows for e in self.calls}

    @property
    def bound(self) -> int:
        """Number of bound circuits of its job; those on tiles of the chip run side by side."""
        return bound_circuits(self.calls)

    @property
    def executions(self) -> int:
        """Circuits times shots."""
        return self.bound * self.shots

    @property
    def together(self) -> tuple[tuple[int, ...], ...]:
        """What runs as one circuit; see :attr:`.JobPlan.together`."""
        return run_together(self.calls)

    def place(self, call: CallPlan) -> str:
        """Return the name of a call at its place, under which a fit of it is kept."""
        return f"{base_name(call.name)} {self.places[call.circuits[0]][:32]}"
