"""M3 as version 0.1 ran it, for the runs that it planned.

This is mthree's own ``apply_correction``, in single precision and up to Hamming distance 3: readout
errors between outcomes that differ in more bits count as 0. A plan binds its run's arithmetic too,
so runs of 0.1 go on by this one, to the bit; all else uses :mod:`~qdm_qiskit.mitigation.m3`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import InvalidData

__all__ = [
    "solve_near",
]


def solve_near(
    counts: np.ndarray, matrices: Mapping[int, np.ndarray], qubits: Sequence[int]
) -> np.ndarray:
    """Correct counts between outcomes that differ in 3 bits at most.

    Args:
        counts: ``(batch, 2**m)`` whole numbers; no row is empty.
        matrices: For each physical qubit ``matrix[read, prepared]``.
        qubits: The ``m`` physical qubits of the bits.

    Returns:
        Float64 quasi-probabilities of the same shape; rows sum to 1.

    Raises:
        InvalidData: If mthree finds no solution.
    """
    from mthree import M3Mitigation
    from mthree.exceptions import M3Error

    m3 = M3Mitigation(None)
    m3.cals_from_matrices(
        [
            # M3 reads single precision in C.
            np.ascontiguousarray(matrices[q], dtype=np.float32) if q in matrices else None
            for q in range(max(qubits) + 1)
        ]
    )
    quasi = np.zeros(counts.shape, dtype=np.float64)
    for row, row_counts in enumerate(counts):
        seen = {f"{k:0{len(qubits)}b}": int(row_counts[k]) for k in np.flatnonzero(row_counts)}
        try:
            found = m3.apply_correction(seen, list(qubits))
        except M3Error as error:
            raise InvalidData(
                f"mthree, by which version 0.1 planned to correct the readout, finds no solution for "
                f"{len(seen)} outcomes of {len(qubits)} qubits ({error}); plan a new run."
            ) from error
        for key, value in found.items():
            quasi[row, int(key, 2)] = value
    # M3 solves in single precision and, of thousands of outcomes, to a tolerance: rows do not sum to 1.
    return quasi / quasi.sum(axis=1, keepdims=True)
