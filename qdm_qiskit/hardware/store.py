"""Tables that survive crashes and damage: SQLite, and beside it a log that can rebuild them.

Every write is one transaction of inserts and updates. It is appended to the log and synced to disk,
then committed in SQLite (WAL, ``synchronous=FULL``), both under one file lock; so the log is never
behind. When the file is opened, whichever of the two is behind or damaged is brought up from the
other. Damaged files are moved aside, never deleted.

The log holds a line a transaction: 16 hex digits of the SHA-256 of the rest, a space, and JSON. It
names tables and columns, never SQL, and both are checked against the schema.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from ..errors import LedgerBusy, LedgerDamaged, OutputNotWritable
from ..files import write_bytes

Value = str | int | float | None
Row = dict[str, Value]

APPLICATION_ID = 0x71646D31  # "qdm1", in the header of the SQLite file
LOG_SCHEMA = "qdm-ledger-log/1"
_DISK_WORDS = ("full", "readonly", "unable to open", "disk I/O")
BUSY_SECONDS = 30.0
"""How long a writer waits for another one."""


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
        self.changes: list[tuple[str, str, Row]] = []

    def insert(self, table: str, **values: Value) -> int:
        """Add a row.

        Returns:
            Its SQLite row id; the key of tables with an integer key.

        Raises:
            sqlite3.IntegrityError: If a row of this key exists.
        """
        row_id = _insert(self._connection, self._tables[table], values)
        if self._tables[table].columns[self._tables[table].key] == "INTEGER":
            values = {self._tables[table].key: row_id, **values}
        self.changes.append(("insert", table, values))
        return row_id

    def update(self, table: str, key: Value, **values: Value) -> None:
        """Change the row of a key; nothing happens if there is none."""
        row = {self._tables[table].key: key, **values}
        _update(self._connection, self._tables[table], row)
        self.changes.append(("update", table, row))

    def read(self, sql: str, *values: Value) -> list[Row]:
        """Rows as they stand within this transaction."""
        return [dict(row) for row in self._connection.execute(sql, values)]


@final
class Store:
    """Tables in ``<path>``, their log in ``<path>.log``, the lock in ``<path>.lock``.

    Use :meth:`open`. One object serves one thread of one process; several processes may have the
    same path open.
    """

    def __init__(self, path: Path, tables: Sequence[Table], busy_seconds: float) -> None:
        self.path = path
        self.log_path = path.with_name(path.name + ".log")
        self.notices: list[str] = []
        """What was repaired when the files were opened, in words."""
        self._tables = {table.name: table for table in tables}
        self._busy_seconds = busy_seconds
        self._connection: sqlite3.Connection | None = None
        self._inode = -1
        self._writing = False
        self._logged = (-1, -1)

    @classmethod
    def open(
        cls, path: Path, tables: Sequence[Table], *, busy_seconds: float = BUSY_SECONDS
    ) -> Store:
        """Open the tables, make them if they are new, repair them if they are damaged.

        Args:
            path: The SQLite file.
            tables: The schema.
            busy_seconds: How long to wait for another writer.

        Returns:
            The store.

        Raises:
            LedgerDamaged: If neither the SQLite file nor the log can be read in full, or the file
                is something else.
            LedgerBusy: If another process holds the lock for longer than ``busy_seconds``.
            OutputNotWritable: If the folder cannot be written.
        """
        store = cls(path, tables, busy_seconds)
        with store._locked():
            store._connect()
        return store

    def close(self) -> None:
        """Close the file; later calls open it again."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def read(self, sql: str, *values: Value) -> list[Row]:
        """Rows of a SELECT.

        Raises:
            LedgerDamaged: If the file was damaged since it was opened; opening it repairs it.
        """
        if self._moved():
            with self._locked():
                self._connect()
        try:
            assert self._connection is not None
            return [dict(row) for row in self._connection.execute(sql, values)]
        except sqlite3.DatabaseError as error:
            raise self._failure(error) from error

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction; leaving the block by an exception undoes it.

        Raises:
            LedgerBusy: If another process is writing for longer than ``busy_seconds``.
            OutputNotWritable: If the disk is full or read-only; nothing has changed then.
            LedgerDamaged: If the file was damaged since it was opened; opening it repairs it.
        """
        if self._writing:
            raise RuntimeError("A ledger transaction cannot be opened inside another one.")
        with self._locked():
            if self._moved():
                self._connect()
            connection = self._connection
            assert connection is not None
            self._writing = True
            try:
                connection.execute("BEGIN IMMEDIATE")
                [(seq,)] = connection.execute("SELECT seq FROM store_state").fetchall()
                if seq != self._log_seq():  # another process was killed while it wrote
                    connection.execute("ROLLBACK")
                    self._connect()
                    connection = self._connection
                    assert connection is not None
                    connection.execute("BEGIN IMMEDIATE")
                    [(seq,)] = connection.execute("SELECT seq FROM store_state").fetchall()
                transaction = Transaction(connection, self._tables)
                yield transaction
                if transaction.changes:
                    self._commit(connection, seq + 1, transaction.changes)
                else:
                    connection.execute("ROLLBACK")
            except sqlite3.IntegrityError:
                raise
            except sqlite3.DatabaseError as error:
                raise self._failure(error) from error
            finally:
                self._writing = False
                if self._connection is not None and self._connection.in_transaction:
                    with suppress(sqlite3.Error):
                        self._connection.execute("ROLLBACK")

    # -- writing ------------------------------------------------------------------------------

    def _commit(
        self, connection: sqlite3.Connection, seq: int, changes: list[tuple[str, str, Row]]
    ) -> None:
        """Log, sync, commit; if the commit fails, the log line goes again."""
        connection.execute("UPDATE store_state SET seq = ?", (seq,))
        line = _line({"seq": seq, "changes": [list(change) for change in changes]})
        before = self._log_size()
        try:
            with open(self.log_path, "ab") as log:
                log.write(line)
                log.flush()
                os.fsync(log.fileno())
            connection.execute("COMMIT")
        except BaseException as error:
            with suppress(OSError):
                os.truncate(self.log_path, before)
            if isinstance(error, OSError):
                raise not_writable(self.log_path, error) from error
            raise
        self._logged = (seq, before + len(line))

    def _log_seq(self) -> int:
        """The last transaction of the log; read from its end, and remembered."""
        size = self._log_size()
        if self._logged[1] != size or not size:
            last = _last_line(self.log_path) if size else None
            self._logged = (-1 if last is None else last, size)
        return self._logged[0]

    def _log_size(self) -> int:
        try:
            return self.log_path.stat().st_size
        except OSError:
            return 0

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the file lock, which the system takes away from a process that dies."""
        lock = self.path.with_name(self.path.name + ".lock")
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise not_writable(lock, error) from error
        try:
            wait_for_lock(handle, f"The ledger {self.path}", self._busy_seconds)
            yield
        finally:
            os.close(handle)

    def _moved(self) -> bool:
        """Whether the open file is no longer the one at the path."""
        if self._connection is None:
            return True
        try:
            return self.path.stat().st_ino != self._inode
        except OSError:
            return True

    def _failure(self, error: sqlite3.DatabaseError) -> Exception:
        """SQLite's errors as ours; the connection is dropped, so that the next call repairs."""
        text = str(error)
        if isinstance(error, sqlite3.ProgrammingError):
            return error
        if isinstance(error, sqlite3.OperationalError):
            if "no such" in text or "syntax" in text:
                return error
            if "locked" in text or "busy" in text:
                return LedgerBusy(
                    f"The ledger {self.path} is locked by another program ({text}); close it and "
                    "try again."
                )
            if any(word in text for word in _DISK_WORDS):
                return OutputNotWritable(
                    f"Cannot write {self.path}: {text}; nothing was changed. Free some space, or "
                    "choose a folder that can be written."
                )
        self.close()
        return LedgerDamaged(
            f"The ledger {self.path} cannot be used now ({text}); nothing that it confirmed is "
            f"lost: {self.log_path.name} holds it, and the next command repairs the file."
        )

    # -- opening and repair -------------------------------------------------------------------

    def _connect(self) -> None:
        """Open the file under the lock, and bring file and log to the same transaction."""
        self.close()
        self._logged = (-1, -1)
        log = _read_log(self.log_path, self._tables)
        if log.complete and log.length < self._log_size():  # a line that was never finished
            with suppress(OSError):
                os.truncate(self.log_path, log.length)
        try:
            seq = self._inspect()
        except sqlite3.DatabaseError as error:
            seq = None
            if not log.complete:
                raise LedgerDamaged(
                    f"The ledger {self.path} is damaged ({error}) and {self.log_path.name} cannot "
                    f"replace it ({log.problem}); restore one of the two from a backup."
                ) from error
            self._set_aside(str(error))
        try:
            if seq is None:
                self._create(log)
            elif log.complete and seq < log.seq:
                self._catch_up(seq, log)
            elif not log.complete or log.seq < seq:
                if seq > 0:
                    self.notices.append(
                        f"The log {self.log_path.name} was {log.problem or 'behind'} and was "
                        "written again from the ledger."
                    )
                self._keep_damaged_log(log)
                self._write_snapshot(seq)
        except sqlite3.DatabaseError as error:
            raise self._failure(error) from error

    def _inspect(self) -> int | None:
        """Open and check the file: its last transaction, or None if there is no ledger in it yet.

        Raises:
            sqlite3.DatabaseError: If it is damaged, or there is a log but nothing in the file.
            LedgerDamaged: If it is the file of another program.
        """
        try:
            connection = sqlite3.connect(
                self.path, timeout=self._busy_seconds, isolation_level=None
            )
        except sqlite3.OperationalError as error:
            raise OutputNotWritable(f"Cannot open the ledger {self.path}: {error}.") from error
        self._connection = connection
        connection.row_factory = sqlite3.Row
        try:
            [(application,)] = connection.execute("PRAGMA application_id").fetchall()
            names = {
                name
                for (name,) in connection.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table'"
                )
            }
            if application not in (0, APPLICATION_ID) or (application == 0 and names):
                raise LedgerDamaged(
                    f"{self.path} is an SQLite file of another program; choose another --root."
                )
            if application == 0 and self._log_size():
                raise sqlite3.DatabaseError("the file is empty")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            self._inode = self.path.stat().st_ino
            if application == 0:
                return None
            [(check,)] = connection.execute("PRAGMA quick_check(1)").fetchall()
            if check != "ok" or not {"store_state", *self._tables} <= names:
                raise sqlite3.DatabaseError(str(check) if check != "ok" else "tables are missing")
            [(seq,)] = connection.execute("SELECT seq FROM store_state").fetchall()
            return int(seq)
        except sqlite3.OperationalError as error:
            if any(word in str(error) for word in ("locked", *_DISK_WORDS)):
                raise self._failure(error) from error
            raise
        except ValueError as error:  # no row, or two, in store_state
            if isinstance(error, LedgerDamaged):
                raise
            raise sqlite3.DatabaseError("its state cannot be read") from error

    def _create(self, log: _Log) -> None:
        """Make the tables, with what the log holds."""
        connection = self._connection
        if connection is None:
            connection = sqlite3.connect(
                self.path, timeout=self._busy_seconds, isolation_level=None
            )
            connection.row_factory = sqlite3.Row
            self._connection = connection
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            self._inode = self.path.stat().st_ino
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("CREATE TABLE store_state (seq INTEGER NOT NULL)")
        connection.execute("INSERT INTO store_state VALUES (?)", (log.seq,))
        for table in self._tables.values():
            connection.execute(table.create())
        for name, rows in log.snapshot.items():
            for row in rows:
                _insert(connection, self._tables[name], row)
        for _, changes in log.transactions:
            self._apply(connection, changes)
        connection.execute("COMMIT")
        if log.transactions or log.snapshot:
            self.notices.append(
                f"The ledger {self.path} was rebuilt from {self.log_path.name}: "
                f"{log.seq} transactions, nothing lost."
            )
        if not self._log_size():
            self._write_snapshot(log.seq)

    def _catch_up(self, seq: int, log: _Log) -> None:
        """Apply what the log has and the file has not."""
        assert self._connection is not None
        if seq < log.first_seq:  # an old copy of the file: the log replaces it
            self._set_aside("it is older than the log")
            self._create(log)
            return
        self._connection.execute("BEGIN IMMEDIATE")
        for number, changes in log.transactions:
            if number > seq:
                self._apply(self._connection, changes)
        self._connection.execute("UPDATE store_state SET seq = ?", (log.seq,))
        self._connection.execute("COMMIT")
        self.notices.append(
            f"The ledger {self.path} was {log.seq - seq} transaction(s) behind its log and has "
            "caught up."
        )

    def _apply(self, connection: sqlite3.Connection, changes: list[tuple[str, str, Row]]) -> None:
        for verb, name, row in changes:
            (_insert if verb == "insert" else _update)(connection, self._tables[name], row)

    def _set_aside(self, reason: str) -> None:
        self.close()
        mark = f"damaged-{time.time_ns()}"
        for suffix in ("", "-wal", "-shm"):
            part = self.path.with_name(self.path.name + suffix)
            if part.exists():
                os.replace(part, part.with_name(f"{self.path.name}.{mark}{suffix}"))
        self.notices.append(
            f"The ledger {self.path} was damaged ({reason}); it was kept as "
            f"{self.path.name}.{mark}."
        )

    def _keep_damaged_log(self, log: _Log) -> None:
        if self._log_size() and not log.complete:
            mark = f"{self.log_path.name}.damaged-{time.time_ns()}"
            os.replace(self.log_path, self.log_path.with_name(mark))

    def _write_snapshot(self, seq: int) -> None:
        """Start the log anew with all that the tables hold."""
        assert self._connection is not None
        for left in self.path.parent.glob(f".part-*{self.log_path.suffix}"):
            left.unlink(missing_ok=True)  # of a process that died while it wrote one
        tables = {
            name: [dict(row) for row in self._connection.execute(f"SELECT * FROM {name}")]  # noqa: S608 (our own table names)
            for name in self._tables
        }
        write_bytes(self.log_path, _line({"schema": LOG_SCHEMA, "seq": seq, "tables": tables}))


