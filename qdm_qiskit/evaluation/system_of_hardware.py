"""System metrics of hardware runs, from plan, ledger and journal; no service is asked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..canonical_json import content_sha256
from ..errors import InvalidData, MissingData, QdmError
from ..files import read_json_object
from .hardware_run import manifest_so_far, read_manifest
from .journal_times import RunTimes, run_times
from .system_of_runs import ONLY_TRAINING, array_sha256, config_parts, energy, per
from .system_rows import NOT_RECORDED, Addressed, SystemRun, Value

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.providers import BackendV2

    from ..hardware.plan.run_plan import RunPlan

__all__ = ["hardware_run"]

_NOT_RUN = "not run yet"
_NOT_SAID = "the provider does not say"
_OPEN = "the run is not done"


def hardware_run(
    folder: Path, name: str, state: str, quality: Mapping[str, float], watts: float | None
) -> SystemRun:
    """Return the column of a hardware run.

    Costs and times are those of its manifest, or of the ledger beside its folder while the run goes
    on or its costs are not known.

    Args:
        folder: The run's folder.
        name: Its name in the table.
        state: Its state, where no ledger is beside it.
        quality: Metrics of an evaluation.
        watts: Power of the system that runs its circuits; None if not known.

    Raises:
        InvalidPlan, InvalidData: If a file cannot be used.
    """
    from ..hardware.ledger.budget import is_rehearsal
    from ..hardware.plan.plan_file import read_plan

    plan = read_plan(folder)
    manifest = _manifest(plan)
    missing = dict.fromkeys(("logical_depth", "logical_cnots"), ONLY_TRAINING)
    values: dict[str, Value] = {
        "target": plan.target,
        "calibrated_at": plan.calibrated_at,
        "circuits": 1 if plan.calls is None else len(plan.calls.circuits),
        "images": plan.num_images,
        "steps": len(plan.steps),
        "qpu_planned": plan.total_seconds,
        **_circuit(plan, missing),
    }
    per(values, "qpu_planned", qpu_planned_step="steps", qpu_planned_image="images")
    times = None
    notes: list[str] = []
    begun = manifest is not None and manifest.get("state") != "planned"
    if manifest is None or not begun:
        state = state if manifest is None else "planned"
        missing |= dict.fromkeys(("jobs", "executions", "shots", "qpu_charged"), _NOT_RUN)
    else:
        try:
            state = str(manifest.get("state", "done"))
            in_process = plan.provider is None and not plan.is_qpu
            times = run_times(manifest["journal"], in_process=in_process)
            values |= _work(plan, manifest)
            if manifest["cost_known"]:
                values["qpu_charged"] = float(manifest["seconds_charged"])
            else:
                missing["qpu_charged"] = "not known yet: the provider still counts"
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InvalidData(
                f"{folder / 'manifest.json'} is no manifest of a run ({type(error).__name__})."
            ) from error
        if not plan.is_qpu:
            free = "A rehearsal: each job is charged its estimate, and nothing is paid."
            notes.append(free if is_rehearsal(plan.budget) else "Its target charges nothing.")
    values |= _latency(times, missing, _NOT_SAID if plan.is_qpu or plan.provider else NOT_RECORDED)
    shares = {
        "qpu_charged": {"qpu_charged_step": "steps", "qpu_charged_image": "images"},
        "shots": {"shots_step": "steps", "shots_image": "images"},
        "total_seconds": {"seconds_step": "steps", "seconds_image": "images"},
    }
    for whole, parts in shares.items():
        if begun and state != "done":
            missing |= dict.fromkeys(parts, _OPEN)
        else:
            per(values, whole, **parts)
            missing |= {key: missing[whole] for key in parts if whole in missing}
    here = None if times is None else times.total - times.away
    energy(values, missing, watts, values.get("qpu_charged") if plan.is_qpu else here)
    if watts is not None:
        whose = "the QPU seconds charged" if plan.is_qpu else "all seconds in which it worked here"
        notes.append(f"Energy is of {whose}.")
    weights = None if manifest is None else manifest.get("model_sha256")
    weights = weights or next(
        (each.sha256 for each in plan.files if each.path.endswith("model.safetensors")), None
    )
    values["model_sha256"] = weights
    values["result_sha256"] = _result(plan, missing)
    versions = {} if manifest is None else manifest.get("versions", {})
    if not isinstance(versions, dict):
        raise InvalidData(f"{folder / 'manifest.json'} is no manifest of a run (its versions).")
    return SystemRun(
        name=name,
        kind="hardware",
        state=state,
        values=values,
        missing=missing,
        quality=quality,
        addressed=_addressed(plan, weights),
        versions={str(k): str(v) for k, v in versions.items()},
        notes=tuple(notes),
    )


def _manifest(plan: RunPlan) -> dict[str, Any] | None:
    """Return the run's manifest; what the ledger says now, where that is newer."""
    path = plan.folder / "manifest.json"
    written = read_manifest(path) if path.is_file() else None
    if written is not None and written.get("cost_known"):
        return written
    return manifest_so_far(plan) or written


