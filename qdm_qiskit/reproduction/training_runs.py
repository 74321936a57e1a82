"""Training runs of a card: made once, gone on with after a stop, and read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis.estimates import mean_estimate
from ..errors import InvalidData
from ..progress import Message, Progress, silent
from ..training import RunConfig, resolve_run, train
from ..training.checkpoint import checkpoints
from ..training.transfer import FOLDER
from .card import Card, Figure, Found, Reading, Scale, Training

__all__ = ["Begun", "Rows", "read_figure", "train_all"]

Rows = Mapping[str, list[tuple[dict[str, float], ...]]]
"""Metrics of each epoch by training: a list with an entry for each seed."""


class Begun(Message):
    """A training of a card begins, or is read again."""


def train_all(
    card: Card,
    scale: Scale,
    folder: Path,
    *,
    options: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> dict[str, list[tuple[dict[str, float], ...]]]:
    """Train whatever a card's figures read at a scale; what is there already is read.

    Args:
        card: The card.
        scale: Which of its trainings.
        folder: Folder of the runs, one each: ``NAME-seed-K``.
        options: Options that replace the card's, such as ``folder`` of a data set.
        progress: Receives each run, and what its training says.

    Returns:
        See :data:`Rows`. A training that has no such scale is left out.

    Raises:
        InvalidOption: If a run of other options stands in its folder.
        KeyboardInterrupt: If one was stopped; it is checkpointed, and the same call goes on.
        Others: As :func:`~qdm_qiskit.training.train`.
    """
    read = {each.run for figure in card.figures for each in (figure.reading, figure.less) if each}
    wanted = {name: card.trainings[name].get(scale) for name in card.trainings if name in read}
    jobs = [
        (name, seed, training)
        for name, training in wanted.items()
        if training is not None
        for seed in training.seeds
    ]
    found: dict[str, list[tuple[dict[str, float], ...]]] = {}
    for done, (name, seed, training) in enumerate(jobs):
        progress(
            Begun(f"training {name}, seed {seed} ({done + 1} of {len(jobs)})", done, len(jobs))
        )
        config = _config(training, seed, options or {})
        found.setdefault(name, []).append(_rows(config, folder / f"{name}-seed-{seed}", progress))
    return found


def _config(training: Training, seed: int, options: Mapping[str, Any]) -> RunConfig:
    values = {**training.options, **options, "epochs": training.epochs, "seed": seed}
    values.setdefault("sample_every", 0)
    return resolve_run(training.model, values)


def _rows(config: RunConfig, run: Path, progress: Progress) -> tuple[dict[str, float], ...]:
    begun = bool(checkpoints(run) or checkpoints(run / FOLDER))
    resume = "latest" if begun else None
    result = train(config, run, resume=resume, progress=progress, log_with="none")
    if result.interrupted:
        raise KeyboardInterrupt
    return result.history


def read_figure(figure: Figure, card: Card, scale: Scale, rows: Rows) -> Found | None:
    """Return a figure's number from trained runs, None if this scale does not reach it.

    Args:
        figure: A figure with a reading.
        card: Its card.
        scale: Scale of the runs.
        rows: Their metrics.

    Returns:
        The number; of several seeds the mean, with Student's 95 % interval.

    Raises:
        InvalidData: If the runs have no such metric.
    """
    assert figure.reading is not None
    values = _values(figure.reading, rows)
    if values is None:
        return None
    if figure.less is not None:
        others = _values(figure.less, rows)
        if others is None:
            return None
        if others.shape != values.shape:
            raise InvalidData(
                f"Figure '{figure.name}' of card '{card.name}' compares runs of different seeds."
            )
        values = values - others
    seeds = card.trainings[figure.reading.run][scale].seeds
    if len(values) == 1:
        return Found(value=float(values[0]), seeds=seeds)
    estimate = mean_estimate(values)
    return Found(value=estimate.value, low=estimate.low, high=estimate.high, seeds=seeds)


def _values(reading: Reading, rows: Rows) -> np.ndarray | None:
    runs = rows.get(reading.run)
    if runs is None:
        return None
    epoch = len(runs[0]) if reading.epoch is None else reading.epoch
    if epoch > len(runs[0]):
        return None
    try:
        return np.array([each[epoch - 1][reading.metric] for each in runs])
    except KeyError:
        raise InvalidData(
            f"A run of '{reading.run}' has no metric '{reading.metric}'; it has: "
            f"{', '.join(runs[0][epoch - 1])}."
        ) from None
