"""The packing of disjoint sets against all packings there are."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from qdm_qiskit.transpiling.tile_packing import best_packing


def _all_packings(sets, pairs=()):
    limits = [frozenset({q}) for q in frozenset().union(*sets)] + [frozenset(p) for p in pairs]
    for size in range(1, len(sets) + 1):
        for chosen in combinations(range(len(sets)), size):
            if all(sum(bool(limit & sets[k]) for k in chosen) <= 1 for limit in limits):
                yield chosen


def _random_sets(seed):
    rng = np.random.default_rng(seed)
    return [frozenset(rng.choice(9, size=3, replace=False).tolist()) for _ in range(10)], rng


@pytest.mark.parametrize("seed", range(6))
def test_most_sets_first_then_the_largest_sum(seed):
    sets, rng = _random_sets(seed)
    values = rng.uniform(0.1, 1, len(sets))
    best = max(_all_packings(sets), key=lambda c: (len(c), values[list(c)].sum()))
    found = best_packing(sets, values)
    assert found.proven
    assert len(found.chosen) == len(best)
    assert values[list(found.chosen)].sum() == pytest.approx(values[list(best)].sum())


def test_two_poor_sets_are_more_than_a_good_one():
    sets = [frozenset({0, 1}), frozenset({1, 2}), frozenset({2, 3})]
    values = np.array([0.1, 0.99, 0.1])
    assert best_packing(sets, values).chosen == (0, 2)
    assert best_packing(sets, values, count=1).chosen == (1,)


@pytest.mark.parametrize("seed", range(6))
def test_a_number_of_sets_has_the_largest_sum_or_is_refused(seed):
    sets, rng = _random_sets(seed)
    values = rng.uniform(0.1, 1, len(sets))
    for count in (1, 2, 3):
        fitting = [c for c in _all_packings(sets) if len(c) == count]
        found = best_packing(sets, values, count=count)
        if not fitting:
            assert found is None
            continue
        assert len(found.chosen) == count
        best = max(values[list(c)].sum() for c in fitting)
        assert values[list(found.chosen)].sum() == pytest.approx(best)


@pytest.mark.parametrize("seed", range(4))
def test_no_pair_touches_two_sets(seed):
    sets, rng = _random_sets(seed)
    values = rng.uniform(0.1, 1, len(sets))
    pairs = [(0, 1), (4, 7), (2, 8)]
    best = max(_all_packings(sets, pairs), key=lambda c: (len(c), values[list(c)].sum()))
    found = best_packing(sets, values, pairs=pairs)
    assert len(found.chosen) == len(best)
    assert values[list(found.chosen)].sum() == pytest.approx(values[list(best)].sum())


def test_nothing_is_packed_of_nothing():
    assert best_packing([], np.zeros(0)) is None
