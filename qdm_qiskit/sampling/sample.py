"""Walk the reverse chain of a trained run on a target."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..arguments import of_kind
from ..diffusion import DiffusionProcess, OnStep
from ..doors import outside_names
from ..errors import (
    InvalidOption,
    TargetUnavailable,
)
from ..execution.devices import DEVICES
from ..execution.runner import CircuitRunner
from ..execution.targets import Target, parse_target
from ..layers.arrays import device_of, to_array
from ..mitigation.readout import ReadoutCalibration
from ..mitigation.refit import AffineCorrection
from ..models import Denoiser
from ..noise_sources import NoiseSource, find_source
from ..noise_sources.generators import WORDS, generator_of
from ..noise_sources.source import source_origin
from ..progress import Message, Progress, silent
from ..rng import derived_seed, stream
from .analytic import fitted
from .at_once import chosen_chain, run_at_once, runner_of
from .call_targets import KeptCircuits
from .coherent import ChainResult
from .config import SamplingConfig
from .device import DevicePredictor, EnginePredictor
from .loader_choice import AUTO, LoaderChoice
from .loader_names import resolved_loader
from .model_calls import check_has_calls
from .refit_record import on_refitted_qubits
from .samplers import Sampler
from .samples import SCHEMA, Samples
from .schedulers import planned_chain, sampler_origin, scheduled_chain
from .starts import started
from .trained_run import TrainedRun, best_loader, chosen_labels

__all__ = ["PACKAGES", "sample"]

PACKAGES = (
    "qdm_qiskit",
    "qiskit",
    "qiskit-aer",
    "qiskit-ibm-runtime",
    "mthree",
    "torch",
    "numpy",
)


@torch.no_grad()
def sample(
    run: TrainedRun,
    config: SamplingConfig,
    *,
    sampler: str | Sampler | None = None,
    calibration: ReadoutCalibration | None = None,
    corrections: Mapping[str, AffineCorrection] | None = None,
    noise_source: NoiseSource | None = None,
    runner: CircuitRunner | None = None,
    kept: KeptCircuits | None = None,
    first: int = 0,
    on_step: OnStep | None = None,
    progress: Progress = silent,
) -> Samples:
    """Walk the reverse chain on a target.

    Args:
        run: From :func:`load_run`.
        config: Target, images, shots, mitigation, seed.
        sampler: A sampler, which needs no registration, or its name; None takes ``config.scheduler``.
        calibration: A readout calibration to use in place of a new one.
        corrections: Corrections of measured values by call, of :func:`.corrections_of`, on targets
            that run circuits.
        noise_source: Source of the bits of x_T and of the noise of steps; that of
            ``config.noise_source`` if None.
        runner: Runner of the circuits, in place of the target's own, on the target's device.
        kept: What several samplings of the run on this target share, for blocks of images.
        first: Number of the first image, from which classes take turns.
        on_step: Called after each step with the number of steps left and x; a returned tensor
            replaces x.
        progress: Receives the progress messages, with the number of finished steps.

    Returns:
        The images, the path and the manifest.

    Raises:
        TargetUnavailable: If the target cannot be used here, or the model has no circuit to run.
        InvalidOption: If a label is given to a model that is not guided, or is out of range; or the
            sampler does not fit the run.
        InvalidData, InvalidExtension: If another package's sampler returns a state that no chain
            can go on with.
    """
    of_kind(run, TrainedRun, "run", "load_run(folder) reads one")
    of_kind(config, SamplingConfig, "config")
    config = on_refitted_qubits(config, run.refit)
    target = parse_target(config.target)
    choice: LoaderChoice | None = None
    if config.loader is not None:
        name = config.loader
        if name.startswith(AUTO):
            choice = best_loader(run, name, seed=config.seed, progress=progress)
            name = choice.best.loader
        name = resolved_loader(run.networks, name)
        config = replace(config, loader=name)
        run = run.with_loader(name)
    model, process = run.model, run.process
    labels = chosen_labels(run, config, first)
    if sampler is not None and config.scheduler != "process":
        raise InvalidOption(
            f"sampler is given, and config.scheduler is '{config.scheduler}' besides; leave one out."
        )
    chosen: str | Sampler = config.scheduler if sampler is None else sampler
    sampled_by, times = planned_chain(process, chosen, config.num_inference_steps, config.eta)
    sampled_by = fitted(run, sampled_by, times)
    clock = time.perf_counter()

    source = noise_source
    if source is None and config.noise_source is not None:
        source = find_source(config.noise_source)

    states: dict[int, Tensor] = {}

    def generator(step: int) -> torch.Generator:
        if source is not None:
            if step not in states:  # a step that asks twice draws the same noise
                made = generator_of(source, stream(config.seed, "sampling", step))
                states[step] = made.get_state()
            return torch.Generator().set_state(states[step])
        return torch.Generator().manual_seed(derived_seed(config.seed, "sampling", step))

    begun = started(
        run,
        config.num_images,
        seed=config.seed,
        start=config.start,
        labels=labels,
        generator=generator(0),
    )
    x = begun.x
    at_once, why = chosen_chain(run, config, sampler, x, labels)
    device: DevicePredictor | None = None
    if kept is not None and runner is None and target.kind != "engine":
        if kept.runner is None:
            kept.runner = runner_of(config, target)
        runner = kept.runner
        runner.restart(config.seed)
    if at_once is None:
        prediction, device = _prediction_on(
            run, config, target, labels, calibration, runner, kept, progress
        )
    if config.primitive == "estimator" and (at_once is not None or corrections):
        raise InvalidOption(
            "A chain in one circuit, and corrections of measured values, read probabilities, and an "
            "Estimator gives expectation values; use primitive 'sampler'."
        )
    if corrections:
        if device is None or at_once is not None:
            raise InvalidOption(
                "corrections are of values that circuits return step by step; choose a target such "
                "as 'noisy:fake_torino', and chain 'steps'."
            )
        device.target.corrections = corrections

    def images_of(x: Tensor) -> np.ndarray:
        return to_array(model.decode_data(process.to_images(x).to(device_of(model))))

    path = [images_of(x)]
    total = 1 if at_once else config.num_inference_steps or process.num_steps
    progress(Message("sampling", 0, total))

    def keep(step: int, x: Tensor) -> Tensor | None:
        changed = None if on_step is None else on_step(step, x)
        path.append(images_of(x if changed is None else changed))
        progress(Message("sampling", total - step, total))
        return changed

    walked: ChainResult | None = None
    if at_once is not None:
        walked, device = run_at_once(
            at_once, config, target, x, labels, calibration, runner, kept, progress
        )
        x_0 = walked.states
        changed = keep(0, x_0)
        data = process.to_images(x_0 if changed is None else changed).clamp(0, 1)
    else:
        data = scheduled_chain(
            process,
            prediction,
            x,
            generator,
            scheduler=sampled_by,
            steps=config.num_inference_steps,
            on_step=keep,
        )
    images = to_array(model.decode_data(data.to(device_of(model))))
    path[-1] = images
    manifest = {
        "schema": SCHEMA,
        "sampling": {**asdict(config), "initial_layout": list(config.initial_layout)},
        "sampler": {
            "name": sampled_by.name,
            **asdict(sampler_origin(chosen)),
            **_options_of(sampled_by),
        },
        "run": run.config.to_dict(),
        # Run, "checkpoints" and its name; the run's path on this machine is nobody's business.
        "checkpoint": "/".join(run.checkpoint.resolve().parts[-3:]),
        "model_sha256": run.weights_sha256,
        # The positions that the model was told, and the data's labels that they stand for.
        "labels": None if labels is None else labels.tolist(),
        "classes": None if labels is None else run.class_positions(),
        "versions": {package: version(package) for package in PACKAGES},
        "python": platform.python_version(),
        "seconds": time.perf_counter() - clock,
        "device": None if device is None else {**device.manifest(), **_origin_of(target)},
    }
    if corrections:
        manifest["corrections"] = {name: each.to_dict() for name, each in corrections.items()}
    if run.refit is not None:
        manifest["refit"] = run.refit
    if begun.record is not None:
        manifest["start"] = begun.record
    if source is not None:
        manifest["noise_source"] = {
            **source.record(),
            "bits_a_step": 32 * WORDS,
            **asdict(source_origin(config.noise_source, source)),
        }
    if choice is not None:
        manifest["loader_choice"] = choice.to_dict()
    if walked is not None:
        manifest["chain"] = walked.manifest()
    elif why and config.shots is not None:
        manifest["chain"] = {"circuits": "step by step", "because": why}
    return Samples(
        images=images,
        trajectory=np.stack(path),
        manifest=manifest,
        records=() if device is None else tuple(device.records),
        circuit=device.isa if device is not None and len(device.prepared) == 1 else None,
    )


def _options_of(sampler: Any) -> dict[str, Any]:
    """Return the values of a sampler's fields, for the record."""
    if not is_dataclass(sampler) or not fields(sampler):
        return {}
    values = {each.name: getattr(sampler, each.name) for each in fields(sampler)}
    plain = {
        n: v if isinstance(v, int | float | str | None) else repr(v) for n, v in values.items()
    }
    return {"options": plain}


