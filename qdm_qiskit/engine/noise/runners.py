"""Runners behind targets, with the engine for a device's noise."""

from __future__ import annotations

import numpy as np
from qiskit import QuantumCircuit

from ...errors import InvalidOption
from ...execution.device_noise import NoisePart, check_part
from ...execution.devices import DeviceLike, is_device, target_of
from ...execution.factory import make_runner
from ...execution.noisy import NoisyRunner, Simulator, check_simulator
from ...execution.region import ReadoutErrors
from ...execution.rewritten import RewrittenRunner
from ...execution.runner import CircuitRunner
from ...execution.targets import Target, parse_target
from .engine_runner import NoisyEngineRunner

__all__ = ["noise_alone", "runner_for"]


def runner_for(
    target: Target | DeviceLike,
    *,
    seed: int,
    readout: ReadoutErrors = "mean",
    simulator: Simulator = "auto",
    noise: NoisePart = "all",
) -> CircuitRunner:
    """Return the runner of a target; ``noisy:`` ones use the engine for circuits that it can run.

    All others are those of :func:`~qdm_qiskit.execution.factory.make_runner`, which needs no torch
    and gives Aer for ``noisy:``.

    Args:
        target, seed, readout: As there.
        simulator: Simulator of ``noisy:`` targets: ``"auto"`` is the engine, and Aer for circuits
            that the engine does not run; ``"engine"`` refuses those; ``"aer"`` is Aer alone, as a
            cross-check: the same distribution and other shots.
        noise: Part of a ``noisy:`` target's noise that acts.

    Returns:
        A runner whose ``backend`` is what to transpile for.

    Raises:
        UnknownName, InvalidOption, TargetUnavailable: As there; InvalidOption also if there is no such
            simulator or part, or the target is not ``noisy:``.

    >>> runner_for("noisy:fake_torino", seed=1).metadata["options"]["simulator"]
    'auto'
    """
    check_simulator(simulator)
    check_part(noise)
    if not isinstance(target, str | Target) and is_device(target):
        target = target_of("noisy", target)
    target = parse_target(target) if isinstance(target, str) else target
    noisy = isinstance(target, Target) and target.kind == "noisy"
    if simulator != "auto" and not noisy:
        raise InvalidOption(
            f"Target '{target}' has one simulator; leave simulator at 'auto', or take a target such "
            "as 'noisy:fake_torino'."
        )
    if noise != "all" and not noisy:
        raise InvalidOption(
            f"Target '{target}' has no noise of a device to take apart; leave noise at 'all', or "
            "take a target such as 'noisy:fake_torino'."
        )
    if isinstance(target, Target) and noisy and target.backend is not None:
        if simulator == "aer":
            return NoisyRunner(target.backend, seed=seed, readout=readout, noise=noise)
        return NoisyEngineRunner(
            target.backend, seed=seed, readout=readout, simulator=simulator, noise=noise
        )
    return make_runner(target, seed=seed, readout=readout)


def noise_alone(
    runner: CircuitRunner, circuit: QuantumCircuit, *, readout: ReadoutErrors = "mean"
) -> np.ndarray | None:
    """Return a device's output whatever goes in, see :meth:`.NoisyRunner.mean_output`.

    Args:
        runner: Runner of a device. One that has the device's noise at hand is asked; for all others
            it is made, from the device's name.
        circuit: Transpiled for it. None comes back where shots are dropped by what they read.
        readout: Readout errors that are made then.
    """
    if isinstance(runner, RewrittenRunner):
        if runner.changes_counts:
            return None
        return noise_alone(runner.inner, runner.rewritten(circuit), readout=readout)
    if isinstance(runner, NoisyEngineRunner | NoisyRunner):
        return runner.mean_output(circuit)
    return NoisyEngineRunner(runner.backend.name, seed=0, readout=readout).mean_output(circuit)
