"""Circuits as ``torch.nn`` layers: on the engine, or on any Qiskit primitive."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .branch_layer import BranchLayer
from .executors import Executor, engine_executor
from .observables import AdaptiveObservables, neighbouring_groups
from .quantum_layer import QuantumLayer
from .state_blocks import StateBlocks
from .state_layer import StateLayer

if TYPE_CHECKING:
    from .from_qnn import QnnLayer
    from .qnn import qnn_executor

_HOMES = {"QnnLayer": "from_qnn", "qnn_executor": "qnn"}
"""Names and their modules, which import qiskit-machine-learning: few models need it."""

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


if not TYPE_CHECKING:  # else type checkers accept any name of the module

    def __getattr__(name: str) -> object:
        """Import a name of :data:`_HOMES` at its first use."""
        if name not in _HOMES:
            raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
        found = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = found
        return found
