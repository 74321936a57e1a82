"""A sweep in its folder: all its runs done, what came of them, and the same again after a stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..canonical_json import content_sha256
from ..errors import InvalidData, InvalidOption, MissingData
from ..files import read_json_object, write_json
from ..overview import RunRow, RunTable
from ..progress import Message, Progress, silent
from ..training import read_history, run_from_dict
from ..work import Workers, WorkItem, run_items, said_of
from .halving import Halving
from .item import BOARD, failures_of, loss_of, train_item
from .plan import PlannedRun, SweepPlan

__all__ = ["SCHEMA", "SweepResult", "read_plan", "run_sweep", "write_plan"]

SCHEMA = "qdm-sweep/1"
SHOWN = ("epoch", "train_loss", "test_loss", "identity_loss", "baseline_loss", "seconds")
"""Metrics that a sweep's table shows, where some run has them."""


@dataclass(frozen=True, repr=False)
class SweepResult:
    """What came of a sweep."""

    folder: Path
    plan: SweepPlan
    table: RunTable
    """A run a row, in the order of the grid."""
    curves: dict[str, tuple[dict[str, float], ...]]
    """Rows of metrics by epoch, of every run that has some."""
    failures: dict[str, str]
    """One line for each run that failed."""
    interrupted: bool
    """True if it was stopped before its end; the same call goes on."""

    @property
    def best(self) -> str | None:
        """The run with the lowest test loss among those that trained longest; None if there is none."""
        done = [row for row in self.table.rows if "test_loss" in row.metrics]
        if not done:
            return None
        longest = max(row.metrics.get("epoch", 0) for row in done)
        last = [row for row in done if row.metrics.get("epoch", 0) == longest]
        return min(last, key=lambda row: row.metrics["test_loss"]).name

    def __repr__(self) -> str:
        state = "interrupted" if self.interrupted else f"{len(self.failures)} failed"
        return f"<SweepResult: {self.folder}, {len(self.plan.runs)} runs, {state}>"

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


def run_sweep(
    plan: SweepPlan,
    folder: Path,
    *,
    workers: Workers | None = None,
    threads: int = 1,
    log_with: Sequence[str] = (BOARD,),
    progress: Progress = silent,
) -> SweepResult:
    """Train the runs of a sweep that are not trained yet.

    Each run is bit for bit the one that :func:`~qdm_qiskit.training.train` makes of its configuration
    alone on as many threads: wherever it runs, whatever was killed on the way.

    Args:
        plan: The runs.
        folder: Its folder: new, or that of the same sweep, which goes on.
        workers: Who trains; this process if None.
        threads: CPU threads of torch for each run.
        log_with: Trackers of metrics; see :func:`~qdm_qiskit.training.train`. Runs do not depend on
            them.
        progress: Receives a message for each run that ends.

    Returns:
        What came of them.

    Raises:
        InvalidOption: If the folder holds another sweep.
        Others: As :func:`~qdm_qiskit.work.run_items`.
    """
    write_plan(plan, folder)
    failures: dict[str, str] = {}
    interrupted = False
    going: Sequence[PlannedRun] = plan.runs
    for last, rungs in _rungs(plan):
        items = {run.name: _item(run, rungs, threads, log_with) for run in going}
        outcome = run_items(
            list(items.values()), folder, workers, _said(progress, rungs if not last else None)
        )
        failures |= failures_of(outcome, items)
        interrupted = outcome.interrupted
        if interrupted or last:
            break
        assert plan.halving is not None
        losses = {
            run.name: (run.group, loss_of(outcome.results.get(items[run.name].address)))
            for run in going
        }
        names = plan.halving.survivors(losses)
        going = [run for run in going if run.name in names]
        progress(Message(f"{len(going)} of {len(losses)} runs go on after epoch {rungs}"))
        if not going:
            break
    return collect(plan, folder, failures, interrupted=interrupted)


