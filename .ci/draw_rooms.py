#!/usr/bin/env python3
"""Draw the rooms of the package, of ``hardware/`` and of ``engine/`` from their imports, as SVG.

An arrow goes from a room to one that it imports. An arrow is left out where a longer way leads to
the same room, and so are the ``__init__`` of the three packages, which only hand out names. A room
stands above all that it imports, on the lowest floor where that is so.

    python .ci/draw_rooms.py docs/images/rooms.svg
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

from rooms import INIT, PACKAGE, find_arrows, read_graph, read_imports

BOX_HEIGHT, FLOOR, GAP, MARGIN, TITLE = 26, 62, 14, 24, 40
LETTER = 7.4
"""Width of a letter, in pixels."""

Ways = dict[str, set[str]]
"""The rooms that each room imports."""


@dataclass
class Panel:
    """The rooms of one package, laid out; pixels from the panel's upper left corner."""

    title: str
    ways: Ways
    """The arrows that are drawn."""
    floors: list[list[str]]
    """Rooms and bends of each floor, lowest floor first, from left to right."""
    bends: dict[tuple[str, str], list[str]]
    """The floors between a room and one further down, as a place for the arrow on each."""
    centres: dict[str, float] = field(default_factory=dict)

    @property
    def width(self) -> float:
        """The widest floor."""
        return max(map(width_of_floor, self.floors))

    @property
    def height(self) -> float:
        """All floors and the title."""
        return TITLE + FLOOR * (len(self.floors) - 1) + BOX_HEIGHT


def read_ways(root: Path, package: str) -> Ways:
    """Return which room of a package imports which, its ``__init__`` left out."""
    imports = read_imports(read_graph(root), package)
    ways: Ways = {room: set() for room in {name.split(".")[0] for name in imports} - {INIT}}
    for arrow in find_arrows(imports):
        if INIT not in (arrow.source, arrow.target):
            ways[arrow.source].add(arrow.target)
    return ways


def without_short_cuts(ways: Ways) -> Ways:
    """Leave out arrows to rooms that are also reached by a longer way."""
    below: Ways = {}
    for room in TopologicalSorter(ways).static_order():
        below[room] = ways[room].union(*(below[target] for target in ways[room]))
    return {
        room: targets - set().union(*(below[target] for target in targets))
        for room, targets in ways.items()
    }


def stack(ways: Ways) -> dict[str, int]:
    """Return the floor of each room: one above the highest that it imports, the lowest is 0."""
    levels: dict[str, int] = {}
    for room in TopologicalSorter(ways).static_order():
        levels[room] = max((levels[target] + 1 for target in ways[room]), default=0)
    return levels


def lay_out(title: str, ways: Ways) -> Panel:
    """Put rooms on floors, beside each other such that few arrows cross."""
    drawn, levels = without_short_cuts(ways), stack(ways)
    floors: list[list[str]] = [[] for _ in range(max(levels.values()) + 1)]
    for room in sorted(levels):
        floors[levels[room]].append(room)
    bends: dict[tuple[str, str], list[str]] = {}
    neighbours: dict[str, list[str]] = {room: [] for room in levels}
    for room in sorted(drawn):
        for target in sorted(drawn[room]):
            between = range(levels[room] - 1, levels[target], -1)
            names = [f"|{room}|{target}|{level}" for level in between]
            bends[room, target] = names
            for name, level in zip(names, between, strict=True):
                floors[level].append(name)
            way = [room, *names, target]
            for one, other in pairwise(way):
                neighbours.setdefault(one, []).append(other)
                neighbours.setdefault(other, []).append(one)
    panel = Panel(title, drawn, floors, bends)
    for _ in range(8):
        for number in [*range(len(floors)), *reversed(range(len(floors)))]:
            place(panel)
            nearby = {*floors[max(number - 1, 0)], *floors[min(number + 1, len(floors) - 1)]}
            floors[number].sort(key=lambda name: pull(panel, name, neighbours[name], nearby))
    place(panel)
    return panel


def pull(panel: Panel, name: str, neighbours: Sequence[str], nearby: set[str]) -> float:
    """Return where the neighbours on the next floors would have a room stand."""
    found = [panel.centres[other] for other in neighbours if other in nearby and other != name]
    return sum(found) / len(found) if found else panel.centres[name]


def width_of(name: str) -> float:
    """Return the width of a room's box, or of a bend."""
    return 10 if name.startswith("|") else LETTER * len(name) + 18


