"""Axes: ends, ticks, places."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdm_qiskit.pages.drawing import shown
from qdm_qiskit.pages.scales import LENGTH, Scale, fitting_scale, tick_values

NUMBERS = st.floats(1e-9, 1e9)


@given(st.lists(NUMBERS, min_size=1), st.sampled_from(["linear", "log", "symlog"]))
def test_all_values_lie_on_the_axis_in_their_order(values, kind):
    scale = fitting_scale(values, log=kind == "log", symlog=kind == "symlog")
    places = [scale.place(each) for each in sorted(values)]
    assert places == sorted(places)
    assert places[0] >= 0
    assert places[-1] <= LENGTH


@given(NUMBERS, st.floats(1.001, 1e6), st.sampled_from(["linear", "log", "symlog"]))
def test_ticks_are_few_round_and_between_the_ends(low, ratio, kind):
    found = tick_values(low, low * ratio, log=kind == "log", symlog=kind == "symlog")
    assert all(low * (1 - 1e-6) <= each <= low * ratio * (1 + 1e-6) for each in found)
    assert found == sorted(set(found))
    assert len(found) <= 12
    if kind != "symlog":
        assert len(found) >= 2
    if kind == "linear":
        gaps = [b - a for a, b in pairwise(found)]
        assert gaps == pytest.approx([gaps[0]] * len(gaps), rel=1e-3)


def test_a_logarithm_is_a_logarithm():
    scale = Scale(0.01, 100.0, log=True)
    assert [scale.place(v) / LENGTH for v in (0.01, 0.1, 1.0, 100.0)] == pytest.approx(
        [0, 0.25, 0.5, 1]
    )


def test_both_sides_of_zero_are_alike():
    scale = fitting_scale([-50.0, 50.0], symlog=True)
    assert scale.place(0.0) == pytest.approx(LENGTH / 2)
    assert scale.place(3.0) + scale.place(-3.0) == pytest.approx(LENGTH)
    assert 0.0 in tick_values(scale.low, scale.high, symlog=True)


@given(st.floats(-1e12, 1e12))
def test_a_shown_number_is_the_number_to_four_digits(value):
    assert float(shown(value)) == pytest.approx(value, rel=1e-3, abs=1e-12)
    assert math.isfinite(float(shown(value)))
