"""Where the lines, bars, dots and qubits of a page stand: numbers for its templates."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .parts import Bars, Chart, Chip, Curve, Dots, Panel
from .scales import LENGTH, Scale, fitting_scale, tick_values

__all__ = [
    "NAMED",
    "draw_bars",
    "draw_chart",
    "draw_chip",
    "draw_dots",
    "error_colour",
    "film_frames",
    "shown",
]

NAMED = 8
"""Most curves of a chart with a colour and a name; others are grey."""
MOST_POINTS, ALL_POINTS, FEWEST_POINTS = 1000, 60_000, 40
"""Most points of a curve, of all curves together, and what each curve has at least."""
_COLOURS = ((44, 123, 182), (171, 217, 233), (255, 255, 191), (253, 174, 97), (215, 25, 28))
"""ColorBrewer's RdYlBu, blue first: the colour-blind can tell its ends."""
DEAD, UNKNOWN = "#5b0f0f", "#9a9a9a"


def shown(value: float) -> str:
    """Return a number with four digits, without an exponent where it is short.

    >>> shown(0.00001), shown(1234567.0), shown(2.0)
    ('0.00001', '1234567', '2')
    """
    if value == 0:
        return "0"
    if 1e-5 <= abs(value) < 1e7:
        digits = max(0, 3 - math.floor(math.log10(abs(value))))
        text = f"{value:.{digits}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.4g}"


def film_frames(count: int, most: int = 8) -> list[int]:
    """Return which of so many frames stand in a strip: first, last, evenly between.

    >>> film_frames(3), film_frames(1001)[-2:]
    ([0, 1, 2], [857, 1000])
    """
    number = min(count, most)
    return [round(k * (count - 1) / max(1, number - 1)) for k in range(number)]


@dataclass(frozen=True)
class Tick:
    """A tick of an axis."""

    place: float
    """From 0 to 1 along the axis."""
    text: str


def _ticks(scale: Scale, most: int = 6) -> list[Tick]:
    found = tick_values(scale.low, scale.high, log=scale.log, symlog=scale.symlog, most=most)
    return [Tick(scale.place(v) / LENGTH, shown(v)) for v in found]


@dataclass(frozen=True)
class DrawnCurve:
    """A curve in a plot's coordinates, x to the right and y down."""

    name: str
    points: list[str]
    """Of each unbroken piece: pairs ``x,y``."""
    kind: str
    """Class of its colour: ``s0`` to ``s7``, or ``rest``."""
    dashed: bool
    lone: list[tuple[float, float]]
    """Points with no neighbour, which a line would not show."""


@dataclass(frozen=True)
class DrawnChart:
    """A chart ready for its template."""

    x_ticks: list[Tick]
    y_ticks: list[Tick]
    curves: list[DrawnCurve]
    """Those that are drawn last, above the others, come last."""
    named: list[DrawnCurve]
    rest: int
    """Curves without a name."""
    view: dict[str, Any]
    """Ends of both axes, for the script."""
    thinned: str
    """Says how many points are left out; empty if none."""


