"""HTML by which objects show themselves in a notebook: titles, facts, tables, drawings, pictures.

Anything but :class:`Markup` is text and is escaped here, so a name that a user or a file gave
cannot bring in markup of its own. Nothing is imported but the standard library.

>>> card("a run", facts([("name", "<b>")]))  # doctest: +ELLIPSIS
'<div class="qdm">...<td ...>&lt;b&gt;</td>...</div>'
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Markup", "card", "drawing", "facts", "folded", "note", "one_line", "picture", "table"]

_CELL = 'style="text-align:left;vertical-align:top;padding:0.1em 0.8em 0.1em 0"'
# Notebooks put tables into the middle of the page, where they stand apart from all the rest.
_TABLE = 'style="margin-left:0;margin-right:auto"'
# A tint that no grey image has, in light and dark pages, behind what a picture leaves open.
_PICTURE = 'style="image-rendering:pixelated;background:#7f9fbf"'
_DRAWING = 'style="line-height:1.1;overflow-x:auto;white-space:pre"'


@dataclass(frozen=True)
class Markup:
    """HTML that was made here; whatever is put into it was escaped."""

    html: str


def card(title: object, *parts: Markup, about: object = "") -> str:
    """Return the HTML of an object: its title in bold, a few words about it, and its parts.

    Args:
        title: Text.
        parts: HTML that stands below, in order.
        about: Text beside the title.

    Returns:
        The HTML that ``_repr_html_`` returns.
    """
    head = f"<strong>{_shown(title)}</strong>" + (f" {_shown(about)}" if about != "" else "")
    body = "".join(part.html for part in parts)
    return f'<div class="qdm"><p>{head}</p>{body}</div>'


def facts(pairs: Iterable[tuple[object, object]]) -> Markup:
    """Return a table of two columns, what and how much; pairs without a value (None) are left out."""
    rows = [(name, value) for name, value in pairs if value is not None]
    return table((), rows)


def table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> Markup:
    """Return a table; ``head`` may be empty."""
    titles = "".join(f"<th {_CELL}>{_shown(each)}</th>" for each in head)
    lines = [f"<thead><tr>{titles}</tr></thead>"] if head else []
    lines.append("<tbody>")
    for row in rows:
        cells = "".join(f"<td {_CELL}>{_shown(cell)}</td>" for cell in row)
        lines.append(f"<tr>{cells}</tr>")
    return Markup(f"<table {_TABLE}>" + "".join(lines) + "</tbody></table>")


def note(text: object) -> Markup:
    """Return a paragraph."""
    return Markup(f"<p>{_shown(text)}</p>")


def drawing(text: str) -> Markup:
    """Return characters that keep their places, such as a circuit's drawing."""
    return Markup(f"<pre {_DRAWING}>{html.escape(text)}</pre>")


def folded(title: object, *parts: Markup) -> Markup:
    """Return parts that open when their title is clicked."""
    body = "".join(part.html for part in parts)
    return Markup(f"<details><summary>{_shown(title)}</summary>{body}</details>")


def picture(png: bytes, alt: str) -> Markup:
    """Return a PNG picture, inside the page itself.

    Args:
        png: The file's bytes.
        alt: Content of the picture, in words.
    """
    data = base64.b64encode(png).decode("ascii")
    text = html.escape(alt)
    return Markup(f'<img alt="{text}" src="data:image/png;base64,{data}" {_PICTURE}>')


def one_line(kind: str, *parts: object) -> str:
    """Return the ``repr`` of an object that has no literal form: its class and a few facts.

    >>> one_line("Samples", "16 images", "on engine")
    '<Samples: 16 images, on engine>'
    """
    words = ", ".join(" ".join(str(part).split()) for part in parts)
    return f"<{kind}: {words}>"


def _shown(value: object) -> str:
    if isinstance(value, Markup):
        return value.html
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return html.escape(f"{value:.4g}")
    return html.escape(str(value))
