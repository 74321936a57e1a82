"""Maximum mean discrepancy of two sets by a kernel (Gretton et al., JMLR 13, 2012)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..errors import InvalidData

__all__ = ["kernel_mmd"]


def kernel_mmd(kernel: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Return the unbiased squared distance of two sets, differentiable wherever the kernel is.

    A loss that draws generated rows ``x`` towards real rows ``y``. It may be below 0. A fidelity
    kernel sees the mean states only; a projected one is not linear in the states and sees more.

    Args:
        kernel: A :class:`.QuantumKernel`, or any function of two sets of rows to their matrix.
        x: ``(m, width)``, at least 2 rows.
        y: ``(n, width)``, at least 2 rows.

    Raises:
        InvalidData: If a set has fewer rows.
    """
    if min(len(x), len(y)) < 2:
        raise InvalidData(
            f"A distance of sets needs at least 2 rows of each, got {len(x)} and {len(y)}."
        )
    between = kernel(x, y).mean()  # first, so that a refusal names the set that does not fit
    return _off_diagonal(kernel(x, x)) + _off_diagonal(kernel(y, y)) - 2 * between


def _off_diagonal(matrix: Tensor) -> Tensor:
    count = len(matrix)
    return (matrix.sum() - matrix.diagonal().sum()) / (count * (count - 1))
