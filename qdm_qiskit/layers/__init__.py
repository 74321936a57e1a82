"""Circuits as ``torch.nn`` layers: on the engine, or on any Qiskit primitive."""

from .executors import Executor, engine_executor
from .from_qnn import QnnLayer
from .qnn import qnn_executor
from .quantum_layer import QuantumLayer

__all__ = ["Executor", "QnnLayer", "QuantumLayer", "engine_executor", "qnn_executor"]
