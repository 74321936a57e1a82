"""Times of steps in turn: what a clock of the test counts, and what a card makes of it."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch

from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.reproduction import Timing, all_cards, judge
from qdm_qiskit.reproduction.reproduce import reproduce_card
from qdm_qiskit.reproduction.timing import ROUNDS, in_turn, quantiles, timed, training_step

SMALL = {"image_size": 2, "depth": 1}


def test_steps_take_turns_and_the_first_round_is_not_counted():
    now, order = [0.0], []

    def step(name, seconds):
        def run():
            order.append(name)
            now[0] += 100 if len(order) < 3 else seconds

        return run

    taken = in_turn({"a": step("a", 2), "b": step("b", 8)}, 3, clock=lambda: now[0])
    assert order == ["a", "b"] * 4
    assert taken == {"a": [2, 2, 2], "b": [8, 8, 8]}


def test_middle_and_ends_of_rounds():
    assert quantiles([float(k) for k in range(1, 41)]) == (20.5, 3.0, 38.0)
    assert quantiles([3.0]) == (3.0, 3.0, 3.0)


def test_a_ratio_is_of_the_models_steps(monkeypatch):
    """A clock that moves by 3 at each reading of the first model's step and by 12 at the other's."""
    monkeypatch.setitem(ROUNDS, "minutes", 4)
    moved = itertools.accumulate(itertools.cycle([0, 3, 0, 12]))
    counted = itertools.chain(
        [0, 3], moved
    )  # the round that is not counted is read at its begin only
    pair = Timing(model="eeqdm", over="qddm", options=SMALL, over_options=SMALL)
    threads = torch.get_num_threads()
    found = timed(pair, clock=lambda: float(next(counted)))
    assert found.value == pytest.approx(0.25)
    assert (found.low, found.high) == pytest.approx((0.25, 0.25))
    assert torch.get_num_threads() == threads


def test_a_step_trains():
    step = training_step("eeqdm", SMALL)
    model = dict(
        zip(step.__code__.co_freevars, [c.cell_contents for c in step.__closure__], strict=True)
    )["denoiser"]
    before = model.layer.weights.detach().clone()
    step()
    assert not torch.equal(before, model.layer.weights)


def test_models_of_other_values_are_refused():
    with pytest.raises(InvalidOption, match="'quddpm' learns other values"):
        training_step("quddpm", {})


def test_a_card_is_timed(monkeypatch):
    monkeypatch.setitem(ROUNDS, "minutes", 2)
    card = all_cards()["eeqdm-faster"]
    small = Timing(model="eeqdm", over="qddm", options=SMALL, over_options=SMALL)
    figures = [dataclasses.replace(card.figures[0], timing=small)]
    found = reproduce_card(dataclasses.replace(card, figures=tuple(figures)), folder="unused")
    [each] = found.figures
    assert each.ours.low <= each.ours.value <= each.ours.high
    assert each.agreement == judge(each.figure, each.ours) != "not run"
    wrong = dataclasses.replace(small, options={"nothing": 1})
    card = dataclasses.replace(card, figures=(dataclasses.replace(figures[0], timing=wrong),))
    with pytest.raises(
        InvalidOption, match=r"Figure '.*depth 10' of card 'eeqdm-faster' cannot be"
    ):
        reproduce_card(card, folder="unused")


def test_cards_of_times_have_a_timing_for_each_figure():
    for name in ("eeqdm-faster", "eeqdm-faster-small", "eeqdm-slower-than-classical"):
        card = all_cards()[name]
        assert card.computes
        assert all(each.timing and each.measured for each in card.figures)
