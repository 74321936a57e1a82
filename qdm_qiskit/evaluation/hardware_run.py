"""The page of a hardware run: its images or outputs, its cost, and its distance from the exact ones."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments import checked_path
from ..errors import InvalidData, MissingData, QdmError
from ..files import read_json_object
from .chip import ChipErrors, chip_errors
from .step_decisions import routed_steps

if TYPE_CHECKING:
    from ..hardware.plan.run_plan import RunPlan
    from ..hardware.run.recorded_step import StepReplay
    from ..hardware.run.replay import Replay
    from ..sampling import Sampler

__all__ = [
    "SCHEMA",
    "HardwarePictures",
    "HardwareReport",
    "JobCost",
    "hardware_report",
    "manifest_so_far",
    "qnn_numbers",
    "read_manifest",
]

SCHEMA = "qdm-hardware-report/1"
MOST_OUTPUTS = 4096
"""Most outputs of a QNN that a report holds."""


@dataclass(frozen=True, kw_only=True)
class JobCost:
    """One job's QPU seconds."""

    part: str
    """``step-0010`` or ``calibration-0001``."""
    job_id: str
    role: str
    """``main``, or ``duplicate`` of another."""
    state: str
    estimated: float | None
    """Seconds by the plan."""
    charged: float | None
    """Seconds by the service; None while it still counts."""


@dataclass(frozen=True, kw_only=True)
class HardwareReport:
    """A run in numbers; the images stand beside it."""

    run: str
    model: str
    target: str
    backend: str
    spends: bool
    """True if the target charges."""
    images: int
    num_steps: int
    schedule: str
    mitigation: str
    note: str | None
    """Remark on a plan of an earlier version that differs from today's; None if nothing."""
    circuit: dict[str, Any]
    """Depth, two-qubit gates, expected success."""
    steps: tuple[dict[str, Any], ...]
    """See :class:`~qdm_qiskit.hardware.run.recorded_step.StepReplay`."""
    done: bool
    cancelled: bool
    """True if the run was cancelled, and was not resumed since."""
    equal: bool
    """True if a replay gives the stored images."""
    replay: str
    """The same in words."""
    image_error: float | None
    """Root mean square pixel distance of the final images from the exact chain's; None before."""
    jobs: tuple[JobCost, ...]
    calibration_seconds: float | None
    """Estimated for a readout calibration; None without mitigation."""
    calibration_found: bool
    """True if the plan counts on a calibration of an earlier run, and leaves its seconds out."""
    seconds_estimated: float
    """QPU seconds of the whole run, by the plan."""
    seconds_charged: float | None
    """So far; None of an unfinished run without its ledger."""
    cost_known: bool
    """True if the service has counted every job."""
    assumptions: tuple[str, ...]
    decisions: tuple[dict[str, Any], ...]
    versions: dict[str, str]
    chain: dict[str, Any] | None = None
    """Way of a model of states, with the shares of the shots that are expected and were kept; None
    where nothing was to be chosen, and then not in :meth:`to_dict`."""
    refit: dict[str, Any] | None = None
    """Refit to the device: its estimate, whether one was to be used again, and those that are here;
    None without, and then not in :meth:`to_dict`."""
    qnn: dict[str, Any] | None = None
    """Outputs of a QNN, see :func:`qnn_numbers`; None of a model's run. Its ``images`` are rows."""
    training: dict[str, Any] | None = None
    """Losses of a training run and what it trains; None of others, and then not in :meth:`to_dict`. Its
    ``images`` are the noisy ones of a step."""

    shots_of_calls: dict[str, Any] | None = None
    """Shots of each call of each step, and the errors of pilot chains with them and with uniform ones;
    None where all calls have the same, and then not in :meth:`to_dict`."""

    routing: dict[str, Any] | None = None
    """The routing policy, the number of steps that are answered, and each decision with its cost (see
    :class:`~qdm_qiskit.evaluation.step_decisions.RoutedStep`); None without a policy, and then not in
    :meth:`to_dict`."""

    def to_dict(self) -> dict[str, Any]:
        """JSON values, with the schema's name."""
        found = {"schema": SCHEMA, **asdict(self)}
        for name in ("chain", "refit", "training", "shots_of_calls", "routing"):
            if found[name] is None:
                del found[name]
        return found


