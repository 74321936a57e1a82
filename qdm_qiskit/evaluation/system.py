"""System metrics of runs: qubits, depth, latency, cost, stability; one table, a run a column.

Everything is read from what the runs recorded. What no file says stands as such, with the reason;
nothing is estimated here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..arguments import checked_path, real_number, wrong
from ..csv_text import csv_text
from ..errors import InvalidOption, MissingData
from ..notebook import card, folded, note, one_line, table
from ..overview import find_runs, read_run
from ..overview.table import RunRow
from .system_of_hardware import hardware_run
from .system_of_runs import samples_run, training_run
from .system_rows import ROWS, SystemRow, SystemRun, shown_value
from .system_spread import Repeats, Spread, repeats, spreads

__all__ = [
    "SCHEMA",
    "SPREAD_HEAD",
    "SystemReport",
    "spread_lines",
    "spread_title",
    "system_report",
]

SCHEMA = "qdm-system/1"
MOST_WATTS = 1e9
_READ = {"training": training_run, "samples": samples_run, "hardware": hardware_run}
_NO_QUALITY = ("epoch", "step", "jobs", "lr")
"""Metrics of a run that say nothing of its quality; so do all that begin with ``seconds``."""
SPREAD_HEAD = ("metric", "runs", "mean", "deviation", "relative", "95% of the mean")


@dataclass(frozen=True, repr=False)
class SystemReport:
    """System metrics of runs.

    A notebook shows it as a table; :meth:`to_dict` and :meth:`to_csv` have the numbers.
    """

    runs: tuple[SystemRun, ...]
    """A run each."""
    watts: float | None
    """Power that the user gave; None if none."""
    unreadable: tuple[str, ...] = ()
    """Runs below a folder that could not be read, with the reason."""

    @property
    def spreads(self) -> tuple[Spread, ...]:
        """How metrics vary over seeds, calibrations and repeats."""
        return spreads(self.runs)

    @property
    def repeats(self) -> tuple[Repeats, ...]:
        """Whether runs of the same options and seeds gave the same bits."""
        return repeats(self.runs)

    def sections(self) -> dict[str, list[tuple[SystemRow, list[str]]]]:
        """Return the rows of each section, each with the text of its cells, a run each.

        A row that no run has a value for is left out; :meth:`unknown` names it.
        """
        found = {}
        for title, rows in ROWS.items():
            lines = [(row, [run.cell(row) for run in self.runs]) for row in rows if self._has(row)]
            if lines:
                found[title] = lines
        return found

    def unknown(self) -> list[str]:
        """Return a line for each reason why rows have no value in any run, with these rows."""
        found: dict[str, list[str]] = {}
        for rows in ROWS.values():
            for row in rows:
                if not self._has(row):
                    why = "; ".join(dict.fromkeys(run.why(row.key) for run in self.runs))
                    found.setdefault(why, []).append(row.title)
        return [f"{', '.join(titles)}: {why}" for why, titles in found.items()]

    def notes(self) -> list[str]:
        """Return sentences on stability, reproducibility, and what values mean."""
        lines = [each.sentence() for each in self.repeats]
        if not self.repeats:
            lines.append(
                "Reproducibility is not measured: no two of these runs have the same options, seeds, "
                "weights and device, and a result."
            )
        over = {each.over for each in self.spreads}
        for what, way in (("seeds", "the seed"), ("calibrations", "the device's calibration")):
            if what not in over:
                lines.append(
                    f"Stability over {what} is not measured: no two of these runs differ in {way} "
                    "alone."
                )
        lines += [f"Warning: {each}" for each in self.unreadable]
        told: dict[str, list[str]] = {}
        for run in self.runs:
            for each in run.notes:
                told.setdefault(each, []).append(run.name)
        lines += [f"{', '.join(names)}: {each}" for each, names in told.items()]
        if self.watts is not None:
            lines.append(
                f"Energy takes {shown_value(self.watts)} W, which you gave, for every run."
            )
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values, with the schema's name."""
        return {
            "schema": SCHEMA,
            "watts": self.watts,
            "runs": [each.to_dict() for each in self.runs],
            "spreads": [each.to_dict() for each in self.spreads],
            "repeats": [each.to_dict() for each in self.repeats],
            "unreadable": list(self.unreadable),
            "notes": self.notes(),
        }

    def to_csv(self) -> str:
        """Return the table as CSV, numbers in full and in SI units: a metric a row, a run a column."""
        lines: list[list[Any]] = [["metric", "title", "unit", *(run.name for run in self.runs)]]
        for rows in ROWS.values():
            for row in rows:
                cells = [run.values.get(row.key) for run in self.runs]
                lines.append([row.key, row.title, row.unit, *cells])
        for key in self._quality():
            lines.append([key, key, "", *(run.quality.get(key) for run in self.runs)])
        return csv_text(lines)

    def quality_lines(self) -> list[list[str]]:
        """Return a line for each loss and metric of an evaluation: its name, a cell a run."""
        return [
            [k, *(shown_value(run.quality.get(k)) for run in self.runs)] for k in self._quality()
        ]

    def __repr__(self) -> str:
        number = len(self.runs)
        told = f"{number} run{'' if number == 1 else 's'}"
        return one_line("SystemReport", told, f"{len(self.repeats)} sets that repeat each other")

    def _repr_html_(self) -> str:
        names = [run.name for run in self.runs]
        parts = [
            table([title, *names], [[row.title, *cells] for row, cells in lines])
            for title, lines in self.sections().items()
        ]
        if self.quality_lines():
            parts.append(table(["Quality", *names], self.quality_lines()))
        for each in self.spreads:
            parts.append(note(spread_title(each)))
            parts.append(table(SPREAD_HEAD, spread_lines(each)))
        parts += [note(each) for each in self.notes()]
        parts.append(folded("not known", *(note(each) for each in self.unknown())))
        return card("System metrics", *parts, about=f"{len(names)} runs")

    def _has(self, row: SystemRow) -> bool:
        return any(run.values.get(row.key) is not None for run in self.runs)

    def _quality(self) -> list[str]:
        return list(dict.fromkeys(key for run in self.runs for key in run.quality))


