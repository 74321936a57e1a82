"""Random kills and faults over whole runs: `python -m tests.runtime.storm --minutes 10`.

A round has an account of some plan, a root with a scarce budget, and one to three runs in processes of
their own: of any kind of work (`WORKS`) and mode, with or without M3. Processes are killed at random
moments, clocks are wrong, answers are lost or late. In the end every run is done, or refused by the
budget; then nothing was paid twice, the budget is what the server charged, and `verify` finds nothing.
A process that has not ended after `MOST_SECONDS` is killed and named, with what it said last.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qdm_qiskit.hardware.ibm.account import connect
from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.plan.prepare import PlanConfig, make_plan
from qdm_qiskit.hardware.plan.run_plan import RunPlan, read_plan
from qdm_qiskit.hardware.run.replay import replay
from qdm_qiskit.hardware.run.verify import verify_run
from qdm_qiskit.tasks import plan_qnn
from tests.helpers import write_run
from tests.runtime.conftest import BACKEND, DEVICES, clean, make_root
from tests.runtime.server import LocalServer
from tests.runtime.test_kills import Forge
from tests.state_runs import write_state_run
from tests.tasks.test_qnn import W, X, estimator, sampler

MODES = ("auto", "job", "batch", "session")
FAULTS: tuple[dict[str, Any], ...] = (
    {"method": "POST", "path": "^/jobs$", "answer": "status", "code": 502, "act": False},
    {"method": "POST", "path": "^/jobs$", "answer": "status", "code": 502},
    {"method": "POST", "path": "^/jobs$", "answer": "reset"},
    {"method": "POST", "path": "^/jobs$", "answer": "truncate"},
    {"method": "POST", "path": "^/jobs$", "answer": "status", "code": 429, "act": False},
    {"method": "POST", "path": "^/jobs$", "delay": 0.3},
    {"method": "POST", "path": "^/jobs$", "delay_answer": 0.3},
    {"method": "GET", "path": "^/jobs", "answer": "status", "code": 503, "times": 2},
    {"method": "GET", "path": "/results", "answer": "truncate"},
    {"method": "GET", "path": "/metrics", "answer": "html"},
    {"method": "POST", "path": "^/sessions$", "answer": "reset"},
    {"method": "DELETE", "path": "/sessions", "answer": "status", "code": 500},
)
WORKS: dict[str, tuple[Callable[[Path], Path], dict[str, Any]]] = {
    "one circuit": (lambda f: write_run(f, num_steps=2), {"num_images": 2}),
    "qu_net": (lambda f: write_run(f, "qu_net", levels=2, num_steps=1), {}),
    "split": (lambda f: write_run(f, num_steps=1), {"num_images": 6, "max_job_circuits": 4}),
    "refit": (lambda f: write_run(f, num_steps=1), {"refit": "12x128"}),
    "qamp_december": (lambda f: write_run(f, "qamp_december", num_steps=1), {}),
    "qamp_january": (lambda f: write_run(f, "qamp_january", num_steps=1), {}),
    "cacioppo": (lambda f: write_state_run(f, "cacioppo"), {"shots": 500}),
    "cacioppo, step by step": (
        lambda f: write_state_run(f, "cacioppo"),
        {"chain": "steps", "num_images": 1},
    ),
}
"""Trained run and options of a plan, by name."""
QNNS = {"estimator qnn": estimator, "sampler qnn": sampler}
AHEAD = (0.0, 0.0, 3600.0, -3600.0, 86_400.0, -86_400.0)
PASSING = ("ServiceUnavailable", "SubmissionUncertain", "LedgerBusy", "JobFailed")
MOST_STARTS = 25
MOST_SECONDS = 240.0
"""Seconds that a process may take to come to an end; one that waits for longer is a fault."""
MOST_ROUND_SECONDS = 1200.0
"""Seconds that all starts of a round may take; kills and faults end after half of them."""


@dataclass
class Tally:
    """What was done, and what went wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        names = ("rounds", "runs", "kills", "faults", "refused", "jobs")
        works = sorted(name for name in self.counts if name not in names)
        return (
            ", ".join(f"{self.counts[name]} {name}" for name in names)
            + f"; {len(self.wrong)} wrong; runs of "
            + ", ".join(f"{name}: {self.counts[name]}" for name in works)
        )


