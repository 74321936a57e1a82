"""Parts of a run plan: options, steps, calibration, circuit, decisions, files.

Each checks its own numbers, so that neither an option nor a file brings in what cannot be.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, get_args

from ...canonical_json import check, check_fields
from ...errors import InvalidOption

if TYPE_CHECKING:
    from qiskit.providers import BackendV2

    from ...execution.targets import Target

__all__ = [
    "MAX_IMAGES",
    "MAX_SHOTS",
    "MAX_STEPS",
    "Availability",
    "CalibrationMethod",
    "CalibrationPlan",
    "CircuitPlan",
    "Correction",
    "Decision",
    "Decoupling",
    "ExecutionOptions",
    "FoundCalibration",
    "Look",
    "Mitigation",
    "Mode",
    "PlannedFile",
    "Primitive",
    "ProviderRecord",
    "Schedule",
    "ShotChoice",
    "StepPlan",
    "check",
]

MAX_SHOTS = 10_000_000
MAX_IMAGES = 1_000_000
MAX_STEPS = 10_000

Mitigation = Literal["none", "m3"]
Mode = Literal["auto", "job", "batch", "session"]
Primitive = Literal["sampler", "estimator"]
Schedule = Literal["uniform", "variance", "precision"]
CalibrationMethod = Literal["balanced", "independent"]
Correction = Literal["all", "distance-3"]
"""Correction of readout errors; see :mod:`qdm_qiskit.mitigation.readout`."""
Decoupling = Literal["off", "XX", "XpXm", "XY4"]

_OURS = ("engine", "aer", "noisy", "local")
_CALIBRATION_FILE = re.compile(
    r"\d{4}-\d{2}-\d{2}-[A-Za-z0-9_-]+-[0-9a-f]{8}/calibration-\d{4}\.json"
)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(
    r"circuits\.qpy|inputs\.npz|refit\.npz|qnn\.json|model/config\.json|model/checkpoints/step-\d{8,}/"
    r"(config\.json|model\.safetensors|state\.json)|model/loaders/[0-9a-f]{16}\.npz"
)


@dataclass(frozen=True, kw_only=True)
class ExecutionOptions:
    """Options of IBM's Sampler that a run passes through and records."""

    dynamical_decoupling: Decoupling = "off"
    """Pulse sequence on idle qubits."""
    twirl_gates: bool = False
    """Pauli twirling of two-qubit Clifford gates."""
    twirl_measure: bool = False
    """Twirling of the readout; it makes readout errors symmetric."""
    rep_delay_seconds: float | None = None
    """Repetition delay; None is the device's default."""
    max_execution_seconds: int | None = None
    """QPU seconds after which IBM cancels a job; None sets no limit."""

    def __post_init__(self) -> None:
        check_fields(self)
        delay, limit = self.rep_delay_seconds, self.max_execution_seconds
        if delay is not None:
            check(0 <= delay <= 1, "rep_delay_seconds is 0 to 1", delay)
        if limit is not None:
            check(1 <= limit <= 10_800, "max_execution_seconds is 1 to 10800", limit)

    def check_target(self, target: str, *, is_qpu: bool) -> None:
        """Refuse options that a target would leave out in silence.

        Args:
            target: As text.
            is_qpu: True if IBM's Sampler runs on it; a simulation takes no options.

        Raises:
            InvalidOption: With the options that are set.
        """
        plain = ExecutionOptions()
        given = {n: v for n, v in vars(self).items() if v != getattr(plain, n)}
        if given and not is_qpu:
            shown = ", ".join(f"{name}={value!r}" for name, value in given.items())
            does = "simulates without" if target.partition(":")[0] in _OURS else "takes no"
            raise InvalidOption(
                f"Target '{target}' {does} decoupling, twirling, repetition delays or time "
                f"limits, got {shown}; plan with an ibm: target, or without these options."
            )


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """One step of the reverse chain: one job with one PUB."""

    step: int
    """t, from T down to 1."""
    shots: int
    """Shots for each image."""
    rows: int
    """Images: rows of the parameter array."""
    seconds: float
    """Estimated QPU seconds of the job."""

    def __post_init__(self) -> None:
        check(1 <= self.step <= MAX_STEPS, f"step is 1 to {MAX_STEPS}", self.step)
        check(1 <= self.shots <= MAX_SHOTS, f"shots is 1 to {MAX_SHOTS}", self.shots)
        check(1 <= self.rows <= MAX_IMAGES, f"rows is 1 to {MAX_IMAGES}", self.rows)
        check(0 <= self.seconds < math.inf, "seconds is finite and >= 0", self.seconds)

    @property
    def name(self) -> str:
        """Name of the job, its tag and its file, such as ``step-0010``."""
        return f"step-{self.step:04d}"


