"""A ledger where nothing can be written: read in full, and left as it is."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qdm_qiskit.errors import LedgerDamaged, OutputNotWritable
from qdm_qiskit.hardware.ledger import store
from qdm_qiskit.hardware.ledger.ledger import FILE, Ledger
from qdm_qiskit.hardware.run.commands import run_state
from tests.helpers import read_only_copy

RUN = "2026-01-01-eeqdm-00000000"


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, Ledger]:
    """A root whose last transactions are in SQLite's write-ahead file only; its ledger is open."""
    root = tmp_path / "root"
    ledger = Ledger.open(root)
    ledger.set_budget("b", seconds=100.0, period_days=28)
    ledger.add_run(RUN, plan_sha256="0" * 64, budget="b", total_steps=3, seconds_estimated=9.0)
    ledger.reserve("b", RUN, [("step-0003", 3.0, 10)])
    ledger.set_run(RUN, "running", step=2, reason="why")
    assert (root / f"{FILE}-wal").stat().st_size > 0
    return root, ledger


def test_all_that_was_written_is_read_and_no_file_is_made(written):
    root, ledger = written
    before = {each.name for each in root.iterdir()}
    state, runs, events = ledger.run_state(RUN), ledger.runs(), ledger.events(RUN)
    history = ledger.budget_history("b")
    assert (state.state, state.step, state.reason) == ("running", 2, "why")
    with read_only_copy(root) as folder:
        with pytest.raises(OutputNotWritable):
            Ledger.open(folder)
        found = Ledger.open_to_read(folder)
        assert found.run_state(RUN) == run_state(folder, RUN) == state
        assert found.runs() == runs
        assert found.events(RUN) == events
        assert found.budget_history("b") == history
        assert found.budget("b").reserved_seconds == 3.0
        assert {each.name for each in folder.iterdir()} == before


def test_the_sqlite_file_alone_would_not_have_done(written):
    """Why the log is read: without its write-ahead file SQLite shows an older state, or none."""
    root, _ = written
    with read_only_copy(root) as folder:
        connection = sqlite3.connect(f"file:{folder / FILE}?immutable=1", uri=True)
        try:
            rows = connection.execute("SELECT state FROM runs").fetchall()
        except sqlite3.OperationalError:
            rows = []
        connection.close()
        assert rows != [("running",)]


def test_nothing_can_be_written_to_what_is_read(written):
    root, _ = written
    with read_only_copy(root) as folder:
        found = Ledger.open_to_read(folder)
        with pytest.raises(OutputNotWritable, match="Cannot write"):
            found.set_budget("other", seconds=1.0)
        with pytest.raises(OutputNotWritable, match="Cannot write"):
            found.set_run(RUN, "done")
        found.close()
        assert found.run_state(RUN).state == "running"  # closed, and still there


def test_what_was_read_is_not_written_to_when_there_is_space_again(written, monkeypatch):
    root, ledger = written
    before = (root / f"{FILE}.log").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(store.os, "open", full_disk)
        found = Ledger.open_to_read(root)
    with pytest.raises(OutputNotWritable, match="No space left"):
        found.set_run(RUN, "done")
    assert (root / f"{FILE}.log").read_bytes() == before
    assert ledger.run_state(RUN).state == "running"


def full_disk(*_: object) -> int:
    raise OSError(28, "No space left on device")


def test_a_line_that_was_never_finished_is_left_out(written):
    root, ledger = written
    ledger.close()
    with open(root / f"{FILE}.log", "ab") as log:
        log.write(b'0123456789abcdef {"seq": 99')
    with read_only_copy(root) as folder:
        assert Ledger.open_to_read(folder).run_state(RUN).state == "running"


def test_a_damaged_log_is_refused_where_it_cannot_be_repaired(written):
    root, ledger = written
    ledger.close()
    log = root / f"{FILE}.log"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([lines[0], b"x" + lines[1][1:], *lines[2:]]))
    with read_only_copy(root) as folder, pytest.raises(LedgerDamaged, match="can be written"):
        Ledger.open_to_read(folder)


@pytest.mark.parametrize("damage", [b"", b"no ledger at all", None])
def test_a_damaged_file_is_left_there_and_the_log_is_read(written, damage):
    """The lock can be opened here, which leads to the repair of a file that cannot be moved."""
    root, ledger = written
    state = ledger.run_state(RUN)
    ledger.close()
    file = root / FILE
    whole = file.read_bytes()
    file.write_bytes(whole[:100] + b"x" * (len(whole) - 100) if damage is None else damage)
    with read_only_copy(root) as folder:
        lock = folder / f"{FILE}.lock"
        before = {each.name: each.read_bytes() for each in folder.iterdir()}
        with as_owner():
            lock.chmod(0o666)
        found = Ledger.open_to_read(folder)
        assert found.run_state(RUN) == state
        assert {each.name: each.read_bytes() for each in folder.iterdir()} == before


def test_a_damaged_file_that_cannot_be_moved_is_an_error_of_ours(written, monkeypatch):
    root, ledger = written
    ledger.close()
    (root / FILE).write_bytes(b"no ledger at all")

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(store.os, "replace", refused)
    with pytest.raises(OutputNotWritable, match="Permission denied"):
        Ledger.open(root)
    assert Ledger.open_to_read(root).run_state(RUN).state == "running"


@contextmanager
def as_owner() -> Iterator[None]:
    """The rights that the process began with, for a moment."""
    user, group = os.geteuid(), os.getegid()
    if os.getuid() == 0:
        os.seteuid(0)
        os.setegid(0)
    try:
        yield
    finally:
        os.setegid(group)
        os.seteuid(user)


def test_where_it_can_be_written_it_is_the_ledger_itself(written):
    root, ledger = written
    found = Ledger.open_to_read(root)
    ledger.set_run(RUN, "done", step=0)
    assert found.run_state(RUN).state == "done"
    found.set_run(RUN, "failed")
    assert ledger.run_state(RUN).state == "failed"