def wait_for_lock(handle: int, what: str, seconds: float) -> None:
    """Take an exclusive lock on an open file.

    Args:
        handle: The file.
        what: What it protects, for the message.
        seconds: How long to wait.

    Raises:
        LedgerBusy: If another process keeps it for longer.
    """
    deadline = time.monotonic() + seconds
    pause = 0.001
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise LedgerBusy(
                    f"{what} is in use by another process (waited {seconds:g} s); wait for it to "
                    "finish, or stop it."
                ) from None
            time.sleep(pause)
            pause = min(0.05, pause * 1.5)


@dataclass(frozen=True)
class _Log:
    """What a log holds."""

    complete: bool
    """Whether every finished line is good and follows the one before."""
    problem: str
    """Why not, in words."""
    first_seq: int
    snapshot: dict[str, list[Row]]
    transactions: list[tuple[int, list[tuple[str, str, Row]]]]
    length: int
    """Bytes of the finished lines."""

    @property
    def seq(self) -> int:
        """The last transaction."""
        return self.transactions[-1][0] if self.transactions else self.first_seq


def _read_log(path: Path, tables: Mapping[str, Table]) -> _Log:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = b""
    except OSError as error:
        raise not_writable(path, error) from error
    end = content.rfind(b"\n") + 1  # a line without its end was never confirmed
    if end == 0:
        return _Log(False, "cut short" if content else "missing", 0, {}, [], 0)
    lines = content[:end].splitlines()
    first = -1
    snapshot: dict[str, list[Row]] = {}
    transactions: list[tuple[int, list[tuple[str, str, Row]]]] = []
    try:
        for number, line in enumerate(lines):
            record = _parse(line)
            if number == 0:
                if record.get("schema") != LOG_SCHEMA:
                    raise ValueError("it does not begin with a snapshot")
                first = int(record["seq"])
                for name, rows in record["tables"].items():
                    snapshot[name] = [_checked_row(tables, name, row) for row in rows]
                continue
            expected = first + number
            if record["seq"] != expected:
                raise ValueError(f"transaction {expected} is missing")
            changes = [
                (str(verb), str(name), _checked_row(tables, name, row))
                for verb, name, row in record["changes"]
            ]
            if any(verb not in ("insert", "update") for verb, _, _ in changes):
                raise ValueError("an unknown change")
            transactions.append((expected, changes))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        problem = f"damaged in line {len(transactions) + 1 + (first >= 0)} ({error})"
        return _Log(False, problem, max(first, 0), snapshot, transactions, end)
    return _Log(True, "", first, snapshot, transactions, end)


