"""The table of docs/targets.md, from what ``targets.py`` has measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from target_rows import Row

from qdm_qiskit.files import write_text

__all__ = ["tables", "write_page"]

PAGE = Path(__file__).resolve().parents[1] / "docs" / "targets.md"
BEGIN, END = "<!-- families: begin -->\n", "<!-- families: end -->\n"
COLUMNS = (
    "distance on `aer`, by shots",
    "slope (95 %)",
    "noisy:{device}",
    "distance there",
    "seconds",
    "local:{device}",
)


def write_page(
    results: Mapping[str, Any], families: Mapping[str, Row], presets: Mapping[str, Row]
) -> None:
    """Put the tables between their marks in the page."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    write_text(PAGE, before + BEGIN + tables(results, families, presets) + END + after)


def tables(
    results: Mapping[str, Any], families: Mapping[str, Row], presets: Mapping[str, Row]
) -> str:
    """Return both tables as Markdown."""
    found = [_table("family", results, families), _table("preset", results, presets)]
    rows = {**families, **presets}
    return "\n".join([*found, *_intervals(results, rows), *_refusals(results, rows)])


def _intervals(results: Mapping[str, Any], rows: Mapping[str, Row]) -> list[str]:
    """Return how many intervals leave out a slope of -1/2, and whose they are."""
    found = {name: results["rows"].get(name, {}).get("aer", {}) for name in rows}
    intervals = {name: each["interval"] for name, each in found.items() if "interval" in each}
    without = [_title(rows[name]) for name, (a, b) in intervals.items() if not a <= -0.5 <= b]
    if not intervals:
        return []
    whose = f" ({', '.join(without)})" if without else ""
    return [
        f"{len(without)} of {len(intervals)} intervals leave out -1/2{whose}; of intervals of 95 %, "
        f"{0.05 * len(intervals):.1f} do by chance.\n"
    ]


def _refusals(results: Mapping[str, Any], rows: Mapping[str, Row]) -> list[str]:
    """Return each reason for which parts are refused, once, with its rows."""
    reasons: dict[str, list[str]] = {}
    for name, row in rows.items():
        parts = results["rows"].get(name, {}).values()
        reason = next((each["refused"] for each in parts if "refused" in each), None)
        if reason is not None:
            reasons.setdefault(reason, []).append(_title(row))
    if not reasons:
        return []
    lines = [f"* {', '.join(titles)}: {reason}" for reason, titles in reasons.items()]
    return ["Refused, and why:\n", *lines, ""]


def _table(kind: str, results: Mapping[str, Any], rows: Mapping[str, Row]) -> str:
    head = [kind, *(each.format(device=results["device"]) for each in COLUMNS)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, row in rows.items():
        cells = [_title(row) + _work(row), *_cells(results["rows"].get(name, {}))]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _title(row: Row) -> str:
    if not row.presets:
        return row.title
    first, *others = row.presets
    short = [each.removeprefix(first.partition("-")[0] + "-") for each in others]
    return first + (f" (also {', '.join(short)})" if others else "")


def _work(row: Row) -> str:
    """Return the options that make a row smaller than the model or preset that it stands for."""
    told = [f"{name}={value}" for name, value in {**row.options, **row.sampling}.items()]
    return f"; {', '.join(told)}" if told else ""


def _cells(parts: Mapping[str, Any]) -> list[str]:
    aer, noisy, local = (parts.get(each) for each in ("aer", "noisy", "local"))
    cells = _aer(aer) or [_why(aer), "-"]
    cells += _noisy(noisy) or [_why(noisy), "-", "-"]
    return cells + (_local(local) or [_why(local)])


def _aer(found: Mapping[str, Any] | None) -> list[str] | None:
    if found is None or "slope" not in found:
        return None
    pairs = zip(found["shots"], found["distances"], strict=True)
    low, high = found["interval"]
    return [
        ", ".join(f"{shots}: {distance:.2g}" for shots, distance in pairs),
        f"{found['slope']:.2f} ({low:.2f} to {high:.2f})",
    ]


def _noisy(found: Mapping[str, Any] | None) -> list[str] | None:
    if found is None or "distance" not in found:
        return None
    return [
        f"{_count(found['jobs'], 'job')}, {_count(found['circuits'], 'circuit')} x "
        f"{found['shots']} shots",
        f"{found['distance']:.2g}",
        f"{found['seconds']:.1f}",
    ]


def _local(found: Mapping[str, Any] | None) -> list[str] | None:
    if found is None or "points" not in found:
        return None
    what = f"{_count(found['jobs'], 'job')}, {_count(found['circuits'], 'circuit')}"
    same = "same bits" if found["equal"] else "DIFFERENT"
    return [f"{what}; {found['points']} kills, {same}"]


def _why(found: Mapping[str, Any] | None) -> str:
    """Return why a part has no numbers."""
    if found is None:
        return "not run"
    if "too_long" in found:
        return f"not done in {found['too_long']:.0f} s"
    if "refused" in found:
        return "refused"
    return "failed"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}" + ("" if number == 1 else "s")
