"""Cost of a run of many circuits on a device: a row for each distinct circuit, and a total.

Circuits that differ in nothing but the values of their weights, as a model's layers do, share their
numbers: the first of them is transpiled as a run would transpile it, weights bound. The others are as
deep unless a weight is a special angle, such as 0, at which gates fall away.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.providers import BackendV2

from ..arguments import all_of_kind
from ..circuits.fingerprint import circuit_fingerprint
from ..circuits.spec import CircuitSpec
from ..errors import InvalidOption, UnsupportedCircuit
from ..execution.calls import CircuitCall
from ..execution.devices import DeviceLike, as_backend
from ..hardware.plan.call_jobs import MOST_VALUES
from ..hardware.plan.qpu_seconds import JOB_OVERHEAD_SECONDS, MAX_EXECUTIONS, Timing, timing
from ..notebook import Markup, card, note, one_line, table
from ..progress import Message, Progress, silent
from ..sampling.ancillas import reuses_qubits
from ..sampling.readings import Reading
from ..transpiling.cost import CircuitCost, circuit_cost
from ..transpiling.passes import Trial
from ..transpiling.search import LayoutSearch, search_layouts
from .report_names import check_report_name

__all__ = [
    "CALLS_SCHEMA",
    "CircuitRow",
    "DeviceRun",
    "Fitted",
    "Kept",
    "RunReport",
    "RunTotal",
    "Work",
    "circuits_to_fit",
    "run_report",
]

CALLS_SCHEMA = "calls-report/1"


@dataclass(frozen=True, eq=False, kw_only=True)
class Work:
    """Calls that a run makes to its target."""

    way: str
    """``calls``: circuits between classical arithmetic; ``coherent``: all steps in one circuit;
    ``tomography``: states are told from step to step."""
    jobs: Sequence[Sequence[CircuitCall]]
    """Calls of one step, in their order: calls of one job do not depend on each other."""
    steps: int
    """Number of such steps; 1 for a chain in one circuit."""
    chain: str
    """Chain of the steps, in words."""
    images: int
    """Number of images of the run."""
    reused: Sequence[Sequence[CircuitCall]] | None = None
    """A chain in one circuit on qubits that are used again; None where there is none."""
    kept: float | None = None
    """Smallest share of an image's shots that is expected behind x_0 in such a chain: what passes its
    projections, or has the drawn history in the mean; None without one."""
    because: str = ""
    """Reason to go step by step where one circuit would do otherwise."""

    def jobs_on(self, device: BackendV2) -> Sequence[Sequence[CircuitCall]]:
        """Return the calls in the form that suits a device.

        Raises:
            UnsupportedCircuit: As :func:`.reuses_qubits`.
        """
        if self.reused is None:
            return self.jobs
        [[fresh]], [[reused]] = self.jobs, self.reused
        return self.reused if reuses_qubits(fresh, reused, device) else self.jobs


@dataclass(frozen=True, kw_only=True)
class CircuitRow:
    """A distinct circuit of a step on a device."""

    content: str
    """First 12 hex digits of :attr:`.CircuitCall.content`."""
    circuit: str
    """Name of the circuit."""
    calls: tuple[str, ...]
    """Names of the calls that run it."""
    calls_step: int
    """Calls in a step."""
    calls_run: int
    """Calls in the run."""
    rows: int
    """Rows of values of all its calls of a step: patches or states times images."""
    bases: int
    """Circuits of a row: 1 for probabilities, one for each basis of expectation values."""
    qubits: int
    """Qubits, ancillas among them."""
    two_qubit_gates: int | None
    """Native two-qubit gates of one circuit, the largest of its bases; None where it does not fit."""
    depth: int | None
    """Depth, the largest of its bases."""
    duration_seconds: float | None
    """Duration of one shot, without the repetition delay; None if unknown."""
    expected_success: float | None
    """Chance that no gate and no readout fails, the smallest of its bases."""
    transpiled: bool
    """True if this circuit was transpiled; False if it shares the numbers of one of other
    weights."""
    problem: str | None = None
    """Reason why it does not run on the device, if it does not."""


@dataclass(frozen=True, kw_only=True)
class RunTotal:
    """A whole run."""

    jobs: int
    """Jobs, split by the limits on executions and on the values of one request."""
    circuits: int
    """Bound circuits: rows times bases."""
    shots: int
    """Shots of all circuits."""
    two_qubit_gates: int
    """Two-qubit gates of all bound circuits, each counted once whatever its shots."""
    qpu_seconds: float
    """QPU seconds by IBM's formula; see :mod:`qdm_qiskit.hardware.plan.qpu_seconds`."""


