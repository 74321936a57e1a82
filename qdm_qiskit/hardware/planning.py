"""Make the plan of a hardware run: circuits, layout, shots and estimated seconds; nothing is sent."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from qiskit import QuantumCircuit
from qiskit.providers import BackendV2

from ..errors import InvalidOption, OutputNotWritable, TargetUnavailable
from ..execution.targets import Target, parse_target
from ..files import check_writable, write_bytes
from ..mitigation.readout import construct_circuits
from ..rng import derived_seed
from ..transpiling.cost import CircuitCost, circuit_cost
from ..transpiling.passes import (
    best_trial,
    layout_trials,
    measured_physical_qubits,
    transpile_for,
)
from . import plan_contents
from .estimate import MAX_EXECUTIONS, Timing, backend_configuration, timing
from .plan import (
    CIRCUITS,
    INPUTS,
    PLAN,
    CalibrationMethod,
    CalibrationPlan,
    CircuitPlan,
    Decision,
    ExecutionOptions,
    Mitigation,
    Mode,
    RunPlan,
    Schedule,
    ShotChoice,
    StepPlan,
    files_of,
    write_plan,
)
from .schedule import (
    PilotChains,
    best_schedule,
    precise_schedule,
    step_variances,
    uniform_shots,
)

if TYPE_CHECKING:
    from ..sampling import TrainedRun

Progress = Callable[[str], None]

DAY_SECONDS = 24 * 3600
TWIRLING_BUCKET = 64
"""Fewest shots of one randomization."""
_NO_TIMING = Timing(
    overhead_seconds=0.0, rep_delay_seconds=0.0, circuit_seconds=0.0, calibration_seconds=0.0
)


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """What a run should be; :func:`make_plan` makes a plan of it."""

    targets: tuple[str, ...] = ("local:fake_torino",)
    """Where to run, in the order of preference."""
    num_images: int = 16
    """Images, at least 1."""
    shots: int = 4096
    """Shots for each image and step, on average over the steps."""
    seconds: float | None = None
    """QPU seconds of the whole run, calibration included; then it decides the shots."""
    precision: float | None = None
    """Of schedule ``precision``: root mean square pixel error wanted of the final images."""
    schedule: Schedule = "uniform"
    """How shots are split over the steps; see :mod:`qdm_qiskit.hardware.schedule`."""
    mitigation: Mitigation = "none"
    calibration_shots: int = 8192
    """Shots of each calibration circuit."""
    calibration_method: CalibrationMethod = "balanced"
    calibration_ttl_seconds: int = DAY_SECONDS
    """Age at which a calibration is stale and is taken again."""
    mode: Mode = "auto"
    """Job, Batch or Session; ``auto`` takes what the account's plan allows."""
    options: ExecutionOptions = field(default_factory=ExecutionOptions)
    budget: str | None = None
    """Name of the budget that pays."""
    seed: int = 0
    label: int | None = None
    """Class of all images of a guided model; None cycles over the classes."""
    layout_trials: int = 5
    """Transpiler seeds tried; the highest expected success wins."""
    optimization_level: int = 3

    def __post_init__(self) -> None:
        if not self.targets:
            raise InvalidOption("A plan needs at least one target, got none.")
        for each in self.targets:
            parse_target(each)
        for name, most in (
            ("num_images", 1_000_000),
            ("shots", 10_000_000),
            ("calibration_shots", 10_000_000),
            ("calibration_ttl_seconds", 10**9),
            ("layout_trials", 10_000),
        ):
            value = getattr(self, name)
            if not 1 <= value <= most:
                raise InvalidOption(f"{name} must be at least 1 and at most {most}, got {value}.")
        if self.seed < 0 or self.optimization_level not in (0, 1, 2, 3):
            raise InvalidOption(
                "seed is >= 0 and optimization_level is 0 to 3, "
                f"got {self.seed}, {self.optimization_level}."
            )
        for name in ("seconds", "precision"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and 0 < value <= 1e6):
                raise InvalidOption(f"{name} is a number above 0, got {value}.")
        if (self.schedule == "precision") != (self.precision is not None):
            raise InvalidOption(
                "Schedule 'precision' takes --precision, the error wanted, and no other schedule "
                f"does; got schedule '{self.schedule}' and precision {self.precision}."
            )
        if self.precision is not None and self.seconds is not None:
            raise InvalidOption("Give a precision or seconds, not both: each decides the shots.")


