"""Circuits that the primitives have seen: compiled once, found again by their structure."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, Measure, Parameter, ParameterVectorElement
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor

from ...errors import InvalidData, InvalidOption, UnsupportedCircuit
from ..compile import compile_circuit
from ..evolution.pauli_readout import TABLE_BYTES, ObservableTable
from ..evolution.pauli_values import strings_of
from ..program import CircuitProgram
from .circuit_key import structure_key

__all__ = [
    "MAX_OUTCOME_QUBITS",
    "TABLE_ENTRIES",
    "BoundRows",
    "CircuitCache",
    "CompiledCircuit",
    "check_finite",
    "measured_outcomes",
    "measurements",
]

TABLE_ENTRIES = 2**21
"""Largest table of observables, in numbers; more observables are read out in several tables."""

MAX_OUTCOME_QUBITS = 26
"""Qubits above which a list of all basis states would take more than 512 MiB."""


@dataclass(frozen=True)
class BoundRows:
    """Parameter values as the engine takes them: columns that differ, and those that are shared."""

    program: CircuitProgram
    inputs: Tensor
    """``(rows, len(columns))``."""
    weights: Tensor
    """``(parameters - len(columns),)``."""
    columns: tuple[int, ...]
    """The circuit's parameters, by position, that are inputs; all others are weights."""

    def statevector(self, rows: slice | Tensor) -> Tensor:
        """Return the final states ``(rows, 2**n)`` of a slice of rows, or of other inputs."""
        inputs = self.inputs[rows] if isinstance(rows, slice) else rows
        if not self.columns:
            state = self.program.statevector(None, self.weights)
            return state.expand(len(inputs), -1)
        return self.program.statevector(inputs, self.weights)


class CompiledCircuit:
    """A circuit with its programs, one for each set of parameters that differ between rows.

    Args:
        circuit: Bits and measurements are copied. Gates are not kept: whoever made them may change
            them, so that each program is compiled from the circuit at hand.
        kept: Objects whose identity the key of this circuit holds; kept alive.
    """

    def __init__(self, circuit: QuantumCircuit, kept: Sequence[object] = ()) -> None:
        self.num_qubits, self.num_clbits = circuit.num_qubits, circuit.num_clbits
        self.parameters: tuple[Parameter, ...] = tuple(circuit.parameters)
        self._measured = _without_gates(circuit)
        self._kept = list(kept)
        self._varying: frozenset[int] = frozenset()
        self._programs: OrderedDict[tuple[int, ...], CircuitProgram] = OrderedDict()
        self._tables: OrderedDict[tuple[Hashable, ...], list[ObservableTable]] = OrderedDict()
        self._lock = threading.RLock()

    @cached_property
    def outcomes(self) -> np.ndarray:
        """Integers of :func:`measured_outcomes`."""
        return measured_outcomes(self._measured)

    def bind(
        self,
        circuit: QuantumCircuit,
        values: np.ndarray,
        dtype: torch.dtype,
        device: torch.device,
        differentiated: Sequence[int] = (),
    ) -> BoundRows:
        """Choose inputs and weights for these values, and the program that fits.

        Columns that hold one value in all rows become weights, which the engine folds. A column that
        once differed stays an input, with the whole vector it belongs to: otherwise pixels that
        happen to be constant in a batch would cost a compilation.

        Args:
            circuit: The one for which this was found, not changed since then.
            values: ``(rows, parameters)``, finite.
            dtype, device: Of the tensors.
            differentiated: Columns that must be inputs in any case.
        """
        with self._lock:
            if len(values) > 1:
                differs = frozenset(np.flatnonzero((values != values[0]).any(axis=0)).tolist())
                if self._varying and not differs <= self._varying:
                    differs = self._whole_vectors(differs)
                self._varying |= differs
            columns = tuple(sorted(self._varying.union(differentiated)))
            program = self._program(circuit, columns)
        shared = [column for column in range(len(self.parameters)) if column not in columns]
        tensor = torch.as_tensor(values, dtype=dtype, device=device)
        first = tensor[0] if len(tensor) else tensor.new_zeros(len(self.parameters))
        return BoundRows(program, tensor[:, list(columns)], first[shared], columns)

    def _whole_vectors(self, columns: frozenset[int]) -> frozenset[int]:
        chosen = {self.parameters[column] for column in columns}
        vectors = {p.vector.name for p in chosen if isinstance(p, ParameterVectorElement)}
        return frozenset(
            column
            for column, p in enumerate(self.parameters)
            if p in chosen or (isinstance(p, ParameterVectorElement) and p.vector.name in vectors)
        )

    def _program(self, circuit: QuantumCircuit, columns: tuple[int, ...]) -> CircuitProgram:
        if columns not in self._programs:
            inputs = [self.parameters[column] for column in columns]
            chosen = set(inputs)
            weights = [p for p in self.parameters if p not in chosen]
            self._programs[columns] = compile_circuit(_own_copy(circuit), inputs, weights)
            if len(self._programs) > 8:
                self._programs.popitem(last=False)
        self._programs.move_to_end(columns)
        return self._programs[columns]

    def tables(
        self, observables: Sequence[SparsePauliOp], keys: Sequence[Hashable]
    ) -> list[ObservableTable]:
        """Return the tables that read these observables, in their order.

        Args:
            observables: On all qubits of the circuit.
            keys: Keys of their contents, from :func:`observable_key`.
        """
        with self._lock:
            key = tuple(keys)
            if key not in self._tables:
                self._tables[key] = _tables(observables, self.num_qubits)
                if len(self._tables) > 16:
                    self._tables.popitem(last=False)
            self._tables.move_to_end(key)
            return self._tables[key]


