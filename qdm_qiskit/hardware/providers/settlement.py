"""Settlement of the real costs of jobs, in one module for all providers and kinds of jobs."""

from __future__ import annotations

import math
import time
from typing import final

from ...errors import ServiceUnavailable, SubmissionUncertain
from ...progress import Message, Progress
from ..ledger.ledger import Intention, Ledger
from .collector import Collector
from .sender import Sender

__all__ = [
    "RUNAWAY_FACTOR",
    "RUNAWAY_SECONDS",
    "Settlement",
]

RUNAWAY_FACTOR, RUNAWAY_SECONDS = 4.0, 30.0
"""A job is stopped by the provider beyond this many times its estimate, and this much on top."""


@final
class Settlement:
    """Replacement of reservations by the real costs of a run's jobs.

    Args:
        run_id: The run.
        ledger: Record of jobs and reservations.
        sender: Sender, which finds jobs by their tags.
        collector: Collector, which asks for their costs.
        charges: True if jobs cost anything; else each has cost 0.
        rehearsed: True if jobs that cost nothing are settled at their estimates.
        progress: Receives what happens, in words.
    """

    def __init__(
        self,
        run_id: str,
        ledger: Ledger,
        sender: Sender,
        collector: Collector,
        *,
        charges: bool,
        progress: Progress,
        rehearsed: bool = False,
    ) -> None:
        self._run_id = run_id
        self._ledger = ledger
        self._sender = sender
        self._collector = collector
        self._charges = charges
        self._rehearsed = rehearsed and not charges
        self._progress = progress

    def settle(self, wait_seconds: float | None = None) -> None:
        """Settle all jobs that have ended.

        A job that was created twice on the way to the provider may be listed only after the first
        one is settled. So the jobs of each intention are listed once more, at the start of the
        next command (``wait_seconds`` is None) for which the provider's lag has passed since its
        job became known, and what the settlement left out is cancelled while it waits, or charged.

        Args:
            wait_seconds: Longest wait for costs that the provider still counts; None looks once.
        """
        end = time.monotonic() + (wait_seconds or 0.0)
        for intention in self._ledger.unsettled(self._run_id):
            known = self.settle_one(intention, end - time.monotonic()) is not None
            if not known and wait_seconds is not None:
                self._say(f"{intention.part}: its cost is not known yet and stays reserved")
        if wait_seconds is not None or not self._charges:
            return
        for intention in self._ledger.to_look_again(self._run_id, self._sender.lag_seconds):
            self._look_again(intention, end - time.monotonic())

    def settle_one(self, intention: Intention, wait_seconds: float) -> float | None:
        """Settle one intention and its duplicates; return the QPU seconds, None if not known."""
        try:
            self._sender.resolve(intention.tag)  # a duplicate may have appeared late
            usage: dict[str, float] = {}
            for row in self._ledger.jobs_of(intention.tag):
                job_id = str(row["job_id"])
                if row["role"] == "duplicate" and self._collector.ended(job_id) is None:
                    return None
                seconds = self._collector.seconds(job_id, wait_seconds)
                if seconds is None:
                    return None
                if (
                    self._rehearsed
                    and row["role"] != "duplicate"
                    and intention.state == "collected"
                ):
                    seconds = self.reserved_seconds(intention)
                usage[job_id] = seconds
        except (ServiceUnavailable, SubmissionUncertain) as error:
            self._say(f"{intention.part}: its cost is asked for later ({error})")
            return None
        shots = self._reserved(intention)[1] if intention.state == "collected" else 0
        self._ledger.settle(intention.tag, usage, shots)
        return math.fsum(usage.values())

    def reserved_seconds(self, intention: Intention) -> float:
        """Return the QPU seconds that are, or were, reserved for an intention."""
        return self._reserved(intention)[0]

    def most_seconds(self, budget: str | None, part: str) -> int | None:
        """Return the most seconds of a job: far more than estimated, never more than the budget.

        The provider stops a job there. Without it, one job whose estimate is wrong by a factor of a
        hundred would eat the budget of the month.

        Args:
            budget: The budget that pays; None sets no limit.
            part: The part, for which something is reserved.
        """
        if budget is None:
            return None
        left = self._ledger.budget(budget).remaining_seconds
        if left is None:
            return None
        held = [
            float(row["seconds"] or 0.0)
            for row in self._ledger.reservations_of(self._run_id, part)
            if row["state"] == "held"
        ]
        own = held[-1] if held else 0.0
        generous = RUNAWAY_FACTOR * own + RUNAWAY_SECONDS
        return max(1, math.ceil(own), math.floor(min(own + left, generous)))

    def _look_again(self, intention: Intention, wait_seconds: float) -> None:
        """List the jobs of a settled intention once more; settle it anew if one was left out."""
        try:
            listed = set(self._collector.listed(intention.tag))
            if not listed <= self._known_jobs(intention):
                self._sender.resolve(intention.tag)
        except (ServiceUnavailable, SubmissionUncertain) as error:
            self._say(f"{intention.part}: a second job of it is looked for later ({error})")
            return
        if not listed <= self._known_jobs(intention):
            return  # the provider did not say what became of it; the next command looks again
        if self._ledger.looked_again(intention.tag):
            self._say(f"{intention.part}: a second job was found after the first was settled")
            if self.settle_one(intention, wait_seconds) is None:
                self._say(f"{intention.part}: its cost is not known yet and is reserved again")

    def _known_jobs(self, intention: Intention) -> set[str]:
        return {str(row["job_id"]) for row in self._ledger.jobs_of(intention.tag)}

    def _reserved(self, intention: Intention) -> tuple[float, int]:
        """Return the seconds and shots that were reserved."""
        row = self._ledger.reservation(intention.reservation)
        if row is None or row["run_id"] != self._run_id:
            return 0.0, 0
        return float(row["seconds"] or 0.0), int(row["shots"] or 0)

    def _say(self, text: str) -> None:
        self._progress(Message(text))
