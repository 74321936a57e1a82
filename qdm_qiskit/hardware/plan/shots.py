"""Shots of a plan: their number in each step, and IBM's limits on the size of jobs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qiskit import QuantumCircuit
from qiskit.providers import BackendV2

from ...errors import InvalidOption
from ...execution.targets import Target
from ...progress import Progress
from .config import PlanConfig
from .qpu_seconds import MAX_EXECUTIONS, Timing, backend_configuration
from .shot_allocation import (
    PilotChains,
    best_allocation,
    precise_allocation,
    step_variances,
    uniform_shots,
)
from .types import Availability, CalibrationPlan, ShotChoice, StepPlan

if TYPE_CHECKING:
    from ...sampling import TrainedRun

__all__ = [
    "TWIRLING_BUCKET",
    "calibration_plan",
    "check_limits",
    "chosen_shots",
    "outgrow_a_job",
    "total_shots",
    "twirling_bucket",
]

TWIRLING_BUCKET = 64
"""Fewest shots of one randomization."""


def calibration_plan(
    config: PlanConfig,
    circuits: Sequence[QuantumCircuit],
    clock: Timing,
    bound: int | None = None,
) -> CalibrationPlan | None:
    """Return the one calibration job, as if it were taken; None without circuits.

    ``bound`` is how many circuits run where some run side by side; None for all.
    """
    if not circuits:
        return None
    number = len(circuits) if bound is None else bound
    executions = number * config.calibration_shots
    return CalibrationPlan(
        method=config.calibration_method,
        circuits=number,
        shots=config.calibration_shots,
        ttl_seconds=config.calibration_ttl_seconds,
        seconds=clock.job_seconds(executions, calibration=True),
    )


def total_shots(
    trained: TrainedRun,
    config: PlanConfig,
    target: Target,
    clock: Timing,
    calibration: CalibrationPlan | None,
) -> int:
    """Return the shots of all steps for one image: as many as asked for, or as the seconds allow.

    Seconds are a limit, so the calibration is always in them: one that was found may be stale when
    the run is sent.

    Raises:
        InvalidOption: If the seconds do not suffice, or the target takes none.
    """
    num_steps = trained.process.num_steps
    if config.seconds is None:
        return config.shots * num_steps
    fixed = num_steps * clock.job_seconds(0) + (0.0 if calibration is None else calibration.seconds)
    each = clock.job_seconds(config.num_images) - clock.job_seconds(0)
    if each <= 0:
        raise InvalidOption(
            f"Target '{target}' takes no QPU seconds; give shots in place of seconds."
        )
    total = math.floor((config.seconds - fixed) / each)
    if total < num_steps:
        needed = fixed + num_steps * each
        raise InvalidOption(
            f"{num_steps} jobs with one shot for each of {config.num_images} images take "
            f"{needed:.1f} QPU seconds already, calibration included; got seconds "
            f"{config.seconds:g}."
        )
    return total


def chosen_shots(
    trained: TrainedRun,
    config: PlanConfig,
    total: int,
    device: BackendV2 | None,
    progress: Progress,
) -> tuple[tuple[int, ...], ShotChoice | None]:
    """Return the shots of t = T .. 1 for each image, and their grounds; None of ``uniform``."""
    num_steps = trained.process.num_steps
    bucket = twirling_bucket(config)
    if config.schedule == "uniform":
        return uniform_shots(num_steps, total, bucket=bucket), None
    limit = getattr(backend_configuration(device), "max_shots", None) or MAX_EXECUTIONS
    most = min(limit, MAX_EXECUTIONS // config.num_images)
    pilot = PilotChains(trained, seed=config.seed, label=config.label)
    if config.precision is not None:
        found, variances = precise_allocation(
            pilot, config.precision, most=most, bucket=bucket, progress=progress
        )
    else:
        variances = step_variances(pilot, shots=max(1, total // num_steps)).final
        found = best_allocation(pilot, variances, total, most=most, bucket=bucket)
    return found.shots, ShotChoice(
        variances=tuple(float(each) for each in variances),
        power=found.power,
        error=found.error,
        uniform_error=found.uniform_error,
    )


def twirling_bucket(config: PlanConfig) -> int:
    """Return the number of which shots are a multiple: with twirling IBM rounds them up to whole
    randomizations, and multiples of 64 stay as they are.
    """
    return TWIRLING_BUCKET if config.options.twirl_gates or config.options.twirl_measure else 1


def check_limits(
    steps: Sequence[StepPlan],
    calibration: CalibrationPlan | None,
    device: BackendV2 | None,
    max_seconds: int | None = None,
    availability: Availability | None = None,
    config: PlanConfig | None = None,
) -> None:
    """Check IBM's limits on one job, before it is refused there, and the run's own.

    Args:
        steps: The jobs of the steps.
        calibration: The calibration's job.
        device: The device; None where there is none.
        max_seconds: QPU seconds after which IBM cancels a job.
        availability: Limits of another package's provider, in the place of IBM's.
        config: Options that limit the size of a job further; the calibration is one job.

    Raises:
        InvalidOption: With the first job that is too large.
    """
    most_shots = getattr(backend_configuration(device), "max_shots", None)
    most_executions = _most_executions(availability)
    if availability is not None and availability.provider is not None:
        most_shots = availability.most_shots
    jobs = [(each.name, each.shots, each.shots * each.rows) for each in steps]
    seconds = {each.name: each.seconds for each in steps}
    if calibration is not None:
        executions = calibration.shots * calibration.circuits
        jobs.append(("the calibration", calibration.shots, executions))
        seconds["the calibration"] = calibration.seconds
    if calibration is not None and config is not None:
        _check_calibration(calibration, config)
    for name, shots, executions in jobs:
        if most_executions is not None and executions > most_executions:
            raise InvalidOption(
                f"One job holds at most {most_executions} executions (circuits times shots), but "
                f"{name} has {executions}; lower shots or num_images."
            )
        if most_shots is not None and shots > most_shots:
            raise InvalidOption(
                f"{device.name if device else 'The device'} takes at most {most_shots} shots a "
                f"circuit, but {name} has {shots}; lower shots."
            )
        if max_seconds is not None and seconds[name] > max_seconds:
            raise InvalidOption(
                f"max_execution_seconds={max_seconds} cancels {name}, which takes about "
                f"{seconds[name]:.1f} QPU seconds; allow more, or lower shots."
            )


def _check_calibration(calibration: CalibrationPlan, config: PlanConfig) -> None:
    """Refuse a calibration that outgrows the options' limits: its circuits go together."""
    most = config.max_job_executions
    if most is not None and calibration.circuits * calibration.shots > most:
        raise InvalidOption(
            f"The calibration has {calibration.circuits} circuits of {calibration.shots} shots in one "
            f"job, and max_job_executions is {most}; lower calibration_shots."
        )
    if config.max_job_circuits is not None and calibration.circuits > config.max_job_circuits:
        raise InvalidOption(
            f"The calibration has {calibration.circuits} circuits in one job, and max_job_circuits is "
            f"{config.max_job_circuits}; leave mitigation out."
        )


def outgrow_a_job(steps: Sequence[StepPlan], availability: Availability | None) -> bool:
    """Return True if one job cannot hold the executions of a step, so that its rows are split.

    Args:
        steps, availability: As for :func:`check_limits`.
    """
    most = _most_executions(availability)
    return most is not None and any(each.shots * each.rows > most for each in steps)


def _most_executions(availability: Availability | None) -> int | None:
    if availability is not None and availability.provider is not None:
        return availability.most_executions
    return MAX_EXECUTIONS
