"""Fleets in the ledger: which runs share the images of one, and where images went that moved.

All of it is events of the journal, as claims are. A run of a fleet is given up for good before its
images go elsewhere (``retired``); the runs that take them, and what is reserved for these, come in one
transaction (``moved``). So at every moment an image belongs to one run that may send jobs, or to none.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .schema import Transaction
from .table_access import LedgerPart

__all__ = ["FleetMember", "FleetTables", "Wanted"]

_KINDS = ("fleet-planned", "retired", "moved")


@dataclass(frozen=True)
class FleetMember:
    """Run of a fleet, as the ledger has it."""

    run_id: str
    retired: str | None = None
    """Reason for which it was given up; None of one that goes on."""
    moved: tuple[str, ...] | None = None
    """Runs that took its images; None if none did yet."""
    after: str | None = None
    """Run whose images it took; None of a first one."""


@dataclass(frozen=True)
class Wanted:
    """What is to be reserved for a run."""

    run_id: str
    budget: str | None
    """Name of the budget that pays; None reserves without a limit."""
    parts: Sequence[tuple[str, float, int]]
    """Name, QPU seconds and shots of each job."""


class FleetTables(LedgerPart, ABC):
    """Fleets of the ledger; :class:`~.ledger.Ledger` is the whole."""

    @abstractmethod
    def _hold(
        self,
        tx: Transaction,
        budget: str | None,
        wanted: Mapping[str, Sequence[tuple[str, float, int]]],
    ) -> None:
        """Reserve for jobs of several runs, for all or for none; ``BudgetTables`` does."""

    def add_fleet(self, fleet_id: str, *, plan_sha256: str, members: Sequence[str]) -> None:
        """Record a fleet and its first runs; one that is known stays as it is."""
        with self._store.write() as tx:
            known = tx.read(
                "SELECT 1 FROM events WHERE run_id = ? AND kind = 'fleet-planned'", fleet_id
            )
            if not known:
                detail = {"plan_sha256": plan_sha256, "members": list(members)}
                self._event(tx, fleet_id, None, "fleet-planned", **detail)

    def fleet_members(self, fleet_id: str) -> tuple[FleetMember, ...]:
        """Return the runs of a fleet, in the order in which they came; none of an unknown one."""
        found: dict[str, FleetMember] = {}
        for row in self.events(fleet_id):
            if row["kind"] not in _KINDS:
                continue
            detail = json.loads(str(row["detail"]))
            if row["kind"] == "fleet-planned":
                found |= {each: FleetMember(each) for each in detail["members"]}
            elif row["kind"] == "retired":
                run_id = str(detail["member"])
                found[run_id] = replace(found[run_id], retired=str(detail["reason"]))
            else:
                run_id = str(detail["member"])
                taken = tuple(str(each) for each in detail["members"])
                found[run_id] = replace(found[run_id], moved=taken)
                found |= {each: FleetMember(each, after=run_id) for each in taken}
        return tuple(found.values())

    def retire(self, fleet_id: str, member: str, reason: str) -> None:
        """Record that a run of a fleet is given up; from here on it sends no job.

        Args:
            fleet_id: The fleet.
            member: The run.
            reason: In words.
        """
        with self._store.write() as tx:
            self._event(tx, fleet_id, None, "retired", member=member, reason=reason)
            self._event(tx, member, None, "retired", fleet=fleet_id, reason=reason)

    def move(self, fleet_id: str, member: str, wanted: Sequence[Wanted]) -> None:
        """Record the runs that take the images of a retired one, and reserve for all their jobs.

        Args:
            fleet_id: The fleet.
            member: The run that was retired.
            wanted: The runs that take images.

        Raises:
            BudgetExceeded: If they do not fit together; nothing is recorded then.
            UnknownName: If there is no such budget.
        """
        with self._store.write() as tx:
            self._hold_all(tx, wanted)
            runs = [each.run_id for each in wanted]
            self._event(tx, fleet_id, None, "moved", member=member, members=runs)
            for run_id in runs:
                self._event(tx, run_id, None, "took-over", fleet=fleet_id, member=member)

    def reserve_together(self, wanted: Sequence[Wanted]) -> None:
        """Reserve for jobs of several runs, for all or for none; see :meth:`.BudgetTables.reserve`.

        Raises:
            BudgetExceeded, UnknownName: As for one run.
        """
        with self._store.write() as tx:
            self._hold_all(tx, wanted)

    def _hold_all(self, tx: Transaction, wanted: Sequence[Wanted]) -> None:
        for budget in dict.fromkeys(each.budget for each in wanted):
            same = {each.run_id: each.parts for each in wanted if each.budget == budget}
            self._hold(tx, budget, same)
