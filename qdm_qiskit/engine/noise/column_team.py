"""A team: processes that run one column together, each its parts of every group of blocks.

A group of blocks leaves all digits alone but those of its rows, so that it goes through the parts of a
vector in any order, and on any processor that reaches the vector. The vector and its gradient lie in
memory that all of a team see; what is kept for the way back, and the sums of gradients, are each one's
own. Whatever is no group (a new qubit, a short vector) the first does alone; all read the results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

import numpy as np
from torch import Tensor

__all__ = ["LEAST_PARTS", "Team", "own_parts", "run_together", "the_team", "working_together"]

LEAST_PARTS = 8
"""Parts of a group that are shared out: fewer take less time than waiting for each other."""
_FUNCTION, _END, _FIRST = 0, 3, 6
"""Fields of a record that runs parts: its function, and the range of parts."""


class Team(Protocol):
    """Processes that call the same programs in the same order; this is one of them."""

    @property
    def index(self) -> int:
        """Return this one's number, from 0."""
        ...

    @property
    def count(self) -> int:
        """Return how many there are."""
        ...

    def wait(self) -> None:
        """Wait until all are here; what was written before is seen by all afterwards."""
        ...

    def add(self, numbers: Tensor) -> None:
        """Put the sums over all of a team in place of numbers, in each of them."""
        ...

    def memory(self, size: int) -> int:
        """Return the address of at least ``size`` bytes that all see, at a multiple of 64."""
        ...


_team: ContextVar[Team | None] = ContextVar("team", default=None)


@contextmanager
def working_together(team: Team | None) -> Iterator[None]:
    """Let a team run each state of density matrices together until the context ends.

    All of it have to enter, and to call the same with the same numbers. The way back may come later.
    """
    token = _team.set(team)
    try:
        yield
    finally:
        _team.reset(token)


def the_team() -> Team | None:
    """Return the team that works together here; None where each works for itself."""
    return _team.get()


def own_parts(parts: int, index: int, count: int) -> tuple[int, int]:
    """Return the first of a process's own parts, and the end.

    >>> [own_parts(7, index, 3) for index in range(3)]
    [(0, 2), (2, 4), (4, 7)]
    """
    return parts * index // count, parts * (index + 1) // count


def run_together(
    run: Callable[[int, int, int], None],
    records: np.ndarray,
    team: Team,
    *,
    by_parts: int,
    by_all: frozenset[int],
) -> None:
    """Run one column's records with a team.

    Args:
        run: Runs records: the table's address, the first and the end.
        records: ``(records, fields)`` with all addresses, this process's own.
        team: Who runs them.
        by_parts: The function whose parts are shared out where they are many.
        by_all: Functions that each runs: they read the vector into memory of its own.
    """
    functions, parts = records[:, _FUNCTION], records[:, _END].copy()
    shared = (functions == by_parts) & (parts >= LEAST_PARTS)
    everyone = np.isin(functions, list(by_all))
    for k in np.flatnonzero(shared):
        records[k, _FIRST], records[k, _END] = own_parts(int(parts[k]), team.index, team.count)
    kinds = np.where(shared, 2, everyone.astype(int))
    first, address = 0, records.ctypes.data
    while first < len(kinds):
        end = first + 1
        if kinds[first] != 2:  # parts of one group are written by others in the next
            while end < len(kinds) and kinds[end] == kinds[first]:
                end += 1
        if kinds[first] or team.index == 0:
            run(address, first, end)
        team.wait()
        first = end
