"""Manifest of a run: one file that explains its images."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from ...files import write_json
from ..ledger.run_files import MANIFEST, iso, nonce, read_calibrations, read_refits
from ..ledger.schema import Row
from ..plan.calls import CallsPlan
from ..plan.estimator_plan import EstimatorPlan
from ..plan.run_plan import MODEL
from ..providers.context import RunContext

__all__ = [
    "PACKAGES",
    "SCHEMA",
    "manifest",
    "write_manifest",
]

SCHEMA = "qdm-hardware-run/1"
"""Version 0.1 gave this file the name of a training run's `config.json`."""
PACKAGES = (
    "qdm_qiskit",
    "qiskit",
    "qiskit-aer",
    "qiskit-ibm-runtime",
    "mthree",
    "torch",
    "numpy",
)


def manifest(run: RunContext) -> dict[str, Any]:
    """Return the content of the manifest.

    It has versions, weights, backend, calibrations, layout, seeds, options, jobs, costs, journal.

    Args:
        run: The run.

    Returns:
        Values ready for JSON.
    """
    from ..ibm.sampler import resolved_options

    plan, ledger = run.plan, run.ledger
    calls = {} if plan.calls is None else {"calls": _calls(plan.calls)}
    state = ledger.run_state(plan.run_id)
    weights = [each.sha256 for each in plan.files if each.path.endswith("model.safetensors")]
    reservations = {row["id"]: row for row in ledger.reservations(plan.run_id)}
    used = {each.tag: reservations.get(each.reservation) for each in ledger.intentions(plan.run_id)}
    return {
        "schema": SCHEMA,
        **calls,
        **({} if plan.chain is None else {"chain": asdict(plan.chain)}),
        **({} if plan.qnn is None else {"qnn": asdict(plan.qnn)}),
        **({} if plan.training is None else {"training": asdict(plan.training)}),
        **({} if plan.estimator is None else {"estimator": _estimator(plan.estimator)}),
        "run_id": plan.run_id,
        "state": state.state,
        "plan_sha256": plan.content_sha256,
        "nonce": nonce(plan.folder),
        "model": plan.model,
        "model_files": MODEL if plan.qnn is None else None,
        "model_sha256": weights[0] if weights else None,
        "target": plan.target,
        "backend": plan.backend,
        "backend_calibrated_at": plan.calibrated_at,
        "layout": {
            "physical_qubits": plan.circuit.physical_qubits,
            "measured_qubits": plan.circuit.measured_qubits,
            "transpiler_seed": plan.circuit.transpiler_seed,
        },
        "seed": plan.seed,
        "label": plan.label,
        "num_images": plan.num_images,
        "options": resolved_options(plan.options),
        "mitigation": plan.mitigation,
        "correction": None if plan.calibration is None else plan.correction,
        "calibrations": {
            name: {"taken_at": each.taken_at, "method": each.method, "shots": each.shots}
            for name, each in read_calibrations(plan.folder, plan.correction).items()
        },
        **({} if plan.refit is None else {"refits": _refits(run)}),
        "jobs": [_job(row, used.get(str(row["tag"]))) for row in ledger.jobs(plan.run_id)],
        "seconds_estimated": plan.total_seconds,
        "seconds_charged": state.seconds_charged,
        "cost_known": not ledger.unsettled(plan.run_id),
        "budget": plan.budget,
        "journal": [
            {
                "at": iso(float(row["at"] or 0.0)),
                "part": row["part"],
                "kind": row["kind"],
                **json.loads(str(row["detail"])),
            }
            for row in ledger.events(plan.run_id)
        ],
        "versions": {package: version(package) for package in PACKAGES},
        "python": platform.python_version(),
    }


def _refits(run: RunContext) -> dict[str, Any]:
    """Return what is told of each refit; its maps are in its own file."""
    return {
        name: {k: v for k, v in vars(fit).items() if k != "maps"} | {"places": len(fit.maps)}
        for name, fit in read_refits(run.plan.folder).items()
    }


def _estimator(plan: EstimatorPlan) -> dict[str, Any]:
    return {
        "estimator": "qiskit_ibm_runtime.executor_estimator.Estimator",
        "options": json.loads(plan.options),
        "resolved": json.loads(plan.resolved),
    }


def _calls(calls: CallsPlan) -> dict[str, Any]:
    """Return the sampler, and the physical qubits of each circuit of the calls."""
    return {
        "sampler": None if calls.sampler is None else asdict(calls.sampler),
        "circuits": [
            {
                "content": each.content,
                "basis": each.letters,
                "physical_qubits": each.plan.physical_qubits,
                "measured_qubits": each.plan.measured_qubits,
                "transpiler_seed": each.plan.transpiler_seed,
            }
            for each in calls.circuits
        ],
    }


def write_manifest(run: RunContext) -> None:
    """Write ``manifest.json``; where it stands, the run is complete.

    Raises:
        OutputNotWritable: If it cannot be written.
    """
    write_json(run.plan.folder / MANIFEST, manifest(run))


def _job(row: Row, reservation: Row | None) -> dict[str, Any]:
    return {
        "job_id": row["job_id"],
        "part": row["part"],
        "tag": row["tag"],
        "role": row["role"],
        "state": row["state"],
        "backend": row["backend"],
        "seconds_reserved": None if reservation is None else reservation["seconds"],
        "seconds_charged": row["seconds"],
    }
