"""Restore images of which a part is known, with a trained run on any target.

The chain is led by what is known (:mod:`.repaint`), or, with ``candidates``, samples are made without
it and those nearest in what is known are chosen: rejection sampling with as wide a tolerance as it
takes, which asks of a model no more than samples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..arguments import whole_number
from ..data.known import Known
from ..errors import InvalidData, InvalidOption
from ..progress import Message, Progress, silent
from ..rng import derived_seed
from .config import SamplingConfig
from .repaint import check_images, repaint_sampler
from .sample import sample
from .schedulers import planned_chain
from .trained_run import TrainedRun

__all__ = ["MOST_CANDIDATES", "MOST_DRAWS", "Restored", "restore_images"]

MOST_DRAWS = 1_000
MOST_CANDIDATES = 100_000


@dataclass(frozen=True, eq=False)
class Restored:
    """Draws of restored images."""

    draws: np.ndarray
    """``(draws, count, channels, height, width)`` in [0, 1], with what is known in its place."""
    manifest: dict[str, Any]
    """Record of the sampling; of a guided model that of the last class."""


def restore_images(
    run: TrainedRun,
    known: Known,
    config: SamplingConfig,
    *,
    labels: np.ndarray | None = None,
    draws: int = 1,
    resamples: int = 1,
    candidates: int | None = None,
    progress: Progress = silent,
) -> Restored:
    """Draw images that have what is known.

    Args:
        run: The trained run.
        known: What is known of each image.
        config: Target, shots, sampler, seed; its number of images is not used.
        labels: ``(count,)`` labels of the data, which a guided model is told; None for others.
        draws: Draws of each image.
        resamples: Times that each step but the last is walked; see :mod:`.repaint`.
        candidates: Samples, of a guided model of each class, from which each image's draws are chosen,
            the nearest first; None leads the chain instead.
        progress: Receives the progress messages.

    Raises:
        InvalidOption: If an option does not fit; see :func:`.repaint_sampler`.
        InvalidData: If labels are missing, or there are none of such a class.
        Others: As :func:`.sample`.
    """
    if not 1 <= draws <= MOST_DRAWS:
        raise InvalidOption(f"draws is 1 to {MOST_DRAWS}, got {draws}.")
    check_images(run.model, known)
    if candidates is not None:
        _check_candidates(candidates, draws, resamples)
    count = len(known.images)
    groups: dict[int | None, np.ndarray] = {None: np.arange(count)}
    if bool(getattr(run.config.model_options, "guided", False)):
        if labels is None or len(labels) != count:
            raise InvalidData(
                f"'{run.model.name}' is told the class of each of the {count} images; give labels, or "
                "label for one class."
            )
        groups = {int(each): np.flatnonzero(labels == each) for each in np.unique(labels)}
    if candidates is None:
        return _led(run, known, config, groups, draws, resamples, progress)
    return _chosen(run, known, config, groups, draws, candidates, progress)


def _led(
    run: TrainedRun,
    known: Known,
    config: SamplingConfig,
    groups: dict[int | None, np.ndarray],
    draws: int,
    resamples: int,
    progress: Progress,
) -> Restored:
    """Draw by chains that are led by what is known."""
    if config.chain == "coherent":
        raise InvalidOption(
            "A chain in one circuit has no steps to restore in; leave chain out, or give candidates."
        )
    inner, _ = planned_chain(run.process, config.scheduler, config.num_inference_steps, config.eta)
    config = replace(config, scheduler="process", eta=0.0, chain="steps")
    found = np.empty((draws, *known.images.shape), dtype=np.float32)
    manifest: dict[str, Any] = {}
    way = ""
    for number, (label, rows) in enumerate(groups.items()):
        progress(Message("restoring", number, len(groups)))
        part = known.taken(np.tile(rows, draws))
        sampler = repaint_sampler(
            run.model, run.process, inner, part, resamples, steps=config.num_inference_steps
        )
        seed = config.seed if not number else derived_seed(config.seed, "sampling", 0, 2, number)
        chosen = replace(config, num_images=len(part.images), label=label, seed=seed)
        samples = sample(run, chosen, sampler=sampler, progress=progress)
        manifest, way = samples.manifest, sampler.way
        held = np.clip(part.held(samples.images), 0, 1)
        found[:, rows] = held.reshape(draws, len(rows), *held.shape[1:])
    manifest["sampler"] = {
        "name": "repaint",
        "inner": inner.name,
        "way": way,
        "resamples": resamples,
        "factor": known.factor,
        "draws": draws,
    }
    return Restored(found, manifest)


def _chosen(
    run: TrainedRun,
    known: Known,
    config: SamplingConfig,
    groups: dict[int | None, np.ndarray],
    draws: int,
    candidates: int,
    progress: Progress,
) -> Restored:
    """Choose the samples that are nearest in what is known; other images of the batch change none."""
    found = np.empty((draws, *known.images.shape), dtype=np.float32)
    manifest: dict[str, Any] = {}
    for number, (label, rows) in enumerate(groups.items()):
        progress(Message("restoring", number, len(groups)))
        seed = config.seed if label is None else derived_seed(config.seed, "sampling", 0, 3, label)
        made = replace(config, num_images=candidates, label=label, seed=seed)
        samples = sample(run, made, progress=progress)
        manifest = samples.manifest
        for row in rows.tolist():
            one = known.taken(np.array([row]))
            off = np.square(one.part(samples.images - one.images)).reshape(candidates, -1)
            nearest = np.argsort(off.sum(axis=1), kind="stable")[:draws]
            found[:, row] = np.clip(one.held(samples.images[nearest]), 0, 1)
    manifest["sampler"] = {
        **manifest["sampler"],
        "way": "candidates",
        "candidates": candidates,
        "factor": known.factor,
        "draws": draws,
    }
    return Restored(found, manifest)


def _check_candidates(candidates: int, draws: int, resamples: int) -> None:
    if not draws <= whole_number(candidates, "candidates") <= MOST_CANDIDATES:
        raise InvalidOption(
            f"candidates is from the {draws} draws to {MOST_CANDIDATES}, got {candidates}."
        )
    if resamples != 1:
        raise InvalidOption(
            "Candidates are sampled without resampling; leave resamples or candidates out."
        )
