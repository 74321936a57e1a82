"""The reverse chain on any target: exact, with shots, or through a device's noise."""

from .config import SamplingConfig
from .device import DeviceAnswer, StepRecord, register_probabilities, unrolled_circuit
from .pipeline import PipelineOutput, QDMPipeline
from .sample import (
    Samples,
    TrainedRun,
    check_output,
    chosen_labels,
    load_run,
    read_calibration,
    sample,
    write_samples,
)

__all__ = [
    "DeviceAnswer",
    "PipelineOutput",
    "QDMPipeline",
    "Samples",
    "SamplingConfig",
    "StepRecord",
    "TrainedRun",
    "check_output",
    "chosen_labels",
    "load_run",
    "read_calibration",
    "register_probabilities",
    "sample",
    "unrolled_circuit",
    "write_samples",
]
