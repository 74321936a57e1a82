"""Cards from JSON: what is read, and the one line that each mistake gets."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from qdm_qiskit.errors import InvalidData
from qdm_qiskit.reproduction import card_from_dict, read_card

WHOLE: dict[str, Any] = {
    "schema": "qdm-reproduction-card/1",
    "name": "mine-losses",
    "paper": "mine",
    "source": {"citation": "Nobody (2026)", "section": "table 1", "basis": "text"},
    "claim": "The loss is low.",
    "figures": [
        {
            "name": "angles",
            "theirs": 18,
            "check": {"check": "model", "model": "eeqdm", "count": "parameters"},
        },
        {
            "name": "loss",
            "theirs": "below 1",
            "accept": [None, 1],
            "measured": {"file": "mine.json", "at": ["runs", "*", "loss"], "seeds": [0, 1]},
            "reading": {"run": "small", "metric": "test_loss", "epoch": 1},
        },
    ],
    "trainings": {"small": {"minutes": {"model": "eeqdm", "epochs": 1, "options": {"depth": 1}}}},
    "verdict": "reproduced",
    "command": "qdm reproduce mine.json",
}


def changed(way: list[Any], value: Any) -> dict[str, Any]:
    """The whole card with one entry replaced, or removed where the value is None."""
    card = copy.deepcopy(WHOLE)
    place: Any = card
    for step in way[:-1]:
        place = place[step]
    if value is None:
        del place[way[-1]]
    else:
        place[way[-1]] = value
    return card


def test_a_card_is_read_as_it_stands():
    card = card_from_dict(WHOLE)
    assert [each.name for each in card.figures] == ["angles", "loss"]
    assert card.figures[0].accepted == (18, 18)
    assert card.figures[1].accepted == (float("-inf"), 1)
    assert card.trainings["small"]["minutes"].seeds == (0,)
    assert card.computes
    assert card.file is None
    html = card._repr_html_()
    assert "The loss is low." in html
    assert "<script>" not in card_from_dict(changed(["claim"], "<script>"))._repr_html_()


@pytest.mark.parametrize(
    ("way", "value", "words"),
    [
        (["schema"], "qdm-card/9", "its schema is 'qdm-card/9', not 'qdm-reproduction-card/1'"),
        (["claim"], None, "the card has no `claim`"),
        (["extra"], 1, "the card has no field called 'extra'"),
        (["name"], "My Card", "name must be a name of lower-case letters"),
        (["claim"], "two\nlines", "claim must be one line"),
        (["claim"], "x" * 2001, "claim must be one line of at most 2000"),
        (["source"], "table 1", "source must be an object, got 'table 1'"),
        (["source", "basis"], "hearsay", "source.basis is 'hearsay'; it is one of: text,"),
        (["verdict"], "true", "verdict is 'true'; it is one of: reproduced, refuted"),
        (["verdict"], ["refuted"], "verdict is a list of 1 entries; it is one of"),
        (["verdict"], "refuted", "`why` must say the reason"),
        (["verdict"], "not run", "its verdict is 'not run', but figure 'angles' has ours"),
        (["command"], None, "`command` must say what gets our figures"),
        (["figures"], {}, "figures must be a list"),
        (["figures"], [], "each figure needs a `check` or `measured`"),
        (["figures", 1, "name"], "angles", "two figures have the name 'angles'"),
        (["figures", 0, "theirs"], True, r"figures\[0\].theirs must be a number, got True"),
        (["figures", 0, "theirs"], 1e300, r"figures\[0\].theirs must be a number of at"),
        (["figures", 0, "theirs"], "many", "is words: `accept` must say which of ours agree"),
        (["figures", 0, "within"], -1, r"figures\[0\].within must be a number of at least 0"),
        (["figures", 1, "within"], 1, "has `within` and `accept`; give one"),
        (["figures", 1, "accept"], [2, 1], "must have its lower end first"),
        (["figures", 1, "accept"], [1], r"must be \[low, high\]"),
        (["figures", 0, "check", "check"], "modle", "check is 'modle'; there are: model, circuit"),
        (["figures", 0, "check", "count"], None, r"figures\[0\].check has no `count`"),
        (["figures", 0, "check", "depth"], 3, r"figures\[0\].check has no field called 'depth'"),
        (["figures", 0, "check", "options"], [1], "check.options must be an object of options"),
        (["figures", 0, "check", "options"], {"a b": 1}, "has no option called 'a b'"),
        (["figures", 0, "measured"], {"file": "a.json", "at": ["a"]}, "has a `check` and also"),
        (["figures", 0, "timing"], {}, r"figures\[0\] has a `timing` and also `check`"),
        (["figures", 1, "measured", "file"], "../a.json", "name of a .json file, without a folder"),
        (["figures", 1, "measured", "file"], "/etc/a.json", "without a folder"),
        (["figures", 1, "measured", "at"], [], "measured.at must be a list of 1 to 1000"),
        (["figures", 1, "measured", "at"], [1.5], "must be a whole number from 0"),
        (["figures", 1, "measured", "at"], [{}], "has an empty object"),
        (["figures", 1, "measured", "low"], ["a"], "has one of `low` and `high`"),
        (["figures", 1, "measured", "seeds"], [0, 0], "names a seed twice"),
        (["figures", 1, "reading", "run"], "large", "run is 'large'; `trainings` has: small"),
        (["figures", 1, "reading", "epoch"], 0, "epoch must be a whole number from 1"),
        (["trainings", "small"], {}, "trainings.small must have `minutes`, `full` or both"),
        (["trainings", "small", "hours"], {}, "trainings.small has no field called 'hours'"),
        (["trainings", "small", "minutes", "epochs"], 0, "epochs must be a whole number from 1"),
        (["trainings", "small", "minutes", "options"], {"seed": 1}, "has no option called 'seed'"),
    ],
)
def test_a_mistake_gets_one_line_that_names_the_field(way, value, words):
    with pytest.raises(InvalidData, match=words) as caught:
        card_from_dict(changed(way, value))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_timings_are_read_and_their_mistakes_named():
    card = changed(["figures", 1, "reading"], None)
    timing: dict[str, Any] = {"model": "eeqdm", "over": "qddm", "options": {"depth": 1}}
    card["figures"][1]["timing"] = timing
    read = card_from_dict(card).figures[1].timing
    assert read is not None
    assert (read.model, read.over, read.options, read.over_options) == (
        "eeqdm",
        "qddm",
        {"depth": 1},
        {},
    )
    for wrong, words in (
        ({"model": "eeqdm"}, r"figures\[1\].timing has no `over`"),
        ({**timing, "rounds": 3}, r"timing has no field called 'rounds'"),
        ({**timing, "options": {"seed": 1}}, "timing.options has no option called 'seed'"),
    ):
        card["figures"][1]["timing"] = wrong
        with pytest.raises(InvalidData, match=words):
            card_from_dict(card)


def test_a_file_that_is_no_card_is_named(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({**WHOLE, "verdict": "yes"}))
    with pytest.raises(InvalidData, match=r"mine\.json is no reproduction card: verdict is 'yes'"):
        read_card(path)
    path.write_text("[" * 100_000)
    with pytest.raises(InvalidData, match="nested too deeply"):
        read_card(path)
    path.write_text(json.dumps(WHOLE))
    assert read_card(path).file == path


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every entry of JSON values."""
    found = [way] if way else []
    if isinstance(value, dict):
        return found + [each for key in value for each in places(value[key], (*way, key))]
    if isinstance(value, list):
        return found + [each for k in range(len(value)) for each in places(value[k], (*way, k))]
    return found


def refusal(card: dict[str, Any]) -> str | None:
    """The error that a card gets, None if it is read."""
    try:
        card_from_dict(card)
    except InvalidData as error:
        return str(error)
    return None


STRANGE = [
    *(None, 0, -1, 2**40, 1e15, 0.5, True, "", "x", "*", "\u00e4\u202e\x00", "y" * 10**5),
    *([], [[]], [None] * 2000, {}, {"a": {}}, {"check": []}, {"model": [1]}),
]


@pytest.mark.parametrize("way", places(WHOLE), ids=str)
def test_whatever_stands_at_a_place_is_read_or_gets_one_line(way):
    refused = []
    for value in STRANGE:
        card = copy.deepcopy(WHOLE)
        place: Any = card
        for step in way[:-1]:
            place = place[step]
        place[way[-1]] = value
        said = refusal(card)
        if said is not None:
            refused.append(said)
    assert refused, "every value is taken here"
    for line in refused:
        assert line.isprintable(), line
        assert len(line) < 700
