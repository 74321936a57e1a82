"""The ledger: budgets, runs, what was sent and what it cost, in one file for all runs of a root.

Each method is one transaction and records one event, so the events are the journal of a run: a
process may die after any of them and another one goes on from there.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast, final, get_args

from ..errors import InvalidOption, LedgerBusy, MissingData, UnknownName
from .budget_book import FREE, BudgetBook
from .locks import not_writable, wait_for_lock
from .schema import TABLES, Intention, RunState, State, intention_of, run_state_of
from .store import BUSY_SECONDS, Store
from .tables import Row, Transaction

__all__ = ["FILE", "Intention", "Ledger", "RunState"]

FILE = "ledger.sqlite"
LEAST_SECONDS = 1e-3
"""Differences below it are rounding."""


@final
class Ledger(BudgetBook):
    """What was planned, reserved, sent, found and paid; use :meth:`open`."""

    def __init__(self, root: Path, store: Store, clock: Callable[[], float]) -> None:
        super().__init__(store, clock)
        self.root = root

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        busy_seconds: float = BUSY_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> Ledger:
        """Open the ledger of a root folder; it is made if there is none, repaired if damaged.

        Args:
            root: The folder of all runs.
            busy_seconds: How long to wait for another process that writes.
            clock: Seconds since 1970.

        Returns:
            The ledger; :attr:`notices` says what was repaired.

        Raises:
            LedgerDamaged: If neither the file nor its log can be read in full.
            LedgerBusy: If another process does not let go of it.
            OutputNotWritable: If the folder cannot be written.
        """
        return cls(root, Store.open(root / FILE, TABLES, busy_seconds=busy_seconds), clock)

    @classmethod
    def open_to_read(cls, root: Path, *, clock: Callable[[], float] = time.time) -> Ledger:
        """Open the ledger of a root folder to look at it, also where nothing can be written.

        Returns:
            The ledger; of a folder that cannot be written a copy in memory, as of now.

        Raises:
            LedgerDamaged, LedgerBusy: As for :meth:`open`.
        """
        return cls(root, Store.open_to_read(root / FILE, TABLES), clock)

    @property
    def notices(self) -> list[str]:
        """What was repaired since it was opened, in words."""
        return self._store.notices

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    # -- runs ---------------------------------------------------------------------------------

    def add_run(
        self,
        run_id: str,
        *,
        plan_sha256: str,
        budget: str | None,
        total_steps: int,
        seconds_estimated: float,
    ) -> None:
        """Enter a run as planned; a run that is known already stays as it is.

        Raises:
            InvalidOption: If a run of this id has another plan.
        """
        now = self._clock()
        with self._store.write() as tx:
            rows = tx.read("SELECT plan_sha256 FROM runs WHERE run_id = ?", run_id)
            if rows:
                if rows[0]["plan_sha256"] != plan_sha256:
                    raise InvalidOption(
                        f"Run {run_id} is in the ledger with another plan "
                        f"({str(rows[0]['plan_sha256'])[:16]}, not {plan_sha256[:16]}); plan again."
                    )
                return
            tx.insert(
                "runs",
                run_id=run_id,
                plan_sha256=plan_sha256,
                budget=budget,
                state="planned",
                step=total_steps,
                total_steps=total_steps,
                seconds_estimated=seconds_estimated,
                created_at=now,
                updated_at=now,
            )
            self._event(tx, run_id, None, "planned", plan_sha256=plan_sha256)

    def set_run(
        self, run_id: str, state: State, *, step: int | None = None, reason: str | None = None
    ) -> None:
        """Record where a run stands; ``step`` None leaves the step as it is."""
        if state not in get_args(State):
            raise InvalidOption(f"A run is {', '.join(get_args(State))}; got {state!r}.")
        values: Row = {"state": state, "reason": reason, "updated_at": self._clock()}
        if step is not None:
            values["step"] = step
        with self._store.write() as tx:
            tx.update("runs", run_id, **values)
            detail: Row = {"step": step} if step is not None else {}
            self._event(tx, run_id, None, f"run-{state}", reason=reason, **detail)

    def run_state(self, run_id: str) -> RunState:
        """Where a run stands.

        Raises:
            MissingData: If the ledger does not know it.
        """
        rows = self._store.read(_RUNS + " WHERE r.run_id = ?", run_id)
        if not rows:
            raise MissingData(
                f"Run '{run_id}' is not in the ledger of {self.root}; `qdm run status` lists the "
                "runs, --root names another folder."
            )
        return run_state_of(rows[0])

    def runs(self) -> tuple[RunState, ...]:
        """All runs, oldest first."""
        rows = self._store.read(_RUNS + " ORDER BY r.created_at, r.run_id")
        return tuple(run_state_of(row) for row in rows)

    @contextmanager
    def run_lock(self, run_id: str, *, wait_seconds: float = 0.0) -> Iterator[None]:
        """Be the only process that drives a run; the system frees it if this process dies.

        Raises:
            LedgerBusy: If another process drives it.
            OutputNotWritable: If the lock file cannot be made.
        """
        path = self.root / ".locks" / f"{run_id}.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise not_writable(path, error) from error
        try:
            wait_for_lock(handle, f"Run {run_id}", wait_seconds)
            yield
        finally:
            os.close(handle)

    def is_driven(self, run_id: str) -> bool:
        """Whether a process drives a run at this moment."""
        try:
            with self.run_lock(run_id):
                return False
        except LedgerBusy:
            return True

    # -- jobs ---------------------------------------------------------------------------------

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
        """Write down that a job is about to be sent; it is on disk when this returns.

        Raises:
            sqlite3.IntegrityError: If the tag was used before.
            InvalidOption: If nothing is reserved for this part.
        """
        now = self._clock()
        with self._store.write() as tx:
            held = tx.read(FREE + " AND part = ? ORDER BY id", run_id, part)
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
        """Write down that an intention is being sent now; from here on its job may exist."""
        with self._store.write() as tx:
            row = self._intention_row(tx, tag)
            tx.update("intentions", tag, mode=mode, session_id=session_id)
            self._event(
                tx, row["run_id"], row["part"], "sending", tag=tag, mode=mode, session=session_id
            )

    def send_failed(self, tag: str, failure: str, message: str, *, nothing_created: bool) -> None:
        """Write down how a sending failed.

        Args:
            tag: The intention.
            failure: Its kind.
            message: In words.
            nothing_created: Whether no job was created by it for sure.
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
        )

    def last_sending(self, intention: Intention) -> float | None:
        """When an intention was last sent with a job as a possible outcome, since 1970.

        Returns:
            The time of the sending, or of the failure that it ended in; None if no sending is in
            doubt: it was never sent, or each sending was refused.
        """
        rows = self._store.read(
            "SELECT at, kind, detail FROM events WHERE kind IN ('sending', 'send-failed') "
            "AND run_id = ? AND part = ? ORDER BY id",
            intention.run_id,
            intention.part,
        )
        doubt: float | None = None
        open_since: float | None = None
        for row in rows:
            detail = json.loads(str(row["detail"]))
            if detail["tag"] != intention.tag:
                continue
            at = cast(float, row["at"])
            if row["kind"] == "sending":
                doubt, open_since = open_since or doubt, at
            else:
                doubt = doubt if detail.get("nothing_created") else at
                open_since = None
        return doubt if open_since is None else open_since

    def sendings_since(self, since: float) -> list[float]:
        """When jobs of all runs were sent after a time, oldest first."""
        rows = self._store.read(
            "SELECT at FROM events WHERE kind = 'sending' AND at > ? ORDER BY at", since
        )
        return [cast(float, row["at"]) for row in rows]

    def rate_limited_since(self, since: float) -> bool:
        """Whether the service refused a job of any run after a time, because they came too fast."""
        rows = self._store.read(
            "SELECT detail FROM events WHERE kind = 'send-failed' AND at > ?", since
        )
        return any(json.loads(str(row["detail"])).get("failure") == "rate" for row in rows)

    def now(self) -> float:
        """The ledger's clock, seconds since 1970."""
        return self._clock()

    def sent(self, tag: str, job_id: str, *, how: str) -> None:
        """Write down the id of the job of an intention.

        Args:
            tag: The intention.
            job_id: The job's id.
            how: ``answered`` by the service, or ``found`` by its tag.
        """
        with self._store.write() as tx:
            row = self._intention_row(tx, tag)
            tx.update("intentions", tag, state="submitted", job_id=job_id, updated_at=self._clock())
            self._add_job(tx, row, job_id, "main")
            self._event(tx, row["run_id"], row["part"], "submitted", tag=tag, job=job_id, how=how)

    def duplicate(self, tag: str, job_id: str, state: str) -> None:
        """Write down a second job of a tag, and what became of it."""
        with self._store.write() as tx:
            row = self._intention_row(tx, tag)
            self._add_job(tx, row, job_id, "duplicate")
            tx.update("jobs", job_id, role="duplicate", state=state, updated_at=self._clock())
            self._event(tx, row["run_id"], row["part"], "duplicate", job=job_id, state=state)

    def dropped(self, tag: str, reason: str) -> None:
        """Write down that nothing was created for an intention; its reservation stays held."""
        with self._store.write() as tx:
            row = self._intention_row(tx, tag)
            tx.update("intentions", tag, state="dropped", updated_at=self._clock())
            self._event(tx, row["run_id"], row["part"], "dropped", tag=tag, reason=reason)

    def collected(self, tag: str, path: str) -> None:
        """Write down that the counts of an intention are on disk.

        Args:
            tag: The intention.
            path: Where, relative to the run's folder.
        """
        with self._store.write() as tx:
            row = self._intention_row(tx, tag)
            tx.update("intentions", tag, state="collected", updated_at=self._clock())
            if row["job_id"] is not None:
                tx.update("jobs", row["job_id"], state="done", updated_at=self._clock())
            self._event(tx, row["run_id"], row["part"], "collected", tag=tag, path=path)

    def job_failed(self, tag: str, reason: str) -> None:
        """Write down that the job of an intention ended without counts."""
        with self._store.write() as tx:
            row = self._intention_row(tx, tag)
            tx.update("intentions", tag, state="failed", updated_at=self._clock())
            if row["job_id"] is not None:
                tx.update(
                    "jobs", row["job_id"], state="failed", reason=reason, updated_at=self._clock()
                )
            self._event(tx, row["run_id"], row["part"], "job-failed", tag=tag, reason=reason)

    def settle(self, tag: str, usage: Mapping[str, float], shots: int) -> None:
        """Replace the reservation of an intention by what its jobs really cost.

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
        """All intentions of a run, oldest first."""
        rows = self._store.read(
            "SELECT * FROM intentions WHERE run_id = ? ORDER BY created_at, attempt", run_id
        )
        return tuple(intention_of(row) for row in rows)

    def intention(self, tag: str) -> Intention:
        """One intention as it stands.

        Raises:
            UnknownName: If the tag is not in the ledger.
        """
        rows = self._store.read("SELECT * FROM intentions WHERE tag = ?", tag)
        if not rows:
            raise UnknownName(f"The ledger of {self.root} has no intention '{tag}'.")
        return intention_of(rows[0])

    def unsettled(self, run_id: str) -> tuple[Intention, ...]:
        """Intentions whose jobs ended but whose reservation is still held."""
        rows = self._store.read(
            "SELECT i.* FROM intentions i JOIN reservations r ON r.id = i.reservation "
            "WHERE i.run_id = ? AND i.state IN ('collected', 'failed') AND r.state = 'held' "
            "ORDER BY i.created_at",
            run_id,
        )
        return tuple(intention_of(row) for row in rows)

    def jobs(self, run_id: str) -> list[Row]:
        """All jobs of a run, oldest first."""
        return self._store.read(
            "SELECT * FROM jobs WHERE run_id = ? ORDER BY found_at, job_id", run_id
        )

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

    # -- sessions -----------------------------------------------------------------------------

    def opening_session(self, run_id: str, mode: str, backend: str, instance: str) -> int:
        """Write down that a session is about to be opened; returns its number in the ledger."""
        now = self._clock()
        with self._store.write() as tx:
            number = tx.insert(
                "sessions",
                run_id=run_id,
                mode=mode,
                backend=backend,
                instance=instance,
                state="opening",
                opened_at=now,
                updated_at=now,
            )
            self._event(tx, run_id, None, "session-opening", mode=mode, backend=backend)
            return number

    def set_session(self, number: int, state: str, session_id: str | None = None) -> None:
        """Write down what became of a session: ``open``, ``closed``, ``refused`` or ``lost``."""
        values: Row = {"state": state, "updated_at": self._clock()}
        if session_id is not None:
            values["session_id"] = session_id
        with self._store.write() as tx:
            tx.update("sessions", number, **values)
            [row] = tx.read("SELECT * FROM sessions WHERE id = ?", number)
            self._event(
                tx,
                row["run_id"],
                None,
                f"session-{state}",
                session=row["session_id"],
                mode=row["mode"],
            )

    def charge_session(self, number: int, seconds: float) -> bool:
        """Charge what a dedicated session cost beyond its jobs: IBM counts the time between them.

        Args:
            number: The session's number in the ledger.
            seconds: What the whole session cost, its jobs included.

        Returns:
            Whether it is charged, now or before; False while a job of it has no known cost.
        """
        now = self._clock()
        with self._store.write() as tx:
            [row] = tx.read("SELECT * FROM sessions WHERE id = ?", number)
            part = f"session-{number:04d}"
            if tx.read(
                "SELECT 1 FROM reservations WHERE run_id = ? AND part = ?", row["run_id"], part
            ):
                return True
            if tx.read(
                "SELECT 1 FROM intentions i JOIN reservations r ON r.id = i.reservation "
                "WHERE i.session_id = ? AND r.state = 'held'",
                row["session_id"],
            ):
                return False
            [jobs] = tx.read(
                "SELECT TOTAL(r.spent_seconds) AS seconds FROM intentions i "
                "JOIN reservations r ON r.id = i.reservation WHERE i.session_id = ?",
                row["session_id"],
            )
            extra = seconds - cast(float, jobs["seconds"])
            if extra < LEAST_SECONDS:
                return True
            [run] = tx.read("SELECT budget FROM runs WHERE run_id = ?", row["run_id"])
            tx.insert(
                "reservations",
                budget=run["budget"],
                run_id=row["run_id"],
                part=part,
                seconds=0.0,
                shots=0,
                state="settled",
                spent_seconds=extra,
                spent_shots=0,
                reserved_at=now,
                settled_at=now,
            )
            self._event(tx, row["run_id"], part, "session-charged", seconds=extra, whole=seconds)
            return True

    def sessions(self, *states: str) -> list[Row]:
        """Sessions of all runs in some states, oldest first; without states all of them."""
        rows = self._store.read("SELECT * FROM sessions ORDER BY id")
        return [row for row in rows if not states or row["state"] in states]

    # -- calibrations -------------------------------------------------------------------------

    def add_calibration(
        self,
        *,
        target: str,
        backend: str,
        qubits: Sequence[int],
        method: str,
        shots: int,
        taken_at: float,
        run_id: str,
        job_id: str | None,
        path: str,
    ) -> None:
        """Enter a readout calibration, once; ``path`` is relative to the root."""
        with self._store.write() as tx:
            if tx.read("SELECT 1 FROM calibrations WHERE path = ?", path):
                return
            tx.insert(
                "calibrations",
                target=target,
                backend=backend,
                qubits=json.dumps(list(qubits)),
                method=method,
                shots=shots,
                taken_at=taken_at,
                run_id=run_id,
                job_id=job_id,
                path=path,
            )
            self._event(tx, run_id, None, "calibrated", backend=backend, path=path)

    def calibrations(self, backend: str) -> list[Row]:
        """Readout calibrations of a backend, newest first."""
        return self._store.read(
            "SELECT * FROM calibrations WHERE backend = ? ORDER BY taken_at DESC, id DESC", backend
        )

    # -- events -------------------------------------------------------------------------------

    def event(self, run_id: str | None, kind: str, part: str | None = None, **detail: Any) -> None:
        """Record something that changes nothing else."""
        with self._store.write() as tx:
            self._event(tx, run_id, part, kind, **detail)

    def events(self, run_id: str) -> list[Row]:
        """The journal of a run, oldest first; ``detail`` is JSON."""
        return self._store.read("SELECT * FROM events WHERE run_id = ? ORDER BY id", run_id)


_RUNS = (
    "SELECT r.*, (SELECT COUNT(*) FROM jobs j WHERE j.run_id = r.run_id) AS jobs, "
    "(SELECT TOTAL(spent_seconds) FROM reservations s WHERE s.run_id = r.run_id) AS charged "
    "FROM runs r"
)
