"""Circuits as ``torch.nn`` layers: on the engine, or on any Qiskit primitive."""

from .branch_layer import BranchLayer
from .executors import Executor, engine_executor
from .from_qnn import QnnLayer
from .observables import AdaptiveObservables, neighbouring_groups
from .qnn import qnn_executor
from .quantum_layer import QuantumLayer
from .state_blocks import StateBlocks
from .state_layer import StateLayer

__all__ = [
    "AdaptiveObservables",
    "BranchLayer",
    "Executor",
    "QnnLayer",
    "QuantumLayer",
    "StateBlocks",
    "StateLayer",
    "engine_executor",
    "neighbouring_groups",
    "qnn_executor",
]
