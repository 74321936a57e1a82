"""Circuits of a plan on their device: the model's, transpiled once, and the calibration's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from qiskit import QuantumCircuit
from qiskit.providers import BackendV2

from ...arguments import checked_text
from ...errors import InvalidOption, TargetUnavailable
from ...execution.targets import Target
from ...mitigation.readout import construct_circuits
from ...rng import derived_seed
from ...transpiling.cost import CircuitCost
from ...transpiling.passes import best_trial, layout_trials, transpile_for
from .config import PlanConfig
from .qpu_seconds import DEFAULT_REP_DELAY_SECONDS, JOB_OVERHEAD_SECONDS, Timing, timing
from .types import Availability

if TYPE_CHECKING:
    from ...sampling import TrainedRun

__all__ = [
    "NO_TIMING",
    "best_transpiled",
    "calibrated_at",
    "calibration_circuits",
    "clock",
    "find_device",
    "is_device",
    "is_one_circuit",
    "physical_qubits",
]

NO_TIMING = Timing(
    overhead_seconds=0.0, rep_delay_seconds=0.0, circuit_seconds=0.0, calibration_seconds=0.0
)


def is_one_circuit(trained: TrainedRun) -> bool:
    """Return True if a model is one circuit whose outcomes are read, with arithmetic around it."""
    from ...circuits.readouts import ProbabilityReadout
    from ...models import CircuitDenoiser

    model = trained.model
    return isinstance(model, CircuitDenoiser) and isinstance(model.spec.readout, ProbabilityReadout)


def find_device(target: Target, backend: BackendV2 | None, seed: int) -> BackendV2 | None:
    """Return the device to transpile for; None for the engine, which takes the logical circuit.

    Args:
        target: Target of the run.
        backend: The QPU of an ``ibm:`` target; None, or the very snapshot, for ``noisy:`` and
            ``local:``; None for the others.
        seed: The run's seed.

    Raises:
        TargetUnavailable: If an ``ibm:`` target comes without its backend, or a GPU is missing.
        UnknownName: If there is no such snapshot.
        InvalidOption: If the backend is not the one that the target names.
    """
    if target.kind == "provider":
        return backend
    if target.kind == "ibm":
        if backend is None:
            raise TargetUnavailable(
                f"Planning for '{target}' needs its properties from IBM Quantum; connect first, or "
                "rehearse on 'local:fake_torino'."
            )
        _check_qpu(target, backend)
        return backend
    if target.kind in ("engine", "aer") and backend is not None:
        raise InvalidOption(
            f"Target '{target}' has no device, got backend '{backend.name}'; leave it out, or plan "
            "for a target that names it."
        )
    if target.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise TargetUnavailable(f"Target '{target}' needs a CUDA device; use 'engine'.")
    if target.kind == "engine":
        return None
    if target.kind == "aer":
        from ...execution.aer import AerRunner

        return AerRunner(seed=seed, device=target.device).backend
    from ...execution.device import Device
    from ...execution.devices import as_backend

    assert target.backend is not None  # parse_target
    snapshot = as_backend(target.backend)
    if backend is not None and isinstance(snapshot, Device):
        backend = as_backend(backend, "backend")
    if backend is not None and _identity(backend) != _identity(snapshot):
        raise InvalidOption(
            f"Target '{target}' runs on the snapshot {_shown(snapshot)}, got backend "
            f"{_shown(backend)}; leave backend out, or name its own target."
        )
    if backend is not None and _properties(backend) != _properties(snapshot):
        raise InvalidOption(
            f"Target '{target}' runs on the snapshot as it is, got backend {_shown(backend)} with "
            "other errors or durations, which the run would not have; leave backend out."
        )
    return snapshot


def _check_qpu(target: Target, backend: BackendV2) -> None:
    """Refuse a backend that is not the QPU that a target names."""
    from ...execution.snapshots import backend_names

    checked_text(backend.name, "backend.name", "a plan says where it runs")
    if (
        backend.name == "least_busy"
        or target.backend not in (backend.name, "least_busy")
        or backend.name in backend_names()
    ):
        raise InvalidOption(
            f"Target '{target}' takes the backend of that QPU, got '{backend.name}'; plan for "
            "the target that it is."
        )


def _identity(backend: BackendV2) -> tuple[object, ...]:
    return (
        backend.name,
        backend.num_qubits,
        sorted(backend.operation_names),
        calibrated_at(backend),
    )


def _properties(backend: BackendV2) -> list[str]:
    """Return the device's data of each instruction as text, in which NaN equals itself."""
    target = backend.target
    found = [
        f"{name} {qubits} {getattr(each, 'error', None)} {getattr(each, 'duration', None)}"
        for name in target.operation_names
        for qubits, each in (target[name] or {}).items()
    ]
    return sorted(found)


