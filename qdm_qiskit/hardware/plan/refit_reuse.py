"""Refits kept for later runs of the same model at the same places of the same device."""

from __future__ import annotations

from ...errors import CalibrationMismatch, InvalidData
from ...files import read_json_object
from ...mitigation.device_fit import DeviceFit
from ..ledger.ledger import Ledger
from .refit_plan import RefitPlan
from .run_plan import RunPlan

__all__ = ["check_refit", "method_of", "places_of", "readout_of", "reusable_refit"]


def method_of(wanted: RefitPlan) -> str:
    """Return the name under which the ledger knows fits of a model; no readout has such a method."""
    return f"refit:{wanted.model_sha256[:32]}"


def places_of(plan: RunPlan) -> set[str]:
    """Return the calls of a run's steps at their places."""
    assert plan.refit is not None
    assert plan.calls is not None
    return {plan.refit.place(call) for job in plan.calls.jobs for call in job.calls}


def readout_of(plan: RunPlan) -> str:
    """Return the correction of the readout before the fit; ``none`` without."""
    return "none" if plan.calibration is None else plan.correction


def check_refit(found: DeviceFit, plan: RunPlan, at: float) -> None:
    """Refuse a refit that does not belong to counts of a time.

    Raises:
        CalibrationMismatch: If it is of another target, model, size or readout, lacks a place, or is
            stale.
    """
    wanted = plan.refit
    assert wanted is not None
    found.check(
        target=plan.target,
        model_sha256=wanted.model_sha256,
        places=places_of(plan),
        ttl_seconds=wanted.ttl_seconds,
        at=at,
    )
    got = (found.kind, found.shots, found.correction)
    said = (wanted.kind, wanted.shots, readout_of(plan))
    if got != said or found.circuits < wanted.circuits or found.backend != plan.backend:
        raise CalibrationMismatch(
            f"The refit of {found.taken_at} is of {got} with {found.circuits} circuits on "
            f"{found.backend}, and the run wants {said} with {wanted.circuits} on {plan.backend}; take "
            "a new one."
        )


def reusable_refit(
    ledger: Ledger, plan: RunPlan, wanted: RefitPlan, now: float
) -> tuple[DeviceFit, str] | None:
    """Return a refit of another run of this root that serves this plan now.

    Args:
        ledger: Knows the refits.
        plan: Names target and places.
        wanted: Model, circuits, shots and time to live.
        now: Seconds since 1970.

    Returns:
        The newest that fits, with its path relative to the root; None if there is none. One whose
        file is missing or damaged is passed over.
    """
    for row in ledger.calibrations(plan.backend):
        if row["method"] != method_of(wanted) or row["target"] != plan.target:
            continue
        try:
            found = DeviceFit.from_dict(read_json_object(ledger.root / str(row["path"])))
            check_refit(found, plan, now)
        except (InvalidData, CalibrationMismatch):
            continue
        return found, str(row["path"])
    return None
