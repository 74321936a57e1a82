"""What a model's circuit, or any circuit, costs on a device, before anything runs there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from qiskit import QuantumCircuit

from ..arguments import checked_path, whole_number, wrong
from ..circuits import CircuitSpec, Loader
from ..diffusion import DiffusionProcess, InterpolatedNoise
from ..errors import InvalidOption
from ..evaluation.transpile import TranspileReport, transpile_report
from ..execution.devices import DeviceLike, as_backend
from ..models import CircuitDenoiser, Denoiser, build_model, resolve
from ..progress import Progress, silent
from ..rng import derived_seed
from ..sampling import TrainedRun, load_run, unrolled_circuit

__all__ = ["cost"]


def cost(
    subject: str | Path | TrainedRun | Denoiser | CircuitSpec | QuantumCircuit,
    backends: DeviceLike | Sequence[DeviceLike] = "fake_torino",
    *,
    name: str | None = None,
    settings: Mapping[str, Any] | None = None,
    trials: int = 10,
    level: int = 3,
    shots: int = 4096,
    loader: str | Loader | None = None,
    seed: int = 0,
    progress: Progress = silent,
    **options: Any,
) -> TranspileReport:
    """Count what one step of a model, or any circuit, costs on one or more devices.

    Args:
        subject: Folder of a trained run, or what ``load_run`` gave; a model's or preset's name; a
            denoiser; a spec; or a circuit, which is measured whole if it measures nothing.
        backends: Names of devices, or ``BackendV2`` or Aer ``NoiseModel`` objects; one or several.
        name: Of the report; by default the subject's, with the options.
        settings: Options of a model or preset, by name, as ``options``; values may be text.
        trials: Transpiler seeds tried on each device, at least 1.
        level: Qiskit's optimization level, 0 to 3.
        shots: Shots that the verdict assumes.
        loader: Loader of images, or its name; the model's own if None.
        seed: Of fresh weights, the example image and the transpiler.
        progress: Receives the device's name, with the trials that are done and in all.
        options: Of a model or preset that is named: ``depth=2``, ``image_size=8``.

    Returns:
        Depth, two-qubit gates, duration and expected success, loader and denoiser apart, and a
        sentence that says whether noise leaves anything. ``write_report`` in
        :mod:`qdm_qiskit.reports.transpile_render` writes it.

    Raises:
        UnknownName: If there is no such model, preset or device.
        InvalidOption: If an option is unknown or out of range, or the model has no single circuit.
        UnsupportedCircuit: If the circuit does not fit a device.

    >>> from qiskit import QuantumCircuit
    >>> bell = QuantumCircuit(2, name="bell")
    >>> _ = bell.h(0), bell.cx(0, 1)
    >>> found = cost(bell, "fake_torino", trials=1).backends[0].cost.total
    >>> found.two_qubit_count, 0.9 < found.expected_success < 1
    (1, True)
    """
    if whole_number(trials, "trials") < 1:
        raise InvalidOption(f"trials must be at least 1, got {trials}.")
    several = isinstance(backends, Sequence) and not isinstance(backends, str)
    devices: list[Any] = list(backends) if several else [backends]
    for each in devices:
        as_backend(each, "backends")
    found, circuit, example = _subject(subject, {**(settings or {}), **options}, loader, seed)
    return transpile_report(
        found if name is None else name,
        circuit,
        devices,
        level=level,
        seeds=[derived_seed(seed, "transpiler", trial) for trial in range(trials)],
        example_values=example,
        shots=shots,
        progress=progress,
    )


def _subject(
    subject: object, options: dict[str, Any], loader: str | Loader | None, seed: int
) -> tuple[str, QuantumCircuit, np.ndarray | None]:
    """Name, full circuit and, where there is an example image, values of its parameters."""
    named = isinstance(subject, str) and not Path(subject).is_dir()
    if options and not named:
        raise InvalidOption(
            "Options are for models and presets by name; what was built or trained already has its "
            f"own, got {', '.join(options)}."
        )
    if isinstance(subject, CircuitSpec):
        spec = subject if loader is None else replace(subject, loader=loader)
        return subject.name + _suffix(loader), spec.full_circuit(), None
    if isinstance(subject, QuantumCircuit):
        if loader is not None:
            raise InvalidOption("A circuit has its loader in it; loader is for models and specs.")
        return subject.name, _measured(subject), None
    if isinstance(subject, Denoiser):
        return _step_of(subject, InterpolatedNoise(), subject.name, loader, seed)
    if isinstance(subject, TrainedRun):
        return _step_of(subject.model, subject.process, subject.model.name, loader, seed)
    if named:
        assert isinstance(subject, str)
        generator = torch.Generator().manual_seed(derived_seed(seed, "init", 0))
        model = build_model(resolve(subject, options), generator=generator)
        name = "_".join([subject, *(f"{key}{value}" for key, value in options.items())])
        return _step_of(model, InterpolatedNoise(), name, loader, seed)
    if not isinstance(subject, str | Path):
        raise wrong(
            subject,
            "subject",
            "a run, a model or its name, a spec or a circuit",
            "load_run reads one",
        )
    folder = checked_path(subject, "subject")
    run = load_run(folder)
    return _step_of(run.model, run.process, folder.resolve().name, loader, seed)


def _step_of(
    model: Denoiser,
    process: DiffusionProcess,
    name: str,
    loader: str | Loader | None,
    seed: int,
) -> tuple[str, QuantumCircuit, np.ndarray]:
    """The circuit of a model's first reverse step, with the values of one noisy image."""
    if not isinstance(model, CircuitDenoiser):
        raise InvalidOption(f"'{model.name}' has no single circuit to report on.")
    if loader is not None:
        model = model.with_loader(loader)
    start = torch.Generator().manual_seed(derived_seed(seed, "sampling", 0))
    image = process.start((1, *model.image_shape), start)
    labels = torch.zeros(1, dtype=torch.int64) if getattr(model.config, "guided", False) else None
    values = model.circuit_values(*model.encode_at(image, torch.ones(1), labels))
    return name + _suffix(loader), unrolled_circuit(model), values[0]


def _suffix(loader: str | Loader | None) -> str:
    """Return what a loader of one's own adds to a report's name."""
    if loader is None:
        return ""
    return "_" + (loader if isinstance(loader, str) else type(loader).__name__).replace(":", "")


def _measured(circuit: QuantumCircuit) -> QuantumCircuit:
    if any(each.operation.name == "measure" for each in circuit.data):
        return circuit
    bare = circuit.copy()
    bare.measure_all(add_bits=not bare.num_clbits)
    return bare