@dataclass(frozen=True, kw_only=True)
class DeviceRun:
    """The run on one device."""

    backend: str
    device_qubits: int
    rows: tuple[CircuitRow, ...]
    total: RunTotal | None
    """Total of the run; None if a circuit does not run there."""

    @property
    def problem(self) -> str | None:
        """Reason why the run is impossible on the device; None if it is possible."""
        return next((row.problem for row in self.rows if row.problem), None)


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """The cost of a run of many circuits, on each device."""

    name: str
    """Name of the model or run; also the files' name."""
    way: str
    """See :attr:`Work.way`."""
    steps: int
    chain: str
    """Chain of the steps."""
    images: int
    shots: int
    """Shots of each bound circuit."""
    kept: float | None
    """See :attr:`Work.kept`."""
    because: str
    """See :attr:`Work.because`."""
    level: int
    """Optimization level."""
    seeds: tuple[int, ...]
    """Transpiler seeds."""
    backends: tuple[DeviceRun, ...]
    versions: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the whole report, ready for JSON, with ``schema`` first."""
        return {"schema": CALLS_SCHEMA, **asdict(self)}

    def sentences(self) -> list[str]:
        """The total line of each device."""
        return [total_line(each) for each in self.to_dict()["backends"]]

    def __repr__(self) -> str:
        return one_line("RunReport", self.name, *self.sentences())

    def _repr_html_(self) -> str:
        data = self.to_dict()
        parts: list[Markup] = []
        for each in data["backends"]:
            parts += [note(total_line(each)), table(HEAD, row_lines(each))]
        return card(self.name, *parts, about=about_line(data))


HEAD = [
    *("circuit", "content", "calls a step", "calls a run", "rows a step", "bases", "qubits"),
    *("two-qubit gates", "depth", "duration", "expected success"),
]


def row_lines(backend: dict[str, Any]) -> list[list[Any]]:
    """Return a line for each distinct circuit."""
    return [
        [
            *(row["circuit"], row["content"], row["calls_step"], row["calls_run"], row["rows"]),
            *(row["bases"], row["qubits"]),
            *(
                [row["problem"], "-", "-", "-"]
                if row["problem"]
                else [
                    row["two_qubit_gates"],
                    row["depth"],
                    _microseconds(row["duration_seconds"]),
                    f"{row['expected_success']:.3g}",
                ]
            ),
        ]
        for row in backend["rows"]
    ]


def total_line(backend: dict[str, Any]) -> str:
    """Return the sum of a run in words."""
    total = backend["total"]
    if total is None:
        problem = next(row["problem"] for row in backend["rows"] if row["problem"])
        return f"{backend['backend']}: {problem}"
    return (
        f"{backend['backend']}: {total['jobs']:,} jobs, {total['circuits']:,} circuits, "
        f"{total['shots']:,} shots, {total['two_qubit_gates']:,} two-qubit gates, "
        f"{total['qpu_seconds']:,.1f} QPU seconds a run"
    )


def about_line(data: dict[str, Any]) -> str:
    """Return what the numbers are of."""
    kept = ""
    if data["kept"] is not None:
        kept = f", {data['kept']:.3g} of the shots kept"
        if data["kept"] * data["shots"] < 1:
            kept += ", less than one: the run is refused until shots are raised"
    if data["because"]:
        kept = f"; one circuit does not do: {data['because']}"
    return (
        f"{data['images']} images, {data['chain']}, {data['shots']} shots a circuit, by "
        f"{data['way']}{kept}"
    )


def _microseconds(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{seconds * 1e6:.2f} µs"


@dataclass(frozen=True, eq=False)
class Fitted:
    """The circuits of a structure on a device, or why there are none."""

    call: CircuitCall
    """A call of the structure."""
    costs: tuple[CircuitCost, ...] = ()
    """Costs of its circuits, one for each basis."""
    clocks: tuple[Timing, ...] = ()
    """Timing of each."""
    best: Trial | None = None
    """The best trial of the call's circuit; None where it does not fit."""
    problem: str | None = None
    """Reason why it does not."""


@dataclass(eq=False)
class Kept:
    """Transpiled circuits by device, level, seeds and structure; for several reports."""

    found: dict[tuple[object, ...], Fitted] = field(default_factory=dict)


