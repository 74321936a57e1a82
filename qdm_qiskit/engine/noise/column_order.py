"""Order of blocks in which a column stays small for as long as it can.

Blocks that share no qubit may change places. A compiler's order goes through a circuit layer by layer,
which takes in all qubits with the first layer; along the light cone most blocks fit a smaller column.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["smallest_first"]


def smallest_first(blocks: Sequence[Sequence[int]], known: Sequence[int]) -> list[int]:
    """Return the order in which each block comes as soon as the column holds its qubits.

    Where every block that is left needs a further qubit, the one comes first that needs fewest and, of
    those, after which most others fit. This is a greedy choice, so that it may be worse than the given
    order, which then stays.

    Args:
        blocks: Qubits of each block, in an order in which they may be applied. A block on a single
            qubit never takes that in: it waits, with the caller, until another does.
        known: Qubits that the column begins with.

    Returns:
        Indices of the blocks; those that share a qubit keep their order.
    """
    after: list[list[int]] = [[] for _ in blocks]
    missing = [0] * len(blocks)
    last: dict[int, int] = {}
    for k, qubits in enumerate(blocks):
        for before in {last[q] for q in qubits if q in last}:
            after[before].append(k)
            missing[k] += 1
        last.update(dict.fromkeys(qubits, k))
    ready = {k for k, count in enumerate(missing) if not count}
    given = list(range(len(blocks)))
    held, order = set(known), list[int]()
    while ready:
        fitting = _fitting(blocks, after, missing, ready, held)
        order += fitting
        _take(fitting, after, missing, ready)
        if not ready:
            break
        fewest = min(len(set(blocks[k]) - held) for k in ready)
        growing = [k for k in ready if len(set(blocks[k]) - held) == fewest]
        if len(growing) > 1:  # the qubits decide a tie, so that the given order does not
            growing.sort(
                key=lambda k: (
                    -len(_fitting(blocks, after, missing, ready, held.union(blocks[k]))),
                    sorted(blocks[k]),
                )
            )
        held.update(blocks[growing[0]])
    return min(order, given, key=lambda each: _numbers([blocks[k] for k in each], known))


def _numbers(blocks: Sequence[Sequence[int]], known: Sequence[int]) -> int:
    """Return how many numbers blocks are applied to, in this order, all together."""
    held, total = set(known), 0
    for qubits in blocks:
        if len(qubits) > 1:
            held.update(qubits)
        total += 4 ** len(held)
    return total


def _fitting(
    blocks: Sequence[Sequence[int]],
    after: Sequence[Sequence[int]],
    missing: Sequence[int],
    ready: set[int],
    held: set[int],
) -> list[int]:
    """Return the blocks, in order, that can be applied before the column takes in another qubit."""
    found: list[int] = []
    left: dict[int, int] = {}
    waiting = sorted(ready, reverse=True)
    while waiting:
        k = waiting.pop()
        if len(blocks[k]) > 1 and not held.issuperset(blocks[k]):
            continue
        found.append(k)
        for each in after[k]:
            left[each] = left.get(each, missing[each]) - 1
            if not left[each]:
                waiting.append(each)
    return found


def _take(
    taken: Sequence[int], after: Sequence[Sequence[int]], missing: list[int], ready: set[int]
) -> None:
    """Strike blocks off, and add to those that are ready what waited for them alone."""
    ready.difference_update(taken)
    done = set(taken)
    for k in taken:
        for each in after[k]:
            missing[each] -= 1
            if not missing[each] and each not in done:
                ready.add(each)
