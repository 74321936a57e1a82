"""Quantum diffusion models as Qiskit templates, trained on simulators and costed before they run.

``import qdm_qiskit as qdm``, and ``qdm.<tab>`` shows what most people need: a function for each task
(:func:`train`, :func:`sample`, :func:`evaluate`, :func:`cost`, :func:`plan`, :func:`submit` ...) and
the objects that these take. Each is imported when it is first asked for, so this import is instant
and needs neither torch nor Qiskit. The rest is in the rooms: ``from qdm_qiskit.circuits import eeqdm``.

>>> import qdm_qiskit as qdm
>>> [name for name in dir(qdm) if name.startswith("load")]
['load_backend', 'load_dataset', 'load_device', 'load_run']
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .version import __version__ as __version__

if TYPE_CHECKING:  # what type checkers and editors see; a test compares it with _HOMES
    from . import circuits as circuits
    from . import errors as errors
    from .circuits import CircuitSpec as CircuitSpec
    from .circuits import Loader as Loader
    from .data import Dataset as Dataset
    from .data import load_dataset as load_dataset
    from .engine import EngineEstimator as EngineEstimator
    from .engine import EngineSampler as EngineSampler
    from .engine import compile_circuit as compile_circuit
    from .engine import compile_noisy as compile_noisy
    from .errors import QdmError as QdmError
    from .evaluation import Metric as Metric
    from .execution.device_files import load_device as load_device
    from .execution.device_files import save_device as save_device
    from .execution.factory import make_runner as make_runner
    from .execution.snapshots import load_backend as load_backend
    from .execution.targets import parse_target as parse_target
    from .hardware.plan.config import PlanConfig as PlanConfig
    from .hardware.providers.base import Provider as Provider
    from .layers import QuantumLayer as QuantumLayer
    from .mitigation.readout import ReadoutCalibration as ReadoutCalibration
    from .models import Denoiser as Denoiser
    from .models import build_model as build_model
    from .sampling import QDMPipeline as QDMPipeline
    from .sampling import Sampler as Sampler
    from .sampling import SamplingConfig as SamplingConfig
    from .sampling import load_run as load_run
    from .tasks import Evaluation as Evaluation
    from .tasks import HardwareRun as HardwareRun
    from .tasks import budget as budget
    from .tasks import continue_training as continue_training
    from .tasks import cost as cost
    from .tasks import evaluate as evaluate
    from .tasks import export as export
    from .tasks import ladder as ladder
    from .tasks import parts as parts
    from .tasks import plan as plan
    from .tasks import plan_qnn as plan_qnn
    from .tasks import push_to_hub as push_to_hub
    from .tasks import replay as replay
    from .tasks import reproduce as reproduce
    from .tasks import restore as restore
    from .tasks import resume as resume
    from .tasks import run_qnn as run_qnn
    from .tasks import sample as sample
    from .tasks import set_budget as set_budget
    from .tasks import submit as submit
    from .tasks import system_metrics as system_metrics
    from .tasks import train as train
    from .training import RunConfig as RunConfig
    from .training import TrainingConfig as TrainingConfig
    from .training import resolve_run as resolve_run

_HOMES = {
    # data, circuits, models
    "load_dataset": "data",
    "Dataset": "data",
    "circuits": "",
    "CircuitSpec": "circuits",
    "Loader": "circuits",
    "QuantumLayer": "layers",
    "Denoiser": "models",
    "build_model": "models",
    # training, sampling, evaluation
    "train": "tasks",
    "continue_training": "tasks",
    "resolve_run": "training",
    "RunConfig": "training",
    "TrainingConfig": "training",
    "load_run": "sampling",
    "sample": "tasks",
    "restore": "tasks",
    "SamplingConfig": "sampling",
    "Sampler": "sampling",
    "QDMPipeline": "sampling",
    "plan_qnn": "tasks",
    "run_qnn": "tasks",
    "evaluate": "tasks",
    "Evaluation": "tasks",
    "Metric": "evaluation",
    "ladder": "tasks",
    "reproduce": "tasks",
    # sharing
    "export": "tasks",
    "push_to_hub": "tasks",
    # devices: cost, plan, run
    "load_backend": "execution.snapshots",
    "load_device": "execution.device_files",
    "save_device": "execution.device_files",
    "parse_target": "execution.targets",
    "make_runner": "execution.factory",
    "ReadoutCalibration": "mitigation.readout",
    "cost": "tasks",
    "plan": "tasks",
    "PlanConfig": "hardware.plan.config",
    "submit": "tasks",
    "resume": "tasks",
    "replay": "tasks",
    "HardwareRun": "tasks",
    "Provider": "hardware.providers.base",
    "budget": "tasks",
    "set_budget": "tasks",
    "system_metrics": "tasks",
    # the engine
    "compile_circuit": "engine",
    "compile_noisy": "engine",
    "EngineEstimator": "engine",
    "EngineSampler": "engine",
    # what other packages bring
    "parts": "tasks",
    # errors
    "errors": "",
    "QdmError": "errors",
}
"""Every name that is shown, with the module of this package that holds it; "" for a module itself."""

__all__ = sorted([*_HOMES, "__version__"])


if not TYPE_CHECKING:  # type checkers would take any name for one of the module's

    def __getattr__(name: str) -> object:
        """Import a name of :data:`_HOMES` when it is first asked for."""
        if name not in _HOMES:
            raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
        home = _HOMES[name]
        if home:
            found = getattr(import_module(f".{home}", __name__), name)
        else:
            found = import_module(f".{name}", __name__)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return list(__all__)
