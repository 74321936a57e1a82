"""Work in items: each has an address, runs anywhere, and is done once.

::

    items.py        an item, its seed, and how a worker does it
    executors.py    where items run: this process, processes of this machine, any executor
    dask.py         workers of Dask.distributed, on this machine or many
    run.py          run items to their ends, whatever dies on the way
"""

from .executors import AnyExecutor, InThisProcess, Processes, Workers
from .items import Stopped, WorkItem, item_seed
from .run import Outcome, run_items, said_of

__all__ = [
    "AnyExecutor",
    "InThisProcess",
    "Outcome",
    "Processes",
    "Stopped",
    "WorkItem",
    "Workers",
    "item_seed",
    "run_items",
    "said_of",
]
