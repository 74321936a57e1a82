"""What storms did, in a file that grows from call to call, and its figures in docs/promises.md.

`python -m tests.runtime.storm_record` writes the figures of `FILE` into the page.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.helpers import ROOT

__all__ = ["FILE", "PAGE", "Tally", "page_with", "read_tallies", "record", "total_of"]

FILE = ROOT / "benchmarks" / "results" / "storm.json"
PAGE = ROOT / "docs" / "promises.md"
BEGIN, END = "<!-- storm: begin -->\n", "<!-- storm: end -->\n"
KILLS_BY = {
    "start": "process forked from one that has imported all, or started anew",
    "moment": "kill at a random moment, or at a point of the record",
    "point": "point: before, within or after a transaction, or at a file that has no name yet",
    "work": "work",
    "mode": "mode",
    "account": "plan of the account",
    "mitigation": "mitigation",
    "refit": "with a refit",
    "processes": "processes at once",
    "budget": "budget of all runs together",
}
"""What kills are counted by, and its words on the page."""


@dataclass
class Tally:
    """What was done, and what went wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    kills: dict[str, Counter[str]] = field(default_factory=dict)
    """Number of kills by each of `KILLS_BY`."""
    points: Counter[str] = field(default_factory=Counter)
    """Number of kills by point: side, and kind of transaction or file."""
    seconds: Counter[str] = field(default_factory=Counter)
    """QPU seconds: `charged` and `planned` of runs that ended; `wall` of all rounds."""
    wrong: list[str] = field(default_factory=list)

    def killed(self, **by: str) -> None:
        """Count one kill."""
        self.counts["kills"] += 1
        for name, value in by.items():
            self.kills.setdefault(name, Counter())[value] += 1

    def add(self, other: Tally) -> None:
        """Add what another one counted."""
        self.counts.update(other.counts)
        self.points.update(other.points)
        self.seconds.update(other.seconds)
        for name, counted in other.kills.items():
            self.kills.setdefault(name, Counter()).update(counted)
        self.wrong += other.wrong

    def to_dict(self) -> dict[str, Any]:
        return {
            "counts": _sorted(self.counts),
            "kills": {name: _sorted(counted) for name, counted in sorted(self.kills.items())},
            "points": _sorted(self.points),
            "seconds": {name: round(value, 3) for name, value in sorted(self.seconds.items())},
            "wrong": self.wrong,
        }

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Tally:
        """The tally of a dictionary."""
        return cls(
            Counter(found["counts"]),
            {name: Counter(counted) for name, counted in found["kills"].items()},
            Counter(found["points"]),
            Counter(found["seconds"]),
            list(found["wrong"]),
        )

    def __str__(self) -> str:
        counts = self.counts
        names = ("rounds", "runs", "kills", "faults", "clocks", "done", "refused", "jobs")
        said = ", ".join(f"{counts[name]} {name}" for name in names)
        twice, lost = counts["paid twice"], counts["lost"]
        return f"{said}; {twice} paid twice, {lost} lost; {len(self.wrong)} wrong"

    def lines(self) -> list[str]:
        """Everything, for reading."""
        found = [f"- {self}"]
        if self.seconds["planned"]:
            found.append(
                f"- QPU time of runs that ended: {self.seconds['charged']:.1f} s charged, "
                f"{self.seconds['planned']:.1f} s planned"
            )
        for name, words in KILLS_BY.items():
            counted = ", ".join(
                f"{each} {n}" for each, n in _sorted(self.kills.get(name, {})).items()
            )
            found.append(f"- kills by {words}: {counted}")
        found.append(f"- {len(self.points)} kinds of points of the record met by a kill")
        return found


def _sorted(counted: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counted.items()))


def read_tallies(path: Path) -> dict[str, Tally]:
    """Tallies by seed; none if there is no file."""
    if not path.exists():
        return {}
    return {seed: Tally.of(found) for seed, found in json.loads(path.read_text()).items()}


def record(path: Path, seed: int, found: Tally) -> Tally:
    """Add a tally to that of its seed in a file; the sum of both. Several processes may do so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(path.name + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tallies = read_tallies(path)
        tallies.setdefault(str(seed), Tally()).add(found)
        text = json.dumps(
            {name: each.to_dict() for name, each in sorted(tallies.items())}, indent=1
        )
        new = path.with_name(path.name + ".new")
        new.write_text(text + "\n")
        os.replace(new, path)
    return tallies[str(seed)]


def total_of(tallies: Mapping[str, Tally]) -> Tally:
    """The sum of all seeds."""
    total = Tally()
    for each in tallies.values():
        total.add(each)
    return total


def page_with(text: str, tallies: Mapping[str, Tally]) -> str:
    """The text of the page with these figures between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    seeds = ", ".join(sorted(tallies))
    lines = [
        f"Figures of benchmarks/results/storm.json, seeds {seeds}:",
        "",
        *total_of(tallies).lines(),
    ]
    return before + BEGIN + "\n".join(lines) + "\n" + END + after


if __name__ == "__main__":
    PAGE.write_text(page_with(PAGE.read_text(), read_tallies(FILE)))
