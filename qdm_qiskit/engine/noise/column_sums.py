"""Sums of products that are the gradients of matrices, entry by entry."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..jit.column_forms import LANES, entries
from .column_records import Matrix

__all__ = ["MatrixSums"]


class MatrixSums:
    """Numbers in which the gradients of the matrices' wanted entries are summed.

    Args:
        matrices: By block.
    """

    def __init__(self, matrices: dict[int, Matrix]) -> None:
        self._matrices = matrices
        self._places: dict[int, Tensor] = {}
        most: dict[int, int] = {}
        for each in matrices.values():
            most[each.stack] = max(most.get(each.stack, 0), len(entries(each.wanted)), 1)
        self.widths = {stack: -(-width // LANES) * LANES for stack, width in most.items()}
        """Sums of each matrix of a stack."""

    def zeros(
        self, stacks: Sequence[Tensor], wanted: Sequence[bool], vectors: Tensor | None
    ) -> tuple[list[Tensor | None], Tensor | None, Tensor]:
        """Return zeros for the sums of wanted stacks, for a gradient of vectors, and all at once.

        Args:
            stacks: ``(matrices, rows, rows)``, or ``(matrices, batch, rows, rows)``.
            wanted: For each stack.
            vectors: What columns are read in, if its gradient is wanted.

        Returns:
            ``(matrices, width)`` or ``(matrices, batch, width)`` or None for each stack; zeros of the
            shape of the vectors or None; and the vector of numbers that all columns add to, of which
            all but the sums with a batch are views.
        """
        sums: list[Tensor | None] = []
        shapes: list[torch.Size] = []
        for number, (stack, each) in enumerate(zip(stacks, wanted, strict=True)):
            shape = (*stack.shape[:-2], self.widths.get(number, LANES))
            own = stack.dim() > 3
            sums.append(stack.new_zeros(shape) if each and own else None)
            shapes.append(torch.Size(shape if each and not own else (0,)))
        shapes.append(torch.Size((0,)) if vectors is None else vectors.shape)
        sizes = [shape.numel() for shape in shapes]
        shared = stacks[0].new_zeros(sum(sizes))
        parts = [part.view(shape) for part, shape in zip(shared.split(sizes), shapes, strict=True)]
        for number, (part, size) in enumerate(zip(parts[:-1], sizes[:-1], strict=True)):
            if size:
                sums[number] = part
        return sums, None if vectors is None else parts[-1], shared

    def gradient(self, sums: Tensor, stack: Tensor, number: int) -> Tensor:
        """Return the gradient of a stack of matrices.

        Args:
            sums: Those of the wanted entries, row by row.
            stack: The matrices.
            number: Which stack it is.
        """
        if number not in self._places:
            rows = stack.shape[-1]
            # What fills the sums up goes to a number that is left out.
            places = np.full((len(stack), sums.shape[-1]), rows**2)
            for each in self._matrices.values():
                if each.stack == number:
                    listed = [r * rows + c for r, c in entries(each.wanted)]
                    places[each.row, : len(listed)] = listed
            self._places[number] = torch.from_numpy(places)
        index = self._places[number]
        if sums.dim() > index.dim():
            index = index.unsqueeze(1).expand_as(sums)
        full = sums.new_zeros(*stack.shape[:-2], stack.shape[-1] ** 2 + 1)
        full.scatter_(-1, index, sums)
        return full[..., :-1].reshape(stack.shape)
