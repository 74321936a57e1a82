"""Sweeps: many training runs that differ in options, as items of work.

::

    plan.py         grids, draws and seeds; the runs that they make
    item.py         train one of them, or the rest of it
    halving.py      which go on, where bad ones stop early
    sweep.py        do them all, in a folder
    search.py       choose points by what came of others
    choosers.py     who chooses, if not Optuna: chance, SPSA, a surrogate
    qaoa.py         the surrogate's least entry by QAOA
"""

from .choosers import Chooser, choose
from .halving import Halving
from .plan import Draw, SweepPlan, plan_sweep
from .search import Search, is_search, plan_search, read_search, run_search
from .sweep import SweepResult, read_plan, run_sweep

__all__ = [
    "Chooser",
    "Draw",
    "Halving",
    "Search",
    "SweepPlan",
    "SweepResult",
    "choose",
    "is_search",
    "plan_search",
    "plan_sweep",
    "read_plan",
    "read_search",
    "run_search",
    "run_sweep",
]
