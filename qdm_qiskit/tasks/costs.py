"""Cost of a model's circuit, or of any circuit, on a device, before anything runs there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from qiskit import QuantumCircuit

from ..arguments import whole_number
from ..circuits import CircuitSpec, Loader
from ..errors import InvalidOption
from ..evaluation.report_names import report_name
from ..evaluation.run_cost import RunReport, run_report
from ..evaluation.transpile import TranspileReport, transpile_report
from ..execution.devices import DeviceLike, as_backend
from ..models import Denoiser
from ..progress import Progress, silent
from ..rng import derived_seed
from ..sampling import TrainedRun
from ..transpiling.search import LayoutSearch, search_layouts
from ..work import Workers
from .amortising import loader_for
from .cost_subjects import prepared
from .layout_search import named_subject, search_by_workers

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
    num_images: int = 16,
    scheduler: str = "process",
    num_inference_steps: int | None = None,
    chain: str = "auto",
    every: bool = False,
    fractional_gates: bool = False,
    workers: int | Executor | Workers | None = None,
    dask: str | Any | None = None,
    folder: str | Path | None = None,
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
        workers: Try transpiler seeds as items of work, on so many processes of this machine, or on an
            executor of ``concurrent.futures``; the report is the same. The subject, its loader and the
            devices are then known by name.
        dask: The same on workers of Dask: address of a scheduler, ``"local"``, or a cluster object.
        folder: Where seeds that were tried by workers stay, so that a call that was stopped goes on;
            None keeps none.
        progress: Receives the device's name, with the numbers of finished trials and of all trials; of
            workers the counts of all seeds.
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
        InvalidArgument: If workers are asked for, and the subject or its loader is an object.
        WorkersUnavailable, MissingDependency: If workers are not there.

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
    chain_options: dict[str, Any] = {
        "num_images": num_images,
        "scheduler": scheduler,
        "steps": num_inference_steps,
        "chain": chain,
        "shots": shots,
    }
    asked = prepared(subject, chosen, loader, seed, every=every, **chain_options)
    search: LayoutSearch = search_layouts
    if workers is not None or dask is not None:
        search = search_by_workers(
            named_subject(subject, chosen, loader, seed, every=every, **chain_options),
            [as_backend(each, "backends") for each in devices],
            seeds,
            level=level,
            fractional=fractional_gates,
            workers=workers,
            dask=dask,
            folder=folder,
            progress=progress,
        )
    how: dict[str, Any] = {
        "level": level,
        "seeds": seeds,
        "shots": shots,
        "fractional": fractional_gates,
        "search": search,
        "progress": progress,
    }
    title = report_name(asked.name) if name is None else name
    if asked.work is not None:
        return run_report(title, asked.work, devices, every=every, **how)
    assert asked.circuit is not None
    return transpile_report(title, asked.circuit, devices, example_values=asked.example, **how)
