"""A flipped bit in the ledger or its log: the same rows as before, or one line; never other rows."""

from __future__ import annotations

import random
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest

from qdm_qiskit.errors import QdmError
from qdm_qiskit.hardware.ledger.ledger import FILE, Ledger
from qdm_qiskit.hardware.ledger.schema import TABLES

Rows = dict[str, list[dict[str, object]]]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with budgets, runs, reservations, jobs, a session and a calibration, closed."""
    root = tmp_path_factory.mktemp("filled")
    ledger = Ledger.open(root)
    ledger.set_budget("lab", seconds=100.0, shots=10_000, period_days=28)
    for number in range(5):
        run = f"2026-01-0{number + 1}-eeqdm-00000000"
        ledger.add_run(
            run, plan_sha256=f"{number}" * 64, budget="lab", total_steps=2, seconds_estimated=4.0
        )
        ledger.reserve("lab", run, [("step-0002", 2.0, 100), ("step-0001", 2.0, 100)])
        tag = f"qdm-{run}-step-0002-1-0123456789abcdef"
        ledger.intend(
            tag=tag,
            run_id=run,
            part="step-0002",
            attempt=1,
            payload_sha256="b" * 64,
            backend="ibm_test",
            instance="crn:1",
            mode="job",
            session_id=None,
        )
        ledger.sending(tag, "job", None)
        ledger.sent(tag, f"job-{number}", how="answered")
        ledger.set_session(ledger.opening_session(run, "batch", "ibm_test", "crn:1"), "open", "s1")
    ledger.close()
    connection = sqlite3.connect(root / FILE)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return root


def rows(root: Path) -> Rows:
    ledger = Ledger.open(root)
    try:
        return {
            table.name: ledger._store.read(f"SELECT * FROM {table.name} ORDER BY {table.key}")  # noqa: S608
            for table in TABLES
        }
    finally:
        ledger.close()


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << (bit % 8)
    path.write_bytes(content)


def survive(filled: Path, folder: Path, name: str, times: int, seed: int) -> tuple[int, int]:
    """Flip bits one at a time; return how many times rows were the same, and how many were refused."""
    expected, draw = rows(filled), random.Random(seed)
    same = refused = 0
    for number in range(times):
        root = folder / f"{number}"
        shutil.copytree(filled, root)
        flip(root / name, draw.randrange(8 * (root / name).stat().st_size))
        try:
            found = rows(root)
        except QdmError:
            refused += 1
        else:
            assert found == expected, f"flip {number} of seed {seed}"
            assert rows(root) == expected  # and again, after what was repaired
            same += 1
        shutil.rmtree(root)
    return same, refused


@pytest.mark.parametrize("name", [FILE, f"{FILE}.log"])
@pytest.mark.parametrize(
    "times", [pytest.param(40, id="40"), pytest.param(600, marks=pytest.mark.slow, id="600")]
)
def test_no_flipped_bit_changes_a_row(filled, tmp_path, name, times):
    same, refused = survive(filled, tmp_path, name, times, seed=times)
    assert same > 0.9 * times, (same, refused)


def test_a_changed_row_is_repaired_and_said(filled, tmp_path):
    """SQL makes the change, so that the file itself is whole."""
    root, expected = tmp_path / "root", rows(filled)
    shutil.copytree(filled, root)
    connection = sqlite3.connect(root / FILE)
    connection.execute("UPDATE reservations SET seconds = 0.5 WHERE id = 3")
    connection.commit()
    connection.close()
    ledger = Ledger.open(root)
    assert any("its rows are not those of its log" in each for each in ledger.notices)
    ledger.close()
    assert rows(root) == expected
    assert len(list(root.glob(f"{FILE}.damaged-*"))) >= 1


def test_only_the_owner_reads_the_ledger(tmp_path):
    Ledger.open(tmp_path).close()
    ledger = Ledger.open(tmp_path)
    ledger.set_budget("lab", seconds=1.0)
    made = [each for each in tmp_path.iterdir() if each.name.startswith(FILE)]
    assert {each.suffix for each in made} >= {".sqlite", ".log"}
    assert {stat.S_IMODE(each.stat().st_mode) for each in made} == {0o600}
    ledger.close()
