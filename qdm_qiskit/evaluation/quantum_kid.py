"""A kernel distance with a quantum kernel in the place of KID's cubic one."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, final

import numpy as np

from ..arguments import checked_text, of_kind, real_number
from ..errors import InvalidOption
from .bootstrap import Interval
from .distances import KernelMatrices
from .metric import ImageSets, Metric
from .metrics import KERNEL_IMAGES, Network

if TYPE_CHECKING:
    from ..kernels import QuantumKernel

__all__ = ["QUBITS", "SPREAD", "QuantumKID", "leading_components", "quantum_kid"]

QUBITS = 6
"""Qubits of the kernel that the name ``quantum_kid`` stands for."""
SPREAD = 0.1
"""Standard deviation in radians of each angle over the reference."""


@final
class QuantumKID(Metric):
    """KID's statistic with a quantum kernel, on the leading components of a network's features.

    Components are those of the reference, each divided by its deviation there, and their number is
    that of the kernel's inputs. Values of different kernels are on different scales: compare rows of
    one table.

    Args:
        kernel: The kernel, of angles; by default the fidelity of ``zz_feature_map(6, reps=1)`` with
            linear entanglement.
        name: Name of the metric; another than ``quantum_kid`` for another kernel.
        title: Name in tables.
        network: Source of the features.
        spread: Standard deviation in radians of each angle over the reference, above 0.

    Raises:
        InvalidOption: If ``spread`` is not above 0, or the kernel takes amplitudes.
    """

    def __init__(
        self,
        kernel: QuantumKernel | None = None,
        *,
        name: str = "quantum_kid",
        title: str = "KID with a quantum kernel, domain",
        network: Network = "domain",
        spread: float = SPREAD,
    ) -> None:
        if not (math.isfinite(real_number(spread, "spread")) and spread > 0):
            raise InvalidOption(f"spread is an angle in radians above 0, got {spread!r}.")
        if kernel is not None:
            from ..kernels import QuantumKernel

            of_kind(kernel, QuantumKernel, "kernel")
            if kernel.spec.encoding == "amplitude":
                raise InvalidOption(
                    f"Components enter as angles, and '{kernel.spec.name}' takes amplitudes; take a "
                    "circuit of angles."
                )
        self.name, self.title = checked_text(name, "name"), checked_text(title, "title")
        self._given, self._network, self._spread = kernel, network, spread

    @cached_property
    def kernel(self) -> QuantumKernel:
        """The kernel, made at its first use."""
        if self._given is not None:
            return self._given
        from qiskit.circuit.library import zz_feature_map

        from ..kernels import QuantumKernel

        circuit = zz_feature_map(QUBITS, reps=1, entanglement="linear")
        return QuantumKernel(circuit)

    def measure(self, sets: ImageSets) -> Interval | None:
        """See :meth:`.Metric.measure`.

        Raises:
            InvalidOption: If the kernel has more inputs than the features allow.
        """
        found = (sets.features or {}).get(self._network)
        if found is None:
            return None
        kernel = self.kernel
        x, y = found.images[:KERNEL_IMAGES], found.reference[:KERNEL_IMAGES]
        a, b = leading_components(x, y, kernel.num_inputs)
        a, b = self._spread * a, self._spread * b
        matrices = KernelMatrices(kernel.matrix(a), kernel.matrix(b), kernel.matrix(a, b))
        return sets.interval(matrices.distance, (len(x), len(y)))


def leading_components(
    x: np.ndarray, reference: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return both sets in the principal components of the reference, each of deviation 1 there.

    Args:
        x: ``(images, features)``.
        reference: ``(others, features)``.
        count: Components.

    Returns:
        ``(images, count)`` and ``(others, count)``.

    Raises:
        InvalidOption: If the reference varies in fewer directions.
    """
    mean = reference.mean(axis=0)
    _, sizes, directions = np.linalg.svd(reference - mean, full_matrices=False)
    rank = int((sizes > 1e-9 * sizes.max(initial=0.0)).sum())
    if count > rank:
        raise InvalidOption(
            f"A kernel of {count} inputs needs as many components, and the reference varies in {rank}; "
            "take a kernel of fewer inputs, or more images."
        )
    deviations = sizes[:count] / math.sqrt(len(reference) - 1)
    turned = directions[:count].T / deviations
    return (x - mean) @ turned, (reference - mean) @ turned


quantum_kid = QuantumKID()
