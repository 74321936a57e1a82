"""Measure how good samples are, beside real images and noise."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..arguments import checked_path, wrong
from ..data import Dataset, cache_folder
from ..errors import InvalidArgument, InvalidOption, unknown_name
from ..evaluation.config import PROTOCOLS, EvaluationConfig
from ..evaluation.evaluate import EvaluationPictures, EvaluationReport
from ..evaluation.evaluate import evaluate as measure
from ..evaluation.inception import inception_weights as find_weights
from ..evaluation.metric import Metric
from ..evaluation.owed import owed
from ..evaluation.row_items import RowsByWorkers, metric_names
from ..evaluation.subjects import (
    Subject,
    beside_subjects,
    competitor_subjects,
    labels_of,
    run_subject,
    samples_subject,
    with_data_at,
)
from ..files import check_writable
from ..notebook import one_line
from ..options import field_types
from ..progress import Progress, silent
from ..reports.evaluation_render import render_card, write_evaluation
from ..reports.figures import check_formats
from ..sampling import Samples, TrainedRun
from ..sampling.samplers import Sampler
from ..training import run_from_dict
from ..work import Workers
from .workers import taken_workers, whole_threads

__all__ = ["Evaluation", "evaluate"]


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Sets of samples measured against one reference; see :func:`evaluate`.

    >>> import qdm_qiskit as qdm
    >>> found = qdm.evaluate("runs/first", count=256)  # doctest: +SKIP
    >>> found.report.rows[-1].metrics["domain_kid"].low > 0  # doctest: +SKIP
    True
    """

    report: EvaluationReport
    """Metrics with their intervals, of each set, of real images and of noise."""
    pictures: EvaluationPictures
    """Some of the measured images."""
    files: tuple[Path, ...] = ()
    """Files that were written on the way, where a folder was named."""

    def write(self, folder: str | Path, formats: Sequence[str] = ()) -> tuple[Path, ...]:
        """Write table and pictures; see :func:`.write_evaluation`, also for ``formats``."""
        place = checked_path(folder, "folder")
        return write_evaluation(self.report, self.pictures, place, formats)

    def __repr__(self) -> str:
        rows = ", ".join(row.name for row in self.report.rows)
        return one_line("Evaluation", f"of {rows}", f"on {self.report.reference['dataset']}")

    def _repr_html_(self) -> str:
        return render_card(self.report.to_dict(), self.pictures.grids)


