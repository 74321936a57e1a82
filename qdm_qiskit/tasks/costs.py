"""What a model's circuit, or any circuit, costs on a device, before anything runs there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeGuard

import numpy as np
import torch
from qiskit import QuantumCircuit

from ..arguments import checked_path, whole_number, wrong
from ..circuits import CircuitSpec, Loader
from ..circuits.spec import ProbabilityReadout
from ..diffusion import DiffusionProcess, InterpolatedNoise, make_process
from ..errors import InvalidOption, TargetUnavailable
from ..evaluation.call_costs import CallCosts, call_costs
from ..evaluation.transpile import TranspileReport, transpile_report
from ..execution.calls import CircuitCall
from ..execution.devices import DeviceLike, as_backend
from ..layers.calling import calls_of
from ..models import CircuitDenoiser, Denoiser, build_model, resolve
from ..models.spec_denoiser import SpecDenoiser
from ..progress import Progress, silent
from ..rng import derived_seed
from ..sampling import TrainedRun, load_run, unrolled_circuit
from ..sampling.coherent import CoherentChain
from ..sampling.device import hands_on_states
from ..sampling.schedulers import planned_chain
from ..training import resolve_run

__all__ = ["FEW_STEPS", "How", "call_costs_of", "cost"]

How = Literal["calls", "tomography", "chain"]
"""Way in which a model runs: its calls step by step, with tomography of states between them, or its
whole chain as one circuit."""

FEW_STEPS = 10
"""Steps of a chain by DDIM."""


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
    steps: int | None = None,
    progress: Progress = silent,
    **options: Any,
) -> TranspileReport | CallCosts:
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
        num_images: Of a run, for a model of several circuits.
        steps: Steps of its reverse chain; None takes 10 by DDIM where its process allows that, or all,
            or 1 where the whole chain is one circuit.
        progress: Receives the device's name, with the trials, or circuits, that are done and in all.
        options: Of a model or preset that is named: ``depth=2``, ``image_size=8``.

    Returns:
        Depth, two-qubit gates, duration and expected success, loader and denoiser apart, and a
        sentence that says whether noise leaves anything. Of a model whose step calls several circuits,
        or reads expectation values: a row for each distinct circuit, and what a run costs.
        ``write_report`` in :mod:`qdm_qiskit.reports.transpile_render` writes both.

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
    named = isinstance(subject, str) and not Path(subject).is_dir()
    wanted = {**(settings or {}), **options}
    if wanted and not named:
        raise InvalidOption(
            "Options are for models and presets by name; what was built or trained already has its "
            f"own, got {', '.join(wanted)}."
        )
    seeds = [derived_seed(seed, "transpiler", trial) for trial in range(trials)]
    example: np.ndarray | None = None
    if isinstance(subject, CircuitSpec | QuantumCircuit):
        found, circuit = _given_circuit(subject, loader)
    else:
        found, model, process = _model_of(subject, wanted, seed)
        if loader is not None:
            found, model = found + _suffix(loader), _with_loader(model, loader)
        if not _is_one_circuit(model):
            _, jobs, times = _work(model, process or _process(model), seed)
            return call_costs(
                found if name is None else name,
                jobs,
                devices,
                steps=times if steps is None else steps,
                num_images=num_images,
                shots=shots,
                level=level,
                seeds=seeds,
                progress=progress,
            )
        circuit, example = unrolled_circuit(model), _example(model, process, seed)
    return transpile_report(
        found if name is None else name,
        circuit,
        devices,
        level=level,
        seeds=seeds,
        example_values=example,
        shots=shots,
        progress=progress,
    )


def call_costs_of(
    name: str,
    backend: DeviceLike,
    *,
    num_images: int,
    shots: int,
    trials: int = 1,
    seed: int = 0,
) -> tuple[How, CallCosts]:
    """Return how a model or preset runs, and the cost of its calls, of a single circuit as well.

    Args:
        name: Of the model or preset; its weights are fresh.
        backend: The device.
        num_images, shots, trials, seed: As for :func:`cost`.

    Raises:
        InvalidOption: If it is classical.
    """
    found, model, _ = _model_of(name, {}, seed)
    how, jobs, steps = _work(model, _process(model, name), seed)
    costs = call_costs(
        found,
        jobs,
        [backend],
        steps=steps,
        num_images=num_images,
        shots=shots,
        seeds=[derived_seed(seed, "transpiler", trial) for trial in range(trials)],
    )
    return how, costs


def _given_circuit(
    subject: CircuitSpec | QuantumCircuit, loader: str | Loader | None
) -> tuple[str, QuantumCircuit]:
    """Name and full circuit of a spec or a circuit."""
    if isinstance(subject, CircuitSpec):
        spec = subject if loader is None else replace(subject, loader=loader)
        return subject.name + _suffix(loader), spec.full_circuit()
    if loader is not None:
        raise InvalidOption("A circuit has its loader in it; loader is for models and specs.")
    return subject.name, _measured(subject)


def _model_of(
    subject: object, options: dict[str, Any], seed: int
) -> tuple[str, Denoiser, DiffusionProcess | None]:
    """Name and model of what is no circuit, and the process of a trained one."""
    if isinstance(subject, Denoiser):
        return subject.name, subject, None
    if isinstance(subject, TrainedRun):
        return subject.model.name, subject.model, subject.process
    if not isinstance(subject, str | Path):
        raise wrong(
            subject,
            "subject",
            "a run, a model or its name, a spec or a circuit",
            "load_run reads one",
        )
    if isinstance(subject, str) and not Path(subject).is_dir():
        generator = torch.Generator().manual_seed(derived_seed(seed, "init", 0))
        model = build_model(resolve(subject, options), generator=generator)
        name = "_".join([subject, *(f"{key}{value}" for key, value in options.items())])
        return name, model, None
    folder = checked_path(subject, "subject")
    run = load_run(folder)
    return folder.resolve().name, run.model, run.process


def _with_loader(model: Denoiser, loader: str | Loader) -> Denoiser:
    if not isinstance(model, CircuitDenoiser):
        raise InvalidOption(
            f"'{model.name}' has no single circuit to put a loader before; leave loader out."
        )
    return model.with_loader(loader)


def _is_one_circuit(model: Denoiser) -> TypeGuard[CircuitDenoiser]:
    readout = model.spec.readout if isinstance(model, CircuitDenoiser) else None
    return isinstance(readout, ProbabilityReadout)


def _start(
    model: Denoiser, process: DiffusionProcess | None, seed: int
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """One noisy image, and a label of a guided model."""
    start = torch.Generator().manual_seed(derived_seed(seed, "sampling", 0))
    image = (process or InterpolatedNoise()).start((1, *model.state_shape), start)
    guided = bool(getattr(model.config, "guided", False))
    return image, torch.zeros(1, dtype=torch.int64) if guided else None


def _example(model: CircuitDenoiser, process: DiffusionProcess | None, seed: int) -> np.ndarray:
    """Values of the circuit of a model's first reverse step, for one noisy image."""
    image, labels = _start(model, process, seed)
    values: np.ndarray = model.circuit_values(*model.encode_at(image, torch.ones(1), labels))[0]
    return values


