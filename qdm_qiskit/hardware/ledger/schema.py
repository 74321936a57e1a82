"""Tables of the ledger, changes of their rows, and the values that the ledger returns."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from ...notebook import Markup, card, facts

__all__ = [
    "TABLES",
    "UNUSED_RESERVATIONS",
    "Change",
    "Intention",
    "Row",
    "RunState",
    "State",
    "Table",
    "Transaction",
    "Value",
    "checked_row",
    "insert_row",
    "intention_of",
    "run_state_of",
    "update_row",
]

Value = str | int | float | None
Row = dict[str, Value]
Change = tuple[str, str, Row]
"""``insert`` or ``update``, the table, and the row with its key."""


@dataclass(frozen=True)
class Table:
    """A table: its columns with their SQL types, the first of which is the primary key."""

    name: str
    columns: Mapping[str, str]
    indexes: tuple[tuple[str, ...], ...] = ()
    """Columns by which rows are looked up, so that the cost of a job does not grow with their
    number."""

    @property
    def key(self) -> str:
        """Name of the primary key."""
        return next(iter(self.columns))

    def create(self) -> str:
        """Return the SQL that creates it."""
        columns = [
            f"{column} {kind}{' PRIMARY KEY' if column == self.key else ''}"
            for column, kind in self.columns.items()
        ]
        return f"CREATE TABLE {self.name} ({', '.join(columns)})"

    def create_indexes(self) -> list[str]:
        """Return the SQL that creates its indexes, where they are not there yet."""
        return [
            f"CREATE INDEX IF NOT EXISTS {self.name}_by_{'_'.join(columns)} "
            f"ON {self.name} ({', '.join(columns)})"
            for columns in self.indexes
        ]


class Transaction:
    """Set of writes that happen together or not at all; made by :meth:`Store.write`."""

    def __init__(self, connection: sqlite3.Connection, tables: Mapping[str, Table]) -> None:
        self._connection = connection
        self._tables = tables
        self.changes: list[Change] = []

    def insert(self, table: str, **values: Value) -> int:
        """Add a row.

        Returns:
            Its SQLite row id; the key of tables with an integer key.

        Raises:
            sqlite3.IntegrityError: If a row of this key exists.
        """
        row_id = insert_row(self._connection, self._tables[table], values)
        if self._tables[table].columns[self._tables[table].key] == "INTEGER":
            values = {self._tables[table].key: row_id, **values}
        self.changes.append(("insert", table, values))
        return row_id

    def update(self, table: str, key: Value, **values: Value) -> None:
        """Change the row of a key; nothing happens if there is none."""
        row = {self._tables[table].key: key, **values}
        update_row(self._connection, self._tables[table], row)
        self.changes.append(("update", table, row))

    def read(self, sql: str, *values: Value) -> list[Row]:
        """Return rows as they stand within this transaction."""
        return [dict(row) for row in self._connection.execute(sql, values)]


def insert_row(connection: sqlite3.Connection, table: Table, row: Mapping[str, Value]) -> int:
    """Add a row and return its SQLite row id."""
    marks = ", ".join("?" * len(row))
    cursor = connection.execute(
        f"INSERT INTO {table.name} ({', '.join(row)}) VALUES ({marks})",  # noqa: S608 (names come from the schema)
        tuple(row.values()),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def update_row(connection: sqlite3.Connection, table: Table, row: Mapping[str, Value]) -> int:
    """Change the row of the key that is in it; return the number of changed rows."""
    values = {column: value for column, value in row.items() if column != table.key}
    assignments = ", ".join(f"{column} = ?" for column in values)
    return connection.execute(
        f"UPDATE {table.name} SET {assignments} WHERE {table.key} = ?",  # noqa: S608 (names come from the schema)
        (*values.values(), row[table.key]),
    ).rowcount


def checked_row(tables: Mapping[str, Table], name: str, row: Any) -> Row:
    """Return a row that was read from a file, if it fits the schema.

    Raises:
        ValueError: If it does not.
    """
    if name not in tables or not isinstance(row, dict) or not set(row) <= set(tables[name].columns):
        raise ValueError(f"a row that does not fit table {name!r}")
    if not all(value is None or isinstance(value, str | int | float) for value in row.values()):
        raise ValueError("a value that is no number or text")
    return row


State = Literal["planned", "running", "done", "failed", "cancelled"]
"""``cancelled``: by `qdm run cancel`, or its job on the service; it can be resumed, as ``failed``."""

_CANCELLED_BEFORE = ("cancelled before it was sent", "cancelled, ")
"""Beginnings of the reason of a cancelled run that was recorded as ``failed``."""


def _table(name: str, columns: str, *indexes: str) -> Table:
    """Return a table from ``"key TYPE, column TYPE, ..."``, with indexes ``"column, column"``."""
    pairs = (column.partition(" ") for column in columns.split(", "))
    by = tuple(tuple(each.split(", ")) for each in indexes)
    return Table(name, {column: kind for column, _, kind in pairs}, by)


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
        "run_id, part",
        # With all that a budget's sums read: they do not go through the rows.
        "budget, state, settled_at, seconds, shots, spent_seconds, spent_shots",
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
        "run_id, part",
        "reservation",
    ),
    _table(
        "jobs",
        "job_id TEXT, tag TEXT, run_id TEXT, part TEXT, backend TEXT, instance TEXT, "
        "role TEXT, state TEXT, seconds REAL, usage_status TEXT, reason TEXT, found_at REAL, "
        "updated_at REAL",
        "tag",
        "run_id",
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
        "run_id, part",
        "kind, at",
    ),
)
"""Times are seconds since 1970. ``part`` is ``step-0010`` or ``calibration-0001``."""


UNUSED_RESERVATIONS = (
    "SELECT id, part FROM reservations WHERE run_id = ? AND state = 'held' AND NOT EXISTS "
    "(SELECT 1 FROM intentions WHERE intentions.reservation = reservations.id)"
)
"""SQL for the reservations of a run that no job has used."""


@dataclass(frozen=True, kw_only=True)
class RunState:
    """State of a run."""

    run_id: str
    state: State
    step: int
    """t of the x_t at hand: T at the start, 0 when all steps are done."""
    total_steps: int
    """T."""
    jobs: int
    """Jobs known to exist on the service, duplicates included."""
    seconds_estimated: float
    """Estimated QPU seconds of the whole run."""
    seconds_charged: float
    """QPU seconds charged so far."""
    reason: str | None
    """Reason of a failure, a cancelling or a stop."""
    budget: str | None
    plan_sha256: str
    updated_at: float
    """Seconds since 1970."""
    created_at: float = 0.0
    """Time of planning, seconds since 1970; 0 if not known."""
    user: str | None = None
    """Who planned it; None if not recorded."""

    def shown(self) -> Markup:
        """Return progress and costs, as a notebook shows them."""
        return facts(
            [
                ("state", self.state),
                ("steps done", f"{self.total_steps - self.step} of {self.total_steps}"),
                ("jobs", self.jobs),
                ("QPU seconds charged", f"{self.seconds_charged:.1f}"),
                ("QPU seconds estimated", f"{self.seconds_estimated:.1f}"),
                ("budget", self.budget),
                ("planned by", self.user),
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
    """CRN of the instance that pays; empty for local targets."""
    mode: str
    session_id: str | None
    state: str
    """``intended``, ``submitted``, ``collected``, ``failed`` or ``dropped``."""
    job_id: str | None
    created_at: float


def run_state_of(row: Row) -> RunState:
    """Return the state of a run from its row, the number of its jobs and their charge."""
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
        created_at=cast("float | None", row["created_at"]) or 0.0,
        user=_user_in(row.get("planned")),
    )


def _user_in(detail: Value) -> str | None:
    """Return who is named in the detail of an event; None in those of earlier versions."""
    try:
        found = json.loads(str(detail)) if detail else {}
    except ValueError:
        return None
    user = found.get("user") if isinstance(found, dict) else None
    return user if isinstance(user, str) else None


def intention_of(row: Mapping[str, Value]) -> Intention:
    """Return the intention of a row of ``intentions``."""
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
