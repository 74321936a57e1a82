"""The vocabulary of the ledger's store: tables, rows, and the two changes that there are."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Value = str | int | float | None
Row = dict[str, Value]
Change = tuple[str, str, Row]
"""``insert`` or ``update``, the table, and the row with its key."""


@dataclass(frozen=True)
class Table:
    """A table: its columns with their SQL types, the first of which is the primary key."""

    name: str
    columns: Mapping[str, str]

    @property
    def key(self) -> str:
        """The primary key."""
        return next(iter(self.columns))

    def create(self) -> str:
        """The SQL that makes it."""
        columns = [
            f"{column} {kind}{' PRIMARY KEY' if column == self.key else ''}"
            for column, kind in self.columns.items()
        ]
        return f"CREATE TABLE {self.name} ({', '.join(columns)})"


class Transaction:
    """Writes that happen together or not at all; made by :meth:`Store.write`."""

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
        """Rows as they stand within this transaction."""
        return [dict(row) for row in self._connection.execute(sql, values)]


def insert_row(connection: sqlite3.Connection, table: Table, row: Mapping[str, Value]) -> int:
    """Add a row; its SQLite row id."""
    marks = ", ".join("?" * len(row))
    cursor = connection.execute(
        f"INSERT INTO {table.name} ({', '.join(row)}) VALUES ({marks})",  # noqa: S608 (names come from the schema)
        tuple(row.values()),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def update_row(connection: sqlite3.Connection, table: Table, row: Mapping[str, Value]) -> int:
    """Change the row of the key that is in it; how many were changed."""
    values = {column: value for column, value in row.items() if column != table.key}
    assignments = ", ".join(f"{column} = ?" for column in values)
    return connection.execute(
        f"UPDATE {table.name} SET {assignments} WHERE {table.key} = ?",  # noqa: S608 (names come from the schema)
        (*values.values(), row[table.key]),
    ).rowcount


def checked_row(tables: Mapping[str, Table], name: str, row: Any) -> Row:
    """A row that was read from a file, if it fits the schema.

    Raises:
        ValueError: If it does not.
    """
    if name not in tables or not isinstance(row, dict) or not set(row) <= set(tables[name].columns):
        raise ValueError(f"a row that does not fit table {name!r}")
    if not all(value is None or isinstance(value, str | int | float) for value in row.values()):
        raise ValueError("a value that is no number or text")
    return row
