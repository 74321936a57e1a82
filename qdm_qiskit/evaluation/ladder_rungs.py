"""The rungs of a ladder: what each of them changes, and why it may have nothing to show.

A rung is a function of the :class:`Ground` on which all of them stand. It returns a :class:`Setup`,
the same sampling with other options or before another runner, or in words why it cannot run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

from qiskit import QuantumCircuit
from qiskit.providers import BackendV2
from qiskit_aer.noise import NoiseModel

from ..engine.noise.coherence import coherent_part
from ..engine.noise.runners import runner_for
from ..errors import (
    InvalidData,
    MissingData,
    MissingDependency,
    TargetUnavailable,
    UnsupportedCircuit,
)
from ..execution.device_noise import NoisePart
from ..execution.local import LocalRunner
from ..execution.noisy import NoisyRunner
from ..execution.rewritten import RewrittenRunner
from ..execution.runner import CircuitRunner
from ..execution.twirling import Twirling, randomizations_of
from ..mitigation.shot_checks import ShotChecks
from ..sampling import DevicePredictor, SamplingConfig, TrainedRun
from ..sampling.refit import has_linear_head, refit_calls, refit_pairs, refitted
from ..transpiling.fractional import check_fractional
from ..transpiling.waits import Pulses, with_waits

__all__ = ["RUNGS", "Ground", "Rung", "Setup"]


@final
@dataclass(frozen=True, eq=False)
class Ground:
    """Everything that the rungs share."""

    run: TrainedRun
    """The trained run."""
    config: SamplingConfig
    """Sampling with all of the device's noise and no suppression."""
    backend: BackendV2
    """The device."""
    circuits: tuple[QuantumCircuit, ...]
    """Circuits of the chain as they were transpiled for it; none before the rung of all noise."""
    noise: NoiseModel | None
    """The device's noise on their qubits; None before that rung."""
    randomizations: int
    """Random circuits of a row where something is twirled."""
    pulses: Pulses
    """Sequence of dynamical decoupling."""


REFIT_CIRCUITS = 300
"""Circuits on which a head is fitted again."""


@dataclass(frozen=True, eq=False)
class Setup:
    """A rung that runs."""

    config: SamplingConfig
    """Options of its sampling."""
    runner: RewrittenRunner | None = None
    """Runner of its circuits; None where the engine computes exact values."""
    run: TrainedRun | None = None
    """Run in place of the ground's, where a remedy changes the model."""
    copies: int = 1
    """Random circuits of each bound one."""
    note: str = ""
    """Limit of what the rung shows."""


@dataclass(frozen=True, eq=False)
class Rung:
    """A step of the ladder."""

    title: str
    """Name in words."""
    below: str | None
    """Name of the rung with which it is compared; None for those without device noise."""
    setup: Callable[[Ground], Setup | str]
    """Makes its sampling of the ground, or says why it cannot run."""


def _exact(ground: Ground) -> Setup:
    config = replace(
        ground.config,
        target="engine",
        shots=None,
        readout="mean",
        simulator="auto",
        loader=ground.config.loader if ground.config.start == "loader" else None,
    )
    return Setup(config)


def _noise(ground: Ground, part: NoisePart) -> Setup:
    config = replace(ground.config, noise=part)
    return Setup(config, _counted(_runner(config)))


def _waiting(ground: Ground) -> Setup | str:
    return _with_waits(ground, "off", "")


def _decoupled(ground: Ground) -> Setup | str:
    note = ""
    if coherent_part(_noise_of(ground), ("delay",)) == 0:
        note = (
            "Not shown by this noise model: waiting qubits relax by T1 and T2 at random, without the "
            "slow or static drift of phase that pulses undo."
        )
    return _with_waits(ground, ground.pulses, note)


def _with_waits(ground: Ground, pulses: Pulses, note: str) -> Setup | str:
    target = ground.backend.target
    try:
        for circuit in ground.circuits:
            with_waits(circuit, target, pulses)
    except UnsupportedCircuit as error:
        return str(error)
    told = "waits as delays" if pulses == "off" else f"{pulses} pulses in the waits"
    runner = RewrittenRunner(
        _runner(ground.config),
        rewrite=lambda circuit: with_waits(circuit, target, pulses),
        told=told,
    )
    return Setup(ground.config, runner, note=note)


def _m3(ground: Ground) -> Setup:
    config = replace(ground.config, mitigation="m3")
    return Setup(config, _counted(_runner(config)))


def _twirled_readout(ground: Ground) -> Setup:
    note = ""
    errors = _noise_of(ground)._local_readout_errors.values()
    if all(abs(each.probabilities[0][1] - each.probabilities[1][0]) < 1e-9 for each in errors):
        note = (
            "Not shown by this noise model: it reads 0 for 1 as often as 1 for 0, which is all that "
            "twirling the readout brings about; readout 'asymmetric' keeps both errors where the "
            "device tells them."
        )
    return _twirled(ground, Twirling(measure=True, randomizations=_random(ground)), note)


