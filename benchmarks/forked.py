"""Run a function in a process of its own, which may be killed, without importing all again.

The process is forked, so whoever calls this must not have touched a circuit: threads that Qiskit and
Aer start do not survive a fork. Import this before numpy and torch: it leaves them one thread each.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

__all__ = ["Failed", "Killed", "TooLong", "in_child"]


class Killed(Exception):
    """The process died of SIGKILL."""


class TooLong(Exception):
    """The process was ended at its time limit."""


class Failed(Exception):
    """The function raised; the message is the child's traceback."""


def in_child(task: Callable[..., Any], *arguments: Any, seconds: float | None = None) -> Any:
    """Return what a function returns in a forked process.

    Args:
        task: The function.
        arguments: Its arguments.
        seconds: Time limit of the process and of all that it starts.

    Raises:
        Killed, TooLong, Failed: If it was killed, took too long, or raised.
    """
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_tell, args=(there, task, arguments, seconds is not None))
    process.start()
    there.close()
    try:
        if not here.poll(seconds):
            assert process.pid is not None
            os.killpg(process.pid, signal.SIGKILL)
            raise TooLong(f"ended after {seconds:.0f} s")
        done, value = here.recv()
    except EOFError:
        process.join()
        raise (Killed if process.exitcode == -signal.SIGKILL else Failed)(
            f"exit code {process.exitcode}"
        ) from None
    finally:
        process.join()
        here.close()
    if not done:
        raise Failed(value)
    return value


def _tell(there: Connection, task: Callable[..., Any], arguments: Any, leads: bool) -> None:
    if leads:
        os.setsid()  # so that the time limit ends its own children too
    try:
        there.send((True, task(*arguments)))
    except BaseException:
        there.send((False, traceback.format_exc()))
