"""Transpile reports: the cost of a circuit on some devices, before anything runs there.

One report is three files of the same name: JSON with every number, Markdown to read, PNG to see.
Reports hold no dates, so that the same code and versions write the same JSON and Markdown again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from statistics import median
from typing import Any, Generic, TypeVar

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

from ..arguments import of_kind, wrong
from ..errors import InvalidData, InvalidOption
from ..execution.devices import DeviceLike, as_backend
from ..execution.distributions import detectable_fraction, shot_noise_distance, signal_left
from ..execution.noisy import MAX_DENSITY_QUBITS
from ..execution.region import active_qubits
from ..notebook import one_line
from ..progress import Message, Progress, silent
from ..transpiling.cost import CircuitCost, LogicalCost, circuit_cost, logical_cost
from ..transpiling.passes import Trial, measured_physical_qubits, select_values
from ..transpiling.search import LayoutSearch, search_layouts
from ..transpiling.split import has_barrier, split_at_barrier
from .chip import ChipErrors, chip_errors
from .report_names import check_report_name
from .transpile_card import render_card

__all__ = [
    "MAX_EXACT_QUBITS",
    "SCHEMA",
    "BackendReport",
    "Cost",
    "Parts",
    "Spread",
    "TranspileReport",
    "Verdict",
    "exact_probabilities",
    "share_in_bases",
    "transpile_report",
    "verdict_of",
]

SCHEMA = "transpile-report/1"
MAX_EXACT_QUBITS = 20
"""Most qubits for which an example's exact distribution is computed."""

Cost = TypeVar("Cost", CircuitCost, LogicalCost)


@dataclass(frozen=True)
class Parts(Generic[Cost]):
    """The same cost of the loader, the denoiser, and the whole circuit."""

    loader: Cost
    """Up to the barrier; empty if the circuit has none."""
    denoiser: Cost
    """After the barrier, measurements included."""
    total: Cost
    """Cost of the whole circuit."""


@dataclass(frozen=True)
class Spread:
    """One number over all transpiler seeds."""

    smallest: float
    median: float
    largest: float


@dataclass(frozen=True)
class Verdict:
    """Verdict on whether the device's noise leaves anything to see."""

    erased: bool
    """True if the shots cannot tell the result from pure noise."""
    fraction: float
    """Part of the signal that is left, 1 for all of it."""
    method: str
    """``simulated`` with the snapshot's noise, or ``estimated`` from the expected success."""
    sentence: str
    """The same in words."""


@dataclass(frozen=True)
class BackendReport:
    """The circuit on one device."""

    backend: str
    """Name of the device; of one's own with the hash of its content."""
    device_qubits: int
    """Qubits of the device."""
    best_seed: int
    """Transpiler seed of the best trial: highest expected success, then fewest two-qubit gates."""
    layout: tuple[int, ...]
    """Physical qubit of each logical qubit at the start."""
    measured_qubits: tuple[int, ...]
    """Physical qubit behind each classical bit."""
    cost: Parts[CircuitCost]
    """Costs of the best trial."""
    spread: dict[str, Spread]
    """Spread of each number over all seeds: ``depth``, ``two_qubit_depth``, ``two_qubit_count``,
    ``cnot_equivalents``, ``expected_success`` and, where known, ``duration_seconds``."""
    verdict: Verdict
    """Verdict on whether noise has likely erased the signal."""


@dataclass(frozen=True)
class TranspileReport:
    """A circuit's cost in itself and on each device."""

    name: str
    """Name of the model or template; also the files' name."""
    level: int
    """Optimization level."""
    seeds: tuple[int, ...]
    """Transpiler seeds that were tried on each device."""
    shots: int
    """Shots that the verdicts are given for."""
    logical: Parts[LogicalCost]
    """Counts of the abstract circuit."""
    backends: tuple[BackendReport, ...]
    """One for each device, in the order asked for."""
    versions: dict[str, str]
    """Packages that the numbers depend on."""
    chips: tuple[ChipErrors | None, ...] = field(default=(), compare=False)
    """Of each device, what a page draws of it; not in :meth:`to_dict`. None of a device without a
    coupling map."""

    def to_dict(self) -> dict[str, Any]:
        """Return the whole report, ready for JSON, with ``schema`` first."""
        numbers = asdict(replace(self, chips=()))
        del numbers["chips"]
        return {"schema": SCHEMA, **numbers}

    def __repr__(self) -> str:
        found = (
            f"{each.backend} {each.cost.total.two_qubit_count} two-qubit gates, "
            f"success {each.cost.total.expected_success:.2g}"
            for each in self.backends
        )
        return one_line("TranspileReport", self.name, *found)

    def _repr_html_(self) -> str:
        return render_card(self.to_dict())


