"""Cost of a model's circuit, or of any circuit, on a device, before anything runs there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from qiskit import QuantumCircuit

from ..arguments import checked_path, whole_number, wrong
from ..circuits import CircuitSpec, Loader, ProbabilityReadout
from ..diffusion import DiffusionProcess, InterpolatedNoise, make_process
from ..errors import InvalidOption
from ..evaluation.run_cost import RunReport, run_report
from ..evaluation.transpile import TranspileReport, transpile_report
from ..execution.devices import DeviceLike, as_backend
from ..models import CircuitDenoiser, Denoiser, build_model, resolve
from ..progress import Progress, silent
from ..rng import derived_seed
from ..sampling import TrainedRun, load_run, unrolled_circuit
from ..training.config import resolve_run
from .amortising import loader_for
from .run_work import run_work

__all__ = ["cost", "fresh_model", "measured_circuit", "subject_name"]


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
    num_images: int = 16,
    scheduler: str = "process",
    num_inference_steps: int | None = None,
    chain: str = "auto",
    every: bool = False,
    fractional_gates: bool = False,
    progress: Progress = silent,
    **options: Any,
) -> TranspileReport | RunReport:
    """Count the cost of one step of a model, or of any circuit, on one or more devices.

    For a model of many circuits, or one that hands states from step to step, the count covers the
    whole run: each distinct circuit with its calls, and jobs, shots and QPU seconds in all.

    Args:
        subject: Folder of a trained run, or the result of ``load_run``; a model's or preset's name;
            a denoiser; a spec; or a circuit, which is measured whole if it measures nothing.
        backends: Names of devices, or ``BackendV2`` or Aer ``NoiseModel`` objects; one or several.
        name: Name of the report; by default the subject's, with the options.
        settings: Options of a model or preset, by name, as ``options``; values may be text.
        trials: Transpiler seeds tried on each device, at least 1.
        level: Qiskit's optimization level, 0 to 3.
        shots: Shots that the verdict assumes.
        loader: Loader of images, or its name; the model's own if None.
        seed: Seed of fresh weights, the example image and the transpiler.
        num_images: Number of images of a run of many circuits, at least 1.
        scheduler: Sampler of that run, such as ``ddim``; by default its process's own chain.
        num_inference_steps: Steps of the sampler; all of them if None.
        chain: Chain of a model of states, as for :func:`.sample`: ``coherent``, ``steps`` or
            ``auto``, which goes step by step where one circuit keeps less than one of ``shots``.
        every: True to transpile all its circuits, even those that differ only in their weights'
            values.
        fractional_gates: True to use a device's rzz for free angles too, folded into its range.
        progress: Receives the device's name, with the numbers of finished trials and of all trials.
        options: Options of a named model or preset: ``depth=2``, ``image_size=8``.

    Returns:
        Depth, two-qubit gates, duration and expected success, loader and denoiser apart, and a
        sentence that says whether noise leaves anything. ``write_report`` in
        :mod:`qdm_qiskit.reports.transpile_render` writes it. A model of many circuits has a
        :class:`.RunReport`, which ``write_calls_report`` in :mod:`qdm_qiskit.reports.calls_render`
        writes; a circuit that does not fit a device has a row there that says so, and no total.

    Raises:
        UnknownName: If there is no such model, preset or device.
        InvalidOption: If an option is unknown or out of range, or the model is classical.
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
    if whole_number(num_images, "num_images") < 1:
        raise InvalidOption(f"num_images must be at least 1, got {num_images}.")
    chosen = {**(settings or {}), **options}
    loader = loader_for(subject, loader)
    seeds = [derived_seed(seed, "transpiler", trial) for trial in range(trials)]
    several_circuits = _many(subject, chosen, seed)
    if several_circuits is not None:
        found, model, process = several_circuits
        if loader is not None:
            model = model.with_loader(loader)
            found += _suffix(loader)
        work = run_work(
            model,
            process,
            num_images=num_images,
            scheduler=scheduler,
            steps=num_inference_steps,
            chain=chain,
            shots=shots,
            seed=seed,
        )
        return run_report(
            found if name is None else name,
            work,
            devices,
            level=level,
            seeds=seeds,
            shots=shots,
            every=every,
            fractional=fractional_gates,
            progress=progress,
        )
    if scheduler != "process" or num_inference_steps is not None or chain != "auto" or every:
        raise InvalidOption(
            "A single circuit is reported step by step: scheduler, num_inference_steps, chain and "
            "every are for models of many circuits."
        )
    found, circuit, example = _subject(subject, chosen, loader, seed)
    return transpile_report(
        found if name is None else name,
        circuit,
        devices,
        level=level,
        seeds=seeds,
        example_values=example,
        shots=shots,
        fractional=fractional_gates,
        progress=progress,
    )


