"""A team: processes that run one column together, each its parts of every group of blocks.

A group of blocks leaves all digits alone but those of its rows, so that it goes through the parts of a
vector in any order, and on any processor that reaches the vector. The vector and its gradient lie in
memory that all of a team see; what is kept for the way back, and the sums of gradients, are each one's
own. New qubits and zeros are shared out as ranges of numbers. Whatever is too small for that the first
does alone; all read the results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

__all__ = ["SPANS", "Span", "Team", "own_parts", "run_together", "the_team", "working_together"]

LEAST_PARTS = 8
"""Parts of a group that are shared out: fewer take less time than waiting for each other."""
LEAST_NUMBERS = 2**14
"""Numbers of a vector that are shared out where each is written once."""
_FUNCTION = 0
"""Field of a record that holds its function."""


@dataclass(frozen=True)
class Span:
    """How the work of a function is shared out: each record of it does a range of numbers."""

    end: int
    """Field of the range's end, which is all there is before it is shared out."""
    first: int
    """Field of its first number, 0 before."""
    least: int
    """Numbers below which the first of a team does all."""
    times: int = 1
    """What both are multiples of."""


SPANS = {
    "parts_of": Span(3, 6, LEAST_PARTS),
    "clear": Span(3, 4, LEAST_NUMBERS, 16),
    "grow": Span(4, 5, LEAST_NUMBERS),
    "shrink": Span(4, 5, LEAST_NUMBERS),
}
"""By the names of functions; they are those of :class:`.emit_columns.ColumnWriter`."""
BY_ALL = frozenset(["gather"])
"""Functions that each runs whole: they read the vector into memory of its own."""


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
    address: Callable[[str], int],
) -> None:
    """Run one column's records with a team.

    Args:
        run: Runs records: the table's address, the first and the end.
        records: ``(records, fields)`` with all addresses, this process's own.
        team: Who runs them.
        address: Gives the address of a function of a name.
    """
    functions = records[:, _FUNCTION]
    kinds = np.isin(functions, [address(name) for name in BY_ALL]).astype(int)
    for name, span in SPANS.items():
        for k in np.flatnonzero(functions == address(name)):
            whole = int(records[k, span.end])
            if whole >= span.least:
                own = own_parts(whole // span.times, team.index, team.count)
                records[k, [span.first, span.end]] = span.times * np.array(own)
                kinds[k] = 2
    first, table = 0, records.ctypes.data
    while first < len(kinds):
        end = first + 1
        if kinds[first] != 2:  # what one writes of a vector is read by others in the next record
            while end < len(kinds) and kinds[end] == kinds[first]:
                end += 1
        if kinds[first] or team.index == 0:
            run(table, first, end)
        team.wait()
        first = end
