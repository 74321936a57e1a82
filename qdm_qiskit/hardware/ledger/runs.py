"""Runs in the ledger: their states and the processes that drive them."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_args

from ...errors import InvalidOption, LedgerBusy, MissingData
from .file_lock import not_writable, wait_for_lock
from .schema import Row, RunState, State, run_state_of
from .table_access import LedgerPart

__all__ = [
    "RunTables",
    "current_user",
]

USER_LENGTH = 64
"""Characters of a user's name that are recorded."""

_RUNS = (
    "SELECT r.*, (SELECT COUNT(*) FROM jobs j WHERE j.run_id = r.run_id) AS jobs, "
    "(SELECT TOTAL(spent_seconds) FROM reservations s WHERE s.run_id = r.run_id) AS charged, "
    "(SELECT detail FROM events e WHERE e.run_id = r.run_id AND e.kind = 'planned' "
    "ORDER BY e.id LIMIT 1) AS planned FROM runs r"
)


def current_user() -> str:
    """Return who works here: ``$QDM_USER``, else the system's name of the account."""
    try:
        name = os.environ.get("QDM_USER") or getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in containers
        name = f"uid {os.getuid()}"
    return " ".join(name.split())[:USER_LENGTH] or "unknown"


class RunTables(LedgerPart):
    """Runs of the ledger; :class:`~.ledger.Ledger` is the whole."""

    def add_run(
        self,
        run_id: str,
        *,
        plan_sha256: str,
        budget: str | None,
        total_steps: int,
        seconds_estimated: float,
    ) -> None:
        """Record a run as planned; a run that is known already stays as it is.

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
            self._event(tx, run_id, None, "planned", plan_sha256=plan_sha256, user=current_user())

    def set_run(
        self, run_id: str, state: State, *, step: int | None = None, reason: str | None = None
    ) -> None:
        """Record the state of a run; ``step`` None leaves the step as it is."""
        if state not in get_args(State):
            raise InvalidOption(f"A run is {', '.join(get_args(State))}; got {state!r}.")
        values: Row = {"state": state, "reason": reason, "updated_at": self._clock()}
        if step is not None:
            values["step"] = step
        with self._store.write() as tx:
            tx.update("runs", run_id, **values)
            detail: Row = {"step": step} if step is not None else {}
            if state == "running":
                detail["user"] = current_user()
            self._event(tx, run_id, None, f"run-{state}", reason=reason, **detail)

    def run_state(self, run_id: str) -> RunState:
        """Return the state of a run.

        Raises:
            MissingData: If the ledger does not know it.
        """
        rows = self._store.read(_RUNS + " WHERE r.run_id = ?", run_id)
        if not rows:
            raise MissingData(
                f"Run '{run_id}' is not in the ledger of {self.root}; `qdm run status` lists the "
                "runs, another root may hold it."
            )
        return run_state_of(rows[0])

    def runs(self) -> tuple[RunState, ...]:
        """Return all runs, oldest first."""
        rows = self._store.read(_RUNS + " ORDER BY r.created_at, r.run_id")
        return tuple(run_state_of(row) for row in rows)

    @contextmanager
    def run_lock(self, run_id: str, *, wait_seconds: float = 0.0) -> Iterator[None]:
        """Lock a run for this process alone; the system frees it if the process dies.

        Raises:
            LedgerBusy: If another process drives it.
            OutputNotWritable: If the lock file cannot be made.
        """
        path = self.root / ".locks" / f"{run_id}.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise not_writable(path, error) from error
        try:
            wait_for_lock(handle, f"Run {run_id}", wait_seconds)
            yield
        finally:
            os.close(handle)

    def is_driven(self, run_id: str) -> bool:
        """Return True if a process drives a run at this moment."""
        try:
            with self.run_lock(run_id):
                return False
        except LedgerBusy:
            return True
