"""Base of the ledger's parts: tables, a clock, and the journal of events."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from ...clocks import LedgerClock
from .schema import Row, Transaction, Value

__all__ = [
    "LedgerPart",
    "Tables",
]


class Tables(Protocol):
    """Rows of the ledger, read and written a transaction at a time; ``Store`` keeps them on disk."""

    def read(self, sql: str, *values: Value) -> list[Row]:
        """Return rows as they stand."""

    def write(self) -> AbstractContextManager[Transaction]:
        """Open a transaction, which is on disk when the block ends."""


class LedgerPart:
    """A part of the ledger; :class:`~.ledger.Ledger` is the whole.

    Args:
        root: The folder of all runs.
        store: The tables.
        clock: Seconds since 1970.
    """

    def __init__(self, root: Path, store: Tables, clock: Callable[[], float]) -> None:
        self.root = root
        self._store = store
        self.clock = LedgerClock(clock)
        """Clock of all times in the ledger; a provider whose time is known sets it."""
        self._clock: Callable[[], float] = self.clock

    def now(self) -> float:
        """Time of the ledger's clock, seconds since 1970."""
        return self._clock()

    def event(self, run_id: str | None, kind: str, part: str | None = None, **detail: Any) -> None:
        """Record an event that changes nothing else."""
        with self._store.write() as tx:
            self._event(tx, run_id, part, kind, **detail)

    def events(self, run_id: str) -> list[Row]:
        """Return the journal of a run, oldest first; ``detail`` is JSON."""
        return self._store.read("SELECT * FROM events WHERE run_id = ? ORDER BY id", run_id)

    def _event(self, tx: Transaction, run_id: Value, part: Value, kind: str, **detail: Any) -> None:
        tx.insert(
            "events",
            at=self._clock(),
            run_id=run_id,
            part=part,
            kind=kind,
            detail=json.dumps(detail, sort_keys=True),
        )
