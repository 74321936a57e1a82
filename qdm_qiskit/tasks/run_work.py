"""Calls that a run of a model makes to its target: of a step, or of a chain in one circuit."""

from __future__ import annotations

from typing import Any

import torch

from ..diffusion import DiffusionProcess
from ..errors import InvalidOption, QdmError
from ..evaluation.run_cost import Work
from ..layers.calling import calls_of
from ..models import Denoiser
from ..rng import derived_seed
from ..sampling.at_once import chain_in_one
from ..sampling.coherent import CoherentChain
from ..sampling.model_calls import hands_on_states
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
    chain: str = "auto",
    shots: int | None = None,
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
        chain: ``auto``, ``coherent`` or ``steps``; see :attr:`.SamplingConfig.chain`.
        shots: Shots by which ``auto`` goes step by step where one circuit keeps less than one; None
            is exact.
        seed: Seed of the noise.

    Raises:
        InvalidOption: If the model calls no circuits, the sampler does not fit the process, or there
            is no such ``chain``.
        TargetUnavailable: If no target can answer the call of a layer's circuit, or ``chain`` is
            ``coherent`` and the model's chain is not.
    """
    if chain not in ("auto", "coherent", "steps"):
        raise InvalidOption(f"chain is 'auto', 'coherent' or 'steps', got {chain!r}.")
    _, times = planned_chain(process, scheduler, steps)
    start = torch.Generator().manual_seed(derived_seed(seed, "sampling", 0))
    x = process.start((num_images, *model.state_shape), start)
    labels = _labels(model, num_images)
    because = ""
    if chain != "steps":
        own = len(times) if scheduler == "process" else 0
        one, _ = chain_in_one(model, process, own_steps=own, insist=chain == "coherent")
        if one is not None:
            kept = one.expected_share(x, labels)
            because = one.too_few_kept(kept, shots) if chain == "auto" else ""
            if not because:
                return _coherent(one, process, x, labels, float(kept.min()))
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
    whole = len(times) == process.num_steps
    name = f"all {len(times)} steps of the process" if whole else f"{len(times)} steps"
    return Work(
        way="tomography" if hands_on_states(model) else "calls",
        jobs=jobs,
        steps=len(times),
        chain=name if scheduler == "process" else f"{len(times)} steps of {scheduler}",
        images=num_images,
        because=because,
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
    chain: CoherentChain,
    process: DiffusionProcess,
    x: torch.Tensor,
    labels: torch.Tensor | None,
    kept: float,
) -> Work:
    return Work(
        way="coherent",
        jobs=[chain.calls(x, labels, shots=None)],
        reused=[chain.calls(x, labels, shots=None, reuse_qubits=True)],
        steps=1,
        chain=f"all {process.num_steps} steps in one circuit",
        images=len(x),
        kept=kept,
    )


def _labels(model: Denoiser, batch: int) -> torch.Tensor | None:
    if not getattr(model.config, "guided", False):
        return None
    return torch.arange(batch) % int(getattr(model.config, "num_classes", 1))