def run_report(
    name: str,
    work: Work,
    backends: Sequence[DeviceLike],
    *,
    level: int = 3,
    seeds: Sequence[int],
    shots: int = 4096,
    every: bool = False,
    fractional: bool = False,
    kept: Kept | None = None,
    search: LayoutSearch = search_layouts,
    progress: Progress = silent,
) -> RunReport:
    """Cost the circuits of a run on each device.

    Args:
        name: Letters, digits, ``.``, ``_`` and ``-``.
        work: The run's calls.
        backends: Names of devices, ``BackendV2`` or Aer ``NoiseModel`` objects, at least one.
        level: Optimization level, 0 to 3.
        seeds: Transpiler seeds, at least one; the best trial counts.
        shots: Shots of each bound circuit, at least 1.
        every: True to transpile each distinct circuit, also those that differ only in their
            weights.
        fractional: As for :func:`~qdm_qiskit.transpiling.passes.transpile_for`.
        kept: Store of transpiled circuits, which are used again.
        search: Tries the seeds.
        progress: Receives the device's name after each circuit, with the numbers done and in all.

    Returns:
        The report. A circuit that does not fit a device has a row that says why, and no total.

    Raises:
        UnknownName: If a device does not exist; checked before any work.
        InvalidOption: If an option is out of range, or a row outgrows a job.
    """
    check_report_name(name)
    if not 1 <= shots <= MAX_EXECUTIONS or not seeds or not backends:
        raise InvalidOption(
            f"shots is 1 to {MAX_EXECUTIONS}, with at least one seed and one backend, got {shots}, "
            f"{len(seeds)} and {len(backends)}."
        )
    all_of_kind([c for job in work.jobs for c in job], CircuitCall, "work.jobs")
    loaded = [as_backend(each, "backends") for each in backends]
    memory = Kept() if kept is None else kept
    found = []
    for device in loaded:
        jobs, problem = _jobs_on(work, device)
        groups = _Groups([call for job in jobs for call in job], every=every)
        fitted: dict[str, Fitted] = {}
        for done, (structure, call) in enumerate(groups.first.items(), start=1):
            key = (device.name, level, fractional, tuple(seeds), structure)
            if problem is not None:
                fitted[structure] = Fitted(call, problem=problem)
                continue
            if key not in memory.found:
                memory.found[key] = _fit(call, device, level, seeds, fractional, search)
            fitted[structure] = memory.found[key]
            progress(Message(device.name, done, len(groups.first)))
        rows = groups.rows(fitted, work.steps)
        total = (
            None if any(r.problem for r in rows) else groups.total(jobs, work.steps, fitted, shots)
        )
        found.append(
            DeviceRun(backend=device.name, device_qubits=device.num_qubits, rows=rows, total=total)
        )
    return RunReport(
        name=name,
        way=work.way,
        steps=work.steps,
        chain=work.chain,
        images=work.images,
        shots=shots,
        kept=work.kept,
        because=work.because,
        level=level,
        seeds=tuple(int(seed) for seed in seeds),
        backends=tuple(found),
        versions={p: version(p) for p in ("qiskit", "qiskit-aer", "qiskit-ibm-runtime")},
    )


def _jobs_on(work: Work, device: BackendV2) -> tuple[Sequence[Sequence[CircuitCall]], str | None]:
    """Return a step's calls in the form that suits a device, or why none does."""
    try:
        return work.jobs_on(device), None
    except UnsupportedCircuit as error:
        return work.jobs, str(error)


class _Groups:
    """The calls of a step by their content, and the contents by their structure."""

    def __init__(self, calls: Sequence[CircuitCall], *, every: bool) -> None:
        self.calls: dict[str, list[CircuitCall]] = {}
        """Groups by content."""
        self.structure: dict[str, str] = {}
        """Structure of each content."""
        self.first: dict[str, CircuitCall] = {}
        """A call of each structure."""
        self._known: dict[tuple[int, bytes, bool], str] = {}
        self._told: dict[tuple[int, bool], str] = {}
        for call in calls:
            content = self.content(call)
            self.calls.setdefault(content, []).append(call)
            structure = content if every else self._structure(call)
            self.structure[content] = structure
            self.first.setdefault(structure, call)

    def content(self, call: CircuitCall) -> str:
        """Return a call's content, computed once for each circuit and weights."""
        key = id(call.spec), call.angles.tobytes(), call.reuse_qubits
        if key not in self._known:  # the calls are kept, so their specs keep their ids
            self._known[key] = call.content
        return self._known[key]

    def _structure(self, call: CircuitCall) -> str:
        key = id(call.spec), call.reuse_qubits
        if key not in self._told:
            self._told[key] = structure_of(call.spec, call.reuse_qubits)
        return self._told[key]

    def rows(self, fitted: dict[str, Fitted], steps: int) -> tuple[CircuitRow, ...]:
        """Return a row for each distinct circuit, in the order of the step."""
        found = []
        for content, calls in self.calls.items():
            structure = self.structure[content]
            costs, problem = fitted[structure].costs, fitted[structure].problem
            lengths = [each.duration_seconds for each in costs]
            known = [each for each in lengths if each is not None]
            first = self.content(self.first[structure])
            found.append(
                CircuitRow(
                    content=content[:12],
                    circuit=calls[0].spec.name,
                    calls=tuple(each.name for each in calls),
                    calls_step=len(calls),
                    calls_run=len(calls) * steps,
                    rows=sum(each.num_rows for each in calls),
                    bases=Reading.of(calls[0].spec).num_circuits,
                    qubits=calls[0].circuit.num_qubits,
                    two_qubit_gates=max((c.two_qubit_count for c in costs), default=None),
                    depth=max((c.depth for c in costs), default=None),
                    duration_seconds=max(known) if known and len(known) == len(costs) else None,
                    expected_success=min((c.expected_success for c in costs), default=None),
                    transpiled=first == content,
                    problem=problem,
                )
            )
        return tuple(found)

    def total(
        self,
        asked: Sequence[Sequence[CircuitCall]],
        steps: int,
        fitted: dict[str, Fitted],
        shots: int,
    ) -> RunTotal:
        """Return the sum over the jobs of all steps; ``asked`` are a step's."""
        jobs = circuits = gates = 0
        seconds: list[float] = []
        for question in asked:
            sizes = []
            for call in question:
                of = fitted[self.structure[self.content(call)]]
                rows, bases = call.num_rows, len(of.costs)
                circuits += rows * bases
                gates += rows * sum(each.two_qubit_count for each in of.costs)
                seconds += [
                    rows * shots * (each.rep_delay_seconds + each.circuit_seconds)
                    for each in of.clocks
                ]
                sizes.append((rows, bases * shots, bases * call.circuit.num_parameters, call.name))
            jobs += _jobs(sizes)
        return RunTotal(
            jobs=jobs * steps,
            circuits=circuits * steps,
            shots=circuits * shots * steps,
            two_qubit_gates=gates * steps,
            qpu_seconds=steps * (jobs * JOB_OVERHEAD_SECONDS + math.fsum(seconds)),
        )


