"""A recorded step of a run: its counts, and how far they are from the exact distributions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import CalibrationMismatch, InvalidData
from ...execution.distributions import (
    hellinger_fidelity,
    normalized,
    shot_noise_distance,
    total_variation_distance,
)
from ...mitigation.device_fit import DeviceFit
from ...mitigation.readout import ReadoutCalibration
from ..ledger.decision_files import routes_of
from ..ledger.run_files import (
    StoredCounts,
    calibration_for,
    counts_path,
    read_counts,
    read_refits,
)
from ..plan.calibration_reuse import check_calibration
from ..plan.refit_reuse import check_refit
from ..plan.run_plan import RunPlan
from .job_requests import check_shapes
from .parts import Answered, Unanswered

if TYPE_CHECKING:
    from ...execution.calls import CallResult, CircuitCall
    from .call_chain import CallJob
    from .call_results import CallCounts

__all__ = [
    "RecordedStep",
    "StepReplay",
    "calibration_name",
    "compared",
    "kept_here",
    "recorded_routes",
    "step_counts",
]


@dataclass(frozen=True, kw_only=True)
class StepReplay:
    """One step against the exact distribution of the same circuits; means over the images.

    Of a step of several calls they are means over all rows of all its circuits.
    """

    step: int
    """t."""
    shots: int
    """Shots that ran for each image."""
    job_id: str
    """Id of the job; of several the ids in their order, with spaces between them."""
    shot_distance: float | None
    """Total variation distance that shot noise alone leaves, in the mean over draws; None, as the
    others, of an Estimator's values, and of a QNN of too many qubits for exact distributions."""
    raw_distance: float | None
    """Total variation distance of the raw frequencies from the exact distribution."""
    raw_fidelity: float | None
    """Hellinger fidelity of the same."""
    mitigated_distance: float | None
    """After mitigation; None without it."""
    mitigated_fidelity: float | None
    calibration: str | None
    """Name of the calibration that was used."""
    standard_error: float | None = None
    """Of steps of several calls the root mean square standard error of the calls' outputs, by the
    shots, those of a readout calibration among them; None where it is not known."""
    kept: float | None = None
    """Mean share of the shots that passed a post-selection; None where there is none."""
    call_errors: dict[str, float] = field(default_factory=dict)
    """The same of each call by its name, and of values that layers make of several outputs, such as
    trained observables."""
    route: str = "device"
    """``exact`` or ``hold`` where a routing policy kept the step on this machine, without shots."""

    def to_dict(self) -> dict[str, Any]:
        """Return the step for JSON; the route only where a policy kept it here."""
        found = asdict(self)
        if self.route == "device":
            del found["route"]
        return found


class RecordedStep:
    """Recorded step, which answers its calls and compares them with the exact ones."""

    def __init__(
        self,
        plan: RunPlan,
        calibrations: dict[str, ReadoutCalibration],
        *,
        exact: bool = True,
    ) -> None:
        from .call_results import ExactDistributions

        self._plan, self._calibrations = plan, calibrations
        self._refits = {} if plan.refit is None else read_refits(plan.folder)
        self._engines = ExactDistributions() if exact else None
        self.clear()

    def clear(self) -> None:
        """Begin a step."""
        self._stored: list[StoredCounts] = []
        self._used: str | None = None
        self._pairs: list[tuple[np.ndarray, np.ndarray | None, np.ndarray]] = []
        self._drawn: list[np.ndarray] = []
        self._errors: dict[str, list[np.ndarray]] = {}
        self._noted: dict[str, list[np.ndarray]] = {}
        self._kept: list[np.ndarray] = []

    def answer(self, jobs: Sequence[CallJob]) -> list[Answered]:
        """Return the counts of jobs from disk."""
        found = []
        for job in jobs:
            stored = read_counts(counts_path(self._plan.folder, job.name), job.shapes)
            if stored is None:
                raise Unanswered
            check_shapes(self._plan.run_id, job.name, stored, job.shapes)
            used = calibration_name(self._plan, self._calibrations, stored.info.ran_at)
            self._used = used
            self._stored.append(stored)
            fit = _refit_for(self._plan, self._refits, stored.info.ran_at)
            found.append(Answered(stored, self._calibrations[used] if used else None, fit))
        return found

    def note(self, name: str, errors: np.ndarray) -> None:
        """Keep the errors of what a layer makes of several outputs."""
        self._noted.setdefault(name, []).append(errors)

    def see(self, call: CircuitCall, counts: CallCounts, result: CallResult) -> None:
        """Keep a call's distributions beside the exact ones, its errors and its kept shots."""
        if result.standard_errors is not None:
            self._errors.setdefault(call.name, []).append(result.standard_errors.ravel())
        if result.kept is not None:
            self._kept.append(result.kept)
        if self._engines is None:
            return
        mended = counts.mended or (None,) * len(counts.counts)
        exact = self._engines.of(call)
        self._pairs += zip(counts.raw, mended, exact, strict=True)
        shots = call.shots or min(each.info.shots for each in self._stored)
        self._drawn += [shot_noise_distance(each, shots) for each in exact]

    def summary(self, step: int) -> StepReplay:
        """Return the step against the exact distributions."""
        shots = min(each.info.shots for each in self._stored)

        def mean(rows: Sequence[np.ndarray]) -> float | None:
            if not rows:
                return None
            return float(np.mean(np.concatenate([np.atleast_1d(each) for each in rows])))

        mended = [(m, e) for _, m, e in self._pairs if m is not None]
        return StepReplay(
            step=step,
            shots=shots,
            job_id=" ".join(each.info.job_id for each in self._stored),
            shot_distance=mean(self._drawn),
            raw_distance=mean([total_variation_distance(r, e) for r, _, e in self._pairs]),
            raw_fidelity=mean([hellinger_fidelity(r, e) for r, _, e in self._pairs]),
            mitigated_distance=mean([total_variation_distance(m, e) for m, e in mended]),
            mitigated_fidelity=mean([hellinger_fidelity(m, e) for m, e in mended]),
            calibration=self._used,
            standard_error=_root_mean_square([e for each in self._errors.values() for e in each])
            if self._errors
            else None,
            kept=mean(self._kept),
            call_errors={
                name: _root_mean_square(each) for name, each in (self._errors | self._noted).items()
            },
        )


