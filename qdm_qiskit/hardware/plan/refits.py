"""Refits while a run is planned: what they ask, what they cost, and one that is there already."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from qiskit import QuantumCircuit, qasm3

from ...archives import read_arrays
from ...canonical_json import content_sha256
from ...errors import InvalidData, InvalidOption, InvalidPlan, TargetUnavailable
from ...execution.targets import Target
from .call_jobs import AskedCall, Question
from .calls import JobPlan
from .config import PlanConfig
from .planned_files import checked_bytes
from .qpu_seconds import MAX_EXECUTIONS
from .refit_choice import LEAST_CIRCUITS
from .refit_plan import REFIT, RefitKind, RefitPlan
from .run_plan import MODEL, RunPlan

if TYPE_CHECKING:
    from ...sampling import TrainedRun
    from ...sampling.refit import RefitPairs

__all__ = [
    "AskedRefit",
    "asked_refit",
    "check_contents",
    "check_refit_target",
    "read_pairs",
    "refit_plan",
]

MOST_BYTES = 1 << 29
"""Most bytes of the states of a refit, unpacked."""


@dataclass(frozen=True)
class AskedRefit:
    """What the refit of a run asks."""

    question: Question
    """Its calls, which do not depend on each other."""
    kind: RefitKind
    circuits: int
    shots: int
    model_sha256: str
    pairs: bytes
    """Content of ``refit.npz``."""


def check_refit_target(target: Target) -> None:
    """Refuse targets to which nothing is fitted.

    Raises:
        InvalidOption: If the target is exact.
    """
    if target.kind == "engine":
        raise InvalidOption(
            "The engine is exact, so there is nothing to refit; leave refit out, or take a target such "
            "as 'local:fake_torino'."
        )


def asked_refit(
    trained: TrainedRun, config: PlanConfig, files: Mapping[str, bytes]
) -> AskedRefit | None:
    """Return what a refit asks; None where none is wanted.

    Args:
        trained: The run, whose training images are read.
        config: Number of circuits and shots, and the seed of the images and their noise.
        files: The model's files, by their path beside the plan.

    Raises:
        TargetUnavailable: If the model calls no circuit.
        MissingData, InvalidData: If the training images are not there.
    """
    from ...sampling.refit import has_linear_head, refit_calls, refit_pairs

    choice = config.refit_choice
    if choice is None:
        return None
    pairs = refit_pairs(trained, choice.circuits, seed=config.seed)
    shots = config.shots if choice.shots is None else choice.shots
    calls = refit_calls(trained, pairs, shots)
    if not calls:
        raise TargetUnavailable(
            f"'{trained.model.name}' is no single circuit, and calls none: a classical model has "
            "nothing to refit to a device; leave refit out."
        )
    model = {
        path.rpartition("/")[2]: hashlib.sha256(content).hexdigest()
        for path, content in files.items()
        if path.startswith(f"{MODEL}/checkpoints/") and not path.endswith("state.json")
    }
    return AskedRefit(
        question=[AskedCall(each.name, each.content, each.num_rows) for each in calls],
        kind="head" if has_linear_head(trained.model) else "values",
        circuits=choice.circuits,
        shots=shots,
        model_sha256=content_sha256(model),
        pairs=_pairs_bytes(pairs),
    )


def refit_plan(
    asked: AskedRefit,
    jobs: Sequence[JobPlan],
    circuits: Sequence[QuantumCircuit],
    config: PlanConfig,
) -> RefitPlan:
    """Return the plan of a refit.

    Args:
        asked: What it asks.
        jobs: Its jobs, of the same places as the steps' ones.
        circuits: Entries of ``circuits.qpy`` of the calls.
        config: Time to live.

    Raises:
        InvalidOption: If it outgrows a job, or leaves a place too few circuits.
    """
    if len(jobs) != 1:
        raise InvalidOption(
            f"A refit is one job, and this one takes {len(jobs)}: a job holds {MAX_EXECUTIONS} "
            "executions (circuits times shots) at most; take fewer circuits or shots."
        )
    [job] = jobs
    fewest = min(each.rows for each in job.calls)
    if fewest < LEAST_CIRCUITS:
        places = max(len([e for e in job.calls if e.name == name.name]) for name in job.calls)
        raise InvalidOption(
            f"A refit takes at least {LEAST_CIRCUITS} circuits at each of {places} places of the "
            f"chip, {LEAST_CIRCUITS * places} in all, got {asked.circuits}; take more, or "
            "fewer tiles."
        )
    return RefitPlan(
        kind=asked.kind,
        circuits=asked.circuits,
        shots=asked.shots,
        model_sha256=asked.model_sha256,
        places=tuple(
            hashlib.sha256(str(qasm3.dumps(each)).encode()).hexdigest() for each in circuits
        ),
        calls=job.calls,
        ttl_seconds=config.calibration_ttl_seconds,
        seconds=job.seconds,
    )


def check_contents(asked: AskedRefit, contents: set[str], model: str) -> None:
    """Refuse a refit that would run other circuits than the steps do.

    Raises:
        TargetUnavailable: If it does: each step of such a model has circuits of its own.
    """
    if not {each.content for each in asked.question} <= contents:
        raise TargetUnavailable(
            f"'{model}' runs other circuits on states of mixed times than its steps do, so a refit on "
            "them says nothing of the steps; leave refit out."
        )


def _pairs_bytes(pairs: RefitPairs) -> bytes:
    from ...layers.arrays import to_array

    arrays = {"x": to_array(pairs.x), "t": to_array(pairs.t)}
    if pairs.labels is not None:
        arrays["labels"] = to_array(pairs.labels).astype(np.int64)
    buffer = io.BytesIO()
    # numpy's annotations take a keyword for its option `allow_pickle`.
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def read_pairs(plan: RunPlan) -> RefitPairs:
    """Read the states of a plan's refit.

    Raises:
        InvalidPlan: If the file is missing, changed, or of another shape.
    """
    import torch

    from ...sampling.refit import RefitPairs

    assert plan.refit is not None
    assert plan.state_shape is not None  # of a model's plan
    content = checked_bytes(plan, REFIT)
    try:
        arrays = read_arrays(content, most_bytes=MOST_BYTES)
        x, t, labels = arrays["x"], arrays["t"], arrays.get("labels")
    except (InvalidData, KeyError) as error:
        raise InvalidPlan(f"The refit of run {plan.run_id} cannot be read ({error}).") from error
    rows = len(x)
    good = x.shape[1:] == plan.state_shape and t.shape == (rows,) and rows >= LEAST_CIRCUITS
    good &= x.dtype in (np.float32, np.complex64) and t.dtype.kind == "f"
    good = good and bool(np.isfinite(x).all() and np.isfinite(t).all())
    if labels is not None:
        good &= labels.shape == (rows,) and labels.dtype == np.int64
    if not good:
        raise InvalidPlan(
            f"The refit of run {plan.run_id} has states of shape {x.shape}; plan again."
        )
    return RefitPairs(
        x=torch.from_numpy(x),
        t=torch.from_numpy(t),
        labels=None if labels is None else torch.from_numpy(labels),
        target=torch.from_numpy(x),  # of training, which a run does not fit to
        seed=plan.seed,
    )
