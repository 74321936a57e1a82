"""The package's cards by name, anybody's by path, and what has been measured for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..arguments import checked_path
from ..errors import MissingData, unknown_name
from ..files import parse_json
from ..notebook import card as shown_card
from ..notebook import one_line, table
from .card import Card, Found
from .reader import card_from_dict, read_card

__all__ = ["RECORDED", "RECORDED_SCHEMA", "CardTable", "all_cards", "find_card", "recorded"]

RECORDED = "recorded.json"
"""Our figures for the package's cards: what checks computed, and what benchmarks/results has."""
RECORDED_SCHEMA = "qdm-recorded-figures/1"


@dataclass(frozen=True)
class CardTable:
    """Cards in a row, which a notebook shows as a table."""

    cards: tuple[Card, ...]

    def __iter__(self) -> Iterator[Card]:
        return iter(self.cards)

    def __len__(self) -> int:
        return len(self.cards)

    def __getitem__(self, name: str) -> Card:
        found = {each.name: each for each in self.cards}
        if name not in found:
            raise unknown_name("reproduction card", name, found)
        return found[name]

    def of_paper(self, paper: str) -> CardTable:
        """Return the cards of one paper.

        Raises:
            UnknownName: If there is none.
        """
        found = tuple(each for each in self.cards if each.paper == paper)
        if not found:
            raise unknown_name("paper", paper, {each.paper for each in self.cards})
        return CardTable(found)

    def __repr__(self) -> str:
        return one_line("CardTable", f"{len(self)} cards")

    def _repr_html_(self) -> str:
        rows = [(each.name, each.claim, each.verdict) for each in self.cards]
        return shown_card("reproduction cards", table(("card", "claim", "verdict"), rows))


@cache
def all_cards() -> CardTable:
    """Return the package's cards, by paper and then as they are numbered in it.

    >>> all_cards()["eeqdm-parameters"].verdict
    'reproduced'
    """
    folder = files(__package__).joinpath("cards")
    found = [
        card_from_dict(parse_json(each.read_bytes()))
        for each in sorted(folder.iterdir(), key=lambda each: each.name)
        if each.name.endswith(".json")
    ]
    return CardTable(tuple(found))


def find_card(card: str | Path) -> Card:
    """Return a card by its name, or from a file.

    Args:
        card: Name of one of the package's, or the path of a JSON file: text is taken for a path if
            it ends in ``.json``.

    Raises:
        InvalidArgument: If it is neither text nor a path.
        InvalidData: If the file is no card.
        MissingData: If there is no such file.
        UnknownName: If there is no such card.
    """
    path = checked_path(card, "card")
    if isinstance(card, str) and path.suffix != ".json":
        return all_cards()[card]
    if not path.is_file():
        raise MissingData(f"There is no reproduction card at {path}.")
    return read_card(path)


def recorded(card: Card) -> dict[str, Found]:
    """Return what was got for a card's figures before, by name.

    The package's own come from :data:`RECORDED`, which `make cards` writes; those of other cards
    from the result files beside them.

    Raises:
        InvalidData: If a result file or a place in it is missing.
    """
    if card.file is None:
        return _recorded().get(card.name, {})
    measured = {each.name: each.measured for each in card.figures if each.measured is not None}
    if not measured:
        return {}
    from .result_files import read_found  # which needs torch, as a list of cards does not

    return {name: read_found(each, card.file.parent) for name, each in measured.items()}


@cache
def _recorded() -> dict[str, dict[str, Found]]:
    content: Any = parse_json(files(__package__).joinpath(RECORDED).read_bytes())
    return {
        card: {name: _found(each) for name, each in figures.items()}
        for card, figures in content["figures"].items()
    }


def _found(content: dict[str, Any]) -> Found:
    """Return the number that :meth:`.Found.to_dict` wrote."""
    return Found(**{**content, "seeds": tuple(content["seeds"])})