def _root_mean_square(errors: Sequence[np.ndarray]) -> float:
    return float(np.sqrt(np.mean(np.concatenate([each.ravel() for each in errors]) ** 2)))


def step_counts(plan: RunPlan, stored: StoredCounts, name: str) -> np.ndarray:
    """Return the counts of a step of one circuit.

    Args:
        plan: The plan of the run.
        stored: What its job brought.
        name: The part.

    Returns:
        ``(num_images, 2**qubits)``.

    Raises:
        InvalidData: If they belong to another run.
    """
    shape = (plan.num_images, 1 << plan.circuit.qubits)
    if len(stored.counts) != 1 or stored.counts[0].shape != shape:
        raise InvalidData(
            f"The counts of {name} have the shapes {[each.shape for each in stored.counts]}, not "
            f"{shape}; they belong to another run."
        )
    return stored.counts[0]


def calibration_name(
    plan: RunPlan, calibrations: dict[str, ReadoutCalibration], ran_at: float
) -> str | None:
    """Return the name of the calibration that mitigates counts; None of a plan without mitigation.

    Args:
        plan: The plan of the run.
        calibrations: Calibrations of its folder, by name.
        ran_at: When the counts were taken, seconds since 1970.

    Raises:
        CalibrationMismatch: If there is none of the right age, device and qubits.
    """
    if plan.calibration is None:
        return None
    name = calibration_for(calibrations, ran_at, plan.calibration.ttl_seconds)
    if name is None:
        raise CalibrationMismatch(
            f"Run {plan.run_id} mitigates the readout, but its record holds no calibration within "
            f"{plan.calibration.ttl_seconds / 3600:.1f} h of the counts; `qdm run resume` takes one."
        )
    check_calibration(
        calibrations[name],
        backend=plan.backend,
        qubits=plan.measured_qubits,
        ttl_seconds=plan.calibration.ttl_seconds,
        at=ran_at,
    )
    return name


def _refit_for(plan: RunPlan, refits: dict[str, DeviceFit], ran_at: float) -> DeviceFit | None:
    """Return the refit of counts; None of a plan without one."""
    if plan.refit is None:
        return None
    name = calibration_for(refits, ran_at, plan.refit.ttl_seconds)
    if name is None:
        raise CalibrationMismatch(
            f"Run {plan.run_id} is refitted to its device, but its record holds no refit within "
            f"{plan.refit.ttl_seconds / 3600:.1f} h of the counts; `qdm run resume` takes one."
        )
    check_refit(refits[name], plan, ran_at)
    return refits[name]


def recorded_routes(plan: RunPlan) -> Callable[[int], str]:
    """Return a function of t that says who answers a step: ``device``, ``exact`` or ``hold``.

    It raises :class:`.Unanswered` where the plan has a routing policy, and the step is not decided.

    Args:
        plan: The plan, in its folder.

    Raises:
        InvalidData: If a recorded decision cannot be read.
    """
    if plan.routing is None:
        return lambda step: "device"
    routes = routes_of(plan.folder)

    def route(step: int) -> str:
        if step not in routes:
            raise Unanswered
        return routes[step]

    return route


def kept_here(step: int, route: str) -> StepReplay:
    """Return a step that this machine answered, for which no shot ran."""
    return StepReplay(
        step=step,
        shots=0,
        job_id="",
        shot_distance=None,
        raw_distance=None,
        raw_fidelity=None,
        mitigated_distance=None,
        mitigated_fidelity=None,
        calibration=None,
        route=route,
    )


def compared(
    step: int,
    stored: StoredCounts,
    counts: np.ndarray,
    probabilities: np.ndarray,
    exact: np.ndarray,
    calibration: str | None,
) -> StepReplay:
    """Compare a step of one circuit with its exact distribution.

    Args:
        step: t.
        stored: What its job brought.
        counts: ``(images, outcomes)`` counts.
        probabilities: ``(images, outcomes)`` that the chain went on with.
        exact: ``(images, outcomes)`` exact distributions.
        calibration: Name of the calibration that mitigated them; None without mitigation.
    """
    raw = normalized(counts)
    mitigated = None if calibration is None else probabilities

    def distance(p: np.ndarray) -> float:
        return float(np.mean(total_variation_distance(p, exact)))

    def fidelity(p: np.ndarray) -> float:
        return float(np.mean(hellinger_fidelity(p, exact)))

    return StepReplay(
        step=step,
        shots=stored.info.shots,
        job_id=stored.info.job_id,
        shot_distance=float(np.mean(shot_noise_distance(exact, stored.info.shots))),
        raw_distance=distance(raw),
        raw_fidelity=fidelity(raw),
        mitigated_distance=None if mitigated is None else distance(mitigated),
        mitigated_fidelity=None if mitigated is None else fidelity(mitigated),
        calibration=calibration,
    )
