"""Outputs of a QNN, and their standard errors, from the answer to its call."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..circuits.readouts import ProbabilityReadout
from ..circuits.spec import CircuitSpec
from ..execution.calls import CallResult
from ..mitigation.bit_readout import BitReadout
from ..mitigation.expectation import errors_of_sums

__all__ = ["MOST_ERRORS", "OutputTable"]

MOST_ERRORS = 1 << 24
"""Most outcomes times outputs for which errors of corrected probabilities are computed."""


@dataclass(frozen=True, eq=False, kw_only=True)
class OutputTable:
    """Table of the output that each outcome of a call adds to.

    >>> from qdm_qiskit.circuits import eeqdm
    >>> table = OutputTable(spec=eeqdm(num_data=2, depth=1), places=np.array([0, 1, 1, 0]), shape=(2,))
    >>> table.added(np.array([[0.1, 0.2, 0.3, 0.4]]))
    array([[0.5, 0.5]])
    """

    spec: CircuitSpec
    """The circuit and its readout."""
    places: np.ndarray | None
    """Place of each outcome of the readout in the flat output, -1 for those that the QNN drops; None
    of expectation values, which are the outputs."""
    shape: tuple[int, ...]
    """Shape of the output of one row."""

    @property
    def count(self) -> int:
        """Number of outputs of one row."""
        return int(np.prod(self.shape))

    def added(self, probabilities: np.ndarray) -> np.ndarray:
        """Add probabilities up to the QNN's outputs.

        Args:
            probabilities: ``(rows, outcomes)`` of the spec's readout.

        Returns:
            ``(rows, number of outputs)``.
        """
        assert self.places is not None
        kept = np.flatnonzero(self.places >= 0)
        found = np.zeros((self.count, len(probabilities)))
        np.add.at(found, self.places[kept], probabilities[:, kept].T)
        return found.T

    def of(
        self,
        result: CallResult,
        shots: int | None,
        counts: np.ndarray | None = None,
        readout: BitReadout | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the outputs and their standard errors, ``(rows, number of outputs)`` each.

        Args:
            result: The answer to the call.
            shots: Of each row and circuit; None of exact values.
            counts: Where probabilities were corrected, the counts ``(rows, 2**qubits)``.
            readout: Where they were, the readout of the measured qubits.

        Returns:
            Outputs and errors; no errors of exact values, of single shots, and of sums of too many
            corrected probabilities.
        """
        if self.places is None:
            return result.outputs, result.standard_errors
        outputs = self.added(result.outputs)
        if counts is not None and readout is not None:
            return outputs, self._corrected(result, counts, readout)
        if result.standard_errors is None or shots is None or shots < 2:
            return outputs, None
        # Each shot falls into one output or none: outputs are binomial, however many outcomes they
        # add.
        return outputs, np.sqrt(np.maximum(outputs * (1 - outputs), 0.0) / (shots - 1))

    def _corrected(
        self, result: CallResult, counts: np.ndarray, readout: BitReadout
    ) -> np.ndarray | None:
        """Return errors of outputs that are linear sums of corrected probabilities."""
        spec = self.spec
        assert self.places is not None
        if int(counts.sum(axis=1).min()) < 2:
            return None
        if self.count << spec.num_qubits > MOST_ERRORS:
            used, errors = self.places[self.places >= 0], result.standard_errors
            if errors is None or len(np.unique(used)) < len(used):
                return None
            return self.added(errors)  # of one outcome each
        read = spec.readout
        assert isinstance(read, ProbabilityReadout)
        values = np.zeros((1 << spec.num_qubits, self.count))
        states = read.selection(spec.num_qubits)
        for outcome, place in enumerate(self.places):
            if place >= 0:
                values[states[outcome], place] = 1.0
        return errors_of_sums(values, counts, readout)
