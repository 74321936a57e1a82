"""The work of a run on its target: circuits, jobs, shots, calibration, seconds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.providers import BackendV2

from ...circuits.readouts import ProbabilityReadout
from ...errors import InvalidOption
from ...execution.calls import CircuitCall
from ...execution.targets import Target
from ...mitigation.readout import prepared_bits
from ...progress import Message, Progress
from ...transpiling.passes import measured_physical_qubits
from ...transpiling.tiles import calibration_rounds
from .call_allocation import CallSpread
from .call_circuits import CallCircuits, circuit_plan, transpiled_calls
from .call_jobs import (
    MOST_VALUES,
    JobsOf,
    Question,
    Room,
    affordable_shots,
    asked,
    chosen_sampler,
    jobs_of,
)
from .calls import CallsPlan, JobPlan, SamplerPlan, calibration_groups
from .chains import ChainPlan
from .circuits import best_transpiled, calibration_circuits, clock
from .config import PlanConfig
from .estimator_circuits import estimated_calls
from .estimator_plan import EstimatorPlan
from .qpu_seconds import MAX_EXECUTIONS, Timing, backend_configuration
from .refit_plan import RefitPlan
from .refits import AskedRefit, check_contents, refit_plan
from .shots import calibration_plan, chosen_shots, total_shots, twirling_bucket
from .tiled_calls import TiledCalls, rows_of, tiled_calls, tiled_jobs
from .tiles import TilesPlan
from .types import MAX_SHOTS, Availability, CalibrationPlan, CircuitPlan, ShotChoice, StepPlan

if TYPE_CHECKING:
    from ...sampling import Sampler, TrainedRun

__all__ = [
    "Asked",
    "Destination",
    "Work",
    "many_calls",
    "one_circuit",
    "outgrown",
    "recorded_work",
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
    estimator: EstimatorPlan | None = None
    refit: RefitPlan | None = None


@dataclass(frozen=True)
class Asked:
    """Questions of a run."""

    times: Sequence[int]
    """t of each step."""
    steps: Sequence[Sequence[Question]]
    """Questions of each step."""
    distinct: Sequence[CircuitCall]
    """A call of each distinct circuit."""
    sampler: SamplerPlan | None
    """None where there is no chain."""
    rows: int
    """Images, or rows of inputs."""
    refit: AskedRefit | None = None
    spread: CallSpread | None = None
    """Rule of shots that differ from call to call; None for the same of all."""


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
    calibration = _calibrating(config, target, device, measured_physical_qubits(isa))
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


def outgrown(work: Work, config: PlanConfig) -> bool:
    """Return True if a job of one circuit is larger than the options allow."""
    limits = (config.max_job_executions, config.max_job_circuits, config.max_job_values)
    for step in work.steps:
        sizes = (step.shots * step.rows, step.rows, step.rows * len(work.circuit.parameters))
        if any(most is not None and size > most for size, most in zip(sizes, limits, strict=True)):
            return True
    return False


def many_calls(
    trained: TrainedRun,
    config: PlanConfig,
    destination: Destination,
    x: np.ndarray,
    labels: np.ndarray | None,
    sampler: Sampler | None,
    progress: Progress,
    refit: AskedRefit | None = None,
    begins_at: int = 0,
) -> Work:
    """Plan a model of several circuit calls, or a chain that a sampler walks.

    With ``begins_at`` steps of the sampler that another run has answered, ``x`` is the state after
    them, and the rest is planned.

    Raises:
        TargetUnavailable: If the model calls no circuit, or one that cannot be measured.
        InvalidOption: If an option does not fit, or a row outgrows a job.
        UnsupportedCircuit: If a circuit has more qubits than the device.
    """
    if config.schedule != "uniform" and (config.tiles or config.primitive != "sampler"):
        what = "tiles run rows side by side" if config.tiles else "an Estimator chooses its own"
        raise InvalidOption(
            f"Shot allocation '{config.schedule}' spreads the Sampler's shots over calls one after the "
            f"other, and {what}; use 'uniform'."
        )
    made, times, record = chosen_sampler(trained, config, sampler)
    times = times[begins_at:]
    progress(Message("listing circuit calls", 0, len(times)))
    steps, distinct = asked(trained, made, times, x, labels, config.seed, config.shots, progress)
    if refit is not None:
        check_contents(refit, {each.content for each in distinct}, trained.model.name)
    spread = None
    if config.schedule != "uniform":
        spread = CallSpread(trained, made, times, steps, distinct, config, progress)
    questions = Asked(times, steps, distinct, record, config.num_images, refit, spread)
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
    state, estimator = destination.availability, None
    if config.primitive == "estimator":
        found, estimator = estimated_calls(
            distinct, device, target, config, state, lambda text: progress(Message(text))
        )
    else:
        found = transpiled_calls(
            distinct, device, target, config, state, lambda text: progress(Message(text))
        )
    measured = tuple(sorted({q for each in found.planned for q in each.plan.measured_qubits}))
    once = _Laid(
        found,
        [[each] for each in calibration_groups(measured)],
        lambda times, steps, clock, shots, room: jobs_of(times, steps, found, clock, shots, room),
    )
    choice = config.tile_choice
    tiled = None
    if choice is not None:
        tiled = tiled_calls(
            found,
            rows_of(steps),
            device,
            target,
            choice,
            config,
            destination.availability,
            progress,
        )
    progress(Message("planning"))
    laid = once if tiled is None else _on_tiles(tiled)
    priced = _priced(laid, config, destination, questions, shots)
    tiles = None
    if tiled is not None and choice is not None:
        plain = _priced(once, config, destination, questions, priced.shots, fixed=True)
        tiles = TilesPlan(
            choice=str(choice),
            buffer=choice.buffer,
            circuits=tiled.tiles,
            seconds_without=plain.seconds + sum(each.seconds for each in plain.refit),
            executions_without=sum(each.circuits * each.shots for each in plain.jobs),
        )
    refit = None
    if questions.refit is not None:
        number = len(laid.circuits.planned)
        refit = refit_plan(questions.refit, priced.refit, laid.circuits.circuits[:number], config)
    return Work(
        steps=tuple(
            StepPlan(
                step=t,
                shots=max(each.shots for each in priced.jobs if each.step == t),
                rows=questions.rows,
                seconds=math.fsum(each.seconds for each in priced.jobs if each.step == t),
            )
            for t in times
        ),
        choice=priced.choice,
        calibration=priced.calibration,
        circuit=laid.circuits.worst,
        timing=priced.timing,
        calls=CallsPlan(
            circuits=laid.circuits.planned, jobs=priced.jobs, sampler=questions.sampler, tiles=tiles
        ),
        circuits=(*laid.circuits.circuits, *priced.calibrating),
        estimator=estimator,
        refit=refit,
    )


@dataclass(frozen=True)
class _Laid:
    """Circuits of all calls where they lie on the device."""

    circuits: CallCircuits
    calibrated: list[list[tuple[int, ...]]]
    """Groups of qubits to calibrate, in rounds that run at once."""
    jobs: JobsOf


@dataclass(frozen=True)
class _Priced:
    """The same with shots, jobs and their price."""

    laid: _Laid
    calibrating: list[QuantumCircuit]
    calibration: CalibrationPlan | None
    timing: Timing
    shots: int
    jobs: tuple[JobPlan, ...]
    refit: tuple[JobPlan, ...]
    choice: ShotChoice | None

    @property
    def seconds(self) -> float:
        """QPU seconds of all jobs but a refit, a calibration included."""
        calibration = 0.0 if self.calibration is None else self.calibration.seconds
        return math.fsum((calibration, *(each.seconds for each in self.jobs)))


def _on_tiles(tiled: TiledCalls) -> _Laid:
    planned = tiled.circuits.planned
    return _Laid(
        tiled.circuits,
        calibration_rounds(
            [
                [planned[tile.circuits[0]].plan.measured_qubits for tile in each.tiles]
                for each in tiled.tiles
            ]
        ),
        lambda times, steps, clock, shots, room: tiled_jobs(
            times, steps, tiled, clock, shots, room
        ),
    )


def _priced(
    laid: _Laid,
    config: PlanConfig,
    destination: Destination,
    questions: Asked,
    shots: int,
    *,
    fixed: bool = False,
) -> _Priced:
    """Return the jobs of calls with their price; unless ``fixed``, seconds may decide the shots."""
    target, device = destination.target, destination.device
    times, steps = questions.times, questions.steps
    groups = [group for each in laid.calibrated for group in each]
    calibrating = calibration_circuits(config, target, device, groups)
    base = clock(
        device, target, laid.circuits.circuits[0], calibrating, config, destination.availability
    )
    longest = max(each.circuit_seconds for each in laid.circuits.timings)
    timing = dataclasses.replace(base, circuit_seconds=longest)
    method = config.calibration_method
    bound = sum(max(len(prepared_bits(len(g), method)) for g in each) for each in laid.calibrated)
    calibration = calibration_plan(config, calibrating, timing, bound)
    most_shots, room = room_of(config, destination)
    left: float | None = None
    if not fixed:
        if config.seconds is not None:
            if not timing.overhead_seconds and not timing.rep_delay_seconds:
                raise InvalidOption(
                    f"Target '{target}' takes no QPU seconds; give shots in place of seconds."
                )
            left = config.seconds - (0.0 if calibration is None else calibration.seconds)
            most = most_shots or MAX_SHOTS
            shots = affordable_shots(
                times, steps, laid.circuits, timing, room, left, most, laid.jobs
            )
        if config.precision is None:
            _check_shots(shots, most_shots, device, questions.distinct)
    choice: ShotChoice | None = None
    if questions.spread is None:
        jobs = laid.jobs(times, steps, timing, shots, room)
    else:
        jobs, choice = questions.spread.jobs(
            laid.circuits,
            timing,
            room,
            most_shots=most_shots,
            uniform=shots,
            seconds=left,
            bucket=twirling_bucket(config),
        )
    refit: tuple[JobPlan, ...] = ()
    if questions.refit is not None:
        _check_shots(questions.refit.shots, most_shots, device, questions.distinct)
        refit = laid.jobs([1], [[questions.refit.question]], timing, questions.refit.shots, room)
    return _Priced(laid, calibrating, calibration, timing, shots, jobs, refit, choice)


def _calibrating(
    config: PlanConfig, target: Target, device: BackendV2 | None, measured: tuple[int, ...]
) -> list[QuantumCircuit]:
    return calibration_circuits(config, target, device, calibration_groups(measured))


def room_of(config: PlanConfig, destination: Destination) -> tuple[int | None, Room]:
    """Return the largest number of shots, and the largest size of a job."""
    most_shots = getattr(backend_configuration(destination.device), "max_shots", None)
    executions: int | None = MAX_EXECUTIONS
    said = destination.availability
    if said is not None and said.provider is not None:
        most_shots, executions = said.most_shots, said.most_executions
    if config.max_job_executions is not None:
        given = config.max_job_executions
        executions = given if executions is None else min(executions, given)
    return most_shots, Room(
        executions=executions,
        seconds=config.options.max_execution_seconds,
        values=min(MOST_VALUES, config.max_job_values or MOST_VALUES),
        circuits=config.max_job_circuits,
    )


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


def recorded_work(config: PlanConfig, work: Work) -> dict[str, Any]:
    """Return the fields of a plan that say what is sent, and how."""
    return {
        "seed": config.seed,
        "steps": work.steps,
        "schedule": config.schedule,
        "mitigation": config.mitigation,
        "calibration": work.calibration,
        "mode": config.mode,
        "options": config.options,
        "budget": config.budget,
        "circuit": work.circuit,
        "timing": work.timing,
        "calls": work.calls,
    }
