"""Key of all that decides a circuit's outcome: Qiskit changes gates and definitions in place.

Everything stands in the key by its content: parameters, matrices, definitions, modifiers, registers.
Only functions and classes stand there by identity.
"""

from __future__ import annotations

import copyreg
import hashlib
from collections.abc import Hashable, Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, Delay, Measure, ParameterExpression, Reset

__all__ = [
    "LONG_ARRAY",
    "structure_key",
]

LONG_ARRAY = 2**10
"""Bytes above which an array stands in a key by its hash."""

_BUILT_IN = (Barrier, Delay, Measure, Reset)
_PLAIN = frozenset((bool, int, float, complex, str, bytes, type(None)))
_BY_IDENTITY = (type, FunctionType, BuiltinFunctionType, ModuleType)


def structure_key(circuit: QuantumCircuit) -> tuple[Hashable | None, list[Any]]:
    """Return all that decides a circuit's outcome, as a key.

    Equal circuits have equal keys, however they were built; a circuit that was changed in place has
    another one than before. Labels, metadata and names of circuits do not count.

    Returns:
        The key, or None if an operation cannot be looked into; and the objects that it holds by
        their identity, to be kept alive.
    """
    contents = _Contents()
    try:
        # Expressions are equal and parameters are not where one has cancelled (a - a + b).
        key = (contents.circuit(circuit), frozenset(circuit.parameters))
    except _Opaque:
        return None, []
    return key, list(contents.kept.values())


class _Opaque(Exception):
    """An object that says nothing about its content."""


class _Hashed:
    """Content that occurs several times in a key: hashed once."""

    __slots__ = ("_hash", "_value")

    def __init__(self, value: Hashable) -> None:
        self._value = value
        self._hash = hash(value)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, _Hashed) and self._value == other._value)


class _Contents:
    """Contents of the objects of one circuit; each object is looked into once."""

    def __init__(self) -> None:
        self.kept: dict[int, Any] = {}
        """Objects whose identity is their content, by id."""
        self._known: dict[int, tuple[Any, Hashable]] = {}
        """Objects and contents, by id; held, so that no id is given away meanwhile."""

    def circuit(self, circuit: QuantumCircuit) -> Hashable:
        """Return the gates, by name where Qiskit defines them, by their content elsewhere."""
        bits = [*circuit.qubits, *circuit.clbits]
        index = dict(zip(bits, range(len(bits)), strict=True)).__getitem__
        rows: list[Hashable] = []
        for item in circuit.data:
            where = (*map(index, item.qubits), *map(index, item.clbits))
            if item.is_standard_gate():
                rows.append((item.name, *item.params, where))
            elif getattr(item.operation, "base_class", None) in _BUILT_IN:
                rows.append((item.name, where))
            else:
                rows.append((self.of(item.operation), where))
        registers = tuple(
            (register.name, tuple(map(index, register))) for register in circuit.cregs
        )
        phase = circuit.global_phase
        return (len(circuit.qubits), len(circuit.clbits), registers, phase, tuple(rows))

    def of(self, value: Any) -> Hashable:
        """Return the content of any object."""
        kind = type(value)
        if kind in _PLAIN:
            return value if kind is str else (kind, value)
        if isinstance(value, ParameterExpression):
            return value
        if isinstance(value, _BY_IDENTITY):
            self.kept[id(value)] = value
            return ("is", id(value))
        if id(value) not in self._known:
            place = len(self._known)
            self._known[id(value)] = (value, ("again", place))  # for objects that hold themselves
            self._known[id(value)] = (value, _Hashed((kind, self._inside(value))))
        return self._known[id(value)][1]

    def _inside(self, value: Any) -> Hashable:
        if type(value) is np.ndarray and value.dtype != object:
            return _array(value)
        if isinstance(value, QuantumCircuit):
            return self.circuit(value)
        if type(value) in (list, tuple):
            return tuple(map(self.of, value))
        if type(value) in (set, frozenset):
            return frozenset(map(self.of, value))
        if type(value) is dict:
            return (*map(self.of, value), *map(self.of, value.values()))
        return self._state(value)

    def _state(self, value: Any) -> Hashable:
        """Return the class and state that pickle would write, of which an equal object is made."""
        try:
            parts = value.__reduce_ex__(4)
        except Exception as error:  # any class may say in its own way that it does not
            raise _Opaque from error
        if isinstance(parts, str):  # the name of a global
            return parts
        function, arguments, *rest = parts
        made = tuple(map(self.of, arguments))
        if function is not copyreg.__newobj__:  # type: ignore[attr-defined] # the usual one
            made = (self.of(function), *made)
        return made + tuple(
            tuple(map(self.of, part)) if isinstance(part, Iterator) else self.of(part)
            for part in rest
            if part is not None
        )


def _array(value: np.ndarray) -> Hashable:
    data = value.tobytes()
    if len(data) > LONG_ARRAY:
        data = hashlib.blake2b(data, digest_size=32).digest()
    return (value.dtype.str, value.shape, data)
