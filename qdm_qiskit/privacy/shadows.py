"""Shadow models: the same training on other halves of the same rows, and what their losses say.

Carlini et al. (2022), arXiv:2112.03570: how likely is a model's loss on a row among models that
learned the row, and among those that did not?
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import real_array
from ..canonical_json import content_sha256
from ..data import ImageSet
from ..data.contract import Dataset, LabelledImages, Loaded
from ..errors import InvalidData, InvalidOption
from ..rng import derived_seed, stream
from ..sampling import load_run
from ..training import RunConfig, run_from_dict, train
from ..training.checkpoint import checkpoints
from ..training.run_data import class_indices, load_data
from ..work import Stopped, WorkItem
from .losses import image_losses
from .private_training import PrivacyOptions, train_privately

__all__ = [
    "Pool",
    "PoolPart",
    "lira_scores",
    "plan_shadows",
    "read_pool",
    "shadow_items",
    "train_shadow",
]

_LEAST_ROUNDS = 2


class Pool:
    """Rows that a run learned, and rows of the same data set that it did not.

    Args:
        train: Members.
        test: Non-members.
        guided: Whether the model is told classes.

    Raises:
        InvalidData: If a class has no member or no non-member.
    """

    def __init__(self, train: ImageSet, test: ImageSet, *, guided: bool) -> None:
        self.images = np.concatenate([train.images, test.images])
        self.labels = np.concatenate([train.labels, test.labels])
        self.member = np.arange(len(self.images)) < len(train)
        for label in np.unique(self.labels).tolist():
            rows = self.labels == label
            inside = int(self.member[rows].sum())
            if inside == 0 or inside == rows.sum():
                side, others = ("training", "test") if inside else ("test", "training")
                raise InvalidData(
                    f"Class {label} has {int(rows.sum())} {side} and no {others} rows, and an audit "
                    "compares both within a class: leave the class out by classes, or keep more rows."
                )
        self.positions = class_indices(self.labels, np.unique(self.labels)) if guided else None

    def __len__(self) -> int:
        return len(self.images)


class PoolPart(Dataset):
    """Some rows of a pool to learn from, the others to be judged by."""

    name, licence, source = "privacy-pool", "that of the data set", "a run's own data"

    def __init__(self, pool: Pool, inside: np.ndarray) -> None:
        self.pool, self.inside = pool, inside

    def load(self) -> Loaded:
        """See :meth:`.Dataset.load`."""
        return self._part(self.inside), self._part(~self.inside)

    def _part(self, chosen: np.ndarray) -> LabelledImages:
        images = self.pool.images[chosen]
        plain = images[:, 0] if images.shape[1] == 1 else images.transpose(0, 2, 3, 1)
        return LabelledImages(np.ascontiguousarray(plain), self.pool.labels[chosen])


def read_pool(config: RunConfig) -> Pool:
    """Return the rows of a run, held against its record.

    Raises:
        InvalidData, MissingData: If the data are not those that the run learned.
    """
    split = load_data(config).split
    guided = bool(getattr(config.model_options, "guided", False))
    return Pool(split.train, split.test, guided=guided)


def plan_shadows(member: np.ndarray, labels: np.ndarray, shadows: int, seed: int) -> np.ndarray:
    """Return which rows each shadow learns: as many of each class as the run did.

    Rows of a class are shuffled once a round and a window goes over them, so that each row is learned
    and not learned at least once a round.

    Args:
        member: ``(rows,)`` booleans: what the run learned.
        labels: ``(rows,)``.
        shadows: Shadow models.
        seed: Of the order.

    Returns:
        ``(shadows, rows)`` booleans.

    Raises:
        InvalidOption: If there are too few shadows for two models with, and two without, each row.
    """
    classes = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    least = min(
        min(member[rows].sum(), len(rows) - member[rows].sum()) / len(rows) for rows in classes
    )
    a_round = math.ceil(1 / least)
    if shadows < _LEAST_ROUNDS * a_round:
        raise InvalidOption(
            f"shadows must be at least {_LEAST_ROUNDS * a_round} here, so that two models learn, and "
            f"two do not learn, each row, got {shadows}: take more, or a run with test_fraction=0.5, "
            "for which 4 are enough."
        )
    inside: np.ndarray = np.zeros((shadows, len(labels)), dtype=bool)
    for number in range(shadows):
        turn, place = divmod(number, a_round)
        for k, rows in enumerate(classes):
            order = stream(seed, "evaluation", 32, turn, k).permutation(rows)
            count, start = int(member[rows].sum()), place * len(rows) // a_round
            inside[number, np.roll(order, -start)[:count]] = True
    return inside


def shadow_items(
    config: RunConfig,
    inside: np.ndarray,
    *,
    private: PrivacyOptions | None,
    repeats: int,
    seed: int,
    threads: int = 1,
) -> list[WorkItem]:
    """Return the items that train shadow models and take their losses on all rows.

    Args:
        config: The run.
        inside: From :func:`plan_shadows`.
        private: How the run was trained privately, if it was; shadows are too.
        repeats, seed: As for :func:`.image_losses`.
        threads: CPU threads of torch.
    """
    items = []
    for number, rows in enumerate(inside):
        arguments = {
            "config": config.to_dict(),
            "rows": np.flatnonzero(rows).tolist(),
            "private": None if private is None else private.to_dict(),
            "repeats": repeats,
            "seed": seed,
            "number": number,
            "threads": threads,
        }
        name = f"shadow-{number:04d}-{content_sha256(arguments)[:10]}"
        items.append(WorkItem(name, train_shadow, {**arguments, "name": name}))
    return items


def train_shadow(
    folder: Path,
    *,
    config: Mapping[str, Any],
    rows: list[int],
    private: Mapping[str, Any] | None,
    repeats: int,
    seed: int,
    number: int,
    threads: int,
    name: str,
) -> dict[str, Any]:
    """Train a shadow model; an item of :func:`shadow_items`.

    Args:
        folder: The audit's; the shadow's run is ``folder/shadows/NAME``.
        config: Result of ``RunConfig.to_dict`` of the audited run.
        rows: Rows of the pool that it learns.
        private: Result of ``PrivacyOptions.to_dict``, or None.
        repeats, seed: As for :func:`.image_losses`.
        number: Of the shadow, by which it draws.
        threads: CPU threads of torch.
        name: Of its run.

    Returns:
        ``losses``, one for each row of the pool.

    Raises:
        Stopped: If it was interrupted; it goes on from its checkpoint.
        Others: As :func:`~qdm_qiskit.training.train`.
    """
    import torch

    audited = run_from_dict(dict(config))
    pool = read_pool(audited)
    inside: np.ndarray = np.zeros(len(pool), dtype=bool)
    inside[rows] = True
    training = replace(
        audited.training,
        seed=derived_seed(seed, "evaluation", 33, number),
        sample_every=0,
        baseline=False,
    )
    data = replace(
        audited.data,
        dataset=PoolPart.name,
        classes=(),
        train_count=None,
        test_count=None,
        folder=None,
    )
    own = replace(audited, training=training, data=data, record=None, preset=None)
    run, dataset = folder / "shadows" / name, PoolPart(pool, inside)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        resume = "latest" if checkpoints(run) else None
        if private is None:
            result = train(own, run, dataset=dataset, resume=resume, log_with="none")
        else:
            options = PrivacyOptions(**private)
            result = train_privately(own, run, options, dataset=dataset, resume=bool(resume)).result
        if result.interrupted:
            raise Stopped(f"{name} stands at epoch {result.epochs}")
        trained = load_run(run)
        losses = image_losses(
            trained.model, trained.process, pool.images, pool.positions, repeats=repeats, seed=seed
        )
    finally:
        torch.set_num_threads(before)
    return {"losses": losses.tolist()}


def lira_scores(losses: np.ndarray, shadow_losses: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return log-likelihood ratios of membership, higher for members.

    The logarithm of the loss is taken for normal around a mean of each row with and without it, with
    one variance for all rows, as Carlini et al. do for few shadows.

    Args:
        losses: ``(rows,)`` of the audited model, above 0.
        shadow_losses: ``(shadows, rows)``.
        inside: ``(shadows, rows)`` booleans: what each learned; every row both ways at least once, and
            some rows more often.

    Returns:
        ``(rows,)``.

    Raises:
        InvalidData: If shapes differ, a loss is not finite, or a row was never, or always, learned.
    """
    losses, shadow_losses = real_array(losses, "losses"), real_array(shadow_losses, "shadow_losses")
    inside = np.asarray(inside, dtype=bool)
    if shadow_losses.shape != inside.shape or inside.ndim != 2 or losses.shape != inside.shape[1:]:
        raise InvalidData(
            f"Losses (rows,) and those of shadows (shadows, rows) belong together, got {losses.shape}, "
            f"{shadow_losses.shape} and {inside.shape}."
        )
    if not (np.isfinite(losses).all() and np.isfinite(shadow_losses).all()):
        raise InvalidData("Losses are finite numbers, got NaN or infinity: a shadow diverged.")
    known = inside.sum(axis=0)
    if known.min() < 1 or known.max() >= len(inside):
        raise InvalidData(
            "Each row is learned by some shadow, and not by another: take more shadows."
        )
    tiny = np.finfo(np.float64).tiny
    values, shadows = (-np.log(np.maximum(each, tiny)) for each in (losses, shadow_losses))
    score = np.zeros(len(losses))
    for side, sign in ((inside, 1.0), (~inside, -1.0)):
        counts = side.sum(axis=0)
        freedom = int(counts.sum()) - len(losses)
        if freedom < 1:
            raise InvalidData("A variance needs rows that two shadows share: take more shadows.")
        mean = np.where(side, shadows, 0).sum(axis=0) / counts
        variance = (np.where(side, shadows - mean, 0) ** 2).sum() / freedom
        variance = max(float(variance), 1e-18)  # shadows that agree to the last bit
        score += sign * (-((values - mean) ** 2) / (2 * variance) - 0.5 * math.log(variance))
    return score