def width_of_floor(names: Sequence[str]) -> float:
    """Return the width of a floor with its gaps."""
    return sum(map(width_of, names)) + GAP * (len(names) - 1)


def place(panel: Panel) -> None:
    """Centre each floor, and say where the middle of each room is."""
    for names in panel.floors:
        left = (panel.width - width_of_floor(names)) / 2
        for name in names:
            panel.centres[name] = left + width_of(name) / 2
            left += width_of(name) + GAP


def draw(panel: Panel, x: float, y: float) -> list[str]:
    """Return the SVG elements of a panel whose upper left corner is at ``x``, ``y``."""
    top = {
        name: y + TITLE + FLOOR * (len(panel.floors) - 1 - number)
        for number, names in enumerate(panel.floors)
        for name in names
    }
    lines = [f'<text class="title" x="{x:.0f}" y="{y + 16:.0f}">{panel.title}</text>']
    for (source, target), names in panel.bends.items():
        start = x + panel.centres[source], top[source] + BOX_HEIGHT
        steps = [f"M{start[0]:.0f},{start[1]:.0f}"]
        for name in [*names, target]:
            end = x + panel.centres[name], top[name] - (6 if name == target else 0)
            half = (end[1] - start[1]) / 2
            steps.append(
                f"C{start[0]:.0f},{start[1] + half:.0f} {end[0]:.0f},{end[1] - half:.0f} "
                f"{end[0]:.0f},{end[1]:.0f}"
            )
            if name != target:
                steps.append(f"v{BOX_HEIGHT}")
            start = end[0], end[1] + BOX_HEIGHT
        lines.append(f'<path d="{" ".join(steps)}"/>')
    for name, middle in panel.centres.items():
        if not name.startswith("|"):
            wide, high = width_of(name), top[name]
            lines.append(
                f'<rect x="{x + middle - wide / 2:.0f}" y="{high:.0f}" width="{wide:.0f}" '
                f'height="{BOX_HEIGHT}" rx="5"/>'
            )
            lines.append(f'<text x="{x + middle:.0f}" y="{high + 17:.0f}">{name}</text>')
    return lines


def picture(whole: Panel, *parts: Panel) -> str:
    """Return an SVG file: the whole package on the left, its parts on the right."""
    left = 2 * MARGIN + whole.width + MARGIN
    width = left + max(part.width for part in parts) + MARGIN
    tall = sum(part.height + 2 * MARGIN for part in parts)
    height = MARGIN + max(whole.height + MARGIN, tall)
    body, y = draw(whole, MARGIN, MARGIN), float(MARGIN)
    for part in parts:
        body += draw(part, left, y)
        y += part.height + 2 * MARGIN
    size = f"{width:.0f} {height:.0f}"
    head = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}">
<title>Rooms of {PACKAGE}; made by .ci/draw_rooms.py from the imports</title>
<style>
text {{ font: 12px monospace; text-anchor: middle; fill: #1b2733 }}
.title {{ font-weight: bold; font-size: 14px; text-anchor: start }}
rect {{ fill: #eaf1f8; stroke: #35618e }}
path {{ fill: none; stroke: #7d8b99; marker-end: url(#head) }}
</style>
<marker id="head" viewBox="0 0 8 8" refX="2" refY="4" markerWidth="7" markerHeight="7" orient="auto">
<polygon points="0,0 8,4 0,8" fill="#7d8b99"/></marker>
<rect width="100%" height="100%" style="fill: #ffffff; stroke: none"/>"""
    return "\n".join([head, *body, "</svg>"]) + "\n"


def main() -> int:
    """Write the picture; return 1 where rooms import each other in a circle."""
    parser = argparse.ArgumentParser(description="Draw the rooms of the package from its imports.")
    parser.add_argument("out", type=Path, help="SVG file to write")
    options = parser.parse_args()
    root = Path(__file__).resolve().parents[1]
    try:
        panels = [
            lay_out(f"{PACKAGE}/{package}".rstrip("/") + "/", read_ways(root, package))
            for package in ("", "hardware", "engine")
        ]
    except CycleError as error:
        print(f"Rooms import each other in a circle: {' <- '.join(error.args[1])}", file=sys.stderr)
        return 1
    options.out.write_text(picture(*panels))
    return 0


if __name__ == "__main__":
    sys.exit(main())