@dataclass(frozen=True)
class Draft:
    """A plan that is not written yet."""

    plan: RunPlan
    contents: Mapping[str, bytes]
    """The files beside it, by their path in the run's folder."""

    def write(self, root: Path, decisions: Sequence[Decision] = ()) -> RunPlan:
        """Write the run's folder, all of it or nothing.

        Args:
            root: Folder of all hardware runs.
            decisions: What the fallback policy said.

        Returns:
            The plan, as :func:`~qdm_qiskit.hardware.plan.read_plan` reads it from the folder.

        Raises:
            OutputNotWritable: If this very run was planned already, or the folder cannot be written.
        """
        plan = dataclasses.replace(self.plan, decisions=tuple(decisions))
        return _write(plan, self.contents, root)


def make_plan(
    run: Path,
    config: PlanConfig,
    *,
    root: Path,
    backend: BackendV2 | None = None,
    today: date | None = None,
    progress: Progress = lambda _: None,
) -> RunPlan:
    """Plan a run on its first target and write its folder; free, and no job is sent.

    Args, errors: as for :func:`draft_plan` and :meth:`Draft.write`.
    """
    check_writable(root)
    draft = draft_plan(run, config, backend=backend, today=today, progress=progress)
    return draft.write(root)


def draft_plan(
    run: Path,
    config: PlanConfig,
    *,
    target: str | None = None,
    backend: BackendV2 | None = None,
    today: date | None = None,
    progress: Progress = lambda _: None,
) -> Draft:
    """Plan a run; nothing is written.

    Args:
        run: Folder of a trained run, or of one of its checkpoints.
        config: What the run should be.
        target: The target of ``config.targets`` to plan for; the first if None.
        backend: The QPU, for an ``ibm:`` target; other targets find their own.
        today: The day of planning; today if None.
        progress: Is told in words what happens.

    Returns:
        The draft.

    Raises:
        TargetUnavailable: If the model is no single circuit with a probability readout, or an
            ``ibm:`` target comes without its backend.
        InvalidOption: If an option does not fit the model or the device.
    """
    from ..sampling import load_run

    trained = load_run(run)
    circuit = _model_circuit(trained)
    chosen = parse_target(target or config.targets[0])
    device = _device(chosen, backend, config.seed)
    progress("transpiling")
    isa, seed, cost = _transpiled(circuit, device, chosen, config)
    measured = measured_physical_qubits(isa)
    calibration = _calibration_circuits(config, chosen, device, measured)
    clock = _clock(device, chosen, isa, calibration, config)
    progress("planning")
    x, labels = plan_contents.inputs(trained, config.num_images, config.label, config.seed)
    planned_calibration = _calibration_plan(config, calibration, clock)
    total = _total_shots(trained, config, chosen, clock, planned_calibration)
    shots, choice = _shots(trained, config, total, device, progress)
    steps = tuple(
        StepPlan(
            step=step,
            shots=count,
            rows=config.num_images,
            seconds=clock.job_seconds(count * config.num_images),
        )
        for step, count in zip(range(len(shots), 0, -1), shots, strict=True)
    )
    _check_limits(steps, planned_calibration, device)
    contents = plan_contents.model_files(trained)
    contents[CIRCUITS] = plan_contents.qpy_bytes([isa, *calibration])
    contents[INPUTS] = plan_contents.npz_bytes(x, labels)
    name = chosen.backend if chosen.backend not in (None, "least_busy") else chosen.kind
    plan = RunPlan(
        date=(today or date.today()).isoformat(),
        model=trained.model.name,
        model_run=_run_name(trained),
        num_steps=trained.process.num_steps,
        image_shape=_triple(trained.model.image_shape),
        state_shape=tuple(int(side) for side in x.shape[1:]),
        targets=config.targets,
        target=f"ibm:{device.name}" if chosen.kind == "ibm" and device else str(chosen),
        backend=str(name) if device is None else device.name,
        calibrated_at=_calibrated_at(device),
        num_images=config.num_images,
        seed=config.seed,
        label=config.label,
        steps=steps,
        schedule=config.schedule,
        shot_choice=choice,
        mitigation=config.mitigation,
        calibration=planned_calibration,
        mode=config.mode,
        options=config.options,
        budget=config.budget,
        circuit=CircuitPlan(
            qubits=isa.num_clbits,
            parameters=tuple(p.name for p in isa.parameters),
            depth=isa.depth(),
            two_qubit_gates=sum(len(i.qubits) == 2 and i.operation.name != "barrier" for i in isa),
            expected_success=None if cost is None else cost.expected_success,
            idle_success=None if cost is None else cost.idle_success,
            measured_qubits=measured,
            physical_qubits=_physical_qubits(isa, cost),
            transpiler_seed=seed,
            optimization_level=config.optimization_level,
        ),
        timing=clock,
        decisions=(),
        files=files_of({path: hashlib.sha256(c).hexdigest() for path, c in contents.items()}),
    )
    return Draft(plan, contents)