def transpile_report(
    name: str,
    circuit: QuantumCircuit,
    backends: Sequence[DeviceLike],
    *,
    level: int = 3,
    seeds: Sequence[int],
    example_values: np.ndarray | None = None,
    shots: int = 4096,
    fractional: bool = False,
    search: LayoutSearch = search_layouts,
    progress: Progress = silent,
) -> TranspileReport:
    """Transpile a circuit for each device with each seed, and cost the best result.

    Args:
        name: Letters, digits, ``.``, ``_`` and ``-``.
        circuit: The full logical circuit: loader, one barrier labelled ``denoiser``, denoiser, and
            every classical bit measured once. Without the barrier all of it is denoiser.
        backends: Names of devices, ``BackendV2`` or Aer ``NoiseModel`` objects, at least one.
        level: Optimization level, 0 to 3.
        seeds: Transpiler seeds, at least one.
        example_values: One row of values, shape ``(num_parameters,)`` in the order of
            ``circuit.parameters``, in radians. With it the verdict is simulated where at most
            ``MAX_DENSITY_QUBITS`` qubits are active; without, it is estimated.
        shots: Shots that the verdict is given for, at least 1.
        fractional: As for :func:`~qdm_qiskit.transpiling.passes.transpile_for`.
        search: Tries the seeds.
        progress: Receives the device's name after each trial, with the trials done and in all.

    Returns:
        The report; nothing is written.

    Raises:
        UnknownName: If a device does not exist; checked before any work.
        InvalidOption: If the name, level, seeds, backends or shots are not as above.
        InvalidData: If the example has a wrong shape or is not finite.
        UnsupportedCircuit: If the circuit does not fit a device, holds several such barriers, or
            leaves a bit unmeasured.
    """
    check_report_name(name)
    of_kind(circuit, QuantumCircuit, "circuit", "a spec gives one with full_circuit()")
    if isinstance(backends, str) or not isinstance(backends, Iterable):
        raise wrong(backends, "backends", "a sequence of devices, such as ['fake_torino']")
    backends = list(backends)
    if not backends:
        raise InvalidOption("A transpile report needs at least one backend, got none.")
    shot_noise_distance(np.ones(1), shots)  # refuses bad shots before the long work
    loaded = [(each, as_backend(each, "backends")) for each in backends]
    measured_physical_qubits(circuit)
    example = _checked_example(circuit, example_values)
    exact = None if example is None else exact_probabilities(circuit, example)
    loader, denoiser = _loader_denoiser(circuit)
    logical = Parts(logical_cost(loader), logical_cost(denoiser), logical_cost(circuit))

    reports, chips = [], []
    for given, device in loaded:
        searched = search(
            circuit,
            device,
            seeds=seeds,
            level=level,
            fractional=fractional,
            progress=_named(progress, device.name),
        )
        best = searched.best
        loader, denoiser = (circuit_cost(c, device.target) for c in _loader_denoiser(best.circuit))
        layout = best.circuit.layout.initial_index_layout(filter_ancillas=True)
        chips.append(chip_errors(device, layout, [best.circuit]))
        reports.append(
            BackendReport(
                backend=device.name,
                device_qubits=device.num_qubits,
                best_seed=best.seed,
                layout=tuple(layout),
                measured_qubits=measured_physical_qubits(best.circuit),
                cost=Parts(loader, denoiser, best.cost),
                spread=_spread(searched.costs),
                verdict=verdict_of(given, circuit, best, example, exact, shots),
            )
        )
    return TranspileReport(
        name=name,
        level=level,
        seeds=tuple(int(seed) for seed in seeds),
        shots=shots,
        logical=logical,
        backends=tuple(reports),
        versions={p: version(p) for p in ("qiskit", "qiskit-aer", "qiskit-ibm-runtime")},
        chips=tuple(chips),
    )


def _named(progress: Progress, backend: str) -> Progress:
    return lambda part: progress(Message(backend, part.done, part.total))


def _loader_denoiser(circuit: QuantumCircuit) -> tuple[QuantumCircuit, QuantumCircuit]:
    if has_barrier(circuit):
        return split_at_barrier(circuit)
    return circuit.copy_empty_like(), circuit


def _spread(costs: Sequence[CircuitCost]) -> dict[str, Spread]:
    keys = (
        *("depth", "two_qubit_depth", "two_qubit_count", "cnot_equivalents"),
        *("expected_success", "duration_seconds"),
    )
    spread = {}
    for key in keys:
        values = [getattr(cost, key) for cost in costs]
        if None not in values:
            spread[key] = Spread(min(values), median(values), max(values))
    return spread


def _checked_example(circuit: QuantumCircuit, values: np.ndarray | None) -> np.ndarray | None:
    if values is None:
        return None
    row = np.asarray(values, dtype=np.float64)
    if row.shape != (circuit.num_parameters,) or not np.isfinite(row).all():
        raise InvalidData(
            f"example_values is one finite row of {circuit.num_parameters} values, "
            f"got {row.shape=}."
        )
    return row