def _shown(backend: BackendV2) -> str:
    return f"'{backend.name}' ({backend.num_qubits} qubits, calibrated {calibrated_at(backend)})"


def is_device(target: Target) -> bool:
    """Return True if a target has the layout, the noise and the durations of a device."""
    return target.kind in ("noisy", "local", "ibm", "provider")


def best_transpiled(
    circuit: QuantumCircuit,
    device: BackendV2 | None,
    target: Target,
    config: PlanConfig,
    read: Sequence[int] | None = None,
) -> tuple[QuantumCircuit, int, CircuitCost | None]:
    """Return the best of the layout trials, its seed and its cost; None where there is no device.

    ``read`` names the qubits that are read later, for a circuit that does not measure.
    """
    # Not of the run's seed: runs that differ by it alone should measure the same qubits, so that
    # one calibration serves them all.
    seeds = [derived_seed(0, "transpiler", trial) for trial in range(config.layout_trials)]
    if device is None or not is_device(target):
        if config.fractional_gates:
            raise InvalidOption(
                f"Target '{target}' is no device with gates of its own; leave fractional_gates out."
            )
    if device is None:
        return circuit, seeds[0], None
    level = config.optimization_level
    if not is_device(target):
        isa = transpile_for(circuit, device, level=level, seed=seeds[0], read=read)
        return isa, seeds[0], None
    found = layout_trials(
        circuit, device, seeds=seeds, level=level, read=read, fractional=config.fractional_gates
    )
    trial = best_trial(found)
    return trial.circuit, trial.seed, trial.cost


def calibration_circuits(
    config: PlanConfig,
    target: Target,
    device: BackendV2 | None,
    groups: Sequence[tuple[int, ...]],
) -> list[QuantumCircuit]:
    """Return the readout calibration's circuits for measured qubits; none without mitigation.

    One job calibrates the qubits of all circuits, in groups whose counts can be kept.

    Raises:
        InvalidOption: If there is nothing to mitigate on the target.
    """
    if config.mitigation == "none":
        return []
    if device is None or device.num_qubits is None or not is_device(target):
        raise InvalidOption(
            f"Target '{target}' has no readout errors to mitigate; use mitigation 'none'."
        )
    return [
        circuit
        for group in groups
        for circuit in construct_circuits(
            group, device.num_qubits, method=config.calibration_method, target=device.target
        )
    ]


def clock(
    device: BackendV2 | None,
    target: Target,
    isa: QuantumCircuit,
    calibration: Sequence[QuantumCircuit],
    config: PlanConfig,
    availability: Availability | None = None,
) -> Timing:
    """Return the timing of a device; nothing takes QPU time on the engine and on Aer."""
    if target.kind == "provider":
        return _provider_clock(device, isa, calibration, availability or Availability())
    if device is None or not is_device(target):
        return NO_TIMING
    return timing(device, isa, calibration, rep_delay_seconds=config.options.rep_delay_seconds)


def _provider_clock(
    device: BackendV2 | None,
    isa: QuantumCircuit,
    calibration: Sequence[QuantumCircuit],
    said: Availability,
) -> Timing:
    """Return the timing that a provider names; IBM's formula gives what it leaves out."""
    if said.provider is not None and not said.provider.charges:
        return NO_TIMING
    formula = Timing(
        overhead_seconds=JOB_OVERHEAD_SECONDS,
        rep_delay_seconds=DEFAULT_REP_DELAY_SECONDS,
        circuit_seconds=0.0,
        calibration_seconds=0.0,
    )
    if device is not None and said.shot_seconds is None:
        formula = timing(device, isa, calibration)
    if said.job_seconds is not None:
        formula = replace(formula, overhead_seconds=said.job_seconds)
    if said.shot_seconds is not None:
        formula = replace(formula, rep_delay_seconds=said.shot_seconds)
    return formula


def physical_qubits(isa: QuantumCircuit, cost: CircuitCost | None) -> tuple[int, ...] | None:
    """Return the physical qubit on which each logical one starts; None without a device."""
    if isa.layout is None or cost is None:
        return None
    return tuple(isa.layout.initial_index_layout(filter_ancillas=True))


def calibrated_at(device: BackendV2 | None) -> str | None:
    """Return the time of the device's last calibration, ISO 8601; None if it does not say."""
    read = getattr(device, "properties", None)
    properties = None if read is None else read()
    updated = getattr(properties, "last_update_date", None)
    return updated.isoformat() if isinstance(updated, datetime) else None
