"""Any Qiskit circuit as a batched torch program with exact gradients."""

from .compile import compile_circuit
from .noise import DensityProgram, NoisyProgram, TrajectoryProgram, compile_noisy
from .primitives.circuit_cache import CircuitCache
from .primitives.fubini_study import fubini_study_metric
from .primitives.gradients import EngineEstimatorGradient, EngineSamplerGradient
from .primitives.primitives import EngineEstimator, EngineSampler
from .program import CircuitProgram

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
