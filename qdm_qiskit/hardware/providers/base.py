"""A provider obtains the counts of a run's jobs: IBM's service, this machine, or a user's own.

It may be asked for the same job again, by another process after a crash: it finds out from the
ledger how far the last one came.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..ledger.ledger import Intention, Ledger
from ..ledger.run_files import CountsInfo, StoredCounts, counts_path, write_counts
from ..plan.run_plan import RunPlan
from .requests import JobRequest

Report = Callable[[str], None]
"""Is told in words what happens."""


@dataclass(frozen=True, kw_only=True)
class Cancelled:
    """What a cancelling came to."""

    jobs: tuple[str, ...] = ()
    """Ids of the jobs that it stopped."""
    finished: tuple[str, ...] = ()
    """Ids of the jobs that had run already: their counts are there, and are not fetched yet."""
    in_doubt: tuple[str, ...] = ()
    """Tags with which a job may exist that the service could not be asked for."""


class Place(ABC):
    """Obtains counts for a run."""

    def __init__(self, plan: RunPlan, ledger: Ledger, report: Report) -> None:
        self.plan = plan
        self.ledger = ledger
        self.report = report

    @abstractmethod
    def start(self, request: JobRequest) -> None:
        """Send a job unless it was sent, and return without waiting for it."""

    @abstractmethod
    def obtain(self, request: JobRequest) -> StoredCounts:
        """Send a job unless it was sent, wait for it, and write its counts down."""

    @abstractmethod
    def fetch(self, request: JobRequest) -> StoredCounts | None:
        """The counts of a job that was sent, if it has ended; sends nothing."""

    @abstractmethod
    def settle(self, *, wait: bool = False) -> None:
        """Put the real costs of jobs that have ended in the place of their reservations.

        Args:
            wait: Whether to wait a while for costs that the service still counts.
        """

    @abstractmethod
    def cancel(self) -> Cancelled:
        """Cancel what waits or runs, and what may be on its way."""

    @abstractmethod
    def close(self, *, keep: bool = False) -> None:
        """Let go of it; ``keep`` leaves a session open for a later process."""

    def latest(self, part: str) -> Intention | None:
        """The last attempt of a part."""
        found = [each for each in self.ledger.intentions(self.plan.run_id) if each.part == part]
        return max(found, key=lambda each: each.attempt, default=None)

    def store(
        self, intention: Intention, counts: list[np.ndarray], shots: int, at: float
    ) -> StoredCounts:
        """Write counts to disk, then into the ledger that they are there."""
        assert intention.job_id is not None
        info = CountsInfo(job_id=intention.job_id, tag=intention.tag, shots=shots, ran_at=at)
        stored = StoredCounts(counts=tuple(counts), info=info)
        path = counts_path(self.plan.folder, intention.part)
        write_counts(path, stored)
        self.ledger.collected(intention.tag, str(path.relative_to(self.plan.folder)))
        return stored

    def reserve(self, parts: list[tuple[str, float, int]]) -> None:
        """Reserve for parts that nothing is reserved for; seconds and shots of each."""
        budget = self.plan.budget if self.plan.is_qpu else None
        self.ledger.reserve(budget, self.plan.run_id, parts)
