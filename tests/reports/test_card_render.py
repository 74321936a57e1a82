"""Pictures of reproduction cards: EEQDM's figure 2, rows of any other card, and what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from qdm_qiskit.circuits import eeqdm, qddm
from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.reports.card_render import card_picture, check_picture, write_picture
from qdm_qiskit.tasks import reproduce

BEGINS = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


def test_figure_2_has_both_models_weights_and_what_is_saved():
    found = reproduce("eeqdm-reduction")
    axis = card_picture(found).axes[0]
    lines = {line.get_label(): line.get_xydata() for line in axis.get_lines()}
    for name, build in (("EEQDM", eeqdm), ("QDDM", qddm)):
        counted = [(n, len(build(n, 1).weights)) for n in range(8, 19)]
        assert np.array_equal(lines[name], counted)
    saved = [text.get_text() for text in axis.texts]
    assert saved[1] == "40.0 %"
    assert saved[-1] == "47.4 %"
    assert len(axis.collections) == 1, "the part between is shaded"


def test_any_card_has_a_row_for_each_figure():
    found = reproduce("eeqdm-gates")
    axis = card_picture(found).axes[0]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["H", "CNOT", "RZ", "RY"]
    drawn = {(float(x), float(y)) for line in axis.get_lines() for x, y in line.get_xydata()}
    assert {(4, 0), (254, 1), (500, 2), (250, 3)} <= drawn


def test_recorded_intervals_and_ends_that_are_open_are_drawn():
    found = reproduce("eeqdm-psnr-and-loss")
    recorded = dataclasses.replace(
        found,
        figures=tuple(dataclasses.replace(each, recorded=each.ours) for each in found.figures),
    )
    assert card_picture(recorded).axes[0].get_lines()


@pytest.mark.parametrize("form", BEGINS)
def test_files_of_each_form_are_the_same_each_time(tmp_path, form):
    found = reproduce("eeqdm-gates")
    one, two = (write_picture(found, tmp_path / f"{name}.{form}") for name in "ab")
    assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes().startswith(BEGINS[form])


def test_other_files_and_cards_without_numbers_are_refused(tmp_path):
    with pytest.raises(InvalidOption, match=r"ends in .png, .svg, .pdf, got 'figure.jpg'"):
        check_picture(tmp_path / "figure.jpg")
    found = reproduce("eeqdm-gates")
    with pytest.raises(InvalidOption, match="Card 'eeqdm-gates' has no numbers"):
        card_picture(dataclasses.replace(found, figures=()))
