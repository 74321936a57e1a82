"""The store keeps what it confirmed: truncation, full disks, kills and other writers."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from qdm_qiskit.errors import LedgerBusy, LedgerDamaged, OutputNotWritable
from qdm_qiskit.hardware.ledger.store import Store, Table

TABLES = (
    Table("notes", {"id": "INTEGER", "text": "TEXT"}),
    Table("totals", {"name": "TEXT", "amount": "REAL"}),
)


def opened(folder: Path, **options) -> Store:
    return Store.open(folder / "data.sqlite", TABLES, **options)


def filled(folder: Path, count: int = 20) -> Store:
    store = opened(folder)
    with store.write() as tx:
        tx.insert("totals", name="sum", amount=0.0)
    for k in range(count):
        with store.write() as tx:
            tx.insert("notes", text=f"note {k}")
            tx.update("totals", "sum", amount=float(k))
    return store


def content(store: Store) -> tuple:
    return (
        [row["text"] for row in store.read("SELECT text FROM notes ORDER BY id")],
        store.read("SELECT * FROM totals"),
    )


def test_it_is_empty_then_keeps_what_was_written(tmp_path):
    store = filled(tmp_path)
    found = content(store)
    assert found[0] == [f"note {k}" for k in range(20)]
    assert found[1] == [{"name": "sum", "amount": 19.0}]
    store.close()
    again = opened(tmp_path)
    assert content(again) == found
    assert again.notices == []


def test_it_is_on_disk_in_the_log_before_it_is_committed(tmp_path, monkeypatch):
    store = filled(tmp_path, 2)
    seen = []
    real = os.fsync

    def fsync(handle: int) -> None:
        other = sqlite3.connect(store.path)
        [(committed,)] = other.execute("SELECT COUNT(*) FROM notes").fetchall()
        other.close()
        seen.append((os.fstat(handle).st_ino, committed))
        assert b"note 2" in store.log_path.read_bytes()
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with store.write() as tx:
        tx.insert("notes", text="note 2")
    assert seen == [(store.log_path.stat().st_ino, 2)]
    assert store._connection is not None
    # FULL: SQLite syncs its WAL at each commit as well.
    assert tuple(store._connection.execute("PRAGMA synchronous").fetchone()) == (2,)
    assert tuple(store._connection.execute("PRAGMA journal_mode").fetchone()) == ("wal",)


def test_an_exception_undoes_the_transaction_in_both_files(tmp_path):
    store = filled(tmp_path)
    before, log = content(store), store.log_path.read_bytes()
    with pytest.raises(ZeroDivisionError), store.write() as tx:  # noqa: PT012 (the block is the subject)
        tx.insert("notes", text="never")
        raise ZeroDivisionError
    assert content(store) == before
    assert store.log_path.read_bytes() == log


@pytest.mark.parametrize("keep", [0, 1, 50, 100, 4096, 5000, 8192])
def test_a_truncated_file_is_rebuilt_and_kept(tmp_path, keep):
    store = filled(tmp_path)
    expected = content(store)
    store.read("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    assert store.path.stat().st_size > keep
    os.truncate(store.path, keep)
    for suffix in ("-wal", "-shm"):
        store.path.with_name(store.path.name + suffix).unlink(missing_ok=True)
    again = opened(tmp_path)
    assert content(again) == expected
    assert any("rebuilt" in notice for notice in again.notices)
    assert [p for p in tmp_path.iterdir() if "damaged" in p.name]
    with again.write() as tx:
        tx.insert("notes", text="goes on")
    again.close()
    third = opened(tmp_path)
    assert content(third)[0][-1] == "goes on"
    assert third.notices == []


def test_a_page_that_is_overwritten_is_noticed_and_rebuilt(tmp_path):
    store = filled(tmp_path, 300)
    expected = content(store)
    store.read("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    with open(store.path, "r+b") as file:  # an inner page: the header is whole
        file.seek(4096 * 4)
        file.write(b"\xff" * 4096)
    again = opened(tmp_path)
    assert any("rebuilt" in notice for notice in again.notices)
    assert content(again) == expected


def test_garbage_and_missing_files_are_rebuilt(tmp_path):
    store = filled(tmp_path)
    expected = content(store)
    store.close()
    store.path.write_bytes(b"<html>proxy login</html>" * 500)
    assert content(opened(tmp_path)) == expected
    store.path.unlink()
    assert content(opened(tmp_path)) == expected


def test_a_lost_wal_is_caught_up_from_the_log(tmp_path):
    store = filled(tmp_path, 5)
    store.read("PRAGMA wal_checkpoint(TRUNCATE)")
    old = store.path.read_bytes()
    for k in range(3):
        with store.write() as tx:
            tx.insert("notes", text=f"late {k}")
    expected = content(store)
    store.close()
    store.path.write_bytes(old)
    store.path.with_name(store.path.name + "-wal").unlink(missing_ok=True)
    again = opened(tmp_path)
    assert content(again) == expected
    assert "3 transaction(s) behind" in again.notices[0]


@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped", "empty"])
def test_a_damaged_log_is_written_again(tmp_path, damage):
    store = filled(tmp_path)
    expected = content(store)
    store.close()
    log = store.log_path
    if damage == "missing":
        log.unlink()
    elif damage == "truncated":
        os.truncate(log, log.stat().st_size // 2)
    elif damage == "empty":
        os.truncate(log, 0)
    else:
        data = bytearray(log.read_bytes())
        data[len(data) // 2] ^= 1
        log.write_bytes(bytes(data))
    again = opened(tmp_path)
    assert content(again) == expected
    assert "written again" in again.notices[0]
    again.close()
    store.path.write_bytes(b"")  # ... and it can rebuild the file now
    assert content(opened(tmp_path)) == expected


def test_both_damaged_is_refused_and_nothing_is_touched(tmp_path):
    store = filled(tmp_path)
    store.close()
    store.path.write_bytes(b"x" * 5000)
    data = bytearray(store.log_path.read_bytes())
    data[len(data) // 2] ^= 1
    store.log_path.write_bytes(bytes(data))
    with pytest.raises(LedgerDamaged, match=r"cannot replace it .*line \d+ .*checksum.*backup"):
        opened(tmp_path)
    assert store.path.read_bytes() == b"x" * 5000
    assert store.log_path.read_bytes() == bytes(data)


def test_a_foreign_database_is_refused(tmp_path):
    path = tmp_path / "data.sqlite"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (a)")
    other.commit()
    other.close()
    with pytest.raises(LedgerDamaged, match="another program"):
        opened(tmp_path)


def test_a_log_with_foreign_tables_is_refused(tmp_path):
    import hashlib

    text = b'{"schema":"qdm-ledger-log/1","seq":0,"tables":{"x; DROP TABLE notes":[]}}'
    text = text.replace(b"[]", b'[{"a": 1}]')
    digest = hashlib.sha256(text).hexdigest()[:16].encode()
    (tmp_path / "data.sqlite.log").write_bytes(digest + b" " + text + b"\n")
    with pytest.raises(LedgerDamaged, match="does not fit table"):
        opened(tmp_path)


def test_a_torn_last_line_is_dropped(tmp_path):
    store = filled(tmp_path)
    expected = content(store)
    with open(store.log_path, "ab") as log:
        log.write(b'0123456789abcdef {"seq":99')
    again = opened(tmp_path)
    assert content(again) == expected
    with again.write() as tx:
        tx.insert("notes", text="after")
    again.close()
    assert content(opened(tmp_path))[0][-1] == "after"


def test_an_open_store_notices_a_torn_line_of_a_killed_writer(tmp_path):
    store = filled(tmp_path)
    with open(store.log_path, "ab") as log:
        log.write(b'0123456789abcdef {"seq":99')
    with store.write() as tx:
        tx.insert("notes", text="after")
    store.close()
    again = opened(tmp_path)
    assert content(again)[0][-1] == "after"
    assert again.notices == []


def test_an_open_store_follows_a_rebuilt_file(tmp_path):
    first = filled(tmp_path)
    first.read("PRAGMA wal_checkpoint(TRUNCATE)")
    first.path.write_bytes(b"")
    second = opened(tmp_path)  # moves the damaged file aside
    with second.write() as tx:
        tx.insert("notes", text="by the second")
    assert content(first) == content(second)
    with first.write() as tx:
        tx.insert("notes", text="by the first")
    assert content(second)[0][-2:] == ["by the second", "by the first"]
    assert content(first) == content(second)


def test_a_second_writer_waits_and_then_is_refused(tmp_path):
    store = filled(tmp_path)
    other = opened(tmp_path, busy_seconds=0.2)
    with store.write() as tx:
        tx.insert("notes", text="slow")
        with pytest.raises(LedgerBusy, match=r"by another process \(waited 0.2 s\)"), other.write():
            pass
    with other.write() as tx:
        tx.insert("notes", text="then")
    assert content(store)[0][-2:] == ["slow", "then"]


def test_a_database_locked_by_another_program_is_a_clear_error(tmp_path):
    store = filled(tmp_path)
    store.close()
    store = opened(tmp_path, busy_seconds=0.2)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerBusy, match="locked by another program"), store.write() as tx:
        tx.insert("notes", text="no")
    other.execute("ROLLBACK")
    other.close()
    with store.write() as tx:
        tx.insert("notes", text="yes")
    assert content(store)[0][-1] == "yes"


def test_a_read_only_folder_is_a_clear_error(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(OutputNotWritable, match="Cannot write"):
        opened(blocked)


@pytest.mark.parametrize("what", ["file", "log"])
def test_a_full_disk_loses_nothing(tmp_path, what):
    """A limit on file sizes stands in for the disk: writes beyond it fail as on a full one."""
    store = filled(tmp_path)
    store.read("PRAGMA wal_checkpoint(TRUNCATE)")
    expected = content(store)
    if what == "log":  # the log meets the limit first
        limit = store.log_path.stat().st_size + 10
        padding = 0
    else:
        limit = store.path.stat().st_size * 4
        padding = limit
    store.close()
    script = f"""
        import resource, sys
        sys.path.insert(0, {str(Path.cwd())!r})
        from pathlib import Path
        from tests.hardware.ledger.test_store import TABLES, opened, content
        store = opened(Path({str(tmp_path)!r}))
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
        from qdm_qiskit.errors import OutputNotWritable
        written = 0
        try:
            for k in range(200):
                with store.write() as tx:
                    tx.insert("notes", text="more " + "x" * {padding // 40})
                written += 1
        except OutputNotWritable as error:
            print(written, error)
        else:
            sys.exit("no error")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    number, message = done.stdout.split(" ", 1)
    assert "nothing was changed" in message
    assert len(message.strip().splitlines()) == 1
    again = opened(tmp_path)
    assert len(content(again)[0]) == len(expected[0]) + int(number)
    assert content(again)[0][:20] == expected[0]
    with again.write() as tx:
        tx.insert("notes", text="space again")
    assert content(again)[0][-1] == "space again"


WRITER = """
    import sys
    sys.path.insert(0, {root!r})
    from pathlib import Path
    from tests.hardware.ledger.test_store import opened
    store = opened(Path({folder!r}))
    for k in range(100000):
        with store.write() as tx:
            tx.insert("notes", text=f"{{sys.argv[1]}} {{k}}")
        print(k, flush=True)
"""


@pytest.mark.slow
def test_killed_writers_lose_nothing_that_was_confirmed(tmp_path):
    """Two writers killed at random moments, again and again: confirmed writes stay, in order."""
    script = textwrap.dedent(WRITER.format(root=str(Path.cwd()), folder=str(tmp_path)))
    rng = random.Random(5)
    opened(tmp_path).close()
    for round_ in range(4):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", script, f"{round_}{name}"], stdout=subprocess.PIPE, text=True
            )
            for name in "ab"
        ]
        confirmed = {}
        for name, writer in zip("ab", writers, strict=True):
            assert writer.stdout is not None
            writer.stdout.readline()  # it has begun
            import time

            time.sleep(rng.uniform(0, 0.15))
            writer.send_signal(signal.SIGKILL)
            lines = writer.stdout.read().split()
            writer.wait()
            writer.stdout.close()
            confirmed[f"{round_}{name}"] = int(lines[-1]) if lines else 0
        store = opened(tmp_path)
        texts = content(store)[0]
        for name, last in confirmed.items():
            mine = [int(t.split()[1]) for t in texts if t.startswith(name + " ")]
            assert mine == list(range(len(mine)))
            assert last + 1 <= len(mine) <= last + 2  # at most the one in flight besides
        store.close()
        # The log alone tells the same story.
        (tmp_path / "data.sqlite").write_bytes(b"")
        rebuilt = opened(tmp_path)
        assert content(rebuilt)[0] == texts
        rebuilt.close()
