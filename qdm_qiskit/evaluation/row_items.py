"""Rows of an evaluation as items of work: whoever measures one, its bits are the same.

An item is told where the files are from which a subject is made, and the hashes of all that its row
depends on: weights, reference images, the domain classifier's training. So a table that takes more
runs measures those alone.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..archives import read_arrays
from ..canonical_json import content_sha256
from ..data import cache_folder
from ..errors import InvalidArgument, InvalidData, InvalidOption, WorkersUnavailable
from ..files import check_writable, write_bytes
from ..progress import Progress, silent
from ..training import run_from_dict
from ..work import Workers, WorkItem, run_items
from ..work.items import read_result
from .bootstrap import Interval
from .config import EvaluationConfig
from .domain_classifier import keep_classifier
from .inception import inception_weights
from .measurement import Kind, Row
from .metric import Metric
from .metrics import find_metrics
from .rows import MeasuredRow, RowTask, Setting
from .subjects import Reference, Subject, subject_of

__all__ = ["CLASSIFIER", "FOLDER", "RowsByWorkers", "measure_row", "metric_names", "row_of"]

FOLDER = "rows"
"""Folder of the rows' images, beside the results of items."""
CLASSIFIER = "classifier"
"""Folder of the domain classifier, which no worker trains again."""
_FILE = re.compile(r"[0-9]{1,9}-[0-9a-z]{1,20}\.npz")
_ENDS = ("estimate", "low", "high")
_ARRAYS = ("shown", "neighbours", "columns")


@dataclass(frozen=True)
class RowsByWorkers:
    """Measures rows on workers; stands for ``measure`` of :func:`.evaluate`."""

    folder: Path
    """Where rows that are done are kept."""
    workers: Workers
    metrics: tuple[str, ...] | None
    """Names of metrics; None for all."""
    dataset: str | None = None
    """The reference's name; None for the first subject's own."""
    inception: str | None = None
    """Inception's weights, as :func:`.inception_weights` takes them; workers keep a download in their
    user's cache folder."""
    accept_other: bool = False
    """Whether it may be another file than the published one."""
    threads: int = 1
    """CPU threads of torch for each row: the last bits of a sum may depend on them."""
    progress: Progress = silent

    def __call__(self, setting: Setting, tasks: Sequence[RowTask]) -> list[MeasuredRow]:
        """Return the rows.

        Raises:
            InvalidOption: If a row failed; those that are done stay.
            KeyboardInterrupt: After Ctrl-C; likewise.
            WorkersUnavailable: As :func:`.run_items`.
        """
        items = self.items(setting, tasks)
        check_writable(self.folder)
        keep_classifier(setting.classifier, self.folder / CLASSIFIER)
        for item in items:
            _forget_damaged(item, self.folder)
        outcome = run_items(items, self.folder, self.workers, self.progress)
        if outcome.interrupted:
            raise KeyboardInterrupt
        if outcome.failures:
            names = {item.address: task.name for item, task in zip(items, tasks, strict=True)}
            address, words = next(iter(outcome.failures.items()))
            told = (
                f"{len(outcome.failures)} of {len(items)} rows failed, '{names[address]}' among them: "
                f"{words.rstrip('.')}. The others are kept in {self.folder}, and the same call goes on."
            )
            if "worker died" in words:
                raise WorkersUnavailable(told)
            raise InvalidOption(told)
        return [row_of(outcome.results[item.address], self.folder) for item in items]

    def items(self, setting: Setting, tasks: Sequence[RowTask]) -> list[WorkItem]:
        """Return an item for each row.

        Raises:
            InvalidArgument: If a subject holds objects that other processes do not know.
        """
        subjects = [task.subject for task in tasks if task.subject is not None]
        shared = {
            "first": _told(subjects[0]),
            "config": asdict(setting.config),
            "metrics": None if self.metrics is None else list(self.metrics),
            "dataset": self.dataset,
            "inception": self.inception,
            "inception_sha256": None if setting.inception is None else setting.inception.sha256,
            "accept_other": self.accept_other,
            "by_class": setting.by_class,
            "threads": self.threads,
            "reference": _reference_sha256(setting.reference),
            "classifier": setting.classifier.identity,
        }
        made = []
        for task in tasks:
            each = {
                **shared,
                "number": task.number,
                "name": task.name,
                "kind": task.kind,
                "subject": None if task.subject is None else _told(task.subject),
            }
            told = re.sub(r"[^A-Za-z0-9_.,=+@-]+", "-", task.name)[:100]
            address = f"row-{task.number:04d}-{told}-{content_sha256(each)[:10]}"
            made.append(WorkItem(address, measure_row, each))
        return made


