"""The tables of the ledger, and the values that it gives out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from ..notebook import Markup, card, facts
from .tables import Row, Table, Value

State = Literal["planned", "running", "done", "failed", "cancelled"]
"""``cancelled``: by `qdm run cancel`, or its job on the service; it can be resumed, as ``failed``."""

_CANCELLED_BEFORE = ("cancelled before it was sent", "cancelled, ")
"""How the reason begins of a run that was cancelled when that was recorded as ``failed``."""


def _table(name: str, columns: str) -> Table:
    """A table from ``"key TYPE, column TYPE, ..."``."""
    pairs = (column.partition(" ") for column in columns.split(", "))
    return Table(name, {column: kind for column, _, kind in pairs})


TABLES = (
    _table(
        "budgets",
        "name TEXT, seconds REAL, shots INTEGER, period_days REAL, window TEXT, "
        "starts_at REAL, set_at REAL",
    ),
    _table(
        "reservations",
        "id INTEGER, budget TEXT, run_id TEXT, part TEXT, seconds REAL, shots INTEGER, "
        "state TEXT, spent_seconds REAL, spent_shots INTEGER, reserved_at REAL, "
        "settled_at REAL",
    ),
    _table(
        "runs",
        "run_id TEXT, plan_sha256 TEXT, budget TEXT, state TEXT, step INTEGER, "
        "total_steps INTEGER, seconds_estimated REAL, reason TEXT, created_at REAL, "
        "updated_at REAL",
    ),
    _table(
        "intentions",
        "tag TEXT, run_id TEXT, part TEXT, attempt INTEGER, payload_sha256 TEXT, "
        "reservation INTEGER, backend TEXT, instance TEXT, mode TEXT, session_id TEXT, "
        "state TEXT, job_id TEXT, created_at REAL, updated_at REAL",
    ),
    _table(
        "jobs",
        "job_id TEXT, tag TEXT, run_id TEXT, part TEXT, backend TEXT, instance TEXT, "
        "role TEXT, state TEXT, seconds REAL, usage_status TEXT, reason TEXT, found_at REAL, "
        "updated_at REAL",
    ),
    _table(
        "sessions",
        "id INTEGER, session_id TEXT, run_id TEXT, mode TEXT, backend TEXT, instance TEXT, "
        "state TEXT, opened_at REAL, updated_at REAL",
    ),
    _table(
        "calibrations",
        "id INTEGER, target TEXT, backend TEXT, qubits TEXT, method TEXT, shots INTEGER, "
        "taken_at REAL, run_id TEXT, job_id TEXT, path TEXT",
    ),
    _table(
        "events",
        "id INTEGER, at REAL, run_id TEXT, part TEXT, kind TEXT, detail TEXT",
    ),
)
"""Times are seconds since 1970. ``part`` is ``step-0010`` or ``calibration-0001``."""


@dataclass(frozen=True, kw_only=True)
class RunState:
    """Where a run stands."""

    run_id: str
    state: State
    step: int
    """t of the x_t at hand: T at the start, 0 when all steps are done."""
    total_steps: int
    """T."""
    jobs: int
    """Jobs known to exist on the service, duplicates included."""
    seconds_estimated: float
    """For the whole run."""
    seconds_charged: float
    """What the service has charged so far."""
    reason: str | None
    """Why it failed, was cancelled or stopped."""
    budget: str | None
    plan_sha256: str
    updated_at: float
    """Seconds since 1970."""

    def shown(self) -> Markup:
        """Return progress and what was spent, as a notebook shows them."""
        return facts(
            [
                ("state", self.state),
                ("steps done", f"{self.total_steps - self.step} of {self.total_steps}"),
                ("jobs", self.jobs),
                ("QPU seconds charged", f"{self.seconds_charged:.1f}"),
                ("QPU seconds estimated", f"{self.seconds_estimated:.1f}"),
                ("budget", self.budget),
                ("reason", self.reason),
            ]
        )

    def _repr_html_(self) -> str:
        return card(self.run_id, self.shown(), about="hardware run")


@dataclass(frozen=True, kw_only=True)
class Intention:
    """A job that is to be sent, or was."""

    tag: str
    run_id: str
    part: str
    """``step-0010``, or ``calibration-0001``."""
    attempt: int
    payload_sha256: str
    reservation: int
    backend: str
    instance: str
    """The CRN that pays; empty for local targets."""
    mode: str
    session_id: str | None
    state: str
    """``intended``, ``submitted``, ``collected``, ``failed`` or ``dropped``."""
    job_id: str | None
    created_at: float


def run_state_of(row: Row) -> RunState:
    """A row of ``runs``, with the number of its jobs and what was charged for them."""
    state, reason = cast(State, row["state"]), cast("str | None", row["reason"])
    if state == "failed" and reason is not None and reason.startswith(_CANCELLED_BEFORE):
        state = "cancelled"
    return RunState(
        run_id=cast(str, row["run_id"]),
        state=state,
        step=cast(int, row["step"]),
        total_steps=cast(int, row["total_steps"]),
        jobs=cast(int, row["jobs"]),
        seconds_estimated=cast(float, row["seconds_estimated"]),
        seconds_charged=cast(float, row["charged"]),
        reason=reason,
        budget=cast("str | None", row["budget"]),
        plan_sha256=cast(str, row["plan_sha256"]),
        updated_at=cast(float, row["updated_at"]),
    )


def intention_of(row: Mapping[str, Value]) -> Intention:
    """A row of ``intentions``."""
    return Intention(
        tag=cast(str, row["tag"]),
        run_id=cast(str, row["run_id"]),
        part=cast(str, row["part"]),
        attempt=cast(int, row["attempt"]),
        payload_sha256=cast(str, row["payload_sha256"]),
        reservation=cast(int, row["reservation"]),
        backend=cast(str, row["backend"]),
        instance=cast(str, row["instance"]),
        mode=cast(str, row["mode"]),
        session_id=cast("str | None", row["session_id"]),
        state=cast(str, row["state"]),
        job_id=cast("str | None", row["job_id"]),
        created_at=cast(float, row["created_at"]),
    )
