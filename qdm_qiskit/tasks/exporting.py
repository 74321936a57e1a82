"""Export the circuits of a trained run, as OpenQASM 3 and QPY, logical and for devices."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from qiskit import QuantumCircuit, qasm3
from qiskit.providers import BackendV2

from ..arguments import checked_path, whole_number
from ..circuits import Loader, ProbabilityReadout
from ..circuits.export import qpy_of, readout_facts
from ..circuits.loaders import loader_name
from ..errors import InvalidOption, OutputNotWritable
from ..execution.calls import CircuitCall
from ..execution.devices import DeviceLike, as_backend
from ..files import check_writable, write_together
from ..layers.calling import ExactTarget, calls_of
from ..notebook import card, one_line, table
from ..progress import Message, Progress, silent
from ..rng import derived_seed
from ..sampling import TrainedRun, load_run
from ..sampling.model_calls import hands_on_states
from ..sampling.readings import Reading
from ..transpiling.cost import circuit_cost
from ..transpiling.passes import best_trial, layout_trials
from .run_work import run_work

__all__ = ["EXPORT_FILE", "SCHEMA", "Export", "export"]

SCHEMA = "qdm-export/1"
EXPORT_FILE = "circuits.json"
"""Name of the file that says what the others are."""


@dataclass(frozen=True, repr=False)
class Export:
    """Circuits of a run as files; see :func:`export`."""

    folder: Path
    record: dict[str, Any]
    """Content of :data:`EXPORT_FILE`: of each circuit its calls, parameters, readout, counts, example
    values and files; of each device its layout and cost."""
    files: tuple[Path, ...]
    """All files, the record first."""

    def __repr__(self) -> str:
        return one_line("Export", self.folder, f"{len(self.record['circuits'])} circuits")

    def _repr_html_(self) -> str:
        rows = [
            (
                each["name"],
                each["qubits"]["total"],
                each["depth"],
                len(each["parameters"]),
                ", ".join(each["devices"]) or None,
            )
            for each in self.record["circuits"]
        ]
        head = ("circuit", "qubits", "depth", "free parameters", "devices")
        return card("Export", table(head, rows), about=f"{len(self.files)} files in {self.folder}")


def export(
    run: str | Path | TrainedRun,
    out: str | Path | None = None,
    *,
    devices: DeviceLike | Sequence[DeviceLike] = (),
    loader: str | Loader | None = None,
    chain: str = "auto",
    level: int = 3,
    trials: int = 10,
    fractional_gates: bool = False,
    seed: int = 0,
    progress: Progress = silent,
) -> Export:
    """Write the circuits that a trained run calls, with its weights bound.

    Each distinct circuit is written once, in OpenQASM 3 and in QPY: loader, barrier, denoiser and
    measurement, as it runs. What depends on the image stays a parameter, ``x_0000`` and so on; the
    record has the values of one noisy image as an example. A model whose whole chain is one circuit
    is that circuit. A model of states step by step has an example of each step: weights that differ
    from step to step are among its values.

    Circuits that read expectation values are written unmeasured, and for a device measured in each
    basis.

    Args:
        run: Folder of a run, or the result of ``load_run``.
        out: Folder of the files, which holds no export yet; ``export`` in the run's folder if None.
        devices: Names of devices, or ``BackendV2`` or Aer ``NoiseModel`` objects, for which the
            circuits are transpiled and written too.
        loader: Loader of images, or its name; the model's own if None.
        chain: Chain of a model of states, ``coherent``, ``steps`` or ``auto``; see
            :attr:`.SamplingConfig.chain`.
        level: Qiskit's optimization level, 0 to 3.
        trials: Transpiler seeds tried for each circuit and device; the best counts.
        fractional_gates: True to use a device's rzz for free angles too, folded into its range.
        seed: Seed of the example's noise and of the transpiler.
        progress: Receives each circuit that is done on a device.

    Returns:
        The files and their record.

    Raises:
        MissingData, InvalidCheckpoint, InvalidData: If the run cannot be read.
        InvalidOption: If an option is out of range, or the model has no circuits.
        UnknownName: If there is no such device or loader.
        UnsupportedCircuit: If a circuit does not fit a device; nothing is written then.
        OutputNotWritable: If the folder holds an export, or cannot be written.

    >>> import tempfile, qdm_qiskit as qdm
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     small = dict(image_size=2, depth=1, num_steps=2, train_count=8, epochs=1, baseline=False)
    ...     run = qdm.train("eeqdm", f"{folder}/first", **small).run
    ...     [each.name for each in qdm.export(run).files]
    ['circuits.json', 'eeqdm.qasm', 'eeqdm.qpy']
    """
    if whole_number(trials, "trials") < 1 or whole_number(level, "level") not in range(4):
        raise InvalidOption(
            f"trials is at least 1 and level 0 to 3, got trials={trials} and level={level}."
        )
    several = isinstance(devices, Sequence) and not isinstance(devices, str)
    given: list[Any] = list(devices) if several else [devices]
    backends = [as_backend(each, "devices") for each in given]
    names = [_slug(each.name) for each in backends]
    if len(set(names)) < len(names):
        raise InvalidOption(f"Each device is given once, got {', '.join(names)}.")
    trained = run if isinstance(run, TrainedRun) else load_run(checked_path(run, "run"))
    if loader is not None:
        trained = trained.with_loader(loader)
    if out is None and isinstance(run, TrainedRun):
        raise InvalidOption("A loaded run has no folder of its own to export into; give out=.")
    folder = checked_path(out, "out") if out is not None else checked_path(run, "run") / "export"
    check_writable(folder)
    if (folder / EXPORT_FILE).exists():
        raise OutputNotWritable(
            f"{folder} holds an export already, which is not overwritten; choose another folder, or "
            "remove that one."
        )
    seeds = [derived_seed(seed, "transpiler", trial) for trial in range(trials)]
    record, contents = _written(
        trained, backends, chain, level, seeds, fractional_gates, seed, progress
    )
    record["sha256"] = {name: hashlib.sha256(content).hexdigest() for name, content in contents}
    index = json.dumps(record, indent=2, sort_keys=True, allow_nan=False) + "\n"
    # The record last: where it is, all is.
    files = {**{folder / name: content for name, content in contents}, folder / EXPORT_FILE: b""}
    files[folder / EXPORT_FILE] = index.encode()
    write_together(files)
    return Export(folder, record, (folder / EXPORT_FILE, *(folder / name for name, _ in contents)))


def _written(
    run: TrainedRun,
    backends: Sequence[BackendV2],
    chain: str,
    level: int,
    seeds: Sequence[int],
    fractional: bool,
    seed: int,
    progress: Progress,
) -> tuple[dict[str, Any], list[tuple[str, bytes]]]:
    """Return the record, and name and content of each file of circuits."""
    work = run_work(run.model, run.process, num_images=1, chain=chain, seed=seed)
    if work.way == "tomography":
        calls = list(_calls_of_all_steps(run, seed))
    else:
        calls = [(run.process.num_steps, call) for job in work.jobs for call in job]
    groups: dict[str, list[tuple[int, CircuitCall]]] = {}
    for step, call in calls:
        groups.setdefault(call.content, []).append((step, call))
    reused = {}
    for backend in backends:
        [*jobs] = work.jobs_on(backend)
        if jobs is not work.jobs and work.reused is not None:
            reused[backend.name] = [call for job in jobs for call in job]
    contents: list[tuple[str, bytes]] = []
    circuits = []
    names = _names([group[0][1] for group in groups.values()])
    for done, (name, (content, group)) in enumerate(
        zip(names, groups.items(), strict=True), start=1
    ):
        call = group[0][1]
        logical = call.circuit
        _add(contents, name, [logical])
        on_devices = {}
        for backend in backends:
            there = reused[backend.name][done - 1] if backend.name in reused else call
            on_devices[backend.name], isas = _on_device(there, backend, level, seeds, fractional)
            written = _add(contents, f"{name}-{_slug(backend.name)}", isas)
            on_devices[backend.name]["files"] = written
            progress(Message(backend.name, done, len(groups)))
        circuits.append(
            {
                "name": name,
                "circuit": call.spec.name,
                "content": content,
                "source": call.spec.source,
                "calls": list(dict.fromkeys(each.name for _, each in group)),
                "steps": sorted({step for step, _ in group}) if work.way == "tomography" else "all",
                "qubits": {
                    "total": call.spec.num_qubits,
                    "data": list(call.spec.data_qubits),
                    "ancilla": list(call.spec.ancilla_qubits),
                },
                "loader": loader_name(call.spec.loader)
                if call.spec.encoding == "amplitude"
                else None,
                "measured": isinstance(call.spec.readout, ProbabilityReadout),
                "readout": readout_facts(call.spec),
                "parameters": [parameter.name for parameter in logical.parameters],
                "examples": [
                    {"step": step, "call": each.name, "values": each.values[0].tolist()}
                    for step, each in group
                ],
                "weights_bound": len(call.spec.weights),
                "depth": logical.depth(),
                "gates": {k: v for k, v in sorted(logical.count_ops().items()) if k != "barrier"},
                "files": [f"{name}.qasm", f"{name}.qpy"],
                "devices": on_devices,
            }
        )
    record = {
        "schema": SCHEMA,
        "model": run.config.model,
        "preset": run.config.preset,
        "checkpoint": run.checkpoint.name,
        "weights_sha256": run.weights_sha256,
        "chain": work.chain,
        "way": work.way,
        "because": work.because,
        "num_steps": run.process.num_steps,
        "circuits": circuits,
        "transpiler": {
            "level": level,
            "seeds": [int(each) for each in seeds],
            "fractional_gates": fractional,
        }
        if backends
        else None,
        "versions": {each: version(each) for each in ("qdm_qiskit", "qiskit")},
    }
    return record, contents


def _calls_of_all_steps(run: TrainedRun, seed: int) -> Iterator[tuple[int, CircuitCall]]:
    """Return step and call of a whole chain, whose circuits may differ from step to step.

    States are those of the start: what the example holds is one state of noise at each step.
    """
    model = run.model
    assert hands_on_states(model)
    start = torch.Generator().manual_seed(derived_seed(seed, "sampling", 0))
    x = run.process.start((1, *model.state_shape), start)
    guided = getattr(model.config, "guided", False)
    labels = torch.zeros(1, dtype=torch.int64) if guided else None
    total = run.process.num_steps
    target = ExactTarget()
    for step in range(total, 0, -1):
        target.calls.clear()
        for job in calls_of(model, x, torch.full((1,), step / total), labels, target=target):
            yield from ((step, call) for call in job)


def _on_device(
    call: CircuitCall, backend: BackendV2, level: int, seeds: Sequence[int], fractional: bool
) -> tuple[dict[str, Any], list[QuantumCircuit]]:
    """Return what there is to say of a circuit on a device, and its transpiled circuits."""
    reading = Reading.of(call.spec)
    read = None if reading.plan is None else reading.qubits
    found = layout_trials(
        call.circuit, backend, seeds=seeds, level=level, read=read, fractional=fractional
    )
    best = best_trial(found)
    circuits = reading.circuits(best.circuit, backend.target)
    layout = best.circuit.layout
    bases = None
    if reading.plan is not None:
        bases = ["".join(each.letters) for each in reading.plan.bases]
    return {
        "device_qubits": backend.num_qubits,
        "transpiler_seed": int(best.seed),
        "physical_qubits": None
        if layout is None
        else list(layout.initial_index_layout(filter_ancillas=True)),
        "reuses_qubits": call.reuse_qubits,
        "parameters": [[p.name for p in each.parameters] for each in circuits],
        "measured": list(reading.qubits),
        "bases": bases,
        "costs": [asdict(circuit_cost(each, backend.target)) for each in circuits],
    }, circuits


def _add(
    contents: list[tuple[str, bytes]], name: str, circuits: Sequence[QuantumCircuit]
) -> list[str]:
    """Add the files of a circuit, or of its bases, and return their names."""
    files = []
    for number, circuit in enumerate(circuits, start=1):
        own = name if len(circuits) == 1 else f"{name}-basis-{number:02d}"
        contents.append((f"{own}.qasm", (qasm3.dumps(circuit).rstrip("\n") + "\n").encode()))
        files.append(f"{own}.qasm")
    contents.append((f"{name}.qpy", qpy_of(circuits)))
    return [*files, f"{name}.qpy"]


def _names(calls: Sequence[CircuitCall]) -> list[str]:
    """Return a file's name for each circuit."""
    if len(calls) == 1:
        return [_slug(calls[0].spec.name)]
    return [f"{number:02d}-{_slug(each.spec.name)}" for number, each in enumerate(calls, start=1)]


def _slug(text: str) -> str:
    """Return a text as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9_.]+", "-", text).strip("-.")[:64] or "circuit"
