"""Audit the privacy of a run, and train privately."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import checked_path
from ..data import Dataset
from ..errors import InvalidOption
from ..privacy import (
    AuditOptions,
    PrivacyAudit,
    PrivacyOptions,
    audit_run,
)
from ..privacy import train_privately as train_config
from ..privacy.private_training import PrivateTraining
from ..progress import Progress, silent
from ..training import RunConfig, resolve_run
from ..work import Workers
from .workers import taken_workers

__all__ = ["audit_privacy", "train_privately"]

_ALL = 10**9


def audit_privacy(
    run: str | Path,
    *,
    folder: str | Path | None = None,
    samples: np.ndarray | str | Path | None = None,
    workers: int | Executor | Workers | None = None,
    scheduler: str | Any | None = None,
    progress: Progress = silent,
    **options: Any,
) -> PrivacyAudit:
    """Attack a run: are rows that it learned told from those that it did not?

    Args:
        run: Folder of a trained run.
        folder: Where shadow models and ``audit.json`` are kept; ``run/privacy`` if None.
        samples: ``(count, channels, height, width)`` in [0, 1], or a folder of `qdm sample`, in place
            of drawn ones.
        workers, scheduler: Who trains shadows, as for :func:`.sweep`.
        progress: Receives messages.
        options: Of :class:`.AuditOptions`, by name: ``shadows=16``, ``secret="species"``.

    Returns:
        What was found, with intervals; ``lines()`` says it in words.

    Raises:
        InvalidOption: If an option is unknown or does not fit the run, or a shadow failed.
        InvalidData: If rows are too few, a class is on one side only, or the secret is constant.
        UnknownName: If there is no such column.
        Others: As :func:`.audit_run`.
    """
    place = checked_path(run, "run")
    where = place / "privacy" if folder is None else checked_path(folder, "folder")
    with taken_workers(workers, scheduler, progress) as found:
        return audit_run(
            place,
            _audit_options(options),
            folder=where,
            samples=_images(samples) if isinstance(samples, str | Path) else samples,
            workers=found,
            progress=progress,
        )


def train_privately(
    model: str | RunConfig,
    run: str | Path,
    *,
    noise: float = 1.0,
    clip: float = 1.0,
    delta: float = 1e-3,
    dataset: str | Dataset | None = None,
    resume: bool = False,
    progress: Progress = silent,
    **options: Any,
) -> PrivateTraining:
    """Train a model with differential privacy, by Opacus (an extra).

    Args:
        model: A model's or a preset's name, or a whole configuration.
        run: Folder of the run.
        noise: Noise multiplier.
        clip: Largest norm of the gradient of a row.
        delta: Chance that epsilon does not cover.
        dataset: A data set, or its name.
        resume: True to go on from the newest checkpoint.
        progress: Receives a message for each epoch.
        options: As for :func:`.train`.

    Raises:
        MissingDependency: If Opacus is not installed.
        InvalidOption: If the model or an option does not allow it.
        Others: As :func:`.train`.
    """
    if isinstance(model, RunConfig):
        if options:
            raise InvalidOption(
                "A RunConfig holds all options of a run, got others beside it: "
                f"{', '.join(options)}."
            )
        config, given = model, dataset
    else:
        named = {"dataset": dataset} if isinstance(dataset, str) else {}
        config = resolve_run(model, {**options, **named})
        given = None if isinstance(dataset, str) else dataset
    private = PrivacyOptions(noise=noise, clip=clip, delta=delta)
    return train_config(
        config,
        checked_path(run, "run"),
        private,
        dataset=given,
        resume=resume,
        progress=progress,
    )


def _images(folder: str | Path) -> np.ndarray:
    from ..evaluation.subjects import samples_subject

    return samples_subject(checked_path(folder, "samples")).draw(_ALL)


def _audit_options(given: dict[str, Any]) -> AuditOptions:
    known = AuditOptions.__dataclass_fields__
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InvalidOption(f"An audit has the options {', '.join(known)}; got {unknown[0]!r}.")
    return AuditOptions(**given)
