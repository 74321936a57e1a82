"""Standard errors of probabilities read from counts, corrected and post-selected or not.

A probability is a sum of what each shot adds to it; after a correction of the readout, the inverse
acts on a shot's outcome first. A post-selected value is a ratio of two such sums, with the errors of
both and their covariance (the delta method). The calibration's shots add theirs; see
:class:`.BitReadout`. Negative quasi-probabilities are removed behind this, which can only bring
values nearer to the true ones.
"""

from __future__ import annotations

from dataclasses import replace
from typing import final

import numpy as np

from ..circuits.readouts import ProbabilityReadout
from ..mitigation.bit_readout import BitReadout, along_bits

__all__ = ["ProbabilityErrors"]


@final
class ProbabilityErrors:
    """Standard errors of what a probability readout gives.

    Args:
        readout: The readout.
        num_qubits: Qubits that were measured.
        counts: ``(rows, 2**num_qubits)``.
        corrected: Corrected frequencies of the same shape; None without a correction.
        bits: With ``corrected``, the readout of the qubits.
    """

    def __init__(
        self,
        readout: ProbabilityReadout,
        num_qubits: int,
        counts: np.ndarray,
        corrected: np.ndarray | None = None,
        bits: BitReadout | None = None,
    ) -> None:
        kept = sorted({*readout.qubits, *(qubit for qubit, _ in readout.postselect)})
        self._shots = counts.sum(axis=1, keepdims=True)
        self._raw = _marginal(counts / self._shots, num_qubits, kept)
        used = self._raw if corrected is None else _marginal(corrected, num_qubits, kept)
        self._quasi = used
        self._bits = None if bits is None else bits.only(kept)
        small = replace(
            readout,
            qubits=tuple(kept.index(qubit) for qubit in readout.qubits),
            postselect=tuple((kept.index(q), outcome) for q, outcome in readout.postselect),
        )
        self._places = small.selection(len(kept)).ravel()
        self._passes = np.zeros((self._raw.shape[1], 1))
        self._passes[self._places] = 1.0

    def of_outputs(self, *, ratio: bool) -> np.ndarray:
        """Return the errors of all outputs, ``(rows, outputs)``.

        Args:
            ratio: True of outputs that are divided by the share that passed the post-selection.
        """
        bits = self._bits
        inverse = None if bits is None else [np.linalg.inv(each) for each in bits.matrices]
        mean = self._through(inverse, self._raw)
        squares = self._through(None if inverse is None else [m**2 for m in inverse], self._raw)
        share, fraction = np.ones((len(mean), 1)), np.zeros_like(mean)
        passes = self._passes[:, 0] if bits is None else bits.through_inverse(self._passes)[:, 0]
        if ratio:
            share = self._quasi @ self._passes
            fraction = self._quasi[:, self._places] / share
            mixed = self._through(inverse, self._raw * passes)
            total = (self._raw @ passes**2)[:, None]
            squares = squares - 2 * fraction * mixed + fraction**2 * total
            mean = mean - fraction * (self._raw @ passes)[:, None]
        variance = np.maximum(squares - mean**2, 0.0) / np.maximum(self._shots - 1, 1)
        if bits is not None:
            variance += self._of_calibration(bits, fraction if ratio else None)
        return np.asarray(np.sqrt(variance) / share)

    def of_sums(self, weights: np.ndarray) -> np.ndarray:
        """Return the errors of sums of outputs, divided by the share that passed the post-selection.

        Args:
            weights: ``(outputs, sums)``.

        Returns:
            ``(rows, sums)``.
        """
        values = np.zeros((len(self._passes), weights.shape[1]))
        values[self._places] = weights
        share = self._quasi @ self._passes
        mean = self._quasi @ values / share
        each, passes, bits = values, self._passes, self._bits
        if bits is not None:
            each, passes = bits.through_inverse(values), bits.through_inverse(passes)
        squares = self._raw @ each**2 - 2 * mean * (self._raw @ (each * passes))
        squares = squares + mean**2 * (self._raw @ passes**2)
        middle = self._raw @ each - mean * (self._raw @ passes)
        variance = np.maximum(squares - middle**2, 0.0) / np.maximum(self._shots - 1, 1)
        if bits is not None:
            slopes = bits.slopes(values, self._quasi)
            slopes = slopes - mean * bits.slopes(self._passes, self._quasi)
            variance += bits.variance(slopes)
        return np.asarray(np.sqrt(variance) / share)

    def _through(self, matrices: list[np.ndarray] | None, rows: np.ndarray) -> np.ndarray:
        found = rows if matrices is None else along_bits(matrices, rows.T).T
        return found[:, self._places]

    def _of_calibration(self, bits: BitReadout, fraction: np.ndarray | None) -> np.ndarray:
        """Return the calibration's part of the variance before the division by the share."""
        rows = len(self._quasi)
        found = np.zeros((rows, len(self._places)))
        for same, prepared, spread in bits.parts():
            slope = np.zeros_like(found)
            for bit in same:
                given = self._quasi.reshape(rows, -1, 2, 1 << bit)[:, :, prepared]
                step = given / np.linalg.det(bits.matrices[bit])
                whole = np.stack([step, -step], axis=2).reshape(rows, -1)
                slope += whole[:, self._places]
            if fraction is not None:
                slope -= fraction * slope.sum(axis=1, keepdims=True)
            found += slope**2 * spread
        return found


def _marginal(rows: np.ndarray, num_qubits: int, kept: list[int]) -> np.ndarray:
    """Add up over the qubits that are not kept, ``(rows, 2**kept)``."""
    rest = tuple(num_qubits - qubit for qubit in range(num_qubits) if qubit not in kept)
    return rows.reshape(-1, *[2] * num_qubits).sum(axis=rest).reshape(len(rows), -1)
