"""What a call's counts say: raw or corrected distributions, and outputs with their standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, final

import numpy as np
from qiskit import QuantumCircuit

from ...circuits.spec import CircuitSpec, ProbabilityReadout
from ...execution.calls import CallResult, CircuitCall
from ...execution.distributions import normalized
from ...mitigation.expectation import MeasurementPlan
from ...mitigation.readout import ReadoutCalibration, mitigate
from ...mitigation.simplex import nearest_probability
from ..plan.call_circuits import measurements_of
from ..plan.run_plan import CircuitPlan, RunPlan

if TYPE_CHECKING:
    from ...layers.executors import EngineExecutor


@dataclass(frozen=True, eq=False)
class CallCounts:
    """The counts of all rows of a call."""

    counts: tuple[np.ndarray, ...]
    """For each of its circuits ``(rows, 2**bits)``."""
    corrected: tuple[np.ndarray, ...] | None
    """The same as distributions whose readout errors are mended; None without mitigation."""
    readout: tuple[tuple[np.ndarray, ...], ...] | None = None
    """For each circuit and each of its bits the ``matrix[read, prepared]`` of the correction."""

    @property
    def raw(self) -> tuple[np.ndarray, ...]:
        """Frequencies of each circuit."""
        return tuple(normalized(each) for each in self.counts)


def corrected(
    plan: RunPlan, counts: np.ndarray, circuit: CircuitPlan, calibration: ReadoutCalibration
) -> np.ndarray:
    """Distributions whose readout errors are mended by M3, ``(rows, 2**bits)``.

    Raises:
        CalibrationMismatch: If the calibration is of another backend or lacks a qubit.
    """
    quasi = mitigate(
        counts,
        calibration,
        circuit.measured_qubits,
        plan.backend,
        correction=plan.correction,
    )
    return nearest_probability(quasi)


def call_result(call: CircuitCall, found: CallCounts) -> CallResult:
    """Return what a target answers to a call.

    Args:
        call: The call.
        found: Its counts.

    Raises:
        InvalidData: If no shot of a row passed a post-selection by whose share is divided.
    """
    distributions = found.raw if found.corrected is None else found.corrected
    bases = measurements_of(call.spec)
    if bases is not None:
        from ...mitigation.expectation import combine_counts

        readout = None if found.readout is None else found.readout[0]
        values, errors = combine_counts(
            bases, found.counts, corrected=found.corrected, readout=readout
        )
        return CallResult(outputs=values, standard_errors=errors)
    spec = call.spec
    assert isinstance(spec.readout, ProbabilityReadout)
    outputs = _outputs(spec, distributions[0])
    shots = found.counts[0].sum(axis=1)
    errors = None
    if found.corrected is None:
        kept = shots if not spec.readout.renormalise else shots * _passed(spec, distributions[0])
        errors = np.sqrt(np.maximum(outputs * (1 - outputs), 0.0) / kept[:, None])
    if not spec.readout.postselect:
        return CallResult(outputs=outputs, standard_errors=errors)
    # Of a patch nothing may be left, which is an answer: probabilities of 0.
    return CallResult(outputs=outputs, standard_errors=errors, kept=_passed(spec, distributions[0]))


def _outputs(spec: CircuitSpec, probabilities: np.ndarray) -> np.ndarray:
    import torch

    from ...layers.arrays import to_array
    from ...layers.executors import read_probabilities

    return to_array(read_probabilities(spec, torch.from_numpy(probabilities)))


def _passed(spec: CircuitSpec, probabilities: np.ndarray) -> np.ndarray:
    readout = spec.readout
    assert isinstance(readout, ProbabilityReadout)
    found: np.ndarray = probabilities[:, readout.selection(spec.num_qubits).ravel()].sum(axis=1)
    return found


@final
class ExactDistributions:
    """The engine's distributions of the measured bits of calls."""

    def __init__(self) -> None:
        self._engines: dict[str, list[EngineExecutor]] = {}

    def of(self, call: CircuitCall) -> list[np.ndarray]:
        """Return for each circuit of a call ``(rows, 2**bits)``."""
        import torch

        from ...layers.arrays import to_array
        from ...layers.executors import EngineExecutor

        if call.content not in self._engines:
            bases = measurements_of(call.spec)
            specs = (
                [_all_read(call.spec)]
                if bases is None
                else [_turned(call.spec, bases, k) for k in range(len(bases.bases))]
            )
            self._engines[call.content] = [EngineExecutor(each) for each in specs]
        angles = torch.from_numpy(call.angles)
        given = [
            None if each is None else torch.from_numpy(each)
            for each in (call.amplitudes, call.inputs)
        ]
        return [to_array(engine(angles, *given)) for engine in self._engines[call.content]]


def _all_read(spec: CircuitSpec) -> CircuitSpec:
    return replace(spec, readout=ProbabilityReadout(qubits=tuple(range(spec.num_qubits))))


def _turned(spec: CircuitSpec, bases: MeasurementPlan, number: int) -> CircuitSpec:
    """Return a circuit turned into a basis, of which the measured qubits are read."""
    turned: QuantumCircuit = spec.circuit.copy()
    for qubit, letter in zip(bases.qubits, bases.bases[number].letters, strict=True):
        if letter == "X":
            turned.rz(np.pi / 2, qubit)
        if letter in "XY":
            turned.sx(qubit)
    return replace(spec, circuit=turned, readout=ProbabilityReadout(qubits=bases.qubits))


def joined(parts: Sequence[Sequence[np.ndarray]]) -> tuple[np.ndarray, ...]:
    """Rows of each circuit of a call, from those of its parts in their order."""
    return tuple(np.concatenate(rows) for rows in zip(*parts, strict=True))
