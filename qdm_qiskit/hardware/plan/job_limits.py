"""Largest size of a job that a service takes, learnt from its refusals.

IBM documents a number of executions and leaves the rest to its services. A plan fixes its jobs, so a
refusal ends the run; the limit is kept in the ledger, plans of the same root and device respect it
from then on, and the refusal says the command that plans the run again.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...progress import Message, Progress
from ..ledger.ledger import FILE, Ledger
from .config import JOB_LIMITS, PlanConfig
from .types import ExecutionOptions

__all__ = [
    "FLAGS",
    "asked_for",
    "command_again",
    "note_asked",
    "with_learnt_limits",
]

ASKED, REFUSED = "asked", "job-size"
FLAGS = {
    "targets": "--target",
    "num_images": "--num-images",
    "shots": "--shots",
    "seconds": "--seconds",
    "precision": "--precision",
    "schedule": "--shot-allocation",
    "mitigation": "--mitigation",
    "primitive": "--primitive",
    "primitive_options": "--primitive-options",
    "calibration_shots": "--calibration-shots",
    "calibration_method": "--calibration-method",
    "calibration_ttl_seconds": "--calibration-hours",
    "mode": "--mode",
    "budget": "--budget",
    "loader": "--loader",
    "scheduler": "--sampler",
    "num_inference_steps": "--steps",
    "eta": "--eta",
    "tiles": "--tiles",
    "tile_buffer": "--tile-buffer",
    "refit": "--refit",
    "chain": "--chain",
    "kept_shots": "--kept-shots",
    "routing": "--routing",
    "groups": "--groups",
    "layout_trials": "--layout-trials",
    "fractional_gates": "--fractional-gates",
    "label": "--label",
    "start": "--start",
    "train": "--train",
    "train_optimizer": "--train-optimizer",
    "train_rate": "--train-rate",
    "train_perturbation": "--train-perturbation",
    "train_weights": "--train-weights",
    "seed": "--seed",
    "max_job_executions": "--max-job-executions",
    "max_job_circuits": "--max-job-circuits",
    "max_job_values": "--max-job-values",
    "dynamical_decoupling": "--dynamical-decoupling",
    "twirl_gates": "--twirl-gates",
    "twirl_measure": "--twirl-measure",
    "rep_delay_seconds": "--rep-delay",
    "max_execution_seconds": "--max-execution-seconds",
}
"""Fields of the options of a plan to flags of ``qdm run plan``."""


def note_asked(ledger: Ledger, run_id: str, config: PlanConfig, run: str | None) -> None:
    """Keep what a plan was made of, for a command that plans it again.

    Args:
        ledger: Of the run's root.
        run_id: The planned run.
        config: Its options.
        run: Folder of the trained run; None of what the command line cannot plan.
    """
    ledger.event(run_id, ASKED, run=run, config=_set_options(config))


def asked_for(ledger: Ledger, run_id: str) -> tuple[str | None, dict[str, Any]] | None:
    """Return the trained run's folder, and the options that were set; None if they are not known."""
    for row in reversed(ledger.events(run_id)):
        if row["kind"] == ASKED:
            detail = json.loads(str(row["detail"]))
            return detail["run"], detail["config"]
    return None


def command_again(ledger: Ledger, run_id: str, limits: Mapping[str, int], root: Path) -> str:
    """Return how a run is planned again with jobs that are no larger than some limits.

    Args:
        ledger: Of the run's root.
        run_id: The run.
        limits: Fields of :data:`.config.JOB_LIMITS` to numbers.
        root: Folder of all hardware runs.
    """
    found = asked_for(ledger, run_id)
    python = ", ".join(f"{name}={value}" for name, value in limits.items())
    if found is None or found[0] is None or not found[1].keys() <= FLAGS.keys():
        return f"plan it again as before, with {python}"
    run, options = found
    words = ["qdm", "run", "plan", str(run)]
    options = {**options, **limits}
    for name in [each for each in FLAGS if each in options]:
        value = options[name]
        words.append(FLAGS[name])
        if name == "targets":
            words.append(",".join(value))
        elif name == "calibration_ttl_seconds":
            words.append(repr(value / 3600))
        elif value is not True:
            words.append(str(value))
    return f"`{shlex.join([*words, '--root', str(root)])}`"


def with_learnt_limits(
    config: PlanConfig, root: Path, backend: str, progress: Progress
) -> PlanConfig:
    """Return options with the limits that the service had when it refused jobs of this root.

    Args:
        config: The options; a limit that they give stands.
        root: Folder of all hardware runs.
        backend: Name of the device.
        progress: Is told what was taken.
    """
    if not list(root.glob(f"{FILE}*")):
        return config
    ledger = Ledger.open_to_read(root)
    try:
        learnt = ledger.refused_sizes(backend)
    finally:
        ledger.close()
    for name in JOB_LIMITS:
        if getattr(config, name) is None and name in learnt:
            most, run_id = learnt[name]
            progress(
                Message(
                    f"{name}={most}: a larger job of run {run_id} was refused; give it to change it"
                )
            )
            changed: dict[str, Any] = {name: most}
            config = dataclasses.replace(config, **changed)
    return config


def _set_options(config: PlanConfig) -> dict[str, Any]:
    """Return the options that are not the defaults, and the targets, flat and ready for JSON."""
    plain, simple = PlanConfig(), ExecutionOptions()
    found = {
        each.name: value
        for each in dataclasses.fields(config)
        if (value := getattr(config, each.name)) != getattr(plain, each.name)
        or each.name == "targets"
    }
    found.pop("options", None)
    for name, value in vars(config.options).items():
        if value != getattr(simple, name):
            found[name] = value
    return found
