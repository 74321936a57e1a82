"""A model on many devices: a row for each device, optimization level and loader."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qiskit.providers import BackendV2

from ..errors import InvalidOption, UnsupportedCircuit, unknown_name
from ..execution.devices import as_backend
from ..notebook import card, note, table
from ..overview import RunRow, RunTable
from ..sampling.readings import Reading
from .run_cost import Fitted, Kept, Work, run_report
from .transpile import Verdict, exact_probabilities, share_in_bases, verdict_of

__all__ = [
    "METRICS",
    "SCHEMA",
    "Comparison",
    "Failing",
    "check_limits",
    "comparison_table",
    "device_row",
]

SCHEMA = "qdm-comparison/1"
METRICS = (
    "rank",
    "depth",
    "two_qubit",
    "two_qubit_depth",
    "cnots",
    "duration_us",
    "success",
    "signal_left",
    "qpu_seconds",
)
"""Columns of numbers. ``rank`` is 1 for the highest ``success``, then the fewest ``cnots``;
``two_qubit`` counts native two-qubit gates, ``cnots`` the same in CNOTs; ``qpu_seconds`` are those of
the whole run. Of a model of several circuits the worst circuit counts."""


@dataclass(frozen=True)
class Failing:
    """A row beyond a limit."""

    name: str
    """The device, with level and loader where there are several."""
    sentence: str
    """The limit, and what was found."""

    def __str__(self) -> str:
        return f"{self.name}: {self.sentence}"


@dataclass(frozen=True, repr=False)
class Comparison:
    """What a model costs on many devices."""

    name: str
    """The model's or run's name."""
    about: str
    """What the numbers are of, in words."""
    table: RunTable
    """A row for each device, level and loader, the best first."""
    failures: Mapping[str, str]
    """One line for each row that failed, by its name; the same call tries it again."""
    interrupted: bool
    """True if it was stopped before its end; the same call goes on."""

    def sorted_by(self, column: str, *, reverse: bool = False) -> Comparison:
        """Return the comparison with its rows in order; see :meth:`.RunTable.sorted_by`."""
        return replace(self, table=self.table.sorted_by(column, reverse=reverse))

    def row_name(self, row: RunRow) -> str:
        """Return a row's device, with level and loader where there are several."""
        varied = [f"{each}={row.options[each]}" for each in self.table.options]
        return " ".join([row.name, *varied])

    def notes(self) -> list[str]:
        """Why a model does not run on a device, a line each."""
        found = ((row, row.value("problem")) for row in self.table.rows)
        return [f"{self.row_name(row)}: {reason}" for row, reason in found if reason]

    def failing(
        self,
        above: Mapping[str, float] | None = None,
        below: Mapping[str, float] | None = None,
    ) -> list[Failing]:
        """Return rows beyond limits.

        A device on which the model does not run is not compared. One that does not give a number
        that has a limit, such as durations, is beyond it.

        Args:
            above: Column of :data:`METRICS` to the largest value allowed: ``{"cnots": 250}``.
            below: Column to the smallest value allowed: ``{"success": 0.5}``.

        Raises:
            UnknownName: If there is no such column.
            InvalidOption: If a limit is no finite number, or no row is there to be compared.
        """
        check_limits(above, below)
        limits = [(c, v, "above", 1.0) for c, v in (above or {}).items()]
        limits += [(c, v, "below", -1.0) for c, v in (below or {}).items()]
        done = [row for row in self.table.rows if row.state == "done"]
        if limits and not done:
            raise InvalidOption(
                f"'{self.name}' runs on none of these devices: no limit was tested."
            )
        found = []
        for column, limit, word, sign in limits:
            if all(row.value(column) is None for row in done):
                raise InvalidOption(
                    f"No row has a {column} here, so its limit cannot be tested; leave it out."
                )
            for row in done:
                value = row.value(column)
                if value is None:
                    words = f"{column} is not known, and may not be {word} {limit:g}"
                elif sign * value > sign * limit:
                    words = f"{column} {value:.6g} is {word} {limit:g}"
                else:
                    continue
                found.append(Failing(self.row_name(row), words))
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison, ready for JSON."""
        return {"schema": SCHEMA, "name": self.name, "about": self.about, **self.table.to_dict()}

    def __repr__(self) -> str:
        state = "interrupted" if self.interrupted else f"{len(self.failures)} failed"
        return f"<Comparison: {self.name}, {len(self.table.rows)} rows, {state}>"

    def _repr_html_(self) -> str:
        notes = [note(each) for each in self.notes()]
        shown = table(self.table.columns, self.table.cells())
        return card(self.table.title, shown, *notes, about=self.about)


def check_limits(
    above: Mapping[str, float] | None = None, below: Mapping[str, float] | None = None
) -> None:
    """Refuse limits of columns that do not exist, or that are no finite numbers.

    Raises:
        UnknownName, InvalidOption: Then.
    """
    for word, limits in (("fail_above", above or {}), ("fail_below", below or {})):
        for column, limit in limits.items():
            if column not in METRICS:
                raise unknown_name(f"column for {word} called", column, METRICS)
            number = isinstance(limit, int | float) and not isinstance(limit, bool)
            if not number or not math.isfinite(limit):
                raise InvalidOption(f"{word} takes a number for '{column}', got {limit!r}.")


def device_row(
    name: str,
    work: Work,
    device: str,
    *,
    level: int,
    seeds: Sequence[int],
    shots: int,
    fractional: bool,
) -> dict[str, Any]:
    """Return the numbers of a run on a device, ready for JSON.

    Args:
        name: The run's or model's name.
        work: Its calls.
        device: Name of the device.
        level: Optimization level.
        seeds: Transpiler seeds; the best trial of each circuit counts.
        shots: Shots of each bound circuit.
        fractional: True to use a device's rzz for free angles too.

    Returns:
        ``device_qubits``, ``qubits``, ``state``, ``problem`` and the columns of :data:`METRICS` but
        for the rank.
    """
    kept = Kept()
    report = run_report(
        name,
        work,
        [device],
        level=level,
        seeds=seeds,
        shots=shots,
        fractional=fractional,
        kept=kept,
    )
    [found] = report.backends
    qubits = max(row.qubits for row in found.rows)
    known = {"device_qubits": found.device_qubits, "qubits": qubits}
    if found.total is None:
        small = qubits > found.device_qubits
        state = "too small" if small else "does not run"
        return {**known, "state": state, "problem": found.problem}
    fitted = list(kept.found.values())
    costs = [cost for each in fitted for cost in each.costs]
    lengths = [cost.duration_seconds for cost in costs]
    seconds = [each for each in lengths if each is not None]
    return {
        **known,
        "state": "done",
        "problem": None,
        "depth": max(cost.depth for cost in costs),
        "two_qubit": max(cost.two_qubit_count for cost in costs),
        "two_qubit_depth": max(cost.two_qubit_depth for cost in costs),
        "cnots": max(cost.cnot_equivalents for cost in costs),
        "duration_us": max(seconds) * 1e6 if len(seconds) == len(lengths) else None,
        "success": min(cost.expected_success for cost in costs),
        "signal_left": _signal_left(device, work, fitted, shots),
        "qpu_seconds": found.total.qpu_seconds,
    }


def _signal_left(device: str, work: Work, fitted: Sequence[Fitted], shots: int) -> float | None:
    """Return the smallest share of an image's signal that a circuit leaves; None if it is not known.

    It is known of circuits that measure all their bits at the end, in one basis or in several.
    """
    if work.way != "calls":  # a chain in one circuit, or states that several calls tell of
        return None
    backend = as_backend(device)
    found = []
    for each in fitted:
        try:
            found.append(_verdict(backend, each, shots))
        except UnsupportedCircuit:  # measured in the middle
            return None
    return min((float(each.fraction) for each in found if each is not None), default=None)


def _verdict(backend: BackendV2, fitted: Fitted, shots: int) -> Verdict | None:
    """Return the verdict on a call's circuits; None of a call that reads constants."""
    circuit, values = fitted.call.circuit, fitted.call.values[0]
    assert fitted.best is not None
    reading = Reading.of(fitted.call.spec)
    if reading.plan is None:
        exact = exact_probabilities(circuit, values)
        return verdict_of(backend, circuit, fitted.best, values, exact, shots)
    if not reading.num_circuits:
        return None
    logical = reading.circuits(circuit, None)
    transpiled = reading.circuits(fitted.best.circuit, backend.target)
    success = min(cost.expected_success for cost in fitted.costs)
    bases = list(zip(logical, transpiled, strict=True))
    return share_in_bases(backend, bases, values, success, shots)


def comparison_table(name: str, rows: Sequence[RunRow]) -> RunTable:
    """Return rows as a table, ranked: those that run first, by success, then by CNOTs.

    Args:
        name: The model's or run's name.
        rows: Rows with :data:`METRICS`, as far as they are known.
    """
    done = [row for row in rows if row.state == "done"]
    others = [row for row in rows if row.state != "done"]
    done.sort(key=lambda row: (-row.metrics["success"], row.metrics["cnots"], row.name))
    ranked = [
        replace(row, metrics={"rank": rank, **row.metrics})
        for rank, row in enumerate(done, start=1)
    ]
    return RunTable((*ranked, *others), (), METRICS, f"comparison of {name}").differing()