def _last_line(path: Path) -> int | None:
    """The transaction number in the last line of a log, None if it is not whole."""
    with open(path, "rb") as log:
        size = log.seek(0, os.SEEK_END)
        block = 4096
        while True:
            log.seek(max(0, size - block))
            tail = log.read()
            if not tail.endswith(b"\n"):
                return None
            start = tail.rfind(b"\n", 0, -1)
            if start >= 0 or block >= size:
                try:
                    return int(_parse(tail[start + 1 : -1])["seq"])
                except (ValueError, KeyError, TypeError):
                    return None
            block *= 4


def _line(record: Mapping[str, Any]) -> bytes:
    text = json.dumps(record, separators=(",", ":"), allow_nan=False).encode()
    return hashlib.sha256(text).hexdigest()[:16].encode() + b" " + text + b"\n"


def _parse(line: bytes) -> dict[str, Any]:
    digest, _, text = line.partition(b" ")
    if hashlib.sha256(text).hexdigest()[:16].encode() != digest:
        raise ValueError("its checksum is wrong")
    record = json.loads(text)
    if not isinstance(record, dict):
        raise ValueError("no object")
    return record


def _checked_row(tables: Mapping[str, Table], name: str, row: Any) -> Row:
    if name not in tables or not isinstance(row, dict) or not set(row) <= set(tables[name].columns):
        raise ValueError(f"a row that does not fit table {name!r}")
    if not all(value is None or isinstance(value, str | int | float) for value in row.values()):
        raise ValueError("a value that is no number or text")
    return row


def _insert(connection: sqlite3.Connection, table: Table, row: Mapping[str, Value]) -> int:
    marks = ", ".join("?" * len(row))
    cursor = connection.execute(
        f"INSERT INTO {table.name} ({', '.join(row)}) VALUES ({marks})",  # noqa: S608 (names come from the schema)
        tuple(row.values()),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _update(connection: sqlite3.Connection, table: Table, row: Mapping[str, Value]) -> int:
    values = {column: value for column, value in row.items() if column != table.key}
    assignments = ", ".join(f"{column} = ?" for column in values)
    return connection.execute(
        f"UPDATE {table.name} SET {assignments} WHERE {table.key} = ?",  # noqa: S608 (names come from the schema)
        (*values.values(), row[table.key]),
    ).rowcount


def not_writable(path: Path, error: OSError) -> OutputNotWritable:
    """The error for a file that the system does not let us write."""
    return OutputNotWritable(
        f"Cannot write {path}: {error.strerror or error}; nothing was changed. Choose a folder "
        "with write permission and free space."
    )
