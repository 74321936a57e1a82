"""Tiles of a model's circuit, or of any circuit, on a device, before anything runs there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qiskit import QuantumCircuit

from ..arguments import checked_path, whole_number, wrong
from ..circuits import CircuitSpec, Loader
from ..errors import InvalidOption
from ..evaluation.report_names import report_name
from ..evaluation.tiles import TilesReport, tiles_report
from ..execution.devices import DeviceLike
from ..models import Denoiser
from ..progress import Progress, silent
from ..rng import derived_seed
from ..sampling import TrainedRun, load_run
from ..sampling.model_calls import check_has_calls, layer_calls
from ..sampling.readings import Reading
from ..transpiling.tiles import TileChoice
from .amortising import loader_for
from .cost_subjects import fresh_model, measured_circuit, subject_name

__all__ = ["tiles"]


def tiles(
    subject: str | Path | TrainedRun | Denoiser | CircuitSpec | QuantumCircuit,
    backends: DeviceLike | Sequence[DeviceLike] = "fake_torino",
    choice: str | int = "auto",
    *,
    buffer: bool = False,
    call: str | None = None,
    settings: Mapping[str, Any] | None = None,
    trials: int = 5,
    level: int = 3,
    loader: str | Loader | None = None,
    inputs: int = 16,
    seed: int = 0,
    progress: Progress = silent,
    **options: Any,
) -> TilesReport:
    """Find disjoint places of devices for a model's circuit, and simulate it on each.

    Args:
        subject: Folder of a trained run, or the result of ``load_run``; a model's or preset's name;
            a denoiser; a spec; or a circuit, which is measured whole if it measures nothing.
        backends: Names of devices, or ``BackendV2`` or Aer ``NoiseModel`` objects; one or several.
        choice: ``auto``, a number of tiles, or the least expected success of each, ``>=0.7``.
        buffer: True to leave a qubit between tiles.
        call: Name of one circuit of a model that calls several.
        settings: Options of a model or preset, by name, as ``options``; values may be text.
        trials: Transpiler seeds tried on each device, at least 1.
        level: Qiskit's optimization level, 0 to 3.
        loader: Loader of images, or its name; the model's own if None.
        inputs: Random inputs of the simulation; 0 simulates nothing.
        seed: Seed of fresh weights, the inputs and the transpiler.
        progress: Receives the device's name with the tiles done and in all.
        options: Options of a named model or preset: ``depth=2``, ``image_size=8``.

    Returns:
        The tiles of each device, with their expected success beside what the simulation leaves;
        ``write_tiles_report`` in :mod:`qdm_qiskit.reports.tiles_render` writes and draws them.

    Raises:
        InvalidOption: If an option is out of range, the model calls several circuits and none is
            named, or a device has fewer tiles than asked for.
        TargetUnavailable: If a device has no coupling map or no good place, or the model no circuit.
        UnknownName, UnsupportedCircuit: If there is no such model or device, or the circuit does not
            fit it.

    >>> from qiskit import QuantumCircuit
    >>> bell = QuantumCircuit(2, name="bell")
    >>> _ = bell.h(0), bell.cx(0, 1)
    >>> found = tiles(bell, "fake_nairobi", ">=0.9", trials=1, inputs=0)
    >>> len(found.chips[0].tiles)
    2
    """
    if whole_number(trials, "trials") < 1:
        raise InvalidOption(f"trials must be at least 1, got {trials}.")
    several = isinstance(backends, Sequence) and not isinstance(backends, str)
    devices: list[Any] = list(backends) if several else [backends]
    name, circuit = _circuit(subject, {**(settings or {}), **options}, loader, call, seed)
    return tiles_report(
        report_name(name),
        circuit,
        devices,
        TileChoice.of(str(choice), buffer=buffer),
        level=level,
        seeds=[derived_seed(0, "transpiler", trial) for trial in range(trials)],
        inputs=inputs,
        seed=seed,
        progress=progress,
    )


def _circuit(
    subject: object,
    options: dict[str, Any],
    loader: str | Loader | None,
    call: str | None,
    seed: int,
) -> tuple[str, QuantumCircuit]:
    """Return the name and the measured circuit, in the first basis that its readout takes."""
    named = isinstance(subject, str) and not Path(subject).is_dir()
    if options and not named:
        raise InvalidOption(
            "Options are for models and presets by name; what was built or trained already has its "
            f"own, got {', '.join(options)}."
        )
    if isinstance(subject, CircuitSpec | QuantumCircuit):
        if loader is not None or call is not None:
            raise InvalidOption("loader and call are for models; a circuit is what it is.")
        plain = subject if isinstance(subject, QuantumCircuit) else subject.full_circuit()
        return subject.name, measured_circuit(plain)
    if isinstance(subject, TrainedRun):
        name, model = subject.model.name, subject.model
    elif isinstance(subject, Denoiser):
        name, model = subject.name, subject
    elif named:
        assert isinstance(subject, str)
        name, model = subject_name(subject, options), fresh_model(subject, options, seed)
    elif isinstance(subject, str | Path):
        folder = checked_path(subject, "subject")
        name, model = folder.resolve().name, load_run(folder).model
    else:
        raise wrong(subject, "subject", "a run, a model or its name, a spec or a circuit")
    if loader is not None:
        with_loader = getattr(model, "with_loader", None)
        if with_loader is None:
            raise InvalidOption(
                f"'{model.name}' is no single circuit, so no loader stands in front of it; leave "
                "loader out."
            )
        model = with_loader(loader_for(subject, loader))
    check_has_calls(model, "noisy:DEVICE")
    found = {each.content: each for each in reversed(layer_calls(model))}
    names = {each.name: each for each in reversed(found.values())}
    if call is None and len(names) > 1:
        raise InvalidOption(
            f"'{model.name}' calls {len(names)} circuits, and a report has the tiles of one; give "
            f"call, one of {', '.join(names)}."
        )
    if call is not None and call not in names:
        raise InvalidOption(f"call is one of {', '.join(names)}, got '{call}'.")
    chosen = names[call] if call is not None else next(iter(names.values()))
    [circuit, *_] = Reading.of(chosen.spec).circuits(chosen.circuit, None)
    suffix = f"-{chosen.name}" if len(names) > 1 else ""
    return name + suffix, circuit
