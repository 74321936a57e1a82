"""Targets that answer calls with shots: any runner, and the engine with seeded draws."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, final

import numpy as np
from qiskit import QuantumCircuit

from ..circuits.spec import CircuitSpec, ProbabilityReadout
from ..engine import CircuitProgram, compile_circuit
from ..errors import InvalidData
from ..execution.calls import CallResult, CircuitCall
from ..execution.counts import Pub
from ..execution.distributions import normalized
from ..execution.noisy import MAX_DENSITY_QUBITS, NoisyRunner
from ..execution.runner import CircuitRunner
from ..mitigation.readout import (
    Method,
    ReadoutCalibration,
    combine_results,
    construct_circuits,
    mitigate,
)
from ..mitigation.simplex import nearest_probability
from ..progress import Message, Progress, silent
from ..rng import derived_seed, stream
from ..transpiling.cost import CircuitCost, circuit_cost
from ..transpiling.passes import (
    best_trial,
    layout_trials,
    measured_physical_qubits,
    select_values,
    transpile_for,
)
from .config import SamplingConfig
from .readings import Reading

__all__ = ["EngineShots", "PreparedCircuit", "RunnerTarget", "Seen", "check_postselected"]

MOST_COUNTS = 1 << 23
"""Outcomes that the rows of one job may have between them; the rest of the rows go into further jobs.
Aer holds each in a dictionary, about 100 bytes: this is about a gigabyte."""


@dataclass(frozen=True, eq=False)
class PreparedCircuit:
    """A content of calls, transpiled for a runner."""

    reading: Reading
    """What is measured."""
    logical: QuantumCircuit
    """The call's circuit: weights bound, inputs free."""
    isa: QuantumCircuit
    """The same, transpiled."""
    circuits: tuple[QuantumCircuit, ...]
    """What runs: one for a probability readout, one for each basis else."""
    qubits: tuple[int, ...]
    """Physical qubits that are measured, by bit."""
    transpiler_seed: int
    """The seed that was chosen."""
    cost: CircuitCost | None
    """Of one of the circuits; None where there is no device."""
    erased: tuple[np.ndarray | None, ...]
    """For each circuit what the device gives whatever goes in; None where it is not known."""

    @property
    def physical_qubits(self) -> list[int] | None:
        """Where each logical qubit starts; None where there is no device to lay out on."""
        if self.isa.layout is None or self.cost is None:
            return None
        return list(self.isa.layout.initial_index_layout(filter_ancillas=True))


class Seen(NamedTuple):
    """What became of a call, for records."""

    call: CircuitCall
    prepared: PreparedCircuit
    raw: list[np.ndarray]
    """Frequencies of each circuit."""
    used: list[np.ndarray]
    """The same after mitigation."""
    result: CallResult


class _Piece(NamedTuple):
    """Rows of a circuit that go into one job together."""

    pub: int
    rows: slice
    outcomes: int


