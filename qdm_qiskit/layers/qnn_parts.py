"""Parts of a QNN that a user already has: its circuit, its readout and its outputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from qiskit_machine_learning.circuit.library.raw_feature_vector import ParameterizedInitialize
from qiskit_machine_learning.neural_networks import EstimatorQNN, SamplerQNN

from ..circuits.readouts import ExpectationReadout
from ..circuits.spec import CircuitSpec
from ..engine.lowering.pauli_sums import as_pauli_sum, as_sparse_observable
from ..engine.primitives.circuit_cache import MAX_OUTCOME_QUBITS, measured_outcomes
from ..errors import InvalidData, UnsupportedCircuit
from ..transpiling.compact import compact
from .qnn_outputs import OutputTable

__all__ = [
    "MAX_COEFFICIENT_ROUNDING",
    "QnnParts",
    "output_places",
    "qnn_parts",
]

_INTEGERS = (int, np.integer)
MAX_COEFFICIENT_ROUNDING = 1e-10
"""Imaginary part of a coefficient, beside the largest one, that is taken for rounding."""


@dataclass(frozen=True, eq=False, kw_only=True)
class QnnParts:
    """Parts of an EstimatorQNN or SamplerQNN; it can be pickled, as a SamplerQNN cannot."""

    circuit: QuantumCircuit
    """Circuit as the QNN holds it; of a transpiled one only the qubits that matter."""
    inputs: tuple[Parameter, ...]
    """Parameters in the order of the QNN's inputs."""
    weights: tuple[Parameter, ...]
    """Parameters in the order of its weights."""
    observables: tuple[SparsePauliOp, ...]
    """Observables on the circuit's qubits; empty where it samples."""
    read: tuple[int, ...] | None
    """Qubits that are sampled, least significant first; None where the circuit's measurements say."""
    places: np.ndarray | None
    """Place of each outcome in the flat output, -1 for those that the QNN drops; None of
    expectation values. Of a circuit with measurements, an outcome is a basis state of its qubits."""
    output_shape: tuple[int, ...]
    """Shape of the output of one row."""

    @cached_property
    def spec(self) -> CircuitSpec:
        """Return the circuit with its roles, as calls take it.

        Raises:
            InvalidTemplate: If the circuit holds what is no gate, or measures before its end.
        """
        readout: Any = self.read
        if self.observables:
            readout = ExpectationReadout(observables=self.observables)
        return CircuitSpec.from_circuit(
            self.circuit,
            inputs=self.inputs,
            weights=self.weights,
            readout=readout,
            source="a QNN of qiskit-machine-learning",
        )

    @cached_property
    def outcome_places(self) -> np.ndarray:
        """Place of each outcome of the spec's readout in the flat output; -1 of dropped ones."""
        assert self.places is not None
        if self.read is not None:
            return self.places
        qubits = self.spec.readout.qubits  # type: ignore[union-attr] # a sampled circuit's readout
        outcome = np.arange(1 << len(qubits))
        state = np.zeros_like(outcome)
        for bit, qubit in enumerate(qubits):
            state |= ((outcome >> bit) & 1) << qubit
        return self.places[state]

    def outputs(self, probabilities: np.ndarray) -> np.ndarray:
        """Add probabilities up to the QNN's outputs.

        Args:
            probabilities: ``(rows, outcomes)`` of the spec's readout.

        Returns:
            ``(rows, number of outputs)``.
        """
        return self.table.added(probabilities)

    @property
    def table(self) -> OutputTable:
        """Table of the output that each outcome adds to."""
        places = None if self.observables else self.outcome_places
        return OutputTable(spec=self.spec, places=places, shape=self.output_shape)


def qnn_parts(qnn: Any, what: str) -> QnnParts:
    """Return the parts of a QNN.

    Args:
        qnn: It is read and not changed; what is changed of it later does not matter.
        what: Name of the caller, for messages, such as ``run_qnn``.

    Raises:
        UnsupportedCircuit: If it is of another class (or a subclass, which may compute anything), or
            sparse, takes amplitudes, or reads the wrong bits of a transpiled circuit.
        InvalidData: If an observable is not Hermitian, or of another size than the circuit, or
            ``interpret`` leaves ``output_shape``.
    """
    if type(qnn) not in (EstimatorQNN, SamplerQNN):
        raise UnsupportedCircuit(
            f"{what} takes an EstimatorQNN or a SamplerQNN itself, got {type(qnn).__name__}; use "
            "TorchConnector for others."
        )
    circuit = qnn.circuit.copy()
    for item in circuit.data:
        if isinstance(item.operation, ParameterizedInitialize):
            raise UnsupportedCircuit(
                f"{what} takes angles, and the circuit holds a raw_feature_vector, whose parameters "
                "are amplitudes; a QuantumLayer of a spec with encoding='amplitude' takes these."
            )
    roles: dict[str, Any] = {
        "inputs": tuple(qnn.input_params or ()),
        "weights": tuple(qnn.weight_params or ()),
        "output_shape": tuple(int(each) for each in qnn.output_shape),
    }
    if type(qnn) is EstimatorQNN:
        return _estimated(qnn, circuit, roles)
    if qnn.sparse:
        raise UnsupportedCircuit(
            f"{what} gives dense outputs, got a SamplerQNN with sparse=True; build it with "
            "sparse=False."
        )
    return _sampled(qnn, circuit, roles, what)


