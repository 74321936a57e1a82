"""A table of runs: a run a row; options and metrics are its columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..csv_text import csv_text
from ..errors import unknown_name
from ..notebook import card, one_line, table

__all__ = ["RunRow", "RunTable", "cell"]

_DEVIATIONS = ("test_loss_std",)
"""Deviations over seeds that are shown; files have all."""


@dataclass(frozen=True)
class RunRow:
    """One run."""

    name: str
    """Its folder, relative to where the table was made for."""
    kind: str
    """``training``, ``samples`` or ``hardware``."""
    state: str
    """``done``, or what it stands at, in a few words."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Numbers, text, True and False, and None."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """The same."""

    def value(self, column: str) -> Any:
        """Return what stands in a column; None if nothing does."""
        if column in ("name", "kind", "state"):
            return getattr(self, column)
        return self.options.get(column, self.metrics.get(column))


@dataclass(frozen=True, repr=False)
class RunTable:
    """Runs with the columns that are shown.

    Args:
        rows: The runs.
        options: Columns of options that are shown.
        metrics: Columns of metrics that are shown.
        title: What the runs are.
    """

    rows: tuple[RunRow, ...]
    options: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    title: str = "runs"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are shown, the name last: it is the longest."""
        kinds = ("kind",) if len({row.kind for row in self.rows}) > 1 else ()
        return (*kinds, *self.options, *self.metrics, "state", "name")

    @property
    def all_columns(self) -> tuple[str, ...]:
        """Every option and metric that some run has, options first."""
        options = dict.fromkeys([*self.options, *(k for row in self.rows for k in row.options)])
        metrics = dict.fromkeys([*self.metrics, *(k for row in self.rows for k in row.metrics)])
        both = dict.fromkeys([*options, *metrics])
        return ("name", "kind", "state", *both)

    def check_column(self, column: str) -> None:
        """Refuse a column that no run has.

        Raises:
            UnknownName: If there is none of this name; it names the nearest.
        """
        if column not in self.all_columns:
            raise unknown_name("column of this table called", column, self.all_columns)

    def sorted_by(self, column: str, *, reverse: bool = False) -> RunTable:
        """Return the table with its rows in order; runs without a value come last.

        Args:
            column: Any option or metric, shown or not, or name, kind or state.
            reverse: True for the largest first.

        Raises:
            UnknownName: If no run has such a column.
        """
        self.check_column(column)
        having = [row for row in self.rows if _there(row.value(column))]
        having.sort(key=lambda row: _key(row.value(column)), reverse=reverse)
        missing = [row for row in self.rows if not _there(row.value(column))]
        return replace(self, rows=(*having, *missing))

    def with_columns(self, columns: Sequence[str]) -> RunTable:
        """Return the table with these columns in place of its own.

        Raises:
            UnknownName: If no run has one of them.
        """
        for each in columns:
            self.check_column(each)
        chosen = tuple(each for each in columns if each not in ("name", "kind", "state"))
        return replace(self, options=chosen, metrics=())

    def differing(self) -> RunTable:
        """Return the table with the options in which its runs differ."""
        names = dict.fromkeys(name for row in self.rows for name in row.options)
        return replace(self, options=tuple(n for n in names if _differs(self.rows, n)))

    def over_seeds(self) -> RunTable:
        """Return a row for each set of options but the seed, with means and deviations over seeds.

        A metric ``m`` stays the mean over the runs that have it; ``m_std`` is the sample's standard
        deviation, of two runs or more.
        """
        points: dict[tuple[Any, ...], list[RunRow]] = {}
        shown = tuple(name for name in self.options if name != "seed")
        for row in self.rows:
            key = tuple((name, str(row.options.get(name))) for name in shown)
            points.setdefault(key, []).append(row)
        rows = tuple(_mean_row(each, shown) for each in points.values())
        deviations = [name for name in _DEVIATIONS if any(name in row.metrics for row in rows)]
        shown_metrics = ("seeds", *self.metrics, *deviations)
        return replace(self, rows=rows, options=shown, metrics=shown_metrics)

    def cells(self) -> list[list[str]]:
        """Return the shown cells as text, a list for each row."""
        return [[cell(row.value(each)) for each in self.columns] for row in self.rows]

    def to_csv(self) -> str:
        """Return all columns as CSV, numbers in full."""
        cells = ([_csv(row.value(each)) for each in self.all_columns] for row in self.rows)
        return csv_text([self.all_columns, *cells])

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values: a list of rows."""
        return {
            "title": self.title,
            "rows": [
                {
                    "name": row.name,
                    "kind": row.kind,
                    "state": row.state,
                    "options": {name: _json(value) for name, value in row.options.items()},
                    "metrics": {name: _json(value) for name, value in row.metrics.items()},
                }
                for row in self.rows
            ],
        }

    def __repr__(self) -> str:
        return one_line("RunTable", self.title, f"{len(self.rows)} runs")

    def _repr_html_(self) -> str:
        return card(self.title, table(self.columns, self.cells()), about=f"{len(self.rows)} runs")


def cell(value: Any) -> str:
    """Return a value as it is shown: numbers with four digits, lists with commas."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) or "-"
    return str(value)


def _there(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _key(value: Any) -> tuple[int, float, str]:
    """Numbers by size, then everything else by its text."""
    if isinstance(value, int | float):
        return (0, float(value), "")
    return (1, 0.0, cell(value))


def _differs(rows: Iterable[RunRow], name: str) -> bool:
    return len({cell(row.options.get(name)) for row in rows}) > 1


def _mean_row(rows: Sequence[RunRow], shown: Sequence[str]) -> RunRow:
    metrics: dict[str, Any] = {"seeds": len(rows)}
    for name in dict.fromkeys(name for row in rows for name in row.metrics):
        found = [row.metrics.get(name) for row in rows]
        numbers = [v for v in found if isinstance(v, int | float) and _there(v)]
        if not numbers:
            continue
        mean = math.fsum(numbers) / len(numbers)
        metrics[name] = mean
        if len(numbers) > 1:
            squares = math.fsum((v - mean) ** 2 for v in numbers)
            metrics[f"{name}_std"] = math.sqrt(squares / (len(numbers) - 1))
    states = dict.fromkeys(row.state for row in rows)
    return RunRow(
        name=",".join(f"{name}={cell(rows[0].options.get(name))}" for name in shown),
        kind=rows[0].kind,
        state="; ".join(states),
        options={name: rows[0].options.get(name) for name in shown},
        metrics=metrics,
    )


def _csv(value: Any) -> Any:
    return "" if value is None else cell(value) if isinstance(value, list | tuple) else value


def _json(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no NaN
    return list(value) if isinstance(value, tuple) else value
