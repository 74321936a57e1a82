"""How a number of ours is judged."""

from __future__ import annotations

import pytest

from qdm_qiskit.reproduction import Figure, Found, judge, verdict_of

COUNT = Figure(name="count", theirs=150)
NEAR = Figure(name="near", theirs=0.41, within=0.05)
ORDER = Figure(name="order", theirs="below 0", accept=(None, 0))


@pytest.mark.parametrize(
    ("figure", "found", "agreement"),
    [
        (COUNT, Found(value=150), "agrees"),
        (COUNT, Found(value=151), "differs"),
        (COUNT, Found(value=149.999), "differs"),
        (NEAR, Found(value=0.45), "agrees"),
        (NEAR, Found(value=0.47), "differs"),
        (NEAR, Found(value=0.41, low=0.37, high=0.45), "agrees"),
        (NEAR, Found(value=0.41, low=0.30, high=0.52), "undecided"),
        (NEAR, Found(value=0.50, low=0.48, high=0.52), "differs"),
        (ORDER, Found(value=-1.0), "agrees"),
        (ORDER, Found(value=0.1), "differs"),
        (ORDER, Found(value=-1.0, low=-3.0, high=1.0), "undecided"),
        (ORDER, Found(value=1.0, low=0.5, high=1.5), "differs"),
        (COUNT, None, "not run"),
    ],
)
def test_a_number_agrees_if_all_of_its_interval_does(figure, found, agreement):
    assert judge(figure, found) == agreement


@pytest.mark.parametrize(
    ("agreements", "verdict"),
    [
        (["agrees", "agrees"], "reproduced"),
        (["agrees", "differs"], "refuted"),
        (["undecided", "differs", "not run"], "refuted"),
        (["agrees", "undecided"], "undecided"),
        (["agrees", "not run"], "not run"),
        (["not run"], "not run"),
        ([], "not run"),
    ],
)
def test_a_verdict_needs_every_figure_and_one_that_differs_decides(agreements, verdict):
    assert verdict_of(agreements) == verdict


def test_their_figures_keep_all_digits_and_ours_four():
    assert Figure(name="a", theirs=296.869, spread=0.0024).printed == "296.869 ± 0.0024"
    assert Figure(name="a", theirs=483321).printed == "483,321"
    assert Found(value=0.0246123, low=0.01, high=0.03).printed == "0.02461 (0.01 to 0.03)"
