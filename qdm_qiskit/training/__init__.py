"""Training runs: configuration, loop, checkpoints."""

from .callbacks import BestCheckpoint, Callback, EarlyStopping, Epoch
from .checkpoint import (
    TrainingState,
    find_checkpoint,
    load_training_state,
    load_weights,
    weights_folder,
)
from .config import DataConfig, RunConfig, TrainingConfig, resolve_run, run_from_dict
from .epoch_end import read_history
from .loop import train
from .options_file import read_options
from .progress import TrainingProgress
from .result import TrainingResult
from .run_data import load_split

__all__ = [
    "BestCheckpoint",
    "Callback",
    "DataConfig",
    "EarlyStopping",
    "Epoch",
    "RunConfig",
    "TrainingConfig",
    "TrainingProgress",
    "TrainingResult",
    "TrainingState",
    "find_checkpoint",
    "load_split",
    "load_training_state",
    "load_weights",
    "read_history",
    "read_options",
    "resolve_run",
    "run_from_dict",
    "train",
    "weights_folder",
]