def structure_of(spec: CircuitSpec, reuse_qubits: bool = False) -> str:
    """Return a digest that specs share whose circuits differ in the values of their weights only."""
    angles = np.zeros(len(spec.weights))
    told = CircuitCall(name="", spec=spec, angles=angles, reuse_qubits=reuse_qubits)
    plain = hashlib.sha256(circuit_fingerprint(spec.full_circuit(measure=False)).encode())
    plain.update(told.content.encode())
    return "free:" + plain.hexdigest()


def _jobs(sizes: Sequence[tuple[int, int, int, str]]) -> int:
    """Return the jobs that calls fill: for each its rows, and a row's executions and values."""
    most = np.array([MAX_EXECUTIONS, MOST_VALUES])
    jobs, used = 1, np.zeros(2, dtype=np.int64)
    for rows, executions, values, name in sizes:
        each = np.array([executions, values])
        if (each > most).any():
            raise InvalidOption(
                f"One row of call '{name}' takes {executions:,} executions and {values:,} values, and "
                f"a job holds {MAX_EXECUTIONS:,} and {MOST_VALUES:,}; it cannot be split, so lower "
                "shots."
            )
        while rows:
            taken = each > 0
            room = int(((most - used)[taken] // each[taken]).min()) if taken.any() else rows
            if room == 0:
                jobs, used = jobs + 1, np.zeros(2, dtype=np.int64)
                continue
            now = min(rows, room)
            used, rows = used + now * each, rows - now
    return jobs


def circuits_to_fit(
    work: Work, device: BackendV2, *, every: bool = False
) -> list[tuple[QuantumCircuit, tuple[int, ...] | None]]:
    """Return the circuits that :func:`run_report` transpiles for a device, and what is read later.

    Args:
        work: The run's calls.
        device: The device.
        every: As there.

    Returns:
        Logical circuits, each with the logical qubits that are read later; None where it measures.
        Empty where none of them runs.
    """
    jobs, problem = _jobs_on(work, device)
    if problem is not None:
        return []
    groups = _Groups([call for job in jobs for call in job], every=every)
    return [(call.circuit, _read_later(call)) for call in groups.first.values()]


def _read_later(call: CircuitCall) -> tuple[int, ...] | None:
    reading = Reading.of(call.spec)
    return None if reading.plan is None else reading.qubits


def _fit(
    call: CircuitCall,
    device: BackendV2,
    level: int,
    seeds: Sequence[int],
    fractional: bool,
    search: LayoutSearch,
) -> Fitted:
    reading, read = Reading.of(call.spec), _read_later(call)
    try:
        logical: QuantumCircuit = call.circuit
        best = search(
            logical, device, seeds=seeds, level=level, read=read, fractional=fractional
        ).best
        circuits = reading.circuits(best.circuit, device.target)
    except UnsupportedCircuit as error:
        return Fitted(call, problem=str(error))
    return Fitted(
        call,
        tuple(circuit_cost(each, device.target) for each in circuits),
        tuple(timing(device, each) for each in circuits),
        best,
    )