def _model_circuit(trained: TrainedRun) -> QuantumCircuit:
    """The unrolled circuit, for models that are one circuit with a probability readout."""
    from ..circuits.spec import ProbabilityReadout
    from ..models import CircuitDenoiser
    from ..sampling import unrolled_circuit

    model = trained.model
    if not isinstance(model, CircuitDenoiser):
        raise TargetUnavailable(
            f"'{model.name}' is no single circuit between classical arithmetic, so no QPU can take "
            "its steps; run it by `qdm sample --target engine`."
        )
    if not isinstance(model.spec.readout, ProbabilityReadout):
        raise TargetUnavailable(
            f"'{model.name}' reads expectation values, and a hardware run samples probabilities; "
            "run it by `qdm sample --target engine`."
        )
    return unrolled_circuit(model)


def _device(target: Target, backend: BackendV2 | None, seed: int) -> BackendV2 | None:
    """What to transpile for; None for the engine, which takes the logical circuit."""
    if target.kind == "ibm":
        if backend is None:
            raise TargetUnavailable(
                f"Planning for '{target}' needs its properties from IBM Quantum; connect first, or "
                "rehearse on 'local:fake_torino'."
            )
        return backend
    if target.kind == "engine":
        return None
    if target.kind == "aer":
        from ..execution.aer import AerRunner

        return AerRunner(seed=seed, device=target.device).backend
    from ..execution.snapshots import load_backend

    assert target.backend is not None  # parse_target
    return load_backend(target.backend)


def _is_device(target: Target) -> bool:
    return target.kind in ("noisy", "local", "ibm")


def _transpiled(
    circuit: QuantumCircuit, device: BackendV2 | None, target: Target, config: PlanConfig
) -> tuple[QuantumCircuit, int, CircuitCost | None]:
    """The best of the layout trials, its seed, and what it costs."""
    seeds = [
        derived_seed(config.seed, "transpiler", trial) for trial in range(config.layout_trials)
    ]
    if device is None:
        return circuit, seeds[0], None
    level = config.optimization_level
    if not _is_device(target):
        return transpile_for(circuit, device, level=level, seed=seeds[0]), seeds[0], None
    trial = best_trial(layout_trials(circuit, device, seeds=seeds, level=level))
    return trial.circuit, trial.seed, circuit_cost(trial.circuit, device.target)


def _calibration_circuits(
    config: PlanConfig, target: Target, device: BackendV2 | None, measured: tuple[int, ...]
) -> list[QuantumCircuit]:
    if config.mitigation == "none":
        return []
    if device is None or device.num_qubits is None or not _is_device(target):
        raise InvalidOption(
            f"Target '{target}' has no readout errors to mitigate; use mitigation 'none'."
        )
    return construct_circuits(measured, device.num_qubits, method=config.calibration_method)


def _clock(
    device: BackendV2 | None,
    target: Target,
    isa: QuantumCircuit,
    calibration: Sequence[QuantumCircuit],
    config: PlanConfig,
) -> Timing:
    """The timing of a device; nothing takes QPU time on the engine and on Aer."""
    if device is None or not _is_device(target):
        return _NO_TIMING
    return timing(device, isa, calibration, rep_delay_seconds=config.options.rep_delay_seconds)


def _calibration_plan(
    config: PlanConfig, circuits: Sequence[QuantumCircuit], clock: Timing
) -> CalibrationPlan | None:
    if not circuits:
        return None
    executions = len(circuits) * config.calibration_shots
    return CalibrationPlan(
        method=config.calibration_method,
        circuits=len(circuits),
        shots=config.calibration_shots,
        ttl_seconds=config.calibration_ttl_seconds,
        seconds=clock.job_seconds(executions, calibration=True),
    )


def _total_shots(
    trained: TrainedRun,
    config: PlanConfig,
    target: Target,
    clock: Timing,
    calibration: CalibrationPlan | None,
) -> int:
    """Shots of all steps for one image: as many as asked for, or as the seconds allow."""
    num_steps = trained.process.num_steps
    if config.seconds is None:
        return config.shots * num_steps
    fixed = num_steps * clock.job_seconds(0) + (0.0 if calibration is None else calibration.seconds)
    each = clock.job_seconds(config.num_images) - clock.job_seconds(0)
    if each <= 0:
        raise InvalidOption(
            f"Target '{target}' takes no QPU seconds; give --shots in place of --seconds."
        )
    total = math.floor((config.seconds - fixed) / each)
    if total < num_steps:
        needed = fixed + num_steps * each
        raise InvalidOption(
            f"{num_steps} jobs with one shot for each of {config.num_images} images take "
            f"{needed:.1f} QPU seconds already, calibration included; got --seconds "
            f"{config.seconds:g}."
        )
    return total


