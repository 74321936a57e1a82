"""Cards as Markdown, and the pages that hold them."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from qdm_qiskit.errors import InvalidData
from qdm_qiskit.reproduction import Found, all_cards, card_from_dict
from qdm_qiskit.reproduction.pages import cards_of_paper, summary, with_block
from tests.helpers import ROOT
from tests.reproduction.test_reader import WHOLE, changed


def test_the_pages_are_what_the_cards_make(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    spec = importlib.util.spec_from_file_location("cards", ROOT / "benchmarks" / "cards.py")
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "cards", script)
    spec.loader.exec_module(script)
    stale = [
        str(page) for page, text in script.recorded_pages().items() if page.read_text() != text
    ]
    assert stale == [], "run `make cards`"
    assert set(script.PAPERS) == {card.paper for card in all_cards()}


def test_a_row_has_theirs_beside_ours():
    card = card_from_dict(WHOLE)
    ours = {
        card.name: {
            "angles": Found(value=19),
            "loss": Found(value=0.5, seeds=(0, 1), file="a.json"),
        }
    }
    row = cards_of_paper([card], ours).splitlines()[2].replace("\N{NO-BREAK SPACE}", " ")
    assert "angles: 18 / 19 (differs)<br>loss: below 1 / 0.5 |" in row
    assert row.startswith(
        "| `mine-losses`: **reproduced**<br>The loss is low. *Nobody (2026), table 1*"
    )
    assert "From benchmarks/results/a.json, seeds 0, 1. `qdm reproduce mine.json` |" in row
    assert "angles:\N{NO-BREAK SPACE}18\N{NO-BREAK SPACE}/" in cards_of_paper([card], {})


def test_text_of_a_card_is_no_markup():
    card = card_from_dict(changed(["claim"], "a | b <script> *c*"))
    assert r"a \| b \<script\> \*c\*" in cards_of_paper([card], {})


def test_verdicts_are_counted_by_paper():
    text = summary([card_from_dict(WHOLE)])
    assert "| mine | 1 |  |  |  |  |" in text
    assert "| all | 1 | 0 | 0 | 0 | 0 |" in text


def test_a_block_is_replaced_and_the_rest_stays():
    page = "a\n<!-- x -->\nold\n<!-- end of x -->\nb\n"
    once = with_block(page, "x", "new\n")
    assert once == "a\n<!-- x -->\n\nnew\n\n<!-- end of x -->\nb\n"
    assert with_block(once, "x", "new\n") == once
    with pytest.raises(InvalidData, match="The page has no lines '<!-- y -->'"):
        with_block(page, "y", "new")
