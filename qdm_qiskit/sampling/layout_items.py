"""Layout trials of a sampling in blocks: a transpiler seed is an item of work.

Without them each process that samples blocks tries all seeds for itself. The seed that is best is the
same, so the images are too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..canonical_json import content_sha256
from ..errors import UnsupportedCircuit
from ..execution.divided_calls import other_call
from ..execution.targets import parse_target
from ..rng import derived_seed
from ..transpiling.search import TriedSeeds, tried_seed
from ..work import WorkItem
from .at_once import runner_of
from .blocks import block_arguments, known_run
from .config import SamplingConfig
from .model_calls import layer_calls, way_of
from .readings import Reading
from .refit_record import on_refitted_qubits
from .trained_run import TrainedRun

__all__ = ["FEW", "best_seeds", "layout_items", "try_layout"]

FEW = 8
"""Trials that each process makes for itself: to hand out so few costs more than it saves."""


def layout_items(run: TrainedRun, config: SamplingConfig, *, device: str | None) -> list[WorkItem]:
    """Return the items that try the layouts of a run's circuits, none where few are to be tried.

    Args:
        run: The run.
        config: Options of the sampling.
        device: Name of the target's device, as for :func:`.block_items`.
    """
    config = on_refitted_qubits(config, run.refit)
    places = parse_target(config.target).kind in ("noisy", "local") and not config.initial_layout
    if not places or config.layout_trials <= FEW:
        return []
    shared = block_arguments(run, config, device)
    return [
        WorkItem(
            f"layout-{number:05d}-{content_sha256({**shared, 'trial': number})[:10]}",
            try_layout,
            {**shared, "trial": number},
        )
        for number in range(config.layout_trials)
    ]


def try_layout(folder: Path, *, trial: int, **shared: Any) -> dict[str, Any]:
    """Transpile the circuits of a run's step with one seed; an item of :func:`layout_items`.

    Args:
        folder: The sampling's; nothing but the result is written there.
        trial: Number of the seed.
        shared: What all items have in common.

    Returns:
        ``tried``: what :func:`.tried_seed` gives for each circuit that fits the device.

    Raises:
        Others: As :func:`.sample` before its first step.
    """
    run, config = known_run(json.dumps(shared, sort_keys=True))
    if config.loader is not None:
        run = run.with_loader(config.loader)
    target = parse_target(config.target)
    backend = runner_of(config, target).backend
    placed = run.places(config, target)
    calls = layer_calls(run.model, observables=way_of(config))
    calls += [other for call in calls if (other := other_call(call)) is not None]
    found: dict[str, dict[str, Any]] = {}
    for call in calls:
        if call.content in found or call.name.partition("#")[0] in placed:
            continue
        reading = Reading.of(call.spec)
        try:
            found[call.content] = tried_seed(
                call.circuit,
                backend,
                derived_seed(config.seed, "transpiler", trial),
                level=config.optimization_level,
                read=None if reading.plan is None else reading.qubits,
                fractional=config.fractional_gates,
            )
        except UnsupportedCircuit:  # the first block says so
            continue
    return {"tried": list(found.values())}


def best_seeds(config: SamplingConfig, results: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return the best transpiler seed of each circuit, for :attr:`.KeptCircuits.best_seeds`.

    Args:
        config: Options of the sampling.
        results: Results of its layout items.

    Raises:
        InvalidData: If one cannot be used.
    """
    seeds = [derived_seed(config.seed, "transpiler", k) for k in range(config.layout_trials)]
    return TriedSeeds.of_results(results).best_seeds(seeds)
