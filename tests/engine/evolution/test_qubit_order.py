"""Qubits next to each other, for as many blocks as possible."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qdm_qiskit.engine import compile_circuit
from qdm_qiskit.engine.evolution.qubit_order import neighbourly


def _adjoining(order: list[int], block: set[int]) -> bool:
    places = [order.index(qubit) for qubit in block if qubit in order]
    return not places or max(places) - min(places) + 1 == len(places)


@given(
    st.permutations(range(9)),
    st.lists(st.sets(st.integers(0, 11), min_size=1, max_size=4), min_size=1, max_size=8),
)
def test_first_block_is_always_together(qubits: list[int], blocks: list[set[int]]) -> None:
    order = neighbourly(qubits, blocks)
    assert sorted(order) == sorted(qubits)
    assert _adjoining(order, blocks[0])


@given(st.permutations(range(10)), st.data())
def test_blocks_that_one_order_suits_are_all_together(
    hidden: list[int], data: st.DataObject
) -> None:
    """Runs of a hidden order, each one a neighbour of the one before it, are all found."""
    blocks = [set(hidden[:3])]
    start, end = 0, 3
    while end < len(hidden):
        start = data.draw(st.integers(start + 1, end - 1))
        end = data.draw(st.integers(end + 1, len(hidden)))
        blocks.append(set(hidden[start:end]))
    order = neighbourly(sorted(hidden), blocks)
    assert all(_adjoining(order, block) for block in blocks)


def test_blocks_that_share_no_qubit_and_one_that_joins_them() -> None:
    order = neighbourly(range(8), [{0, 4, 7}, {1, 5}, {4, 2, 5}])
    assert all(_adjoining(order, block) for block in ({0, 4, 7}, {1, 5}, {4, 2, 5}))


def test_order_stays_where_nothing_asks_for_another() -> None:
    assert neighbourly([3, 1, 2, 0], [{1, 2}]) == [1, 2, 3, 0]
    assert neighbourly([3, 1, 2, 0], [{7}, {1}]) == [3, 1, 2, 0]


def test_hidden_order_needs_one_permutation_of_the_state() -> None:
    """A brick wall whose bricks lie on qubits that are far apart is laid out once."""
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter

    hidden = [0, 5, 2, 7, 4, 1, 6, 3]
    circuit = QuantumCircuit(8)
    for layer in range(6):
        for first in range(layer % 2, 7, 2):
            weight = Parameter(f"w_{layer}_{first}")
            circuit.rxx(weight, hidden[first], hidden[first + 1])
    program = compile_circuit(circuit, weights=list(circuit.parameters))
    lines = program.explain(list(range(8))).split("strategy")[1].splitlines()
    assert sum("permutation" in line for line in lines) <= 1
