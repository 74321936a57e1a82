"""Parts of a page, as plain values; :mod:`.render` turns them into HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
]


@dataclass(frozen=True)
class Notes:
    """Sentences below each other; those that begin with ``Warning:`` stand out."""

    sentences: Sequence[str]


@dataclass(frozen=True)
class Table:
    """A table whose rows a click on a title puts in order.

    Cells that begin with a number are ordered by it, others by their text, ``-`` comes last.
    """

    head: Sequence[object]
    rows: Sequence[Sequence[object]]
    caption: str = ""


@dataclass(frozen=True)
class Curve:
    """A line of a chart.

    Points that are not finite are left out, on a logarithmic axis those that are not above 0 too.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dashed: bool = False


@dataclass(frozen=True)
class Chart:
    """Lines over a common x, in which a reader zooms. The first curves are named and drawn above."""

    title: str
    x_label: str
    y_label: str
    curves: Sequence[Curve]
    log: bool = False
    """True for a logarithmic y."""
    falling: bool = False
    """True for the largest x on the left, as for the time of a reverse chain."""


@dataclass(frozen=True)
class Bars:
    """Horizontal bars: for each label a value of each series, side by side or stacked."""

    title: str
    labels: Sequence[str]
    series: Sequence[tuple[str, Sequence[float | None]]]
    """Name, and a value for each label, none of them negative; None for none."""
    stacked: bool = False


@dataclass(frozen=True)
class Mark:
    """A value in a row of a panel, with its interval if it has one."""

    row: int
    value: float
    low: float | None = None
    high: float | None = None
    series: int = 0


@dataclass(frozen=True)
class Panel:
    """One quantity over all rows."""

    title: str
    marks: Sequence[Mark]
    log: bool = False
    """True for a logarithmic axis; all values are above 0 then."""
    ends: tuple[float, float] | None = None
    """Ends of the axis; those of the values if None."""
    symlog: bool = False
    """True for an axis that is linear below 0.1 and logarithmic above, on both sides of 0."""


@dataclass(frozen=True)
class Dots:
    """Panels side by side, which share their rows."""

    title: str
    labels: Sequence[str]
    panels: Sequence[Panel]
    series: Sequence[str] = ()
    """Names of the series, where there are several."""


@dataclass(frozen=True)
class Picture:
    """A PNG with what is said of it."""

    png: bytes
    title: str
    about: str = ""
    """A sentence below."""
    smooth: bool = False
    """True for drawings; the pixels of others keep their edges."""


@dataclass(frozen=True)
class Images:
    """Pictures beside each other."""

    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Strip:
    """The frames of a film below each other in one PNG."""

    name: str
    png: bytes
    width: int
    """Pixels of a frame."""
    height: int
    pitch: int
    """Pixels from one frame to the next, at least ``height``."""
    count: int
    """Frames: the PNG is ``width`` wide and ``(count - 1) * pitch + height`` high."""


@dataclass(frozen=True)
class Chain:
    """Strips of the same steps, through which a slider goes."""

    title: str
    strips: Sequence[Strip]
    labels: Sequence[str]
    """What each frame is, ``t = 3``."""
    notes: Sequence[str] = ()
    """A line for each frame; may be empty."""


@dataclass(frozen=True)
class Qubit:
    """A qubit of a device."""

    number: int
    x: float
    y: float
    error: float | None
    """Its readout error; None where it is not known."""
    role: str = ""
    """The logical qubit that is here; empty if none."""
    about: str = ""
    """More on it, in words."""


@dataclass(frozen=True)
class Coupler:
    """A pair of qubits on which a gate works or should."""

    one: int
    other: int
    error: float | None
    """Error of its two-qubit gate, 1 or more where it does not work; None where it is not known."""
    uses: int = 0
    """Two-qubit gates of the circuit here."""


@dataclass(frozen=True)
class Chip:
    """A device with its errors as colours and the places of a circuit."""

    title: str
    qubits: Sequence[Qubit]
    couplers: Sequence[Coupler]


Part = Notes | Table | Chart | Bars | Dots | Images | Chain | Chip


@dataclass(frozen=True)
class Section:
    """A title with parts below it."""

    title: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Page:
    """A whole page."""

    title: str
    about: str
    """A sentence below the title."""
    sections: Sequence[Section]
