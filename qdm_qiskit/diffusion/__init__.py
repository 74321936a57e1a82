"""Forward processes on images, their training targets and their reverse steps."""

from .base import DiffusionProcess, Goal, TrainingPairs
from .catalog import DiffusionConfig, make_process
from .gaussian import GaussianChain
from .interpolated import InterpolatedNoise
from .reverse import Answer, reverse_chain

__all__ = [
    "Answer",
    "DiffusionConfig",
    "DiffusionProcess",
    "GaussianChain",
    "Goal",
    "InterpolatedNoise",
    "TrainingPairs",
    "make_process",
    "reverse_chain",
]
