"""The content of a circuit as a hash, which says whether two processes mean the same one.

It is no hash of Qiskit's QPY bytes: an expression of several parameters keeps there the identities
of all parameters that it went through, and these are drawn anew in every process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Operation, Parameter, ParameterExpression

__all__ = ["circuit_fingerprint"]

_PROBES = 2
"""Values of its parameters at which an expression is compared."""
_DIGITS = 10
"""Digits of the result that count: two ways to write an expression round differently."""


def circuit_fingerprint(circuit: QuantumCircuit) -> str:
    """Return the SHA-256 of a circuit's instructions, parameters by name, as 64 hex digits.

    Circuits with equal fingerprints have the same gates on the same qubits, with parameters of the
    same names; expressions of parameters are compared by their values. Names of the circuit and of its
    registers do not count.

    Args:
        circuit: A circuit of gates, barriers, measurements and resets; what else there is counts by
            its definition.

    >>> from qiskit.circuit import Parameter
    >>> circuits = []
    >>> for _ in range(2):  # parameters of the same names are other parameters
    ...     a, b, circuit = Parameter("a"), Parameter("b"), QuantumCircuit(1)
    ...     circuits.append(circuit)
    ...     _ = circuit.rx(a + 2 * b, 0)
    >>> circuit_fingerprint(circuits[0]) == circuit_fingerprint(circuits[1])
    True
    """
    digest = hashlib.sha256()
    for part in _parts(circuit):
        digest.update(repr(part).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def _parts(circuit: QuantumCircuit) -> Iterator[object]:
    qubit = {bit: k for k, bit in enumerate(circuit.qubits)}
    clbit = {bit: k for k, bit in enumerate(circuit.clbits)}
    yield len(qubit), len(clbit), _number(circuit.global_phase)
    for item in circuit.data:
        bits = [qubit[bit] for bit in item.qubits], [clbit[bit] for bit in item.clbits]
        yield (*_of_operation(item.operation), *bits)


def _of_operation(operation: Operation) -> tuple[object, ...]:
    name: tuple[object, ...] = (
        operation.name,
        operation.num_qubits,
        getattr(operation, "ctrl_state", None),
    )
    operator = getattr(operation, "operator", None)
    if operator is not None and hasattr(operator, "to_list"):  # an evolution
        name = (*name, operator.to_list())
    params = [_number(each) for each in getattr(operation, "params", [])]
    kind = getattr(operation, "base_class", type(operation))
    standard = (kind.__module__ or "").startswith("qiskit.circuit.library.")
    definition = None if standard else getattr(operation, "definition", None)
    inside = () if definition is None else tuple(_parts(definition))
    return (*name, params, getattr(operation, "label", None), inside)


def _number(value: Any) -> object:
    if isinstance(value, Parameter):
        return value.name
    if isinstance(value, ParameterExpression) and value.parameters:
        names = sorted(each.name for each in value.parameters)
        return names, [_at(value, probe) for probe in range(_PROBES)]
    if isinstance(value, ParameterExpression):
        value = value.numeric()
    if isinstance(value, np.ndarray):
        return value.shape, np.ascontiguousarray(value, dtype="<c16").tobytes()
    if isinstance(value, int | float | complex | np.number):
        return complex(value)
    return repr(value)


def _at(expression: ParameterExpression, probe: int) -> str:
    values = {each: _probe(each.name, probe) for each in expression.parameters}
    found = complex(expression.bind(values).numeric())
    return f"{found.real:.{_DIGITS}e} {found.imag:.{_DIGITS}e}"


def _probe(name: str, probe: int) -> float:
    """Return a value in (0, 1) that follows from a parameter's name."""
    drawn = hashlib.sha256(f"{probe} {name}".encode()).digest()
    return (int.from_bytes(drawn[:6], "big") + 0.5) / 2**48
