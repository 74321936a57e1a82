"""``qdm reproduce``: claims of the papers, and their figures got again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .completion import cards
from .models import JsonOption, SetOption

if TYPE_CHECKING:
    from ..progress import Message, Progress
    from ..reproduction import Card, CardTable
    from ..reproduction.reproduce import Reproduction

__all__ = ["EXIT_OTHER", "reproduce"]

EXIT_OTHER = 1
"""Exit code where figures came out otherwise than the card says."""


def reproduce(
    card: Annotated[
        str | None,
        typer.Argument(
            help="A card's name, or the path of your own; the list of cards if none.",
            autocompletion=cards,
        ),
    ] = None,
    paper: Annotated[
        str | None, typer.Option(help="List the cards of one paper, for example eeqdm.")
    ] = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Train as published: hours to days, not minutes. Times: ten times the rounds.",
        ),
    ] = False,
    settings: SetOption = None,
    out: Annotated[
        str | None,
        typer.Option(help="Folder of training runs; runs/reproduce/CARD by default."),
    ] = None,
    picture: Annotated[
        str | None,
        typer.Option(help="File for the card as a picture, .png, .svg or .pdf.", metavar="FILE"),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on standard error.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Get a figure of a paper again, and compare it; without a card, list the claims and verdicts.

    Counts and closed forms take seconds, trainings minutes. It ends with code 1 if the figures come out
    otherwise than the card says. After Ctrl-C the same command goes on.

    Example:

        qdm reproduce

        qdm reproduce eeqdm-parameters --json

        qdm reproduce eeqdm-reduction --picture figure2.svg
    """
    from ..errors import InvalidOption

    if card is None:
        if full or settings or out or picture:
            raise InvalidOption(
                "--full, --set, --out and --picture are about the card that is run; name one of "
                "`qdm reproduce`."
            )
        from ..reproduction import all_cards

        _list(all_cards() if paper is None else all_cards().of_paper(paper), as_json)
        return
    if paper is not None:
        raise InvalidOption("--paper lists cards; leave it out, or the card.")
    from ..options import parse_assignments
    from ..reproduction import find_card
    from ..reproduction.reproduce import reproduce_card
    from ..tasks.reproducing import run_folder

    chosen = find_card(card)
    drawn = None
    if picture is not None:
        from ..reports.card_render import check_picture

        drawn = check_picture(Path(picture))
    with _heard(quiet) as progress:
        found = reproduce_card(
            chosen,
            scale="full" if full else "minutes",
            folder=run_folder(chosen, out, full=full),
            options=parse_assignments(settings or []),
            progress=progress,
        )
    if drawn is not None:
        from ..reports.card_render import write_picture

        write_picture(found, drawn)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    else:
        _print(found)
        if drawn is not None:
            typer.echo(f"written  {drawn}")
    if found.as_the_card_says is False:
        raise typer.Exit(EXIT_OTHER)


def _list(cards: CardTable, as_json: bool) -> None:
    from ..reproduction import recorded

    if as_json:
        rows = [_row(card, {k: v.to_dict() for k, v in recorded(card).items()}) for card in cards]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(
        Column("card", no_wrap=True), Column("verdict", no_wrap=True), Column("claim", ratio=1)
    )
    for card in cards:
        table.add_row(card.name, card.verdict, _escaped(card.claim))
    Console().print(table)


def _row(card: Card, ours: dict[str, Any]) -> dict[str, Any]:
    return {
        "card": card.name,
        "paper": card.paper,
        "claim": card.claim,
        "source": vars(card.source),
        "setting": card.setting,
        "verdict": card.verdict,
        "why": card.why,
        "command": card.command,
        "figures": [
            {"name": f.name, "theirs": f.theirs, "spread": f.spread, "ours": ours.get(f.name)}
            for f in card.figures
        ],
    }


def _print(found: Reproduction) -> None:
    from rich.console import Console
    from rich.table import Table

    from ..reproduction.reproduce import cells

    card, console = found.card, Console(soft_wrap=True)
    source = f"{card.source.citation}, {card.source.section} ({card.source.basis})"
    for text in (card.claim, source, card.setting):
        if text:
            console.print(text, markup=False, highlight=False)
    table = Table("figure", "theirs", "ours", "recorded", "")
    for each in found.figures:
        table.add_row(*map(_escaped, cells(each)))
    if found.figures:
        Console().print(table)
    said = found.as_the_card_says
    if said is None:
        ending = f"the card says {card.verdict}"
    else:
        ending = f"{found.verdict}, {'as' if said else 'but'} the card says"
        ending += "" if said else f" {card.verdict}"
    console.print(ending, markup=False, highlight=False)
    if card.why:
        console.print(card.why, markup=False, highlight=False)
    if card.command and not any(each.ours for each in found.figures):
        console.print(f"to run it: {card.command}", markup=False, highlight=False)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


@contextmanager
def _heard(quiet: bool) -> Iterator[Progress]:
    """Say which training is at work and every tenth of its epochs; on a terminal each figure too."""
    from rich.console import Console

    from ..reproduction.training_runs import Begun
    from ..training.progress import EpochDone, StepDone

    console = Console(stderr=True)
    shown = not quiet and console.is_interactive
    with console.status("") if shown else nullcontext() as status:

        def hear(message: Message) -> None:
            if isinstance(message, EpochDone):
                tenth = max(1, (message.total or 1) // 10)
                spoken = not (message.done or 0) % tenth or message.done == 1
            else:
                spoken = isinstance(message, Begun)
            if spoken and not quiet:
                typer.echo(message, err=True)
            elif status is not None and not isinstance(message, StepDone):
                status.update(_escaped(message))

        yield hear