def exact_probabilities(circuit: QuantumCircuit, row: np.ndarray) -> np.ndarray | None:
    """Return the exact distribution of a measured circuit for one row of values.

    Args:
        circuit: A circuit in which each classical bit is measured once, at the end.
        row: ``(num_parameters,)`` in the order of ``circuit.parameters``.

    Returns:
        ``(2**num_clbits,)``; None beyond :data:`MAX_EXACT_QUBITS` qubits.
    """
    if circuit.num_qubits > MAX_EXACT_QUBITS:
        return None
    bare = circuit.copy_empty_like()
    for instruction in circuit.data:
        if instruction.operation.name not in ("measure", "barrier"):
            bare.append(instruction)
    bound = bare.assign_parameters(select_values(row[None], circuit, bare)[0])
    return Statevector(bound).probabilities(list(measured_physical_qubits(circuit)))


def verdict_of(
    backend: DeviceLike,
    circuit: QuantumCircuit,
    best: Trial,
    example: np.ndarray | None,
    exact: np.ndarray | None,
    shots: int,
) -> Verdict:
    """Return the verdict on a transpiled circuit.

    Args:
        backend: The device.
        circuit: The logical circuit, in which each classical bit is measured once, at the end.
        best: Its transpiled form.
        example: ``(num_parameters,)`` values of the logical circuit; without, it is estimated.
        exact: What :func:`exact_probabilities` gives for them.
        shots: Shots that the verdict is given for.
    """
    if (
        example is not None
        and exact is not None
        and len(active_qubits([best.circuit])) <= MAX_DENSITY_QUBITS
    ):
        noisy, erased = _simulated(backend, circuit, best.circuit, example)
        left = signal_left(exact, noisy, erased, shots=shots)
        return Verdict(bool(left.erased), float(left.fraction), "simulated", left.sentence())
    return _estimated_verdict(best.cost.expected_success, circuit.num_clbits, exact, shots)


def share_in_bases(
    backend: DeviceLike,
    bases: Sequence[tuple[QuantumCircuit, QuantumCircuit]],
    example: np.ndarray,
    success: float,
    shots: int,
) -> Verdict:
    """Return the verdict on a circuit that is read in several bases, on all of them together.

    The outcome of a shot whose basis is drawn has one distribution, whose signal is compared: a basis
    in which the circuit says nothing does not count as a signal that is lost.

    Args:
        backend: The device.
        bases: For each basis the logical circuit, measured at its end, and its transpiled form.
        example: ``(num_parameters,)`` values of the logical circuits.
        success: The smallest expected success, for circuits that are too large to be simulated.
        shots: Shots of each basis.

    Raises:
        UnsupportedCircuit: If a circuit measures before its end.
    """
    exact = [exact_probabilities(logical, example) for logical, _ in bases]
    known = [each for each in exact if each is not None]
    large = max(len(active_qubits([isa])) for _, isa in bases) > MAX_DENSITY_QUBITS
    if large or len(known) < len(bases):
        return _estimated_verdict(success, bases[0][0].num_clbits, None, shots)
    found = [_simulated(backend, logical, isa, example) for logical, isa in bases]
    outputs = [
        np.full_like(noisy, 1 / len(noisy)) if erased is None else erased for noisy, erased in found
    ]
    left = signal_left(
        np.concatenate(known) / len(bases),
        np.concatenate([noisy for noisy, _ in found]) / len(bases),
        np.concatenate(outputs) / len(bases),
        shots=shots * len(bases),
    )
    return Verdict(bool(left.erased), float(left.fraction), "simulated", left.sentence())


def _simulated(
    backend: DeviceLike, circuit: QuantumCircuit, isa: QuantumCircuit, example: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the example's noisy distribution, and the device's mean output over inputs."""
    from ..engine.noise.engine_runner import NoisyEngineRunner  # torch, for this part alone

    runner = NoisyEngineRunner(backend, seed=0)
    noisy = runner.exact_probabilities(isa, select_values(example[None], circuit, isa))
    return noisy[0], runner.mean_output(isa)


def _estimated_verdict(
    success: float, num_clbits: int, exact: np.ndarray | None, shots: int
) -> Verdict:
    """Estimate the verdict: no failure with probability ``success``, else a uniform outcome.

    Then ``success`` is the fraction of the signal that is left. Without an example the signal is
    taken to be a single outcome, which is the easiest to see: the verdict is the kindest possible.
    """
    n = min(num_clbits, MAX_EXACT_QUBITS)
    uniform = np.full(1 << n, 2.0**-n)
    if exact is None:
        exact = np.zeros(1 << n)
        exact[0] = 1
    erased = success <= float(detectable_fraction(exact, uniform, shots))
    if erased:
        sentence = (
            f"The device's noise has likely erased the signal: with an expected success of "
            f"{success:.2g}, {shots} shots cannot tell it from pure noise."
        )
    else:
        sentence = (
            f"The signal likely survives the device's noise: an expected success of {success:.2g} "
            f"stands out in {shots} shots."
        )
    return Verdict(erased, success, "estimated", sentence)
