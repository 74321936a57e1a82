"""Meeting of processes at a counter in memory that all of them see.

A message between processes takes a tenth of a millisecond and more, as long as a whole group of blocks
on a column; a counter takes less than a microsecond. Adding and reading are atomic and ordered with all
reads and writes around them, on processors that reorder these too.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from functools import cache

from llvmlite import ir

from ...errors import TargetUnavailable
from ...machine_code import INT64, compiled

__all__ = ["LONGEST_WAIT_S", "meet"]

LONGEST_WAIT_S = 1800.0
"""Seconds after which the others are taken to be lost, as of torch's own groups of processes."""
_LOOKS = 4096
"""How often a process looks at the counter before it lets others have its core."""


def meet(counter: int, target: int) -> None:
    """Add 1 to a counter, and wait until it has reached a target.

    What any process wrote before is seen by all afterwards.

    Args:
        counter: Address of an int64 that all see, at a multiple of 8.
        target: So many have added 1, all times together, when all are here.

    Raises:
        TargetUnavailable: If the others do not come for :data:`LONGEST_WAIT_S`.
    """
    look = _function()
    seen = look(counter, target, 1)
    if seen >= target:
        return
    until = time.monotonic() + LONGEST_WAIT_S
    while look(counter, target, 0) < target:
        time.sleep(0)
        if time.monotonic() > until:
            raise TargetUnavailable(
                f"Another process of this run has not come for {LONGEST_WAIT_S / 60:.0f} minutes; stop "
                "all of them, and resume."
            )


@cache
def _function() -> Callable[[int, int, int], int]:
    """Return (counter, target, more): add, look until the target is reached, return the count."""
    kind = ir.FunctionType(INT64, [INT64] * 3)
    function = ir.Function(ir.Module(name="meet"), kind, name="meet")
    counter, target, more = function.args
    entry, head, body, done = (
        function.append_basic_block(name) for name in ("entry", "head", "body", "done")
    )
    b = ir.IRBuilder(entry)
    place = b.inttoptr(counter, ir.PointerType(INT64))
    b.atomic_rmw("add", place, more, "seq_cst")
    b.branch(head)
    b.position_at_end(head)
    looks = b.phi(INT64)
    looks.add_incoming(INT64(0), entry)
    seen = b.load_atomic(place, "seq_cst", 8)
    here = b.icmp_signed(">=", seen, target)
    b.cbranch(b.or_(here, b.icmp_signed(">=", looks, INT64(_LOOKS))), done, body)
    b.position_at_end(body)
    looks.add_incoming(b.add(looks, INT64(1)), body)
    b.branch(head)
    b.position_at_end(done)
    b.ret(seen)
    return ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 3)(compiled(function))
