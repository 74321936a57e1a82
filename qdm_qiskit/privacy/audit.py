"""All attacks on a run, in one table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import options
from ..arguments import checked_path, of_kind
from ..data import RowFormat
from ..errors import InvalidData, InvalidOption, WorkersUnavailable
from ..files import check_writable, write_json
from ..progress import Message, Progress, silent
from ..sampling import SamplingConfig, TrainedRun, load_run, sample
from ..work import Workers, run_items
from .attributes import AttributeInference, candidates_of, infer_attribute
from .losses import check_images_apart, image_losses
from .memorisation import Memorisation, measure_memorisation
from .private_training import read_private
from .roc import LEAST, Membership, membership
from .shadows import Pool, lira_scores, plan_shadows, read_pool, shadow_items

__all__ = ["SCHEMA", "AuditOptions", "PrivacyAudit", "audit_run"]

SCHEMA = "qdm-privacy-audit/1"


@dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """Options of an audit."""

    shadows: int = 0
    """Shadow models of the likelihood ratios; 0 leaves them out."""
    num_images: int = 200
    """Samples whose nearest rows are looked at; 0 leaves that out."""
    secret: str | None = None
    """Column of a table that is guessed; None leaves that out."""
    bins: int = 5
    """Values that are tried for a secret of numbers."""
    repeats: int = 4
    """Draws of noise for the loss of a row."""
    level: float = 0.95
    """Of all intervals."""
    seed: int = 0
    """Of noise, samples, shadows."""

    def __post_init__(self) -> None:
        options.settle(self)
        if self.shadows < 0 or self.num_images < 0:
            name = "shadows" if self.shadows < 0 else "num_images"
            raise InvalidOption(f"{name} must be at least 0, got {getattr(self, name)}.")
        if 0 < self.num_images < LEAST:
            raise InvalidOption(f"num_images is 0 or at least {LEAST}, got {self.num_images}.")
        if self.repeats < 1 or self.bins < 2:
            name, least = ("repeats", 1) if self.repeats < 1 else ("bins", 2)
            raise InvalidOption(f"{name} must be at least {least}, got {getattr(self, name)}.")
        if not 0 < self.level < 1:
            raise InvalidOption(f"level lies between 0 and 1, got {self.level}.")
        if self.seed < 0:
            raise InvalidOption(f"seed is at least 0, got {self.seed}.")


@dataclass(frozen=True)
class PrivacyAudit:
    """What attacks on a run found."""

    run: str
    weights: str
    """SHA-256 of the file of the weights."""
    options: AuditOptions
    threshold: Membership
    """Membership by the loss alone."""
    shadow_thresholds: tuple[float, ...] = ()
    """Areas of the same attack on each shadow model: what another training would have shown."""
    ratios: Membership | None = None
    """Membership by likelihood ratios of shadow models."""
    memorisation: Memorisation | None = None
    attribute: AttributeInference | None = None
    epsilon: float | None = None
    """Of private training, with ``delta``."""
    delta: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        parts = (self.ratios, self.memorisation, self.attribute)
        ratios, memorisation, attribute = (None if e is None else e.to_dict() for e in parts)
        return {
            "schema": SCHEMA,
            "run": self.run,
            "weights": self.weights,
            "options": asdict(self.options),
            "threshold": self.threshold.to_dict(),
            "shadow_thresholds": list(self.shadow_thresholds),
            "ratios": ratios,
            "memorisation": memorisation,
            "attribute": attribute,
            "epsilon": self.epsilon,
            "delta": self.delta,
        }

    def lines(self) -> list[str]:
        """Return what was found, a line each."""
        found = [_told("loss threshold", self.threshold)]
        if self.shadow_thresholds:
            areas = self.shadow_thresholds
            found.append(
                f"the same on {len(areas)} shadows  AUC {min(areas):.3f} to {max(areas):.3f}, mean "
                f"{np.mean(areas):.3f}"
            )
        if self.ratios is not None:
            found.append(_told("likelihood ratios", self.ratios))
        if (each := self.memorisation) is not None:
            found.append(
                f"nearest rows       {each.share:.3f} of {each.samples} samples nearest to a training "
                f"row, by chance {each.null[0]:.3f} to {each.null[1]:.3f} (p {each.p_value:.2g}); "
                f"{each.copies} copies; {each.near.estimate:.3f} [{each.near.low:.3f}, "
                f"{each.near.high:.3f}] nearer than the nearest 5 % of held-out rows"
            )
        if (guess := self.attribute) is not None:
            gap = guess.advantage
            found.append(
                f"secret {guess.column}: members {guess.members.estimate:.3f}, others "
                f"{guess.others.estimate:.3f}, difference {gap.estimate:.3f} [{gap.low:.3f}, "
                f"{gap.high:.3f}]; the commonest of {len(guess.candidates)} values "
                f"{guess.commonest:.3f}"
            )
        if self.epsilon is not None:
            found.append(
                f"trained privately  epsilon {self.epsilon:.3f} at delta {self.delta:g}, for adding or "
                "removing one row"
            )
        else:
            found.append(
                "nothing is proved of this training; attacks that find nothing prove nothing"
            )
        return found


def audit_run(
    run: str | Path,
    audit: AuditOptions,
    *,
    folder: Path | None = None,
    samples: np.ndarray | None = None,
    workers: Workers | None = None,
    progress: Progress = silent,
) -> PrivacyAudit:
    """Attack a run: are rows that it learned told from those that it did not?

    Members are the run's training rows, non-members its test rows.

    Args:
        run: Folder of a trained run.
        audit: What is tried.
        folder: Where shadow models and ``audit.json`` are kept; shadows need one.
        samples: ``(count, channels, height, width)`` in [0, 1], in place of drawn ones.
        workers: Who trains shadows; this process if None.
        progress: Receives messages.

    Raises:
        InvalidOption: If options do not fit the run, or a shadow failed; those that are done stay.
        InvalidData: If rows are too few, a class is on one side only, or the secret is constant.
        UnknownName: If there is no such column.
        KeyboardInterrupt: After Ctrl-C; the same call goes on.
        Others: As :func:`.load_run`, :func:`.run_items` and :func:`~qdm_qiskit.sampling.sample`.
    """
    run = checked_path(run, "run")
    of_kind(audit, AuditOptions, "audit")
    trained = load_run(run)
    check_images_apart(trained.process)
    if audit.shadows and folder is None:
        raise InvalidOption("Shadow models are kept in a folder: name one.")
    pool = read_pool(trained.config)
    member = pool.member
    for count, what in ((member.sum(), "training"), ((~member).sum(), "test")):
        if count < LEAST:
            raise InvalidData(
                f"An audit needs at least {LEAST} {what} rows, got {int(count)}: train on more, or "
                "with another test_fraction."
            )
    form = _secret_format(trained, audit)
    if form is not None and audit.secret is not None:  # refused before the losses are computed
        candidates_of(form, form.values(pool.images), audit.secret, audit.bins)
    inside = plan_shadows(member, pool.labels, audit.shadows, audit.seed) if audit.shadows else None
    own = run if (run / "config.json").is_file() else trained.checkpoint.parent.parent
    private = read_private(own)
    progress(Message("losses of all rows"))
    losses = _losses(trained, pool, audit, pool.images)
    threshold = membership(-losses[member], -losses[~member], level=audit.level)
    areas, ratios = _by_shadows(trained, pool, audit, inside, losses, folder, workers, progress)
    memorised, attribute = None, None
    if audit.num_images or samples is not None:
        progress(Message("samples"))
        drawn = _draw(trained, audit) if samples is None else samples
        memorised = measure_memorisation(
            drawn,
            pool.images[member],
            pool.images[~member],
            pool.labels[member],
            pool.labels[~member],
            level=audit.level,
            seed=audit.seed,
        )
    if form is not None and audit.secret is not None:
        progress(Message(f"guesses of {audit.secret}"))
        size = pool.images.shape[-1]
        attribute = infer_attribute(
            form,
            form.values(pool.images),
            member,
            audit.secret,
            lambda values: _losses(trained, pool, audit, form.images(values, size)),
            bins=audit.bins,
            level=audit.level,
        )
    found = PrivacyAudit(
        run=str(run),
        weights=trained.weights_sha256,
        options=audit,
        threshold=threshold,
        shadow_thresholds=areas,
        ratios=ratios,
        memorisation=memorised,
        attribute=attribute,
        epsilon=None if private is None else private[1],
        delta=None if private is None else private[0].delta,
    )
    if folder is not None:
        check_writable(folder)
        write_json(folder / "audit.json", found.to_dict())
    return found


def _losses(trained: TrainedRun, pool: Pool, audit: AuditOptions, images: np.ndarray) -> np.ndarray:
    return image_losses(
        trained.model,
        trained.process,
        images,
        pool.positions,
        repeats=audit.repeats,
        seed=audit.seed,
    )


def _secret_format(trained: TrainedRun, audit: AuditOptions) -> RowFormat | None:
    if audit.secret is None:
        return None
    record = trained.config.record
    form = None if record is None else record.rows
    if form is None:
        raise InvalidOption(
            "A secret is a column of a table, and this run learned images: leave secret out."
        )
    if audit.secret == form.target and bool(getattr(trained.model.config, "guided", False)):
        raise InvalidOption(
            f"'{audit.secret}' is the class that this guided model is told: name another column."
        )
    return form


def _by_shadows(
    trained: TrainedRun,
    pool: Pool,
    audit: AuditOptions,
    inside: np.ndarray | None,
    losses: np.ndarray,
    folder: Path | None,
    workers: Workers | None,
    progress: Progress,
) -> tuple[tuple[float, ...], Membership | None]:
    if inside is None or folder is None:
        return (), None
    own = trained.checkpoint.parent.parent
    private = read_private(own)
    items = shadow_items(
        trained.config,
        inside,
        private=None if private is None else private[0],
        repeats=audit.repeats,
        seed=audit.seed,
    )
    outcome = run_items(items, folder, workers, progress)
    if outcome.interrupted:
        raise KeyboardInterrupt
    if outcome.failures:
        address, words = next(iter(outcome.failures.items()))
        told = (
            f"{len(outcome.failures)} of {len(items)} shadows failed, {address} among them: "
            f"{words.rstrip('.')}. The others are kept in {folder}, and the same call goes on."
        )
        raise (WorkersUnavailable if "worker died" in words else InvalidOption)(told)
    of_shadows = np.array([outcome.results[item.address]["losses"] for item in items])
    areas = tuple(
        membership(-values[rows], -values[~rows], level=audit.level).auc.estimate
        for values, rows in zip(of_shadows, inside, strict=True)
    )
    scores = lira_scores(losses, of_shadows, inside)
    ratios = membership(scores[pool.member], scores[~pool.member], level=audit.level)
    return areas, ratios


def _draw(trained: TrainedRun, audit: AuditOptions) -> np.ndarray:
    config = SamplingConfig(num_images=audit.num_images, seed=audit.seed)
    return sample(trained, config).images


def _told(name: str, found: Membership) -> str:
    area = found.auc
    words = f"{name:<18} AUC {area.estimate:.3f} [{area.low:.3f}, {area.high:.3f}]"
    for rate in found.rates:
        true = rate.true
        words += (
            f"; TPR {true.estimate:.3f} [{true.low:.3f}, {true.high:.3f}] at FPR {rate.wanted:g}"
        )
    return words
