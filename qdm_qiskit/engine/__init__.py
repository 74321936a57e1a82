"""Any Qiskit circuit as a batched torch program with exact gradients."""

from .circuit_cache import CircuitCache
from .compile import compile_circuit
from .metric import fubini_study_metric
from .noise import DensityProgram, NoisyProgram, TrajectoryProgram, compile_noisy
from .primitives import EngineEstimator, EngineSampler
from .program import CircuitProgram
from .qiskit_gradients import EngineEstimatorGradient, EngineSamplerGradient

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
