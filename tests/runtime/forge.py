"""A process that has imported everything and forks one child for each command; for kill tests.

`python -m tests.runtime.forge` reads a JSON object a line and answers with one:

    {"do": "fork", "call": "submit", "root": ..., "run": ..., "kill": [5, "after"], "out": FILE}
        -> {"pid": 123}
    {"do": "wait", "pid": 123} -> {"status": -9}
    {"do": "import", "modules": ["accelerate"]} -> {}

`python -m tests.runtime.forge COMMAND` carries out one such command itself, in a process that imports
all as it goes. The child runs one command of the hardware room. With `kill` it kills itself with
SIGKILL at the nth transaction of the ledger: `before` it (what came before it has happened, and is not
recorded), `within` it (in the log, not yet in SQLite), or `after` it; or `unnamed`, before the nth file
gets its name; it says first at which kind of point. With a third word, `[2, "after", "moved"]`, only
transactions with such an event count, or only files of that name. Nothing of IBM's client is changed,
and the package only calls what it calls anyway. A child that lives writes its answer to `out`. With
`ahead` its wall clock is so many seconds ahead, and with `jump` it jumps by so many at the nth
transaction: `[5, 3600]`.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def import_all() -> None:
    """What a child would spend its time on: nine tenths of it are the imports of IBM's client.

    No circuit may be touched here: threads that Qiskit starts do not survive a fork.
    """
    import mthree  # noqa: F401
    import qiskit_ibm_runtime.executor_estimator
    import qiskit_ibm_runtime.executor_sampler  # noqa: F401
    import torch

    import qdm_qiskit.hardware.ibm.provider
    import qdm_qiskit.hardware.run.commands
    import qdm_qiskit.sampling
    import qdm_qiskit.tasks.fleets  # noqa: F401

    torch.set_num_threads(1)
    assert threading.active_count() == 1


CLOCK = {"ahead": 0.0}


def move_clock(ahead: float) -> None:
    """Set the wall clock of this process ahead, also where a module has it by a name of its own."""
    right = time.time
    CLOCK["ahead"] = ahead

    def moved() -> float:
        return right() + CLOCK["ahead"]

    for module in list(sys.modules.values()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if value is right:
                setattr(module, name, moved)


def count_sleep() -> dict[str, float]:
    """Seconds slept since `now` was set to 0, and the most of it so far."""
    silence = {"now": 0.0, "longest": 0.0}
    sleep = time.sleep

    def counted(seconds: float) -> None:
        silence["now"] += seconds
        silence["longest"] = max(silence["longest"], silence["now"])
        sleep(seconds)

    time.sleep = counted
    return silence


POINT = "killed "
"""Begins what a process says before it kills itself: `killed after: settled`."""


def kinds_of(changes: Any) -> str:
    """Kinds of the events of a transaction, or the tables that it changes."""
    kinds = [str(row["kind"]) for _, table, row in changes if table == "events"]
    return " ".join(sorted(set(kinds or [table for _, table, _ in changes])))


def kill_at(
    number: int, side: str, only: str | None = None, jump: tuple[int, float] = (0, 0.0)
) -> tuple[list[list[str]], list[str]]:
    """Kill this process at a transaction of the ledger or at a file, counted from 1; 0 never.

    Returns:
        For each transaction so far the kinds of its events, and the files; both grow.
    """
    from qdm_qiskit.hardware.ledger.store import Store

    done: list[list[str]] = []
    files: list[str] = []
    write, commit, replace = Store.write, Store._commit, os.replace
    met = {"transactions": 0, "files": 0}

    def die(kind: str) -> None:
        print(f"{POINT}{side}: {kind}", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

    def reached(kinds: list[str]) -> bool:
        """Whether a transaction, counted already, is the one to die at."""
        if only is None:
            return len(done) == number
        return only in kinds and met["transactions"] == number

    @contextmanager
    def counted(self: Store) -> Iterator[Any]:
        if only is None and len(done) + 1 == number and side == "before":
            die("a transaction")
        with write(self) as transaction:
            yield transaction
        if transaction.changes:
            done.append(
                [str(row["kind"]) for _, table, row in transaction.changes if table == "events"]
            )
            if len(done) == jump[0]:
                CLOCK["ahead"] += jump[1]
            if reached(done[-1]) and side == "after":
                die(kinds_of(transaction.changes))

    def committed(self: Store, connection: Any, seq: int, changes: Any) -> None:
        kinds = [str(row["kind"]) for _, table, row in changes if table == "events"]
        if only is not None:
            met["transactions"] += only in kinds
            if reached(kinds) and side == "before":
                die(kinds_of(changes))
            if reached(kinds) and side == "within":
                connection = Fatal(connection, changes)
        elif len(done) + 1 == number and side == "within":
            connection = Fatal(connection, changes)
        commit(self, connection, seq, changes)

    def named(source: Any, target: Any, **more: Any) -> None:
        files.append(Path(target).name)
        met["files"] += only in (None, files[-1])
        if met["files"] == number and only in (None, files[-1]) and side == "unnamed":
            die(re.sub(r"[0-9]+", "N", files[-1]))
        replace(source, target, **more)

    class Fatal:
        """A connection on which COMMIT is not reached."""

        def __init__(self, connection: Any, changes: Any) -> None:
            self._connection = connection
            self._changes = changes

        def execute(self, sql: str, *rest: Any) -> Any:
            if sql == "COMMIT":
                die(kinds_of(self._changes))
            return self._connection.execute(sql, *rest)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._connection, name)

    Store.write = counted  # type: ignore[method-assign,assignment]
    Store._commit = committed  # type: ignore[method-assign]
    os.replace = named
    return done, files


def run(command: dict[str, Any]) -> dict[str, object]:
    """The command of a child; what it writes to `out`."""
    from dataclasses import asdict

    from qdm_qiskit.hardware.run import commands as chain
    from qdm_qiskit.tasks.fleets import Fleet

    root = Path(command["root"])
    number, side, *only = command.get("kill") or (0, "")
    move_clock(command.get("ahead", 0.0))
    writes, files = kill_at(number, side, *only, jump=tuple(command.get("jump", (0, 0.0))))
    said: list[str] = []
    silence = count_sleep()
    began = time.monotonic()

    def tell(text: str) -> None:
        said.append(text)
        print(text, flush=True)  # beside the answer, for those who wait for one
        silence["now"] = 0.0

    match command["call"]:
        case "submit":
            plan = root / command["run"] / "plan.json"
            state = chain.submit_run(plan, detach=command.get("detach", False), progress=tell)
        case "resume":
            state = chain.resume_run(root, command["run"], progress=tell)
        case "collect":
            state = chain.collect_run(root, command["run"], progress=tell)
        case "cancel":
            state = chain.cancel_run(root, command["run"], progress=tell)
        case "submit-fleet":
            state = Fleet(root / command["run"]).submit(yes=True, progress=tell).state
        case "resume-fleet":
            state = Fleet(root / command["run"]).resume(progress=tell).state
        case unknown:
            raise ValueError(unknown)
    return {
        "state": asdict(state),
        "writes": writes,
        "files": files,
        "said": said,
        "slept": silence["longest"],
        "seconds": time.monotonic() - began,
    }


def child(command: dict[str, Any]) -> None:
    out = Path(command["out"])
    errors = os.open(out.with_suffix(".err"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number, to in ((0, nothing), (1, errors), (2, errors)):
        os.dup2(to, number)
    code = 0
    try:
        answer = run(command)
    except BaseException as wrong:
        traceback.print_exc()
        answer = {"error": type(wrong).__name__, "message": str(wrong)}
        code = 1
    out.write_text(json.dumps(answer, default=str))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    if len(sys.argv) > 1:
        child(json.loads(sys.argv[1]))
    import_all()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "fork":
            pid = os.fork()
            if pid == 0:
                child(command)
            answer: dict[str, object] = {"pid": pid}
        elif command["do"] == "import":
            for name in command["modules"]:
                importlib.import_module(name)
            assert threading.active_count() == 1
            answer = {}
        else:
            _, status = os.waitpid(command["pid"], 0)
            answer = {"status": os.waitstatus_to_exitcode(status)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
