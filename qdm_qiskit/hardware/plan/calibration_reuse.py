"""Readout calibrations: taken by a job of our own, kept, used again, refused when old.

mthree checks neither the device nor the age of its calibration. Here a calibration is known by its
backend, its physical qubits and its time, in the ledger for all runs of a root, and copied into the
record of each run that uses it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from ...errors import CalibrationMismatch, InvalidData
from ...files import read_json_object
from ...mitigation.readout import (
    ReadoutCalibration,
    combine_results,
    merged_calibration,
    prepared_bits,
)
from ..ledger.ledger import Ledger
from ..ledger.run_files import iso, taken_at
from .run_plan import CalibrationPlan, RunPlan

__all__ = [
    "calibration_of",
    "check_calibration",
    "reusable",
]


def check_calibration(
    calibration: ReadoutCalibration,
    *,
    backend: str,
    qubits: Sequence[int],
    ttl_seconds: float,
    at: float,
) -> None:
    """Refuse a calibration that does not belong to counts.

    Args:
        calibration: The calibration.
        backend: Name of the backend of the counts.
        qubits: Physical qubits that were measured.
        ttl_seconds: Largest distance in time.
        at: Time of the counts, seconds since 1970.

    Raises:
        CalibrationMismatch: If it is of another backend, lacks a qubit, or is stale.
    """
    if calibration.backend != backend:
        raise CalibrationMismatch(
            f"A readout calibration fits its own device only: it is of {calibration.backend} "
            f"({calibration.taken_at}), the counts are from {backend}; take one there."
        )
    missing = sorted(set(qubits) - set(calibration.qubits))
    if missing:
        raise CalibrationMismatch(
            f"The readout calibration of {calibration.backend} ({calibration.taken_at}) lacks the "
            f"qubits {missing}; calibrate them too."
        )
    age = abs(at - taken_at(calibration))
    if age > ttl_seconds:
        raise CalibrationMismatch(
            f"The readout calibration of {calibration.backend} ({calibration.taken_at}) is "
            f"{age / 3600:.1f} h away from the counts, more than {ttl_seconds / 3600:.1f} h; take a "
            "new one."
        )


def reusable(
    ledger: Ledger, plan: RunPlan, wanted: CalibrationPlan, now: float
) -> tuple[ReadoutCalibration, str] | None:
    """Return a calibration of another run of this root that serves this plan now.

    Args:
        ledger: Knows the calibrations.
        plan: Names the backend and the measured qubits.
        wanted: Method, shots and time to live.
        now: Seconds since 1970.

    Returns:
        The newest that fits, with its path relative to the root; None if there is none. One whose
        file is missing or damaged is passed over.
    """
    for row in ledger.calibrations(plan.backend):
        qubits = json.loads(str(row["qubits"]))
        shots = row["shots"]
        if row["method"] != wanted.method or not isinstance(shots, int):
            continue
        # As many shots of each circuit; more qubits take more circuits.
        if shots < wanted.shots * wanted.circuits or not set(plan.measured_qubits) <= set(qubits):
            continue
        if row["target"] != plan.target:
            continue
        try:
            found = ReadoutCalibration.from_dict(
                read_json_object(ledger.root / str(row["path"])), wanted.correction
            )
            check_calibration(
                found,
                backend=plan.backend,
                qubits=plan.measured_qubits,
                ttl_seconds=wanted.ttl_seconds,
                at=now,
            )
        except (InvalidData, CalibrationMismatch):
            continue
        return found, str(row["path"])
    return None


def calibration_of(
    plan: RunPlan, wanted: CalibrationPlan, counts: Sequence[np.ndarray], ran_at: float
) -> ReadoutCalibration:
    """Return the calibration made of the counts of its circuits.

    Args:
        plan: Names the backend and the measured qubits.
        wanted: The method.
        counts: Of each circuit, in the order of the plan.
        ran_at: Time of their run, seconds since 1970.
    """
    found: list[ReadoutCalibration] = []
    left = list(counts)
    for group in (each for groups in plan.calibrated for each in groups):
        number = len(prepared_bits(len(group), wanted.method))
        own, left = left[:number], left[number:]
        found.append(
            combine_results(
                own,
                group,
                backend=plan.backend,
                taken_at=iso(ran_at),
                method=wanted.method,
                correction=wanted.correction,
            )
        )
    if left:
        raise InvalidData(f"A calibration of run {plan.run_id} has {len(left)} counts too many.")
    return merged_calibration(found)
