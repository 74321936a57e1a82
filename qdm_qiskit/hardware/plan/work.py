"""The work of a run on its target: circuits, jobs, shots, calibration, seconds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from qiskit import QuantumCircuit
from qiskit.providers import BackendV2

from ...circuits.spec import ProbabilityReadout
from ...errors import InvalidOption
from ...execution.calls import CircuitCall
from ...execution.targets import Target
from ...progress import Message, Progress
from ...transpiling.passes import measured_physical_qubits
from .call_circuits import circuit_plan, transpiled_calls
from .call_jobs import Question, Room, affordable_shots, asked, chosen_sampler, jobs_of
from .calls import CallsPlan, SamplerPlan
from .chains import ChainPlan
from .circuits import best_transpiled, calibration_circuits, clock
from .config import PlanConfig
from .qpu_seconds import MAX_EXECUTIONS, Timing, backend_configuration
from .shots import calibration_plan, chosen_shots, total_shots
from .types import MAX_SHOTS, Availability, CalibrationPlan, CircuitPlan, ShotChoice, StepPlan

if TYPE_CHECKING:
    from ...sampling import Sampler, TrainedRun

__all__ = [
    "Asked",
    "Destination",
    "Work",
    "many_calls",
    "one_circuit",
    "room_of",
    "work_of_calls",
]


@dataclass(frozen=True)
class Destination:
    """Target of a run and its device."""

    target: Target
    device: BackendV2 | None
    availability: Availability | None


@dataclass(frozen=True, kw_only=True)
class Work:
    """Circuits and jobs that a run sends."""

    steps: tuple[StepPlan, ...]
    choice: ShotChoice | None
    calibration: CalibrationPlan | None
    circuit: CircuitPlan
    timing: Timing
    calls: CallsPlan | None
    circuits: tuple[QuantumCircuit, ...]
    """Entries of ``circuits.qpy``."""
    chain: ChainPlan | None = None
    """The way of a model of states, where it was chosen."""


@dataclass(frozen=True)
class Asked:
    """Questions of a run."""

    times: Sequence[int]
    """t of each step."""
    steps: Sequence[Sequence[Question]]
    """Questions of each step."""
    distinct: Sequence[CircuitCall]
    """A call of each distinct circuit."""
    sampler: SamplerPlan


def one_circuit(
    trained: TrainedRun, config: PlanConfig, destination: Destination, progress: Progress
) -> Work:
    """Plan a model that is one circuit: a job a step.

    Raises:
        InvalidOption: If an option does not fit the model or the device.
    """
    from ...models import CircuitDenoiser
    from ...sampling import unrolled_circuit

    target, device = destination.target, destination.device
    assert isinstance(trained.model, CircuitDenoiser)
    progress(Message("transpiling"))
    isa, seed, cost = best_transpiled(unrolled_circuit(trained.model), device, target, config)
    calibration = calibration_circuits(config, target, device, measured_physical_qubits(isa))
    timing = clock(device, target, isa, calibration, config, destination.availability)
    progress(Message("planning"))
    planned_calibration = calibration_plan(config, calibration, timing)
    total = total_shots(trained, config, target, timing, planned_calibration)
    shots, choice = chosen_shots(trained, config, total, device, progress)
    steps = tuple(
        StepPlan(
            step=step,
            shots=count,
            rows=config.num_images,
            seconds=timing.job_seconds(count * config.num_images),
        )
        for step, count in zip(range(len(shots), 0, -1), shots, strict=True)
    )
    return Work(
        steps=steps,
        choice=choice,
        calibration=planned_calibration,
        circuit=circuit_plan(isa, isa, cost, seed, config),
        timing=timing,
        calls=None,
        circuits=(isa, *calibration),
    )


def many_calls(
    trained: TrainedRun,
    config: PlanConfig,
    destination: Destination,
    x: np.ndarray,
    labels: np.ndarray | None,
    sampler: Sampler | None,
    progress: Progress,
) -> Work:
    """Plan a model of several circuit calls, or a chain that a sampler walks.

    Raises:
        TargetUnavailable: If the model calls no circuit, or one that cannot be measured.
        InvalidOption: If an option does not fit, or a row outgrows a job.
        UnsupportedCircuit: If a circuit has more qubits than the device.
    """
    if config.schedule != "uniform":
        raise InvalidOption(
            f"Shot allocation '{config.schedule}' spreads the shots of one circuit over the steps of "
            "its process; this run's steps are several calls or a sampler's, so use 'uniform'."
        )
    made, times, record = chosen_sampler(trained.process, config, sampler)
    progress(Message("listing circuit calls", 0, len(times)))
    steps, distinct = asked(trained, made, times, x, labels, config.seed, config.shots, progress)
    questions = Asked(times, steps, distinct, record)
    return work_of_calls(questions, config, config.shots, destination, progress)


def work_of_calls(
    questions: Asked,
    config: PlanConfig,
    shots: int,
    destination: Destination,
    progress: Progress,
) -> Work:
    """Plan the circuits and jobs of a run's questions.

    Args:
        questions: Of the run.
        config: Layout, mitigation, seconds.
        shots: Of each row and circuit, unless the seconds decide.
        destination: Target and device.
        progress: Receives the progress messages.

    Raises:
        TargetUnavailable, InvalidOption, UnsupportedCircuit: As :func:`many_calls`.
    """
    target, device = destination.target, destination.device
    times, steps, distinct = questions.times, questions.steps, questions.distinct
    found = transpiled_calls(
        distinct,
        device,
        target,
        config,
        destination.availability,
        lambda text: progress(Message(text)),
    )
    measured = tuple(sorted({q for each in found.planned for q in each.plan.measured_qubits}))
    calibration = calibration_circuits(config, target, device, measured)
    base = clock(device, target, found.circuits[0], calibration, config, destination.availability)
    longest = max(each.circuit_seconds for each in found.timings)
    timing = dataclasses.replace(base, circuit_seconds=longest)
    progress(Message("planning"))
    planned_calibration = calibration_plan(config, calibration, timing)
    most_shots, room = room_of(config, destination)
    if config.seconds is not None:
        if not timing.overhead_seconds and not timing.rep_delay_seconds:
            raise InvalidOption(
                f"Target '{target}' takes no QPU seconds; give shots in place of seconds."
            )
        left = config.seconds
        left -= 0.0 if planned_calibration is None else planned_calibration.seconds
        shots = affordable_shots(times, steps, found, timing, room, left, most_shots or MAX_SHOTS)
    _check_shots(shots, most_shots, device, distinct)
    jobs = jobs_of(times, steps, found, timing, shots, room)
    return Work(
        steps=tuple(
            StepPlan(
                step=t,
                shots=shots,
                rows=config.num_images,
                seconds=math.fsum(each.seconds for each in jobs if each.step == t),
            )
            for t in times
        ),
        choice=None,
        calibration=planned_calibration,
        circuit=found.worst,
        timing=timing,
        calls=CallsPlan(circuits=found.planned, jobs=jobs, sampler=questions.sampler),
        circuits=(*found.circuits, *calibration),
    )


def room_of(config: PlanConfig, destination: Destination) -> tuple[int | None, Room]:
    """Return the largest number of shots, and the largest size of a job."""
    most_shots = getattr(backend_configuration(destination.device), "max_shots", None)
    executions: int | None = MAX_EXECUTIONS
    said = destination.availability
    if said is not None and said.provider is not None:
        most_shots, executions = said.most_shots, said.most_executions
    return most_shots, Room(executions=executions, seconds=config.options.max_execution_seconds)


def _check_shots(
    shots: int, most: int | None, device: BackendV2 | None, calls: Sequence[CircuitCall]
) -> None:
    if most is not None and shots > most:
        raise InvalidOption(
            f"{device.name if device else 'The device'} takes at most {most} shots a circuit, got "
            f"{shots}; lower shots."
        )
    needs_two = any(not isinstance(each.spec.readout, ProbabilityReadout) for each in calls)
    if needs_two and shots < 2:
        raise InvalidOption(f"Expectation values take 2 shots at least, got {shots}.")