def _many(
    subject: object, options: dict[str, Any], seed: int
) -> tuple[str, Denoiser, DiffusionProcess] | None:
    """Return name, model and process of a subject that is no single circuit; else None."""
    if isinstance(subject, CircuitSpec | QuantumCircuit):
        return None
    name = None
    if isinstance(subject, str | Path) and Path(subject).is_dir():
        name = Path(subject).resolve().name
        subject = load_run(checked_path(subject, "subject"))
    if isinstance(subject, TrainedRun) and not options:
        if _is_single(subject.model):
            return None
        return name or subject.model.name, subject.model, subject.process
    if isinstance(subject, Denoiser) and not options:
        if _is_single(subject):
            return None
        return subject.name, subject, make_process(resolve_run(subject).diffusion)
    if isinstance(subject, str) and not Path(subject).is_dir():
        model = fresh_model(subject, options, seed)
        if _is_single(model):
            return None
        return (
            subject_name(subject, options),
            model,
            make_process(resolve_run(subject, options).diffusion),
        )
    return None


def _subject(
    subject: object, options: dict[str, Any], loader: str | Loader | None, seed: int
) -> tuple[str, QuantumCircuit, np.ndarray | None]:
    """Return name, full circuit and, where there is an example image, values of its parameters."""
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
        return subject.name, measured_circuit(subject), None
    if isinstance(subject, Denoiser):
        return _step_of(subject, InterpolatedNoise(), subject.name, loader, seed)
    if isinstance(subject, TrainedRun):
        return _step_of(subject.model, subject.process, subject.model.name, loader, seed)
    if named:
        assert isinstance(subject, str)
        model = fresh_model(subject, options, seed)
        return _step_of(model, InterpolatedNoise(), subject_name(subject, options), loader, seed)
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


def _is_single(model: Denoiser) -> bool:
    """Return True if a step is one circuit that is read in no further bases."""
    if not isinstance(model, CircuitDenoiser):
        return False
    return isinstance(model.layer.spec.readout, ProbabilityReadout)


def fresh_model(name: str, options: dict[str, Any], seed: int) -> Denoiser:
    """Return a model or preset with weights that no training has moved."""
    generator = torch.Generator().manual_seed(derived_seed(seed, "init", 0))
    return build_model(resolve(name, options), generator=generator)


def subject_name(name: str, options: dict[str, Any]) -> str:
    """Return a model's or preset's name with its options, as reports are called."""
    return "_".join([name, *(f"{key}{value}" for key, value in options.items())])


def _step_of(
    model: Denoiser,
    process: DiffusionProcess,
    name: str,
    loader: str | Loader | None,
    seed: int,
) -> tuple[str, QuantumCircuit, np.ndarray]:
    """Return the circuit of a model's first reverse step, with the values of one noisy image."""
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
    """Return the suffix that a user's own loader adds to a report's name."""
    if loader is None:
        return ""
    return "_" + (loader if isinstance(loader, str) else type(loader).__name__).replace(
        ":", ""
    ).replace(",", "-")


def measured_circuit(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a circuit that measures itself, or else all of it measured."""
    if any(each.operation.name == "measure" for each in circuit.data):
        return circuit
    bare = circuit.copy()
    bare.measure_all(add_bits=not bare.num_clbits)
    return bare
