"""Classes as a denoiser is told them: one-hot, or by their likeness to each other in a kernel.

Classes in order, such as temperatures, stand at ``u = 0 .. 1``. Class c becomes row c of the symmetric
root of the kernel's matrix of all classes: Nystroem's features ``k(u, L) K_LL**(-1/2)`` with the
classes themselves as landmarks L, so that rows of two classes have the kernel as their product. The
identity is the kernel of classes that are not alike at all, and its root is one-hot. What is learned of
a class then says something of its neighbours, also of those without a single training row.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from torch import Tensor

from ..errors import InvalidOption

if TYPE_CHECKING:
    from ..kernels import QuantumKernel

__all__ = [
    "CURVATURE",
    "Conditioning",
    "check_conditioning",
    "class_kernel",
    "condition_table",
]

Conditioning = Literal["label", "kernel", "rbf"]
"""One-hot; a quantum kernel's fidelities; a Gaussian of the same curvature at 0."""
CURVATURE = 5 * math.pi**2 / 4
"""Both kernels are ``1 - CURVATURE (u - v)**2`` and higher terms."""


def class_kernel() -> QuantumKernel:
    """Return the fidelity kernel ``cos(pi (u - v) / 2)**2 cos(pi (u - v))**2`` of u in [0, 1].

    Two qubits, turned by RY of ``pi u`` and ``2 pi u``.
    """
    from ..kernels import QuantumKernel  # slow to import, and few ask for it

    u = Parameter("u")
    circuit = QuantumCircuit(2, name="class_kernel")
    circuit.ry(math.pi * u, 0)
    circuit.ry(2 * math.pi * u, 1)
    return QuantumKernel(circuit)


@cache
def condition_table(kind: Conditioning, num_classes: int) -> Tensor:
    """Return what each class is told as, ``(num_classes, num_classes)`` float64.

    Args:
        kind: One-hot, or a kernel.
        num_classes: Classes, at least 1.
    """
    if kind == "label":
        return torch.eye(num_classes, dtype=torch.float64)
    values = np.linspace(0, 1, num_classes)[:, None]
    if kind == "kernel":
        matrix = np.asarray(class_kernel().matrix(values))
    else:
        matrix = np.exp(-CURVATURE * (values - values.T) ** 2)
    weights, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    root = (vectors * np.sqrt(weights.clip(min=0))) @ vectors.T
    return torch.from_numpy(np.ascontiguousarray(root))


def check_conditioning(kind: str, guided: bool) -> None:
    """Refuse a kind that there is not, and a kernel for a model that is told no class.

    Raises:
        InvalidOption: With the way out.
    """
    if kind not in get_args(Conditioning):
        raise InvalidOption(
            f"conditioning is one of {', '.join(get_args(Conditioning))}, got {kind!r}."
        )
    if kind != "label" and not guided:
        raise InvalidOption(f"conditioning={kind} is of classes; set guided=true too.")
