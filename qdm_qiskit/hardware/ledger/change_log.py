"""Log of the ledger's store: a checksummed line for each transaction, enough to rebuild it.

A line is 16 hex digits of the SHA-256 of the rest, a space, and JSON. The first holds all rows of
all tables at some transaction, each following one the changes of the next. It names tables and
columns, never SQL, and both are checked against the schema.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .file_lock import not_writable
from .schema import Change, Row, Table, checked_row

__all__ = [
    "LOG_SCHEMA",
    "ChangeLog",
    "last_seq",
    "line_of",
    "read_log",
]

LOG_SCHEMA = "qdm-ledger-log/1"


@dataclass(frozen=True)
class ChangeLog:
    """Content of a log."""

    complete: bool
    """True if every finished line is good and follows the one before."""
    problem: str
    """Fault of the first bad line, in words."""
    first_seq: int
    snapshot: dict[str, list[Row]]
    transactions: list[tuple[int, list[Change]]]
    length: int
    """Bytes of the finished lines."""

    @property
    def seq(self) -> int:
        """The last transaction."""
        return self.transactions[-1][0] if self.transactions else self.first_seq


def read_log(path: Path, tables: Mapping[str, Table]) -> ChangeLog:
    """Read a log, as far as it is good.

    Args:
        path: The log; it may be missing.
        tables: The schema.

    Raises:
        OutputNotWritable: If the system does not let us read it.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = b""
    except OSError as error:
        raise not_writable(path, error) from error
    end = content.rfind(b"\n") + 1  # a line without its end was never confirmed
    if end == 0:
        return ChangeLog(False, "cut short" if content else "missing", 0, {}, [], 0)
    lines = content[:end].splitlines()
    first = -1
    snapshot: dict[str, list[Row]] = {}
    transactions: list[tuple[int, list[Change]]] = []
    try:
        for number, line in enumerate(lines):
            record = _parse(line)
            if number == 0:
                if record.get("schema") != LOG_SCHEMA:
                    raise ValueError("it does not begin with a snapshot")
                first = int(record["seq"])
                for name, rows in record["tables"].items():
                    snapshot[name] = [checked_row(tables, name, row) for row in rows]
                continue
            expected = first + number
            if record["seq"] != expected:
                raise ValueError(f"transaction {expected} is missing")
            changes = [
                (str(verb), str(name), checked_row(tables, name, row))
                for verb, name, row in record["changes"]
            ]
            if any(verb not in ("insert", "update") for verb, _, _ in changes):
                raise ValueError("an unknown change")
            transactions.append((expected, changes))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        problem = f"damaged in line {len(transactions) + 1 + (first >= 0)} ({error})"
        return ChangeLog(False, problem, max(first, 0), snapshot, transactions, end)
    return ChangeLog(True, "", first, snapshot, transactions, end)


def last_seq(path: Path) -> int | None:
    """Return the transaction number in the last line of a log, None if it is not whole."""
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


def line_of(record: Mapping[str, Any]) -> bytes:
    """Return a record as a line of the log."""
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