@final
class RunnerTarget:
    """A runner as a target: each content transpiled once, one job for each answer.

    Args:
        runner: Where circuits run.
        config: Mitigation, layout trials, seed.
        addressed: Whether shots are drawn from the address (step, how often the step was asked about,
            job); else from the number of the runner's job, as models of one circuit have it.
        progress: Is told in words what happens.
    """

    def __init__(
        self,
        runner: CircuitRunner,
        config: SamplingConfig,
        *,
        addressed: bool = True,
        progress: Progress = silent,
    ) -> None:
        self.runner, self.config = runner, config
        self.calibration: ReadoutCalibration | None = None
        """The readout of all qubits that any content measures."""
        self.watch: Callable[[Seen], None] | None = None
        """Receives what became of each call."""
        self._addressed, self._progress = addressed, progress
        self._by_content: dict[str, PreparedCircuit] = {}
        self._known: dict[tuple[int, bytes, bool], tuple[CircuitSpec, PreparedCircuit]] = {}
        self._where = _Address()

    def prepare(
        self, calls: Sequence[CircuitCall], calibration: ReadoutCalibration | None = None
    ) -> list[PreparedCircuit]:
        """Transpile what the calls run and, with mitigation, take the readout calibration.

        Args:
            calls: One of each layer; their values do not matter.
            calibration: One that was taken earlier on the same backend and qubits.

        Returns:
            For each call its circuits; calls of equal content share theirs.

        Raises:
            CalibrationMismatch: If the given calibration is of other qubits or another backend.
        """
        self._progress(Message("transpiling"))
        found = [self.prepared(call) for call in calls]
        sets = dict.fromkeys(each.qubits for each in found if each.circuits)
        if self.config.mitigation != "m3" or not sets:
            return found
        if calibration is None:
            self._progress(Message("calibrating the readout"))
            calibration = self._calibrate(list(dict.fromkeys(q for each in sets for q in each)))
        else:
            for qubits in sets:
                # Correcting one uniform row refuses a foreign calibration before the first job.
                uniform = np.ones((1, 2 ** len(qubits)))
                mitigate(uniform, calibration, qubits, self.runner.backend.name)
        self.calibration = calibration
        return found

    def prepared(self, call: CircuitCall) -> PreparedCircuit:
        """Return a call's circuits, transpiled on its content's first call."""
        key = id(call.spec), call.angles.tobytes(), call.reuse_qubits
        if key not in self._known:
            content = call.content
            if content not in self._by_content:
                self._by_content[content] = self._transpiled(call)
            self._known[key] = call.spec, self._by_content[content]  # a kept spec keeps its id
        return self._known[key][1]

    def begin(self, step: int) -> None:
        """Say that the answers to come belong to another prediction at a step."""
        self._where.begin(step)

    def answer(self, calls: Sequence[CircuitCall]) -> list[CallResult]:
        """See :class:`.CallTarget`. Rows beyond :data:`MOST_COUNTS` go into further jobs.

        Raises:
            InvalidData: If no shot of a row passed the post-selection.
        """
        prepared = [self.prepared(call) for call in calls]
        counts: list[list[np.ndarray]] = [[] for _ in calls]
        for shots in dict.fromkeys(_shots_of(call) for call in calls):
            chosen = [k for k, call in enumerate(calls) if call.shots == shots]
            pubs = [
                (circuit, select_values(calls[k].values, prepared[k].logical, circuit))
                for k in chosen
                for circuit in prepared[k].circuits
            ]
            found = self._run(pubs, shots) if pubs else []
            for k in chosen:
                number = len(prepared[k].circuits)
                counts[k], found = found[:number], found[number:]
        return [
            self._result(call, ready, each)
            for call, ready, each in zip(calls, prepared, counts, strict=True)
        ]

    def _run(self, pubs: Sequence[Pub], shots: int) -> list[np.ndarray]:
        whole: list[list[np.ndarray]] = [[] for _ in pubs]
        for job in _jobs(pubs, shots):
            parts, owners = [], []
            for piece in job:
                circuit, values = pubs[piece.pub]
                rows = values[piece.rows]
                # Rows of a circuit whose values no measurement sees are the same circuit again.
                each = [rows] if circuit.num_parameters else list(rows[:, None])
                parts += [(circuit, part) for part in each]
                owners += [piece.pub] * len(each)
            if self._addressed:
                found = self.runner.run(parts, shots=shots, seed=self._seed())
            else:
                found = self.runner.run(parts, shots=shots)
            for owner, each in zip(owners, found, strict=True):
                whole[owner].append(each)
        return [each[0] if len(each) == 1 else np.concatenate(each) for each in whole]

    def _seed(self) -> int:
        return derived_seed(self.config.seed, "shots", *self._where.next())

    def _result(
        self, call: CircuitCall, prepared: PreparedCircuit, counts: list[np.ndarray]
    ) -> CallResult:
        reading, used, readout = prepared.reading, None, None
        if self.calibration is not None and counts:
            name = self.runner.backend.name
            used = [mitigate(c, self.calibration, prepared.qubits, name) for c in counts]
            if reading.plan is None:
                used = [nearest_probability(each) for each in used]
            readout = [self.calibration.matrices[q] for q in prepared.qubits]
        result = reading.result(counts, corrected=used, readout=readout, rows=call.num_rows)
        if self.watch is not None:
            raw = [normalized(each) for each in counts]
            self.watch(Seen(call, prepared, raw, raw if used is None else used, result))
        return result

    def _transpiled(self, call: CircuitCall) -> PreparedCircuit:
        config, backend = self.config, self.runner.backend
        reading, logical = Reading.of(call.spec), call.circuit
        read = None if reading.plan is None else reading.qubits
        device = config.target.partition(":")[0] in ("noisy", "local")
        seeds = [
            derived_seed(config.seed, "transpiler", trial) for trial in range(config.layout_trials)
        ]
        level, chosen = config.optimization_level, seeds[0]
        if device:
            trial = best_trial(layout_trials(logical, backend, seeds=seeds, level=level, read=read))
            isa, chosen = trial.circuit, trial.seed
        else:
            isa = transpile_for(logical, backend, level=level, seed=chosen, read=read)
        circuits = tuple(reading.circuits(isa, backend.target))
        return PreparedCircuit(
            reading=reading,
            logical=logical,
            isa=isa,
            circuits=circuits,
            qubits=measured_physical_qubits(circuits[0]) if circuits else (),
            transpiler_seed=chosen,
            cost=circuit_cost(circuits[0], backend.target) if device and circuits else None,
            erased=tuple(
                NoisyRunner(backend.name, seed=0, readout=config.readout).mean_output(each)
                if device and not call.reuse_qubits  # no exact distribution of what resets
                else None
                for each in circuits
            ),
        )

    def _calibrate(self, qubits: Sequence[int]) -> ReadoutCalibration:
        backend = self.runner.backend
        # Balanced circuits measure all qubits at once: of many, that is a simulation of many.
        many = self._addressed and len(qubits) > MAX_DENSITY_QUBITS
        method: Method = "independent" if many else "balanced"
        circuits = construct_circuits(
            qubits, backend.num_qubits, method=method, target=backend.target
        )
        counts = self.runner.run(
            [(circuit, np.zeros((1, 0))) for circuit in circuits],
            shots=self.config.calibration_shots,
        )
        return combine_results(
            counts,
            qubits,
            backend=backend.name,
            taken_at=datetime.now(UTC).isoformat(timespec="seconds"),
            method=method,
        )