def _circuit(plan: RunPlan, missing: dict[str, str]) -> dict[str, Value]:
    """Return the facts of the circuit that succeeds least, as it stands on the device."""
    from ..hardware.plan.planned_files import read_all_circuits
    from ..transpiling.cost import circuit_cost
    from ..transpiling.qubit_times import operations, qubit_times

    circuits = read_all_circuits(plan)[0]
    planned = [plan.circuit] if plan.calls is None else [e.plan for e in plan.calls.circuits]
    isa = circuits[planned.index(plan.circuit)]
    values: dict[str, Value] = {
        "qubits": _logical_qubits(plan),
        "depth": plan.circuit.depth,
        "two_qubit_gates": plan.circuit.two_qubit_gates,
        "expected_success": plan.circuit.expected_success,
        "idle_success": plan.circuit.idle_success,
        "circuit_seconds": plan.timing.circuit_seconds or None,
    }
    if plan.circuit.physical_qubits is None:
        rows = (
            *("device", "device_qubits", "qubits_used", "qubits_idle", "busy_share"),
            *("idle_seconds", "longest_idle_seconds", "expected_success", "idle_success"),
            *("gate_success", "circuit_seconds"),
        )
        missing |= dict.fromkeys(rows, f"none: '{plan.target}' has no device")
        return values
    values["device"] = plan.backend
    used = {q for each, qubits in operations(isa) if _works(each) for q in qubits}
    places = _places(plan, circuits)
    values |= {"device_qubits": isa.num_qubits, "qubits_used": len(places or used)}
    values["qubits_idle"] = isa.num_qubits - len(places or used)
    device = _device(plan)
    if device is None:
        unknown = ("busy_share", "idle_seconds", "longest_idle_seconds", "gate_success")
        missing |= dict.fromkeys(unknown, f"not known: '{plan.backend}' is not at hand here")
        return values
    times = qubit_times(isa, device.target).record()
    names = ("busy_share", "idle_seconds", "longest_idle_seconds")
    values |= {key: times[key] for key in names}
    values["gate_success"] = circuit_cost(isa, device.target).gate_success
    return values


def _works(instruction: Any) -> bool:
    return instruction.operation.name not in ("barrier", "delay")


def _logical_qubits(plan: RunPlan) -> int:
    physical = plan.circuit.physical_qubits
    return plan.circuit.num_qubits if physical is None else len(physical)


def _places(plan: RunPlan, circuits: tuple[QuantumCircuit, ...]) -> set[int]:
    """Return the qubits of all tiles that run at once; none without tiles."""
    from ..transpiling.qubit_times import operations

    if plan.calls is None or plan.calls.tiles is None:
        return set()
    return {
        qubit
        for circuit in circuits
        for each, qubits in operations(circuit)
        if _works(each)
        for qubit in qubits
    }


def _device(plan: RunPlan) -> BackendV2 | None:
    """Return the plan's device, if it is at hand without an account."""
    from ..execution.devices import as_backend, is_device_name

    if not is_device_name(plan.backend):
        return None
    try:
        return as_backend(plan.backend)
    except QdmError:  # gone, damaged, or of another version: its durations are not known then
        return None


