"""Rules of a search: the same again for the same knowledge, inside the space, and towards the least."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp, Statevector

from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.sweeps.choosers import check_space, choose
from qdm_qiskit.sweeps.qaoa import qaoa_circuit, qaoa_probabilities, walsh

ENDS = {
    "rate": {"low": 1e-3, "high": 1.0, "log": True},
    "share": {"low": 0.0, "high": 1.0, "log": False},
}
LISTS = {
    "depth": {"choices": ["1", "2", "4"]},
    "goal": {"choices": ["data", "noise"]},
}


def bowl(point):
    return (np.log(point["rate"] / 0.3) / np.log(1000)) ** 2 + (point["share"] - 0.8) ** 2


def test_spsa_walks_to_the_least_and_returns_where_it_stands():
    ends = []
    for seed in range(8):
        told = []
        for number in range(20):
            points = choose("spsa", ENDS, told, seed=seed, number=number, count=2)
            told += [(point, bowl(point)) for point in points]
            assert all(1e-3 <= p["rate"] <= 1 and 0 <= p["share"] <= 1 for p in points)
        [last] = choose("spsa", ENDS, told, seed=seed, number=20, count=1)
        ends.append(bowl(last))
    assert np.mean(ends) < 0.5 * bowl({"rate": 1e-3**0.5, "share": 0.5})


def test_of_a_pair_one_of_which_failed_the_other_is_better():
    [high, low] = choose("spsa", ENDS, [], seed=0, number=0, count=2)
    for told, nearer in (([(high, None), (low, 1.0)], low), ([(high, 1.0), (low, None)], high)):
        [place] = choose("spsa", ENDS, told, seed=0, number=1, count=1)
        assert (place["share"] - 0.5) * (nearer["share"] - 0.5) > 0
    [place] = choose("spsa", ENDS, [(high, None), (low, None)], seed=0, number=1, count=1)
    assert place["share"] == 0.5


@pytest.mark.parametrize("method", ["qaoa", "surrogate", "random"])
def test_points_are_of_the_lists_and_the_same_again(method):
    told = [({"depth": d, "goal": "data"}, float(d)) for d in ("1", "2", "4")]
    found = choose(method, LISTS, told, seed=1, number=1, count=2)
    assert found == choose(method, LISTS, told, seed=1, number=1, count=2)
    assert all(p["depth"] in "124" and p["goal"] in ("data", "noise") for p in found)
    if method != "random":  # three of six are left
        assert all(p["goal"] == "noise" for p in found)
        assert found[0] != found[1]
    if method == "surrogate":
        assert [p["depth"] for p in found] == ["1", "2"]


def test_walsh_and_qaoa_are_those_of_qiskit():
    values = np.random.default_rng(0).normal(size=8)
    signs = [[(-1) ** bin(s & x).count("1") for s in range(8)] for x in range(8)]
    np.testing.assert_allclose(np.array(signs) @ walsh(values), values)
    circuit = qaoa_circuit(values, 1)
    state = Statevector(circuit.assign_parameters([0.7, 0.4])).data
    mixer = SparsePauliOp(["IIX", "IXI", "XII"]).to_matrix()
    power, vectors = np.linalg.eigh(mixer)
    wanted = np.exp(-0.7j * values) / 8**0.5
    wanted = vectors @ (np.exp(-0.4j * power) * (vectors.conj().T @ wanted))
    assert abs(np.vdot(wanted, state)) == pytest.approx(1)


def test_trained_angles_lower_the_mean():
    values = np.array([0.0, 1.0, 1.0, 3.0])
    chances = qaoa_probabilities(values, layers=1, steps=20, starts=1)
    assert chances.sum() == pytest.approx(1)
    assert chances @ values < 0.6 * values.mean()


@pytest.mark.parametrize(
    ("method", "space", "at_once", "message"),
    [
        ("grid", LISTS, 2, "one of optuna, random, spsa, qaoa, surrogate"),
        ("spsa", LISTS, 2, "'depth' is a list"),
        ("spsa", ENDS, 3, "at_once is even, got 3"),
        ("qaoa", ENDS, 2, "'rate' has two ends"),
        ("qaoa", {"a": {"choices": [str(k) for k in range(1025)]}}, 2, "take 11"),
        ("qaoa", {"a": {"values": ["1", "2"]}}, 2, "'a' is choices alone, or low.*got values"),
        ("random", {"a": {"low": 1}}, 2, "got low"),
    ],
)
def test_a_space_in_which_a_rule_cannot_choose_is_refused(method, space, at_once, message):
    with pytest.raises(InvalidOption, match=message):
        check_space(method, space, at_once)
    if at_once == 2:
        with pytest.raises(InvalidOption, match=message):
            choose(method, space, [], seed=0, number=0, count=2)
