"""Corrections of the ledger by what the account says: jobs it never knew, costs it has otherwise."""

from __future__ import annotations

from collections.abc import Mapping

from .schema import Row
from .table_access import LedgerPart

__all__ = [
    "CorrectionTables",
]


class CorrectionTables(LedgerPart):
    """Corrections of the ledger; :class:`~.ledger.Ledger` is the whole."""

    def adopt(
        self,
        job_id: str,
        *,
        tag: str,
        run_id: str,
        part: str,
        attempt: int,
        backend: str,
        instance: str,
        budget: str | None,
        seconds: float,
        shots: int,
    ) -> None:
        """Record a job of the account that another ledger has sent, as if this one had.

        What is reserved for it counts even where the budget would not allow it: it is sent already.

        Args:
            job_id: The job.
            tag: Its tag, which no intention has.
            run_id, part, attempt: Its place, by its tag.
            backend, instance: The device, and the account that pays.
            budget: The budget that pays; None of a run without one.
            seconds, shots: Reserved until the job is settled.
        """
        now = self._clock()
        with self._store.write() as tx:
            reservation = tx.insert(
                "reservations",
                budget=budget,
                run_id=run_id,
                part=part,
                seconds=seconds,
                shots=shots,
                state="held",
                reserved_at=now,
            )
            tx.insert(
                "intentions",
                tag=tag,
                run_id=run_id,
                part=part,
                attempt=attempt,
                payload_sha256=tag.rpartition("-")[2],
                reservation=reservation,
                backend=backend,
                instance=instance,
                mode="job",
                state="submitted",
                job_id=job_id,
                created_at=now,
                updated_at=now,
            )
            tx.insert(
                "jobs",
                job_id=job_id,
                tag=tag,
                run_id=run_id,
                part=part,
                backend=backend,
                instance=instance,
                role="main",
                state="submitted",
                usage_status="pending",
                found_at=now,
                updated_at=now,
            )
            self._event(tx, run_id, part, "adopted", tag=tag, job=job_id)

    def correct(self, tag: str, usage: Mapping[str, float], shots: int) -> None:
        """Set the cost of an intention to what the account charged for its jobs.

        Args:
            tag: The intention.
            usage: Seconds of each of its jobs.
            shots: Shots that ran, where nothing is settled yet.
        """
        now = self._clock()
        with self._store.write() as tx:
            [row] = tx.read("SELECT * FROM intentions WHERE tag = ?", tag)
            [held] = tx.read("SELECT * FROM reservations WHERE id = ?", row["reservation"])
            for job_id, seconds in usage.items():
                tx.update("jobs", job_id, seconds=seconds, usage_status="final", updated_at=now)
            settled = held["state"] == "settled"
            values: Row = {
                "state": "settled",
                "spent_seconds": sum(usage.values()),
                "spent_shots": held["spent_shots"] if settled else shots,
                "settled_at": held["settled_at"] if settled else now,
            }
            tx.update("reservations", row["reservation"], **values)
            self._event(
                tx,
                row["run_id"],
                row["part"],
                "corrected",
                tag=tag,
                before=held["spent_seconds"],
                seconds=values["spent_seconds"],
            )
