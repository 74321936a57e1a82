"""Other libraries on the same workloads, each in its best reasonable setting; one file each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from workloads import Step, Workload

from . import (
    default_qubit,
    lightning_qubit,
    pyqtorch_backprop,
    qiskit_qnn,
    qulacs_adjoint,
    tensorcircuit_jax,
)


@dataclass(frozen=True)
class Peer:
    """How a library computes a training step."""

    title: str
    """Name in the table."""
    precision: str
    """Of its states."""
    build: Callable[[Workload], Step]
    """A training step; whatever is compiled is compiled by its first call."""
    only: tuple[str, ...] = ()
    """Beginnings of the names of the workloads that it runs; all if empty."""
    samples: int | None = None
    """Measure this many samples and multiply, where a whole batch takes minutes."""


PEERS: dict[str, Peer] = {
    "default": Peer("PennyLane default.qubit, torch backprop", "complex64", default_qubit.build),
    "lightning": Peer(
        "PennyLane lightning.qubit, adjoint, sample by sample", "complex64", lightning_qubit.build
    ),
    "lightning-wide": Peer(
        "PennyLane lightning.qubit, adjoint, batch as qubits",
        "complex64",
        lightning_qubit.build_wide,
        only=("W1", "W2"),
    ),
    "tc": Peer("TensorCircuit-NG on JAX, jit, scan, vmap", "complex64", tensorcircuit_jax.build),
    "qulacs": Peer("qulacs, adjoint, sample by sample", "complex128", qulacs_adjoint.build),
    "qulacs-wide": Peer(
        "qulacs, adjoint, batch as qubits",
        "complex128",
        qulacs_adjoint.build_wide,
        only=("W1", "W2"),
    ),
    "pyqtorch": Peer("pyqtorch, backprop", "complex64", pyqtorch_backprop.build),
    "engine-qnn": Peer(
        "unmodified EstimatorQNN + TorchConnector on EngineEstimator",
        "complex128",
        qiskit_qnn.build_on_engine,
        only=("W4",),
    ),
    "from-qnn": Peer("QuantumLayer.from_qnn", "complex64", qiskit_qnn.build_from_qnn, only=("W4",)),
    "qnn": Peer(
        "EstimatorQNN + TorchConnector on Aer",
        "complex128",
        qiskit_qnn.build,
        only=("W4",),
        samples=2,
    ),
}
