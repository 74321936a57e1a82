"""Training runs: configuration, loop, checkpoints."""

from .checkpoint import Progress, find_checkpoint, load_progress, load_weights, weights_folder
from .config import DataConfig, RunConfig, TrainingConfig, resolve_run, run_from_dict
from .loop import train
from .report import ProgressReport, TrainingResult
from .run_data import load_split

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
