"""Pages for a browser: one HTML file each, which needs nothing else and fetches nothing.

A page is plain values: sections with sentences, tables, charts, chains of images, chips. Templates
escape every text; the only script and style are this room's own, allowed by their hashes.
"""

from .parts import (
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
    Part,
    Picture,
    Qubit,
    Section,
    Strip,
    Table,
)
from .render import render_page

__all__ = [
    "Bars",
    "Chain",
    "Chart",
    "Chip",
    "Coupler",
    "Curve",
    "Dots",
    "Images",
    "Mark",
    "Notes",
    "Page",
    "Panel",
    "Part",
    "Picture",
    "Qubit",
    "Section",
    "Strip",
    "Table",
    "render_page",
]
