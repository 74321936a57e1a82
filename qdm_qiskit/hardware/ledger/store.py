"""Tables that survive crashes and damage: SQLite, and a log beside it that can rebuild them.

Every write is one transaction of inserts and updates. It is appended to the log and synced to disk,
then committed in SQLite (WAL, ``synchronous=FULL``), both under one file lock; so the log is never
behind. When the file is opened, the one of the two that is behind or damaged is mended from the
other. Each line of the log has a checksum; the rows of the SQLite file have none, so they are
compared with those of a good log (:meth:`Store._rows_differ`). Damaged files are moved aside, never
deleted. Only their owner can read them.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import final

from ...errors import LedgerBusy, LedgerDamaged, OutputNotWritable
from ...files import write_bytes
from .change_log import LOG_SCHEMA, ChangeLog, last_seq, line_of, read_log
from .file_lock import not_writable, wait_for_lock
from .schema import Change, Row, Table, Transaction, Value, insert_row, update_row

__all__ = ["BUSY_SECONDS", "Row", "Store", "Table", "Transaction", "Value"]

APPLICATION_ID = 0x71646D31  # "qdm1", in the header of the SQLite file
_DISK_WORDS = ("full", "readonly", "unable to open", "disk I/O")
BUSY_SECONDS = 30.0
"""Seconds that a writer waits for another one."""


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
        """Repairs made when the files were opened, in words."""
        self._tables = {table.name: table for table in tables}
        self._busy_seconds = busy_seconds
        self._connection: sqlite3.Connection | None = None
        self._inode = -1
        self._writing = False
        self._logged = (-1, -1)
        self._copied: OutputNotWritable | None = None
        """Reason for a copy in memory, if this is one."""

    @classmethod
    def open(
        cls, path: Path, tables: Sequence[Table], *, busy_seconds: float = BUSY_SECONDS
    ) -> Store:
        """Open the tables, make them if they are new, repair them if they are damaged.

        Args:
            path: The SQLite file.
            tables: The schema.
            busy_seconds: Longest wait for another writer.

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

    @classmethod
    def open_to_read(
        cls, path: Path, tables: Sequence[Table], *, busy_seconds: float = BUSY_SECONDS
    ) -> Store:
        """Open the tables as :meth:`open` does, or a copy in memory where nothing can be written.

        SQLite itself needs to write beside a file in WAL mode, and leaves out its latest
        transactions if told not to. The log has them all, so the copy is made of it: no lock, no
        file, and as of now; writing to it is refused.

        Args, returns:
            As for :meth:`open`.

        Raises:
            LedgerDamaged, LedgerBusy: As for :meth:`open`; also if nothing can be written and the
                log cannot be read in full.
        """
        try:
            return cls.open(path, tables, busy_seconds=busy_seconds)
        except OutputNotWritable as error:
            store = cls(path, tables, busy_seconds)
            store._copy(error)
            return store

    def close(self) -> None:
        """Close the file; later calls open it again."""
        if self._copied is None and self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def read(self, sql: str, *values: Value) -> list[Row]:
        """Return the rows of a SELECT.

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
        """Open a transaction; leaving the block by an exception undoes it.

        Raises:
            LedgerBusy: If another process is writing for longer than ``busy_seconds``.
            OutputNotWritable: If the disk is full or read-only; nothing has changed then.
            LedgerDamaged: If the file was damaged since it was opened; opening it repairs it.
        """
        if self._copied is not None:
            raise self._copied
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

    def _commit(self, connection: sqlite3.Connection, seq: int, changes: list[Change]) -> None:
        """Log, sync, commit; if the commit fails, the log line goes again."""
        connection.execute("UPDATE store_state SET seq = ?", (seq,))
        line = line_of({"seq": seq, "changes": [list(change) for change in changes]})
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
        """Return the last transaction of the log, read from its end and remembered."""
        size = self._log_size()
        if self._logged[1] != size or not size:
            last = last_seq(self.log_path) if size else None
            self._logged = (-1 if last is None else last, size)
        return self._logged[0]

    def _log_size(self) -> int:
        try:
            return self.log_path.stat().st_size
        except OSError:
            return 0

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the file lock, which the system frees when the process dies."""
        lock = self.path.with_name(self.path.name + ".lock")
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise not_writable(lock, error) from error
        try:
            wait_for_lock(handle, f"The ledger {self.path}", self._busy_seconds)
            yield
        finally:
            os.close(handle)

    def _moved(self) -> bool:
        """Return True if the open file is no longer the one at the path."""
        if self._copied is not None:
            return False
        if self._connection is None:
            return True
        try:
            return self.path.stat().st_ino != self._inode
        except OSError:
            return True

    def _failure(self, error: sqlite3.DatabaseError) -> Exception:
        """Return an error of SQLite as ours; drop the connection, so that the next call repairs."""
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
        log = read_log(self.log_path, self._tables)
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
            if seq is not None and log.complete and log.seq >= seq and self._rows_differ(log):
                self._set_aside("its rows are not those of its log")
                self._create(log)
            self._add_indexes()
        except sqlite3.DatabaseError as error:
            raise self._failure(error) from error

    def _add_indexes(self) -> None:
        """Make the indexes of a file that an earlier version wrote."""
        connection = self._connection
        assert connection is not None
        there = {
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")
        }
        wanted = [sql for table in self._tables.values() for sql in table.create_indexes()]
        missing = [sql for sql in wanted if sql.split()[5] not in there]
        if missing:
            connection.execute("BEGIN IMMEDIATE")
            for sql in missing:
                connection.execute(sql)
            connection.execute("COMMIT")

    def _inspect(self) -> int | None:
        """Open and check the file; return its last transaction, None if it holds no ledger yet.

        Raises:
            sqlite3.DatabaseError: If it is damaged, or there is a log but nothing in the file.
            LedgerDamaged: If it is the file of another program.
        """
        try:
            connection = self._sqlite()
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
                    f"{self.path} is an SQLite file of another program; choose another root."
                )
            if application == 0 and self._log_size():
                raise sqlite3.DatabaseError("the file is empty")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            self._inode = self.path.stat().st_ino
            if application == 0:
                return None
            # Unlike quick_check it compares indexes with rows, which decide what is found.
            [(check,)] = connection.execute("PRAGMA integrity_check(1)").fetchall()
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

    def _sqlite(self) -> sqlite3.Connection:
        """Connect; a new file is its owner's alone, and so are those that SQLite makes beside it."""
        with suppress(OSError):  # SQLite says what is wrong
            os.close(os.open(self.path, os.O_RDONLY | os.O_CREAT, 0o600))
        return sqlite3.connect(self.path, timeout=self._busy_seconds, isolation_level=None)

    def _create(self, log: ChangeLog) -> None:
        """Make the tables, with the rows of the log."""
        connection = self._connection
        if connection is None:
            connection = self._sqlite()
            connection.row_factory = sqlite3.Row
            self._connection = connection
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            self._inode = self.path.stat().st_ino
        self._fill(connection, log)
        if log.transactions or log.snapshot:
            self.notices.append(
                f"The ledger {self.path} was rebuilt from {self.log_path.name}: "
                f"{log.seq} transactions, nothing lost."
            )
        if not self._log_size():
            self._write_snapshot(log.seq)

    def _rows_differ(self, log: ChangeLog) -> bool:
        """Compare all rows with those that the log leads to.

        A flipped bit within a row is no damage to SQLite. It takes about as long as reading the log
        does, which every opening does: 10 ms for 1,000 transactions.
        """
        assert self._connection is not None
        expected = sqlite3.connect(":memory:", isolation_level=None)
        queries = ["SELECT sql FROM sqlite_master WHERE type = 'table' ORDER BY name"] + [
            f"SELECT {', '.join(table.columns)} FROM {table.name} ORDER BY {table.key}"  # noqa: S608 (our own names)
            for table in self._tables.values()
        ]
        try:
            self._fill(expected, log)
            return any(
                [tuple(row) for row in self._connection.execute(query)]
                != expected.execute(query).fetchall()
                for query in queries
            )
        except sqlite3.OperationalError as error:
            if any(word in str(error) for word in ("locked", *_DISK_WORDS)):
                raise
            return True  # a table or column that is not there
        except sqlite3.DatabaseError:
            return True
        finally:
            expected.close()

    def _copy(self, reason: OutputNotWritable) -> None:
        """Make the tables in memory, from the log alone."""
        log = read_log(self.log_path, self._tables)
        if not log.complete:
            raise LedgerDamaged(
                f"The ledger {self.path} cannot be read where nothing can be written, since "
                f"{self.log_path.name} is {log.problem}; copy both to a folder that can be written."
            ) from reason
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.row_factory = sqlite3.Row
        self._fill(connection, log)
        self._connection, self._copied = connection, reason

    def _fill(self, connection: sqlite3.Connection, log: ChangeLog) -> None:
        """Make the tables in an empty file, with the rows of the log."""
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("CREATE TABLE store_state (seq INTEGER NOT NULL)")
        connection.execute("INSERT INTO store_state VALUES (?)", (log.seq,))
        for table in self._tables.values():
            connection.execute(table.create())
            for index in table.create_indexes():
                connection.execute(index)
        for name, rows in log.snapshot.items():
            for row in rows:
                insert_row(connection, self._tables[name], row)
        for _, changes in log.transactions:
            self._apply(connection, changes)
        connection.execute("COMMIT")

    def _catch_up(self, seq: int, log: ChangeLog) -> None:
        """Apply the transactions of the log that the file lacks."""
        assert self._connection is not None
        if seq < log.first_seq:  # an old copy of the file: the log replaces it
            self._set_aside("it is older than the log")
            self._create(log)
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for number, changes in log.transactions:
                if number > seq:
                    self._apply(self._connection, changes)
        except sqlite3.IntegrityError as error:  # it has rows that it says it lacks
            self._connection.execute("ROLLBACK")
            self._set_aside(str(error))
            self._create(log)
            return
        self._connection.execute("UPDATE store_state SET seq = ?", (log.seq,))
        self._connection.execute("COMMIT")
        self.notices.append(
            f"The ledger {self.path} was {log.seq - seq} transaction(s) behind its log and has "
            "caught up."
        )

    def _apply(self, connection: sqlite3.Connection, changes: list[Change]) -> None:
        for verb, name, row in changes:
            (insert_row if verb == "insert" else update_row)(connection, self._tables[name], row)

    def _set_aside(self, reason: str) -> None:
        self.close()
        mark = f"damaged-{time.time_ns()}"
        for suffix in ("", "-wal", "-shm"):
            part = self.path.with_name(self.path.name + suffix)
            if part.exists():
                _rename(part, part.with_name(f"{self.path.name}.{mark}{suffix}"))
        self.notices.append(
            f"The ledger {self.path} was damaged ({reason}); it was kept as "
            f"{self.path.name}.{mark}."
        )

    def _keep_damaged_log(self, log: ChangeLog) -> None:
        if self._log_size() and not log.complete:
            mark = f"{self.log_path.name}.damaged-{time.time_ns()}"
            _rename(self.log_path, self.log_path.with_name(mark))

    def _write_snapshot(self, seq: int) -> None:
        """Start the log anew with all that the tables hold."""
        assert self._connection is not None
        for left in self.path.parent.glob(f".part-*{self.log_path.suffix}"):
            with suppress(OSError):
                left.unlink()  # of a process that died while it wrote one
        tables = {
            name: [dict(row) for row in self._connection.execute(f"SELECT * FROM {name}")]  # noqa: S608 (our own table names)
            for name in self._tables
        }
        first = line_of({"schema": LOG_SCHEMA, "seq": seq, "tables": tables})
        write_bytes(self.log_path, first, mode=0o600)


def _rename(path: Path, to: Path) -> None:
    try:
        os.replace(path, to)
    except OSError as error:
        raise not_writable(path, error) from error
