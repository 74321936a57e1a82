"""Budgets in the ledger: limits, reservations and what is left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from ...arguments import checked_text
from ...errors import InvalidOption, UnknownName, unknown_name
from .budget import BudgetLimits, BudgetState, Window, is_rehearsal
from .schema import UNUSED_RESERVATIONS, Row, Transaction
from .table_access import LedgerPart

__all__ = [
    "BudgetTables",
]


class BudgetTables(LedgerPart):
    """Budgets and reservations of the ledger; :class:`~.ledger.Ledger` is the whole."""

    # -- budgets ------------------------------------------------------------------------------

    def set_budget(
        self,
        name: str,
        *,
        seconds: float | None = None,
        shots: int | None = None,
        period_days: float | None = None,
        window: Window = "rolling",
        starts_at: float | None = None,
    ) -> BudgetState:
        """Set the limits of a budget; what was spent and reserved stays.

        Args:
            name: Letters, digits, ``-``, ``_`` and ``.``, at most 64.
            seconds, shots, period_days, window: See :class:`~.budget.BudgetLimits`.
            starts_at: Start of the first calendar period; by default the UTC day of today.

        Returns:
            The budget as it stands.

        Raises:
            InvalidOption: If the name or a limit cannot be.
        """
        checked_text(name, "name")
        if not name or len(name) > 64 or not all(c.isalnum() or c in "-_." for c in name):
            raise InvalidOption(
                f"A budget's name has 1 to 64 letters, digits, '-', '_' or '.', got {name!r:.80}."
            )
        now = self._clock()
        limits = BudgetLimits(
            seconds=seconds,
            shots=shots,
            period_days=period_days,
            window=window,
            starts_at=now - now % 86_400 if starts_at is None else starts_at,
        )
        values: Row = {
            "seconds": limits.seconds,
            "shots": limits.shots,
            "period_days": limits.period_days,
            "window": limits.window,
            "starts_at": limits.starts_at,
            "set_at": now,
        }
        with self._store.write() as tx:
            if tx.read("SELECT 1 FROM budgets WHERE name = ?", name):
                tx.update("budgets", name, **values)
            else:
                tx.insert("budgets", name=name, **values)
            self._event(tx, None, None, "budget-set", budget=name, **values)
            return self._budget(tx.read, name, now)

    def budgets(self) -> tuple[BudgetState, ...]:
        """Return all budgets, by name."""
        names = self._store.read("SELECT name FROM budgets ORDER BY name")
        return tuple(self.budget(str(row["name"])) for row in names)

    def budget(self, name: str) -> BudgetState:
        """Return one budget as it stands.

        Raises:
            UnknownName: If there is none of this name.
        """
        return self._budget(self._store.read, name, self._clock())

    def budget_history(self, name: str) -> list[Row]:
        """Return all reservations of a budget, oldest first: asked, spent, when, for which run.

        Raises:
            UnknownName: If there is no budget of this name.
        """
        self.budget(name)
        return self._store.read("SELECT * FROM reservations WHERE budget = ? ORDER BY id", name)

    def settled_seconds(self) -> float:
        """Return the QPU seconds of all settled jobs, whichever budget paid, rehearsals left out."""
        rows = self._store.read(
            "SELECT budget, TOTAL(spent_seconds) AS seconds FROM reservations "
            "WHERE state = 'settled' GROUP BY budget"
        )
        return sum(
            cast(float, row["seconds"])
            for row in rows
            if not is_rehearsal(cast("str | None", row["budget"]))
        )

    def _budget(self, read: Callable[..., list[Row]], name: str, now: float) -> BudgetState:
        rows = read("SELECT * FROM budgets WHERE name = ?", name)
        if not rows:
            known = [str(row["name"]) for row in read("SELECT name FROM budgets")]
            if not known:
                raise UnknownName(
                    f"There is no budget '{name}', nor any other; set one with `qdm budget set`."
                )
            raise unknown_name("budget", name, known)
        row = rows[0]
        limits = BudgetLimits(
            seconds=cast("float | None", row["seconds"]),
            shots=cast("int | None", row["shots"]),
            period_days=cast("float | None", row["period_days"]),
            window=cast(Window, row["window"]),
            starts_at=cast(float, row["starts_at"]),
        )
        start = limits.period_start(now)
        [held] = read(
            "SELECT TOTAL(seconds) AS seconds, CAST(TOTAL(shots) AS INTEGER) AS shots "
            "FROM reservations WHERE budget = ? AND state = 'held'",
            name,
        )
        [spent] = read(
            "SELECT TOTAL(spent_seconds) AS seconds, CAST(TOTAL(spent_shots) AS INTEGER) AS shots "
            "FROM reservations WHERE budget = ? AND state = 'settled' AND settled_at >= ?",
            name,
            # SQLite compares with -inf as with any number; JSON and people do not.
            max(start, -1e300),
        )
        return BudgetState(
            name=name,
            limit_seconds=limits.seconds,
            limit_shots=limits.shots,
            period_days=limits.period_days,
            window=limits.window,
            period_start=None if limits.period_days is None else start,
            reserved_seconds=cast(float, held["seconds"]),
            reserved_shots=cast(int, held["shots"]),
            spent_seconds=cast(float, spent["seconds"]),
            spent_shots=cast(int, spent["shots"]),
        )

    # -- reservations -------------------------------------------------------------------------

    def reserve(
        self, budget: str | None, run_id: str, parts: Sequence[tuple[str, float, int]]
    ) -> None:
        """Reserve for several jobs, for all of them or for none.

        Parts that have an unused reservation, or a job that is on its way or has its
        counts, need none and are left out; so it can be called again after a crash.

        Args:
            budget: The budget that pays; None reserves without a limit.
            run_id: The run.
            parts: Part, QPU seconds and shots of each job.

        Raises:
            BudgetExceeded: If they do not fit together; nothing is reserved then.
            UnknownName: If there is no such budget.
        """
        with self._store.write() as tx:
            self._hold(tx, budget, {run_id: parts})

    def _hold(
        self,
        tx: Transaction,
        budget: str | None,
        wanted: Mapping[str, Sequence[tuple[str, float, int]]],
    ) -> None:
        """Reserve for jobs of several runs, for all of them or for none; see :meth:`reserve`."""
        now = self._clock()
        new: dict[str, list[tuple[str, float, int]]] = {}
        for run_id, parts in wanted.items():
            left = [part for part in parts if not self._provided(tx, run_id, part[0])]
            if left:
                new[run_id] = left
        if not new:
            return
        every = [part for parts in new.values() for part in parts]
        if budget is not None:
            seconds, shots = sum(part[1] for part in every), sum(part[2] for part in every)
            self._budget(tx.read, budget, now).check(seconds, shots)
        for run_id, parts in new.items():
            for part, part_seconds, part_shots in parts:
                tx.insert(
                    "reservations",
                    budget=budget,
                    run_id=run_id,
                    part=part,
                    seconds=part_seconds,
                    shots=part_shots,
                    state="held",
                    reserved_at=now,
                )
            self._event(
                tx,
                run_id,
                None,
                "reserved",
                budget=budget,
                seconds=sum(part[1] for part in parts),
                shots=sum(part[2] for part in parts),
                parts=[part[0] for part in parts],
            )

    def _provided(self, tx: Transaction, run_id: str, part: str) -> bool:
        """Return True if a part has an unused reservation, or a job that may use one."""
        sent = tx.read(
            "SELECT 1 FROM intentions WHERE run_id = ? AND part = ? "
            "AND state IN ('intended', 'submitted', 'collected') LIMIT 1",
            run_id,
            part,
        )
        return bool(sent or tx.read(UNUSED_RESERVATIONS + " AND part = ? LIMIT 1", run_id, part))

    def release(self, run_id: str) -> None:
        """Release reservations of a run for jobs that were never sent, or not created."""
        with self._store.write() as tx:
            rows = tx.read(
                "SELECT id, part, seconds FROM reservations WHERE run_id = ? AND state = 'held' "
                "AND id NOT IN (SELECT reservation FROM intentions WHERE run_id = ? "
                "AND state != 'dropped')",
                run_id,
                run_id,
            )
            for row in rows:
                tx.update("reservations", row["id"], state="released", settled_at=self._clock())
            if rows:
                self._event(tx, run_id, None, "released", parts=[row["part"] for row in rows])

    def reservation(self, number: int) -> Row | None:
        """Return one reservation; None if there is none of this number."""
        rows = self._store.read("SELECT * FROM reservations WHERE id = ?", number)
        return rows[0] if rows else None

    def reservations_of(self, run_id: str, part: str) -> list[Row]:
        """Return all reservations for a part of a run, oldest first."""
        return self._store.read(
            "SELECT * FROM reservations WHERE run_id = ? AND part = ? ORDER BY id", run_id, part
        )

    def reservations(self, run_id: str) -> list[Row]:
        """Return all reservations of a run, oldest first."""
        return self._store.read("SELECT * FROM reservations WHERE run_id = ? ORDER BY id", run_id)
