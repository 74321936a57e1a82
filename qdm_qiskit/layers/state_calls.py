"""Layers of states whose circuits a target answers: amplitudes come back by tomography.

A layer's circuits are composed to one, its weights left free, and two more angles a qubit turn it into
the bases of :mod:`.mitigation.tomography`: one call, whose rows are all states in all settings. The
same circuit serves every time step, so it is transpiled once. A tomography of n qubits takes
``3 n + 2`` circuits of the call's shots for each state, of which the post-selection loses its share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, Protocol, final

import numpy as np
import torch
from qiskit.quantum_info import SparsePauliOp
from qiskit.synthesis import qs_decomposition
from torch import Tensor

from ..circuits.composition import Part, composed, referenced
from ..circuits.readouts import ExpectationReadout, ProbabilityReadout
from ..circuits.spec import CircuitSpec
from ..diffusion.states import unit_states
from ..errors import InvalidData
from ..execution.calls import CallResult, CircuitCall
from ..mitigation.tomography import (
    basis_angles,
    estimate_states,
    in_product_basis,
    tomography_settings,
)
from .arrays import to_exact_array
from .observables import AdaptiveObservables

if TYPE_CHECKING:
    from .state_layer import StateLayer

__all__ = ["Calling", "ObservableWay", "StateCalls"]

ObservableWay = Literal["eigenbasis", "paulis", "state"]
"""Way of measuring trained observables.