def collect(
    plan: SweepPlan, folder: Path, failures: dict[str, str], *, interrupted: bool
) -> SweepResult:
    """Return what stands in a sweep's folder."""
    curves: dict[str, tuple[dict[str, float], ...]] = {}
    rows = []
    for run in plan.runs:
        try:
            curves[run.name] = read_history(folder / "runs" / run.name)
        except MissingData:
            metrics: dict[str, Any] = {}
        else:
            metrics = dict(curves[run.name][-1])
        at, wanted = int(metrics.get("epoch", 0)), run.config.training.epochs
        if run.name in failures:
            state = f"failed: {failures[run.name]}"
        elif at >= wanted:
            state = "done"
        else:
            stopped = plan.halving is not None and not interrupted and at
            state = f"stopped at {at} of {wanted}" if stopped else f"at {at} of {wanted}"
        rows.append(RunRow(run.name, "training", state, run.values, metrics))
    shown = tuple(name for name in SHOWN if any(name in row.metrics for row in rows))
    made = RunTable(tuple(rows), plan.varied, shown, title=f"sweep of {plan.name}")
    return SweepResult(folder, plan, made, curves, failures, interrupted)


def write_plan(plan: SweepPlan, folder: Path) -> None:
    """Write a plan into a sweep's folder, or find the same one there.

    Raises:
        InvalidOption: If it holds another sweep.
        InvalidData: If its file is damaged.
        OutputNotWritable: If it cannot be written.
    """
    path = folder / "sweep.json"
    if (folder / "search.json").is_file():
        raise InvalidOption(f"{folder} holds a search; choose another folder for a sweep.")
    content = _plan_content(plan)
    if path.is_file():
        if content_sha256(_read(path)) != content_sha256(content):
            raise InvalidOption(
                f"{folder} holds a sweep with other options; resume it without any, or choose another "
                "folder."
            )
        return
    write_json(path, content)


def read_plan(folder: Path) -> SweepPlan:
    """Return the plan of a sweep's folder.

    Raises:
        MissingData: If there is no sweep.
        InvalidData: If its file cannot be used.
    """
    path = folder / "sweep.json"
    if not path.is_file():
        raise MissingData(f"There is no sweep to resume in {folder}: {path} is missing.")
    content = _read(path)
    try:
        halving = content["halving"]
        if not content["runs"]:
            raise ValueError("it has no runs")
        return SweepPlan(
            name=_text(content["name"]),
            varied=tuple(_text(each) for each in content["varied"]),
            runs=tuple(
                PlannedRun(
                    name=_plain_name(each["name"]),
                    group=_text(each["group"]),
                    values={
                        k: tuple(v) if isinstance(v, list) else v for k, v in each["values"].items()
                    },
                    config=run_from_dict(each["config"]),
                )
                for each in content["runs"]
            ),
            halving=None if halving is None else Halving(**halving),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InvalidData(f"{path} cannot be used: {type(error).__name__}: {reason}") from error


def _read(path: Path) -> dict[str, Any]:
    content = read_json_object(path)
    if content.get("schema") != SCHEMA:
        raise InvalidData(f"{path} has schema '{SCHEMA}', got {content.get('schema')!r}.")
    return content


def _plan_content(plan: SweepPlan) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "name": plan.name,
        "varied": list(plan.varied),
        "halving": None if plan.halving is None else asdict(plan.halving),
        "runs": [
            {
                "name": run.name,
                "group": run.group,
                "values": run.values,
                "config": run.config.to_dict(),
            }
            for run in plan.runs
        ],
    }


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text is needed, got {value!s:.60}")
    return value


def _plain_name(name: str) -> str:
    if name in ("", ".", "..") or Path(name).name != name:
        raise ValueError(f"'{name}' is no folder's name")
    return name


def _rungs(plan: SweepPlan) -> list[tuple[bool, int | None]]:
    """Return (whether it is the last, epochs) for each round; None for each run's own epochs."""
    if plan.halving is None:
        return [(True, None)]
    longest = max(run.config.training.epochs for run in plan.runs)
    rungs = plan.halving.rungs(longest)
    return [(rung == rungs[-1], rung) for rung in rungs]


def _item(run: PlannedRun, epochs: int | None, threads: int, log_with: Sequence[str]) -> WorkItem:
    own = run.config.training.epochs
    up_to = own if epochs is None else min(own, epochs)
    return train_item(run.name, run.config, up_to, threads, log_with)


def _said(progress: Progress, epochs: int | None) -> Progress:
    if epochs is None:
        return progress
    return said_of(f"up to epoch {epochs}", progress)
