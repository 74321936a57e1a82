"""Memory that is available, so that larger needs are refused before they are allocated."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from ...errors import InvalidData

__all__ = [
    "SMALL_BYTES",
    "available_bytes",
    "check_memory",
]


SMALL_BYTES = 2**26
"""Bytes for which nobody asks what is left: the system's files take longer to read than a step."""


def available_bytes(device: torch.device) -> int:
    """Return the memory that is left on a device, or to the process's control group if less."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable"):
                free = int(line.split()[1]) * 1024
        limit = Path("/sys/fs/cgroup/memory.max")
        if limit.exists() and (text := limit.read_text().strip()) != "max":
            used = int(Path("/sys/fs/cgroup/memory.current").read_text())
            free = min(free, int(text) - used)
    except (OSError, ValueError, AttributeError):
        return 2**62  # no way to know here
    return free


def check_memory(needed: int, device: torch.device, what: str, remedy: str) -> None:
    """Refuse a need that exceeds the available memory.

    Raises:
        InvalidData: If more than the available memory is needed; with both numbers.
    """
    if needed < SMALL_BYTES:
        return
    available = available_bytes(device)
    if needed > available:
        raise InvalidData(
            f"{what} needs about {needed / 2**30:.3g} GiB and {available / 2**30:.3g} GiB are "
            f"available; {remedy}."
        )