def _origin_of(target: Target) -> dict[str, Any]:
    """Return the other package that brings a target's device, if one does."""
    name = (target.backend or "").partition("@")[0]
    if name not in outside_names("device"):
        return {}
    return {"origin": asdict(DEVICES.origin(name))}


def _prediction_on(
    run: TrainedRun,
    config: SamplingConfig,
    target: Target,
    labels: Tensor | None,
    calibration: ReadoutCalibration | None,
    runner: CircuitRunner | None,
    kept: KeptCircuits | None,
    progress: Progress,
) -> tuple[Callable[[Tensor, int], Tensor], DevicePredictor | None]:
    """Return the model's prediction on a target; and where circuits run, its record.

    Raises:
        TargetUnavailable: If the target cannot be used here, or the model has no circuit calls.
        InvalidOption: If shots are asked of a model without circuit calls.
    """
    if target.kind == "engine":
        return _engine_prediction(run.model, run.process, config, labels, target), None
    check_has_calls(run.model, config.target)
    device = DevicePredictor.prepare(
        run.model,
        runner_of(config, target) if runner is None else runner,
        config,
        num_steps=run.process.num_steps,
        calibration=calibration,
        places=run.places(config, target),
        kept=kept,
        progress=progress,
    )
    return lambda x, step: device(x, step, labels), device


def _engine_prediction(
    model: Denoiser,
    process: DiffusionProcess,
    config: SamplingConfig,
    labels: Tensor | None,
    target: Target,
) -> Callable[[Tensor, int], Tensor]:
    """Return the model itself; with shots, sampled frequencies replace its circuits' outputs."""
    if target.device == "cuda" and not torch.cuda.is_available():
        raise TargetUnavailable("Target 'engine:cuda' needs a CUDA device; use 'engine'.")
    model = model.to(target.device)

    def exact(x: Tensor, step: int) -> Tensor:
        time_ = torch.full((len(x),), step / process.num_steps, device=target.device)
        moved = None if labels is None else labels.to(target.device)
        return model(x.to(target.device), time_, moved).cpu()

    if config.shots is None:
        return exact
    if not model.num_qubits:
        raise InvalidOption(f"'{model.name}' has no circuits and has no shots; leave them out.")
    drawn = EnginePredictor(model, config, num_steps=process.num_steps)
    return lambda x, step: drawn(x, step, labels)
