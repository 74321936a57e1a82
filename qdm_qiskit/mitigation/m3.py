"""M3's equation for one vector of counts, with all distances between its outcomes.

Counts of few shots touch few of the ``2**m`` outcomes. M3 keeps those that were seen, restricts the
readout matrix ``A = A_{m-1} (x) ... (x) A_0`` to them, divides its columns by their sums, and solves.
Restricted to distance 3, mthree's default, the equation leaves out frequent errors where many
qubits are read with large errors.

``A`` acts on a vector of ``2**m`` numbers as m small matrices one after the other. A matrix is made
only if so few outcomes were seen that it is smaller than that vector. mthree compares all pairs of
outcomes, in single precision.

``A_q`` with positive eigenvalues (a readout that is right more often than wrong) is similar to a
symmetric positive matrix by a diagonal one, and so is each restriction of ``A``: none is singular.

References:
    Nation et al., PRX Quantum 2, 040326 (2021).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InvalidData

__all__ = [
    "CYCLE",
    "DENSE_OUTCOMES",
    "GROUP_QUBITS",
    "LONG_CYCLES",
    "SHORT_CYCLES",
    "TOLERANCE",
    "solve_seen",
]

GROUP_QUBITS = 5
"""Qubits whose matrices are multiplied out: 32 x 32 is quick to build, large enough for BLAS."""
TOLERANCE = 1e-11
"""Relative residual of the solution."""
CYCLE, SHORT_CYCLES, LONG_CYCLES = 50, 4, 60
"""Steps of GMRES before it starts anew; number of starts before, and without, making a matrix."""
DENSE_OUTCOMES = 4096
"""Most outcomes of which a matrix is made, 128 MiB, if GMRES is slow."""


def solve_seen(frequencies: np.ndarray, matrices: Sequence[np.ndarray]) -> np.ndarray:
    """Correct the frequencies of the outcomes that were seen.

    Args:
        frequencies: ``(2**m,)`` with sum 1; outcomes of frequency 0 were not seen.
        matrices: For each bit ``matrix[read, prepared]``, columns with sum 1, of positive
            determinant.

    Returns:
        Float64 quasi-probabilities of the same shape, with sum 1; 0 where nothing was seen.

    Raises:
        InvalidData: If the readout is so close to random that no solution is found.
    """
    seen = np.flatnonzero(frequencies)
    readout = _Readout(matrices, seen)
    few = len(seen) <= DENSE_OUTCOMES and len(seen) ** 2 <= len(frequencies)
    if few:  # the matrix between them is smaller than a vector of all outcomes
        dense = readout.dense()
        sums, solution = dense.sum(axis=0), np.linalg.solve(dense, frequencies[seen])
    else:
        sums, solution = readout.column_sums(), _by_gmres(readout, frequencies[seen])
    if not np.isfinite(solution).all():
        raise InvalidData(
            f"The readout of {len(matrices)} qubits is too close to random for {len(seen)} outcomes "
            "to be corrected; choose a layout with better readouts, or measure fewer qubits."
        )
    quasi = np.zeros(frequencies.shape, dtype=np.float64)
    quasi[seen] = sums * solution
    return quasi / quasi.sum()


class _Readout:
    """The readout matrix between outcomes that were seen."""

    def __init__(self, matrices: Sequence[np.ndarray], seen: np.ndarray) -> None:
        self.matrices = [np.asarray(each, dtype=np.float64) for each in matrices]
        self.seen = seen
        self._forward = _grouped(self.matrices)
        self._inverse = _grouped([np.linalg.inv(each) for each in self.matrices])

    def forward(self, values: np.ndarray) -> np.ndarray:
        """Apply A to values of the seen outcomes."""
        return self._between(self._forward, values)

    def inverse(self, values: np.ndarray) -> np.ndarray:
        """Apply the inverse of the whole A, restricted: exact if every outcome was seen."""
        return self._between(self._inverse, values)

    def column_sums(self) -> np.ndarray:
        """Return the chance that a prepared outcome is read as one that was seen."""
        return self._between(_grouped([each.T for each in self.matrices]), np.ones(len(self.seen)))

    def dense(self) -> np.ndarray:
        """Return A as a matrix."""
        found = np.ones((len(self.seen), len(self.seen)))
        for bit, matrix in enumerate(self.matrices):
            value = (self.seen >> bit) & 1
            found *= matrix[value[:, None], value]
        return found

    def _between(self, groups: list[np.ndarray], values: np.ndarray) -> np.ndarray:
        whole = np.zeros(1 << len(self.matrices))
        whole[self.seen] = values
        low = 1
        for group in groups:
            whole = np.matmul(group, whole.reshape(-1, len(group), low))
            low *= len(group)
        return whole.reshape(-1)[self.seen]


def _grouped(matrices: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Multiply out the matrices of neighbouring bits; bit 0 is in the first."""
    groups = []
    for start in range(0, len(matrices), GROUP_QUBITS):
        found = np.ones((1, 1))
        for each in matrices[start : start + GROUP_QUBITS]:
            found = np.kron(each, found)
        groups.append(found)
    return groups


def _by_gmres(readout: _Readout, frequencies: np.ndarray) -> np.ndarray:
    """Return the solution; slow steps lead to a matrix, NaN means that none was found."""
    from scipy.sparse.linalg import LinearOperator, gmres

    size = len(frequencies)
    small = size <= DENSE_OUTCOMES
    solution, failed = gmres(
        LinearOperator((size, size), matvec=readout.forward, dtype=np.float64),
        frequencies,
        M=LinearOperator((size, size), matvec=readout.inverse, dtype=np.float64),
        rtol=TOLERANCE,
        atol=0.0,
        restart=min(CYCLE, size),
        maxiter=SHORT_CYCLES if small else LONG_CYCLES,
    )
    if not failed:
        return np.asarray(solution)
    if not small:
        return np.full(size, np.nan)
    return np.asarray(np.linalg.solve(readout.dense(), frequencies))