def draw_chart(chart: Chart) -> DrawnChart:
    """Place the curves of a chart.

    A long curve is thinned: of each stretch the first, lowest and highest points stay.
    """
    xs = fitting_scale((x for c in chart.curves for x in c.x), margin=0.02)
    ys = fitting_scale((y for c in chart.curves for y in c.y), log=chart.log)
    most = max(FEWEST_POINTS, min(MOST_POINTS, ALL_POINTS // max(1, len(chart.curves))))
    drawn, kept, whole = [], 0, 0
    for k, curve in enumerate(chart.curves):
        pieces = [_thinned(each, most) for each in _pieces(curve, ys)]
        whole += len(curve.x)
        kept += sum(map(len, pieces)) + sum(not ys.holds(y) for y in curve.y)
        lines = [[_at(xs, ys, x, y, chart.falling) for x, y in each] for each in pieces]
        drawn.append(
            DrawnCurve(
                name=curve.name,
                points=[" ".join(f"{x:.1f},{y:.1f}" for x, y in e) for e in lines if len(e) > 1],
                kind=f"s{k}" if k < NAMED else "rest",
                dashed=curve.dashed,
                lone=[each[0] for each in lines if len(each) == 1],
            )
        )
    x_ticks = _ticks(xs)
    if chart.falling:
        x_ticks = [Tick(1 - t.place, t.text) for t in reversed(x_ticks)]
    return DrawnChart(
        x_ticks=x_ticks,
        y_ticks=_ticks(ys),
        curves=drawn[::-1],
        named=drawn[:NAMED],
        rest=max(0, len(drawn) - NAMED),
        view={
            "x": [xs.high, xs.low] if chart.falling else [xs.low, xs.high],
            "y": [ys.low, ys.high],
            "log": ys.log,
        },
        thinned="" if kept == whole else f"{kept} of {whole} points are drawn.",
    )


def _at(xs: Scale, ys: Scale, x: float, y: float, falling: bool) -> tuple[float, float]:
    across = xs.place(x)
    return LENGTH - across if falling else across, LENGTH - ys.place(y)


def _pieces(curve: Curve, ys: Scale) -> list[list[tuple[float, float]]]:
    """Return the stretches of a curve between points that cannot be drawn."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in zip(curve.x, curve.y, strict=True):
        if ys.holds(y):
            pieces[-1].append((x, y))
        elif pieces[-1]:
            pieces.append([])
    return [each for each in pieces if each]


def _thinned(points: list[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """Return at most so many points: of each stretch the first, the lowest and the highest."""
    if len(points) <= most:
        return points
    size = -(-len(points) // max(1, (most - 1) // 3))
    kept: set[int] = {len(points) - 1}
    for first in range(0, len(points), size):
        stretch = range(first, min(first + size, len(points)))
        kept |= {first, min(stretch, key=lambda k: points[k][1])}
        kept.add(max(stretch, key=lambda k: points[k][1]))
    return [points[k] for k in sorted(kept)]


@dataclass(frozen=True)
class Bar:
    """A bar of a row; lengths in per cent of the axis."""

    start: float
    length: float
    kind: str
    text: str
    row: int
    part: int
    """Number of its series."""


@dataclass(frozen=True)
class DrawnBars:
    """Bars ready for their template."""

    bars: list[Bar]
    ticks: list[Tick]
    totals: list[str]
    """Of each row, where bars are stacked."""


def draw_bars(bars: Bars) -> DrawnBars:
    """Place bars along their common axis, which begins at 0."""
    sums = [
        math.fsum(v for _, values in bars.series if (v := values[row]) is not None)
        for row in range(len(bars.labels))
    ]
    singles = [v for _, values in bars.series for v in values if v is not None]
    scale = fitting_scale(sums if bars.stacked else singles, zero=True)
    found = []
    for row, label in enumerate(bars.labels):
        start = 0.0
        for part, (name, values) in enumerate(bars.series):
            value = values[row]
            if value is None:
                continue
            text = f"{label}, {name}: {shown(value)}"
            found.append(
                Bar(scale.place(start), scale.place(value), f"s{part % NAMED}", text, row, part)
            )
            start += value if bars.stacked else 0.0
    return DrawnBars(found, _ticks(scale, 5), [shown(each) for each in sums])


@dataclass(frozen=True)
class DrawnMark:
    """A mark of a panel; places along its axis from 0 to 1000."""

    row: int
    at: float
    low: float | None
    high: float | None
    kind: str
    text: str


@dataclass(frozen=True)
class DrawnPanel:
    """A panel ready for its template."""

    title: str
    ticks: list[Tick]
    marks: list[DrawnMark]


def draw_dots(dots: Dots) -> list[DrawnPanel]:
    """Place the marks of all panels."""
    return [_panel(each, dots) for each in dots.panels]


def _panel(panel: Panel, dots: Dots) -> DrawnPanel:
    ends = [v for m in panel.marks for v in (m.value, m.low, m.high) if v is not None]
    scale = fitting_scale(ends, log=panel.log, symlog=panel.symlog, zero=True)
    if panel.ends is not None:
        scale = Scale(*panel.ends)

    def place(value: float | None) -> float | None:
        return None if value is None else scale.place(value)

    marks = []
    for mark in panel.marks:
        if not scale.holds(mark.value):
            continue
        words = shown(mark.value)
        if mark.low is not None and mark.high is not None:
            words += f" [{shown(mark.low)}, {shown(mark.high)}]"
        series = f", {dots.series[mark.series]}" if dots.series else ""
        marks.append(
            DrawnMark(
                row=mark.row,
                at=scale.place(mark.value),
                low=place(mark.low),
                high=place(mark.high),
                kind=f"s{mark.series % NAMED}",
                text=f"{dots.labels[mark.row]}{series}: {panel.title} {words}",
            )
        )
    return DrawnPanel(panel.title, _ticks(scale, 4), marks)


@dataclass(frozen=True)
class DrawnQubit:
    """A qubit on the plane."""

    x: float
    y: float
    colour: str
    number: int
    role: str
    text: str
    dark: bool
    """True if its colour is dark."""


@dataclass(frozen=True)
class DrawnCoupler:
    """A coupler on the plane."""

    line: tuple[float, float, float, float]
    colour: str
    dead: bool
    uses: int
    text: str


@dataclass(frozen=True)
class DrawnChip:
    """A chip ready for its template."""

    width: float
    height: float
    qubits: list[DrawnQubit]
    couplers: list[DrawnCoupler]
    legends: list[tuple[str, list[tuple[str, str]]]] = field(default_factory=list)
    """Quantity, and colours with the errors that they stand for."""


SPACING, BORDER = 40.0, 26.0


def draw_chip(chip: Chip) -> DrawnChip:
    """Place a chip's qubits, and colour them by readout error and couplers by gate error.

    The colours of each go by the logarithm of the error, from the smallest to the largest on the
    device.
    """
    at = {q.number: (q.x, q.y) for q in chip.qubits}
    gaps = [math.dist(at[c.one], at[c.other]) for c in chip.couplers]
    unit = SPACING / (sorted(gaps)[len(gaps) // 2] or 1.0) if gaps else SPACING
    left, top = min(x for x, _ in at.values()), min(-y for _, y in at.values())
    place = {
        n: (BORDER + unit * (x - left), BORDER + unit * (-y - top)) for n, (x, y) in at.items()
    }
    readout = _ends(q.error for q in chip.qubits)
    gates = _ends(c.error for c in chip.couplers)
    qubits = []
    for q in chip.qubits:
        words = [f"qubit {q.number}", f"readout error {_error(q.error)}"]
        words += [q.about] if q.about else []
        words += [f"holds logical qubit {q.role}"] if q.role else []
        colour = error_colour(q.error, readout)
        qubits.append(
            DrawnQubit(*place[q.number], colour, q.number, q.role, ", ".join(words), _dark(colour))
        )
    couplers = []
    for c in chip.couplers:
        words = [f"coupler {c.one}-{c.other}", f"gate error {_error(c.error)}"]
        words += [f"{c.uses} two-qubit gates of this circuit"] if c.uses else []
        dead = c.error is not None and not c.error < 1
        line = (*place[c.one], *place[c.other])
        couplers.append(
            DrawnCoupler(line, error_colour(c.error, gates), dead, c.uses, ", ".join(words))
        )
    legends = [
        (title, [(error_colour(v, ends), f"{v:.2g}") for v in _between(ends)])
        for title, ends in (("readout error of a qubit", readout), ("gate error of a pair", gates))
        if ends is not None
    ]
    return DrawnChip(
        width=max(x for x, _ in place.values()) + BORDER,
        height=max(y for _, y in place.values()) + BORDER,
        qubits=qubits,
        couplers=couplers,
        legends=legends,
    )


def error_colour(error: float | None, ends: tuple[float, float] | None) -> str:
    """Return the colour of an error: blue at the smallest, red at the largest of two ends.

    >>> error_colour(0.001, (0.001, 0.1)), error_colour(0.1, (0.001, 0.1))
    ('#2c7bb6', '#d7191c')
    """
    if error is None or ends is None:
        return UNKNOWN
    if not error < 1:
        return DEAD
    low, high = math.log(ends[0]), math.log(ends[1])
    share = (math.log(max(error, ends[0])) - low) / (high - low) if high > low else 0.0
    spot = min(max(share, 0.0), 1.0) * (len(_COLOURS) - 1)
    k = min(int(spot), len(_COLOURS) - 2)
    mixed = (
        round(a + (spot - k) * (b - a)) for a, b in zip(_COLOURS[k], _COLOURS[k + 1], strict=True)
    )
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def _ends(errors: Iterable[float | None]) -> tuple[float, float] | None:
    found = [e for e in errors if e is not None and 0 < e < 1]
    return (min(found), max(found)) if found else None


def _between(ends: tuple[float, float]) -> list[float]:
    """Return five errors from the smallest to the largest, evenly by their logarithm."""
    low, high = (math.log(e) for e in ends)
    return [math.exp(low + k * (high - low) / 4) for k in range(5)] if high > low else [ends[0]]


def _error(error: float | None) -> str:
    if error is None:
        return "not known"
    return f"{error:.2g}" if error < 1 else "1: does not work"


def _dark(colour: str) -> bool:
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue < 140