def _process(model: Denoiser, name: str | None = None) -> DiffusionProcess:
    """The process that a fresh model is trained with unless another is chosen."""
    steps = getattr(model.config, "num_steps", None)
    settings = {} if steps is None else {"num_steps": steps}
    own = name or (model if isinstance(model, SpecDenoiser) else type(model))
    return make_process(resolve_run(own, settings).diffusion)


def _work(
    model: Denoiser, process: DiffusionProcess, seed: int
) -> tuple[How, list[list[CircuitCall]], int]:
    """How a model runs, its jobs for one noisy image, and how often a run sends them.

    They are those of a whole chain, if it is one circuit, which is sent once; else those of a step.

    Raises:
        InvalidOption: If there are none.
    """
    if not model.num_quantum_parameters:
        raise InvalidOption(f"'{model.name}' is classical: it has no circuit to report on.")
    image, labels = _start(model, process, seed)
    how: How = "calls"
    if hands_on_states(model):
        how = "tomography"
        with suppress(TargetUnavailable):  # arithmetic between the steps: they are sent one by one
            return "chain", [CoherentChain.of(model, process).calls(image, labels, shots=None)], 1
    return how, calls_of(model.eval(), image, torch.ones(1), labels), _few_steps(process)


def _few_steps(process: DiffusionProcess) -> int:
    """Steps of a chain by DDIM where the process knows it; else all."""
    if process.num_steps <= FEW_STEPS:
        return process.num_steps
    try:
        planned_chain(process, "ddim", FEW_STEPS)
    except InvalidOption:
        return process.num_steps
    return FEW_STEPS


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
