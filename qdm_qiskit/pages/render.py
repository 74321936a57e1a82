"""HTML from the parts of a page: one file, its own script and style inside, nothing fetched."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

from .drawing import draw_bars, draw_chart, draw_chip, draw_dots, film_frames, shown
from .parts import Page

__all__ = ["render_page", "sort_key"]

_NUMBER = re.compile(r"\s*(-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)", re.IGNORECASE)


def render_page(page: Page) -> str:
    """Render a page as one HTML file.

    Every text of the page is escaped. A content security policy allows the page's own script and
    style, by their hashes, and pictures inside the page; the browser refuses everything else.

    Args:
        page: What is to be shown.

    Returns:
        The file's text. The same page gives the same text.
    """
    style, script = (_own(name) for name in ("page.css", "page.js"))
    policy = "; ".join(
        (
            "default-src 'none'",
            "img-src data:",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    template = _environment().get_template("page.html")
    return str(template.render(page=page, policy=policy, style=style, script=script))


def sort_key(cell: object) -> float | None:
    """Return the number with which a cell begins; None if it begins with none.

    >>> sort_key("1,204 [1, 3]"), sort_key("98.5%"), sort_key("-2e-3 s"), sort_key("2x4 grid")
    (1204.0, 98.5, -0.002, None)
    """
    if isinstance(cell, bool) or cell is None:
        return None
    if isinstance(cell, int | float):
        return float(cell)
    found = _NUMBER.match(str(cell))
    if found is None:
        return None
    rest = str(cell)[found.end() :]
    # "4x4" and "7ff3" are names; a number ends at a space, a bracket, or a unit of no letters.
    if rest[:1].isalpha() or rest[:1] in ("_", "-", "."):
        return None
    return float(found[1].replace(",", ""))


@cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("qdm_qiskit.pages", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["kind"] = lambda part: type(part).__name__.lower()
    made.filters["sort_key"] = sort_key
    made.filters["base64"] = lambda png: base64.b64encode(png).decode("ascii")
    made.filters["view"] = lambda view: json.dumps(view, allow_nan=False)
    for draw in (draw_bars, draw_chart, draw_chip, draw_dots, film_frames, shown):
        made.filters[draw.__name__] = draw
    return made


@cache
def _own(name: str) -> str:
    """Return a file of this room, stripped, so that the page holds what the hash is of."""
    return files("qdm_qiskit.pages").joinpath("templates", name).read_text("utf-8").strip()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
