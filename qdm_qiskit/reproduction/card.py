"""A claim of a paper as a value: its figures, how each is checked, and the verdict.

A figure of the paper is compared with a number of ours, which comes from one of four places: a check
that computes it in seconds, a result file that a measurement left, a training run, or training steps
that are timed in turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..notebook import card as shown_card
from ..notebook import facts, note, one_line, table

__all__ = [
    "Agreement",
    "Basis",
    "Card",
    "Figure",
    "Found",
    "Reading",
    "Scale",
    "Source",
    "Timing",
    "Training",
    "Verdict",
    "judge",
    "verdict_of",
]

Verdict = Literal["reproduced", "refuted", "undecided", "not run", "not checkable"]
"""``reproduced``: every figure agrees. ``refuted``: at least one differs. ``undecided``: an interval
lies on both sides. ``not run``: it could be, by the card's command. ``not checkable``: something is
missing that nobody can bring, and the card says what."""

Basis = Literal["text", "published code", "authors' logs", "derived", "inferred"]
"""Where the figure of the paper comes from. ``derived``: it follows from the text by arithmetic.
``inferred``: something that the text leaves out was filled in so that its other figures come out."""

Agreement = Literal["agrees", "differs", "undecided", "not run"]
"""Result of comparing one figure."""

Scale = Literal["minutes", "full"]
"""``full``: as published. ``minutes``: less of it, on two cores."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a claim stands."""

    citation: str
    """Authors, title or number."""
    section: str
    """Section, table, figure, or file of the code."""
    basis: Basis
    """Kind of source."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training of one scale: a preset or model, its options, and the seeds to repeat it with."""

    model: str
    """Preset or model."""
    epochs: int
    """Passes over the data."""
    seeds: tuple[int, ...] = (0,)
    """One run for each."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Other options of the run, by name."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A number of a training run: a metric at the end of an epoch."""

    run: str
    """Name of the training among the card's."""
    metric: str
    """Metric of an epoch, such as ``test_loss``."""
    epoch: int | None = None
    """The epoch, from 1; the last one if None."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Two models whose training steps are timed in turn: the number is the ratio of the times."""

    model: str
    """Model on top."""
    over: str
    """Model below."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the one on top."""
    over_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the other."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure of the paper, and how ours is got."""

    name: str
    """What it is of, in a few words."""
    theirs: float | int | str
    """Their figure; words where the paper has an order or a law and no number."""
    spread: float | None = None
    """What the paper prints behind its plus-minus sign."""
    within: float | None = None
    """Largest distance at which ours agrees; 0 if neither this nor ``accept`` is given."""
    accept: tuple[float | None, float | None] | None = None
    """In place of it the interval, ends included, in which ours agrees; None is an open end."""
    check: Mapping[str, Any] | None = None
    """A check of :mod:`~qdm_qiskit.reproduction.checks` and its arguments."""
    measured: Mapping[str, Any] | None = None
    """A place in a result file."""
    reading: Reading | None = None
    """A number of a training run."""
    less: Reading | None = None
    """Number that is taken from it, seed by seed."""
    timing: Timing | None = None
    """Training steps that are timed."""

    @property
    def accepted(self) -> tuple[float, float]:
        """Both ends of the interval in which ours agrees."""
        if self.accept is not None:
            low, high = self.accept
            return (
                float("-inf") if low is None else low,
                float("inf") if high is None else high,
            )
        assert not isinstance(self.theirs, str)  # the reader refuses words without `accept`
        half = self.within or 0.0
        return self.theirs - half, self.theirs + half

    @property
    def printed(self) -> str:
        """Their figure as the table has it."""
        told = _as_printed(self.theirs) if not isinstance(self.theirs, str) else self.theirs
        return told if self.spread is None else f"{told} ± {_as_printed(self.spread)}"


