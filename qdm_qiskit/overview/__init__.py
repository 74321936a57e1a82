"""What runs there are: found by their files, with options and metrics in one table.

Nothing is loaded but JSON, so a list of many runs is quick.

::

    table.py        rows of runs, columns of options and metrics: CSV, JSON, HTML
    find.py         training, sampling and hardware runs below a folder
"""

from .find import KINDS, compare, find_runs, read_run
from .table import RunRow, RunTable

__all__ = ["KINDS", "RunRow", "RunTable", "compare", "find_runs", "read_run"]
