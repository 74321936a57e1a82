"""Orders of a state's qubits in which few blocks have to move them.

A block is one matrix product if its qubits are neighbours. When they are not, the state is gathered in
another order; this module picks one that suits the blocks to come as well.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "neighbourly",
]

_Cells = list[set[int]]
"""Sets in a fixed order, up to reversal; inside a set any order is still possible."""


def neighbourly(qubits: Sequence[int], blocks: Sequence[set[int]]) -> list[int]:
    """Return an order in which the qubits of each block are neighbours, for many blocks.

    Blocks are taken in turn; the first one that does not fit ends it. The first always fits.

    Args:
        qubits: All qubits, in their present order, which is kept where nothing asks for another.
        blocks: Qubits of blocks to come; those that are not among ``qubits`` are left out.

    Returns:
        The qubits in the order found.
    """
    known = set(qubits)
    segments: list[_Cells] = []
    for block in blocks:
        wanted = block & known
        if len(wanted) > 1:
            fitted = _fitted(segments, wanted)
            if fitted is None:
                break
            segments = fitted
    place = {qubit: k for k, qubit in enumerate(qubits)}
    order = [
        qubit
        for cells in segments
        for cell in cells
        for qubit in sorted(cell, key=place.__getitem__)
    ]
    used = set(order)
    return order + [qubit for qubit in qubits if qubit not in used]


def _fitted(segments: Sequence[_Cells], block: set[int]) -> list[_Cells] | None:
    """Return the segments with one more block as neighbours, or None."""
    touched = [cells for cells in segments if any(cell & block for cell in cells)]
    others = [cells for cells in segments if not any(cells is each for each in touched)]
    new = block.difference(*(cell for cells in touched for cell in cells))
    if not touched:
        return [*others, [new]]
    if len(touched) == 1 and not new:
        inner = _inside(touched[0], block)
        return None if inner is None else [*others, inner]
    if len(touched) > 2:
        return None
    ends = [_at_end(cells, block) for cells in touched]
    if any(end is None for end in ends):
        return None
    first, *rest = [end for end in ends if end is not None]
    middle = [new] if new else []
    return [*others, first + middle + [cell for end in rest for cell in reversed(end)]]


def _inside(cells: _Cells, block: set[int]) -> _Cells | None:
    """Split the outermost cells that the block touches, so that it is a run of whole cells."""
    places = [k for k, cell in enumerate(cells) if cell & block]
    first, last = places[0], places[-1]
    if any(not cell <= block for cell in cells[first + 1 : last]):
        return None
    if first == last:
        return [*cells[:first], *_split(cells[first], block), *cells[first + 1 :]]
    left, right = _split(cells[first], block), _split(cells[last], block)[::-1]
    return [*cells[:first], *left, *cells[first + 1 : last], *right, *cells[last + 1 :]]


def _at_end(cells: _Cells, block: set[int]) -> _Cells | None:
    """Return the cells, perhaps reversed, with the block's qubits as their last ones."""
    for turned in (cells, cells[::-1]):
        first = next(k for k, cell in enumerate(turned) if cell & block)
        if all(cell <= block for cell in turned[first + 1 :]):
            return [*turned[:first], *_split(turned[first], block), *turned[first + 1 :]]
    return None


def _split(cell: set[int], block: set[int]) -> _Cells:
    """Return the cell's qubits outside of the block, then those in it."""
    return [part for part in (cell - block, cell & block) if part]
