"""The reverse chain on any target: exact, with shots, or through a device's noise."""

from .analytic import AnalyticDPM
from .call_targets import EngineShots, RunnerTarget
from .config import SamplingConfig
from .continuous import FlowODE, ReverseSDE
from .device import DevicePredictor
from .discrete import DDIM, DDPM, DPMSolver
from .one_circuit import register_probabilities, unrolled_circuit
from .pipeline import PipelineOutput, QDMPipeline
from .sample import sample
from .samplers import Ask, ProcessSampler, Sampler, Seen, Step
from .samples import Samples, check_output, read_calibration, write_samples
from .schedulers import SAMPLERS, find_sampler
from .step_records import StepRecord, by_step
from .trained_run import TrainedRun, chosen_labels, load_run

__all__ = [
    "DDIM",
    "DDPM",
    "SAMPLERS",
    "AnalyticDPM",
    "Ask",
    "DPMSolver",
    "DevicePredictor",
    "EngineShots",
    "FlowODE",
    "PipelineOutput",
    "ProcessSampler",
    "QDMPipeline",
    "ReverseSDE",
    "RunnerTarget",
    "Sampler",
    "Samples",
    "SamplingConfig",
    "Seen",
    "Step",
    "StepRecord",
    "TrainedRun",
    "by_step",
    "check_output",
    "chosen_labels",
    "find_sampler",
    "load_run",
    "read_calibration",
    "register_probabilities",
    "sample",
    "unrolled_circuit",
    "write_samples",
]
