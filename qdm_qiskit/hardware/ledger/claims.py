"""Claims in the ledger: who takes a calibration that several runs need at the same time.

A claim is an event of the journal, so that it needs no table of its own and every run's record shows
it. It counts for as long as a process drives its run: who dies lets go of it without a word. Of two
open ones the earlier counts, so that no two runs wait for each other.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .table_access import LedgerPart

__all__ = ["ClaimTables"]

_OPEN = (
    "SELECT run_id, kind, detail FROM events WHERE kind IN ('claimed', 'claim-ended') ORDER BY id"
)


class ClaimTables(LedgerPart):
    """Claims of the ledger; :class:`~.ledger.Ledger` is the whole."""

    def claim(
        self, run_id: str, what: str, covers: Sequence[str], amount: int, dead: Collection[str] = ()
    ) -> str | None:
        """Claim a calibration, unless another run has claimed one that serves as well.

        Look and claim are one transaction, so of several processes one has it.

        Args:
            run_id: The run that would take it.
            what: Kind, target and method, as one text.
            covers: What it is of: qubits, or places.
            amount: Its size, in shots; a claim of more serves too.
            dead: Runs whose claims are passed over, since no process drives them.

        Returns:
            The run that takes it; None if that is this one.
        """
        wanted = set(covers)
        with self._store.write() as tx:
            ended, mine = [], False
            for owner, detail in _open(tx.read(_OPEN)):
                good = detail["what"] == what and detail["amount"] >= amount
                if not (good and wanted <= set(detail["covers"])):
                    continue
                if owner == run_id:
                    mine = True
                    break
                if owner not in dead:
                    return owner
                ended.append(owner)
            for owner in ended:  # which finds ours when it goes on
                self._event(tx, owner, None, "claim-ended", what=what)
            if not mine:
                detail = {"what": what, "covers": sorted(wanted), "amount": amount}
                self._event(tx, run_id, None, "claimed", **detail)
        return None

    def end_claims(self, run_id: str, what: str | None = None) -> None:
        """Let go of a run's claims, of one kind or of all; nothing happens if it has none."""
        with self._store.write() as tx:
            held = {str(e["what"]) for owner, e in _open(tx.read(_OPEN)) if owner == run_id}
            for each in sorted(held):
                if what in (None, each):
                    self._event(tx, run_id, None, "claim-ended", what=each)

    def has_claims(self, run_id: str) -> bool:
        """Return True if a run has claims that it has not let go of."""
        return any(owner == run_id for owner, _ in _open(self._store.read(_OPEN)))


def _open(rows: Sequence[Mapping[str, object]]) -> list[tuple[str, dict[str, Any]]]:
    """Return the run and the details of each open claim, the earliest first."""
    found: list[tuple[str, dict[str, Any]]] = []
    for row in rows:
        run, detail = str(row["run_id"]), json.loads(str(row["detail"]))
        if row["kind"] == "claimed":
            found.append((run, detail))
        else:
            ended = run, detail["what"]
            found = [each for each in found if (each[0], each[1]["what"]) != ended]
    return found
