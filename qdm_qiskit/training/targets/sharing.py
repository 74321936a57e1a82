"""Circuits of one batch shared out among processes: rows, and parts of a row's density matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...engine.noise.column_team import own_parts
from ..processes import Processes
from .seen_memory import SeenMemory

__all__ = ["Sharing", "sharing_of"]

Rows = Callable[[Tensor, Tensor, int], Tensor]
"""``(values, angles, first) -> outputs``: ``(rows, values)``, ``(weights,)``, and the place of the
first row among those of all processes, to ``(rows, outputs)``."""


@final
class Sharing:
    """The processes that answer the same calls of circuits in the same order; this is one of them.

    While it is active each of them calls the same circuits with the same numbers, does its own part of
    the work, and gets all results. It is a :class:`~.column_team.Team` of density matrices.

    Args:
        index: This one's number, from 0.
        count: How many there are.
        add: Puts the sums over all processes in place of numbers, in each of them.
    """

    def __init__(self, index: int, count: int, add: Callable[[Tensor], None]) -> None:
        self.index, self.count, self.add = index, count, add
        self.active = False
        """True while all of them make the same calls."""
        self._seen: SeenMemory | None = None

    @property
    def works(self) -> bool:
        """Return whether there is anything to share out now."""
        return self.active and self.count > 1

    def own(self, rows: int) -> slice:
        """Return the rows that this process takes."""
        return slice(*own_parts(rows, self.index, self.count))

    def gathered(self, own: Tensor, rows: int) -> Tensor:
        """Return all rows from each process's own, the same in all.

        Args:
            own: ``(own rows, ...)``.
            rows: Of all processes.
        """
        full = own.new_zeros(rows, *own.shape[1:])
        full[self.own(rows)] = own
        self.add(full)  # each number and zeros: the sum is the number
        return full

    def rows(self, function: Rows, values: Tensor, angles: Tensor, outputs: int) -> Tensor:
        """Return what a function gives for all rows, differentiable in both arguments.

        Args:
            function: Its rows do not depend on each other.
            values: ``(rows, values)``.
            angles: ``(weights,)``.
            outputs: Numbers of a row of results.
        """
        found: Tensor = _Rows.apply(values, angles, function, self, outputs)
        return found

    def wait(self) -> None:
        """Wait until all are here, as :attr:`team`."""
        assert self._seen is not None
        self._seen.meet()

    def memory(self, size: int) -> int:
        """Return the address of bytes that all processes see, as :attr:`team`."""
        assert self._seen is not None
        return self._seen.address(size)

    @property
    def team(self) -> Sharing | None:
        """Return these processes if they may run a state together now: on one machine."""
        if not self.works:
            return None
        if self._seen is None:
            self._seen = SeenMemory(self.index, self.count, self.add)
        return self if self._seen.everywhere else None


class _Rows(torch.autograd.Function):
    """Own rows there; back, the sums of all processes' gradients."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, angles: Tensor, function: Rows, sharing: Sharing, outputs: int
    ) -> Tensor:
        wanted = ctx.needs_input_grad[:2]
        given = [
            each.detach().requires_grad_(needs)
            for each, needs in zip((values, angles), wanted, strict=True)
        ]
        mine, rows = sharing.own(len(values)), len(values)
        own = given[0].new_zeros(0, outputs)
        if mine.stop > mine.start:
            with torch.set_grad_enabled(any(wanted)):
                own = function(given[0][mine], given[1], mine.start)
        ctx.own, ctx.given, ctx.mine, ctx.sharing = own, given, mine, sharing
        return sharing.gathered(own.detach(), rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        wanted = [each for each in ctx.given if each.requires_grad]
        found: list[Tensor | None] = [None] * len(wanted)
        if ctx.own.requires_grad:
            found = list(torch.autograd.grad(ctx.own, wanted, grad[ctx.mine], allow_unused=True))
        sums: list[Tensor | None] = []
        whole = iter(zip(wanted, found, strict=True))
        for given in ctx.given:
            if not given.requires_grad:
                sums.append(None)
                continue
            each, own = next(whole)
            total = torch.zeros_like(each) if own is None else own.contiguous().clone()
            ctx.sharing.add(total)
            sums.append(total)
        return *sums, None, None, None


def sharing_of(processes: Processes) -> Sharing:
    """Return how joined processes share circuits; one process alone shares nothing."""

    def add(numbers: Tensor) -> None:
        # The group of a GPU takes no numbers of the CPU.
        there = numbers.to(processes.device)
        torch.distributed.all_reduce(there)
        if there is not numbers:
            numbers.copy_(there)

    return Sharing(processes.index, processes.count, add)
