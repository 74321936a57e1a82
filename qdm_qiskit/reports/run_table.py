"""A table of runs for the terminal and as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..overview import RunTable
from ..pages import Page, Section, Table, render_page

if TYPE_CHECKING:
    from rich.table import Table as RichTable

__all__ = ["SCHEMA", "run_table", "table_files", "table_json", "table_width"]

SCHEMA = "qdm-run-table/1"
LONGEST_NUMBER = 30
"""Characters of a cell that may still be a number."""
LEAST_NAME = 20
"""Characters of a run's name that stay together, however narrow the table is."""
WIDEST = 240
"""Characters of a line, beyond which the last columns fold."""


def run_table(found: RunTable, *, turned: bool = False) -> RichTable:
    """Render runs as a table for the terminal.

    Args:
        found: The runs.
        turned: True for a run a column, False for a run a row.
    """
    from rich.markup import escape
    from rich.table import Table as RichTable

    table = RichTable(title=escape(f"{found.title}, {len(found.rows)} rows"), title_justify="left")
    head, *lines = _lines(found, turned=turned)
    for k, name in enumerate(head):
        words = k == 0 if turned else name in ("name", "state", "kind")
        widest = max((len(line[k]) for line in lines), default=0)
        # Long text may, as paths of data are, numbers and their titles never.
        folds = k > 0 if turned else words or widest > LONGEST_NUMBER
        table.add_column(
            escape(name),
            justify="left" if words else "right",
            overflow="fold",
            no_wrap=not folds,
            min_width=min(widest, LEAST_NAME) if name == "name" else None,
        )
    for cells in lines:
        table.add_row(*map(escape, cells))
    return table


def table_width(found: RunTable, *, turned: bool = False) -> int:
    """Return the width at which no number is broken, whatever the terminal's is."""
    lines = _lines(found, turned=turned)
    widest = sum(max(len(line[k]) for line in lines) for k in range(len(lines[0])))
    return max(80, min(widest + 3 * len(lines[0]) + 1, WIDEST))


def _lines(found: RunTable, *, turned: bool) -> list[list[str]]:
    lines = [list(found.columns), *found.cells()]
    if not turned:
        return lines
    columns = [list(each) for each in zip(*lines, strict=True)]
    return [["", *columns[-1][1:]], *columns[:-1]]  # names, which stand last, are the head


def table_json(content: Mapping[str, Any]) -> bytes:
    """Return the file of a table's JSON values; they may name a schema of their own."""
    whole = {"schema": SCHEMA, **content}
    return (json.dumps(whole, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def table_files(found: RunTable, *, about: str = "") -> dict[str, bytes]:
    """Return a table as files: name to content of ``.csv``, ``.json`` and ``.html``."""
    table = Table(found.columns, found.cells())
    page = Page(found.title, about or f"{len(found.rows)} runs", [Section("Runs", [table])])
    return {
        "runs.csv": found.to_csv().encode(),
        "runs.json": table_json(found.to_dict()),
        "runs.html": render_page(page).encode(),
    }
