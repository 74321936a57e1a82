"""Circuits on tiles of a device as one circuit, and its counts as those of each tile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...execution.counts import Pub
from ...transpiling.tile_circuits import joint_circuit
from .requests import JobRequest

__all__ = ["counts_of_tiles", "joint_pubs"]


def joint_pubs(request: JobRequest) -> list[Pub]:
    """Return the circuits that a service runs: one for each group of ``request.together``.

    A tile with fewer rows than another runs its last one again; those counts are left out later.

    Returns:
        ``request.pubs`` where nothing runs together; else circuits with a register a tile, in the
        order of the group, with their values.
    """
    pubs = list(request.pubs)
    if not request.together:
        return pubs
    found: list[Pub] = []
    for group in request.together:
        own = [pubs[number] for number in group]
        rows = max(len(values) for _, values in own)
        filled = [values[np.minimum(np.arange(rows), len(values) - 1)] for _, values in own]
        circuit = joint_circuit([circuit for circuit, _ in own])
        values = np.concatenate(filled, axis=1)
        # Without parameters all rows are the same circuit, and there is one.
        found.append((circuit, values))
    return found


def counts_of_tiles(request: JobRequest, counts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the counts of each circuit of a request from those of the registers.

    Args:
        request: What was sent.
        counts: For each register of :func:`joint_pubs`, in their order, ``(rows, 2**bits)``.
    """
    if not request.together:
        return list(counts)
    order = [number for group in request.together for number in group]
    found = dict(zip(order, counts, strict=True))
    return [found[number][: len(values)] for number, (_, values) in enumerate(request.pubs)]
