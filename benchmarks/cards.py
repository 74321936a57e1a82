"""Write our figures of the reproduction cards, and the tables of docs/ that show them.

    python benchmarks/cards.py

Checks are computed; what was measured is read from benchmarks/results, at the places that the cards
name. Nothing is typed: a figure that neither has is "not run". It writes
qdm_qiskit/reproduction/recorded.json, docs/reproduction.md and a table on the page of each paper's
models. `make cards` runs it, in half a minute.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import qdm_qiskit
from qdm_qiskit.files import write_json, write_text
from qdm_qiskit.reproduction import Card, Found, all_cards, recorded
from qdm_qiskit.reproduction.catalog import RECORDED, RECORDED_SCHEMA
from qdm_qiskit.reproduction.checks import compute
from qdm_qiskit.reproduction.pages import cards_of_paper, summary, with_block
from qdm_qiskit.reproduction.result_files import read_found

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
TABLE = ROOT / "docs" / "reproduction.md"
PAPERS = ("eeqdm", "koelle", "cacioppo", "qamp", "defalco", "survey")
"""In the order of the page."""
MODELS = {paper: ROOT / "docs" / "models" / f"{paper}.md" for paper in PAPERS if paper != "survey"}


def figures_of(card: Card) -> dict[str, Found]:
    """Ours for each figure that a card has a way to."""
    found = {}
    for each in card.figures:
        if each.check is not None:
            found[each.name] = compute(each.check)
        elif each.measured is not None:
            found[each.name] = read_found(each.measured, RESULTS)
    return found


def pages(ours: Mapping[str, Mapping[str, Found]]) -> dict[Path, str]:
    """Every page that shows cards, with its tables made again."""
    by_paper = {paper: all_cards().of_paper(paper) for paper in PAPERS}
    tables = {paper: cards_of_paper(cards, ours) for paper, cards in by_paper.items()}
    whole = with_block(
        TABLE.read_text(),
        "verdicts",
        summary(card for cards in by_paper.values() for card in cards),
    )
    for paper, table in tables.items():
        whole = with_block(whole, f"cards of {paper}", table)
    found = {TABLE: whole}
    for paper, page in MODELS.items():
        found[page] = with_block(page.read_text(), f"cards of {paper}", tables[paper])
    return found


def main() -> None:
    ours = {card.name: figures_of(card) for card in all_cards()}
    file = Path(qdm_qiskit.__file__).parent / "reproduction" / RECORDED
    content = {
        card: {name: each.to_dict() for name, each in found.items()}
        for card, found in ours.items()
        if found
    }
    write_json(file, {"schema": RECORDED_SCHEMA, "figures": content})
    for page, text in pages(ours).items():
        write_text(page, text)


def recorded_pages() -> dict[Path, str]:
    """The pages as they are to be by what is recorded, for the test that finds them stale."""
    return pages({card.name: recorded(card) for card in all_cards()})


if __name__ == "__main__":
    main()
