"""Order of blocks in which columns stay small."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdm_qiskit.engine.noise.blocks import Block
from qdm_qiskit.engine.noise.column_order import smallest_first
from qdm_qiskit.engine.noise.columns import observable_columns, state_column

BLOCKS = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=2, unique=True), max_size=25)


def numbers(blocks: list[list[int]], known: set[int]) -> int:
    """Return the sum of the column's lengths over all blocks, counted with sets of qubits."""
    total, held = 0, set(known)
    for qubits in blocks:
        held |= set(qubits) if len(qubits) > 1 else set()
        total += 4 ** len(held)
    return total


@settings(max_examples=200, deadline=None)
@given(BLOCKS, st.sets(st.integers(0, 6), max_size=3))
def test_blocks_on_a_qubit_keep_their_order_and_no_order_is_worse_than_the_given(blocks, known):
    order = smallest_first(blocks, sorted(known))
    assert sorted(order) == list(range(len(blocks)))
    for qubit in range(7):
        met = [k for k in order if qubit in blocks[k]]
        assert met == sorted(met)
    assert numbers([blocks[k] for k in order], known) <= numbers(blocks, known)


def layers(num_qubits: int, depth: int) -> list[tuple[int, int]]:
    return [(q, q + 1) for _ in range(depth) for q in range(num_qubits - 1)]


def shuffled(blocks: list[tuple[int, int]], seed: int) -> list[tuple[int, int]]:
    """Return the blocks in another order that keeps the one on each qubit."""
    rng, left, found = random.Random(seed), list(blocks), []
    while left:
        ready = [
            k
            for k, each in enumerate(left)
            if not any(set(each) & set(other) for other in left[:k])
        ]
        found.append(left.pop(rng.choice(ready)))
    return found


@pytest.mark.parametrize("picture", ["observable", "state"])
def test_the_work_does_not_depend_on_the_compilers_order(picture):
    """Ten qubits layer by layer take in all of them with the first layer: twice the work."""

    def work(pairs: list[tuple[int, int]]) -> list[int]:
        blocks = [Block(pair) for pair in pairs]
        strings = [((qubit, 3),) for qubit in range(10)]
        if picture == "observable":
            late = list(reversed(range(len(blocks))))
            columns = observable_columns(blocks, late, strings)
        else:
            columns = [state_column(blocks, (), [string]) for string in strings]
        return [sum(4**step.digits for step in column.steps) for column in columns]

    plain = layers(10, 4)
    first = work(plain)
    assert all(work(shuffled(plain, seed)) == first for seed in range(4))
    if picture == "observable":
        whole, held = 0, {9}
        for pair in reversed(plain):  # the order as it was given, for the last observable
            held |= set(pair)
            whole += 4 ** len(held)
        assert 2 * first[9] < whole
