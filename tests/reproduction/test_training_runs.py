"""Trainings of a card: run once, read again, compared seed by seed."""

from __future__ import annotations

import dataclasses
import json

import pytest

from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.reproduction import Figure, Reading, card_from_dict
from qdm_qiskit.reproduction.reproduce import reproduce_card
from qdm_qiskit.reproduction.training_runs import Begun, read_figure
from qdm_qiskit.training import read_history
from qdm_qiskit.training.progress import StepDone

TINY = {
    "image_size": 2,
    "depth": 1,
    "num_steps": 2,
    "train_count": 8,
    "test_count": 4,
    "baseline": False,
}


def small_card(**options):
    """A card that trains two models of 6 weights, one epoch, two seeds."""
    arms = {
        model: {
            "minutes": {
                "model": model,
                "epochs": 1,
                "seeds": [0, 1],
                "options": {**TINY, **options},
            },
            "full": {"model": model, "epochs": 2, "options": TINY},
        }
        for model in ("eeqdm", "qddm")
    }
    first, other = ({"run": model, "metric": "test_loss"} for model in arms)
    figures = [
        {"name": "loss", "theirs": "low", "accept": [None, 10], "reading": first},
        {"name": "apart", "theirs": "0", "accept": [-5, 5], "reading": first, "less": other},
        {"name": "later", "theirs": "low", "accept": [None, 10], "reading": {**first, "epoch": 2}},
    ]
    return card_from_dict(
        {
            "schema": "qdm-reproduction-card/1",
            "name": "tiny-loss",
            "paper": "tiny",
            "source": {"citation": "Nobody", "section": "1", "basis": "text"},
            "claim": "It is low.",
            "figures": figures,
            "trainings": arms,
            "verdict": "not run",
            "why": "A test.",
            "command": "qdm reproduce tiny.json",
        }
    )


def test_minutes_train_each_seed_once_and_read_it_again(tmp_path):
    card, heard = small_card(), []
    found = reproduce_card(card, folder=tmp_path, progress=heard.append)
    loss, apart, later = found.figures
    losses = {
        model: [read_history(tmp_path / f"{model}-seed-{seed}")[0]["test_loss"] for seed in (0, 1)]
        for model in ("eeqdm", "qddm")
    }
    assert loss.ours.value == pytest.approx(sum(losses["eeqdm"]) / 2)
    assert loss.ours.seeds == (0, 1)
    assert loss.ours.low < loss.ours.value < loss.ours.high
    differences = [a - b for a, b in zip(losses["eeqdm"], losses["qddm"], strict=True)]
    assert apart.ours.value == pytest.approx(sum(differences) / 2)
    assert later.ours is None, "one epoch does not reach the second"
    assert found.verdict == "not run"
    assert any(isinstance(each, StepDone) for each in heard)
    assert len([each for each in heard if isinstance(each, Begun)]) == 4
    heard.clear()
    again = reproduce_card(card, folder=tmp_path, progress=heard.append)
    assert again.figures[0].ours == loss.ours
    assert not any(isinstance(each, StepDone) for each in heard), "it was trained again"
    with pytest.raises(InvalidOption):
        reproduce_card(small_card(learning_rate=0.5), folder=tmp_path)
    json.dumps(again.to_dict(), allow_nan=False)


def test_full_trains_longer_and_options_replace_the_cards(tmp_path):
    found = reproduce_card(small_card(), scale="full", folder=tmp_path, options={"depth": "2"})
    assert found.figures[2].ours is not None
    assert found.verdict == "reproduced"
    content = json.loads((tmp_path / "eeqdm-seed-0" / "config.json").read_text())
    assert content["model_options"]["depth"] == 2
    assert "full" in found._repr_html_()


def test_a_metric_that_is_not_there_is_named():
    card = small_card()
    rows = {"eeqdm": [({"test_loss": 1.0},)], "qddm": [({"test_loss": 1.0},)]}
    figure = dataclasses.replace(card.figures[0], reading=Reading(run="eeqdm", metric="fid"))
    with pytest.raises(InvalidData, match="no metric 'fid'; it has: test_loss"):
        read_figure(figure, card, "minutes", rows)
    uneven = {"eeqdm": rows["eeqdm"] * 2, "qddm": rows["qddm"]}
    with pytest.raises(InvalidData, match="compares runs of different seeds"):
        read_figure(card.figures[1], card, "minutes", uneven)
    assert isinstance(figure, Figure)


def test_a_training_that_is_stopped_goes_on(tmp_path, monkeypatch):
    from qdm_qiskit.reproduction import training_runs

    whole = training_runs.train

    def stopped(*given, **named):
        return dataclasses.replace(whole(*given, **named), interrupted=True)

    monkeypatch.setattr(training_runs, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        reproduce_card(small_card(), folder=tmp_path)
    monkeypatch.undo()
    assert reproduce_card(small_card(), folder=tmp_path).figures[0].ours is not None
