"""Get a card's figures again, and compare them with the paper's and with what the card says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import InvalidOption, QdmError
from ..notebook import card as shown_card
from ..notebook import facts, note, one_line, table
from ..progress import Message, Progress, silent
from .card import Agreement, Card, Figure, Found, Scale, Verdict, judge, verdict_of
from .catalog import recorded
from .checks import compute
from .timing import timed
from .training_runs import read_figure, train_all

__all__ = ["Compared", "Reproduction", "cells", "reproduce_card"]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A figure of the paper beside ours."""

    figure: Figure
    """The paper's."""
    ours: Found | None
    """What was got now; None if this call does not get it."""
    recorded: Found | None
    """What was measured before, from the result files."""

    @property
    def agreement(self) -> Agreement:
        """Comparison of what was got now."""
        return judge(self.figure, self.ours)

    def to_dict(self) -> dict[str, Any]:
        """Both as JSON values."""
        low, high = (None, None) if self.figure.accept is None else self.figure.accept
        return {
            "name": self.figure.name,
            "theirs": self.figure.theirs,
            "spread": self.figure.spread,
            "within": self.figure.within,
            "accept": None if self.figure.accept is None else [low, high],
            "ours": None if self.ours is None else self.ours.to_dict(),
            "recorded": None if self.recorded is None else self.recorded.to_dict(),
            "agreement": self.agreement,
        }


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """What a card's figures came out as."""

    card: Card
    """The card."""
    scale: Scale
    """How much of the published training was done."""
    figures: tuple[Compared, ...]
    """Its figures, each with ours."""

    @property
    def verdict(self) -> Verdict:
        """Verdict of what was got now; ``not checkable`` where the card says so."""
        if not self.figures or self.card.verdict == "not checkable":
            return self.card.verdict
        return verdict_of(each.agreement for each in self.figures)

    @property
    def as_the_card_says(self) -> bool | None:
        """True if the verdict is the card's; None if nothing was got, or the card has no verdict."""
        if not any(each.ours for each in self.figures) or self.card.verdict == "not run":
            return None
        return self.verdict == self.card.verdict

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "card": self.card.name,
            "paper": self.card.paper,
            "claim": self.card.claim,
            "source": vars(self.card.source),
            "setting": self.card.setting,
            "scale": self.scale,
            "figures": [each.to_dict() for each in self.figures],
            "verdict": self.verdict,
            "card_verdict": self.card.verdict,
            "as_the_card_says": self.as_the_card_says,
            "why": self.card.why,
            "command": self.card.command,
        }

    def __repr__(self) -> str:
        return one_line("Reproduction", self.card.name, self.verdict, _said(self))

    def _repr_html_(self) -> str:
        head = ("figure", "theirs", "ours", "recorded", "")
        return shown_card(
            self.card.claim,
            facts(
                [
                    ("source", f"{self.card.source.citation}, {self.card.source.section}"),
                    ("verdict", f"{self.verdict} ({_said(self)})"),
                    ("scale", self.scale if self.card.trainings else None),
                    ("setting", self.card.setting or None),
                ]
            ),
            *([table(head, map(cells, self.figures))] if self.figures else []),
            *([note(self.card.why)] if self.card.why else []),
            about=self.card.name,
        )


def cells(each: Compared) -> tuple[str, str, str, str, str]:
    """Return a figure, theirs, ours, what was recorded, and how they compare, as text."""
    return (
        each.figure.name,
        each.figure.printed,
        each.ours.printed if each.ours else "not run",
        each.recorded.printed if each.recorded else "",
        each.agreement if each.ours else "",
    )


def _said(result: Reproduction) -> str:
    said = result.as_the_card_says
    if said is None:
        return "nothing was run" if not any(x.ours for x in result.figures) else "the card has none"
    return "as the card says" if said else f"the card says {result.card.verdict}"


def reproduce_card(
    card: Card,
    *,
    scale: Scale = "minutes",
    folder: Path,
    options: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Reproduction:
    """Get a card's figures: checks are computed, trainings are run, steps are timed.

    Args:
        card: The card.
        scale: Which of its trainings.
        folder: Folder of the training runs; only a card with trainings uses it.
        options: Options of the trainings that replace the card's.
        progress: Receives each figure and each training.

    Returns:
        The figures beside the paper's.

    Raises:
        InvalidOption: If options are given and the card trains nothing, or a training has no such
            option.
        KeyboardInterrupt: If a training was stopped; the same call goes on with it.
        QdmError: If a check is refused; the line names the figure.
    """
    reads = [each for each in card.figures if each.reading]
    if options and not reads:
        raise InvalidOption(
            f"Card '{card.name}' trains nothing, so no option can be set: {', '.join(options)}."
        )
    known = recorded(card)
    rows = train_all(card, scale, folder, options=options, progress=progress) if reads else {}
    found = []
    for done, figure in enumerate(card.figures):
        ours: Found | None = None
        if figure.check is not None:
            progress(Message(f"checking {figure.name}", done, len(card.figures)))
            ours = _got(card, figure, partial(compute, figure.check))
        elif figure.reading is not None:
            ours = read_figure(figure, card, scale, rows)
        elif figure.timing is not None:
            ours = _got(card, figure, partial(timed, figure.timing, scale, progress=progress))
        found.append(Compared(figure=figure, ours=ours, recorded=known.get(figure.name)))
    return Reproduction(card=card, scale=scale, figures=tuple(found))


def _got(card: Card, figure: Figure, get: Callable[[], Found]) -> Found:
    try:
        return get()
    except (QdmError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InvalidOption(
            f"Figure '{figure.name}' of card '{card.name}' cannot be checked: {reason}"
        ) from error
