"""A job costs the ledger as much behind two thousand others as behind twenty; indexes tell no lies."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from qdm_qiskit.hardware.ledger import store as store_module
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.ledger.schema import TABLES

INDEXES = {sql.split()[5] for table in TABLES for sql in table.create_indexes()}


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A ledger on a disk that need not be waited for."""
    monkeypatch.setattr(store_module.os, "fsync", lambda _: None)
    found = Ledger.open(tmp_path)
    found.add_run("run", plan_sha256="a" * 64, budget=None, total_steps=9, seconds_estimated=1.0)
    return found


def live(book: Ledger, number: int) -> None:
    """The whole life of a job, with all that is asked on the way."""
    part, tag = f"step-{number:04d}", f"qdm-run-step-{number:04d}-1"
    book.reserve(None, "run", [(part, 3.0, 10)])
    assert book.intentions_of("run", part) == ()
    intention = book.intend(
        tag=tag,
        run_id="run",
        part=part,
        attempt=1,
        payload_sha256="0" * 64,
        backend="ibm_fez",
        instance="crn",
        mode="job",
        session_id=None,
    )
    assert book.last_sending(intention) is None
    assert [row["state"] for row in book.reservations_of("run", part)] == ["held"]
    book.sending(tag, "job", None)
    book.sent(tag, f"job-{number}", how="answered")
    book.sent_seconds_ago(intention)
    book.collected(tag, "x")
    assert [row["job_id"] for row in book.jobs_of(tag)] == [f"job-{number}"]
    book.settle(tag, {f"job-{number}": 1.0}, 10)
    held = book.reservation(intention.reservation)
    assert held is not None
    assert held["state"] == "settled"


def work_of(book: Ledger, number: int) -> int:
    """Return the instructions that SQLite runs for a job, in tens: no clock has a part in it."""
    steps = [0]

    def counted() -> None:
        steps[0] += 1

    connection = book._store._connection  # type: ignore[attr-defined] # the store's own
    connection.set_progress_handler(counted, 10)
    live(book, number)
    connection.set_progress_handler(None, 0)
    return steps[0]


@pytest.mark.slow
def test_a_jobs_work_does_not_grow_with_the_jobs_before_it(book):
    live(book, 0)
    early = work_of(book, 1)
    for number in range(2, 150):
        live(book, number)
    assert work_of(book, 150) < 1.2 * early
    book.close()


@pytest.mark.slow
def test_the_work_is_seen_to_grow_without_indexes(book):
    for name in INDEXES:
        book._store._connection.execute(f"DROP INDEX {name}")
    live(book, 0)
    early = work_of(book, 1)
    for number in range(2, 150):
        live(book, number)
    assert work_of(book, 150) > 2 * early
    book.close()


def indexes(path: Path) -> set[str]:
    with sqlite3.connect(path) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")
        return {name for (name,) in names if not name.startswith("sqlite_")}


def test_a_file_of_an_earlier_version_gets_them(book, tmp_path):
    live(book, 0)
    path = book._store.path
    book.close()
    assert indexes(path) == INDEXES
    connection = sqlite3.connect(path)
    for name in INDEXES:
        connection.execute(f"DROP INDEX {name}")
    connection.commit()
    connection.close()
    again = Ledger.open(tmp_path)
    assert indexes(path) == INDEXES
    assert again._store.notices == []
    again.close()


def test_a_flipped_bit_of_an_index_hides_nothing(book, tmp_path):
    for number in range(12):
        live(book, number)
    path = book._store.path
    expected = [book.intentions_of("run", f"step-{k:04d}") for k in range(12)]
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    book.close()
    whole, word, at, repaired = path.read_bytes(), b"step-0007", 0, 0
    log = path.with_name(path.name + ".log").read_bytes()
    while (at := whole.find(word, at + 1)) >= 0:
        damaged = bytearray(whole)
        damaged[at + len(word) - 1] ^= 1
        path.write_bytes(bytes(damaged))
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        path.with_name(path.name + ".log").write_bytes(log)
        again = Ledger.open(tmp_path)
        assert [again.intentions_of("run", f"step-{k:04d}") for k in range(12)] == expected
        assert [each.part for each in again.intentions("run")] == [
            f"step-{k:04d}" for k in range(12)
        ]
        repaired += any("was damaged" in each for each in again._store.notices)
        again.close()
    assert repaired >= 4, "rows and indexes hold the word"
