"""What a cost is of: the circuit of a step, or the calls of a run, of anything that has some."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from qiskit import QuantumCircuit

from ..arguments import checked_path, wrong
from ..circuits import CircuitSpec, Loader, ProbabilityReadout
from ..diffusion import DiffusionProcess, InterpolatedNoise, make_process
from ..errors import InvalidOption
from ..evaluation.run_cost import Work
from ..models import CircuitDenoiser, Denoiser, build_model, resolve
from ..rng import derived_seed
from ..sampling import TrainedRun, load_run, unrolled_circuit
from ..training.config import resolve_run
from .run_work import run_work

__all__ = ["CostSubject", "fresh_model", "measured_circuit", "prepared", "subject_name"]


@dataclass(frozen=True, eq=False)
class CostSubject:
    """What is to be transpiled."""

    name: str
    """Name of the report."""
    work: Work | None = None
    """Calls of a run; None for a single circuit."""
    circuit: QuantumCircuit | None = None
    """The single circuit, measured."""
    example: np.ndarray | None = None
    """``(num_parameters,)`` values of the circuit for one noisy image, where there is one."""


def prepared(
    subject: object,
    options: Mapping[str, Any],
    loader: str | Loader | None,
    seed: int,
    *,
    num_images: int,
    scheduler: str,
    steps: int | None,
    chain: str,
    shots: int,
    every: bool,
) -> CostSubject:
    """Return what a cost is of.

    Args, errors: As for :func:`.cost`; ``steps`` are its ``num_inference_steps``.
    """
    options = dict(options)
    several_circuits = _many(subject, options, seed)
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
            steps=steps,
            chain=chain,
            shots=shots,
            seed=seed,
        )
        return CostSubject(found, work)
    if scheduler != "process" or steps is not None or chain != "auto" or every:
        raise InvalidOption(
            "A single circuit is reported step by step: scheduler, num_inference_steps, chain and "
            "every are for models of many circuits."
        )
    found, circuit, example = _subject(subject, options, loader, seed)
    return CostSubject(found, circuit=circuit, example=example)


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