class Storm:
    """Rounds on one server."""

    def __init__(self, server: LocalServer, folder: Path, seed: int) -> None:
        self.server, self.folder = server, folder
        self.draw = random.Random(seed)
        self.tally = Tally()
        self._forge = Forge(folder, server.env)
        self._trained: dict[str, Path] = {}
        self._plans: dict[tuple[str, str, str], Path] = {}

    def close(self) -> None:
        self._forge.close()

    def plan(self, work: str, mode: str, mitigation: str) -> Path:
        """Folder of a plan of this kind, made once."""
        kind = (work, mode, mitigation)
        if kind not in self._plans:
            root = self.folder / "plans"
            options: dict[str, Any] = {
                "budget": "qpu",
                "shots": 64,
                "calibration_shots": 256,
                "layout_trials": 1,
                "mode": mode,
                "mitigation": mitigation,
            }
            if work in QNNS:
                root.mkdir(exist_ok=True)
                ledger = Ledger.open(root)
                ledger.set_budget("qpu", seconds=600.0)
                ledger.close()
                target = f"ibm:{BACKEND}"
                asked = QNNS[work]()
                made = plan_qnn(asked, X, W, target=target, root=root, **options)
            else:
                write, more = WORKS[work]
                if work not in self._trained:
                    self._trained[work] = write(self.folder / "trained" / work.replace(" ", "-"))
                config = PlanConfig(
                    targets=(f"ibm:{BACKEND}",), **{"num_images": 1, **options, **more}
                )
                backend = connect().backend(BACKEND)
                made = make_plan(self._trained[work], config, root=root, backend=backend)
            self._plans[kind] = made.folder
        return self._plans[kind]

    def round(self, number: int) -> None:
        """One account, one root, one to three runs."""
        draw = self.draw
        clean(self.server)
        self.server.change(
            plan=draw.choice(("open", "paygo")),
            listing_lag_seconds=draw.choice((0.0, 0.2)),
            metrics_pending_seconds=draw.choice((0.0, 0.3)),
            max_session_seconds=draw.choice((0.0, 600.0)),
        )
        # A killed process needs some time to come back, and what it sent may come before that.
        root = make_root(self.folder / f"round-{number}", grace_seconds=3.0)
        kinds = [
            (draw.choice((*WORKS, *QNNS)), draw.choice(MODES), draw.choice(("none", "m3")))
            for _ in range(draw.choice((1, 2, 2, 3)))
        ]
        for work, _, _ in dict.fromkeys(kinds):
            self.tally.counts[work] += 1
        told = "; ".join(" ".join(kind) for kind in dict.fromkeys(kinds))
        print(f"round {number + 1}: {told}", file=sys.stderr, flush=True)
        plans = [
            read_plan(shutil.copytree(found, root / found.name))
            for found in (self.plan(*kind) for kind in dict.fromkeys(kinds))
        ]
        most = [plan.most_seconds for plan in plans]
        ledger = Ledger.open(root)
        ledger.set_budget("qpu", seconds=draw.choice((sum(most), max(most))) + 0.5)
        ledger.close()
        for fault in draw.sample(FAULTS, draw.randrange(4)):
            self.server.fault(**fault, skip=draw.randrange(3))
            self.tally.counts["faults"] += 1
        self._drive(root, plans)
        self._check(root, plans)
        self.tally.counts["rounds"] += 1
        self.tally.counts["runs"] += len(plans)
        if not self.tally.wrong:
            shutil.rmtree(root)

    def _drive(self, root: Path, plans: Sequence[RunPlan]) -> None:
        """Start, kill and start again, all at once, until each run is done or refused."""
        left = [plan.run_id for plan in plans]
        began = time.monotonic()
        start, last = 0, dict[str, Path]()
        while left and start < MOST_STARTS:
            took = time.monotonic() - began
            if start and took > MOST_ROUND_SECONDS:
                break
            calm = start > MOST_STARTS // 2 or took > MOST_ROUND_SECONDS / 2
            if calm:
                self.server.clear_faults()
            begun = []
            for run in left:
                ahead = 0.0 if calm else self.draw.choice(AHEAD)
                begun.append(
                    (run, *self._forge.start(self._call(root, run), root, run, ahead=ahead))
                )
            killed = set()
            if not calm:
                time.sleep(self.draw.uniform(0.1, 2.0 + start))
                for _, pid, _ in begun:
                    if self.draw.random() < 0.8:
                        self._forge.kill(pid)
                        killed.add(pid)
            statuses = self._ends([pid for _, pid, _ in begun])
            for run, pid, out in begun:
                last[run] = out
                if statuses[pid] == -signal.SIGKILL and pid not in killed:
                    self.tally.wrong.append(
                        f"{run} waited for more than {MOST_SECONDS:g} s; {_last_words(out)}"
                    )
                    left.remove(run)
                elif self._ended(run, statuses[pid], out):
                    left.remove(run)
            start += 1
        self.tally.wrong += [
            f"{run} did not end after {start} starts in {time.monotonic() - began:.0f} s; "
            f"{_last_words(last[run])}"
            for run in left
        ]

    def _ends(self, pids: Sequence[int]) -> dict[int, int]:
        """Wait for processes, and kill those that take too long; their exit codes."""
        waiting = set(pids)

        def stop() -> None:
            for pid in list(waiting):
                with suppress(ProcessLookupError):
                    self._forge.kill(pid)

        timer = threading.Timer(MOST_SECONDS, stop)
        timer.start()
        found = {}
        for pid in pids:
            found[pid] = self._forge.wait(pid)
            waiting.discard(pid)
        timer.cancel()
        return found

    def _ended(self, run: str, status: int, out: Path) -> bool:
        if status == -signal.SIGKILL:
            self.tally.counts["kills"] += 1
            return False
        text = out.read_text() if out.exists() else ""
        if status == 0:
            return '"state": "done"' in text
        if "BudgetExceeded" in text:
            self.tally.counts["refused"] += 1
            return True
        if not any(name in text for name in PASSING):
            self.tally.wrong.append(f"{run}: {text[:300]}")
            return True
        return False

    def _call(self, root: Path, run: str) -> str:
        ledger = Ledger.open(root)
        known = {state.run_id: state.state for state in ledger.runs()}
        ledger.close()
        return "submit" if known.get(run, "planned") == "planned" else "resume"

    def _check(self, root: Path, plans: Sequence[RunPlan]) -> None:
        found = self.server.ledger()
        self.tally.counts["jobs"] += len(found["jobs"])
        wrong = [
            f"tag {name}: {each}" for name, each in found["by_tag"].items() if each["paid"] > 1
        ]
        ledger = Ledger.open(root)
        for plan in plans:  # two runs may send the same circuits, each for itself
            own = {each.tag for each in ledger.intentions(plan.run_id)}
            paid = Counter(
                each["payload_sha256"]
                for each in found["jobs"]
                if each["charged_seconds"] > 0 and own.intersection(each["tags"])
            )
            wrong += [f"{plan.run_id}: {each} paid {n} times" for each, n in paid.items() if n > 1]
        budget = ledger.budget("qpu")
        states = {each.run_id: each.state for each in ledger.runs()}
        ledger.close()
        if abs(budget.spent_seconds - found["charged_seconds"]) > 1e-3 or budget.reserved_seconds:
            wrong.append(f"budget {budget}, charged {found['charged_seconds']}")
        for plan in plans:
            if states[plan.run_id] != "done":
                continue
            if not replay(plan.folder).equal:
                wrong.append(f"{plan.run_id}: other images than its counts give")
            verified = verify_run(root, plan.run_id)
            if not verified.clean:
                wrong += [f"{plan.run_id}: {each.text}" for each in verified.findings]
        self.tally.wrong += wrong


