"""Training, sampling and hardware runs below a folder, told apart by the formats of their files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InvalidData, InvalidOption, MissingData, unknown_name
from ..files import parse_json, read_json_object
from .table import RunRow, RunTable

__all__ = ["KINDS", "compare", "find_runs", "read_run"]

KINDS = ("training", "samples", "hardware")
_PASSED = frozenset({"checkpoints", "tensorboard", "items", "beside", "model"})
"""Folders of runs that hold no run; "classical" holds the first part of one with transfer."""
_METRICS = (
    "epoch",
    "train_loss",
    "test_loss",
    "identity_loss",
    "baseline_loss",
    "jobs",
    "seconds_charged",
)
_OPTIONS = ("model", "dataset", "optimizer", "learning_rate", "seed", "train_on", "target", "shots")
_MOST_OTHERS = 6
"""Most columns of other options in which runs of one kind differ; more are for ``--columns``."""
_SECTIONS = ("model_options", "data", "diffusion", "training")


def find_runs(root: str | Path, kinds: Sequence[str] = ()) -> RunTable:
    """Return all runs below a folder, by name.

    A run whose files cannot be read is a row too, whose state says why.

    Args:
        root: The folder; it may be a run itself.
        kinds: Only these of :data:`KINDS`; all if empty.

    Raises:
        MissingData: If there is no such folder, or no run in it.
        UnknownName: If there is no such kind.
    """
    root = Path(root)
    for each in kinds:
        if each not in KINDS:
            raise unknown_name("kind of run called", each, KINDS)
    if not root.is_dir():
        raise MissingData(f"There is no folder {root}; name one that holds runs.")
    found = [row for folder in _folders(root) for row in _rows(folder, root)]
    rows = sorted((r for r in found if not kinds or r.kind in kinds), key=lambda row: row.name)
    if not rows:
        what = " or ".join(kinds) or "training, sampling or hardware"
        raise MissingData(f"There are no {what} runs in {root}; name a folder above them.")
    return _table(rows, f"runs in {root}")


def read_run(folder: str | Path) -> RunRow:
    """Return the run in a folder.

    Raises:
        MissingData: If there is none.
        InvalidData: If its files cannot be read.
    """
    folder = Path(folder)
    rows = list(_rows(folder, folder.parent)) if folder.is_dir() else []
    if not rows:
        raise MissingData(
            f"There is no run in {folder}: no config.json of training, manifest.json of samples or "
            "plan.json of hardware."
        )
    if rows[0].state.startswith("cannot be read"):
        raise InvalidData(f"{folder} {rows[0].state}")
    return rows[0]


def compare(rows: Sequence[RunRow]) -> RunTable:
    """Return runs with the options in which they differ.

    Raises:
        InvalidOption: If there are fewer than two.
    """
    if len(rows) < 2:
        raise InvalidOption(f"A comparison takes two runs or more, got {len(rows)}.")
    metrics = dict.fromkeys(name for row in rows for name in row.metrics)
    return RunTable(tuple(rows), metrics=tuple(metrics), title="comparison").differing()


def _table(rows: Sequence[RunRow], title: str) -> RunTable:
    """Return a table with the columns that most people look for, where they say something."""
    every = RunTable(tuple(rows)).differing().options
    options = ["model", *(name for name in _OPTIONS if name in every and name != "model")]
    others = [name for name in every if name not in _OPTIONS]
    if len({row.kind for row in rows}) == 1 and len(others) <= _MOST_OTHERS:
        options += others
    metrics = [name for name in _METRICS if any(name in row.metrics for row in rows)]
    return RunTable(tuple(rows), tuple(options), tuple(metrics), title)


def _folders(root: Path) -> Iterator[Path]:
    for place, folders, _ in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in _PASSED and not f.startswith("."))
        yield Path(place)


def _rows(folder: Path, root: Path) -> Iterator[RunRow]:
    name = str(folder.relative_to(root)) if folder != root else folder.resolve().name
    for file, kind, format_name, read in (
        ("config.json", "training", "qdm-run", _training),
        ("manifest.json", "samples", "qdm-samples", _samples),
        ("plan.json", "hardware", "qdm-run-plan", _hardware),
    ):
        path = folder / file
        if not path.is_file():
            continue
        try:
            content = read_json_object(path)
            schema = content.get("schema")
            if not isinstance(schema, str) or schema.partition("/")[0] != format_name:
                continue
            yield _row(read, content, folder, name, kind)
        except (InvalidData, MissingData, KeyError, TypeError, ValueError, AttributeError) as error:
            words = " ".join(str(error).split())
            yield RunRow(name, kind, f"cannot be read: {words}")


def _row(
    read: Callable[[dict[str, Any], Path], tuple[dict[str, Any], dict[str, Any], str]],
    content: dict[str, Any],
    folder: Path,
    name: str,
    kind: str,
) -> RunRow:
    options, metrics, state = read(content, folder)
    metrics |= _evaluation(folder)
    return RunRow(name, kind, state, _plain(options), _plain(metrics))


def _training(content: dict[str, Any], folder: Path) -> tuple[dict[str, Any], dict[str, Any], str]:
    options = _run_options(content)
    wanted = int(content["training"]["epochs"])
    file = folder / "metrics.jsonl"
    lines = file.read_bytes().splitlines() if file.is_file() else []
    metrics = parse_json(lines[-1]) if lines else {}
    if not isinstance(metrics, dict):
        raise InvalidData(f"{file} holds no metrics.")
    at = int(metrics.get("epoch", 0))
    return options, metrics, "done" if at >= wanted else f"at {at} of {wanted}"


def _run_options(content: Mapping[str, Any]) -> dict[str, Any]:
    sections = [content[name] for name in _SECTIONS if isinstance(content.get(name), Mapping)]
    options = {key: content.get(key) for key in ("model", "preset")}
    for section in sections:
        options |= section
    return options


def _samples(content: dict[str, Any], folder: Path) -> tuple[dict[str, Any], dict[str, Any], str]:
    sampling = dict(content["sampling"])
    run = content.get("run")
    of_run = _run_options(run) if isinstance(run, Mapping) else {}
    sampler = content.get("sampler")
    if isinstance(sampler, Mapping):
        sampling["sampler"] = sampler.get("name")
    metrics = {"seconds": content.get("seconds")}
    return {**of_run, **sampling, "checkpoint": content.get("checkpoint")}, metrics, "done"


_OF_PLANS = (
    "model",
    "target",
    "backend",
    "num_images",
    "num_steps",
    "mode",
    "seed",
    "label",
    "mitigation",
    "budget",
)


def _hardware(content: dict[str, Any], folder: Path) -> tuple[dict[str, Any], dict[str, Any], str]:
    plan = content["content"]
    options = {name: plan.get(name) for name in _OF_PLANS}
    shots = {step.get("shots") for step in plan["steps"]}
    options["shots"] = shots.pop() if len(shots) == 1 else None  # a number for each step
    if (folder / "manifest.json").is_file():
        manifest = read_json_object(folder / "manifest.json")
        names = ("seconds_estimated", "seconds_charged")
        metrics = {name: manifest[name] for name in names if name in manifest}
        metrics["jobs"] = len(manifest["jobs"])
        return options, metrics, str(manifest.get("state", "done"))
    return options, {}, "planned or open; `qdm run status` says where"


def _evaluation(folder: Path) -> dict[str, Any]:
    """Return the metrics of an evaluation of this run alone, where there is one."""
    for path in (folder / "evaluation" / "evaluation.json", folder / "evaluation.json"):
        if not path.is_file():
            continue
        content = read_json_object(path)
        if not str(content.get("schema")).startswith("qdm-evaluation/"):
            continue
        rows = [row for row in content.get("rows", []) if row.get("kind") == "samples"]
        if len(rows) == 1 and isinstance(rows[0].get("metrics"), Mapping):
            return {name: each["estimate"] for name, each in rows[0]["metrics"].items()}
    return {}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values that a cell can hold; what is deeper stands as JSON."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, list):
            flat = all(isinstance(each, str | int | float) for each in value)
            found[name] = tuple(value) if flat else json.dumps(value)
        else:
            found[name] = json.dumps(value) if isinstance(value, dict) else value
    return found
