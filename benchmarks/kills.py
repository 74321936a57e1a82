"""Is a hardware run the same, to the bit, when it is killed at every point of its record?

A point is a place in the life of a run at which something is written down:

- *before* a transaction of the ledger: all that led to it has happened, and nothing of it is known;
- *within* it: it stands in the log and not yet in the database;
- *after* it;
- *unnamed*: a file is written and has not got its name.

One run is left alone. For each of the four kinds a copy of its plan is sent, killed with SIGKILL at the
first point at which it was not killed before, resumed, killed at the next such point, and so on until
it ends: at every point of the undisturbed run, and at those that only a resumed run has. So a point
costs the start of a process, and not a whole run.

Nor does it cost a simulation. The run that is left alone simulates each of its jobs. Those that are
killed have one memory of their own (``recalled.py``), from which a job with the same circuits, values,
shots, options, target, seed and part gets the counts of the first of their processes that asked for it.
So each job is simulated twice, in a process that nobody killed and in one that goes on after kills, and
both are compared; what is not simulated is its third and further times. Nothing else is remembered.

    python benchmarks/kills.py hardware_runs/PLANNED_RUN
"""

from __future__ import annotations

from forked import Failed, Killed, in_child  # first: it sets the number of threads  # isort: skip

import argparse
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from recalled import recalled, recalled_answers

__all__ = ["KINDS", "Outcome", "killed_everywhere", "load"]

KINDS = ("before", "within", "after", "unnamed")
"""Kinds of points."""
NEEDED = (
    "qdm_qiskit.sampling",
    "qdm_qiskit.execution.factory",
    "qdm_qiskit.hardware.providers.local",
    "qdm_qiskit.hardware.run.call_chain",
    "qdm_qiskit.hardware.run.commands",
    "qdm_qiskit.hardware.run.replay",
)
"""Modules that each process would import for itself."""
NEEDED_OF_A_DEVICE = (
    "qdm_qiskit.execution.independent_shots",
    "qdm_qiskit.execution.local",
    "qdm_qiskit.hardware.ibm.sampler",
    "qiskit_ibm_runtime.executor_sampler",
)
"""Further ones where a device runs the jobs."""
POINTS = "points.txt"
"""File in a root with the points of its run: where it was killed, or which it passed."""
MOST = 5_000
"""Most kills of a run: each is at a new point, and a run with more points does not end."""


@dataclass(frozen=True)
class Outcome:
    """What came of a run that was killed at every point of its record."""

    points: int
    """Number of kills."""
    undisturbed: int
    """Number of points of the run that was left alone."""
    missed: tuple[str, ...]
    """Points of that run at which no other one was killed."""
    jobs: int
    """Jobs of the plan."""
    different: tuple[str, ...]
    """Counts and images that are not those of the run that was left alone, to the bit."""
    replayed: bool
    """True if a replay of each run finds its images again, to the bit."""
    held: int
    """Reservations that are still held."""
    recalled: int
    """Jobs of killed runs with the counts that another of their processes had simulated."""
    seconds: float

    @property
    def equal(self) -> bool:
        """True if nothing was lost and nothing differs."""
        return not (self.missed or self.different or self.held) and self.replayed


def killed_everywhere(planned: Path, kinds: Sequence[str] = KINDS) -> Outcome:
    """Send copies of a planned run, and kill all but one at every point of its record.

    Args:
        planned: Folder of a run that was planned and never sent.
        kinds: Kinds of points; there is a copy for each.

    Returns:
        What came of it.

    Raises:
        Failed: If a process ended otherwise than by a kill.
    """
    from qdm_qiskit.hardware.plan.plan_file import read_plan

    began = time.perf_counter()
    load(read_plan(planned).target)
    with tempfile.TemporaryDirectory() as scratch:
        whole, *killed = (_copy(planned, Path(scratch) / name) for name in ("whole", *kinds))
        memory = Path(scratch) / "memory"
        in_child(_send, whole, "", None)
        for folder in killed:
            _kill_until_done(folder, folder.parent.name, memory)
        passed = {each for each in _points(whole) if each.startswith(tuple(kinds))}
        points = {point for folder in killed for point in _points(folder)}
        facts = [in_child(_facts, each) for each in (whole, *killed)]
        return Outcome(
            points=len(points),
            undisturbed=len(passed),
            missed=tuple(sorted(passed - points)),
            jobs=facts[0]["jobs"],
            different=tuple(each for folder in killed for each in _differences(whole, folder)),
            replayed=all(each["replayed"] for each in facts),
            held=sum(each["held"] for each in facts),
            recalled=recalled_answers(memory),
            seconds=time.perf_counter() - began,
        )


def _kill_until_done(folder: Path, kind: str, memory: Path) -> None:
    for _ in range(MOST):
        try:
            return in_child(_send, folder, kind, memory)
        except Killed:
            continue
    raise Failed(f"{MOST} kills, and the run has not ended")


