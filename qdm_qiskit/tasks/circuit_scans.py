"""Abilities of a circuit template over its options: expressibility, entanglement, gradients."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from ..analysis import analyse
from ..arguments import checked_path, checked_text, wrong
from ..canonical_json import content_sha256
from ..circuits import TEMPLATES
from ..errors import InvalidOption
from ..files import check_writable
from ..overview import RunRow, RunTable
from ..progress import Progress, silent
from ..work import Workers, WorkItem, run_items
from .workers import taken_workers, whole_threads

__all__ = ["METRICS", "MOST_CIRCUITS", "SCHEMA", "CircuitScan", "analyse_circuit", "scan_circuit"]

SCHEMA = "qdm-circuit-scan/1"
MOST_CIRCUITS = 10_000
"""Circuits of a scan at most."""
METRICS = (
    "qubits",
    "parameters",
    "expressibility_kl",
    "frame_potential",
    "meyer_wallach",
    "gradient_variance_global",
    "gradient_variance_local",
    "fisher_rank",
)
"""Columns of numbers, as :meth:`.CircuitAnalysis.estimates` names them; each has ``_low`` and ``_high``
in files, the ends of its interval."""


@dataclass(frozen=True, repr=False)
class CircuitScan:
    """Abilities of circuits that differ in options."""

    table: RunTable
    """A circuit a row."""
    failures: Mapping[str, str]
    """One line for each circuit that failed, by its name; the same call tries it again."""
    interrupted: bool
    """True if it was stopped before its end; the same call goes on."""

    def to_dict(self) -> dict[str, Any]:
        """Return the scan, ready for JSON."""
        return {"schema": SCHEMA, **self.table.to_dict()}

    def __repr__(self) -> str:
        state = "interrupted" if self.interrupted else f"{len(self.failures)} failed"
        return f"<CircuitScan: {self.table.title}, {len(self.table.rows)} circuits, {state}>"

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


def scan_circuit(
    template: str,
    grid: Mapping[str, Sequence[Any]],
    *,
    settings: Mapping[str, Any] | None = None,
    samples: int = 300,
    repeats: int = 10,
    start_angle: float = 0.0,
    seed: int = 0,
    folder: str | Path | None = None,
    workers: int | Executor | Workers | None = None,
    scheduler: str | Any | None = None,
    threads: int = 1,
    progress: Progress = silent,
) -> CircuitScan:
    """Measure a template's abilities for each combination of options.

    Each circuit is an item of work, whose result stays in the folder, and has the numbers of
    :func:`~qdm_qiskit.analysis.analyse` with the same seed, wherever it was measured.

    Args:
        template: A circuit's name.
        grid: Option to its values: ``{"depth": [1, 2, 4]}``; all combinations are measured.
        settings: Options that all circuits share.
        samples: States of a repeat, and points of the gradients, at least 2.
        repeats: Independent repeats, at least 2.
        start_angle: RY of this angle in radians on each qubit first.
        seed: Seed of all random angles.
        folder: Where results of items are kept; None keeps none.
        workers, scheduler: Who works, as for :func:`.sweep`.
        threads: CPU threads of torch for each circuit.
        progress: Receives a message for each circuit that ends, with the counts of all.

    Returns:
        The table, which shows itself in a notebook.

    Raises:
        UnknownName: If there is no such template.
        InvalidOption: If an option is unknown, out of range or named twice, or there is no value.
        WorkersUnavailable, MissingDependency, OutputNotWritable: As :func:`.sweep`.

    >>> found = scan_circuit("eeqdm", {"depth": [1, 2]}, samples=20, repeats=2)
    >>> [(row.options["depth"], row.metrics["parameters"]) for row in found.table.rows]
    [('1', 9), ('2', 18)]
    """
    checked_text(template, "template", "a circuit's name, which workers know too")
    whole_threads(threads)
    shared = {name: _text(value) for name, value in (settings or {}).items()}
    points = _points(grid, shared)
    items: dict[str, tuple[dict[str, str], WorkItem]] = {}
    for point in points:
        options = {**shared, **point}
        TEMPLATES[template].changed(options).example()  # a wrong one is said before any work
        each = {
            "template": template,
            "options": options,
            "samples": samples,
            "repeats": repeats,
            "start_angle": start_angle,
            "seed": seed,
            "threads": threads,
        }
        name = ",".join(f"{option}={value}" for option, value in point.items())
        told = re.sub(r"[^A-Za-z0-9_.,=+@-]+", "-", f"{template},{name}")[:150]
        item = WorkItem(f"{told}-{content_sha256(each)[:10]}", analyse_circuit, each)
        items[name] = point, item
    with tempfile.TemporaryDirectory() as passing:
        where = Path(passing) if folder is None else checked_path(folder, "folder")
        check_writable(where)
        with taken_workers(workers, scheduler, progress) as found:
            outcome = run_items([item for _, item in items.values()], where, found, progress)
    rows, failures = [], {}
    for name, (point, item) in items.items():
        failed = outcome.failures.get(item.address)
        if failed is not None:
            failures[name] = failed
        result = outcome.results.get(item.address)
        state = "done" if result is not None else "open" if failed is None else "failed"
        rows.append(
            RunRow(name, "circuit", state, point, {} if result is None else _metrics(result))
        )
    table = RunTable(tuple(rows), tuple(grid), METRICS, f"scan of {template}")
    return CircuitScan(table, failures, outcome.interrupted)


def analyse_circuit(
    folder: Path, *, template: str, options: Mapping[str, str], threads: int, **how: Any
) -> dict[str, Any]:
    """Measure one circuit; an item of :func:`scan_circuit`.

    Args:
        folder: The scan's; nothing but the result is written there.
        template: The circuit's name.
        options: Its options as text.
        threads: CPU threads of torch.
        how: As for :func:`~qdm_qiskit.analysis.analyse`.

    Returns:
        As :meth:`.CircuitAnalysis.to_dict`.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return analyse(TEMPLATES[template].changed(dict(options)).example(), **how).to_dict()
    finally:
        torch.set_num_threads(before)


def _points(grid: Mapping[str, Sequence[Any]], settings: Mapping[str, str]) -> list[dict[str, str]]:
    """Return all combinations of a grid's values, as text."""
    if not grid:
        raise InvalidOption(
            "A scan needs options and their values: name them in grid, as depth=1,2."
        )
    for option, values in grid.items():
        if isinstance(values, str) or not isinstance(values, Sequence):
            raise wrong(values, f"grid['{option}']", "a list of values", "such as [1, 2]")
        if not values:
            raise InvalidOption(f"grid takes values for '{option}', got none.")
        if option in settings:
            raise InvalidOption(f"Option '{option}' is set twice, in settings and in grid.")
    number = 1
    for values in grid.values():
        number *= len(values)
    if number > MOST_CIRCUITS:
        raise InvalidOption(f"A scan has at most {MOST_CIRCUITS} circuits, got {number}.")
    texts = [list(dict.fromkeys(map(_text, values))) for values in grid.values()]
    return [dict(zip(grid, each, strict=True)) for each in product(*texts)]


def _text(value: Any) -> str:
    """Return a value as the command line writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _metrics(result: Mapping[str, Any]) -> dict[str, Any]:
    found = {"qubits": result["num_qubits"], "parameters": result["num_parameters"]}
    for name, each in result["estimates"].items():
        found |= {name: each["value"], f"{name}_low": each["low"], f"{name}_high": each["high"]}
    return found
