"""What one call makes of a card, for people, programs and notebooks."""

from __future__ import annotations

import dataclasses

import pytest

import qdm_qiskit as qdm
from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.reproduction import all_cards
from qdm_qiskit.tasks import cards, reproduce


def test_a_count_comes_out_as_the_card_says():
    found = qdm.reproduce("eeqdm-gates")
    assert (found.verdict, found.as_the_card_says) == ("reproduced", True)
    assert [each.ours.value for each in found.figures] == [4, 254, 500, 250]
    assert "as the card says" in repr(found)
    html = found._repr_html_()
    assert "CNOT" in html
    assert "254" in html
    assert found.to_dict()["figures"][1]["ours"]["value"] == 254


def test_a_refuted_claim_comes_out_refuted():
    found = reproduce("eeqdm-ssim-gain")
    assert (found.verdict, found.as_the_card_says) == ("refuted", True)


def test_a_card_that_says_otherwise_is_found_out():
    card = all_cards()["eeqdm-gates"]
    figures = (dataclasses.replace(card.figures[0], theirs=5), *card.figures[1:])
    found = reproduce(dataclasses.replace(card, figures=figures))
    assert (found.verdict, found.as_the_card_says) == ("refuted", False)
    assert "the card says reproduced" in repr(found)


def test_options_are_for_trainings_only():
    with pytest.raises(InvalidOption, match="trains nothing, so no option can be set: depth"):
        reproduce("eeqdm-gates", depth=3)


def test_a_check_that_is_refused_names_its_figure():
    card = all_cards()["eeqdm-gates"]
    wrong = {"check": "circuit", "circuit": "eeqdm", "count": ["cx"], "options": {"num_data": 0}}
    figures = (dataclasses.replace(card.figures[0], check=wrong),)
    with pytest.raises(
        InvalidOption, match=r"Figure 'H' of card 'eeqdm-gates' cannot be checked: "
    ):
        reproduce(dataclasses.replace(card, figures=figures))
    unknown = dataclasses.replace(card.figures[0], check={**wrong, "options": {"x": 1}})
    with pytest.raises(InvalidOption, match="cannot be checked"):
        reproduce(dataclasses.replace(card, figures=(unknown,)))


def test_cards_of_a_paper_are_a_table():
    found = cards("qamp")
    assert {card.paper for card in found} == {"qamp"}
    assert len(cards()) > len(found) > 15
    assert "qamp-identity" in found._repr_html_()
    assert found["qamp-identity"].verdict == "refuted"
