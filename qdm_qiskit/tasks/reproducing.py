"""Get a paper's figures again and compare them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..arguments import checked_path, checked_text
from ..progress import Progress, silent
from ..reproduction.card import Card
from ..reproduction.catalog import CardTable, all_cards, find_card
from ..reproduction.reproduce import Reproduction, reproduce_card

__all__ = ["cards", "reproduce", "run_folder"]


def cards(paper: str | None = None) -> CardTable:
    """List the reproduction cards of the package: claims of papers with their verdicts.

    Args:
        paper: Short name of a paper, such as ``"eeqdm"``; all if None.

    Returns:
        The cards, a table in a notebook.

    Raises:
        UnknownName: If no card is of this paper.

    >>> [card.verdict for card in cards("eeqdm")][:2]
    ['reproduced', 'reproduced']
    """
    found = all_cards()
    return found if paper is None else found.of_paper(checked_text(paper, "paper"))


def reproduce(
    card: str | Path | Card,
    *,
    full: bool = False,
    out: str | Path | None = None,
    progress: Progress = silent,
    **options: Any,
) -> Reproduction:
    """Get the figures of a reproduction card again, and compare them with the paper's.

    Counts and closed forms take seconds. Trainings take minutes, and ``full=True`` trains as
    published. A training that was stopped goes on when it is called again with the same folder.

    Args:
        card: Name of a card, the path of one's own (``.json``), or a card of :func:`cards`.
        full: Train as published, which may take hours or days.
        out: Folder of training runs; ``runs/reproduce/CARD`` if None, with ``-full`` behind it.
        progress: Receives each figure and each training.
        options: Options of the trainings, such as ``folder="MNIST"`` for where a data set lies.

    Returns:
        Each figure of the paper beside ours, and the verdict; it shows itself in a notebook.

    Raises:
        UnknownName: If there is no such card.
        InvalidData: If the file is no card.
        InvalidOption: If an option is unknown, or a check refuses its arguments.
        MissingData: If a file or data set is not there.

    >>> found = reproduce("eeqdm-reduction")
    >>> found.verdict, found.as_the_card_says
    ('reproduced', True)
    """
    chosen = card if isinstance(card, Card) else find_card(card)
    return reproduce_card(
        chosen,
        scale="full" if full else "minutes",
        folder=run_folder(chosen, out, full=full),
        options=options,
        progress=progress,
    )


def run_folder(card: Card, out: str | Path | None, *, full: bool) -> Path:
    """Return the folder of a card's training runs.

    Args:
        card: The card.
        out: The folder that was asked for; ``runs/reproduce/CARD`` if None.
        full: Whether it trains as published, which goes into a folder of its own.
    """
    if out is not None:
        return checked_path(out, "out")
    return Path("runs") / "reproduce" / (f"{card.name}-full" if full else card.name)
