"""Run a quantum kernel on any target with shots, hardware included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arguments import of_kind, real_array
from ..errors import InvalidData, InvalidOption
from ..kernels import QuantumKernel, bloch_qnn, pair_qnn
from ..kernels.circuits import pairs_of, values_of
from ..notebook import one_line
from .qnn import QnnRun, run_qnn

__all__ = ["MOST_ROWS", "KernelRun", "run_kernel"]

MOST_ROWS = 1_000_000
"""Most circuits of a matrix: each is a row of a job."""


@dataclass(frozen=True, eq=False, kw_only=True)
class KernelRun:
    """Kernel matrix from a target's shots."""

    matrix: np.ndarray
    """``(m, n)`` float64; a set with itself has 1 on the diagonal, which no circuit is run for."""
    standard_errors: np.ndarray | None
    """``(m, n)``: from the shots; of a projected kernel by the delta method, Bloch components taken as
    independent. None where they are not known."""
    run: QnnRun
    """The run of the circuits behind it, with cost and record."""

    def __repr__(self) -> str:
        return one_line("KernelRun", f"{self.matrix.shape}", repr(self.run))


def run_kernel(kernel: QuantumKernel, x: Any, y: Any = None, **how: Any) -> KernelRun:
    """Measure a kernel matrix on a target: ``aer``, ``noisy:``, ``local:``, hardware.

    A fidelity is the probability of all zeros behind the circuit of x and the inverse circuit of y: a
    circuit for each pair, and for each pair i < j of one set. A projected kernel takes the Bloch
    vectors of each row, in three bases; its shot noise makes distances too long and the kernel too
    small, by a share that falls with the shots, and leaves it positive semidefinite.

    Args:
        kernel: Without noise of its own: the target brings it.
        x: ``(m, num_inputs)``.
        y: ``(n, num_inputs)``; ``x`` itself if None.
        how: ``target``, ``shots``, ``mitigation``, ``seed``, and for hardware ``budget`` and ``root``,
            as :func:`~qdm_qiskit.tasks.qnn.run_qnn` takes them. A run that was stopped goes on when
            called again. ``plan_qnn(pair_qnn(kernel), pairs_of(kernel, x, y), ...)`` shows its cost.

    Returns:
        The matrix with its standard errors.

    Raises:
        InvalidArgument, InvalidData: If the rows do not fit, or are too many pairs.
        InvalidOption: If the kernel has noise of its own, or weights are given.
        Others: As :func:`~qdm_qiskit.tasks.qnn.run_qnn`.

    >>> from qiskit.circuit.library import z_feature_map
    >>> kernel = QuantumKernel(z_feature_map(2, reps=1))
    >>> found = run_kernel(kernel, [[0.1, 0.2], [0.5, -0.3]], target="aer", shots=4000, seed=1)
    >>> off = abs(found.matrix - kernel.matrix([[0.1, 0.2], [0.5, -0.3]]))
    >>> bool((off <= 5 * found.standard_errors + 1e-12).all())
    True
    """
    of_kind(kernel, QuantumKernel, "kernel")
    if "weights" in how or "inputs" in how:
        raise InvalidOption("A kernel has its own weights; give them to QuantumKernel.")
    left = _rows(kernel, x, "x")
    right = None if y is None else _rows(kernel, y, "y")
    if kernel.kind == "projected":
        return _projected(kernel, left, right, how)
    qnn = pair_qnn(kernel)
    count = len(left) * (len(left) - 1) // 2 if right is None else len(left) * len(right)
    if not 1 <= count <= MOST_ROWS:
        raise InvalidData(
            f"A matrix of shots takes a circuit for each of 1 to {MOST_ROWS} pairs, got {count}; a "
            "projected kernel takes three for each row."
        )
    run = run_qnn(qnn, pairs_of(kernel, left, right), **how)
    errors = run.standard_errors
    return KernelRun(
        matrix=_laid_out(run.outputs[:, 0], len(left), right, 1.0),
        standard_errors=None if errors is None else _laid_out(errors[:, 0], len(left), right, 0.0),
        run=run,
    )


def _rows(kernel: QuantumKernel, given: Any, name: str) -> np.ndarray:
    """Return rows as float64.

    Raises:
        InvalidArgument, InvalidData: As the kernel itself.
    """
    rows = real_array(given, name)
    kernel.checked(rows, name)
    return rows


def _laid_out(
    values: np.ndarray, rows: int, right: np.ndarray | None, diagonal: float
) -> np.ndarray:
    """Return the matrix of pairs' values."""
    if right is not None:
        return values.reshape(rows, len(right))
    found = np.full((rows, rows), diagonal)
    i, j = np.triu_indices(rows, 1)
    found[i, j] = found[j, i] = values
    return found


def _projected(
    kernel: QuantumKernel, left: np.ndarray, right: np.ndarray | None, how: dict[str, Any]
) -> KernelRun:
    both = left if right is None else np.concatenate([left, right])
    run = run_qnn(bloch_qnn(kernel), values_of(kernel, both), **how)
    cut = len(left)

    def sides(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return table[:cut], table[0 if right is None else cut :]

    a, b = sides(run.outputs)
    apart = a[:, None, :] - b[None, :, :]
    matrix = np.exp(-0.5 * kernel.gamma * (apart**2).sum(axis=2))
    errors = None
    if run.standard_errors is not None:
        var_a, var_b = sides(run.standard_errors**2)
        spread = (apart**2 * (var_a[:, None, :] + var_b[None, :, :])).sum(axis=2)
        errors = kernel.gamma * matrix * np.sqrt(spread)
    return KernelRun(matrix=matrix, standard_errors=errors, run=run)
