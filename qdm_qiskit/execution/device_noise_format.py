"""Aer's noise models as JSON values, and back, without Aer's own reader, which checks nothing.

The form is that of ``NoiseModel.to_dict(serializable=True)``, without ids but with the basis gates
and the relaxation of delays, which it leaves out.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Delay, Instruction, Reset
from qiskit.circuit.library import PauliGate, UnitaryGate

from ..errors import InvalidData, InvalidOption
from .device_noise import MOST_QUBITS_OF_AN_ERROR, standard_gates
from .device_numbers import (
    entries,
    keys_of,
    number,
    optional,
    probability,
    qubits_of,
    text,
)

if TYPE_CHECKING:
    from qiskit_aer.noise import NoiseModel
    from qiskit_aer.noise.errors import QuantumError

__all__ = [
    "MAX_ERRORS",
    "noise_content",
    "noise_from",
]

MAX_ERRORS = 100_000
"""Most errors of a model, and terms of an error."""
_TOLERANCE = 1e-6
"""Tolerance of the sum of probabilities, and of channels that preserve it."""


def noise_content(noise: NoiseModel, *, strict: bool = True) -> dict[str, Any]:
    """Return a noise model as JSON values; equal models give equal ones.

    Raises:
        InvalidOption: If strict, for noise passes other than the relaxation of delays.
    """
    errors = noise.to_dict(serializable=True)["errors"]
    for each in errors:
        each.pop("id", None)
    return {
        "basis_gates": sorted(noise.basis_gates),
        "errors": sorted(errors, key=lambda each: json.dumps(each, sort_keys=True)),
        "relaxation": [_relaxation(each, strict) for each in noise._custom_noise_passes],
    }


def _relaxation(noise_pass: Any, strict: bool) -> dict[str, Any]:
    from qiskit_aer.noise.passes import RelaxationNoisePass

    known = type(noise_pass) is RelaxationNoisePass and noise_pass._ops == (Delay,)
    if not known or np.any(noise_pass._p1s):
        if strict:
            raise InvalidOption(
                f"A noise model with a {type(noise_pass).__name__} of its own cannot be saved; only "
                "relaxation of delays at zero temperature can."
            )
        state = {k: v for k, v in sorted(vars(noise_pass).items()) if k in ("_t1s", "_t2s", "_dt")}
        return {"pass": type(noise_pass).__qualname__, "state": repr(state)}
    return {
        "t1": [float(each) if math.isfinite(each) else None for each in noise_pass._t1s],
        "t2": [float(each) if math.isfinite(each) else None for each in noise_pass._t2s],
        "dt": None if noise_pass._dt is None else float(noise_pass._dt),
    }


def noise_from(content: Any, num_qubits: int | None) -> NoiseModel:
    """Return the noise model that :func:`noise_content` or Aer's ``to_dict`` wrote.

    Args:
        content: JSON values.
        num_qubits: Qubits of the device; None takes any qubits below :data:`.device.MAX_QUBITS`.

    Raises:
        InvalidData: With the first impossible value.
    """
    from qiskit_aer.noise import NoiseModel

    from .device import MAX_QUBITS

    count = MAX_QUBITS if num_qubits is None else num_qubits
    keys_of(
        content,
        "noise_model",
        {"errors", "basis_gates", "relaxation"},
        optional_keys={"basis_gates", "relaxation"},
    )
    basis = content.get("basis_gates")
    if basis is not None:
        basis = [
            text(each, "noise_model.basis_gates", 64) for each in entries(basis, "basis_gates", 200)
        ]
    model = NoiseModel(basis_gates=basis)
    for k, each in enumerate(entries(content["errors"], "noise_model.errors", MAX_ERRORS)):
        _add_error(model, each, f"noise_model.errors[{k}]", count)
    for k, each in enumerate(entries(content.get("relaxation") or [], "relaxation", 10)):
        model._custom_noise_passes.append(_pass_from(each, f"noise_model.relaxation[{k}]", count))
    return model


def _pass_from(value: Any, where: str, count: int) -> Any:
    from qiskit_aer.noise.passes import RelaxationNoisePass

    keys_of(value, where, {"t1", "t2", "dt"})
    times = []
    for key in ("t1", "t2"):
        found = [
            math.inf if each is None else number(each, f"{where}.{key}", 1e-12, 1e6)
            for each in entries(value[key], f"{where}.{key}", count)
        ]
        times.append(found)
    if len(times[0]) != len(times[1]):
        raise InvalidData(f"{where} has as many t1 as t2")
    if any(t2 > 2 * t1 * (1 + 1e-9) for t1, t2 in zip(*times, strict=True)):
        raise InvalidData(f"{where}.t2 is at most 2 t1 everywhere")
    dt = optional(value["dt"], lambda each: number(each, f"{where}.dt", 1e-24, 1.0))
    return RelaxationNoisePass(t1s=times[0], t2s=times[1], dt=dt, op_types=Delay)


def _add_error(model: NoiseModel, value: Any, where: str, count: int) -> None:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "roerror":
        _add_readout(model, value, where, count)
        return
    if kind != "qerror":
        raise InvalidData(f"{where}.type is 'qerror' or 'roerror'")
    keys = {"type", "operations", "instructions", "probabilities", "gate_qubits", "id"}
    keys_of(value, where, keys, optional_keys={"gate_qubits", "id"})
    names = [
        text(each, f"{where}.operations", 64) for each in entries(value["operations"], where, 100)
    ]
    places = value.get("gate_qubits")
    try:
        error = _quantum_error(value, where)
        for name in names:
            if places is None:
                model.add_all_qubit_quantum_error(error, name, warnings=False)
                continue
            for each in entries(places, f"{where}.gate_qubits", MAX_ERRORS):
                qubits = qubits_of(each, f"{where}.gate_qubits", error.num_qubits, count)
                model.add_quantum_error(error, name, qubits, warnings=False)
    except InvalidData:
        raise
    except Exception as failure:  # Aer raises NoiseError, and numpy and Qiskit their own
        reason = " ".join(str(failure).strip("'\"").split())[:120].rstrip(".")
        raise InvalidData(f"{where} is no error that Aer takes: {reason}") from failure


def _quantum_error(value: Any, where: str) -> QuantumError:
    from qiskit_aer.noise.errors import QuantumError

    circuits = entries(value["instructions"], f"{where}.instructions", MAX_ERRORS)
    weights = [
        probability(each, f"{where}.probabilities")
        for each in entries(value["probabilities"], f"{where}.probabilities", MAX_ERRORS)
    ]
    if len(circuits) != len(weights) or not weights or abs(math.fsum(weights) - 1) > _TOLERANCE:
        raise InvalidData(
            f"{where} has one probability for each list of instructions, and their sum is 1"
        )
    every = [
        [_instruction(each, f"{where}.instructions") for each in entries(terms, where, 1000)]
        for terms in circuits
    ]
    count = 1 + max((q for terms in every for _, qubits in terms for q in qubits), default=0)
    parts = []
    for terms, weight in zip(every, weights, strict=True):
        circuit = QuantumCircuit(count)
        for operation, qubits in terms:
            circuit.append(operation, qubits)
        parts.append((circuit, weight))
    return QuantumError(parts)


def _instruction(value: Any, where: str) -> tuple[Instruction, tuple[int, ...]]:
    keys_of(value, where, {"name", "qubits", "params", "label"}, optional_keys={"params", "label"})
    name = text(value["name"], f"{where}.name", 64)
    wires = entries(value["qubits"], f"{where}.qubits", MOST_QUBITS_OF_AN_ERROR)
    qubits = qubits_of(wires, f"{where}.qubits", len(wires), MOST_QUBITS_OF_AN_ERROR)
    params = entries(value.get("params", []), f"{where}.params", 64)
    return _operation(name, params, len(qubits), where), qubits


def _operation(name: str, params: list[Any], size: int, where: str) -> Instruction:
    if name == "reset":
        return Reset()
    if name == "pauli":
        letters = text(params[0] if len(params) == 1 else None, f"{where}.params", size)
        if len(letters) != size or set(letters) - set("IXYZ"):
            raise InvalidData(f"{where}.params of 'pauli' is one letter a qubit, I, X, Y or Z")
        return PauliGate(letters)
    if name == "unitary":
        [matrix] = [_matrix(each, size, where) for each in params] if len(params) == 1 else [None]
        if matrix is None or not np.allclose(
            matrix @ matrix.conj().T, np.eye(2**size), atol=_TOLERANCE
        ):
            raise InvalidData(f"{where}.params of 'unitary' is one unitary matrix")
        return UnitaryGate(matrix)
    if name == "kraus":
        matrices = [_matrix(each, size, where) for each in params]
        total = sum((each.conj().T @ each for each in matrices), np.zeros((2**size, 2**size)))
        if not np.allclose(total, np.eye(2**size), atol=_TOLERANCE):
            raise InvalidData(f"{where}.params of 'kraus' are matrices that preserve the trace")
        return Instruction("kraus", size, 0, matrices)
    gate = standard_gates().get(name)
    if gate is None or gate.num_qubits != size or len(gate.params) != len(params):
        raise InvalidData(
            f"{where}.name is pauli, kraus, unitary, reset or a standard gate, got {name!r} on "
            f"{size} qubits"
        )
    angles = [number(each, f"{where}.params", -100.0, 100.0) for each in params]
    return type(gate)(*angles) if angles else gate


def _matrix(value: Any, size: int, where: str) -> np.ndarray:
    """Return a complex matrix from ``[re, im]`` pairs."""
    side = 2**size
    rows = entries(value, f"{where}.params", side)
    found = np.zeros((side, side), dtype=np.complex128)
    for i, row in enumerate(rows):
        for j, pair in enumerate(entries(row, f"{where}.params", side)):
            parts = entries(pair, f"{where}.params", 2)
            if len(parts) != 2:
                raise InvalidData(f"{where}.params holds numbers as [real, imaginary]")
            found[i, j] = complex(*(number(each, f"{where}.params", -10.0, 10.0) for each in parts))
    return found


def _add_readout(model: NoiseModel, value: Any, where: str, count: int) -> None:
    keys_of(
        value,
        where,
        {"type", "operations", "probabilities", "gate_qubits", "id"},
        optional_keys={"operations", "gate_qubits", "id"},
    )
    rows = [
        [probability(each, f"{where}.probabilities") for each in entries(row, where, 2)]
        for row in entries(value["probabilities"], f"{where}.probabilities", 2)
    ]
    if [len(row) for row in rows] != [2, 2] or any(abs(sum(r) - 1) > _TOLERANCE for r in rows):
        raise InvalidData(
            f"{where}.probabilities is [true][read] of one qubit, 2 x 2, each row with the sum 1"
        )
    if "gate_qubits" not in value:
        model.add_all_qubit_readout_error(rows, warnings=False)
        return
    for each in entries(value["gate_qubits"], f"{where}.gate_qubits", MAX_ERRORS):
        model.add_readout_error(
            rows, qubits_of(each, f"{where}.gate_qubits", 1, count), warnings=False
        )
