"""The work of a chain whose steps are one circuit: one question at x_T, split where a job is full."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InvalidOption
from ...progress import Message, Progress
from .call_jobs import AskedCall, chosen_sampler
from .chains import ChainPlan
from .config import PlanConfig
from .types import MAX_SHOTS
from .work import Asked, Destination, Work, room_of, work_of_calls

if TYPE_CHECKING:
    from ...sampling import Sampler, TrainedRun
    from ...sampling.coherent import CoherentChain

__all__ = ["chain_choice", "whole_chain"]


def chain_choice(
    trained: TrainedRun, config: PlanConfig, sampler: Sampler | None
) -> tuple[CoherentChain | None, ChainPlan | None]:
    """Return the run's chain as one circuit, as `qdm sample` chooses; or the reason against it.

    Args:
        trained: The model.
        config: Its chain, sampler and steps.
        sampler: One in the place of the name.

    Raises:
        TargetUnavailable, InvalidOption: If ``chain`` is ``coherent`` and the run's chain is not; or
            if ``kept_shots`` is given and nothing is projected in one circuit.
    """
    from ...sampling.at_once import chain_in_one

    found: CoherentChain | None = None
    why = ""
    if config.chain != "steps":
        own = sampler is None and config.scheduler == "process" and config.eta == 0
        steps = config.num_inference_steps if own else 0
        insist = config.chain == "coherent"
        found, why = chain_in_one(trained.model, trained.process, own_steps=steps, insist=insist)
    if found is not None and config.tile_choice is not None:
        if config.chain == "coherent":
            raise InvalidOption(
                "tiles spread the rows of a step's calls, and a chain in one circuit has no steps to "
                "spread; leave one of chain='coherent' and tiles out."
            )
        found, why = None, "tiles spread the rows of a step's calls"
    if found is None and config.kept_shots is not None:
        raise InvalidOption(
            "kept_shots are the shots that a chain in one circuit keeps, and this run goes step by "
            f"step{': ' + why if why else ';'} give shots instead."
        )
    if found is not None or not why:
        return found, None
    return None, _by_steps(why)


def whole_chain(
    trained: TrainedRun,
    chain: CoherentChain,
    config: PlanConfig,
    destination: Destination,
    x: np.ndarray,
    labels: np.ndarray | None,
    progress: Progress,
) -> Work | ChainPlan:
    """Plan a chain in one circuit.

    Args:
        trained: The model.
        chain: Its chain.
        config: Shots of each image, or those that it keeps.
        destination: Target and device.
        x: x_T, ``(images, ...)``.
        labels: ``(images,)`` of a guided model.
        progress: Receives the progress messages.

    Returns:
        The work; or the reason to go step by step, where ``chain`` is ``auto`` and an image would
        keep less than one of its shots.

    Raises:
        InvalidData: If ``chain`` is ``coherent`` and an image would keep less than one.
        InvalidOption: If an option does not fit, or a row outgrows a job.
        UnsupportedCircuit: If the circuit has more qubits than the device.
    """
    import torch

    if config.schedule != "uniform":
        raise InvalidOption(
            f"Shot allocation '{config.schedule}' spreads shots over steps and their calls, and here "
            "all steps are one circuit; use 'uniform', or chain='steps'."
        )
    process = trained.process
    progress(Message("computing the share of shots that the chain keeps"))
    start = torch.from_numpy(x)
    told = None if labels is None else torch.from_numpy(labels)
    kept = chain.expected_share(start, told)
    shots = config.shots
    if config.kept_shots is not None:
        most, _ = room_of(config, destination)
        shots = _shots(config.kept_shots, kept, MAX_SHOTS if most is None else most)
    if config.seconds is None:
        steps = _too_few(chain, kept, shots, config)
        if steps is not None:
            return steps
    device = destination.device if destination.target.kind not in ("engine", "aer") else None
    call = chain.call_on(device, start, told, shots=shots)
    _, _, record = chosen_sampler(trained, config, None)
    question = [AskedCall(call.name, call.content, call.num_rows)]
    times = [process.num_steps]
    work = work_of_calls(
        Asked(times, [[question]], [call], record, config.num_images),
        config,
        shots,
        destination,
        progress,
    )
    if config.seconds is not None:  # the shots are known only now
        steps = _too_few(chain, kept, work.steps[0].shots, config)
        if steps is not None:
            return steps
    found = ChainPlan(
        way="coherent",
        because="",
        reuse_qubits=call.reuse_qubits,
        histories=chain.tells_states,
        # Fewer digits than threads and libraries change, so that the same plan is the same run.
        kept=tuple(min(1.0, float(f"{each:.10g}")) for each in kept),
    )
    return dataclasses.replace(work, chain=found)


def _too_few(
    chain: CoherentChain, kept: np.ndarray, shots: int, config: PlanConfig
) -> ChainPlan | None:
    """Return the reason of ``auto`` to go step by step, None where an image keeps a shot or more.

    Raises:
        InvalidData: If it keeps less and ``chain`` is ``coherent``.
    """
    if config.chain == "coherent":
        chain.check_kept(kept, shots)
        return None
    reason = chain.too_few_kept(kept, shots)
    return _by_steps(f"{reason}.") if reason else None


def _by_steps(why: str) -> ChainPlan:
    return ChainPlan(way="steps", because=why, reuse_qubits=False, histories=False, kept=())


def _shots(wanted: int, kept: np.ndarray, most: int) -> int:
    """Return the shots of which the image that keeps least keeps as many as wanted.

    Args:
        wanted: Shots that are kept.
        kept: ``(images,)`` shares.
        most: Most shots of a circuit.

    Raises:
        InvalidOption: If that is too few.
    """
    least = float(kept.min())
    shots = math.ceil(wanted / least - 1e-9) if least > 0 else math.inf
    if shots > most:
        raise InvalidOption(
            f"The chain keeps {least:.3g} of an image's shots, so kept_shots={wanted} takes "
            f"{shots:,} of them, and a circuit has at most {most:,}; lower kept_shots, or run it "
            "step by step with chain='steps' and shots."
        )
    return int(shots)
