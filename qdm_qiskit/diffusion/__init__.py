"""Forward processes on images and states, their training targets and their reverse steps."""

from .base import DiffusionProcess, Goal, ImageProcess, Predictor, StateSpace, TrainingPairs
from .catalog import DiffusionConfig, make_process
from .continuous import VariancePreserving
from .depolarizing import Depolarizing
from .gaussian import GaussianChain
from .interpolated import InterpolatedNoise
from .interpolated_states import InterpolatedStates
from .levels import LevelChain
from .mixed_states import MixedStates
from .noise_prediction import NoisePrediction
from .reverse import OnStep, check_chain, check_finite, check_prediction, own_step, reverse_chain
from .states import ComplexGaussian
from .velocity import VelocityPrediction

__all__ = [
    "ComplexGaussian",
    "Depolarizing",
    "DiffusionConfig",
    "DiffusionProcess",
    "GaussianChain",
    "Goal",
    "ImageProcess",
    "InterpolatedNoise",
    "InterpolatedStates",
    "LevelChain",
    "MixedStates",
    "NoisePrediction",
    "OnStep",
    "Predictor",
    "StateSpace",
    "TrainingPairs",
    "VariancePreserving",
    "VelocityPrediction",
    "check_chain",
    "check_finite",
    "check_prediction",
    "make_process",
    "own_step",
    "reverse_chain",
]
