"""Requests of a run's computation, part by part, and their answers.

It asks for the counts of its parts in order, as if they were there; where they are not and nothing
may be waited for, :class:`Unanswered` leads back out of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...mitigation.device_fit import DeviceFit
from ...mitigation.readout import ReadoutCalibration
from ..ledger.run_files import StoredCounts
from ..providers.requests import RunRequest

__all__ = [
    "Answered",
    "Part",
    "Shape",
    "Unanswered",
]

Shape = tuple[int, int]
"""Rows and outcomes of a circuit's counts."""


class Unanswered(BaseException):
    """Signal that the counts of a part are missing and not waited for: the run stops there.

    No error, and no ``Exception``: nothing in a model's own code between two calls may hold it up.
    """


@dataclass(frozen=True)
class Part:
    """A job of the run's steps."""

    name: str
    shapes: Sequence[Shape]
    """Shapes of the counts of each circuit; of an Estimator's job rows and observables of each PUB."""
    request: Callable[[], RunRequest]
    """Function that makes the request of the job."""


@dataclass(frozen=True)
class Answered:
    """A part's counts, the calibration that corrects them, and the refit for what they say."""

    stored: StoredCounts
    calibration: ReadoutCalibration | None
    fit: DeviceFit | None = None
