"""Are we as far ahead of the peers as at the last measurement?

    python benchmarks/ratios.py keep benchmarks/results/engine.json    # what engine.py --json wrote
    python benchmarks/ratios.py compare [--bar 0.8]

``results/ratios.csv`` has a line for each workload, peer and measurement: the peer's time over ours,
of medians and of least times. Times of two machines, or of two days, say little about a change of
ours; ratios of one run, in which all take turns, say more. They still depend on the processor, so a
line is compared with the one before it of the same processor.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

KEPT = Path(__file__).parent / "results" / "ratios.csv"
OURS = "ours"
OTHER_DOORS = ("engine-qnn", "from-qnn")
"""Our engine too, behind classes of qiskit-machine-learning: no peers."""


@dataclass(frozen=True)
class Ratio:
    """How many times as long as ours the step of a peer takes, in one measurement."""

    when: str
    """Start of the measurement, ISO 8601; lines are in this order."""
    version: str
    """Of this package."""
    cpu: str
    load: float
    """Processes that ran or waited when it began; above the number of cores, look twice."""
    workload: str
    peer: str
    median: float
    least: float

    @property
    def subject(self) -> tuple[str, str, str]:
        """What has to be the same where two are compared."""
        return self.cpu, self.workload, self.peer


def of_report(report: dict[str, Any], when: str | None = None) -> list[Ratio]:
    """Return the ratios in what ``engine.py --json`` writes.

    Args:
        report: It.
        when: Start of the measurement, where the report does not say it.
    """
    machine = report["machine"]
    began = machine.get("when", when)
    if began is None:
        sys.exit("The report does not say when it was measured; say it by --when 2026-11-30.")
    datetime.fromisoformat(began)
    about = (began, machine["versions"]["qdm_qiskit"], machine["cpu"], float(machine["load"]))
    return [
        Ratio(
            *about,
            workload,
            peer,
            *(float(f"{each[key] / times[OURS][key]:.4g}") for key in ("median_ms", "min_ms")),
        )
        for workload, times in report["workloads"].items()
        for peer, each in times.items()
        if peer not in (OURS, *OTHER_DOORS)
    ]


def read(path: Path = KEPT) -> list[Ratio]:
    """Return the ratios in a file, in its order; none if there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Ratio(**{**row, **{name: float(row[name]) for name in ("load", "median", "least")}})
            for row in csv.DictReader(file)
        ]


def keep(found: list[Ratio], path: Path = KEPT) -> int:
    """Add ratios to a file, and return how many were new."""
    before = read(path)
    new = [each for each in found if each not in before]
    rows = sorted([*before, *new], key=lambda each: (each.when, *each.subject))
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, [each.name for each in fields(Ratio)], lineterminator="\n")
        out.writeheader()
        out.writerows(map(asdict, rows))
    return len(new)


def changes(rows: list[Ratio]) -> list[tuple[Ratio, Ratio]]:
    """Return the newest ratio of each subject with the one before it, where there are two."""
    by_subject: dict[tuple[str, str, str], list[Ratio]] = {}
    for each in sorted(rows, key=lambda row: row.when):
        by_subject.setdefault(each.subject, []).append(each)
    return [(found[-2], found[-1]) for found in by_subject.values() if len(found) > 1]


def change(before: Ratio, after: Ratio) -> float:
    """Return the larger of the changes of median and least: one bad moment is no slower engine."""
    return max(after.median / before.median, after.least / before.least)


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--file", type=Path, default=KEPT, help="where ratios are kept")
    verbs = parser.add_subparsers(dest="verb", required=True)
    keeping = verbs.add_parser("keep", help="add the ratios of a measurement")
    keeping.add_argument("report", type=Path, help="what engine.py --json wrote")
    keeping.add_argument("--when", help="date of a report that does not tell it")
    comparing = verbs.add_parser("compare", help="show the newest beside the ones before")
    comparing.add_argument(
        "--bar", type=float, help="end with 1 if a ratio is less than this times the one before"
    )
    options = parser.parse_args(arguments)
    if options.verb == "keep":
        new = keep(of_report(json.loads(options.report.read_text()), options.when), options.file)
        print(f"{new} new ratios in {options.file}")
        return 0
    return _compare(changes(read(options.file)), options.bar)


def _compare(found: list[tuple[Ratio, Ratio]], bar: float | None) -> int:
    if not found:
        print("No workload and peer was measured twice on one processor.")
        return 0
    print("| processor | workload | peer | before | | now | | now / before |")
    print("|---|---|---|---|---:|---|---:|---:|")
    low = []
    for before, after in found:
        told = f"{after.cpu} | {after.workload} | {after.peer}"
        by = change(before, after)
        days = [f"{each.when[:16]} | {each.median:.4g}" for each in (before, after)]
        print(f"| {told} | {days[0]} | {days[1]} | {by:.2f} |")
        if bar is not None and by < bar:
            low.append(f"{told.replace(' | ', ', ')}: {by:.2f}")
    if low:
        print(f"Less than {bar:g} times the one before: {'; '.join(low)}.", file=sys.stderr)
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