``eigenbasis``: a circuit for each, which ends in the unitary
that diagonalises it. ``paulis``: one call for expectation values of Pauli sums. ``state``: computed
from the state that tomography tells, which is biased by order 1/shots."""

KEPT_CIRCUITS = 256
"""Composed circuits that are kept: making one takes longer than running it."""


class Calling(Protocol):
    """Object that makes calls and has them answered; see :class:`.Caller`."""

    shots: int | None

    def call(
        self,
        name: str,
        spec: CircuitSpec,
        angles: Tensor,
        amplitudes: Tensor | None = None,
        inputs: Tensor | None = None,
    ) -> CircuitCall:
        """Make the next call of a layer."""
        ...

    def answer(self, calls: Sequence[CircuitCall]) -> list[CallResult]:
        """Ask for calls that do not depend on each other."""
        ...

    def note(self, name: str, errors: np.ndarray) -> None:
        """Tell standard errors ``(rows, values)`` of values that are made of answers."""
        ...


@final
class StateCalls:
    """Calls that ask a target for the states that some layers leave.

    Args:
        name: Path of the layer in its model.
        caller: Caller that makes the calls.
        observables: Way in which trained observables are measured.
    """

    def __init__(
        self, name: str, caller: Calling, observables: ObservableWay = "eigenbasis"
    ) -> None:
        self.name, self.caller, self.observables = name, caller, observables

    def states(
        self,
        layers: Sequence[StateLayer],
        states: Tensor,
        rows: Tensor,
        inputs: Tensor | None = None,
        *,
        phase: bool = False,
    ) -> Tensor:
        """Return normalised states behind layers that run as one circuit.

        Args:
            layers: One behind another; all but the first take no inputs.
            states: ``(batch, 2**n)`` of any non-zero norm, complex or real: a loader of real states
                has half the angles.
            rows: ``(batch,)`` int64: the row of the layers' tables for each state.
            inputs: ``(batch, num_inputs)`` or None.
            phase: Tell the global phase as well, for what does not commute with it. This takes one
                more qubit and controlled gates; see :func:`.composition.referenced`.

        Returns:
            ``(batch, 2**n)`` complex with norm 1; up to a global phase without ``phase``.

        Raises:
            InvalidData: If in some setting no shot of a state passed the post-selection.
        """
        amplitudes = unit_states(states)
        spec = _spec(layers, real=not amplitudes.is_complex())
        values = _values(layers, rows, inputs)
        if not phase:
            found, _ = self.told(spec, amplitudes, values)
            return _like(found, states)
        both, _ = self.told(_referenced(_Same(spec)), amplitudes, values, reference=True)
        before, after = np.split(both, 2, axis=1)
        given = to_exact_array(amplitudes)
        overlap = (given.conj() * before).sum(axis=1, keepdims=True)
        return unit_states(_like(after * overlap.conj(), states))

    def of_layer(
        self, spec: CircuitSpec, angles: Tensor, amplitudes: Tensor, inputs: Tensor | None
    ) -> Tensor:
        """Return the states that the post-selection leaves, not renormalised.

        Args:
            spec: A circuit of states.
            angles: ``(num_weights,)``.
            amplitudes: ``(batch, 2**n)`` complex with unit rows.
            inputs: ``(batch, num_inputs)`` or None.

        Returns:
            ``(batch, 2**n)`` complex, up to a global phase.
        """
        given = unit_states(amplitudes)
        one = _in_one(((_Same(spec), 1),), not given.is_complex(), False)
        weights = angles.detach().double().expand(len(given), -1)
        values = torch.cat([*([] if inputs is None else [inputs.double()]), weights], dim=1)
        found, kept = self.told(one, given, values)
        return torch.from_numpy(found * np.sqrt(kept)[:, None]).to(amplitudes)

    def told(
        self, spec: CircuitSpec, amplitudes: Tensor, values: Tensor, *, reference: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the states of the data qubits, and the shares of shots behind them.

        Args:
            spec: Reads its data qubits, without weights.
            amplitudes: ``(batch, 2**n)`` with unit rows.
            values: ``(batch, num_inputs)`` of the spec.
            reference: Whether a reference qubit behind the data qubits belongs to the state.

        Returns:
            ``(batch, 2**n)`` complex128 with unit rows, twice as long with the reference; and
            ``(batch,)``.
        """
        outputs = self._measured(spec, amplitudes, values, len(spec.data_qubits) + reference)
        kept = outputs.sum(axis=2)
        if (kept <= 0).any():
            row = int(np.nonzero(kept <= 0)[0][0])
            raise InvalidData(
                f"No shot of state {row} passed the post-selection of '{self.name}' in one of its "
                f"settings; raise shots above {self.caller.shots}."
            )
        return estimate_states(outputs, self._shots(kept)), kept.mean(axis=1)

    def branches(self, spec: CircuitSpec, states: Tensor, weights: Tensor) -> Tensor:
        """Return the states that each outcome of the ancillas leaves; see :class:`.BranchLayer`.

        Outcomes without a shot in one of the settings, which are rarer than one in a few shots, count
        as impossible.

        Raises:
            InvalidData: If that leaves no outcome of a state.
        """
        amplitudes = unit_states(states)
        whole = _in_one(((_Same(spec), 1),), not amplitudes.is_complex(), True)
        outputs = self._measured(whole, amplitudes, weights, len(whole.data_qubits))
        batch, settings, _ = outputs.shape
        joint = outputs.reshape(batch, settings, -1, spec.num_amplitudes).swapaxes(1, 2)
        kept = joint.sum(axis=3)
        possible = (kept > 0).all(axis=2)
        if not possible.any(axis=1).all():
            raise InvalidData(
                f"Each outcome of state {int(np.argmin(possible.any(axis=1)))} has no shot in one of "
                f"the {settings} settings of '{self.name}', so its state cannot be told; raise shots "
                f"above {self.caller.shots}."
            )
        weight = np.where(possible, kept.mean(axis=2), 0.0)
        weight /= weight.sum(axis=1, keepdims=True)
        found = np.zeros((batch, joint.shape[1], spec.num_amplitudes), dtype=np.complex128)
        found[possible] = estimate_states(joint[possible], self._shots(kept[possible]))
        return torch.from_numpy(found * np.sqrt(weight)[:, :, None]).to(states)

    def expectations(
        self,
        layers: Sequence[StateLayer],
        states: Tensor,
        rows: Tensor,
        observables: AdaptiveObservables,
    ) -> Tensor:
        """Return expectation values of trained observables behind layers that run as one circuit.

        Args:
            layers, states, rows: As for :meth:`states`.
            observables: On the layers' data qubits.

        Returns:
            ``(batch, K)`` real, in the precision of the states.

        Raises:
            InvalidData: If no shot of a state passed the post-selection.
        """
        if self.observables == "state":
            return observables(self.states(layers, states, rows))
        if self.observables == "paulis":
            if len(layers) > 1:  # expectation values know no post-selection
                states = self.states(layers[:-1], states, rows)
            return self._by_paulis(layers[-1:], states, rows, observables.pauli_decomposition())
        amplitudes = unit_states(states)
        values = _values(layers, rows, None)
        calls, spectra = [], []
        same = _Same(_spec(layers, real=not amplitudes.is_complex()))
        matrices = to_exact_array(observables.matrices())
        for number, (matrix, group) in enumerate(zip(matrices, observables.groups, strict=True)):
            spec, spectrum = _diagonalised(same, matrix.tobytes(), group)
            name = f"{self.name}.observable{number}"
            calls.append(self.caller.call(name, spec, torch.zeros(0), amplitudes, values))
            spectra.append(spectrum)
        columns: list[np.ndarray] = []
        errors: list[np.ndarray] = []
        for result, eigenvalues in zip(self.caller.answer(calls), spectra, strict=True):
            kept = result.outputs.sum(axis=1)
            if (kept <= 0).any():
                raise InvalidData(
                    f"No shot of state {int(np.argmax(kept <= 0))} passed the post-selection of "
                    f"'{self.name}'; raise shots above {self.caller.shots}."
                )
            columns.append(result.outputs @ eigenvalues / kept)
            if result.errors_of is not None:
                errors.append(result.errors_of(eigenvalues[:, None])[:, 0])
        if len(errors) == len(columns):
            self.caller.note(f"{self.name}.observables", np.stack(errors, axis=1))
        return torch.from_numpy(np.stack(columns, axis=1)).to(states.real)

    def _by_paulis(
        self,
        layers: Sequence[StateLayer],
        states: Tensor,
        rows: Tensor,
        sums: Sequence[SparsePauliOp],
    ) -> Tensor:
        amplitudes = unit_states(states)
        spec = replace(
            _spec(layers, real=not amplitudes.is_complex()),
            readout=ExpectationReadout(observables=tuple(sums)),
        )
        values = _values(layers, rows, None)
        name = f"{self.name}.observables"
        call = self.caller.call(name, spec, torch.zeros(0), amplitudes, values)
        [result] = self.caller.answer([call])
        return torch.from_numpy(result.outputs).to(states.real)

    def _measured(
        self, spec: CircuitSpec, amplitudes: Tensor, values: Tensor, turned: int
    ) -> np.ndarray:
        """Return joint probabilities of each state in each setting of the first read qubits.

        Returns:
            ``(batch, settings, outputs)``.
        """
        settings = tomography_settings(turned)
        turns = torch.from_numpy(basis_angles(settings)).to(values)
        each = len(settings)
        call = self.caller.call(
            self.name,
            _turned(_Same(spec), turned),
            torch.zeros(0),
            amplitudes.repeat_interleave(each, dim=0),
            torch.cat(
                [values.repeat_interleave(each, dim=0), turns.repeat(len(amplitudes), 1)], dim=1
            ),
        )
        [result] = self.caller.answer([call])
        # Mitigated quasi-probabilities may fall below 0.
        return np.maximum(result.outputs, 0.0).reshape(len(amplitudes), each, -1)

    def _shots(self, kept: np.ndarray) -> np.ndarray | None:
        return None if self.caller.shots is None else self.caller.shots * kept


