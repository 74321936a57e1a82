"""Functions of items, in a module that worker processes import."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.rng import stream
from qdm_qiskit.work import Stopped, item_seed


def count(folder: Path, name: str) -> int:
    """Note that an item was begun; return how many times it was before."""
    with open(folder / f"{name}.begun", "a") as file:
        before = file.tell()
        file.write("x")
    return before


def draw(folder: Path, *, name: str, seconds: float = 0.0) -> dict[str, Any]:
    """Draw by address."""
    count(folder, name)
    time.sleep(seconds)
    return {"drawn": float(stream(item_seed(7, name), "work").random())}


def die(folder: Path, *, name: str, times: int) -> dict[str, Any]:
    """Kill the worker as the system does, so many times."""
    if count(folder, name) < times:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"name": name}


def fail(folder: Path, *, name: str) -> dict[str, Any]:
    """Fail once, in two lines."""
    if count(folder, name) == 0:
        raise InvalidOption(f"{name} is\nbad.")
    return {"name": name}


def crash(folder: Path, *, name: str) -> dict[str, Any]:
    """Fail as a fault in the code does."""
    raise ZeroDivisionError(name)


def stop(folder: Path, *, name: str) -> dict[str, Any]:
    """Come to a stop once, as training does after Ctrl-C."""
    if count(folder, name) == 0:
        raise Stopped(name)
    return {"name": name}
