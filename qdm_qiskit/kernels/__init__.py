"""Quantum kernels: how alike two inputs are to a circuit.

::

    kernel.py       the kernel of a circuit: fidelity or projected, exact or through noise
    products.py     features to matrices, tile by tile
    features.py     inputs to features: states, density matrices, Bloch vectors
    noisy.py        the same through a device's noise
    circuits.py     the kernel as circuits with shots: compute-uncompute, Bloch vectors
    mmd.py          distance of two sets by a kernel
"""

from .circuits import bloch_qnn, pair_qnn, pairs_of
from .kernel import QuantumKernel
from .mmd import kernel_mmd

__all__ = ["QuantumKernel", "bloch_qnn", "kernel_mmd", "pair_qnn", "pairs_of"]