def _last_words(out: Path) -> str:
    """What a process said last: of its errors, or of what it was waiting for."""
    said = out.with_suffix(".err")
    lines = said.read_text(errors="replace").split("\n") if said.exists() else []
    lines = [each.strip() for each in lines if each.strip()]
    return f"it said last: {lines[-1][:300]}" if lines else "it said nothing"


def blow(minutes: float, seed: int, *, rounds: int = 10**9, kills: int = 10**9) -> Tally:
    """Run rounds for so long, or until so many kills; at least one."""
    with tempfile.TemporaryDirectory(prefix="storm-") as name:
        folder = Path(name)
        with LocalServer(folder, devices=list(DEVICES)) as server:
            os.environ.update(server.env)
            storm = Storm(server, folder, seed)
            end = time.monotonic() + 60.0 * minutes
            try:
                while storm.tally.counts["rounds"] < rounds and not storm.tally.wrong:
                    storm.round(storm.tally.counts["rounds"])
                    print(storm.tally, file=sys.stderr, flush=True)
                    if time.monotonic() >= end or storm.tally.counts["kills"] >= kills:
                        break
            finally:
                storm.close()
    return storm.tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=10**9, help="end after so many")
    given = parser.parse_args()
    tally = blow(given.minutes, given.seed, kills=given.kills)
    print(tally)
    for each in tally.wrong:
        print(f"wrong: {each}")
    return bool(tally.wrong)


if __name__ == "__main__":
    sys.exit(main())
