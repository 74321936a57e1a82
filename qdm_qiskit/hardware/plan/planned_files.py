"""Files beside a plan, read back: none before its hash fits the plan."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

import numpy as np
from qiskit import QuantumCircuit

from ...archives import read_arrays
from ...circuits.qpy_files import circuits_from_qpy
from ...errors import InvalidData, InvalidPlan
from ...mitigation.readout import prepared_bits
from .run_plan import CIRCUITS, INPUTS, MODEL, RunPlan
from .types import CircuitPlan

if TYPE_CHECKING:
    from ...sampling import TrainedRun

__all__ = [
    "check_files",
    "checked_bytes",
    "load_planned_run",
    "planned_values",
    "read_all_circuits",
    "read_circuits",
    "read_inputs",
]

MAX_FILE_BYTES = 1 << 30
"""Largest file of a plan that is read."""
MOST_HEADERS = 1 << 12
"""Most bytes of all headers of arrays in such a file."""


def checked_bytes(plan: RunPlan, name: str) -> bytes:
    """Read a file beside the plan, if it is the one that was planned.

    Args:
        plan: The plan.
        name: Its path relative to the run's folder.

    Returns:
        Its content.

    Raises:
        InvalidPlan: If it is missing, no plain file, or has another hash.
    """
    wanted = next((each.sha256 for each in plan.files if each.path == name), None)
    path = plan.folder / name
    try:
        if wanted is None:
            raise InvalidPlan(f"Plan {plan.run_id} has no file {name}.")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InvalidPlan(f"{path} is larger than any file of a plan.")
        content = path.read_bytes()
    except OSError as error:
        raise InvalidPlan(
            f"{path}, which run {plan.run_id} needs, cannot be read: {error.strerror}; plan again."
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != wanted:
        raise InvalidPlan(
            f"{path} was changed after run {plan.run_id} was planned: its SHA-256 is "
            f"{found[:16]}, not {wanted[:16]}; plan again."
        )
    return content


def check_files(plan: RunPlan) -> None:
    """Refuse a plan one of whose files is missing or changed.

    Raises:
        InvalidPlan: With the first such file.
    """
    for each in plan.files:
        checked_bytes(plan, each.path)


def read_circuits(plan: RunPlan) -> tuple[QuantumCircuit, tuple[QuantumCircuit, ...]]:
    """Read the step's transpiled circuit, the first of several, and the calibration circuits.

    Raises:
        InvalidPlan: As :func:`read_all_circuits`.
    """
    circuits, calibration = read_all_circuits(plan)
    return circuits[0], calibration


def read_all_circuits(
    plan: RunPlan,
) -> tuple[tuple[QuantumCircuit, ...], tuple[QuantumCircuit, ...]]:
    """Read the transpiled circuits of a step's calls, in the plan's order, and the calibration's.

    QPY names classes of Qiskit to build; so nothing is parsed before its hash fits the plan.

    Raises:
        InvalidPlan: If the file is missing, changed, or not what the plan says.
    """
    content = checked_bytes(plan, CIRCUITS)
    try:
        circuits = circuits_from_qpy(content)
    except Exception as error:  # QPY has no error of its own for every kind of damage
        raise InvalidPlan(
            f"The circuits of run {plan.run_id} cannot be read by this Qiskit ({error}); plan again."
        ) from error
    wanted = [plan.circuit] if plan.calls is None else [e.plan for e in plan.calls.circuits]
    expected = len(wanted) + _calibration_entries(plan)
    own = circuits[: len(wanted)]
    wrong = [
        number
        for number, (found, said) in enumerate(zip(own, wanted, strict=False))
        if tuple(p.name for p in found.parameters) != said.parameters
    ]
    if len(circuits) != expected or wrong:
        number = wrong[0] if wrong else 0
        got = circuits[number].num_parameters if circuits else 0
        raise InvalidPlan(
            f"Run {plan.run_id} has {expected} circuits, of which number {number + 1} has the "
            f"{len(wanted[number].parameters)} parameters of its plan; got {len(circuits)} circuits "
            f"and {got} parameters; plan again."
        )
    return tuple(own), tuple(circuits[len(wanted) :])


def _calibration_entries(plan: RunPlan) -> int:
    """Return the number of calibration circuits in the file; of tiles several run as one."""
    if plan.calibration is None:
        return 0
    if plan.calls is None or plan.calls.tiles is None:
        return plan.calibration.circuits
    method = plan.calibration.method
    groups = [group for each in plan.calibrated for group in each]
    return sum(len(prepared_bits(len(group), method)) for group in groups)


def read_inputs(plan: RunPlan) -> tuple[np.ndarray, np.ndarray | None]:
    """Read x_T and the labels of a guided model.

    Returns:
        ``(num_images, *state_shape)`` float32, or complex64 of a model of states, whose steps are
        calls; and ``(num_images,)`` int64 or None.

    Raises:
        InvalidPlan: If the file is missing, changed, or of another shape.
    """
    content = checked_bytes(plan, INPUTS)
    assert plan.state_shape is not None  # of a model's plan
    shape = (plan.num_images, *plan.state_shape)
    most = 8 * (math.prod(shape) + plan.num_images) + MOST_HEADERS
    try:
        arrays = read_arrays(content, most_bytes=most)
        x, labels = arrays["x"], arrays.get("labels")
    except Exception as error:  # zip, numpy and key errors alike
        raise InvalidPlan(f"The inputs of run {plan.run_id} cannot be read ({error}).") from error
    kinds = (np.float32,) if plan.calls is None else (np.float32, np.complex64)
    good = x.shape == shape and x.dtype in kinds and bool(np.isfinite(x).all())
    if labels is not None:
        good &= labels.shape == (plan.num_images,) and labels.dtype == np.int64
    if not good:
        raise InvalidPlan(f"The inputs of run {plan.run_id} have the shape {x.shape}, not {shape}.")
    return x, labels


def load_planned_run(plan: RunPlan) -> TrainedRun:
    """Load the model as it was planned, from the run's own copy.

    Raises:
        InvalidPlan: If a file of it is missing or was changed.
    """
    from ...sampling import load_run

    for each in plan.files:
        if each.path.startswith(f"{MODEL}/"):
            checked_bytes(plan, each.path)
    return load_run(plan.folder / MODEL)


def planned_values(
    plan: RunPlan, values: np.ndarray, circuit: CircuitPlan | None = None
) -> np.ndarray:
    """Return the columns of ``CircuitSpec.input_values`` that a transpiled circuit still has.

    Args:
        plan: The plan.
        values: ``(batch, number of x_ parameters of the full circuit)`` in name order.
        circuit: One of the plan's circuits; the step's own if None.

    Returns:
        ``(batch, len(circuit.parameters))`` float64, in the transpiled circuit's order.

    Raises:
        InvalidData: If there are too few columns, or a value is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    columns = [int(name[2:]) for name in (circuit or plan.circuit).parameters]
    if array.ndim != 2 or (columns and array.shape[1] <= max(columns)):
        raise InvalidData(
            f"Run {plan.run_id} needs input values of shape (batch, > {max(columns, default=0)}), "
            f"got {array.shape}."
        )
    if not np.isfinite(array).all():
        raise InvalidData("Input values must be finite, got NaN or infinity.")
    return array[:, columns]
