"""Sweeps: many training runs that differ in options, as items of work.

::

    plan.py         grids, draws and seeds; the runs that they make
    item.py         train one of them, or the rest of it
    halving.py      which go on, where bad ones stop early
    sweep.py        do them all, in a folder
"""

from .halving import Halving
from .plan import Draw, SweepPlan, plan_sweep
from .sweep import SweepResult, read_plan, run_sweep

__all__ = [
    "Draw",
    "Halving",
    "SweepPlan",
    "SweepResult",
    "plan_sweep",
    "read_plan",
    "run_sweep",
]