@dataclass(frozen=True, kw_only=True)
class ShotChoice:
    """Grounds of the shots of the steps; see :mod:`qdm_qiskit.hardware.plan.shot_allocation`."""

    variances: tuple[float, ...]
    """c_t of t = T .. 1; of models of several calls one of each call, in the order of the steps and of
    the questions that ask them."""
    power: float
    """Power of the variances: shots are proportional to ``c_t**(power / 2)``; 0 is uniform."""
    error: float
    """Root mean square pixel error of the final images by shot noise alone, on pilot chains."""
    uniform_error: float
    """The same with as many shots spread evenly."""

    def __post_init__(self) -> None:
        check(all(each >= 0 for each in self.variances), "variances are >= 0", self.variances[:3])
        for name in ("power", "error", "uniform_error"):
            check(0 <= getattr(self, name) <= 1, f"{name} is 0 to 1", getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class FoundCalibration:
    """A calibration of an earlier run that served when this one was planned.

    It says what the run is expected to cost, and no more: sending looks again, since by then it may
    be stale.
    """

    path: str
    """Path of its file, relative to the folder of all runs."""
    taken_at: str
    """Time of the calibration, ISO 8601."""

    def __post_init__(self) -> None:
        good = bool(_CALIBRATION_FILE.fullmatch(self.path))
        check(good, "a calibration's path is RUN/calibration-0001.json", self.path)
        try:
            datetime.fromisoformat(self.taken_at)
        except ValueError:
            raise InvalidOption(f"taken_at is ISO 8601, got {self.taken_at!r:.80}.") from None


@dataclass(frozen=True, kw_only=True)
class CalibrationPlan:
    """The readout calibration of a run: one job, taken again when it is too old."""

    method: CalibrationMethod
    """``balanced`` or ``independent``; see :mod:`qdm_qiskit.mitigation.readout`."""
    circuits: int
    """Number of calibration circuits: the entries of ``circuits.qpy`` after the first."""
    shots: int
    """Shots of each calibration circuit."""
    ttl_seconds: int
    """Age at which a calibration is stale."""
    seconds: float
    """Estimated QPU seconds of one calibration job."""
    found: FoundCalibration | None = None
    """Calibration that can be used in its place; None if it must be taken."""
    correction: Correction = "all"
    """Correction of counts by it; 0.1 knew ``distance-3`` only and did not record it."""

    def __post_init__(self) -> None:
        check(1 <= self.circuits <= 1024, "calibration circuits are 1 to 1024", self.circuits)
        check(1 <= self.shots <= MAX_SHOTS, f"shots is 1 to {MAX_SHOTS}", self.shots)
        check(1 <= self.ttl_seconds <= 10**9, "ttl_seconds is 1 to 1e9", self.ttl_seconds)
        check(0 <= self.seconds < math.inf, "seconds is finite and >= 0", self.seconds)
        known = get_args(Correction)
        check(self.correction in known, f"correction is one of {known}", self.correction)

    def note(self) -> str | None:
        """Remark on an earlier version's correction; None of today's."""
        if self.correction == "all":
            return None
        return (
            "the readout is corrected up to distance 3 in single precision, as version 0.1 planned it; "
            "a new plan corrects over all distances"
        )


@dataclass(frozen=True, kw_only=True)
class CircuitPlan:
    """The step's circuit on the device."""

    qubits: int
    """Number of measured bits, which are of all qubits of the model."""
    parameters: tuple[str, ...]
    """Names of the parameters that the transpiled circuit still has, in its order."""
    depth: int
    two_qubit_gates: int
    expected_success: float | None
    """Chance that no gate and no readout fails; None where there is no device."""
    idle_success: float | None
    """Fidelity left by relaxation while qubits wait; None where it is unknown."""
    measured_qubits: tuple[int, ...]
    """Physical qubit of each classical bit; one that is measured, reset and used again has several."""
    physical_qubits: tuple[int, ...] | None
    """Physical qubit on which each logical one starts; None without a device."""
    transpiler_seed: int
    optimization_level: int

    @property
    def num_qubits(self) -> int:
        """Number of measured qubits: fewer than bits where some are used again."""
        return len(set(self.measured_qubits))

    def __post_init__(self) -> None:
        check(1 <= self.qubits <= 20, "qubits is 1 to 20", self.qubits)
        check(
            len(self.measured_qubits) == self.qubits and min(self.measured_qubits) >= 0,
            f"measured_qubits are {self.qubits} numbers >= 0",
            self.measured_qubits,
        )
        check(
            all(re.fullmatch(r"x_\d{4}", name) for name in self.parameters)
            and list(self.parameters) == sorted(set(self.parameters)),
            "parameters are x_0000 ..., each once, in their order",
            self.parameters[:3],
        )
        check(self.optimization_level in (0, 1, 2, 3), "level is 0 to 3", self.optimization_level)
        for success in (self.expected_success, self.idle_success):
            check(success is None or 0 <= success <= 1, "a success is 0 to 1", success)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Verdict of the fallback policy on one target of the list."""

    target: str
    taken: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class PlannedFile:
    """A file beside the plan, bound by its hash."""

    path: str
    """Relative to the run's folder, with forward slashes."""
    sha256: str

    def __post_init__(self) -> None:
        check(bool(_FILE.fullmatch(self.path)), "a plan's file is one of its own", self.path)
        check(bool(_SHA256.fullmatch(self.sha256)), "sha256 is 64 hex digits", self.sha256)


@dataclass(frozen=True, kw_only=True)
class ProviderRecord:
    """Origin of a provider that is not this package's."""

    name: str
    """First word of the plan's target."""
    package: str
    """Name of the distribution that brings it; empty for an object."""
    version: str
    """Version of that distribution."""
    module: str
    """``module:attribute``."""
    charges: bool
    """True if its jobs cost QPU seconds."""

    def __post_init__(self) -> None:
        for name in ("name", "package", "version", "module"):
            text = getattr(self, name)
            good = text.isprintable() and len(text) <= 128
            check(good, f"a provider's {name} is printable and has at most 128 characters", text)


@dataclass(frozen=True, kw_only=True)
class Availability:
    """State of a target: its device, its queue, and the time that is left."""

    backend: BackendV2 | None = None
    """The device of an ``ibm:`` target."""
    queue: int | None = None
    """Number of jobs that wait; None where there is no queue."""
    seconds_left: float | None = None
    """QPU seconds that the account has left; None without a limit."""
    provider: ProviderRecord | None = None
    """The provider, if it is not this package's."""
    job_seconds: float | None = None
    """QPU seconds that such a provider charges for each job; None if it does not say."""
    shot_seconds: float | None = None
    """QPU seconds that it charges for a shot of a circuit; None if it does not say."""
    most_shots: int | None = None
    """Largest number of shots of a circuit."""
    most_executions: int | None = None
    """Largest number of circuits times shots of a job."""


Look = Callable[["Target"], Availability]
"""Function that returns the state of an ``ibm:`` target, or raises
:class:`TargetUnavailable` or another error of
the package where it cannot be used."""
