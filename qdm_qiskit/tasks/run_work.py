"""Calls that a run of a model makes to its target: of a step, or of a chain in one circuit."""

from __future__ import annotations

from typing import Any

import torch

from ..diffusion import DiffusionProcess
from ..errors import InvalidOption, QdmError, TargetUnavailable
from ..evaluation.run_cost import Work
from ..execution.noisy import MAX_DENSITY_QUBITS
from ..layers.calling import calls_of
from ..models import Denoiser
from ..rng import derived_seed
from ..sampling.coherent import CoherentChain
from ..sampling.device import hands_on_states
from ..sampling.schedulers import planned_chain

__all__ = [
    "SHORT_CHAIN",
    "run_work",
    "short_chain",
]

SHORT_CHAIN = 10
"""Number of DDIM steps for which a run is priced too."""


def run_work(
    model: Denoiser,
    process: DiffusionProcess,
    *,
    num_images: int = 16,
    scheduler: str = "process",
    steps: int | None = None,
    seed: int = 0,
) -> Work:
    """Return the calls that sampling makes to a target.

    The calls are those of the first step, of noise; a later step calls the same circuits with other
    values, and counts the same.

    Args:
        model: The model, with its weights.
        process: The process of its training.
        num_images: Number of images, at least 1.
        scheduler: Name of the sampler.
        steps: Steps of the sampler; None leaves them to it.
        seed: Seed of the noise.

    Raises:
        InvalidOption: If the model calls no circuits, or the sampler does not fit the process.
        TargetUnavailable: If no target can answer the call of a layer's circuit.
    """
    _, times = planned_chain(process, scheduler, steps)
    start = torch.Generator().manual_seed(derived_seed(seed, "sampling", 0))
    x = process.start((num_images, *model.state_shape), start)
    labels = _labels(model, num_images)
    whole = scheduler == "process" and len(times) == process.num_steps
    if whole and hands_on_states(model):
        try:
            chain = CoherentChain.of(model, process)
        except TargetUnavailable:
            pass  # told from step to step
        else:
            return _coherent(chain, process, x, labels)
    training = model.training
    model.eval()
    try:
        jobs = calls_of(model, x, torch.ones(num_images), labels)
    finally:
        model.train(training)
    if not jobs:
        raise InvalidOption(
            f"'{model.name}' has no single circuit to report on, and calls none: it is classical and "
            "runs on the engine."
        )
    name = f"all {len(times)} steps of the process" if whole else f"{len(times)} steps"
    return Work(
        way="tomography" if hands_on_states(model) else "calls",
        jobs=jobs,
        steps=len(times),
        chain=name if scheduler == "process" else f"{len(times)} steps of {scheduler}",
        images=num_images,
    )


def short_chain(process: DiffusionProcess) -> dict[str, Any] | None:
    """Return options of DDIM with few steps, None where the process has more than DDIM takes."""
    if process.num_steps <= SHORT_CHAIN:
        return None
    try:
        planned_chain(process, "ddim", SHORT_CHAIN)
    except QdmError:
        return None
    return {"scheduler": "ddim", "steps": SHORT_CHAIN}


def _coherent(
    chain: CoherentChain, process: DiffusionProcess, x: torch.Tensor, labels: torch.Tensor | None
) -> Work:
    reuse = chain.spec.num_qubits > MAX_DENSITY_QUBITS  # as a device's run has it
    return Work(
        way="coherent",
        jobs=[chain.calls(x, labels, shots=None, reuse_qubits=reuse)],
        steps=1,
        chain=f"all {process.num_steps} steps in one circuit",
        images=len(x),
        kept=float(chain.kept(x, labels).min()),
    )


def _labels(model: Denoiser, batch: int) -> torch.Tensor | None:
    if not getattr(model.config, "guided", False):
        return None
    return torch.arange(batch) % int(getattr(model.config, "num_classes", 1))
