"""The readout errors of measured bits, and what their correction adds to standard errors.

A corrected value is linear in the counts and not in the readout matrices, which a calibration knows by
its own shots. Both parts of the error are of first order here (the delta method): shots of the job
scatter, and so do the calibration's, of which each column of a matrix is a share of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

__all__ = ["BitReadout", "along_bits"]


@final
@dataclass(frozen=True, eq=False)
class BitReadout:
    """Readout of measured bits, by which their counts were corrected.

    >>> readout = BitReadout((np.array([[0.9, 0.2], [0.1, 0.8]]),), shots=(101.0,))
    >>> sign = np.array([[1.0], [-1.0]])
    >>> slopes = readout.slopes(sign, np.array([[1.0, 0.0]]))
    >>> float(slopes[0, 0, 0, 0].round(3))  # a chance .1 of reading 0 wrong takes .2 from Z, over .7
    2.857
    >>> float(readout.variance(slopes)[0, 0].round(5))  # .1 * .9 / 100 of them, each 2.857 squared
    0.00735
    """

    matrices: tuple[np.ndarray, ...]
    """``matrix[read, prepared]`` of each bit; columns sum to 1."""
    qubits: tuple[int, ...] | None = None
    """Physical qubit of each bit; one that is measured, reset and measured again stands at several.
    All are different if None."""
    shots: tuple[float, ...] | None = None
    """Shots of the calibration that prepared each bit's qubit in 0, and as many in 1; the matrices are
    known exactly if None."""

    def through_inverse(self, values: np.ndarray) -> np.ndarray:
        """Turn contributions of true outcomes into those of read ones: ``A^-T`` along the first axis.

        Args:
            values: ``(2**bits, sums)``.
        """
        return along_bits([np.linalg.inv(each).T for each in self.matrices], values)

    def corrected(self, frequencies: np.ndarray) -> np.ndarray:
        """Return frequencies with the whole readout inverted, ``(rows, 2**bits)``."""
        return along_bits([np.linalg.inv(each) for each in self.matrices], frequencies.T).T

    def slopes(self, values: np.ndarray, quasi: np.ndarray) -> np.ndarray:
        """Return the change of corrected sums with the chances of reading 1.

        Args:
            values: ``(2**bits, sums)``: contribution of each true outcome to each sum.
            quasi: ``(rows, 2**bits)`` corrected frequencies.

        Returns:
            ``(bits, 2, rows, sums)``: of each bit, where its qubit was prepared in 0 and in 1.
        """
        rows, sums = len(quasi), values.shape[1]
        found = np.empty((len(self.matrices), 2, rows, sums))
        for bit, matrix in enumerate(self.matrices):
            parts = values.reshape(-1, 2, 1 << bit, sums)
            step = (parts[:, 1] - parts[:, 0]).reshape(-1, sums) / np.linalg.det(matrix)
            given = quasi.reshape(rows, -1, 2, 1 << bit)
            for prepared in (0, 1):
                found[bit, prepared] = -given[:, :, prepared].reshape(rows, -1) @ step
        return found

    def variance(self, slopes: np.ndarray) -> np.ndarray:
        """Return the calibration's part of the variance of corrected sums.

        Args:
            slopes: ``(bits, 2, ...)``, as :meth:`slopes` returns them.

        Returns:
            An array of the other axes; 0 where the matrices are known exactly.
        """
        found = np.zeros(slopes.shape[2:])
        for bits, prepared, spread in self.parts():
            found += slopes[bits, prepared].sum(axis=0) ** 2 * spread
        return found

    def parts(self) -> Iterator[tuple[list[int], int, float]]:
        """Yield the numbers that the calibration's shots tell, each a chance of reading 1.

        Yields:
            The bits of a qubit, which one error moves all, the state that was prepared, and the
            variance of the number; nothing where the matrices are known exactly.
        """
        if self.shots is None:
            return
        qubits = range(len(self.matrices)) if self.qubits is None else self.qubits
        for qubit in dict.fromkeys(qubits):
            bits = [bit for bit, each in enumerate(qubits) if each == qubit]
            ones = self.matrices[bits[0]][1]
            for prepared in (0, 1):
                spread = ones[prepared] * (1 - ones[prepared]) / max(self.shots[bits[0]] - 1, 1)
                yield bits, prepared, float(spread)

    def only(self, bits: Sequence[int]) -> BitReadout:
        """Return the readout of some of the bits, in the given order."""
        return BitReadout(
            tuple(self.matrices[bit] for bit in bits),
            None if self.qubits is None else tuple(self.qubits[bit] for bit in bits),
            None if self.shots is None else tuple(self.shots[bit] for bit in bits),
        )


def along_bits(matrices: Sequence[np.ndarray], values: np.ndarray) -> np.ndarray:
    """Apply a matrix to each bit of an array's first axis.

    Args:
        matrices: ``(2, 2)`` of each bit, bit 0 first.
        values: ``(2**bits, columns)``.
    """
    low = 1
    for matrix in matrices:
        tensor = values.reshape(-1, 2, low, values.shape[1])
        values = np.einsum("ij,ajbk->aibk", matrix, tensor).reshape(values.shape)
        low *= 2
    return values