@dataclass(frozen=True, kw_only=True)
class Found:
    """A number of ours."""

    value: float | int
    """The number, a mean where there are several seeds."""
    low: float | None = None
    """Lower end of its 95 % interval, None if it has none."""
    high: float | None = None
    """Upper end."""
    seeds: tuple[int, ...] = ()
    """Seeds of the runs behind it; empty for what needs none."""
    file: str | None = None
    """Result file that it was read from."""

    @property
    def printed(self) -> str:
        """The number as the table has it."""
        if self.low is None or self.high is None:
            return _number(self.value)
        return f"{_number(self.value)} ({_number(self.low)} to {_number(self.high)})"

    def to_dict(self) -> dict[str, Any]:
        """The number as JSON values."""
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "seeds": list(self.seeds),
            "file": self.file,
        }


@dataclass(frozen=True, kw_only=True)
class Card:
    """A claim of a paper and what became of it."""

    name: str
    """Name for ``qdm reproduce``: lower case, digits and hyphens."""
    paper: str
    """Short name of the paper, the same on all its cards."""
    source: Source
    """Where the claim stands."""
    claim: str
    """The claim in a sentence."""
    figures: tuple[Figure, ...] = ()
    """Its figures."""
    setting: str = ""
    """What ours was measured on, where that is not what the paper's was."""
    trainings: Mapping[str, Mapping[Scale, Training]] = field(default_factory=dict)
    """Training runs by name, in one or two scales."""
    verdict: Verdict
    """What became of it."""
    why: str = ""
    """Reason of the verdict."""
    command: str = ""
    """Command that gets our figures again."""
    file: Path | None = None
    """File that it was read from, None for the package's own."""

    @property
    def computes(self) -> bool:
        """True if ``qdm reproduce`` has something to do: a check, a training or a timing."""
        return any(each.check or each.reading or each.timing for each in self.figures)

    def __repr__(self) -> str:
        return one_line("Card", self.name, f"{len(self.figures)} figures", self.verdict)

    def _repr_html_(self) -> str:
        rows = [(each.name, each.printed) for each in self.figures]
        return shown_card(
            self.claim,
            facts(
                [
                    ("source", f"{self.source.citation}, {self.source.section}"),
                    ("basis", self.source.basis),
                    ("verdict", self.verdict),
                    ("setting", self.setting or None),
                    ("command", self.command or None),
                ]
            ),
            *([table(("figure", "theirs"), rows)] if rows else []),
            *([note(self.why)] if self.why else []),
            about=self.name,
        )


def judge(figure: Figure, found: Found | None) -> Agreement:
    """Compare a number of ours with a figure.

    With an interval, all of it must lie in what the figure accepts to agree, and all of it outside
    to differ.

    >>> judge(Figure(name="L = 10", theirs=150), Found(value=150))
    'agrees'
    >>> judge(Figure(name="lower", theirs="below 0", accept=(None, 0)), Found(value=-1, low=-3, high=1))
    'undecided'
    """
    if found is None:
        return "not run"
    low, high = figure.accepted
    least = found.value if found.low is None else found.low
    most = found.value if found.high is None else found.high
    if low <= least and most <= high:
        return "agrees"
    return "differs" if most < low or least > high else "undecided"


def verdict_of(agreements: Iterable[Agreement]) -> Verdict:
    """Return the verdict that figures make together.

    One that differs refutes the claim; without one, a figure that was not run or cannot be told
    leaves it open.

    >>> verdict_of(["agrees", "differs", "not run"])
    'refuted'
    """
    found = set(agreements)
    if "differs" in found:
        return "refuted"
    if found == {"agrees"}:
        return "reproduced"
    return "undecided" if "undecided" in found else "not run"


def _as_printed(value: float | int) -> str:
    """Return a number of a paper with all its digits.

    >>> _as_printed(483321), _as_printed(296.869), _as_printed(40.0)
    ('483,321', '296.869', '40')
    """
    return f"{int(value):,}" if value == int(value) else f"{value:,}"


def _number(value: float | int) -> str:
    """Return a number of ours: a count with all its digits, a measurement with four.

    >>> _number(475281), _number(0.250251), _number(-2.2e-16), _number(156.213)
    ('475,281', '0.2503', '-2.2e-16', '156.2')
    """
    if isinstance(value, int) or (value == int(value) and abs(value) < 1e9):
        return f"{int(value):,}"
    return f"{value:,.2f}" if abs(value) >= 1000 else f"{value:.4g}"
