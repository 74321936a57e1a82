"""Any Qiskit circuit as a batched torch program with exact gradients."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .compile import compile_circuit
from .noise import DensityProgram, NoisyProgram, TrajectoryProgram, compile_noisy
from .primitives.circuit_cache import CircuitCache
from .primitives.fubini_study import fubini_study_metric
from .primitives.primitives import EngineEstimator, EngineSampler
from .program import CircuitProgram

if TYPE_CHECKING:
    from .primitives.gradients import EngineEstimatorGradient, EngineSamplerGradient

_GRADIENTS = ("EngineEstimatorGradient", "EngineSamplerGradient")
"""Names of a module that imports qiskit-machine-learning, whose QNNs they are for."""

__all__ = [
    "CircuitCache",
    "CircuitProgram",
    "DensityProgram",
    "EngineEstimator",
    "EngineEstimatorGradient",
    "EngineSampler",
    "EngineSamplerGradient",
    "NoisyProgram",
    "TrajectoryProgram",
    "compile_circuit",
    "compile_noisy",
    "fubini_study_metric",
]


if not TYPE_CHECKING:  # else type checkers accept any name of the module

    def __getattr__(name: str) -> object:
        """Import a name of :data:`_GRADIENTS` at its first use."""
        if name not in _GRADIENTS:
            raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
        found = getattr(import_module(".primitives.gradients", __name__), name)
        globals()[name] = found
        return found
