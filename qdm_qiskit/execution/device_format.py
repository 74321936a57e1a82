"""The content of a device as JSON values, for its hash and its file.

docs/extending/device.md describes each key. Nothing is unpickled, evaluated or built by a name that
is not Qiskit's own: gates are those of Qiskit's standard set, and all numbers are checked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from qiskit.circuit import Delay, Instruction, Measure, Parameter, Reset
from qiskit.circuit.controlflow import (
    BreakLoopOp,
    ContinueLoopOp,
    ForLoopOp,
    IfElseOp,
    SwitchCaseOp,
    WhileLoopOp,
)
from qiskit.transpiler import InstructionProperties, QubitProperties
from qiskit.transpiler import Target as DeviceTarget

from ..errors import InvalidData, InvalidOption
from .device import LIMITS, MAX_QUBITS, Facts
from .device_noise import check_names, readout_errors, standard_gates
from .device_noise_format import noise_content, noise_from
from .device_numbers import (
    entries,
    keys_of,
    number,
    optional,
    probability,
    qubits_of,
    seconds,
    text,
    whole,
)

__all__ = [
    "CONSTRAINTS",
    "MAX_ENTRIES",
    "content_of",
    "digest",
    "facts_from",
]

CONSTRAINTS = ("granularity", "min_length", "pulse_alignment", "acquire_alignment")
"""Constraints of pulses, in dt; Qiskit's transpiler asks for them."""
MAX_ENTRIES = 200_000
"""Most places of a gate; 1,000 qubits on a grid have fewer."""
_CONTROL_FLOW = {
    "if_else": IfElseOp,
    "for_loop": ForLoopOp,
    "while_loop": WhileLoopOp,
    "switch_case": SwitchCaseOp,
    "break_loop": BreakLoopOp,
    "continue_loop": ContinueLoopOp,
}
_OTHERS: dict[str, Callable[[], Instruction]] = {
    "measure": Measure,
    "reset": Reset,
    "delay": lambda: Delay(Parameter("t")),
    # The faster ones of some QPUs, which Qiskit has no classes for.
    "measure_2": lambda: Instruction("measure_2", 1, 1, []),
    "reset_2": lambda: Instruction("reset_2", 1, 0, []),
}


def digest(facts: Facts) -> str:
    """Return the SHA-256 of the canonical JSON of a device's content, as 64 hex digits.

    Numbers of a noise model count to 12 digits: Aer normalizes probabilities anew whenever a model is
    made, which moves the last ones.
    """
    content = content_of(facts, strict=False)
    for gate in content["gates"]:
        if gate["on"] is not None:
            gate["on"].sort(key=lambda each: each["qubits"])
    content["noise_model"] = _rounded(content["noise_model"])
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=repr)
    return hashlib.sha256(text.encode()).hexdigest()


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.12g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value


def content_of(facts: Facts, *, strict: bool = True) -> dict[str, Any]:
    """Return a device as JSON values.

    T2 is written as at most 2 T1, as Aer and all costs here take it.

    Args:
        facts: The device.
        strict: True to refuse what could not be read back; else it is only named.

    Raises:
        InvalidOption: For gates that are none of Qiskit's, and noise passes that Aer does not know.
    """
    target = facts.target
    return {
        "num_qubits": int(target.num_qubits),
        "dt": _float(target.dt),
        "calibrated_at": facts.calibrated_at,
        "constraints": {name: int(getattr(target, name)) for name in CONSTRAINTS},
        "limits": dict(facts.limits),
        "qubits": [_qubit(facts, k) for k in range(target.num_qubits)],
        # IBM's snapshots have them in an order that differs from process to process.
        "gates": [_gate(target, name, strict) for name in sorted(target.operation_names)],
        "noise_model": None if facts.noise is None else noise_content(facts.noise, strict=strict),
    }


