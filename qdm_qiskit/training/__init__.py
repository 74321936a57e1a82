"""Training runs: configuration, loop, checkpoints."""

from .checkpoint import Progress, find_checkpoint, load_progress, load_weights, weights_folder
from .config import DataConfig, RunConfig, TrainingConfig, resolve_run, run_from_dict
from .loop import ProgressReport, TrainingResult, load_split, train

__all__ = [
    "DataConfig",
    "Progress",
    "ProgressReport",
    "RunConfig",
    "TrainingConfig",
    "TrainingResult",
    "find_checkpoint",
    "load_progress",
    "load_split",
    "load_weights",
    "resolve_run",
    "run_from_dict",
    "train",
    "weights_folder",
]
