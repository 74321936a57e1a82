"""Cost of a model of several circuits on devices: a row for each distinct circuit, and a whole run.

Circuits that differ in the values of their weights alone are one row: one of them is transpiled, with
its weights, and stands for all.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from qiskit import QuantumCircuit

from ..arguments import checked_text
from ..circuits.fingerprint import circuit_fingerprint
from ..circuits.spec import ExpectationReadout
from ..errors import InvalidOption
from ..execution.calls import CircuitCall
from ..execution.devices import DeviceLike, as_backend
from ..hardware.plan.qpu_seconds import JOB_OVERHEAD_SECONDS, MAX_EXECUTIONS, timing
from ..mitigation.expectation import construct_circuits, measurement_plan
from ..notebook import card, note, one_line, table
from ..progress import Message, Progress, silent
from ..transpiling.passes import best_trial, layout_trials

__all__ = ["SCHEMA", "CallCosts", "CircuitRow", "DeviceCosts", "call_costs"]

SCHEMA = "call-costs/1"


@dataclass(frozen=True, kw_only=True)
class CircuitRow:
    """A distinct circuit of a model, on a device."""

    name: str
    """Name of the circuit."""
    calls: tuple[str, ...]
    """Addresses of its calls in a step, in their order."""
    qubits: int
    rows: int
    """Rows of all its calls in a step, for one image."""
    bases: int
    """Circuits that a row takes: one, or one for each basis of its expectation values."""
    two_qubit_gates: int
    """Of one circuit, in the device's own."""
    depth: int
    duration_seconds: float | None
    """Of one circuit; None where the device gives no durations."""
    expected_success: float
    """Chance that no gate and no readout fails."""
    seconds_per_shot: float
    """Estimated QPU seconds of a shot, repetition delay included."""


@dataclass(frozen=True, kw_only=True)
class DeviceCosts:
    """All circuits of a model on one device, and a run there."""

    backend: str
    circuits: tuple[CircuitRow, ...]
    jobs: int
    """Of a run."""
    bound_circuits: int
    """Circuits with values that a run executes."""
    shots: int
    """Of a run: bound circuits times shots."""
    two_qubit_gates: int
    """Of all bound circuits of a run."""
    seconds: float
    """Estimated QPU seconds of a run, by IBM's formula."""


@dataclass(frozen=True, kw_only=True)
class CallCosts:
    """Cost of a model's circuit calls, in a step and in a run."""

    name: str
    steps: int
    """Steps of the reverse chain that a run takes."""
    num_images: int
    shots: int
    """Of each circuit and row."""
    level: int
    seeds: tuple[int, ...]
    """Transpiler seeds that were tried."""
    calls: int
    """Calls of a step."""
    jobs: int
    """Jobs of a step: calls that do not depend on each other go together."""
    devices: tuple[DeviceCosts, ...]
    versions: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON, with ``schema`` first."""
        return {"schema": SCHEMA, **asdict(self)}

    def __repr__(self) -> str:
        found = (f"{each.backend} {each.jobs} jobs, {each.seconds:.0f} s" for each in self.devices)
        return one_line("CallCosts", self.name, f"{self.calls} calls a step", *found)

    def _repr_html_(self) -> str:
        parts = []
        for device in self.devices:
            parts.append(note(f"{device.backend}: {run_words(self.to_dict(), asdict(device))}"))
            parts.append(table(HEAD, [row_cells(asdict(row)) for row in device.circuits]))
        about = f"{self.calls} calls a step, {self.steps} steps"
        return card(self.name, *parts, about=about)


HEAD = (
    *("circuit", "calls", "rows an image", "bases", "qubits"),
    *("two-qubit gates", "depth", "duration", "success"),
)
"""Columns of a circuit's row."""


def row_cells(row: dict[str, Any]) -> list[Any]:
    """Return the cells of a circuit under :data:`HEAD`."""
    seconds = row["duration_seconds"]
    return [
        *(row["name"], len(row["calls"]), row["rows"], row["bases"], row["qubits"]),
        *(row["two_qubit_gates"], row["depth"]),
        "unknown" if seconds is None else f"{seconds * 1e6:.2f} µs",
        f"{row['expected_success']:.3g}",
    ]


def run_words(data: dict[str, Any], device: dict[str, Any]) -> str:
    """Return the cost of a run in words."""
    return (
        f"{data['num_images']} images in {data['steps']} steps are {device['jobs']} jobs, "
        f"{device['bound_circuits']:,} circuits of {data['shots']} shots, "
        f"{device['two_qubit_gates']:,} two-qubit gates, about {device['seconds']:,.0f} QPU seconds."
    )