def facts_from(content: Any) -> Facts:
    """Return the device that :func:`content_of` wrote.

    Raises:
        InvalidData: With the first key that is missing, unknown, or has an impossible value.
    """
    keys = {"num_qubits", "dt", "calibrated_at", "constraints", "limits", "qubits", "gates"}
    keys_of(content, "the device", keys | {"noise_model"}, optional_keys={"noise_model"})
    count = whole(content["num_qubits"], "num_qubits", 1, MAX_QUBITS)
    constraints = content["constraints"]
    keys_of(constraints, "constraints", set(CONSTRAINTS))
    qubits = entries(content["qubits"], "qubits", MAX_QUBITS)
    if len(qubits) != count:
        raise InvalidData(f"qubits has {len(qubits)} entries, not num_qubits = {count}")
    properties, readout = [], {}
    for k, each in enumerate(qubits):
        found, reads = _qubit_from(each, f"qubits[{k}]")
        properties.append(found)
        if reads is not None:
            readout[k] = reads
    if readout and len(readout) != count:
        raise InvalidData(
            "both readout errors are given for some qubits; give them for all or none"
        )
    target = DeviceTarget(
        num_qubits=count,
        dt=optional(content["dt"], lambda each: number(each, "dt", 1e-24, 1.0)),
        qubit_properties=properties,
        **{n: whole(constraints[n], f"constraints.{n}", 1, 1_000_000) for n in CONSTRAINTS},
    )
    names = set()
    for k, each in enumerate(entries(content["gates"], "gates", 200)):
        names.add(_add_gate(target, each, f"gates[{k}]", count))
    if len(names) != len(content["gates"]):
        raise InvalidData("gates names a gate twice")
    if "measure" not in names:
        raise InvalidData("gates has no 'measure'")
    noise = optional(content.get("noise_model"), lambda each: noise_from(each, count))
    if noise is not None:
        check_names(noise)
        readout = readout_errors(noise, count)
    return Facts(
        target=target,
        noise=noise,
        readout=readout,
        calibrated_at=optional(content["calibrated_at"], _date),
        limits=_limits(content["limits"]),
    )


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _qubit(facts: Facts, qubit: int) -> dict[str, float | None]:
    every = facts.target.qubit_properties
    found = every[qubit] if every else None
    t1, t2 = _float(getattr(found, "t1", None)), _float(getattr(found, "t2", None))
    if t1 is not None and t2 is not None:
        t2 = min(t2, 2 * t1)
    one_for_zero, zero_for_one = facts.readout.get(qubit, (None, None))
    return {
        "t1": t1,
        "t2": t2,
        "frequency": _float(getattr(found, "frequency", None)),
        "one_for_zero": one_for_zero,
        "zero_for_one": zero_for_one,
    }


def _qubit_from(value: Any, where: str) -> tuple[QubitProperties, tuple[float, float] | None]:
    keys_of(value, where, {"t1", "t2", "frequency", "one_for_zero", "zero_for_one"})
    t1 = optional(value["t1"], lambda each: seconds(each, f"{where}.t1"))
    t2 = optional(value["t2"], lambda each: seconds(each, f"{where}.t2"))
    if t1 is not None and t2 is not None and t2 > 2 * t1 * (1 + 1e-9):
        raise InvalidData(f"{where}.t2 is at most 2 t1 = {2 * t1:g}, got {t2:g}")
    frequency = optional(
        value["frequency"], lambda each: number(each, f"{where}.frequency", 0, 1e15)
    )
    reads = [value["one_for_zero"], value["zero_for_one"]]
    found = QubitProperties(t1=t1, t2=t2, frequency=frequency)
    if reads == [None, None]:
        return found, None
    return found, (
        probability(reads[0], f"{where}.one_for_zero"),
        probability(reads[1], f"{where}.zero_for_one"),
    )


def _gate(target: DeviceTarget, name: str, strict: bool) -> dict[str, Any]:
    operation = target.operation_from_name(name)
    if strict and not _is_known(operation, name):
        raise InvalidOption(
            f"The device has an instruction '{name}' that is none of Qiskit's own, and cannot be "
            "saved; use the object itself, or save a device without it."
        )
    found: dict[str, Any] = {"name": name, "on": None}
    places = None if isinstance(operation, type) else target[name]
    if places is not None and None not in places:
        found["on"] = [
            {
                "qubits": [int(q) for q in where],
                "error": _float(getattr(properties, "error", None)),
                "duration": _float(getattr(properties, "duration", None)),
            }
            for where, properties in places.items()
        ]
    if target.has_angle_bounds() and target.gate_has_angle_bounds(name):
        found["angle_bounds"] = _angle_bounds(target, name)
    if not strict and not isinstance(operation, type):
        found["params"] = [
            None if hasattr(each, "parameters") else repr(each)
            for each in getattr(operation, "params", ())
        ]
    return found


def _is_known(operation: Any, name: str) -> bool:
    if isinstance(operation, type):
        return _CONTROL_FLOW.get(name) is operation
    wanted = standard_gates().get(name)
    if wanted is None:
        if name not in _OTHERS:
            return False
        wanted = _OTHERS[name]()
    free = all(hasattr(each, "parameters") for each in operation.params)
    return (operation.name == name and operation.num_qubits == wanted.num_qubits and free) and type(
        operation
    ) is type(wanted)


