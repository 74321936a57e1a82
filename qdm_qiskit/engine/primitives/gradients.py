"""Exact gradients for qiskit-machine-learning: an unmodified QNN trains on the engine.

``EstimatorQNN(estimator=estimator, gradient=EngineEstimatorGradient(estimator), ...)``. These
classes compute the whole Jacobian of each sample, which that library asks for.
``QuantumLayer.from_qnn`` is faster where only its product with a cotangent is needed, as in
training.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.providers import Options
from qiskit_machine_learning.gradients import (
    BaseEstimatorGradient,
    BaseSamplerGradient,
    EstimatorGradientResult,
    SamplerGradientResult,
)

from ...errors import InvalidData, InvalidOption, UnsupportedCircuit
from ..lowering.parameters import namesakes
from ..lowering.pauli_sums import as_pauli_sum, as_sparse_observable, observable_key
from .batches import CHUNK, row_slices
from .circuit_cache import CompiledCircuit, check_finite
from .jacobians import reverse_jacobian, state_tangents
from .primitives import EngineEstimator, EngineSampler

__all__ = [
    "EngineEstimatorGradient",
    "EngineSamplerGradient",
]


class EngineEstimatorGradient(BaseEstimatorGradient):
    """Derivatives of expectation values, exact up to rounding.

    Args:
        estimator: Estimator whose compiled circuits, dtype and device are used; a new one if None.

    Raises:
        InvalidOption: If the estimator is another one: its noise or device would be ignored.
    """

    def __init__(self, estimator: EngineEstimator | None = None) -> None:
        estimator = EngineEstimator() if estimator is None else estimator
        if not isinstance(estimator, EngineEstimator):
            raise InvalidOption(
                "estimator is an EngineEstimator, got "
                f"{type(estimator).__name__}; use ParamShiftEstimatorGradient for other primitives."
            )
        super().__init__(estimator)

    @staticmethod
    def _validate_arguments(
        circuits: Sequence[QuantumCircuit],
        observables: Sequence[Any],
        parameter_values: Sequence[Sequence[float]] | np.ndarray,
        parameters: Sequence[Sequence[Parameter]],
    ) -> None:
        _check_lengths(circuits, parameter_values, parameters)
        if len(observables) != len(circuits):
            raise InvalidData(
                f"There is one observable for each circuit, got {len(observables)} observables for "
                f"{len(circuits)} circuits."
            )
        pairs = {(id(c), id(o)): (c, o) for c, o in zip(circuits, observables, strict=True)}
        for circuit, observable in pairs.values():
            if circuit.num_qubits != observable.num_qubits:
                raise InvalidData(
                    f"Observables act on all {circuit.num_qubits} qubits of circuit "
                    f"'{circuit.name}', got one on {observable.num_qubits}."
                )

    def _run(
        self,
        circuits: Sequence[QuantumCircuit],
        observables: Sequence[Any],
        parameter_values: Sequence[Sequence[float]] | np.ndarray,
        parameters: Sequence[Sequence[Parameter]],
        **options: Any,
    ) -> EstimatorGradientResult:
        estimator: EngineEstimator = self._estimator
        sums: dict[int, tuple[Hashable, Any]] = {}
        for observable in observables:
            if id(observable) not in sums:
                sparse = as_sparse_observable(observable)
                sums[id(observable)] = (observable_key(sparse), sparse)
        gradients: list[np.ndarray] = [np.zeros(0)] * len(circuits)
        for group in _groups(estimator, circuits, parameter_values, parameters):
            # Observables that are wanted of the same rows are read from the same states.
            wanted: dict[Hashable, dict[int, list[int]]] = {}
            known: dict[Hashable, Any] = {}
            for member in group.members:
                key, sparse = sums[id(observables[member])]
                known[key] = sparse
                wanted.setdefault(key, {}).setdefault(group.row[member], []).append(member)
            together: dict[tuple[int, ...], list[Hashable]] = {}
            for key, rows in wanted.items():
                together.setdefault(tuple(rows), []).append(key)
            for rows_, keys in together.items():
                jacobian = _expectation_jacobian(estimator, group, rows_, keys, known)
                for column, key in enumerate(keys):
                    for place, row in enumerate(rows_):
                        for member in wanted[key][row]:
                            gradients[member] = jacobian[place, column]
        return EstimatorGradientResult(
            gradients=gradients,
            metadata=[{"parameters": each} for each in parameters],
            options=Options(**options),
        )


class EngineSamplerGradient(BaseSamplerGradient):
    """Derivatives of outcome probabilities, exact up to rounding.

    Outcomes are the integers of the register ``meas``, or of all registers joined (the first least
    significant), as SamplerQNN reads them. Outcomes of ``2**num_qubits`` and above are left out, as
    in Qiskit's parameter shift (SamplerQNN has no place for them), and so are derivatives that are
    exactly 0.

    Args:
        sampler: Sampler whose compiled circuits, dtype and device are used; a new one if None.

    Raises:
        InvalidOption: If the sampler is another one: its noise or device would be ignored.
    """

    def __init__(self, sampler: EngineSampler | None = None) -> None:
        sampler = EngineSampler() if sampler is None else sampler
        if not isinstance(sampler, EngineSampler):
            raise InvalidOption(
                "sampler is an EngineSampler, got "
                f"{type(sampler).__name__}; use ParamShiftSamplerGradient for other primitives."
            )
        super().__init__(sampler)

    @staticmethod
    def _validate_arguments(
        circuits: Sequence[QuantumCircuit],
        parameter_values: Sequence[Sequence[float]],
        parameters: Sequence[Sequence[Parameter]],
    ) -> None:
        _check_lengths(circuits, parameter_values, parameters)

    def _run(
        self,
        circuits: Sequence[QuantumCircuit],
        parameter_values: Sequence[Sequence[float]],
        parameters: Sequence[Sequence[Parameter]],
        **options: Any,
    ) -> SamplerGradientResult:
        sampler: EngineSampler = self._sampler
        gradients: list[list[dict[int, float]]] = [[] for _ in circuits]
        for group in _groups(sampler, circuits, parameter_values, parameters):
            if not group.compiled.num_clbits:
                raise UnsupportedCircuit(
                    "EngineSamplerGradient needs a circuit with measurements; call measure_all()."
                )
            outcomes, place = np.unique(group.compiled.outcomes, return_inverse=True)
            keys = outcomes[outcomes < 2**group.compiled.num_qubits].tolist()
            jacobian = _probability_jacobian(sampler, group, place, len(outcomes))
            for member in group.members:
                rows = jacobian[group.row[member], :, : len(keys)].tolist()  # keys are sorted
                gradients[member] = [
                    {key: value for key, value in zip(keys, row, strict=True) if value}
                    for row in rows
                ]
        return SamplerGradientResult(
            gradients=gradients,
            metadata=[[{"parameters": each}] for each in parameters],
            options=Options(**options),
        )


@dataclass
class _Group:
    """Requests for one circuit and one choice of parameters; equal rows are computed once."""

    compiled: CompiledCircuit
    circuit: QuantumCircuit
    columns: list[int]
    """Positions of the parameters to differentiate in, in the order asked for."""
    members: list[int] = field(default_factory=list)
    row: dict[int, int] = field(default_factory=dict)
    """Row of values of each request."""
    rows: dict[bytes, int] = field(default_factory=dict)
    values: list[np.ndarray] = field(default_factory=list)

    def add(self, member: int, values: np.ndarray) -> None:
        self.members.append(member)
        key = values.tobytes()
        if key not in self.rows:
            self.rows[key] = len(self.rows)
            self.values.append(values)
        self.row[member] = self.rows[key]


def _groups(
    primitive: EngineEstimator | EngineSampler,
    circuits: Sequence[QuantumCircuit],
    parameter_values: Sequence[Sequence[float]] | np.ndarray,
    parameters: Sequence[Sequence[Parameter]],
) -> list[_Group]:
    compiled: dict[int, CompiledCircuit] = {}
    groups: dict[Hashable, _Group] = {}
    for member, circuit in enumerate(circuits):
        if id(circuit) not in compiled:
            compiled[id(circuit)] = primitive.cache.find(circuit)
        entry = compiled[id(circuit)]
        key = (id(entry), tuple(parameters[member]))
        if key not in groups:
            groups[key] = _Group(entry, circuit, [entry.parameters.index(p) for p in key[1]])
        values = np.ascontiguousarray(parameter_values[member], dtype=float)
        groups[key].add(member, values)
    for group in groups.values():
        check_finite(np.stack(group.values))
    return list(groups.values())


def _expectation_jacobian(
    estimator: EngineEstimator,
    group: _Group,
    rows: tuple[int, ...],
    keys: list[Hashable],
    known: dict[Hashable, Any],
) -> np.ndarray:
    """Return ``(rows, observables, columns)``; all observables are read from the same states."""
    values = np.stack([group.values[row] for row in rows])
    sums = [as_pauli_sum(known[key]) for key in keys]
    if not group.columns:
        return np.zeros((len(rows), len(keys), 0))

    def expectations(states: torch.Tensor) -> torch.Tensor:
        tables = group.compiled.tables(sums, keys)  # built once, when the states have fitted
        return torch.cat([table.evaluate(states.t()) for table in tables]).t()

    bound = group.compiled.bind(
        group.circuit, values, estimator.dtype, estimator.device, group.columns
    )
    found = reverse_jacobian(bound, expectations, len(sums))
    places = [bound.columns.index(column) for column in group.columns]
    return found[:, :, places].cpu().numpy()


def _probability_jacobian(
    sampler: EngineSampler, group: _Group, place: np.ndarray, num_outcomes: int
) -> np.ndarray:
    """Return ``(rows, columns, outcomes)``: 2 Re(conj(psi) d psi), summed over basis states."""
    values = np.stack(group.values)
    bound = group.compiled.bind(group.circuit, values, sampler.dtype, sampler.device)
    shared = [c for c in range(len(group.compiled.parameters)) if c not in bound.columns]
    ahead = [bound.columns.index(c) for c in group.columns if c in bound.columns]
    aside = [shared.index(c) for c in group.columns if c not in bound.columns]
    # state_tangents gives inputs first, then weights; back to the order that was asked for.
    given = [c for c in group.columns if c in bound.columns]
    given += [c for c in group.columns if c not in bound.columns]
    order = [given.index(column) for column in group.columns]
    index = torch.as_tensor(place, device=sampler.device)
    found = np.zeros((len(values), len(group.columns), num_outcomes))
    size = CHUNK // max(1, len(group.columns))
    for part in row_slices(len(values), bound.program.num_qubits, size):
        inputs = bound.inputs[part] if bound.columns else None
        psi, tangents = state_tangents(
            bound.program, inputs, bound.weights, input_columns=ahead, weight_columns=aside
        )
        each = 2 * (psi.conj() * tangents).real
        summed = each.new_zeros(*each.shape[:2], num_outcomes).index_add_(2, index, each)
        found[part] = summed[order].transpose(0, 1).cpu().numpy()
    return found


def _check_lengths(
    circuits: Sequence[QuantumCircuit],
    parameter_values: Sequence[Sequence[float]] | np.ndarray,
    parameters: Sequence[Sequence[Parameter]],
) -> None:
    """Check lengths and parameters, once a circuit where the base classes do once a request."""
    if not len(circuits) == len(parameter_values) == len(parameters):
        raise InvalidData(
            "There are parameter values and parameters for each circuit, got "
            f"{len(parameter_values)} and {len(parameters)} for {len(circuits)} circuits."
        )
    present: dict[int, set[Parameter]] = {}
    for circuit, values, wanted in zip(circuits, parameter_values, parameters, strict=True):
        if id(circuit) not in present:
            present[id(circuit)] = set(circuit.parameters)
        own = present[id(circuit)]
        if not own or len(values) != len(own):
            raise InvalidData(
                f"Circuit '{circuit.name}' has {len(own)} parameters and needs as many values, at "
                f"least one, got {len(values)}."
            )
        if not own.issuperset(wanted):
            missing = [p.name for p in wanted if p not in own]
            hint = namesakes([p.name for p in own], missing)
            raise InvalidData(f"Parameters {missing} are not in circuit '{circuit.name}'.{hint}")
