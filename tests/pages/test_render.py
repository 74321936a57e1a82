"""A page is one file that needs nothing else, whatever the names on it are."""

from __future__ import annotations

import base64
import hashlib
import io
import re

import numpy as np
import pytest
from PIL import Image

from qdm_qiskit.data import grid_png
from qdm_qiskit.pages import (
    Bars,
    Chain,
    Chart,
    Chip,
    Coupler,
    Curve,
    Dots,
    Images,
    Mark,
    Notes,
    Page,
    Panel,
    Picture,
    Qubit,
    Section,
    Strip,
    Table,
    render_page,
)
from tests.pages.reading import assert_self_contained, read_page

NAMES = (
    "</title></style></script><b>bold</b>",
    '" onclick="x" y=\'',
    "{{ 7 * 7 }}{% raw %}",
    "a & b &amp; <!-- c -->",
    "</svg><image href='x.png'>",
)


def whole(name: str) -> Page:
    """A page with every kind of part, on which everything has this name."""
    png = grid_png(np.zeros((3, 1, 2, 2)), columns=1, scale=1)
    parts = [
        Notes([name, f"Warning: {name}"]),
        Table([name, "", "n"], [[name, 1.5, None], ["b", "-", "2 [1, 3]"]], name),
        Chart(name, name, name, [Curve(name, [1, 2, 3], [0.1, 2.0, 30.0])], log=True),
        Bars(name, [name, "b"], [(name, [1.0, None]), ("c", [2.0, 3.0])]),
        Bars(name, [name], [(name, [1.0]), ("c", [2.0])], stacked=True),
        Dots(name, [name], [Panel(name, [Mark(0, 1.0, 0.5, 2.0)])], [name]),
        Images([Picture(png, name, name)]),
        Chain(name, [Strip(name, png, 2, 2, 3, 3)], [name, "1", "0"], [name, name, name]),
        Chip(name, [Qubit(0, 0, 0, 0.1, name, name), Qubit(1, 1, 0, None)], [Coupler(0, 1, 0.2)]),
    ]
    return Page(name, name, [Section(name, parts), Section("again", parts)])


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_text_wherever_it_stands(name):
    plain, hostile = (render_page(whole(each)) for each in ("name", name))
    found = assert_self_contained(hostile)
    # The same elements with the same attributes: nothing of the name has become markup.
    assert [(tag, list(attrs)) for tag, attrs in found.elements] == [
        (tag, list(attrs)) for tag, attrs in read_page(plain).elements
    ]
    # Title, heading, section, both notes, caption, cell and so on: each has the name whole.
    assert found.words().count(" ".join(name.split())) >= 20
    assert found.words().count("name") < 20


def test_the_policy_allows_this_script_and_style_and_no_other():
    text = render_page(whole("a"))
    policy = read_page(text).all("meta")[1]["content"]
    for tag in ("style", "script"):
        inner = re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_a_page_is_the_same_again():
    assert render_page(whole("a")) == render_page(whole("a"))


def test_an_empty_page_and_empty_parts_can_be_drawn():
    parts = [
        Notes([]),
        Table(["a"], []),
        Chart("c", "x", "y", []),
        Chart("c", "x", "y", [Curve("all are nan", [1, 2], [float("nan")] * 2)], log=True),
        Bars("b", [], []),
        Dots("d", ["a"], [Panel("p", [])]),
        Images([]),
    ]
    assert_self_contained(render_page(Page("t", "", [Section("s", parts)])))


def test_cells_have_the_key_that_they_are_ordered_by():
    cells = ["7", "1,204 [1, 3]", "98.5%", "-0.5 ± 1", 3, "2e-3", "-", None, "4x4", "7ff3", "a 1"]
    text = render_page(Page("t", "", [Section("s", [Table(["x"], [[each] for each in cells])])]))
    keys = [attrs.get("data-key") for attrs in read_page(text).all("td")]
    assert keys == ["7.0", "1204.0", "98.5", "-0.5", "3.0", "0.002", *[None] * 5]