class CircuitCache:
    """Compiled circuits by structure; the least recently used one leaves first.

    Args:
        size: Number of circuits, at least 1.

    Raises:
        InvalidOption: If ``size`` is below 1.
    """

    def __init__(self, size: int = 64) -> None:
        if size < 1:
            raise InvalidOption(f"size is at least 1 circuit, got {size}.")
        self.size = size
        self._entries: OrderedDict[Hashable, CompiledCircuit] = OrderedDict()
        self._lock = threading.RLock()

    def __reduce__(self) -> tuple[type[CircuitCache], tuple[int]]:
        """Return the parts of a copy: without circuits, which it compiles for itself."""
        return CircuitCache, (self.size,)

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, circuit: QuantumCircuit) -> CompiledCircuit:
        """Return the compiled circuit; equal circuits share it, changed ones do not."""
        key, kept = structure_key(circuit)
        if key is None:
            return CompiledCircuit(circuit)
        with self._lock:
            if key not in self._entries:
                self._entries[key] = CompiledCircuit(circuit, kept)
                if len(self._entries) > self.size:
                    self._entries.popitem(last=False)
            self._entries.move_to_end(key)
            return self._entries[key]


def _tables(observables: Sequence[SparsePauliOp], num_qubits: int) -> list[ObservableTable]:
    """Return tables of a size that pays, or a single one that keeps no numbers."""
    # A table has a row for each observable under each pattern of bits that one flips.
    size = max(1, int((TABLE_ENTRIES / 2**num_qubits) ** 0.5))
    parts = [observables[start : start + size] for start in range(0, len(observables), size)]
    needed = sum(ObservableTable.bytes_of(strings_of(part), num_qubits) for part in parts)
    if needed > TABLE_BYTES:
        return [ObservableTable(observables)]
    return [ObservableTable(part) for part in parts]


def _own_copy(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a copy to compile: Qiskit writes definitions into gates, as if they changed."""
    try:
        return copy.deepcopy(circuit)
    except Exception:  # of a user's own gate: then its circuit is compiled once more
        return circuit


def _without_gates(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit without the gates that use no classical bits."""
    bare = circuit.copy_empty_like()
    for item in circuit.data:
        if item.clbits:
            bare.append(item)
    return bare


def measurements(circuit: QuantumCircuit) -> dict[int, int]:
    """Return, by classical bit, the qubit that is measured into it last.

    Raises:
        UnsupportedCircuit: If an instruction other than a measurement writes classical bits.
    """
    found = {}
    for item in circuit.data:
        if isinstance(item.operation, Measure):
            found[circuit.find_bit(item.clbits[0]).index] = circuit.find_bit(item.qubits[0]).index
        elif item.clbits and not isinstance(item.operation, Barrier):
            raise UnsupportedCircuit(
                "EngineSampler reads measurements at the end of the circuit, and "
                f"'{item.operation.name}' uses classical bits; decompose it, or use Aer."
            )
    return found


def measured_outcomes(circuit: QuantumCircuit) -> np.ndarray:
    """Return the integer that each basis state writes into the classical bits.

    SamplerQNN reads the same: the register ``meas`` where there is one, else all registers joined,
    the first one least significant.

    Args:
        circuit: Circuit with measurements at the end, or without classical bits, as if all were
            measured.

    Returns:
        ``(2**num_qubits,)`` integers.

    Raises:
        UnsupportedCircuit: If nothing is measured, more than 62 bits are read, or there are more
            than 26 qubits.
    """
    if circuit.num_qubits > MAX_OUTCOME_QUBITS:
        raise UnsupportedCircuit(
            f"All outcomes are listed for at most {MAX_OUTCOME_QUBITS} qubits, got "
            f"{circuit.num_qubits}; take fewer qubits, or sample."
        )
    basis = np.arange(2**circuit.num_qubits)
    if not circuit.num_clbits:
        return basis
    named = [register for register in circuit.cregs if register.name == "meas"]
    bits = [circuit.find_bit(bit).index for each in named or circuit.cregs for bit in each]
    wires = measurements(circuit)
    if not any(bit in wires for bit in bits) or len(bits) > 62:
        raise UnsupportedCircuit(
            "A sampled circuit measures qubits into a register 'meas', or into registers of at most "
            f"62 bits together, got {len(wires)} measurements and {len(bits)} bits read; "
            "call measure_all()."
        )
    outcomes = np.zeros_like(basis)
    for place, bit in enumerate(bits):
        if bit in wires:
            outcomes |= ((basis >> wires[bit]) & 1) << place
    return outcomes


def check_finite(values: np.ndarray) -> None:
    """Refuse NaN and infinity.

    Raises:
        InvalidData: If there is one.
    """
    if not np.isfinite(values).all():
        raise InvalidData("Parameter values must be finite, got NaN or infinity.")
