"""Choice of disjoint tiles: a set packing by integer programming (HiGHS, through SciPy)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["MOST_SECONDS", "Packing", "best_packing"]

MOST_SECONDS = 20.0
"""Wall-clock seconds after which the best packing so far is taken; chips of today take less than 1."""


@dataclass(frozen=True)
class Packing:
    """Disjoint sets out of many."""

    chosen: tuple[int, ...]
    """Numbers of the sets, ascending."""
    proven: bool
    """True if no packing is better; False if the time ran out before."""


def best_packing(
    sets: Sequence[frozenset[int]],
    values: np.ndarray,
    *,
    count: int | None = None,
    pairs: Sequence[tuple[int, int]] = (),
    most_seconds: float = MOST_SECONDS,
) -> Packing | None:
    """Return the best packing of disjoint sets.

    Args:
        sets: Sets of qubits, none empty.
        values: ``(sets,)`` from 0 to 1.
        count: Number of sets, of which the values have the largest sum; None takes as many as fit, and
            among those the largest sum.
        pairs: Couplers: of each, both qubits together may belong to one set only.
        most_seconds: Limit of the search.

    Returns:
        The packing; None if there is none of this count, or none was found in time.

    >>> sets = [frozenset({0, 1}), frozenset({1, 2}), frozenset({2, 3})]
    >>> best_packing(sets, np.array([0.5, 0.9, 0.6])).chosen
    (0, 2)
    >>> best_packing(sets, np.array([0.5, 0.9, 0.6]), count=1).chosen
    (1,)
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    if not sets:
        return None
    once = [frozenset({qubit}) for qubit in sorted(frozenset().union(*sets))]
    limits = [*once, *(frozenset(pair) for pair in pairs)]
    rows, columns = [], []
    for k, each in enumerate(sets):
        touched = [row for row, limit in enumerate(limits) if limit & each]
        rows += touched
        columns += [k] * len(touched)
    matrix = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(limits), len(sets)))
    constraints = [LinearConstraint(matrix, -np.inf, 1.0)]
    gain = np.asarray(values, dtype=np.float64)
    if count is None:
        # Values of all sets together weigh less than one set more.
        gain = 1.0 + gain / (1.0 + len(once))
    else:
        ones = np.ones((1, len(sets)))
        constraints.append(LinearConstraint(ones, count, count))
    found = milp(
        -gain,
        constraints=constraints,
        integrality=np.ones(len(sets)),
        bounds=Bounds(0.0, 1.0),
        options={"time_limit": most_seconds},
    )
    if found.x is None:
        return None
    chosen = tuple(int(k) for k in np.flatnonzero(found.x > 0.5))
    return Packing(chosen, proven=found.status == 0)