def load(target: str) -> None:
    """Import once what all processes need, and read the numbers of the target's device."""
    from qdm_qiskit.execution.devices import as_backend

    _, _, name = target.partition(":")
    for module in (*NEEDED, *(NEEDED_OF_A_DEVICE if name else ())):
        importlib.import_module(module)
    if name:
        _ = as_backend(name).target


def _copy(planned: Path, root: Path) -> Path:
    root.mkdir()
    return Path(shutil.copytree(planned, root / planned.name))


def _points(folder: Path) -> list[str]:
    return (folder.parent / POINTS).read_text().splitlines()


# --- in the processes ---------------------------------------------------------------------------


def _send(folder: Path, kind: str, memory: Path | None) -> None:
    """Send a run or go on with it, and die at its next new point of a kind."""
    from qdm_qiskit.hardware.run.commands import submit_run

    with recalled(memory), _watched(folder.parent / POINTS, kind):
        state = submit_run(folder)
    if state.state != "done":
        raise RuntimeError(f"the run ended as '{state.state}'")


@contextmanager
def _watched(file: Path, kind: str) -> Iterator[None]:
    """Write down each point that is not in a file yet; of one kind only, and die there, if it is
    given."""
    from qdm_qiskit.hardware.ledger.store import Store

    file.touch()
    known = set(file.read_text().splitlines())
    write, commit, replace = Store.write, Store._commit, os.replace
    last, begun = "start", 0

    def new(point: str) -> bool:
        if point in known or not point.startswith(kind):
            return False
        known.add(point)
        with open(file, "a") as out:
            out.write(point + "\n")
            out.flush()
            os.fsync(out.fileno())
        return bool(kind)

    def at(point: str) -> None:
        if new(point):
            _die()

    @contextmanager
    def watched_write(self: Any) -> Iterator[Any]:
        nonlocal last, begun
        begun += 1
        at(f"before write {begun} after {last}")
        with write(self) as transaction:
            yield transaction
        if transaction.changes:
            last, begun = _label(transaction.changes), 0
            at(f"after {last}")

    def watched_commit(self: Any, connection: Any, seq: int, changes: Any) -> None:
        if new(f"within {_label(changes)}"):
            connection = _Fatal(connection)
        commit(self, connection, seq, changes)

    def watched_replace(source: Any, target: Any, **more: Any) -> None:
        at(f"unnamed {Path(target).name}")
        replace(source, target, **more)

    # Methods are replaced for the whole process, as a kill may come in any of them.
    Store.write, Store._commit, os.replace = watched_write, watched_commit, watched_replace  # type: ignore
    try:
        yield
    finally:
        Store.write, Store._commit, os.replace = write, commit, replace  # type: ignore[method-assign]


def _label(changes: Any) -> str:
    """Return a transaction in words that do not depend on times and numbers."""
    events = [f"{row['part']} {row['kind']}" for _, table, row in changes if table == "events"]
    return ", ".join(events or sorted({f"{verb} {table}" for verb, table, _ in changes}))


class _Fatal:
    """A connection on which COMMIT is not reached."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def execute(self, sql: str, *rest: Any) -> Any:
        if sql == "COMMIT":
            _die()
        return self._connection.execute(sql, *rest)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# --- what is compared ---------------------------------------------------------------------------


def _facts(folder: Path) -> dict[str, Any]:
    from qdm_qiskit.hardware.ledger.ledger import Ledger
    from qdm_qiskit.hardware.plan.plan_file import read_plan
    from qdm_qiskit.hardware.run.replay import replay

    found = replay(folder)
    ledger = Ledger.open(folder.parent)
    held = [row for row in ledger.reservations(folder.name) if row["state"] == "held"]
    ledger.close()
    return {
        "jobs": read_plan(folder).num_jobs,
        "replayed": found.done and found.stored and found.difference == 0.0,
        "held": len(held),
    }


def _differences(whole: Path, killed: Path) -> Iterator[str]:
    """Yield the files of counts and images that differ in a bit."""
    names = [
        sorted(str(path.relative_to(each)) for path in each.rglob("*.npz"))
        for each in (whole, killed)
    ]
    if names[0] != names[1]:
        yield f"{killed.parent.name}: files {sorted(set(names[0]) ^ set(names[1]))}"
    for name in names[0]:
        if (killed / name).is_file():
            one, other = (_arrays(each / name) for each in (whole, killed))
            if one.keys() != other.keys():
                yield f"{killed.parent.name}: arrays of {name}"
            elif any(not np.array_equal(one[key], other[key]) for key in one):
                yield f"{killed.parent.name}: {name}"


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file, without the account of a job, which holds the time."""
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files if name != "info"}


def main() -> int:
    """Kill a planned run, print what came of it, and fail if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    found = killed_everywhere(parser.parse_args().run.resolve())
    print(json.dumps({**asdict(found), "equal": found.equal}, indent=1))
    return not found.equal


if __name__ == "__main__":
    sys.exit(main())