@final
class EngineShots:
    """The engine with shots: seeded draws from the exact distributions of a call's circuits.

    Args:
        seed: The run's.
        programs: Of the model's layers.
        single: Whether the model is one circuit, whose draws are addressed by the step alone.
    """

    def __init__(self, seed: int, programs: Programs, *, single: bool) -> None:
        self._seed, self._programs, self._single = seed, programs, single
        self._readings: dict[int, Reading] = {}
        self._where = _Address()

    def begin(self, step: int) -> None:
        """Say that the answers to come belong to another prediction at a step."""
        self._where.begin(step)

    def answer(self, calls: Sequence[CircuitCall]) -> list[CallResult]:
        """See :class:`.CallTarget`.

        Raises:
            InvalidData: If no shot of a row passed the post-selection.
        """
        return [self._one(call) for call in calls]

    def _one(self, call: CircuitCall) -> CallResult:
        shots = _shots_of(call)
        reading = self._readings.setdefault(id(call.spec), Reading.of(call.spec))
        address = self._where.next()
        rng = stream(self._seed, "shots", *(address[:1] if self._single else address))
        counts = [
            rng.multinomial(shots, p / p.sum(axis=1, keepdims=True))
            for p in reading.exact(call, self._programs.of(call))
        ]
        return reading.result(counts, rows=call.num_rows)


class _Address:
    """Step, how often it was asked about before, and number of the job within."""

    def __init__(self) -> None:
        self._step, self._job = 0, 0
        self._asked: dict[int, int] = {}

    def begin(self, step: int) -> None:
        self._step, self._job = step, 0
        self._asked[step] = self._asked.get(step, -1) + 1

    def next(self) -> tuple[int, int, int]:
        found = self._step, self._asked.get(self._step, 0), self._job
        self._job += 1
        return found


@final
class Programs:
    """The engine's programs of calls, those of a model's layers among them.

    Args:
        layers: Each layer's circuit and its program; calls of other circuits are compiled when they
            come.
    """

    def __init__(self, layers: Iterable[tuple[CircuitSpec, CircuitProgram]] = ()) -> None:
        self._known = {id(spec): (spec, program) for spec, program in layers}

    def of(self, call: CircuitCall) -> CircuitProgram:
        """Return the program of a call's circuit."""
        spec = call.spec
        if id(spec) not in self._known:  # a kept spec keeps its id
            made = compile_circuit(spec.circuit, spec.inputs, spec.weights)
            self._known[id(spec)] = spec, made
        return self._known[id(spec)][1]


def check_postselected(outputs: np.ndarray, step: int, shots: int, call: str | None = None) -> None:
    """Refuse a row none of whose shots passed the post-selection: it would be zero everywhere.

    Args:
        outputs: ``(rows, num_outputs)`` measured probabilities.
        step: t, for the message.
        shots: Shots of each row, for the message.
        call: Name of the call, of a model of several circuits; else rows are images.

    Raises:
        InvalidData: With the number of the first such row.
    """
    empty = np.flatnonzero(np.asarray(outputs).sum(axis=1) == 0)
    if len(empty):
        what = f"image {empty[0]}" if call is None else f"row {empty[0]} of call '{call}'"
        raise InvalidData(
            f"At step t={step} no shot of {what} passed the post-selection on the ancilla; raise "
            f"shots above {shots}."
        )


def check_result(call: CircuitCall, result: CallResult, step: int, *, single: bool) -> None:
    """Refuse a result of probabilities that nothing was kept of; see :func:`check_postselected`."""
    if isinstance(call.spec.readout, ProbabilityReadout):
        name = None if single else call.name
        check_postselected(result.outputs, step, _shots_of(call), name)


def _shots_of(call: CircuitCall) -> int:
    if call.shots is None:
        raise InvalidData(
            f"Call '{call.name}' asks for exact values, and this target has shots; set shots."
        )
    return call.shots


def _jobs(pubs: Sequence[Pub], shots: int) -> Iterable[list[_Piece]]:
    """Rows in their order, as many in a job as :data:`MOST_COUNTS` allows."""
    job: list[_Piece] = []
    for number, (circuit, values) in enumerate(pubs):
        each = min(shots, 1 << circuit.num_clbits)
        start = 0
        while start < len(values):
            room = (MOST_COUNTS - sum(piece.outcomes for piece in job)) // each
            if room < 1 and job:
                yield job
                job = []
                continue
            stop = min(len(values), start + max(1, room))
            job.append(_Piece(number, slice(start, stop), (stop - start) * each))
            start = stop
    yield job
