"""Circuits as ``torch.nn`` layers: on the engine, or on any Qiskit primitive."""

from .executors import Executor, engine_executor
from .from_qnn import QnnLayer
from .observables import AdaptiveObservables, neighbouring_groups
from .qnn import qnn_executor
from .quantum_layer import QuantumLayer

__all__ = [
    "AdaptiveObservables",
    "Executor",
    "QnnLayer",
    "QuantumLayer",
    "engine_executor",
    "neighbouring_groups",
    "qnn_executor",
]
