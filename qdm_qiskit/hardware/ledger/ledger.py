"""The ledger: budgets, runs, jobs and their costs, in one file for all runs of a root.

Each method is one transaction and records one event, so the events are the journal of a run: a
process may die after any of them and another one goes on from there. Each topic has tables, and a
module, of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import final

from ...clocks import wall
from .budgets import BudgetTables
from .claims import ClaimTables
from .corrections import CorrectionTables
from .fleets import FleetTables
from .jobs import JobTables
from .runs import RunTables
from .schema import TABLES, Intention, Row, RunState
from .sessions import SessionTables
from .store import BUSY_SECONDS, Store

__all__ = ["FILE", "Intention", "Ledger", "RunState"]

FILE = "ledger.sqlite"


@final
class Ledger(
    BudgetTables,
    FleetTables,
    ClaimTables,
    RunTables,
    JobTables,
    SessionTables,
    CorrectionTables,
):
    """Record of all that was planned, reserved, sent, found and paid; use :meth:`open`."""

    _store: Store

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        busy_seconds: float = BUSY_SECONDS,
        clock: Callable[[], float] = wall,
    ) -> Ledger:
        """Open the ledger of a root folder; it is made if there is none, repaired if damaged.

        Args:
            root: The folder of all runs.
            busy_seconds: Longest wait for another process that writes.
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
    def open_to_read(cls, root: Path, *, clock: Callable[[], float] = wall) -> Ledger:
        """Open the ledger of a root folder to look at it, also where nothing can be written.

        Returns:
            The ledger; of a folder that cannot be written a copy in memory, as of now.

        Raises:
            LedgerDamaged, LedgerBusy: As for :meth:`open`.
        """
        return cls(root, Store.open_to_read(root / FILE, TABLES), clock)

    @property
    def notices(self) -> list[str]:
        """Repairs since the ledger was opened, in words."""
        return self._store.notices

    def close(self) -> None:
        """Close the file."""
        self._store.close()

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
        """Record a readout calibration, once; ``path`` is relative to the root."""
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
        """Return the readout calibrations of a backend, newest first."""
        return self._store.read(
            "SELECT * FROM calibrations WHERE backend = ? ORDER BY taken_at DESC, id DESC", backend
        )