def measure_row(
    folder: Path,
    *,
    number: int,
    name: str,
    kind: str,
    subject: Mapping[str, Any] | None,
    threads: int,
    **shared: Any,
) -> dict[str, Any]:
    """Measure a row; an item of :class:`RowsByWorkers`.

    Args:
        folder: The evaluation's; images go to a file below.
        number, name, kind: The row.
        subject: What it is of; None for real images and noise.
        threads: CPU threads of torch.
        shared: What all rows have in common.

    Returns:
        ``row``, ``failures``, and ``file`` and ``sha256`` of the images.

    Raises:
        InvalidData: If the reference is another one here.
        Others: As :meth:`.Setting.measure`.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        setting = _setting(str(folder), json.dumps(shared, sort_keys=True))
        of = None if subject is None else _subject(subject)
        found = setting.measure(RowTask(number, name, cast(Kind, kind), of))
    finally:
        torch.set_num_threads(before)
    arrays = {n: a for n in _ARRAYS if (a := getattr(found, n)) is not None}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    file = f"{number:04d}-{digest[:10]}.npz"
    write_bytes(folder / FOLDER / file, content)
    return {
        "row": json.loads(json.dumps(asdict(found.row))),
        "failures": list(found.failures),
        "file": file,
        "sha256": digest,
    }


@lru_cache(maxsize=1)
def _setting(folder: str, text: str) -> Setting:
    """Return what the rows that one process measures have in common."""
    of = json.loads(text)
    inception = None
    if of["inception"] is not None:
        kept = cache_folder() / "evaluation"
        inception = inception_weights(of["inception"], kept, accept_other=of["accept_other"])
    setting = Setting(
        [_subject(of["first"])],
        EvaluationConfig(**of["config"]),
        find_metrics(of["metrics"]),
        dataset=of["dataset"],
        cache=Path(folder) / CLASSIFIER,
        inception=inception,
        by_class=of["by_class"],
    )
    sha256 = None if inception is None else inception.sha256
    here = _reference_sha256(setting.reference), setting.classifier.identity, sha256
    if here != (of["reference"], of["classifier"], of["inception_sha256"]):
        raise InvalidData(
            f"The reference images of {setting.reference.dataset}, or Inception's weights, are others "
            "here than where this evaluation began: bring the same data to all workers."
        )
    return setting


def _subject(told: Mapping[str, Any]) -> Subject:
    """Return a subject, with its data where the caller found them."""
    found = subject_of(told["origin"])
    return replace(found, config=run_from_dict(told["config"]))


def _told(subject: Subject) -> dict[str, Any]:
    if subject.origin is None:
        raise InvalidArgument(
            f"Workers know runs and samples by their folders, and samplers and data sets by their "
            f"names, and '{subject.name}' has objects in their place; leave workers and scheduler out."
        )
    config = json.loads(json.dumps(subject.config.to_dict()))
    return {"origin": dict(subject.origin), "config": config}


def _reference_sha256(reference: Reference) -> str:
    digest = hashlib.sha256()
    for each in (reference.images, reference.labels, reference.others, reference.other_labels):
        digest.update(json.dumps([str(each.dtype), each.shape]).encode())
        digest.update(np.ascontiguousarray(each).tobytes())
    return digest.hexdigest()


def _forget_damaged(item: WorkItem, folder: Path) -> None:
    """Remove the result of a row whose images are missing or damaged, so that it is done again."""
    found = read_result(item, folder)
    if found is None:
        return
    try:
        row_of(found, folder)
    except InvalidData:
        item.result_file(folder).unlink()


def row_of(result: Mapping[str, Any], folder: Path) -> MeasuredRow:
    """Return the row of a result.

    Raises:
        InvalidData: If it cannot be used.
    """
    name = result.get("file")
    if not isinstance(name, str) or not _FILE.fullmatch(name):
        raise InvalidData(f"A row in {folder} names no file of images, got {name!r:.60}.")
    path = folder / FOLDER / name
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != result.get("sha256"):
        raise InvalidData(f"{path} is missing or not what its row wrote; evaluate again.")
    arrays = read_arrays(content, _ARRAYS)
    try:
        told, failures = result["row"], result["failures"]
        words = [told["name"], told["kind"], told["source"], told["owes"], *failures]
        if not all(isinstance(each, str) for each in words) or type(told["count"]) is not int:
            raise TypeError("a row has a name, a kind, a source and a count")
        metrics = {n: Interval(*_numbers(each, _ENDS)) for n, each in told["metrics"].items()}
        pairs = {n: _numbers(each, range(2)) for n, each in told["subset_kid"].items()}
        row = Row(
            name=told["name"],
            kind=told["kind"],
            source=told["source"],
            count=told["count"],
            metrics=metrics,
            subset_kid={n: (mean, deviation) for n, (mean, deviation) in pairs.items()},
            owes=told["owes"],
        )
        return MeasuredRow(row, tuple(failures), *(arrays.get(n) for n in _ARRAYS))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InvalidData(
            f"A result of a row in {folder / 'items'} cannot be used ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}): remove it, and its row is measured again."
        ) from error


def _numbers(content: Any, keys: Iterable[Any]) -> list[float]:
    """Return finite numbers by their keys."""
    found = [content[key] for key in keys]
    if not all(type(each) in (int, float) and math.isfinite(each) for each in found):
        raise ValueError("a metric is a finite number")
    return [float(each) for each in found]


def metric_names(metrics: Sequence[str | Metric] | None) -> tuple[str, ...] | None:
    """Return names of metrics.

    Raises:
        InvalidArgument: If one is an object.
    """
    if metrics is None:
        return None
    for each in metrics:
        if not isinstance(each, str):
            raise InvalidArgument(
                f"Workers know metrics by their names, got {type(each).__name__}; leave workers and "
                "scheduler out, or give it a name by an entry point."
            )
    return tuple(each for each in metrics if isinstance(each, str))
