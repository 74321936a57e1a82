"""Grids, draws and seeds make the runs that they say, typed as --set types them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdm_qiskit.errors import InvalidOption, UnknownName
from qdm_qiskit.rng import stream
from qdm_qiskit.sweeps import Draw, plan_sweep
from qdm_qiskit.sweeps.plan import MOST_RUNS, _between
from qdm_qiskit.training import resolve_run

SMALL = {"image_size": 2, "num_steps": 2}


def values(plan):
    return [each.values for each in plan.runs]


def test_a_grid_is_all_combinations_with_all_seeds():
    plan = plan_sweep(
        "eeqdm", SMALL, grid={"depth": ["2", "4"], "learning_rate": ["0.01", "0.1"]}, seeds=3
    )
    assert len(plan.runs) == 12
    assert values(plan)[0] == {"depth": 2, "learning_rate": 0.01, "seed": 0}
    assert values(plan)[-1] == {"depth": 4, "learning_rate": 0.1, "seed": 2}
    assert plan.varied == ("depth", "learning_rate", "seed")
    assert len({each.name for each in plan.runs}) == 12
    assert len({each.group for each in plan.runs}) == 4


def test_each_run_is_the_one_that_train_would_resolve():
    plan = plan_sweep("eeqdm", SMALL, grid={"depth": ["2"], "classes": ["0,1"]}, seed=5)
    alone = resolve_run("eeqdm", {**SMALL, "depth": 2, "classes": (0, 1), "seed": 5})
    assert plan.runs[0].config == alone
    assert plan.runs[0].values["classes"] == (0, 1)


def test_names_stay_when_the_grid_grows():
    small = plan_sweep("eeqdm", SMALL, grid={"depth": [1]})
    large = plan_sweep("eeqdm", SMALL, grid={"depth": [3, 1]}, seeds=2)
    assert small.runs[0].name in {each.name for each in large.runs}


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6), st.booleans())
def test_draws_lie_between_their_ends_and_do_not_move_each_other(seed, draws, log):
    draw = {"learning_rate": Draw("0.001", "0.1", log=log), "depth": Draw(2, 8, log=log)}
    plan = plan_sweep("eeqdm", SMALL, draw=draw, draws=draws, seed=seed)
    assert len(plan.runs) == draws
    for each in values(plan):
        assert 0.001 <= each["learning_rate"] <= 0.1
        assert each["depth"] in range(2, 9)
    alone = {"learning_rate": draw["learning_rate"]}
    again = plan_sweep("eeqdm", SMALL, draw=alone, draws=draws + 1, seed=seed)
    assert [v["learning_rate"] for v in values(again)[:draws]] == [
        v["learning_rate"] for v in values(plan)
    ]


@pytest.mark.parametrize("log", [False, True])
def test_draws_are_even_or_even_in_the_logarithm(log):
    scale = math.log if log else float
    drawn = [scale(_between(stream(3, "work", k), 0.001, 1.0, log=log)) for k in range(2000)]
    low, high = scale(0.001), scale(1.0)
    deviation = (high - low) / math.sqrt(12 * 2000)
    assert abs(sum(drawn) / 2000 - (low + high) / 2) < 4 * deviation


@pytest.mark.parametrize("log", [False, True])
def test_whole_numbers_are_drawn_with_both_ends(log):
    drawn = {_between(stream(3, "work", k), 2, 5, log=log) for k in range(200)}
    assert drawn == {2, 3, 4, 5}


def test_a_list_is_drawn_from_with_each_value_possible():
    draw = {"optimizer": ["adam", "spsa"], "depth": Draw(2, 3)}
    drawn = values(plan_sweep("eeqdm", SMALL, draw=draw, draws=12))
    assert {v["optimizer"] for v in drawn} == {"adam", "spsa"}
    assert {v["depth"] for v in drawn} == {2, 3}
    assert len(drawn) == 4, "each point once, however often it was drawn"


def test_a_grid_that_names_no_option_says_the_nearest():
    with pytest.raises(InvalidOption, match="Did you mean 'depth'"):
        plan_sweep("eeqdm", grid={"dept": [1]})
    with pytest.raises(InvalidOption, match="Did you mean 'learning_rate'"):
        plan_sweep("eeqdm", draw={"learning_rat": Draw(0, 1)}, draws=1)
    with pytest.raises(UnknownName, match="Did you mean 'eeqdm'"):
        plan_sweep("eeqdn", grid={"depth": [1]})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"grid": {"depth": ["1", "a"]}}, "depth is a whole number, got 'a'"),
        ({"grid": {"depth": [1, "1"]}}, "one and the same"),
        ({"grid": {"depth": []}}, "grid takes a list of values"),
        ({"grid": {"depth": "12"}}, "grid takes a list of values"),
        ({"grid": {"seed": [1]}}, "a sweep sets seed by its own seeds"),
        ({"settings": {"seed": 1}}, "a sweep sets seed by its own seeds"),
        ({"settings": {"depth": 1}, "grid": {"depth": [1]}}, "'depth' is set twice"),
        ({"grid": {"depth": [1]}, "draw": {"depth": [1]}, "draws": 1}, "'depth' is set twice"),
        ({"draw": {"depth": Draw(4, 2)}, "draws": 1}, "LOW < HIGH for 'depth', got 4 and 2"),
        ({"draw": {"guided": Draw("no", "yes")}, "draws": 1}, "draw takes numbers"),
        ({"draw": {"weight_decay": Draw(0, 1, log=True)}, "draws": 1}, "0 < LOW < HIGH"),
        ({"draw": {"depth": Draw(1, 2)}}, "draws is a whole number of at least 1, got 0"),
        ({"draws": 2}, "draws nothing"),
        ({"seeds": 0}, "seeds is a whole number"),
        ({"seeds": MOST_RUNS + 1}, f"at most {MOST_RUNS} runs"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_before_a_run_begins(arguments, words):
    shared = {**SMALL, **arguments.get("settings", {})}
    others = {name: value for name, value in arguments.items() if name != "settings"}
    with pytest.raises(InvalidOption, match=words):
        plan_sweep("eeqdm", shared, **others)


@pytest.mark.parametrize("text", ["1", "1:", ":2", "1:2:lin", "1:2:log:3", ""])
def test_text_that_is_no_draw_is_refused(text):
    with pytest.raises(InvalidOption, match="LOW:HIGH"):
        Draw.from_text(text)
    assert Draw.from_text("1 : 2:log") == Draw("1", "2", log=True)
