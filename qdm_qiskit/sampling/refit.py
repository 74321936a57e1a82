"""A trained run fitted again to a device: calls in, features out, a run with another head.

Three parts that know nothing of each other: :func:`refit_pairs` and :func:`refit_calls` say what is
asked, any target answers, :func:`refitted` makes the run. So a hardware run may send the calls like a
calibration's and use what it learnt until the device has changed.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InvalidData, InvalidOption, TargetUnavailable
from ..execution.calls import CallResult, CircuitCall
from ..layers.arrays import to_array
from ..layers.calling import ExactTarget, calls_of
from ..mitigation.refit import AffineCorrection, RidgeFit, affine_correction, ridge
from ..models import Denoiser
from ..rng import derived_seed
from ..training import load_split
from ..training.run_data import class_indices, classes_of
from .refit_record import SCHEMA
from .trained_run import TrainedRun

__all__ = [
    "Goal",
    "RefitPairs",
    "corrections_of",
    "has_linear_head",
    "refit_calls",
    "refit_pairs",
    "refitted",
]

Goal = Literal["model", "data"]
"""What the head is fitted to: the model's own exact predictions, or the targets of training. The
first has no noise of its own, so that few circuits do; the second also mends the model."""


@dataclass(frozen=True)
class RefitPairs:
    """Noisy states on which a model is fitted again."""

    x: Tensor
    """``(circuits, *state_shape)``."""
    t: Tensor
    """``(circuits,)`` times in (0, 1]."""
    labels: Tensor | None
    """``(circuits,)`` class indices of guided models."""
    target: Tensor
    """What the process wants predicted, of the shape of ``x``."""
    seed: int


def has_linear_head(model: Denoiser) -> bool:
    """Return True if a model's prediction is a linear layer ``head`` of its one circuit's values."""
    head: Any = getattr(model, "head", None)
    return isinstance(head, nn.Linear) and model.name == "line"


def refit_pairs(run: TrainedRun, circuits: int, *, seed: int = 0) -> RefitPairs:
    """Draw training images, steps and noise, as training does.

    Args:
        run: The trained run, whose data are read again.
        circuits: Number of pairs, at least 3; images may stand in several.
        seed: Seed of the draw.

    Raises:
        InvalidOption: If there are fewer than 3.
        MissingData, InvalidData: If the data are not there, or are others.
    """
    if circuits < 3:
        raise InvalidOption(f"A refit takes at least 3 circuits, got {circuits}.")
    split = load_split(run.config)
    source = torch.Generator().manual_seed(derived_seed(seed, "noise", 0, 0, 2))
    rows = torch.randint(len(split.train), (circuits,), generator=source)
    images = torch.from_numpy(split.train.images)[rows]
    labels = None
    if getattr(run.config.model_options, "guided", False):
        found = class_indices(split.train.labels, classes_of(split))
        labels = torch.from_numpy(found)[rows]
    with torch.no_grad():
        x_0 = run.process.to_states(run.model.encode_data(images))
        pairs = run.process.training_pairs(x_0, source)
    # A process that trains all steps of each image gives T times as many: some of each step.
    kept = torch.randperm(len(pairs.step), generator=source)[:circuits]
    return RefitPairs(
        x=pairs.noisy[kept],
        t=pairs.step[kept] / run.process.num_steps,
        labels=None if labels is None else labels[pairs.source[kept]],
        target=pairs.target[kept],
        seed=seed,
    )


def refit_calls(run: TrainedRun, pairs: RefitPairs, shots: int) -> list[CircuitCall]:
    """Return the calls whose results a refit needs: of each layer one, with a row for each pair.

    They are those of the model's own step, as the engine's exact values lead through it; none
    depends on the result of another.

    Raises:
        TargetUnavailable: If a part of the model runs circuits that are no calls.
        InvalidOption: If ``shots`` is below 1.
    """
    if shots < 1:
        raise InvalidOption(f"shots is at least 1, got {shots}.")
    jobs = calls_of(run.model, pairs.x, pairs.t, pairs.labels)
    return [replace(call, shots=shots) for job in jobs for call in job]


@torch.no_grad()
def refitted(
    run: TrainedRun,
    pairs: RefitPairs,
    results: Sequence[CallResult],
    *,
    goal: Goal = "model",
    provenance: dict[str, Any] | None = None,
) -> tuple[TrainedRun, dict[str, Any]]:
    """Return the run with its head fitted to what a device returned.

    Args:
        run: The trained run; it is not changed.
        pairs: From :func:`refit_pairs`.
        results: Of the calls of :func:`refit_calls`, in their order.
        goal: What the head is fitted to.
        provenance: Target, shots, layout and what else the record should hold.

    Returns:
        A run that samples with the new head, and the record, ready for JSON.

    Raises:
        TargetUnavailable: If the model has no linear head; :func:`corrections_of` is for those.
        InvalidData: If the results do not fit.
    """
    model: Any = run.model
    if not has_linear_head(run.model):
        raise TargetUnavailable(
            f"'{run.model.name}' has no linear head that could be fitted again; correct its measured "
            "values in place (corrections_of)."
        )
    if goal not in ("model", "data"):
        raise InvalidOption(f"goal is 'model' or 'data', got {goal!r}.")
    if len(results) != 1 or len(results[0].outputs) != len(pairs.x):
        raise InvalidData(
            f"A refit of {len(pairs.x)} circuits takes one result with a row for each."
        )
    targets = pairs.target if goal == "data" else model(pairs.x, pairs.t, pairs.labels)
    targets = targets - model.without_circuit(pairs.x, pairs.t, pairs.labels)
    head = model.head
    fit = ridge(
        np.asarray(results[0].outputs, dtype=np.float64),
        to_array(targets).astype(np.float64),
        to_array(head.weight).astype(np.float64),
        to_array(head.bias).astype(np.float64),
    )
    changed = copy.deepcopy(model)
    changed.head.weight.copy_(torch.from_numpy(fit.weight))
    changed.head.bias.copy_(torch.from_numpy(fit.bias))
    return replace(run, model=changed), _record(fit, goal, pairs, provenance)


def _record(
    fit: RidgeFit, goal: Goal, pairs: RefitPairs, provenance: dict[str, Any] | None
) -> dict[str, Any]:
    numbers = {k: v for k, v in asdict(fit).items() if not isinstance(v, np.ndarray)}
    return {
        "schema": SCHEMA,
        "goal": goal,
        "seed": pairs.seed,
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **numbers,
        **(provenance or {}),
    }


def corrections_of(
    calls: Sequence[CircuitCall], results: Sequence[CallResult], *, strength: float = 1e-2
) -> dict[str, AffineCorrection]:
    """Return a correction of the measured values of each layer, for models without a linear head.

    Args:
        calls: From :func:`refit_calls`.
        results: What the device returned for them.
        strength: See :func:`~qdm_qiskit.mitigation.refit.affine_correction`.

    Returns:
        By the calls' names; give them to ``sample(..., corrections=...)``.

    Raises:
        InvalidData: If there are not as many results as calls, or too few rows.
    """
    if len(calls) != len(results):
        raise InvalidData(f"{len(calls)} calls have as many results, got {len(results)}.")
    exact = ExactTarget().answer(calls)
    return {
        call.name: affine_correction(
            np.asarray(found.outputs), np.asarray(wanted.outputs), strength=strength
        )
        for call, found, wanted in zip(calls, results, exact, strict=True)
    }