def _like(found: np.ndarray, states: Tensor) -> Tensor:
    """Return complex states on the device of the given ones, in their precision."""
    return torch.from_numpy(found).to(states.device, states.dtype.to_complex())


def _values(layers: Sequence[StateLayer], rows: Tensor, inputs: Tensor | None) -> Tensor:
    """Return inputs, then all weights in the order of use, ``(batch, ...)``."""
    weights = [layer.weights[rows].detach().double() for layer in layers]
    return torch.cat([*([] if inputs is None else [inputs.double()]), *weights], dim=1)


@dataclass(frozen=True, eq=False)
class _Same:
    """Spec as a key: equal to itself alone, since circuits have no hash."""

    spec: CircuitSpec

    def __hash__(self) -> int:
        return id(self.spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.spec is self.spec


def _spec(layers: Sequence[StateLayer], *, real: bool) -> CircuitSpec:
    """Return the layers' circuits as one, with free weights."""
    return _in_one(tuple((_Same(layer.spec), layer.repeats) for layer in layers), real, False)


@lru_cache(maxsize=KEPT_CIRCUITS)
def _in_one(parts: tuple[tuple[_Same, int], ...], real: bool, record: bool) -> CircuitSpec:
    return composed(
        parts[0][0].spec.name,
        [Part(same.spec, repeats=repeats) for same, repeats in parts],
        complex_amplitudes=not real,
        record=record,
    )


@lru_cache(maxsize=KEPT_CIRCUITS)
def _turned(same: _Same, count: int) -> CircuitSpec:
    assert isinstance(same.spec.readout, ProbabilityReadout)
    return in_product_basis(same.spec, same.spec.readout.qubits[:count])


@lru_cache(maxsize=KEPT_CIRCUITS)
def _referenced(same: _Same) -> CircuitSpec:
    return referenced(same.spec)


@lru_cache(maxsize=KEPT_CIRCUITS)
def _diagonalised(
    same: _Same, matrix: bytes, group: tuple[int, ...]
) -> tuple[CircuitSpec, np.ndarray]:
    """Return a circuit to an observable's eigenbasis, and the eigenvalue of each outcome."""
    size = 2 ** len(group)
    values, vectors = np.linalg.eigh(np.frombuffer(matrix, dtype=np.complex128).reshape(size, size))
    circuit = same.spec.circuit.copy()
    turn = qs_decomposition(vectors.conj().T)
    circuit.compose(turn, qubits=list(group), inplace=True)
    assert isinstance(same.spec.readout, ProbabilityReadout)
    readout = replace(same.spec.readout, qubits=group)
    return replace(same.spec, circuit=circuit, readout=readout), values
