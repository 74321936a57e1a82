"""Work of a batch: samples of a tile, tiles of a thread, and sums over them."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor

from ...machine_code import widest

__all__ = [
    "SUMMED_TILES",
    "THREAD_WORK",
    "T",
    "lanes_of",
    "share",
    "summed",
    "versions",
]

T = TypeVar("T")
SUMMED_TILES = 64
"""Tiles up to which sums keep the program's precision; more are summed in double precision."""
THREAD_WORK = 2**20
"""Amplitudes times steps for which a further thread pays."""


def versions(*tensors: Tensor | None) -> list[int | None]:
    """Return how often each was changed in place; those of inference mode do not say."""
    return [None if each is None or each.is_inference() else each._version for each in tensors]


def lanes_of(batch: int, itemsize: int) -> int:
    """Return the samples of a tile: the width of the widest vectors, or less for small batches.

    Args:
        batch: Samples.
        itemsize: Bytes of a real number.
    """
    most = widest() // itemsize
    # Two widths only, because each has machine code of its own.
    return most // 4 if batch <= most // 4 and most >= 8 else most


def summed(undo: Callable[[int, int, Tensor], None], first: int, end: int, sums: Tensor) -> Tensor:
    """Return the sums of a range of tiles, in double precision where there are many.

    Args:
        undo: Adds the sums of tiles from the first to below the second.
        first, end: The range.
        sums: Zeros.
    """
    total = sums if end - first <= SUMMED_TILES else sums.double()
    for start in range(first, end, SUMMED_TILES):
        undo(start, min(start + SUMMED_TILES, end), sums)
        if total is not sums:
            total += sums
            sums.zero_()
    return total


def share(run: Callable[[int, int], T], batch: int, rows: int, lanes: int, steps: int) -> list[T]:
    """Call a function with ranges of tiles, in threads where it pays, and return all results.

    Args:
        run: Takes the first tile and the end.
        batch: Samples.
        rows: Amplitudes of a sample.
        lanes: Samples of a tile.
        steps: Number of steps, for the amount of work.
    """
    tiles = -(-batch // lanes)
    worth = tiles * lanes * rows * steps // THREAD_WORK
    if worth <= 1:
        return [run(0, tiles)]
    threads = max(min(torch.get_num_threads(), tiles, worth), 1)
    ends = [tiles * k // threads for k in range(threads + 1)]
    if threads == 1:
        return [run(0, tiles)]
    return list(_pool(os.getpid()).map(run, ends[:-1], ends[1:]))


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Return the threads of this process; a fork has none of its parent's."""
    return ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="qdm tiles")