def evaluate(
    *runs: str | Path | TrainedRun,
    samples: str | Path | Samples | Sequence[str | Path | Samples] = (),
    metrics: Sequence[str | Metric] | None = None,
    reference: str | Dataset | None = None,
    data: str | Path | Sequence[str | Path] = (),
    protocol: str = "small",
    sampler: str | Sampler = "process",
    steps: int | None = None,
    inception_weights: str | None = None,
    accept_other_weights: bool = False,
    beside: bool = True,
    out: str | Path | None = None,
    formats: Sequence[str] = (),
    workers: int | Executor | Workers | None = None,
    dask: str | Any | None = None,
    threads: int = 1,
    progress: Progress = silent,
    **options: Any,
) -> Evaluation:
    """Measure samples against real images, with intervals, beside real images and noise.

    Args:
        runs: Trained runs, each of which is sampled: folders, or results of ``load_run``.
        samples: Finished samples: results of ``sample``, or folders of them; one or several.
        metrics: Names, such as ``"kid"``, and your own metrics; all of this package if None.
        reference: Data set, an object or a name, or ``npz:PATH``; the first subject's own if None.
            Give the object here for a run that was trained on one.
        data: File or folder that holds the runs' own data now, or several.
        protocol: ``"small"``, or ``"defalco"`` as De Falco et al. (2024) measured.
        sampler: Sampler of runs that are sampled, or its name; see ``SamplingConfig``.
        steps: Steps of the sampler; all if None.
        inception_weights: File of Inception's weights, or ``"download"``; None leaves Inception out.
        accept_other_weights: Take these weights with another checksum too.
        beside: Also measure what stands beside the model of a run, as it does for `line`, and the
            classical generators that :func:`.compete` fitted.
        out: Folder to write table and pictures to; None writes nothing.
        formats: Further formats of its figures, ``"svg"`` and ``"pdf"``.
        workers: Measure each row, with the sampling of its run, as an item of work, on so many
            processes of this machine, or on an executor of ``concurrent.futures``. Rows that are done
            stay in ``out``: the same call goes on, and more runs are measured alone. Runs, metrics,
            samplers and data sets are then known by name.
        dask: The same on workers of Dask: address of a scheduler, ``"local"``, or a cluster object.
        threads: CPU threads of torch for each row that a worker measures.
        progress: Receives the progress messages; of items with the counts of all.
        options: Fields of :class:`~qdm_qiskit.evaluation.config.EvaluationConfig`: ``count=64``,
            ``part="train"``, ``resamples=50``, ``seed=1``.

    Returns:
        The metrics and some pictures.

    Raises:
        UnknownName: If there is no such protocol, data set or format.
        InvalidOption, InvalidData, MissingData: If an option, a subject or the reference cannot be
            used, or images are too few for a distance to mean anything; or a row failed on a worker.
        InvalidArgument: If workers are asked for, and something has no name.
        MissingDependency: If Inception or Dask was asked for and is not installed.
        WorkersUnavailable: If workers are not there, or have other versions.

    >>> import qdm_qiskit as qdm
    >>> qdm.evaluate("runs/first", count=256, out="runs/evaluation")  # doctest: +SKIP
    <Evaluation: of real images, noise, first, on digits>
    """
    if protocol not in PROTOCOLS:
        raise unknown_name("protocol", protocol, PROTOCOLS)
    unknown = [name for name in options if name not in field_types(EvaluationConfig)]
    if unknown:
        raise InvalidOption(str(unknown_name("option", unknown[0], field_types(EvaluationConfig))))
    chosen = replace(PROTOCOLS[protocol], **options)
    folder = None if out is None else checked_path(out, "out")
    if folder is not None:
        check_writable(folder)
    check_formats(formats)
    if not isinstance(samples, str | Path | Samples | Sequence):
        raise wrong(samples, "samples", "a folder or result of sample(...), or a list of these")
    taken = [samples] if isinstance(samples, str | Path | Samples) else list(samples)
    found = [
        *(part for each in runs for part in _of_run(each, chosen.seed, sampler, steps, beside)),
        *(_of_samples(each) for each in taken),
    ]
    if not isinstance(data, str | Path | Sequence):
        raise wrong(data, "data", "a path (Path or str), or a list of paths")
    given = [data] if isinstance(data, str | Path) else data
    places = [checked_path(each, "data") for each in given]
    cache = cache_folder() / "evaluation"
    weights = None
    placed = [_learnt_from(each, reference) for each in with_data_at(found, places)]
    if inception_weights is not None:
        weights = find_weights(inception_weights, cache, accept_other=accept_other_weights)

    def measured(by: RowsByWorkers | None) -> Evaluation:
        report, pictures = measure(
            placed,
            chosen,
            metrics=metrics,
            dataset=reference,
            cache=cache,
            inception=weights,
            measure=by,
            progress=progress,
        )
        return Evaluation(report, pictures)

    if workers is None and dask is None:
        made = measured(None)
    else:
        whole_threads(threads)
        if isinstance(reference, Dataset):
            raise InvalidArgument(
                f"Workers know data sets by their names, got the object '{reference.name}'; leave "
                "workers and dask out."
            )
        names = metric_names(metrics)
        with tempfile.TemporaryDirectory() as passing, taken_workers(workers, dask, progress) as by:
            made = measured(
                RowsByWorkers(
                    folder=Path(passing) if folder is None else folder,
                    workers=by,
                    metrics=names,
                    dataset=reference,
                    inception=inception_weights,
                    accept_other=accept_other_weights,
                    threads=threads,
                    progress=progress,
                )
            )
    return made if folder is None else replace(made, files=made.write(folder, formats))


def _of_run(
    run: str | Path | TrainedRun,
    seed: int,
    sampler: str | Sampler,
    steps: int | None,
    beside: bool,
) -> list[Subject]:
    name = None
    if isinstance(run, TrainedRun):
        folder = run.checkpoint
        name = folder.parent.parent.name if folder.parent.name == "checkpoints" else folder.name
    else:
        folder = checked_path(run, "runs")
    found = run_subject(folder, seed=seed, scheduler=sampler, num_inference_steps=steps, name=name)
    if not beside:
        return [found]
    others = beside_subjects(folder, seed=seed, scheduler=sampler, num_inference_steps=steps)
    return [found, *others, *competitor_subjects(folder, seed=seed)]


def _learnt_from(subject: Subject, reference: str | Dataset | None) -> Subject:
    """Return the subject with the reference as its data set, if that set has no name."""
    if not isinstance(reference, Dataset) or reference.name != subject.config.data.dataset:
        return subject
    return replace(subject, dataset=reference)


def _of_samples(samples: str | Path | Samples) -> Subject:
    if not isinstance(samples, Samples):
        return samples_subject(checked_path(samples, "samples"))
    config = run_from_dict(samples.manifest["run"])
    target = samples.manifest["sampling"]["target"]
    channels, height, width = samples.images.shape[1:]
    return Subject(
        name=f"{config.model} on {target}",
        source=f"given, sampled on {target}",
        config=config,
        shape=(channels, height, width),
        draw=lambda count: samples.images[:count],
        labels=labels_of(samples.manifest, len(samples.images)),
        owes=owed(config, samples.manifest),
    )
