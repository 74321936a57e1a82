"""Successive halving: rungs grow by the factor, and the best points go on."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.sweeps import Halving


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(2, 5), st.integers(2, 500))
def test_rungs_grow_to_the_whole_run(first, factor, epochs):
    if first >= epochs:
        with pytest.raises(InvalidOption, match="first_epochs must be below"):
            Halving(first, factor).check(epochs)
        return
    rungs = Halving(first, factor).rungs(epochs)
    assert rungs[0] == first
    assert rungs[-1] == epochs
    assert all(a < b <= a * factor for a, b in pairwise(rungs))


def test_the_best_points_go_on_with_all_their_seeds():
    losses = {"a0": ("a", 0.1), "a1": ("a", 0.5), "b0": ("b", 0.2), "b1": ("b", 0.2)}
    assert Halving(1, 2).survivors(losses) == {"b0", "b1"}


def test_points_with_a_failed_run_come_last_and_failed_runs_do_not_go_on():
    losses = {"a0": ("a", None), "b0": ("b", 9.0)}
    assert Halving(1, 2).survivors(losses) == {"b0"}
    assert Halving(1, 2).survivors({"a0": ("a", None)}) == set()


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text(min_size=1), st.floats(0, 1), min_size=1), st.integers(2, 5))
def test_one_of_so_many_points_goes_on_rounded_up(losses, factor):
    kept = Halving(1, factor).survivors({name: (name, loss) for name, loss in losses.items()})
    assert len(kept) == math.ceil(len(losses) / factor)
    worst_kept = max(losses[name] for name in kept)
    assert all(losses[name] >= worst_kept for name in losses if name not in kept)


@pytest.mark.parametrize("wrong", [{"first_epochs": 0}, {"factor": 1}, {"factor": 2.5}])
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidOption, match="is a whole number of at least"):
        Halving(**wrong)