def call_costs(
    name: str,
    jobs: Sequence[Sequence[CircuitCall]],
    backends: Sequence[DeviceLike],
    *,
    steps: int,
    num_images: int = 16,
    shots: int = 4096,
    level: int = 3,
    seeds: Sequence[int],
    progress: Progress = silent,
) -> CallCosts:
    """Cost the calls of a model on some devices.

    Args:
        name: Letters, digits, ``.``, ``_`` and ``-``.
        jobs: The calls of a step for one image, as :func:`.calls_of` gives them; at least one.
        backends: Names of devices, ``BackendV2`` or Aer ``NoiseModel`` objects, at least one.
        steps: Steps of the reverse chain, at least 1.
        num_images: Of the run, at least 1.
        shots: Of each circuit and row, at least 1.
        level: Optimization level, 0 to 3.
        seeds: Transpiler seeds, at least one; the best of each circuit counts.
        progress: Is told the device's name after each circuit.

    Returns:
        The costs; nothing is written.

    Raises:
        UnknownName: If a device does not exist; checked before any work.
        InvalidOption: If a number is below 1, there are no calls, or the name is none.
        UnsupportedCircuit: If a circuit does not fit a device.
    """
    checked_text(name, "name")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise InvalidOption(
            f"A report's name has letters, digits, '.', '_' and '-' only, got {name!r}."
        )
    numbers = {"steps": steps, "num_images": num_images, "shots": shots}
    if min(numbers.values()) < 1 or not backends or not seeds or not any(jobs):
        raise InvalidOption(
            "Costs need at least one call, one backend and one seed, and steps, num_images and shots "
            f"of at least 1, got {sum(map(len, jobs))} calls, {len(backends)} backends, "
            f"{len(seeds)} seeds and {numbers}."
        )
    devices = [as_backend(each, "backends") for each in backends]
    groups = _groups(jobs)
    found = []
    for device in devices:
        rows: dict[str, CircuitRow] = {}
        for done, (key, group) in enumerate(groups.items()):
            rows[key] = _row(group, device, level, seeds)
            progress(Message(device.name, done + 1, len(groups)))
        found.append(_device(device.name, jobs, groups, rows, steps, num_images, shots))
    return CallCosts(
        name=name,
        steps=steps,
        num_images=num_images,
        shots=shots,
        level=level,
        seeds=tuple(int(seed) for seed in seeds),
        calls=sum(map(len, jobs)),
        jobs=len(jobs),
        devices=tuple(found),
        versions={p: version(p) for p in ("qiskit", "qiskit-ibm-runtime")},
    )


def _groups(jobs: Sequence[Sequence[CircuitCall]]) -> dict[str, list[CircuitCall]]:
    """The calls by circuit and readout, whatever the weights."""
    known: dict[int, str] = {}  # of specs that layers share
    found: dict[str, list[CircuitCall]] = {}
    for call in (each for job in jobs for each in job):
        if id(call.spec) not in known:
            told = circuit_fingerprint(call.spec.full_circuit(measure=False)) + repr(
                call.spec.readout
            )
            known[id(call.spec)] = hashlib.sha256(told.encode()).hexdigest()
        found.setdefault(known[id(call.spec)], []).append(call)
    return found


def _circuits(call: CircuitCall) -> tuple[QuantumCircuit, int]:
    """A measured circuit of a call, and how many such circuits a row takes."""
    readout = call.spec.readout
    if not isinstance(readout, ExpectationReadout):
        return call.circuit, 1
    plan = measurement_plan(readout.observables)
    made = construct_circuits(call.circuit, plan)
    # Bases differ in the turns before the measurement: a gate or two on a qubit.
    return max(made, key=lambda each: each.size()), len(made)


def _row(group: list[CircuitCall], device: Any, level: int, seeds: Sequence[int]) -> CircuitRow:
    circuit, bases = _circuits(group[0])
    best = best_trial(layout_trials(circuit, device, seeds=seeds, level=level))
    clock = timing(device, best.circuit)
    return CircuitRow(
        name=group[0].spec.name,
        calls=tuple(call.name for call in group),
        qubits=group[0].spec.num_qubits,
        rows=sum(call.num_rows for call in group),
        bases=bases,
        two_qubit_gates=best.cost.two_qubit_count,
        depth=best.cost.depth,
        duration_seconds=best.cost.duration_seconds,
        expected_success=best.cost.expected_success,
        seconds_per_shot=clock.rep_delay_seconds + clock.circuit_seconds,
    )


def _device(
    name: str,
    jobs: Sequence[Sequence[CircuitCall]],
    groups: dict[str, list[CircuitCall]],
    rows: dict[str, CircuitRow],
    steps: int,
    num_images: int,
    shots: int,
) -> DeviceCosts:
    """A run on a device: a job is split where it outgrows the service's limit on executions."""
    row_of = {id(call): rows[key] for key, group in groups.items() for call in group}
    sent, seconds = 0, 0.0
    for job in jobs:
        executed = [
            (row_of[id(call)], call.num_rows * num_images * row_of[id(call)].bases) for call in job
        ]
        parts = max(1, math.ceil(sum(count for _, count in executed) * shots / MAX_EXECUTIONS))
        sent += parts
        seconds += parts * JOB_OVERHEAD_SECONDS
        seconds += sum(row.seconds_per_shot * count * shots for row, count in executed)
    bound = sum(row.rows * row.bases for row in rows.values()) * num_images * steps
    gates = sum(row.rows * row.bases * row.two_qubit_gates for row in rows.values())
    return DeviceCosts(
        backend=name,
        circuits=tuple(rows.values()),
        jobs=sent * steps,
        bound_circuits=bound,
        shots=bound * shots,
        two_qubit_gates=gates * num_images * steps,
        seconds=seconds * steps,
    )
