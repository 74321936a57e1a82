"""The choice of a run's whole chain as one circuit, and its run on a target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..diffusion import DiffusionProcess
from ..engine.noise.runners import runner_for
from ..errors import InvalidOption, TargetUnavailable
from ..execution.runner import CircuitRunner
from ..execution.targets import Target
from ..layers.calling import ExactTarget
from ..mitigation.readout import ReadoutCalibration
from ..models import Denoiser
from ..progress import Message, Progress, silent
from ..rng import stream
from .call_targets import EngineShots, KeptCircuits, Programs
from .coherent import ChainResult, CoherentChain
from .config import SamplingConfig
from .device import DevicePredictor
from .model_calls import hands_on_states
from .samplers import Sampler

if TYPE_CHECKING:
    from .trained_run import TrainedRun

__all__ = [
    "chain_in_one",
    "chosen_chain",
    "history_stream",
    "run_at_once",
    "runner_of",
]


def runner_of(config: SamplingConfig, target: Target) -> CircuitRunner:
    """Return the runner of a target, with the noise and simulator that were asked for."""
    return runner_for(
        target,
        seed=config.seed,
        readout=config.readout,
        simulator=config.simulator,
        noise=config.noise,
    )


def chosen_chain(
    run: TrainedRun,
    config: SamplingConfig,
    sampler: str | Sampler | None,
    x: Tensor,
    labels: Tensor | None,
) -> tuple[CoherentChain | None, str]:
    """Return the chain as one circuit, or None and the reason.

    ``auto`` leaves exact values to the engine, and goes step by step where the chain in one circuit
    would keep less than one shot of an image.

    Args:
        run: The run.
        config: Its ``chain``, sampler, steps, target and shots.
        sampler: As in :func:`.sample`.
        x: ``(batch, ...)``: x_T.
        labels: ``(batch,)`` of guided models.

    Raises:
        TargetUnavailable: If ``chain`` is ``coherent`` and the run's chain is not, with the reason.
        InvalidOption: If ``chain`` is ``coherent`` and the sampler is not the process's own.
    """
    exact = config.target.startswith("engine") and config.shots is None
    if config.chain == "steps" or (config.chain == "auto" and exact):
        return None, "chain is 'steps'" if config.chain == "steps" else ""
    own = config.scheduler == "process" and sampler in (None, "process")
    found, why = chain_in_one(
        run.model,
        run.process,
        own_steps=config.num_inference_steps if own else 0,
        insist=config.chain == "coherent",
    )
    if found is not None and config.chain == "auto":
        lost = found.too_few_kept(found.expected_share(x, labels), config.shots)
        if lost:
            return None, f"{lost}."
    return found, why


def chain_in_one(
    model: Denoiser, process: DiffusionProcess, *, own_steps: int | None, insist: bool
) -> tuple[CoherentChain | None, str]:
    """Return a model's chain as one circuit, or None and the reason; without one for images.

    Args:
        model: With its weights.
        process: The process of its training.
        own_steps: Steps of the process's own sampler that are asked for; None is all of them, and 0
            another sampler.
        insist: True to raise in place of None.

    Raises:
        TargetUnavailable, InvalidOption: As :func:`chosen_chain`.
    """
    if not hands_on_states(model):
        if insist:
            raise TargetUnavailable(
                f"'{model.name}' hands on images and no states, so its steps are no one circuit; "
                "leave chain at 'auto'."
            )
        return None, ""
    if own_steps not in (None, process.num_steps):
        why = "Only all steps of the process's own chain are one circuit"
        if insist:
            raise InvalidOption(f"{why}; leave sampler and steps out, or set chain to 'steps'.")
        return None, f"{why}."
    try:
        return CoherentChain.of(model, process), ""
    except TargetUnavailable as error:
        if insist:
            raise
        return None, str(error)


def history_stream(seed: int) -> np.random.Generator:
    """Return the stream of a run's seed that draws histories; ``(0,)`` has drawn x_T."""
    return stream(seed, "sampling", 0, 1)


@torch.no_grad()
def run_at_once(
    chain: CoherentChain,
    config: SamplingConfig,
    target: Target,
    x: Tensor,
    labels: Tensor | None,
    calibration: ReadoutCalibration | None = None,
    runner: CircuitRunner | None = None,
    kept: KeptCircuits | None = None,
    progress: Progress = silent,
) -> tuple[ChainResult, DevicePredictor | None]:
    """Run a chain in one job.

    Ancillas are fresh qubits, or measured and reset in the middle: see :func:`.reuses_qubits`.

    Args:
        chain: The chain.
        config: Shots, mitigation, seed.
        target: The target that runs it.
        x: ``(batch, ...)``: x_T.
        labels: ``(batch,)`` of guided models.
        calibration: A readout calibration taken earlier.
        runner: Runner in place of the target's own.
        kept: What other samplings share.
        progress: Receives the progress messages.

    Returns:
        x_0 and the shares; and the record of the run, where a runner ran it.

    Raises:
        InvalidData: If an image would keep less than one shot, keeps none, or has no history whose
            state can be told.
        UnsupportedCircuit: If the device has too few qubits.
    """
    rng = history_stream(config.seed)
    if target.kind == "engine":
        exact = config.shots is None
        answers = ExactTarget() if exact else EngineShots(config.seed, Programs(), single=False)
        found = chain.run(answers, x, labels, shots=config.shots, rng=rng)
        return found, None
    predicted = chain.checked(x, labels, config.shots)
    if runner is None:
        runner = runner_of(config, target)
    backend = None if target.kind == "aer" else runner.backend
    call = chain.call_on(backend, x, labels, shots=config.shots)
    device = DevicePredictor.of_call(
        chain.model,
        runner,
        config,
        call,
        calibration=calibration,
        kept=kept,
        progress=progress,
    )
    share = f"{predicted.min():.3g} to {predicted.max():.3g}"
    progress(Message(f"keeping {share} of the shots"))
    [result] = device.at(1).answer([call])
    return chain.read(result, x, config.shots, predicted, rng), device