def _estimated(qnn: EstimatorQNN, circuit: QuantumCircuit, roles: dict[str, Any]) -> QnnParts:
    observables = [_real(as_pauli_sum(as_sparse_observable(each))) for each in qnn.observables]
    wrong = [each.num_qubits for each in observables if each.num_qubits != circuit.num_qubits]
    if wrong:
        raise InvalidData(
            f"Observables act on all {circuit.num_qubits} qubits of the circuit, got one on {wrong[0]}."
        )
    if circuit.layout is not None:
        circuit, _, observables = compact(circuit, observables)
    return QnnParts(
        circuit=circuit, observables=tuple(observables), read=None, places=None, **roles
    )


def _real(observable: SparsePauliOp) -> SparsePauliOp:
    """Drop the rounding error in the imaginary part, as of a matrix that was decomposed."""
    coefficients = np.asarray(observable.coeffs, dtype=np.complex128)
    largest = float(np.abs(coefficients).max(initial=0.0))
    if np.abs(coefficients.imag).max(initial=0.0) > MAX_COEFFICIENT_ROUNDING * max(1.0, largest):
        raise InvalidData(
            f"An observable is Hermitian, with real coefficients, got {observable.to_list()[:3]}."
        )
    return SparsePauliOp(observable.paulis, coefficients.real)


def _sampled(
    qnn: SamplerQNN, circuit: QuantumCircuit, roles: dict[str, Any], what: str
) -> QnnParts:
    read: tuple[int, ...] | None = None
    if circuit.layout is not None:
        if circuit.num_clbits:
            raise UnsupportedCircuit(
                f"{what} got a SamplerQNN whose circuit was measured and then transpiled: it takes the "
                "numbers of physical qubits for those of classical bits; build it with the circuit "
                "before transpiling."
            )
        where = [int(q) for q in circuit.layout.final_index_layout(filter_ancillas=True)]
        circuit, kept, _ = compact(circuit, also=where)
        read = tuple(kept.index(q) for q in where)
    elif not circuit.num_clbits:
        read = tuple(range(circuit.num_qubits))
    if read is not None and len(read) > MAX_OUTCOME_QUBITS:
        raise UnsupportedCircuit(
            f"All outcomes are listed for at most {MAX_OUTCOME_QUBITS} qubits, got {len(read)}; take "
            "fewer qubits."
        )
    outcomes = measured_outcomes(circuit) if read is None else np.arange(1 << len(read))
    places = output_places(qnn, outcomes)
    return QnnParts(circuit=circuit, observables=(), read=read, places=places, **roles)


def output_places(qnn: SamplerQNN, outcomes: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return for each outcome its place in the flat output, -1 for those that SamplerQNN drops.

    Raises:
        InvalidData: If ``interpret`` leaves ``output_shape``.
    """
    shape = tuple(qnn.output_shape)
    places = {}
    for outcome in np.unique(outcomes).tolist():
        if outcome >= 2**qnn.num_virtual_qubits:
            places[outcome] = -1
            continue
        raw: Any = qnn.interpret(outcome) if qnn.interpret else outcome
        key = (raw,) if isinstance(raw, _INTEGERS) else tuple(cast(Iterable[int], raw))
        fits = len(key) == len(shape) and all(
            isinstance(each, _INTEGERS) and -size <= each < size
            for each, size in zip(key, shape, strict=True)
        )
        if not fits:
            raise InvalidData(
                f"interpret gives an index into output_shape {shape}, got {raw!r} for {outcome}."
            )
        wrapped = [int(each) % size for each, size in zip(key, shape, strict=True)]
        places[outcome] = int(np.ravel_multi_index(wrapped, shape))
    return np.array([places[outcome] for outcome in np.asarray(outcomes).tolist()])