def _shots(
    trained: TrainedRun,
    config: PlanConfig,
    total: int,
    device: BackendV2 | None,
    progress: Progress,
) -> tuple[tuple[int, ...], ShotChoice | None]:
    """Shots of t = T .. 1 for each image, and what they were chosen by."""
    num_steps = trained.process.num_steps
    # With twirling IBM rounds shots up to whole randomizations; multiples of 64 stay as they are.
    bucket = TWIRLING_BUCKET if config.options.twirl_gates or config.options.twirl_measure else 1
    if config.schedule == "uniform":
        return uniform_shots(num_steps, total, bucket=bucket), None
    limit = getattr(backend_configuration(device), "max_shots", None) or MAX_EXECUTIONS
    most = min(limit, MAX_EXECUTIONS // config.num_images)
    pilot = PilotChains(trained, seed=config.seed, label=config.label)
    if config.precision is not None:
        found, variances = precise_schedule(
            pilot, config.precision, most=most, bucket=bucket, progress=progress
        )
    else:
        variances = step_variances(pilot, shots=max(1, total // num_steps)).final
        found = best_schedule(pilot, variances, total, most=most, bucket=bucket)
    return found.shots, ShotChoice(
        variances=tuple(float(each) for each in variances),
        power=found.power,
        error=found.error,
        uniform_error=found.uniform_error,
    )


def _check_limits(
    steps: Sequence[StepPlan], calibration: CalibrationPlan | None, device: BackendV2 | None
) -> None:
    """IBM's limits on one job, before it is refused there."""
    configuration = backend_configuration(device)
    most_shots = getattr(configuration, "max_shots", None)
    jobs = [(each.name, each.shots, each.shots * each.rows) for each in steps]
    if calibration is not None:
        executions = calibration.shots * calibration.circuits
        jobs.append(("the calibration", calibration.shots, executions))
    for name, shots, executions in jobs:
        if executions > MAX_EXECUTIONS:
            raise InvalidOption(
                f"One job holds at most {MAX_EXECUTIONS} executions (circuits times shots), but "
                f"{name} has {executions}; lower --shots or --num-images."
            )
        if most_shots is not None and shots > most_shots:
            raise InvalidOption(
                f"{device.name if device else 'The device'} takes at most {most_shots} shots a "
                f"circuit, but {name} has {shots}; lower --shots."
            )


def _run_name(trained: TrainedRun) -> str:
    return trained.checkpoint.resolve().parent.parent.name[:128]


def _triple(shape: Sequence[int]) -> tuple[int, int, int]:
    channels, height, width = (int(side) for side in shape)
    return channels, height, width


def _physical_qubits(isa: QuantumCircuit, cost: CircuitCost | None) -> tuple[int, ...] | None:
    if isa.layout is None or cost is None:
        return None
    return tuple(isa.layout.initial_index_layout(filter_ancillas=True))


def _calibrated_at(device: BackendV2 | None) -> str | None:
    read = getattr(device, "properties", None)
    properties = None if read is None else read()
    updated = getattr(properties, "last_update_date", None)
    return updated.isoformat() if isinstance(updated, datetime) else None


def _write(plan: RunPlan, contents: Mapping[str, bytes], root: Path) -> RunPlan:
    """Write the folder, all of it or nothing; the plan comes last and is moved in with the rest."""
    folder = root / plan.run_id
    root.mkdir(parents=True, exist_ok=True)
    draft = root / f".plan-{os.getpid()}-{uuid.uuid4().hex}"
    try:
        for path, content in contents.items():
            write_bytes(draft / path, content)
        write_plan(plan, draft / PLAN)
        try:
            os.rename(draft, folder)
        except OSError as error:
            if not folder.exists():
                raise
            raise OutputNotWritable(
                f"This very run is planned already: {folder / PLAN}. Submit that one, or plan "
                "another with a different --seed."
            ) from error
    except OSError as error:
        if isinstance(error, OutputNotWritable):
            raise
        raise OutputNotWritable(f"Cannot write {folder}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return dataclasses.replace(plan, folder=folder)
