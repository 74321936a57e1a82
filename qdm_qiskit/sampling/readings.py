"""The measured circuits of a call, and its outputs from their counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.transpiler import Target as DeviceTarget

from ..circuits.readouts import ExpectationReadout, ProbabilityReadout
from ..circuits.spec import CircuitSpec
from ..engine import CircuitProgram
from ..execution.calls import CallResult, CircuitCall
from ..execution.distributions import normalized
from ..layers.arrays import to_array
from ..layers.executors import read_probabilities
from ..mitigation.bit_readout import BitReadout
from ..mitigation.expectation import (
    Basis,
    MeasurementPlan,
    combine_counts,
    construct_circuits,
    measurement_plan,
    outcome_values,
)
from .probability_errors import ProbabilityErrors

__all__ = ["Reading"]

_TURNS = {
    "X": np.array([[1, 1], [1, -1]]) / np.sqrt(2),
    "Y": np.array([[1, -1j], [1, 1j]]) / np.sqrt(2),
}
"""Gates that take a letter's eigenstates to those of Z."""


@final
@dataclass(frozen=True, eq=False)
class Reading:
    """Circuits that read a spec: one of all qubits for probabilities, or one for each basis.

    >>> from qiskit.quantum_info import SparsePauliOp
    >>> from dataclasses import replace
    >>> from qdm_qiskit.circuits import eeqdm
    >>> spec = eeqdm(num_data=2, depth=1)
    >>> Reading.of(spec).num_circuits
    1
    >>> observables = (SparsePauliOp(["ZZI", "IZI"]), SparsePauliOp("XII"))
    >>> Reading.of(replace(spec, readout=ExpectationReadout(observables=observables))).num_circuits
    2
    """

    spec: CircuitSpec
    """The circuit and its readout."""
    plan: MeasurementPlan | None
    """Measurement plan of its observables; None where it reads probabilities."""

    @classmethod
    def of(cls, spec: CircuitSpec) -> Reading:
        """Return the reading of a spec.

        Raises:
            InvalidData: If an observable cannot be measured.
        """
        readout = spec.readout
        if isinstance(readout, ExpectationReadout):
            return cls(spec, measurement_plan(readout.observables))
        return cls(spec, None)

    @property
    def qubits(self) -> tuple[int, ...]:
        """Measured logical qubits: bit k of an outcome reads ``qubits[k]``."""
        return tuple(range(self.spec.num_qubits)) if self.plan is None else self.plan.qubits

    @property
    def num_circuits(self) -> int:
        """Number of circuits of each row; 0 where all observables are multiples of the identity."""
        return 1 if self.plan is None else len(self.plan.bases)

    def circuits(self, isa: QuantumCircuit, target: DeviceTarget | None) -> list[QuantumCircuit]:
        """Return the measured circuits of one row.

        Args:
            isa: The call's circuit, transpiled: measured for probabilities, else not.
            target: The device; None leaves the turns into a basis in gates of Qiskit's.
        """
        if self.plan is None:
            return [isa]
        where = range(self.spec.num_qubits)
        if isa.layout is not None:
            where = isa.layout.final_index_layout(filter_ancillas=True)
        return construct_circuits(isa, self.plan.on(where), target=target)

    @torch.no_grad()
    def exact(self, call: CircuitCall, program: CircuitProgram) -> list[np.ndarray]:
        """Return the distributions from which ideal shots of the circuits are drawn.

        Args:
            call: A call with this spec.
            program: Program of the spec's circuit.

        Returns:
            For each circuit ``(rows, 2**measured)`` float64.
        """
        given = [
            None if each is None else torch.from_numpy(each)
            for each in (call.inputs, call.angles, call.amplitudes)
        ]
        covered = None if call.amplitudes is None else self.spec.data_qubits
        if self.plan is None:
            return [to_array(program.probabilities(*given, initial_qubits=covered))]
        if not self.plan.bases:
            return []
        qubits, turned = (
            list(self.plan.qubits),
            [bool(set(b.letters) & set("XY")) for b in self.plan.bases],
        )
        straight = states = np.zeros(0)
        if not all(turned):
            read = program.probabilities(*given, initial_qubits=covered, qubits=qubits)
            straight = to_array(read)
        if any(turned):
            states = to_array(program.statevector(*given, initial_qubits=covered))
        return [
            _in_basis(states, qubits, basis) if turn else straight
            for basis, turn in zip(self.plan.bases, turned, strict=True)
        ]

    def result(
        self,
        counts: Sequence[np.ndarray],
        *,
        corrected: Sequence[np.ndarray] | None = None,
        readout: BitReadout | None = None,
        rows: int = 1,
    ) -> CallResult:
        """Return the outputs from counts.

        Args:
            counts: Counts of each circuit, ``(rows, 2**measured)``.
            corrected: The mitigated counts: probabilities for a probability readout,
                quasi-probabilities for expectation values; None without mitigation.
            readout: With ``corrected``, the readout of the measured qubits.
            rows: Rows of the call, for a reading without circuits.

        Raises:
            InvalidData: If no shot passed the post-selection that outputs are divided by, or an
                error is wanted of a row with a single shot.
        """
        if self.plan is not None:
            if not self.plan.bases:
                values = np.tile(self.plan.constants, (rows, 1))
                return CallResult(outputs=values, standard_errors=np.zeros_like(values))
            if min(int(each.sum(axis=1).min()) for each in counts) < 2:
                return CallResult(outputs=self._single(counts, corrected))
            values, spreads = combine_counts(
                self.plan, counts, corrected=corrected, readout=readout
            )
            return CallResult(outputs=values, standard_errors=spreads)
        raw = normalized(counts[0])
        used = raw if corrected is None else corrected[0]
        outputs = to_array(read_probabilities(self.spec, torch.from_numpy(used)))
        kept = self._kept(raw)
        asked = self.spec.readout
        assert isinstance(asked, ProbabilityReadout)
        mended = None if corrected is None else corrected[0]

        def errors_of() -> ProbabilityErrors:
            return ProbabilityErrors(asked, self.spec.num_qubits, counts[0], mended, readout)

        if corrected is None:
            shots = counts[0].sum(axis=1, keepdims=True)
            counted = shots if kept is None or not asked.renormalise else shots * kept[:, None]
            spread = np.maximum(outputs * (1 - outputs), 0.0)
            errors = np.sqrt(spread / np.maximum(counted - 1, 1))
        else:
            errors = errors_of().of_outputs(ratio=asked.renormalise)
        return CallResult(
            outputs=outputs,
            standard_errors=errors,
            kept=kept,
            errors_of=lambda weights: errors_of().of_sums(weights),
        )

    def passed(self, raw: np.ndarray) -> float:
        """Return the mean share of shots that passed the post-selection; 1 where there is none.

        Args:
            raw: ``(rows, 2**measured)`` frequencies of the first circuit.
        """
        readout = self.spec.readout
        if not isinstance(readout, ProbabilityReadout):
            return 1.0
        selection = readout.selection(self.spec.num_qubits).ravel()
        return float(raw[:, selection].sum(axis=1).mean())

    def _kept(self, raw: np.ndarray) -> np.ndarray | None:
        readout = self.spec.readout
        if not isinstance(readout, ProbabilityReadout) or not readout.postselect:
            return None
        selection = readout.selection(self.spec.num_qubits).ravel()
        return np.asarray(raw[:, selection].sum(axis=1))

    def _single(
        self, counts: Sequence[np.ndarray], corrected: Sequence[np.ndarray] | None
    ) -> np.ndarray:
        """Return the values of single shots, which have no error."""
        assert self.plan is not None
        used = [normalized(each) for each in counts] if corrected is None else corrected
        pairs = zip(used, self.plan.bases, strict=True)
        return np.asarray(
            self.plan.constants + sum(p @ outcome_values(basis) for p, basis in pairs)
        )


def _in_basis(states: np.ndarray, qubits: Sequence[int], basis: Basis) -> np.ndarray:
    """Return the outcome probabilities of qubits that are read in a basis.

    Args:
        states: ``(rows, 2**n)`` complex.
        qubits: Measured qubits.
        basis: A letter for each.
    """
    n = states.shape[1].bit_length() - 1
    tensor = states.reshape(-1, *[2] * n)
    for qubit, letter in zip(qubits, basis.letters, strict=True):
        if letter in _TURNS:
            axis = n - qubit
            tensor = np.moveaxis(np.tensordot(tensor, _TURNS[letter], ([axis], [1])), -1, axis)
    rest = tuple(n - each for each in range(n) if each not in qubits)
    found = (np.abs(tensor) ** 2).sum(axis=rest)  # axes fall, as the qubits do
    falling = sorted(qubits, reverse=True)
    axes = [1 + falling.index(qubit) for qubit in reversed(qubits)]
    return np.asarray(found.transpose(0, *axes).reshape(len(states), -1))
