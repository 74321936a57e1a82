"""Results of a call's counts: distributions, corrected or not, the exact ones, and its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from ...execution.calls import CallResult, CircuitCall
from ...execution.distributions import normalized
from ...mitigation.bit_readout import BitReadout
from ...mitigation.readout import ReadoutCalibration, mitigate
from ...mitigation.simplex import nearest_probability
from ..plan.call_circuits import reading_of
from ..plan.run_plan import CircuitPlan, RunPlan

if TYPE_CHECKING:
    from ...engine import CircuitProgram
    from ...sampling.readings import Reading

__all__ = [
    "CallCounts",
    "ExactDistributions",
    "call_result",
    "joined_counts",
    "mended",
]


@dataclass(frozen=True, eq=False)
class CallCounts:
    """The counts of all rows of a call."""

    counts: tuple[np.ndarray, ...]
    """For each of its circuits ``(rows, 2**bits)``."""
    quasi: tuple[np.ndarray, ...] | None = None
    """The same as quasi-probabilities whose readout errors are mended; None without mitigation."""
    readout: BitReadout | None = None
    """The readout of the measured bits, by which they were corrected."""

    @property
    def raw(self) -> list[np.ndarray]:
        """Frequencies of each circuit."""
        return [normalized(each) for each in self.counts]

    @property
    def mended(self) -> list[np.ndarray] | None:
        """Mended distributions without negative numbers."""
        return None if self.quasi is None else [nearest_probability(each) for each in self.quasi]


def mended(
    plan: RunPlan, counts: np.ndarray, circuit: CircuitPlan, calibration: ReadoutCalibration
) -> np.ndarray:
    """Return the quasi-probabilities that M3 makes of counts, ``(rows, 2**bits)``.

    Raises:
        CalibrationMismatch: If the calibration is of another backend or lacks a qubit.
    """
    qubits = circuit.measured_qubits
    return mitigate(counts, calibration, qubits, plan.backend, correction=plan.correction)


def call_result(call: CircuitCall, found: CallCounts) -> CallResult:
    """Return the answer of a target to a call.

    Where nothing of a row passes a post-selection that is not divided by, its probabilities are 0:
    of one patch of an image nothing may be left.

    Args:
        call: The call.
        found: Its counts.

    Raises:
        InvalidData: If no shot of a row passed a post-selection by whose share is divided.
    """
    reading = reading_of(call.spec)
    corrected = found.quasi if reading.plan is not None else found.mended
    return reading.result(
        found.counts, corrected=corrected, readout=found.readout, rows=call.num_rows
    )


@final
class ExactDistributions:
    """The engine's distributions of the measured bits of calls."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Reading, CircuitProgram]] = {}

    def of(self, call: CircuitCall) -> list[np.ndarray]:
        """Return for each circuit of a call ``(rows, 2**bits)``."""
        from ...engine import compile_circuit

        if call.content not in self._known:
            spec = call.spec
            program = compile_circuit(spec.circuit, spec.inputs, spec.weights)
            self._known[call.content] = (reading_of(spec), program)
        reading, program = self._known[call.content]
        return reading.exact(call, program)


def joined_counts(parts: Sequence[CallCounts]) -> CallCounts:
    """Return the counts of all rows of a call, from those of its parts in their order.

    The readout is that of the last part; all parts have the same where there are no tiles.
    """
    if len(parts) == 1:
        return parts[0]
    quasi = [each.quasi for each in parts if each.quasi is not None]
    return CallCounts(
        _joined([each.counts for each in parts]),
        _joined(quasi) if quasi else None,
        parts[-1].readout,
    )


def _joined(parts: Sequence[Sequence[np.ndarray]]) -> tuple[np.ndarray, ...]:
    return tuple(np.concatenate(rows) for rows in zip(*parts, strict=True))