def spread_title(spread: Spread) -> str:
    """Return what a spread is of, in words."""
    same = f"; {len(spread.constant)} metrics are the same in all" if spread.constant else ""
    return f"Over {spread.over}: {', '.join(spread.runs)}{same}"


def spread_lines(spread: Spread) -> list[list[str]]:
    """Return a line for each metric that varies."""
    return [
        [
            row.title,
            str(row.count),
            shown_value(row.mean, row.unit),
            shown_value(row.std, row.unit),
            "-" if row.relative is None else shown_value(row.relative, "share"),
            f"{shown_value(row.low, row.unit)} to {shown_value(row.high, row.unit)}",
        ]
        for row in spread.varying
    ]


def system_report(
    runs: str | Path | Iterable[str | Path], *, watts: float | None = None
) -> SystemReport:
    """Collect the system metrics of runs from their folders; nothing is written, no service asked.

    Args:
        runs: Folders of training runs, of samples and of hardware runs. A folder that is no run
            stands for all runs below it.
        watts: Power of the system that runs the circuits, in watts, as you know it; energy is this
            times seconds. None leaves energy out.

    Returns:
        The report.

    Raises:
        MissingData: If a folder holds no run.
        InvalidData, InvalidPlan, InvalidCheckpoint: If a file of a run that was named cannot be used.
        InvalidOption: If ``watts`` is not above 0.
    """
    power = None if watts is None else real_number(watts, "watts")
    if power is not None and not (math.isfinite(power) and 0 < power <= MOST_WATTS):
        raise InvalidOption(f"watts is a power above 0 and at most {MOST_WATTS:g}, got {watts!r}.")
    found: list[SystemRun] = []
    unreadable: list[str] = []
    for given in _folders(runs):
        rows = _rows(given)
        for folder, row in rows:
            if row.state.startswith("cannot be read"):
                unreadable.append(f"{row.name} {row.state}")
            else:
                found.append(_READ[row.kind](folder, row.name, row.state, _quality_of(row), power))
    if not found:
        raise MissingData(f"No run can be read: {unreadable[0]}")
    return SystemReport(_named(found), power, tuple(unreadable))


def _named(runs: Sequence[SystemRun]) -> tuple[SystemRun, ...]:
    """Return the runs, each called by as many last parts of its folder as tell all of them apart."""
    parts = [Path(run.name).absolute().parts for run in runs]
    for number in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-number:]) for each in parts]
        if len(set(names)) == len(names):
            break
    return tuple(replace(run, name=name) for run, name in zip(runs, names, strict=True))


def _folders(runs: str | Path | Iterable[str | Path]) -> list[Path]:
    if isinstance(runs, str | Path):
        runs = [runs]
    if not isinstance(runs, Sequence):
        try:
            runs = list(runs)
        except TypeError:
            raise wrong(runs, "runs", "a folder or several") from None
    if not runs:
        raise MissingData("There are no runs to report: name one folder or more.")
    return list(dict.fromkeys(checked_path(each, "runs") for each in runs))


def _rows(folder: Path) -> list[tuple[Path, RunRow]]:
    """Return the run in a folder by the name that was given, or those below it by theirs."""
    if (folder / "fleet.json").is_file():
        raise MissingData(
            f"{folder} is a run that several devices share: name the runs beside it, which have jobs "
            "and costs of their own."
        )
    if _is_run(folder):
        row = read_run(folder)
        return [(folder, RunRow(str(folder), row.kind, row.state, row.options, row.metrics))]
    below = find_runs(folder)
    return [
        (
            folder / row.name,
            RunRow(str(folder / row.name), row.kind, row.state, row.options, row.metrics),
        )
        for row in below.rows
    ]


def _is_run(folder: Path) -> bool:
    try:
        read_run(folder)
    except MissingData:
        return False
    return True


def _quality_of(row: RunRow) -> Mapping[str, float]:
    """Return losses and metrics: what `qdm runs` shows of a run, without counts and times."""
    return {
        key: float(value)
        for key, value in row.metrics.items()
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and key not in _NO_QUALITY
        and not key.startswith("seconds")
    }
