"""Memory that the processes of one machine all see."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor

from ...engine.jit.meeting import meet
from ...errors import TargetUnavailable

__all__ = ["SeenMemory"]

_IN_MEMORY = Path("/dev/shm")  # noqa: S108 (a file there has a random name, and loses it at once)
_LONGEST_NAME = 4096
_PAGE = 4096


@final
class SeenMemory:
    """Bytes in a file without a name, which every process of a machine has mapped.

    All processes make it, and ask for the same sizes in the same order. The file's name is told by a
    sum of numbers, and taken away as soon as all have opened it: nothing is left of processes that die.

    Args:
        index: This process's number, from 0.
        count: How many there are.
        add: Puts the sums over all processes in place of numbers.
    """

    def __init__(self, index: int, count: int, add: Callable[[Tensor], None]) -> None:
        self._index, self._count, self._add = index, count, add
        self._bytes = np.zeros(0, np.uint8)
        self.everywhere = self._grow(_PAGE)
        """Whether all processes see it: they do not where they run on several machines."""
        self._counter, self._met = self._bytes, 0  # a page that stays when others come
        self._bytes = np.zeros(0, np.uint8)

    def meet(self) -> None:
        """Wait until all processes are here; each then sees what any wrote before."""
        self._met += 1
        meet(int(self._counter.ctypes.data), self._met * self._count)

    def address(self, size: int) -> int:
        """Return the address of at least ``size`` bytes, at the beginning of a page.

        Raises:
            TargetUnavailable: If there is no room for them.
        """
        if size > len(self._bytes) and not self._grow(-(-size // _PAGE) * _PAGE):
            raise TargetUnavailable(
                f"There is no room for {size / 2**20:.0f} MiB that processes share in {_IN_MEMORY} or "
                f"{tempfile.gettempdir()}; make one of them larger, or train in one process."
            )
        return int(self._bytes.ctypes.data)

    def _grow(self, size: int) -> bool:
        """Map a new file in all processes; return whether all have it."""
        name = self._created(size) if self._index == 0 else b""
        told = torch.zeros(_LONGEST_NAME, dtype=torch.int32)
        told[: len(name)] = torch.from_numpy(np.frombuffer(name, np.uint8).astype(np.int32))
        self._add(told)
        path = Path(os.fsdecode(bytes(told[told > 0].to(torch.uint8).numpy())))
        found = self._mapped(path, size) if told.any() else None
        seen = torch.tensor([float(found is not None)])
        self._add(seen)
        if name:
            path.unlink()
        if found is None or int(seen) < self._count:
            return False
        self._bytes = found
        return True

    @staticmethod
    def _created(size: int) -> bytes:
        """Return the name of a new file of a size; empty if there is no room anywhere."""
        for folder in (_IN_MEMORY, Path(tempfile.gettempdir())):
            if not folder.is_dir():
                continue
            try:
                descriptor, name = tempfile.mkstemp(prefix="qdm-", dir=folder)
            except OSError:
                continue
            try:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(
                        descriptor, 0, size
                    )  # an address without a page behind it kills
                else:
                    os.ftruncate(descriptor, size)
            except OSError:
                Path(name).unlink()
                continue
            finally:
                os.close(descriptor)
            return os.fsencode(name)
        return b""

    @staticmethod
    def _mapped(path: Path, size: int) -> np.ndarray | None:
        try:
            with path.open("r+b") as file:
                seen = mmap.mmap(file.fileno(), size)
        except (OSError, ValueError):  # ValueError: a file of that name, and another size
            return None
        if hasattr(mmap, "MADV_HUGEPAGE"):
            with suppress(OSError):  # a kernel without large pages for files; they save a fifth
                seen.madvise(mmap.MADV_HUGEPAGE)
        return np.frombuffer(seen, np.uint8)
