"""`qdm reproduce`: the list, one card, and what mistakes get."""

from __future__ import annotations

import json

import pytest

from tests.reproduction.test_reader import WHOLE


def test_the_list_names_every_card(qdm):
    result = qdm("reproduce", "--json")
    assert (result.code, result.err) == (0, "")
    rows = json.loads(result.out)
    assert len(rows) > 80
    assert {row["verdict"] for row in rows} == {
        "reproduced",
        "refuted",
        "undecided",
        "not run",
        "not checkable",
    }
    one = next(row for row in rows if row["card"] == "eeqdm-depth")
    assert one["figures"][0]["ours"]["seeds"] == [0, 1, 2]
    assert one["source"]["section"] == "table 1, figure 5"
    shown = qdm("reproduce", "--paper", "koelle")
    assert "koelle-qu-net" in shown.out
    assert "eeqdm-depth" not in shown.out


def test_a_card_is_run_and_compared(qdm):
    result = qdm("reproduce", "eeqdm-gates")
    assert (result.code, result.err) == (0, "")
    assert "reproduced, as the card says" in result.out
    found = json.loads(qdm("reproduce", "eeqdm-gates", "--json").out)
    assert [each["ours"]["value"] for each in found["figures"]] == [4, 254, 500, 250]
    assert found["as_the_card_says"] is True


def test_a_card_that_is_wrong_ends_with_code_1(qdm, tmp_path):
    content = {**WHOLE, "figures": WHOLE["figures"][:1], "trainings": {}}
    content["figures"][0]["check"]["options"] = {"image_size": 4, "depth": 2}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(content))
    assert qdm("reproduce", path).code == 0
    path.write_text(json.dumps({**content, "figures": [{**content["figures"][0], "theirs": 19}]}))
    result = qdm("reproduce", path)
    assert result.code == 1
    assert "refuted, but the card says reproduced" in result.out


def test_a_card_that_was_not_run_says_how(qdm):
    result = qdm("reproduce", "koelle-cifar")
    assert result.code == 0
    assert "the card says not run" in result.out
    assert "to run it: qdm train --preset koelle-dense-L50" in result.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["eeqdm-gate"], "There is no reproduction card 'eeqdm-gate'"),
        (["none.json"], "There is no reproduction card at none.json"),
        (["--paper", "eqdm"], "There is no paper 'eqdm'"),
        (["--full"], "name one of `qdm reproduce`"),
        (["eeqdm-gates", "--paper", "eeqdm"], "--paper lists cards"),
        (["eeqdm-gates", "--set", "depth=3"], "trains nothing, so no option can be set: depth"),
        (["eeqdm-depth", "--set", "dpth=3"], "dpth"),
    ],
)
def test_a_mistake_gets_one_line(qdm, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    result = qdm("reproduce", *arguments)
    assert result.code == 2
    assert words in result.err.splitlines()[-1]
    assert result.err.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in result.err


def test_a_card_is_drawn(qdm, tmp_path):
    result = qdm("reproduce", "eeqdm-reduction", "--picture", tmp_path / "figure2.svg")
    assert (result.code, result.err) == (0, "")
    assert "written" in result.out
    assert (tmp_path / "figure2.svg").read_text().startswith("<?xml")
    refused = qdm("reproduce", "eeqdm-reduction", "--picture", tmp_path / "figure2.txt")
    assert refused.code == 2
    assert "ends in .png, .svg, .pdf" in refused.err
    assert qdm("reproduce", "--picture", "x.svg").code == 2