@dataclass(frozen=True, eq=False)
class HardwarePictures:
    """The images of a run."""

    trajectory: np.ndarray
    """``(steps + 1, count, channels, height, width)``: x_T .. x_t; empty of a QNN."""
    exact: np.ndarray
    """The same of the exact chain, from the same x_T."""
    chip: ChipErrors | None = None
    """The device with the circuits on it, as it is known on this machine; None where it is not."""


def hardware_report(
    folder: str | Path, *, sampler: Sampler | None = None
) -> tuple[HardwareReport, HardwarePictures]:
    """Collect a run from its folder; nothing is asked of any service, nothing is written.

    The cost of an unfinished run so far is read from the ledger beside its folder, if there is one.

    Args:
        folder: The run's folder; the run need not be finished, but one step of it.
        sampler: The sampler object, for a plan that was made with one.

    Returns:
        Numbers and pictures.

    Raises:
        MissingData: If no step is recorded yet.
        InvalidPlan, InvalidData, CalibrationMismatch: If a file cannot be used.
    """
    folder = checked_path(folder, "folder")
    from ..hardware.ledger.run_files import MANIFEST
    from ..hardware.run.replay import replay

    found = replay(folder, sampler=sampler)
    plan = found.plan
    if not found.steps:
        raise MissingData(
            f"Run {plan.run_id} has no finished step to report; `qdm run resume {plan.run_id}`."
        )
    path = folder / MANIFEST
    manifest = read_manifest(path) if path.exists() else manifest_so_far(plan)
    qnn = None if plan.qnn is None else qnn_numbers(found)
    exact = found.trajectory
    if qnn is None and plan.training is None:
        exact = _exact_images(found, sampler)
    try:
        jobs = () if manifest is None else _jobs(plan, manifest)
        charged = None if manifest is None else float(manifest["seconds_charged"])
        known = manifest is not None and bool(manifest["cost_known"])
        versions = {} if manifest is None else dict(manifest["versions"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidData(f"{path} is no manifest of a run ({type(error).__name__}).") from error
    report = HardwareReport(
        run=plan.run_id,
        model=plan.model,
        target=plan.target,
        backend=plan.backend,
        spends=plan.is_qpu,
        images=plan.num_images,
        num_steps=len(plan.steps),
        schedule=plan.schedule,
        mitigation=plan.mitigation,
        note=plan.note,
        circuit={
            "qubits": plan.circuit.num_qubits,
            "depth": plan.circuit.depth,
            "two_qubit_gates": plan.circuit.two_qubit_gates,
            "expected_success": plan.circuit.expected_success,
        },
        # Distances are of the device's steps; a routing policy may have kept others here.
        steps=tuple(each.to_dict() for each in _measured(found)),
        done=found.done,
        # Manifests of finished runs of earlier versions name no state.
        cancelled=manifest is not None and manifest.get("state") == "cancelled",
        equal=found.equal,
        replay=found.sentence(),
        image_error=None
        if qnn is not None or plan.training is not None
        else _image_error(found, exact),
        jobs=jobs,
        calibration_seconds=None if plan.calibration is None else plan.calibration.seconds,
        calibration_found=plan.calibration is not None and plan.calibration.found is not None,
        refit=_refit(plan),
        seconds_estimated=plan.total_seconds,
        seconds_charged=charged,
        cost_known=known,
        assumptions=plan.timing.assumptions(),
        decisions=tuple(asdict(each) for each in plan.decisions),
        versions=versions,
        chain=_chain(found),
        qnn=qnn,
        training=_training(found),
        shots_of_calls=_shots_of_calls(plan),
        routing=_routing(found, folder, manifest),
    )
    return report, HardwarePictures(found.trajectory, exact, _chip(plan))


def _routing(found: Replay, folder: Path, manifest: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the routing policy and each of its decisions."""
    plan = found.plan
    if plan.routing is None:
        return None
    jobs = None if manifest is None else manifest["jobs"]
    return {
        "policy": plan.routing.text,
        "package": plan.routing.package or None,
        "version": plan.routing.version or None,
        "steps_answered": len(found.steps),
        "decisions": [each.to_dict() for each in routed_steps(plan, folder, jobs)],
    }


def _measured(found: Replay) -> list[StepReplay]:
    """Return the steps that the device answered; all where it answered none."""
    device = [each for each in found.steps if each.route == "device"]
    return device or list(found.steps)


def _chip(plan: RunPlan) -> ChipErrors | None:
    """Return the plan's device with its circuits on it, if the device is at hand without an account."""
    from ..execution.devices import as_backend, is_device_name
    from ..hardware.plan.planned_files import read_all_circuits

    layout = plan.circuit.physical_qubits
    if layout is None or not is_device_name(plan.backend):
        return None
    try:
        backend, circuits = as_backend(plan.backend), read_all_circuits(plan)[0]
    except QdmError:  # gone, damaged, or of another version: the record does not need them
        return None
    return chip_errors(backend, layout, circuits)


def qnn_numbers(found: Replay) -> dict[str, Any]:
    """Return the outputs of a QNN's run as plain values.

    Args:
        found: Its replay.

    Returns:
        ``kind``, ``output_shape`` and ``count`` of all outputs; of the first rows ``outputs``,
        ``errors`` and ``exact`` as lists of rows (None where not known), and ``error``, the root mean
        square distance of all outputs from the exact ones.
    """
    from ..hardware.run.qnn_chain import QnnChain

    plan, answer = found.plan, found.answer
    assert plan.qnn is not None
    assert answer is not None  # a step is recorded
    values, exact = answer.outputs, QnnChain(plan).exact()
    each = int(np.prod(plan.qnn.output_shape))
    first = max(1, MOST_OUTPUTS // each)

    def rows(array: np.ndarray | None) -> list[list[float]] | None:
        return None if array is None else array.reshape(-1, each)[:first, :MOST_OUTPUTS].tolist()

    return {
        "kind": plan.qnn.kind,
        "output_shape": list(plan.qnn.output_shape),
        "count": int(values.size),
        "outputs": rows(values),
        "errors": rows(answer.standard_errors),
        "exact": rows(exact),
        "error": None if exact is None else float(np.sqrt(np.mean((values - exact) ** 2))),
    }


def _training(found: Replay) -> dict[str, Any] | None:
    """Return what a run trains, and its losses so far."""
    if found.training is None or found.plan.training is None:
        return None
    return {
        "words": found.plan.training.sentence(),
        "optimizer": found.plan.training.optimizer,
        "steps": found.plan.training.steps,
        "losses": list(found.training.losses),
        "exact_before": found.training.exact_before,
        "exact_after": found.training.exact_after,
    }


def _refit(plan: RunPlan) -> dict[str, Any] | None:
    """Return the refit of a run: what was planned, and what each one that is recorded did."""
    from ..hardware.ledger.run_files import read_refits

    if plan.refit is None:
        return None
    names = ("taken_at", "error_before", "error_after", "circuits", "shots")
    return {
        "kind": plan.refit.kind,
        "seconds": plan.refit.seconds,
        "found": plan.refit.found is not None,
        "used": [
            {"name": name, **{n: getattr(fit, n) for n in names}, "places": len(fit.maps)}
            for name, fit in read_refits(plan.folder).items()
        ],
    }


def read_manifest(path: Path) -> dict[str, Any]:
    """A run's manifest, of this version or of 0.1, which called its format as a training run's.

    Raises:
        InvalidData: If it is of another format, or damaged.
    """
    from ..hardware.run.manifest import SCHEMA as MANIFEST_SCHEMA
    from ..training.config import SCHEMA as NAME_IN_0_1

    content = read_json_object(path)
    if content.get("schema") not in (MANIFEST_SCHEMA, NAME_IN_0_1):
        raise InvalidData(
            f"{path} is no manifest of a run that this version reads: its schema is "
            f"{content.get('schema')!r:.60}, not '{MANIFEST_SCHEMA}'."
        )
    return content


def manifest_so_far(plan: RunPlan) -> dict[str, Any] | None:
    """Return the manifest that an unfinished run would have now; None where the ledger is not."""
    from ..hardware.ledger.ledger import FILE, Ledger
    from ..hardware.providers.context import RunContext
    from ..hardware.run.manifest import manifest

    root = plan.folder.resolve().parent
    if not list(root.glob(f"{FILE}*")):
        return None
    ledger = Ledger.open_to_read(root)
    try:
        return manifest(RunContext(plan=plan, ledger=ledger))
    except MissingData:  # another root's run, copied here
        return None
    finally:
        ledger.close()


def _exact_images(found: Replay, sampler: Sampler | None) -> np.ndarray:
    """The images of the exact chain at x_T and after each step, from the same x_T and noise.

    Where histories were measured it has the same ones.
    """
    from ..hardware.run.reverse_chain import planned_chain
    from ..hardware.run.whole_chain import WholeChain

    chain = planned_chain(found.plan, sampler)
    path = [chain.images()]
    for _ in found.steps:
        if isinstance(chain, WholeChain):
            chain.advance_exactly(found.histories)
        else:
            chain.advance_exactly()
        path.append(chain.images())
    return np.stack(path)


def _chain(found: Replay) -> dict[str, Any] | None:
    """Return the way of the chain, and its shares of the shots."""
    plan = found.plan
    if plan.chain is None:
        return None
    return {
        "steps": plan.num_steps,
        "shots": plan.steps[0].shots,
        "way": plan.chain.way,
        "because": plan.chain.because or None,
        "reuses_qubits": plan.chain.reuse_qubits,
        "histories": None if found.histories is None else found.histories.tolist(),
        "expected_kept": list(plan.chain.kept),
        "kept": None if found.kept is None else found.kept.tolist(),
    }


def _shots_of_calls(plan: RunPlan) -> dict[str, Any] | None:
    choice = plan.shot_choice
    if choice is None or plan.calls is None:
        return None
    return {
        "rule": plan.schedule,
        "pilot_error": choice.error,
        "pilot_error_uniform": choice.uniform_error,
        "calls": [
            {"step": t, "call": name, "shots": min(shots), "share": c / min(shots)}
            for ((t, name), shots), c in zip(
                plan.calls.shots_of_calls.items(), choice.variances, strict=True
            )
        ],
    }


def _image_error(found: Replay, exact: np.ndarray) -> float | None:
    if not found.done:
        return None
    return float(np.sqrt(np.mean((found.images.astype(np.float64) - exact[-1]) ** 2)))


def _jobs(plan: RunPlan, manifest: dict[str, Any]) -> tuple[JobCost, ...]:
    estimated = {name: seconds for name, seconds, _ in plan.parts()}
    refit = None if plan.refit is None else plan.refit.seconds
    calibration = None if plan.calibration is None else plan.calibration.seconds
    return tuple(
        JobCost(
            part=str(job["part"]),
            job_id=str(job["job_id"]),
            role=str(job["role"]),
            state=str(job["state"]),
            estimated=estimated.get(
                str(job["part"]), refit if str(job["part"]).startswith("refit-") else calibration
            ),
            charged=None if job["seconds_charged"] is None else float(job["seconds_charged"]),
        )
        for job in manifest["jobs"]
    )
