"""Jobs in the ledger: intended, sent, found by tag, collected, settled at their real cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from ...clocks import seconds_between
from ...errors import InvalidOption, UnknownName
from .schema import UNUSED_RESERVATIONS, Intention, Row, Transaction, intention_of
from .table_access import LedgerPart

__all__ = [
    "JobTables",
]


class JobTables(LedgerPart):
    """Intentions of the ledger and their jobs; :class:`~.ledger.Ledger` is the whole."""

    def intend(
        self,
        *,
        tag: str,
        run_id: str,
        part: str,
        attempt: int,
        payload_sha256: str,
        backend: str,
        instance: str,
        mode: str,
        session_id: str | None,
    ) -> Intention:
        """Record that a job is about to be sent; the record is on disk on return.

        Raises:
            sqlite3.IntegrityError: If the tag was used before.
            InvalidOption: If nothing is reserved for this part.
        """
        now = self._clock()
        with self._store.write() as tx:
            held = tx.read(UNUSED_RESERVATIONS + " AND part = ? ORDER BY id", run_id, part)
            if not held:
                raise InvalidOption(
                    f"Nothing is reserved for {part} of run {run_id}; reserve before submitting."
                )
            values: Row = {
                "tag": tag,
                "run_id": run_id,
                "part": part,
                "attempt": attempt,
                "payload_sha256": payload_sha256,
                "reservation": held[0]["id"],
                "backend": backend,
                "instance": instance,
                "mode": mode,
                "session_id": session_id,
                "state": "intended",
                "created_at": now,
                "updated_at": now,
            }
            tx.insert("intentions", **values)
            self._event(
                tx,
                run_id,
                part,
                "intended",
                tag=tag,
                backend=backend,
                mode=mode,
                session=session_id,
            )
            return intention_of({**values, "job_id": None})

    def sending(self, tag: str, mode: str, session_id: str | None) -> None:
        """Record that an intention is being sent; from here on its job may exist."""
        with self._store.write() as tx:
            row = self._intention_row(tx, tag)
            tx.update("intentions", tag, mode=mode, session_id=session_id)
            self._event(
                tx,
                row["run_id"],
                row["part"],
                "sending",
                tag=tag,
                mode=mode,
                session=session_id,
                clock=self.clock.stamp(),
            )

    def send_failed(self, tag: str, failure: str, message: str, *, nothing_created: bool) -> None:
        """Record a sending that failed.

        Args:
            tag: The intention.
            failure: Its kind.
            message: In words.
            nothing_created: True if it surely created no job.
        """
        row = self.intention(tag)
        self.event(
            row.run_id,
            "send-failed",
            row.part,
            tag=tag,
            failure=failure,
            message=message,
            nothing_created=nothing_created,
            clock=self.clock.stamp(),
        )

    def last_sending(self, intention: Intention) -> float | None:
        """Return the time, since 1970, of the last sending that may have created a job.

        Returns:
            The time of the sending, or of the failure that it ended in; None if no sending is in
            doubt: it was never sent, or each sending was refused.
        """
        doubt = self._sending_in_doubt(intention)
        return None if doubt is None else doubt[0]

    def seconds_in_doubt(self, intention: Intention) -> float | None:
        """Return how long ago the last sending was that may have created a job, at least.

        Clocks of walls have no part in it (:mod:`.clocks`): where neither the machine's uptime nor
        the service's clock says how long ago it was, it is 0.

        Returns:
            Seconds >= 0; None if no sending is in doubt.
        """
        doubt = self._sending_in_doubt(intention)
        if doubt is None:
            return None
        return seconds_between(doubt[1].get("clock"), self.clock.stamp()) or 0.0

    def sent_seconds_ago(self, intention: Intention) -> float:
        """Return how long ago an intention's job was sent, by the ledger's clock; at least 0."""
        rows = self._store.read(
            "SELECT at, detail FROM events WHERE kind IN ('sending', 'submitted') "
            "AND run_id = ? AND part = ? ORDER BY id",
            intention.run_id,
            intention.part,
        )
        sent = [
            cast(float, row["at"])
            for row in rows
            if json.loads(str(row["detail"]))["tag"] == intention.tag
        ]
        return max(0.0, self._clock() - sent[-1]) if sent else 0.0

    def _sending_in_doubt(self, intention: Intention) -> tuple[float, dict[str, Any]] | None:
        """Return the time and the detail of the last sending that may have created a job."""
        rows = self._store.read(
            "SELECT at, kind, detail FROM events WHERE kind IN ('sending', 'send-failed') "
            "AND run_id = ? AND part = ? ORDER BY id",
            intention.run_id,
            intention.part,
        )
        doubt: tuple[float, dict[str, Any]] | None = None
        open_since: tuple[float, dict[str, Any]] | None = None
        for row in rows:
            detail = json.loads(str(row["detail"]))
            if detail["tag"] != intention.tag:
                continue
            at = (cast(float, row["at"]), detail)
            if row["kind"] == "sending":
                doubt, open_since = open_since or doubt, at
            else:
                doubt = doubt if detail.get("nothing_created") else at
                open_since = None
        return doubt if open_since is None else open_since

    def sendings_since(self, since: float) -> list[float]:
        """Return the times after a given one at which jobs of any run were sent, oldest first.

        A time that is still to come was written by a clock that was ahead, and is left out.
        """
        rows = self._store.read(
            "SELECT at FROM events WHERE kind = 'sending' AND at > ? AND at <= ? ORDER BY at",
            since,
            self._clock(),
        )
        return [cast(float, row["at"]) for row in rows]

    def rate_limited_since(self, since: float) -> bool:
        """Return True if the service refused a job after a time because jobs came too fast."""
        rows = self._store.read(
            "SELECT detail FROM events WHERE kind = 'send-failed' AND at > ? AND at <= ?",
            since,
            self._clock(),
        )
        return any(json.loads(str(row["detail"])).get("failure") == "rate" for row in rows)

    def refused_size(self, run_id: str, part: str, *, backend: str, name: str, most: int) -> None:
        """Record that a job was larger than its service takes.

        Args:
            run_id, part: The job.
            backend: Name of its device.
            name: The limit's name, of the options of a plan.
            most: The largest size.
        """
        self.event(run_id, "job-size", part, backend=backend, name=name, most=most)

    def refused_sizes(self, backend: str) -> dict[str, tuple[int, str]]:
        """Return the limits of a device on jobs, by name: the last one, and the run that met it."""
        found = {}
        for row in self._store.read("SELECT * FROM events WHERE kind = 'job-size' ORDER BY id"):
            detail = json.loads(str(row["detail"]))
            if detail["backend"] == backend:
                found[str(detail["name"])] = (int(detail["most"]), str(row["run_id"]))
        return found

    def sent(self, tag: str, job_id: str, *, how: str) -> None:
        """Record the id of an intention's job.

        Args:
            tag: The intention.
            job_id: The job's id.
            how: ``answered`` by the service, or ``found`` by its tag.
        """
        with self._store.write() as tx:
            row = self._intention_row(tx, tag)
            tx.update("intentions", tag, state="submitted", job_id=job_id, updated_at=self._clock())
            self._add_job(tx, row, job_id, "main")
            self._event(
                tx,
                row["run_id"],
                row["part"],
                "submitted",
                tag=tag,
                job=job_id,
                how=how,
                clock=self.clock.stamp(),
            )

    def duplicate(self, tag: str, job_id: str, state: str) -> None:
        """Record a second job of a tag, and its state."""
        with self._store.write() as tx:
            row = self._intention_row(tx, tag)
            self._add_job(tx, row, job_id, "duplicate")
            tx.update("jobs", job_id, role="duplicate", state=state, updated_at=self._clock())
            self._event(tx, row["run_id"], row["part"], "duplicate", job=job_id, state=state)

    def dropped(self, tag: str, reason: str) -> None:
        """Record that no job was created for an intention; its reservation stays held."""
        with self._store.write() as tx:
            row = self._intention_row(tx, tag)
            tx.update("intentions", tag, state="dropped", updated_at=self._clock())
            self._event(tx, row["run_id"], row["part"], "dropped", tag=tag, reason=reason)

    def collected(
        self,
        tag: str,
        path: str,
        sha256: str | None = None,
        *,
        service: Mapping[str, float | None] | None = None,
        fetched_in: float | None = None,
    ) -> None:
        """Record that the counts of an intention are on disk.

        Args:
            tag: The intention.
            path: Path of the counts, relative to the run's folder.
            sha256: Checksum of that file; None where it is not checked.
            service: When the job was ``created``, ``started`` and ``finished`` by its provider's
                clock, since 1970; what is not known is left out of the journal.
            fetched_in: Seconds from asking for the result until it was here; a job that runs in
                this process ran in them.
        """
        told: dict[str, Any] = {k: v for k, v in (service or {}).items() if v is not None}
        more: dict[str, Any] = {"service": told} if told else {}
        if fetched_in is not None:
            more["fetched_in"] = fetched_in
        with self._store.write() as tx:
            row = self._intention_row(tx, tag)
            tx.update("intentions", tag, state="collected", updated_at=self._clock())
            if row["job_id"] is not None:
                tx.update("jobs", row["job_id"], state="done", updated_at=self._clock())
            self._event(
                tx,
                row["run_id"],
                row["part"],
                "collected",
                tag=tag,
                path=path,
                sha256=sha256,
                **more,
            )

    def job_failed(self, tag: str, reason: str, *, cancelled: bool = False) -> None:
        """Record that the job of an intention ended without counts.

        Args:
            tag: The intention.
            reason: Reason, in words.
            cancelled: True if the job was cancelled, and did not fail by itself.
        """
        state = "cancelled" if cancelled else "failed"
        with self._store.write() as tx:
            row = self._intention_row(tx, tag)
            tx.update("intentions", tag, state="failed", updated_at=self._clock())
            if row["job_id"] is not None:
                tx.update(
                    "jobs", row["job_id"], state=state, reason=reason, updated_at=self._clock()
                )
            self._event(tx, row["run_id"], row["part"], f"job-{state}", tag=tag, reason=reason)

    def settle(self, tag: str, usage: Mapping[str, float], shots: int) -> None:
        """Replace the reservation of an intention by the real cost of its jobs.

        Args:
            tag: The intention.
            usage: Seconds that the service charged, for each of its jobs.
            shots: Shots that ran.
        """
        now = self._clock()
        with self._store.write() as tx:
            row = self._intention_row(tx, tag)
            for job_id, seconds in usage.items():
                tx.update("jobs", job_id, seconds=seconds, usage_status="final", updated_at=now)
            [reservation] = tx.read(
                "SELECT state FROM reservations WHERE id = ?", row["reservation"]
            )
            if reservation["state"] != "held":
                return
            seconds = sum(usage.values())
            tx.update(
                "reservations",
                row["reservation"],
                state="settled",
                spent_seconds=seconds,
                spent_shots=shots,
                settled_at=now,
            )
            self._event(tx, row["run_id"], row["part"], "settled", seconds=seconds, shots=shots)

    def intentions(self, run_id: str) -> tuple[Intention, ...]:
        """Return all intentions of a run, oldest first."""
        rows = self._store.read(
            "SELECT * FROM intentions WHERE run_id = ? ORDER BY created_at, attempt", run_id
        )
        return tuple(intention_of(row) for row in rows)

    def intentions_of(self, run_id: str, part: str) -> tuple[Intention, ...]:
        """Return all intentions of a part of a run, oldest first."""
        rows = self._store.read(
            "SELECT * FROM intentions WHERE run_id = ? AND part = ? ORDER BY created_at, attempt",
            run_id,
            part,
        )
        return tuple(intention_of(row) for row in rows)

    def intention(self, tag: str) -> Intention:
        """Return one intention as it stands.

        Raises:
            UnknownName: If the tag is not in the ledger.
        """
        rows = self._store.read("SELECT * FROM intentions WHERE tag = ?", tag)
        if not rows:
            raise UnknownName(f"The ledger of {self.root} has no intention '{tag}'.")
        return intention_of(rows[0])

    def unsettled(self, run_id: str) -> tuple[Intention, ...]:
        """Return intentions whose jobs ended and whose reservation is still held."""
        rows = self._store.read(
            "SELECT i.* FROM intentions i JOIN reservations r ON r.id = i.reservation "
            "WHERE i.run_id = ? AND i.state IN ('collected', 'failed') AND r.state = 'held' "
            "ORDER BY i.created_at",
            run_id,
        )
        return tuple(intention_of(row) for row in rows)

    def looked_again(self, tag: str) -> bool:
        """Record that the jobs of a settled intention were listed once more, late enough.

        Returns:
            True if a job was found that the settlement left out; the reservation is held again
            then, until that job's cost is known too.
        """
        with self._store.write() as tx:
            row = self._intention_row(tx, tag)
            left_out = [
                str(job["job_id"])
                for job in tx.read(
                    "SELECT job_id FROM jobs WHERE tag = ? AND usage_status != 'final'", tag
                )
            ]
            if left_out:
                tx.update(
                    "reservations",
                    row["reservation"],
                    state="held",
                    spent_seconds=None,
                    spent_shots=None,
                    settled_at=None,
                )
            self._event(tx, row["run_id"], row["part"], "looked-again", tag=tag, left_out=left_out)
            return bool(left_out)

    def to_look_again(self, run_id: str, lag_seconds: float) -> tuple[Intention, ...]:
        """Return settled intentions whose jobs are known for long and were not listed again.

        Args:
            run_id: The run.
            lag_seconds: Jobs known for less time are left for later.
        """
        rows = self._store.read(
            "SELECT i.*, j.found_at FROM intentions i JOIN reservations r ON r.id = i.reservation "
            "JOIN jobs j ON j.job_id = i.job_id "
            "WHERE i.run_id = ? AND i.state IN ('collected', 'failed') AND r.state = 'settled' "
            "ORDER BY i.created_at",
            run_id,
        )
        events = self._store.read(
            "SELECT kind, detail FROM events WHERE run_id = ? AND kind IN "
            "('looked-again', 'submitted')",
            run_id,
        )
        looked: set[object] = set()
        found: dict[object, Mapping[str, Any] | None] = {}
        for event in events:
            detail = json.loads(str(event["detail"]))
            if event["kind"] == "looked-again":
                looked.add(detail["tag"])
            else:
                found[detail["tag"]] = detail.get("clock")
        now, stamp = self._clock(), self.clock.stamp()

        def age(row: Row) -> float:
            known = seconds_between(found.get(row["tag"]), stamp)
            return now - cast(float, row["found_at"]) if known is None else known

        return tuple(
            intention_of(row) for row in rows if row["tag"] not in looked and age(row) > lag_seconds
        )

    def jobs(self, run_id: str) -> list[Row]:
        """Return all jobs of a run, oldest first."""
        return self._store.read(
            "SELECT * FROM jobs WHERE run_id = ? ORDER BY found_at, job_id", run_id
        )

    def jobs_of(self, tag: str) -> list[Row]:
        """Return all jobs of a tag, oldest first."""
        return self._store.read("SELECT * FROM jobs WHERE tag = ? ORDER BY found_at, job_id", tag)

    def _intention_row(self, tx: Transaction, tag: str) -> Row:
        rows = tx.read("SELECT * FROM intentions WHERE tag = ?", tag)
        if not rows:
            raise UnknownName(f"The ledger of {self.root} has no intention '{tag}'.")
        return rows[0]

    def _add_job(self, tx: Transaction, row: Row, job_id: str, role: str) -> None:
        if tx.read("SELECT 1 FROM jobs WHERE job_id = ?", job_id):
            return
        now = self._clock()
        tx.insert(
            "jobs",
            job_id=job_id,
            tag=row["tag"],
            run_id=row["run_id"],
            part=row["part"],
            backend=row["backend"],
            instance=row["instance"],
            role=role,
            state="submitted",
            usage_status="pending",
            found_at=now,
            updated_at=now,
        )
