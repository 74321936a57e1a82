"""Cards as Markdown: the whole table, and a paper's part of it for the page of its models."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import get_args

from ..errors import InvalidData
from .card import Card, Figure, Found, Verdict, judge

__all__ = ["cards_of_paper", "summary", "with_block"]

_UNBROKEN = 48
"""Characters of the longest line of a figure that is not broken."""

Ours = Mapping[str, Mapping[str, Found]]
"""Numbers of ours by card and figure."""


def summary(cards: Iterable[Card]) -> str:
    """Return a table of papers and verdicts, a count in each cell."""
    kinds: tuple[Verdict, ...] = get_args(Verdict)
    lines = [f"| paper | {' | '.join(kinds)} |", f"|---|{'---|' * len(kinds)}"]
    total: Counter[Verdict] = Counter()
    for paper, group in groupby(cards, key=lambda each: each.paper):
        counts = Counter(each.verdict for each in group)
        total.update(counts)
        lines.append(f"| {paper} | {' | '.join(str(counts[kind] or '') for kind in kinds)} |")
    lines.append(f"| all | {' | '.join(str(total[kind]) for kind in kinds)} |")
    return "\n".join(lines) + "\n"


def cards_of_paper(cards: Iterable[Card], ours: Ours) -> str:
    """Return a table of cards, one row each, with all their figures.

    Args:
        cards: Cards.
        ours: What was computed or measured.
    """
    lines = ["| card | theirs / ours |", "|---|---|"]
    for card in cards:
        found = ours.get(card.name, {})
        figures = (
            _whole(
                f"{_cell(each.name)}: {_cell(each.printed)} / {_ours(each, found.get(each.name))}"
            )
            for each in card.figures
        )
        lines.append(f"| {_about(card, found)} | {'<br>'.join(figures) or '-'} |")
    return "\n".join(lines) + "\n"


def _about(card: Card, found: Mapping[str, Found]) -> str:
    """Return the cell of a card: name, verdict, claim, source, and the reason."""
    source = f"{card.source.citation}, {card.source.section}"
    if card.source.basis != "text":
        source += f" ({card.source.basis})"
    told = [f"{_cell(each).rstrip('.')}." for each in (card.why, *_from(card, found)) if each]
    if card.command not in ("", f"qdm reproduce {card.name}"):
        told.append(f"`{card.command}`")
    parts = [f"`{card.name}`: **{card.verdict}**", f"{_cell(card.claim)} *{_cell(source)}*"]
    return "<br>".join([*parts, *([" ".join(told)] if told else [])])


def _whole(line: str) -> str:
    """Return a figure's line; a short one is not broken, which keeps its column wide enough."""
    return line.replace(" ", "\N{NO-BREAK SPACE}") if len(line) <= _UNBROKEN else line


def _ours(figure: Figure, found: Found | None) -> str:
    if found is None:
        return "-"
    agreement = judge(figure, found)
    if figure.theirs == 0 and figure.within and agreement == "agrees":
        return f"0 to {figure.within:g}"  # rounding, which the next machine does otherwise
    return found.printed if agreement == "agrees" else f"{found.printed} ({agreement})"


def _from(card: Card, found: Mapping[str, Found]) -> list[str]:
    """Say what our numbers are from: the setting, the result files, and seeds."""
    files = sorted({each.file for each in found.values() if each.file})
    seeds = sorted({seed for each in found.values() if each.file for seed in each.seeds})
    told = [card.setting]
    if files:
        places = ", ".join(f"benchmarks/results/{each}" for each in files)
        told.append(f"From {places}" + (f", seeds {', '.join(map(str, seeds))}" if seeds else ""))
    return told


def _cell(text: str) -> str:
    """Return text that stays in its cell and is no markup."""
    return re.sub(r"([\\|<>*_`\[\]])", r"\\\1", text)


def with_block(page: str, name: str, content: str) -> str:
    """Return a page with what stands between the marks of a block replaced.

    Args:
        page: Markdown with the lines ``<!-- NAME -->`` and ``<!-- end of NAME -->``.
        name: The block.
        content: What is put between them.

    Raises:
        InvalidData: If the page has no such block.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise InvalidData(f"The page has no lines '{begin.strip()}' and '{end}'.")
    return f"{before}{begin}\n{content}\n{end}{after}"