def test_a_long_curve_is_thinned_and_keeps_its_peaks():
    y = np.ones(50_000)
    y[12_345], y[44_444] = 9.0, 0.5
    chart = Chart("c", "x", "y", [Curve("long", np.arange(50_000.0), y)])
    text = render_page(Page("t", "", [Section("s", [chart])]))
    assert len(text) < 60_000
    points = re.search(r'<polyline points="([^"]+)"', text)[1].split()
    assert 300 < len(points) <= 1001
    heights = [float(each.split(",")[1]) for each in points]
    # A share of 0.04 is left free at each end of the axis.
    assert min(heights) == pytest.approx(1000 * 0.04 / 1.08, abs=0.1)
    assert max(heights) == pytest.approx(1000 * 1.04 / 1.08, abs=0.1)
    assert "points are drawn" in text


def test_many_curves_stay_small_and_those_beyond_eight_are_named_by_number():
    curves = [Curve(f"run {k}", np.arange(1000.0), np.full(1000, 1.0 + k)) for k in range(300)]
    text = render_page(Page("t", "", [Section("s", [Chart("c", "x", "y", curves)])]))
    assert len(text) < 1_500_000
    assert "292 more" in text


def test_gaps_part_a_curve_and_a_lone_point_is_a_point():
    y = [1.0, 2.0, float("nan"), 3.0, float("inf"), 4.0, 5.0]
    chart = Chart("c", "x", "y", [Curve("a", range(7), y)])
    found = read_page(render_page(Page("t", "", [Section("s", [chart])])))
    assert [len(each["points"].split()) for each in found.all("polyline")] == [2, 2]
    assert len([each for each in found.all("path") if each.get("class") == "point"]) == 1


def test_frames_of_a_strip_lie_where_the_slider_looks():
    frames = np.stack([np.full((1, 2, 2), v) for v in (0.0, 0.5, 1.0)])
    png = grid_png(frames, columns=1, scale=1)
    chain = Chain("c", [Strip("s", png, 2, 2, 3, 3)], ["2", "1", "0"])
    found = read_page(render_page(Page("t", "", [Section("s", [chain])])))
    [image] = found.all("image")
    with Image.open(io.BytesIO(base64.b64decode(image["href"].partition(",")[2]))) as opened:
        pixels = np.asarray(opened.convert("L"))
    assert (int(image["width"]), int(image["height"])) == pixels.shape[::-1]
    first, *film = [each["viewbox"].split() for each in found.all("svg")]
    assert first == ["0", "6", "2", "2"]  # the last frame, as the slider stands
    for k, (_, top, _, height) in enumerate(film):
        shown = pixels[int(top) : int(top) + int(height)]
        assert np.all(shown == np.rint(255 * k / 2))


def test_errors_are_colours_and_used_qubits_stand_out():
    qubits = [
        Qubit(k, k, 0, error, role)
        for k, (error, role) in enumerate([(0.001, "0"), (0.01, "1"), (0.1, ""), (None, "")])
    ]
    couplers = [Coupler(0, 1, 0.002, uses=5), Coupler(1, 2, 0.02), Coupler(2, 3, 1.0)]
    found = read_page(render_page(Page("t", "", [Section("s", [Chip("c", qubits, couplers)])])))
    fills = [each["fill"] for each in found.all("circle")]
    assert fills == ["#2c7bb6", "#ffffbf", "#d7191c", "#9a9a9a"]
    groups = [each["class"] for each in found.all("g")]
    assert groups == [
        *("coupler used", "coupler", "coupler dead"),
        *("qubit used dark", "qubit used", "qubit dark", "qubit"),
    ]
    assert "5 two-qubit gates of this circuit" in found.words()
    assert "gate error 1: does not work" in found.words()