def _twirled_gates(ground: Ground) -> Setup | str:
    names = {item.operation.name for each in ground.circuits for item in each.data}
    pairs = {
        item.operation.name
        for each in ground.circuits
        for item in each.data
        if len(item.qubits) == 2 and item.operation.name != "barrier"
    }
    if not pairs:
        return "The circuits have no entangling gates to twirl."
    known = {"cx", "cz", "ecr", "rzz"}
    if not pairs <= known:
        return f"IBM's client twirls {', '.join(sorted(known))}; the circuits have {sorted(pairs)}."
    twirling = Twirling(
        gates=True,
        group="local_pauli" if "rzz" in names else "pauli",
        randomizations=_random(ground),
    )
    return _twirled(ground, twirling, _not_coherent(ground))


def _twirled(ground: Ground, twirling: Twirling, note: str) -> Setup:
    runner = LocalRunner(
        ground.backend,
        seed=ground.config.seed,
        readout=ground.config.readout,
        twirling=twirling,
    )
    return Setup(ground.config, _counted(runner), copies=twirling.randomizations, note=note)


def _fractional(ground: Ground) -> Setup | str:
    return _with_fractional(ground, _runner(ground.config), 1)


def _twirled_fractional(ground: Ground) -> Setup | str:
    twirling = Twirling(gates=True, group="local_pauli", randomizations=_random(ground))
    runner = LocalRunner(
        ground.backend,
        seed=ground.config.seed,
        readout=ground.config.readout,
        twirling=twirling,
    )
    return _with_fractional(ground, runner, twirling.randomizations)


def _with_fractional(ground: Ground, runner: CircuitRunner, copies: int) -> Setup | str:
    try:
        check_fractional(ground.backend.target, ground.backend.name)
    except UnsupportedCircuit as error:
        return str(error)
    config = replace(ground.config, fractional_gates=True)
    note = _not_coherent(ground) if copies > 1 else ""
    return Setup(config, _counted(runner), copies=copies, note=note)


def _not_coherent(ground: Ground) -> str:
    """Return what to say of twirled gates where the noise has nothing to twirl."""
    if coherent_part(_noise_of(ground)) > 0:
        return ""
    return (
        "Not shown by this noise model: its errors are random, without the coherent part that "
        "twirling makes random."
    )


def _postselected(ground: Ground) -> Setup | str:
    try:
        checks = ShotChecks.of(ground.backend)
    except (TargetUnavailable, MissingDependency) as error:
        return str(error)
    runner = RewrittenRunner(
        NoisyRunner(ground.backend, seed=ground.config.seed, readout=ground.config.readout),
        rewrite=checks.circuit,
        read=checks.counts,
        told="post-selection by a second measurement of each bit",
    )
    note = (
        "Shown in part: a misread bit fails the check here, but the slow drifts and the leakage for "
        "which the checks are made are not in this noise model."
    )
    return Setup(ground.config, runner, note=note)


def _refitted(ground: Ground) -> Setup | str:
    run, config = ground.run, ground.config
    if not has_linear_head(run.model):
        return (
            f"Model '{run.model.name}' has no linear head to fit again to what the device returns."
        )
    assert config.shots is not None  # a noisy target has shots
    runner = _counted(_runner(config))
    steps = run.process.num_steps
    try:
        pairs = refit_pairs(run, REFIT_CIRCUITS, seed=config.seed)
    except (InvalidData, MissingData) as error:
        return str(error)
    device = DevicePredictor.prepare(run.model, runner, config, num_steps=steps)
    results = device.at(steps).answer(refit_calls(run, pairs, config.shots))
    fitted, _ = refitted(run, pairs, results)
    return Setup(config, runner, run=fitted)


def _noise_of(ground: Ground) -> NoiseModel:
    assert ground.noise is not None  # the rungs that ask come after that of all noise
    return ground.noise


def _random(ground: Ground) -> int:
    assert ground.config.shots is not None  # a noisy target has shots
    return randomizations_of(ground.config.shots, ground.randomizations)


def _runner(config: SamplingConfig) -> CircuitRunner:
    return runner_for(
        config.target,
        seed=config.seed,
        readout=config.readout,
        simulator=config.simulator,
        noise=config.noise,
    )


def _counted(runner: CircuitRunner) -> RewrittenRunner:
    return RewrittenRunner(runner)


RUNGS: dict[str, Rung] = {
    "exact": Rung("exact", None, _exact),
    "shots": Rung("shots alone", None, lambda ground: _noise(ground, "none")),
    "gates": Rung("gate noise alone", "shots", lambda ground: _noise(ground, "gates")),
    "readout": Rung("readout alone", "shots", lambda ground: _noise(ground, "readout")),
    "all": Rung("all noise", "shots", lambda ground: _noise(ground, "all")),
    "waiting": Rung("all noise, and relaxation in waits", "all", _waiting),
    "m3": Rung("readout corrected by M3", "all", _m3),
    "decoupling": Rung("dynamical decoupling", "waiting", _decoupled),
    "twirled-readout": Rung("twirled readout", "all", _twirled_readout),
    "twirled-gates": Rung("twirled gates", "all", _twirled_gates),
    "fractional": Rung("fractional gates", "all", _fractional),
    "twirled-fractional": Rung("twirled fractional gates", "fractional", _twirled_fractional),
    "postselected": Rung("post-selected shots", "all", _postselected),
    "refit": Rung("head refitted on the device", "all", _refitted),
}
"""All rungs in their order; each stands on ``below``, with which it is compared."""
