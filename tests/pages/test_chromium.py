"""Pages in a browser: no script error, nothing fetched, and what is clicked does what it should."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from qdm_qiskit.data import grid_png
from qdm_qiskit.pages import Chain, Chart, Curve, Page, Section, Strip, Table, render_page
from qdm_qiskit.pages.scales import fitting_scale, tick_values
from tests.pages.browser import CHROMIUM, browser
from tests.pages.test_render import NAMES, whole

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def opened(chromium, tmp_path):
    """Open a page; when the test ends it has had no error and has asked for no other file."""

    def open_(page: Page, **options: object):
        path = tmp_path / "page.html"
        path.write_text(render_page(page), encoding="utf-8")
        chromium.open(path, **options)
        return chromium

    yield open_
    assert chromium.errors == []
    asked = [each for each in chromium.requests if not each.startswith("data:image/png")]
    assert asked == [(tmp_path / "page.html").as_uri()]


def page_of(*parts: object) -> Page:
    return Page("t", "THE-SENTENCE", [Section("s", parts)])


def test_this_test_sees_errors_and_requests(chromium, tmp_path):
    path = tmp_path / "bad.html"
    path.write_text("<img src='none.png'><script>missing()</script>")
    chromium.open(path)
    assert any("missing is not defined" in each for each in chromium.errors)
    assert any("none.png" in each for each in chromium.requests)


@pytest.mark.parametrize("name", ["a name", *NAMES])
def test_no_part_has_an_error_and_light_is_not_dark(opened, name):
    grounds = []
    for dark in (False, True):
        found = opened(whole(name), dark=dark)
        with Image.open(io.BytesIO(found.picture())) as picture:
            pixels = np.asarray(picture.convert("L"))
        assert len(np.unique(pixels)) > 20
        grounds.append(float(np.median(pixels)))
    assert grounds[0] > 200
    assert grounds[1] < 60
    assert found.run("document.title") == " ".join(name.split())


def test_what_a_name_smuggles_in_does_not_run(chromium, tmp_path):
    # As if the templates had not escaped it: the policy is the second wall.
    smuggled = "<b onclick='done = 1' id='b'>b</b><script>done = 2</script>"
    text = render_page(page_of()).replace("THE-SENTENCE", smuggled)
    path = tmp_path / "page.html"
    path.write_text(text)
    chromium.open(path)
    chromium.run("document.getElementById('b').click()")
    assert chromium.run("typeof done") == "undefined"
    assert any("Content Security Policy" in each for each in chromium.errors)


def test_a_click_orders_a_table(opened):
    cells = ["10 [9, 11]", "9", "-", "1,200", "-3"]
    found = opened(page_of(Table(["n", "word"], [[c, f"w{len(c)}"] for c in cells])))
    column = "[...document.querySelectorAll('tbody tr')].map(row => row.cells[0].textContent)"
    seen = []
    for _ in range(3):
        found.run("document.querySelector('th button').click()")
        seen.append(found.run(column))
    assert seen == [
        ["-3", "9", "10 [9, 11]", "1,200", "-"],
        ["1,200", "10 [9, 11]", "9", "-3", "-"],
        cells,
    ]
    found.run("document.querySelectorAll('th button')[1].click()")
    words = found.run(column.replace("cells[0]", "cells[1]"))
    assert words == ["w1", "w1", "w2", "w5", "w10"]  # numbers inside words count as numbers
    assert found.run("document.querySelector('th').ariaSort") == "none"


TICKS = "[...document.querySelectorAll('.{}-ticks text')].map(each => Number(each.textContent))"
VIEW = "document.querySelector('.plot').getAttribute('viewBox').split(' ').map(Number)"


@pytest.mark.parametrize("log", [False, True])
def test_a_chart_zooms_and_its_ticks_are_those_of_python(opened, log):
    x, y = np.arange(1.0, 201.0), np.geomspace(3e-4, 7.0, 200)
    found = opened(page_of(Chart("c", "x", "y", [Curve("a", x, y)], log=log)))
    written = [found.run(TICKS.format(axis)) for axis in "xy"]
    found.run("document.querySelectorAll('button[data-zoom]')[2].click()")  # draws the whole anew
    assert [found.run(TICKS.format(axis)) for axis in "xy"] == written
    found.run("document.querySelector('button[data-zoom]').click()")
    assert found.run(VIEW) == [250, 250, 500, 500]
    for axis, scale in (
        ("x", fitting_scale(x, margin=0.02)),
        ("y", fitting_scale(y, log=log)),
    ):
        bent = np.log10 if log and axis == "y" else np.asarray
        low, high = bent(scale.low), bent(scale.high)
        ends = [low + (high - low) * share for share in (0.25, 0.75)]
        ends = [10**each for each in ends] if log and axis == "y" else ends
        wanted = tick_values(*ends, log=log and axis == "y")
        assert found.run(TICKS.format(axis)) == pytest.approx(wanted, rel=1e-3)
    box = json.loads(
        found.run("JSON.stringify(document.querySelector('.frame').getBoundingClientRect())")
    )
    found.run("document.querySelectorAll('button[data-zoom]')[2].click()")
    left, top = box["left"] + box["width"] / 4, box["top"] + box["height"] / 2
    found.mouse("mousePressed", left, top)
    found.mouse("mouseMoved", left + 20, top + 20)
    found.mouse("mouseReleased", left + box["width"] / 2, top + box["height"] / 4)
    assert found.run(VIEW) == pytest.approx([250, 500, 500, 250], abs=6)
    found.run("document.querySelector('.axes').dispatchEvent(new MouseEvent('dblclick'))")
    assert found.run(VIEW) == [0, 0, 1000, 1000]


def test_a_slider_shows_the_frame_and_says_it(opened):
    found = opened(whole("a name"))
    found.run(
        "const s = document.querySelector('input'); s.value = 1; s.dispatchEvent(new Event('input'))"
    )
    assert found.run("document.querySelector('.now svg').getAttribute('viewBox')") == "0 3 2 2"
    assert found.run("document.querySelector('output').textContent") == "1"


def test_a_page_of_a_narrow_screen_does_not_scroll_sideways(opened):
    found = opened(whole("a name"), width=400)
    assert found.run("document.documentElement.scrollWidth") <= 400


def test_a_frame_has_its_own_shape_on_every_screen(opened):
    # Beside a frame of another shape its neighbours of the strip would be seen.
    png = grid_png(np.zeros((6, 1, 2, 40)), columns=2, scale=1)
    chain = Chain("c", [Strip("wide", png, 81, 2, 3, 3)], ["2", "1", "0"])
    for width in (1280, 400):
        found = opened(page_of(chain), width=width)
        shapes = found.run(
            "[...document.querySelectorAll('svg')].map(s => { const b = s.getBoundingClientRect(); "
            "return b.width / b.height; })"
        )
        assert len(shapes) == 4
        assert shapes == pytest.approx([81 / 2] * 4, rel=0.02)