def _work(plan: RunPlan, manifest: Mapping[str, Any]) -> dict[str, Value]:
    """Return jobs, circuits and shots of what has come back."""
    came = [e["part"] for e in manifest["journal"] if e["kind"] == "collected"]
    shots = circuits = 0
    executions = {part: number for part, _, number in plan.parts()}
    bound = {each.name: each.rows for each in plan.steps}
    if plan.calls is not None:
        bound = {each.name: each.circuits for each in plan.calls.jobs}
    for part in came:
        if part in executions:
            shots, circuits = shots + executions[part], circuits + bound[part]
        elif part.startswith("calibration-") and plan.calibration is not None:
            shots += plan.calibration.shots * plan.calibration.circuits
            circuits += plan.calibration.circuits
        elif part.startswith("refit-") and plan.refit is not None:
            shots, circuits = shots + plan.refit.executions, circuits + plan.refit.bound
    return {"jobs": len(manifest["jobs"]), "executions": circuits, "shots": shots}


def _latency(times: RunTimes | None, missing: dict[str, str], unsaid: str) -> dict[str, Value]:
    """Return the rows of latency; ``unsaid`` is why queue and run may lack."""
    parts = {
        "total_seconds": "total",
        "in_jobs_seconds": "in_jobs",
        "preparing_seconds": "preparing",
        "post_seconds": "post_processing",
        "away_seconds": "away",
    }
    sums = {"queue_seconds": "queue", "run_seconds": "run"}
    sums["communication_seconds"] = "communication"
    rows = (*parts, *sums, "job_seconds", "classical_seconds", "seconds_step", "seconds_image")
    if times is None:
        missing |= dict.fromkeys(rows, _NOT_RUN)
        return {}
    values: dict[str, Value] = {key: getattr(times, name) for key, name in parts.items()}
    values["classical_seconds"] = times.preparing + times.post_processing
    values |= {key: times.sum_of(name) for key, name in sums.items()}
    missing |= dict.fromkeys(sums, unsaid if times.jobs else "no job has come back")
    if times.jobs:
        values["job_seconds"] = math.fsum(e.turnaround for e in times.jobs) / len(times.jobs)
    return values


def _result(plan: RunPlan, missing: dict[str, str]) -> str | None:
    """Return the hash of the images, or of a QNN's outputs."""
    from ..archives import read_arrays
    from ..hardware.ledger.output_files import OUTPUTS
    from ..hardware.ledger.run_files import IMAGES

    file, key = (IMAGES, "images") if plan.qnn is None else (OUTPUTS, "outputs")
    path = plan.folder / file
    if not path.is_file():
        missing["result_sha256"] = "not done"
        return None
    try:
        return array_sha256(read_arrays(path, [key])[key])
    except (KeyError, QdmError) as error:
        missing["result_sha256"] = f"{file} cannot be read: {error}"
        return None


def _addressed(plan: RunPlan, weights: str | None) -> Addressed:
    """Return what decides a run: its plan's options, without what its device made of them."""
    of_training: Any = None
    seed = None
    path = plan.folder / "model" / "config.json"
    try:
        of_training, seed = config_parts(read_json_object(path))
    except (InvalidData, KeyError, MissingData, TypeError):  # a QNN's, or a model of 0.1
        of_training = None if plan.qnn is None else content_sha256(asdict(plan.qnn))
    options = {
        name: getattr(plan, name)
        for name in (
            *("model", "num_steps", "image_shape", "num_images", "label", "schedule"),
            *("mitigation", "mode"),
        )
    }
    shots = [each.shots for each in plan.steps]
    sampler = None if plan.calls is None or plan.calls.sampler is None else plan.calls.sampler
    told: list[Any] = [
        options,
        shots,
        asdict(plan.options),
        None if sampler is None else asdict(sampler),
    ]
    calibrated = plan.calibration
    told.append(None if calibrated is None else [calibrated.method, calibrated.shots])
    kind = plan.target.partition(":")[0]
    return Addressed(
        options=content_sha256(["hardware", told, kind, of_training]),
        seeds=(seed, plan.seed),
        device=(plan.target, plan.calibrated_at),
        weights=weights,
    )
