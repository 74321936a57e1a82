"""Random kills and faults over whole runs: `python -m tests.runtime.storm --minutes 10`.

A round has an account of some plan, a root with a budget that is scarce or just enough, and one to
three runs in processes of their own: of any kind of work (`storm_works.WORKS`) and mode, with or
without M3. Processes are killed at random moments and at points of their record, again and again along
one run's life; clocks are wrong, answers are lost or late. In the end every run is done, or refused by
the budget; then nothing was paid twice, the budget is what the server charged, images are those of the
counts, and `verify` finds nothing. A process that has not ended after `MOST_SECONDS` is killed and
named, with what it said last.

What makes a kill cheap, and what it leaves out: a process is forked from one that has imported all, but
one of `ANEW` is started anew, imports and all; plans are made once and copied; and the server simulates
the same work once. A round is drawn from the seed and its number. With `--out FILE` figures are added
to those of the same seed, and rounds go on from there; processes with other seeds may share the file.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qdm_qiskit.hardware.ledger.ledger import Ledger
from qdm_qiskit.hardware.plan.run_plan import RunPlan
from qdm_qiskit.hardware.run.replay import replay
from qdm_qiskit.hardware.run.verify import verify_run
from tests.runtime.conftest import DEVICES, clean, make_root
from tests.runtime.forge import POINT
from tests.runtime.server import LocalServer
from tests.runtime.storm_record import Tally, read_tallies, record
from tests.runtime.storm_works import MODES, WORKS, Kind, Plans
from tests.runtime.test_kills import Forge, results

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
AHEAD = (0.0, 0.0, 3600.0, -3600.0, 86_400.0, -86_400.0)
PASSING = ("ServiceUnavailable", "SubmissionUncertain", "LedgerBusy", "JobFailed")
SIDES = ("before", "within", "after", "unnamed")
STEPS = (1, 1, 1, 2, 2, 4, 9)
"""How many points a process passes before it is killed at one."""
ANEW = 60
"""One of so many processes is started anew; all others are forked."""
MOST_STARTS = 40
MOST_SECONDS = 240.0
"""Seconds that a process may take to come to an end; one that waits for longer is a fault."""
MOST_ROUND_SECONDS = 1200.0
"""Seconds that all starts of a round may take; kills and faults end after half of them."""


@dataclass(frozen=True)
class Fate:
    """What happens to a process."""

    after: float | None = None
    """Seconds until it is killed."""
    point: tuple[int, str] | None = None
    """Point at which it kills itself: number, from 1, and side."""
    ahead: float = 0.0
    """Seconds that its clock is ahead."""
    anew: bool = False


@dataclass
class Process:
    """One start of a run."""

    run: str
    fate: Fate
    pid: int
    out: Path


class Storm:
    """Rounds on one server."""

    def __init__(
        self, server: LocalServer, folder: Path, seed: int, keep: Path | None = None
    ) -> None:
        self.server, self.folder, self.seed, self._keep = server, folder, seed, keep
        self.draw = random.Random(seed)
        self.tally = Tally()
        self._forge = Forge(folder, server.env)
        self._forge.load("accelerate", "torch._dynamo")
        self._plans = Plans(folder)
        self._first: dict[str, dict[str, np.ndarray]] = {}
        """Results of the first run of each plan without M3: those of all others are the same."""
        self._lives = {False: 2.0, True: 8.0}
        """Seconds that a process lives if nobody kills it, forked or anew."""
        self._about: dict[str, dict[str, str]] = {}

    def close(self) -> None:
        self._forge.close()

    def round(self, number: int) -> None:
        """One account, one root, one to three runs; all drawn from the seed and the number."""
        self.draw = draw = random.Random(f"{self.seed}/{number}")
        began = time.monotonic()
        clean(self.server)
        account = draw.choice(("open", "paygo"))
        self.server.change(
            plan=account,
            recall=True,
            listing_lag_seconds=draw.choice((0.0, 0.2)),
            metrics_pending_seconds=draw.choice((0.0, 0.3)),
            max_session_seconds=draw.choice((0.0, 600.0)),
        )
        # A killed process needs some time to come back, and what it sent may come before that.
        root = make_root(self.folder / f"round-{number}", grace_seconds=3.0)
        drawn = [
            Kind(draw.choice(tuple(WORKS)), draw.choice(MODES), draw.choice(("none", "m3")))
            for _ in range(draw.choice((1, 2, 2, 3)))
        ]
        kinds = tuple(dict.fromkeys(drawn))
        print(f"round {number + 1}: {'; '.join(map(str, kinds))}", file=sys.stderr, flush=True)
        plans = [self._plans.copy(kind, root) for kind in kinds]
        most = [plan.most_seconds for plan in plans]
        scarce = len(plans) > 1 and draw.random() < 0.5
        ledger = Ledger.open(root)
        ledger.set_budget("qpu", seconds=(max(most) if scarce else sum(most)) + 0.5)
        ledger.close()
        self._about = {
            plan.run_id: {
                "work": kind.work,
                "mode": kind.mode,
                "mitigation": kind.mitigation,
                "refit": "yes" if "refit" in WORKS[kind.work].options else "no",
                "account": account,
                "processes": str(len(plans)),
                "budget": "scarce" if scarce else "just enough",
            }
            for plan, kind in zip(plans, kinds, strict=True)
        }
        for fault in draw.sample(FAULTS, draw.randrange(4)):
            self.server.fault(**fault, skip=draw.randrange(3))
            self.tally.counts["faults"] += 1
        wrong = len(self.tally.wrong)
        self._drive(root, plans)
        self._check(root, plans, scarce)
        self.tally.wrong[wrong:] = [
            f"seed {self.seed}, round {number + 1}: {each}" for each in self.tally.wrong[wrong:]
        ]
        self.tally.counts["rounds"] += 1
        self.tally.counts["runs"] += len(plans)
        self.tally.seconds["wall"] += time.monotonic() - began
        if len(self.tally.wrong) > wrong and self._keep is not None:
            (root / "account.json").write_text(json.dumps(self.server.ledger(), indent=1))
            (root / "wrong.txt").write_text("\n".join(self.tally.wrong[wrong:]))
            for each in self.folder.glob("*.err"):
                shutil.copy(each, root)
            shutil.move(root, self._keep / f"seed-{self.seed}-{root.name}")
        else:
            shutil.rmtree(root)
        for each in (*self.folder.glob("*.err"), *self.folder.glob("[0-9]*.json")):
            each.unlink()

    # -- kills --------------------------------------------------------------------------------

    def _fate(self, calm: bool) -> Fate:
        draw = self.draw
        if calm:
            return Fate()
        ahead, anew = draw.choice(AHEAD), draw.randrange(ANEW) == 0
        kind = draw.random()
        if kind < 0.03:
            return Fate(ahead=ahead, anew=anew)
        if kind < 0.4:
            after = draw.uniform(0.02, 0.7) * self._lives[anew]
            return Fate(after=after, ahead=ahead, anew=anew)
        return Fate(point=(draw.choice(STEPS), draw.choice(SIDES)), ahead=ahead, anew=anew)

    def _begin(self, root: Path, run: str, fate: Fate) -> Process:
        self.tally.counts["starts"] += 1
        self.tally.counts["clocks"] += fate.ahead != 0.0
        more: dict[str, Any] = {} if fate.point is None else {"kill": list(fate.point)}
        call = self._call(root, run)
        started = self._forge.start(call, root, run, ahead=fate.ahead, anew=fate.anew, **more)
        return Process(run, fate, *started)

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
            begun = [self._begin(root, run, self._fate(calm)) for run in left]
            doomed = [each for each in begun if each.fate.after is not None]
            since = time.monotonic()
            for each in sorted(doomed, key=lambda one: one.fate.after or 0.0):
                assert each.fate.after is not None
                time.sleep(max(0.0, since + each.fate.after - time.monotonic()))
                self._forge.kill(each.pid)
            statuses = self._ends([each.pid for each in begun])
            for each in begun:
                last[each.run] = each.out
                status, fate = statuses[each.pid], each.fate
                meant = fate.after is not None or _point(each.out) is not None
                if status == -signal.SIGKILL and not meant:
                    self.tally.wrong.append(
                        f"{each.run} waited for more than {MOST_SECONDS:g} s; "
                        f"{_last_words(each.out)}"
                    )
                    left.remove(each.run)
                elif self._ended(each, status):
                    left.remove(each.run)
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

    def _ended(self, process: Process, status: int) -> bool:
        run, out, fate = process.run, process.out, process.fate
        said = out.with_suffix(".err")
        errors = said.read_text(errors="replace") if said.exists() else ""
        unseen = [each for each in ("Exception in thread", "Exception ignored") if each in errors]
        if unseen or (status == 0 and "Traceback" in errors):
            self.tally.wrong.append(f"{run} printed a traceback: {errors[-600:]}")
        if status == -signal.SIGKILL:
            point = _point(out)
            if point is not None:
                self.tally.points[point] += 1
            self.tally.killed(
                **self._about.get(run, {}),
                start="anew" if fate.anew else "forked",
                moment="random" if point is None else "recorded",
                **({} if point is None else {"point": point.split(":")[0]}),
            )
            return False
        text = out.read_text() if out.exists() else ""
        if status == 0:
            answer = json.loads(text)
            life = self._lives[fate.anew]
            self._lives[fate.anew] += 0.2 * (answer.get("seconds", life) - life)
            return bool(answer["state"]["state"] == "done")
        if "BudgetExceeded" in text:
            self.tally.counts["refused"] += 1
            return True
        if not any(name in text for name in PASSING):
            self.tally.wrong.append(f"{run}: {text[:300] or errors[-300:]}")
            return True
        return False

    def _call(self, root: Path, run: str) -> str:
        ledger = Ledger.open(root)
        known = {state.run_id: state.state for state in ledger.runs()}
        ledger.close()
        return "submit" if known.get(run, "planned") == "planned" else "resume"

    # -- what must hold -----------------------------------------------------------------------

    def _check(self, root: Path, plans: Sequence[RunPlan], scarce: bool) -> None:
        found = self.server.ledger()
        counts = self.tally.counts
        counts["jobs"] += len(found["jobs"])
        twice = [
            f"tag {name}: {each}" for name, each in found["by_tag"].items() if each["paid"] > 1
        ]
        ledger = Ledger.open(root)
        tags = {
            plan.run_id: {each.tag for each in ledger.intentions(plan.run_id)} for plan in plans
        }
        for plan in plans:  # two runs may send the same circuits, each for itself
            paid = Counter(
                each["payload_sha256"]
                for each in found["jobs"]
                if each["charged_seconds"] > 0 and tags[plan.run_id].intersection(each["tags"])
            )
            twice += [f"{plan.run_id}: {each} paid {n} times" for each, n in paid.items() if n > 1]
        counts["paid twice"] += len(twice)
        wrong = list(twice)
        budget = ledger.budget("qpu")
        states = {each.run_id: each.state for each in ledger.runs()}
        ledger.close()
        if abs(budget.spent_seconds - found["charged_seconds"]) > 1e-3 or budget.reserved_seconds:
            wrong.append(f"budget {budget}, charged {found['charged_seconds']}")
        if budget.spent_seconds > budget.limit_seconds + 1e-9:
            wrong.append(f"more was spent than the budget had: {budget}")
        refused = [plan.run_id for plan in plans if states.get(plan.run_id) != "done"]
        if refused and not scarce:
            wrong.append(f"not done with a budget that is enough: {refused}")
        for plan in plans:
            if states.get(plan.run_id) != "done":
                continue
            counts["done"] += 1
            lost = self._lost(plan)
            counts["lost"] += bool(lost)
            wrong += [f"{plan.run_id}: {each}" for each in lost]
            verified = verify_run(root, plan.run_id)
            if not verified.clean:
                wrong += [f"{plan.run_id}: {each.text}" for each in verified.findings]
            self.tally.seconds["planned"] += plan.total_seconds
            self.tally.seconds["charged"] += sum(
                each["charged_seconds"]
                for each in found["jobs"]
                if tags[plan.run_id].intersection(each["tags"])
            )
        self.tally.wrong += wrong

    def _lost(self, plan: RunPlan) -> list[str]:
        """What a run that is done should have and has not."""
        if not replay(plan.folder).equal:
            return ["other results than its counts give"]
        if plan.calibration is not None:
            return []  # its counts may be corrected by a calibration that another run took
        found = results(plan.folder)
        first = self._first.setdefault(plan.run_id, found)
        same = found.keys() == first.keys() and all(
            np.array_equal(found[name], first[name], equal_nan=True) for name in first
        )
        return [] if same else ["other results than the same plan had before"]


def _said(out: Path) -> list[str]:
    said = out.with_suffix(".err")
    lines = said.read_text(errors="replace").split("\n") if said.exists() else []
    return [each.strip() for each in lines if each.strip()]


def _last_words(out: Path) -> str:
    """What a process said last: of its errors, or of what it was waiting for."""
    lines = _said(out)
    return f"it said last: {lines[-1][:300]}" if lines else "it said nothing"


def _point(out: Path) -> str | None:
    """The point at which a process killed itself, if it did."""
    lines = _said(out)
    return lines[-1].removeprefix(POINT) if lines and lines[-1].startswith(POINT) else None


def blow(
    minutes: float,
    seed: int,
    *,
    rounds: int = 10**9,
    kills: int = 10**9,
    out: Path | None = None,
    keep: Path | None = None,
) -> Tally:
    """Run rounds for so long, or until so many kills; at least one. Go on where `out` ends."""
    total = (read_tallies(out) if out is not None else {}).get(str(seed), Tally())
    with tempfile.TemporaryDirectory(prefix="storm-") as name:
        folder = Path(name)
        with LocalServer(folder, devices=list(DEVICES)) as server:
            os.environ.update(server.env)
            storm = Storm(server, folder, seed, keep)
            end = time.monotonic() + 60.0 * minutes
            began = total.counts["rounds"]
            try:
                while total.counts["rounds"] - began < rounds:
                    storm.tally = Tally()
                    storm.round(total.counts["rounds"])
                    if out is None:
                        total.add(storm.tally)
                    else:
                        total = record(out, seed, storm.tally)
                    print(total, file=sys.stderr, flush=True)
                    if time.monotonic() >= end or total.counts["kills"] >= kills:
                        break
            finally:
                storm.close()
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=10**9, help="end after so many of this seed")
    parser.add_argument("--out", type=Path, help="file of figures, to which these are added")
    parser.add_argument("--keep", type=Path, help="folder for the roots of rounds with a fault")
    given = parser.parse_args()
    # So that server and forge end with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended; the round that ran is not counted"))
    if given.keep is not None:
        given.keep.mkdir(parents=True, exist_ok=True)
    tally = blow(given.minutes, given.seed, kills=given.kills, out=given.out, keep=given.keep)
    print("\n".join(tally.lines()))
    for each in tally.wrong:
        print(f"wrong: {each}")
    return bool(tally.wrong)


if __name__ == "__main__":
    sys.exit(main())
