"""One hint to the C library's memory allocator."""

from __future__ import annotations

from functools import cache

import torch

__all__ = [
    "LARGEST_BYTES",
    "keep_freed_memory",
]

LARGEST_BYTES = 2**25 - 2**16
"""Size just below the largest block that glibc may take from its own memory (32 MiB)."""


@cache
def keep_freed_memory() -> None:
    """Let glibc keep blocks of some megabytes that are freed, rather than hand them to the system.

    A training step frees its states and asks for the same again. Memory that went back to the
    system in between is faulted in anew, page by page, which took up to a third of a step. When a
    block that was mapped on its own is freed, glibc raises its threshold for such blocks to that
    size, and twice that for what it keeps; so one large block is taken and freed, without touching
    it. Other C libraries ignore it.

    Source:
        The GNU C Library's manual, ``mallopt(3)``, M_MMAP_THRESHOLD.
    """
    torch.empty(LARGEST_BYTES, dtype=torch.uint8)