def _angle_bounds(target: DeviceTarget, name: str) -> list[list[float] | None]:
    """Return a Target's angle bounds from its pickled form; nothing is unpickled here."""
    state = target.__getstate__()["base"]["gate_map"][name]["angle_bounds"]
    return [None if each is None else [float(each[0]), float(each[1])] for each in state]


def _add_gate(target: DeviceTarget, value: Any, where: str, count: int) -> str:
    keys_of(value, where, {"name", "on", "angle_bounds"}, optional_keys={"angle_bounds"})
    name = text(value["name"], f"{where}.name", 64)
    if name in _CONTROL_FLOW:
        if value["on"] is not None:
            raise InvalidData(f"{where}.on is null for '{name}'")
        target.add_instruction(_CONTROL_FLOW[name], name=name)
        return name
    if name in _OTHERS:
        operation = _OTHERS[name]()
    elif name in standard_gates():
        operation = standard_gates()[name]
    else:
        raise InvalidData(f"{where}.name is a gate of Qiskit's standard set, got {name!r}")
    if name in target.operation_names:
        raise InvalidData(f"gates names '{name}' twice")
    bounds = value.get("angle_bounds")
    options = {} if bounds is None else {"angle_bounds": _bounds_from(bounds, operation, where)}
    target.add_instruction(operation, _places(value["on"], operation, where, count), **options)
    return name


def _places(
    value: Any, operation: Instruction, where: str, count: int
) -> Mapping[Any, InstructionProperties | None]:
    if value is None:
        return {None: None}
    found: dict[tuple[int, ...], InstructionProperties | None] = {}
    for k, each in enumerate(entries(value, f"{where}.on", MAX_ENTRIES)):
        here = f"{where}.on[{k}]"
        keys_of(each, here, {"qubits", "error", "duration"})
        qubits = qubits_of(each["qubits"], f"{here}.qubits", operation.num_qubits, count)
        if qubits in found:
            raise InvalidData(f"{here}.qubits names {list(qubits)} a second time")
        error = each["error"]
        if error is not None:
            error = probability(error, f"{here}.error")
        duration = each["duration"]
        if duration is not None:
            duration = number(duration, f"{here}.duration", 0.0, 1.0)
        found[qubits] = (
            None
            if error is None and duration is None
            else InstructionProperties(duration=duration, error=error)
        )
    return found


def _bounds_from(
    value: Any, operation: Instruction, where: str
) -> list[tuple[float, float] | None]:
    every = entries(value, f"{where}.angle_bounds", 10)
    if len(every) != len(operation.params):
        raise InvalidData(f"{where}.angle_bounds has one entry for each angle of the gate")
    found: list[tuple[float, float] | None] = []
    for each in every:
        if each is None:
            found.append(None)
            continue
        pair = entries(each, f"{where}.angle_bounds", 2)
        if len(pair) != 2:
            raise InvalidData(f"{where}.angle_bounds holds pairs of angles")
        low, high = (number(side, f"{where}.angle_bounds", -100.0, 100.0) for side in pair)
        if low > high:
            raise InvalidData(f"{where}.angle_bounds goes from low to high, got {low:g}, {high:g}")
        found.append((low, high))
    return found


def _limits(value: Any) -> dict[str, Any]:
    keys_of(value, "limits", set(LIMITS), optional_keys=set(LIMITS))
    found: dict[str, Any] = {}
    if "max_shots" in value:
        found["max_shots"] = whole(value["max_shots"], "limits.max_shots", 1, 10**9)
    if "default_rep_delay" in value:
        found["default_rep_delay"] = number(
            value["default_rep_delay"], "limits.default_rep_delay", 0.0, 1.0
        )
    if "rep_delay_range" in value:
        pair = entries(value["rep_delay_range"], "limits.rep_delay_range", 2)
        ends = [number(each, "limits.rep_delay_range", 0.0, 1.0) for each in pair]
        if len(ends) != 2 or ends[0] > ends[1]:
            raise InvalidData("limits.rep_delay_range is two times, low and high")
        found["rep_delay_range"] = ends
    return found


def _date(value: Any) -> str:
    found = text(value, "calibrated_at", 40)
    try:
        datetime.fromisoformat(found)
    except ValueError:
        raise InvalidData(f"calibrated_at is ISO 8601, got {found!r}") from None
    return found
