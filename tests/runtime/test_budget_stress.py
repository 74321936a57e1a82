"""Four processes reserve from one budget and settle: it is never overdrawn, nothing is lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qdm_qiskit.errors import BudgetExceeded
from qdm_qiskit.hardware.ledger.ledger import Ledger
from tests.helpers import ROOT

LIMIT = 100.0

# One process: reserves 3 s a job until it is refused, and settles most jobs for less.
WORKER = """
import json, random, sys, time
from pathlib import Path
from qdm_qiskit.errors import BudgetExceeded
from qdm_qiskit.hardware.ledger.ledger import Ledger

root, name = Path(sys.argv[1]), sys.argv[2]
rng = random.Random(name)
ledger = Ledger.open(root)
print("ready", flush=True)
sys.stdin.readline()
reserved = settled = refused = 0
most = 0.0
for number in range(400):
    time.sleep(rng.uniform(0.0, 0.01))  # so that none takes all before the others begin
    part = f"part-{number:04d}"
    try:
        ledger.reserve("shared", name, [(part, 3.0, 10)])
    except BudgetExceeded:
        refused += 1
        if refused > 3:
            break
        continue
    reserved += 1
    state = ledger.budget("shared")
    most = max(most, state.reserved_seconds + state.spent_seconds)
    tag = f"{name}-{part}"
    ledger.intend(tag=tag, run_id=name, part=part, attempt=1, payload_sha256="0" * 64,
                  backend="ibm_nairobi", instance="crn", mode="job", session_id=None)
    ledger.sent(tag, f"job-{tag}", how="answered")
    if rng.random() < 0.8:
        ledger.collected(tag, "x")
        ledger.settle(tag, {f"job-{tag}": rng.choice([1.0, 2.0, 2.5])}, 10)
        settled += 1
print(json.dumps({"reserved": reserved, "settled": settled, "most": most}), flush=True)
"""


def start(root: Path, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(root), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def together(processes: list[subprocess.Popen[str]]) -> None:
    """Let them go when all are ready."""
    for each in processes:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in processes:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()


def held_and_spent(ledger: Ledger, names: list[str]) -> tuple[float, float]:
    rows = [row for name in names for row in ledger.reservations(name)]
    held = sum(row["seconds"] for row in rows if row["state"] == "held")
    return held, sum(row["spent_seconds"] for row in rows if row["state"] == "settled")


def test_four_processes_never_overdraw_one_budget(tmp_path):
    ledger = Ledger.open(tmp_path)
    ledger.set_budget("shared", seconds=LIMIT)
    names = [f"run-{i}" for i in range(4)]
    processes = [start(tmp_path, name) for name in names]
    together(processes)
    reports = []
    for each in processes:
        out, _ = each.communicate(timeout=60)
        assert each.returncode == 0
        reports.append(json.loads(out))
    state = ledger.budget("shared")
    held, spent = held_and_spent(ledger, names)
    assert state.reserved_seconds == pytest.approx(held)
    assert state.spent_seconds == pytest.approx(spent)
    assert held + spent <= LIMIT
    assert max(each["most"] for each in reports) <= LIMIT
    assert LIMIT - (held + spent) < 3.0  # they stopped because it was spent
    assert sum(each["reserved"] for each in reports) == len(ledger.budget_history("shared"))
    assert sum(each["reserved"] > 0 for each in reports) >= 2  # they did run side by side
    with pytest.raises(BudgetExceeded):
        ledger.reserve("shared", "late", [("part", 3.0, 1)])


def test_processes_killed_between_reserving_and_settling_hold_what_they_reserved(tmp_path):
    """A crash may leave seconds reserved, never forgotten and never counted twice."""
    ledger = Ledger.open(tmp_path)
    ledger.set_budget("shared", seconds=10_000.0)
    names = [f"run-{i}" for i in range(4)]
    processes = [start(tmp_path, name) for name in names]
    together(processes)
    for number, each in enumerate(processes):
        time.sleep(0.05 * (number + 1))
        each.send_signal(signal.SIGKILL)
        each.wait()
        each.communicate()
    again = Ledger.open(tmp_path)
    held, spent = held_and_spent(again, names)
    state = again.budget("shared")
    assert (state.reserved_seconds, state.spent_seconds) == (
        pytest.approx(held),
        pytest.approx(spent),
    )
    for name in names:
        for row in again.unsettled(name):
            again.settle(row.tag, {row.job_id or "": 1.0}, 10)
        for row in again.intentions(name):
            if row.state in ("intended", "submitted"):
                again.dropped(row.tag, "the process was killed")
        again.release(name)
    assert again.budget("shared").reserved_seconds == 0
    settled = [r for n in names for r in again.reservations(n) if r["state"] == "settled"]
    assert again.budget("shared").spent_seconds == pytest.approx(
        sum(row["spent_seconds"] for row in settled)
    )
