"""Targets that answer calls with shots: any runner, and the engine with seeded draws."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple, final

import numpy as np
from qiskit import QuantumCircuit

from ..circuits.readouts import ProbabilityReadout
from ..circuits.spec import CircuitSpec
from ..engine import CircuitProgram, compile_circuit
from ..engine.noise.runners import noise_alone
from ..errors import InvalidData, InvalidOption, UnsupportedCircuit
from ..execution.calls import CallResult, CircuitCall, joined_results
from ..execution.counts import Pub
from ..execution.distributions import normalized
from ..execution.divided_calls import divided, joined, other_call
from ..execution.noisy import MAX_DENSITY_QUBITS
from ..execution.runner import CircuitRunner
from ..mitigation.readout import (
    Method,
    ReadoutCalibration,
    combine_results,
    construct_circuits,
    merged_calibration,
    mitigate,
)
from ..mitigation.refit import AffineCorrection
from ..mitigation.simplex import nearest_probability
from ..progress import Message, Progress, silent
from ..rng import derived_seed, stream
from ..training.targets.device import Place
from ..transpiling.cost import CircuitCost, circuit_cost
from ..transpiling.passes import (
    Trial,
    best_trial,
    layout_trials,
    measured_physical_qubits,
    select_values,
    transpile_for,
)
from ..transpiling.search import layout_key
from ..transpiling.tiles import Tiling, blocks_of, calibration_rounds, find_tiles
from .config import SamplingConfig
from .readings import Reading

__all__ = [
    "EngineShots",
    "KeptCircuits",
    "PreparedCircuit",
    "RunnerTarget",
    "Seen",
    "check_postselected",
]

MOST_COUNTS = 1 << 23
"""Most outcomes that the rows of one job have between them; further rows go into further jobs. Aer
holds each in a dictionary, about 100 bytes: this is about a gigabyte."""


@dataclass(frozen=True, eq=False)
class PreparedCircuit:
    """The circuits of calls of equal content, transpiled for a runner."""

    reading: Reading
    """The measured circuits and their bases."""
    logical: QuantumCircuit
    """The call's circuit: weights bound, inputs free."""
    isa: QuantumCircuit
    """The call's circuit, transpiled."""
    circuits: tuple[QuantumCircuit, ...]
    """Circuits that run: one for a probability readout, else one for each basis."""
    qubits: tuple[int, ...]
    """Measured physical qubits, by bit."""
    transpiler_seed: int
    """The chosen transpiler seed."""
    cost: CircuitCost | None
    """Cost of one of the circuits; None where there is no device."""
    erased: tuple[np.ndarray | None, ...]
    """For each circuit the device's output that does not depend on the input; None if not known."""
    tiling: Tiling | None = None
    """Tiles of the circuits; the fields above are then those of the worst one."""
    on_tile: Callable[[int], PreparedCircuit] | None = None
    """Function that gives the circuits on a tile by its number, where there are tiles."""

    @property
    def places(self) -> list[tuple[int, ...]]:
        """Measured physical qubits of each tile; of these circuits alone without tiles."""
        if self.tiling is None:
            return [self.qubits]
        return [self.tiling.measured_qubits(k) for k in range(len(self.tiling))]

    def shares(self, rows: int) -> list[tuple[PreparedCircuit, slice]]:
        """Return the circuits that run a call's rows, each with its rows: all, or a tile's share."""
        if self.tiling is None or self.on_tile is None:
            return [(self, slice(0, rows))]
        return [(self.on_tile(k), b) for k, b in enumerate(blocks_of(rows, len(self.tiling)))]

    @property
    def physical_qubits(self) -> list[int] | None:
        """First physical qubit of each logical qubit; None where there is no device."""
        if self.tiling is not None:
            found = self.tiling.physical_qubits(len(self.tiling) - 1)
            return None if found is None else list(found)
        if self.isa.layout is None or self.cost is None:
            return None
        return list(self.isa.layout.initial_index_layout(filter_ancillas=True))


@dataclass(eq=False)
class KeptCircuits:
    """What several samplings of one run on one target share, whatever seeds they draw with."""

    seed: int
    """Seed of the places on the device and of the readout calibration."""
    rows: int
    """Most images of one of them, for which tiles are found."""
    circuits: dict[str, PreparedCircuit] = field(default_factory=dict)
    """Transpiled circuits, by their content."""
    runner: CircuitRunner | None = None
    """The target's runner."""
    calibration: ReadoutCalibration | None = None
    """The readout calibration, where there is one."""
    best_seeds: Mapping[str, int] = field(default_factory=dict)
    """The best transpiler seed of circuits whose layouts were tried before, by :func:`.layout_key`."""


class Seen(NamedTuple):
    """Outcome of a call, for records."""

    call: CircuitCall
    prepared: PreparedCircuit
    raw: list[np.ndarray]
    """Frequencies of each circuit."""
    used: list[np.ndarray]
    """Frequencies of each circuit after mitigation."""
    result: CallResult


class _Piece(NamedTuple):
    """Rows of a circuit that go into one job together."""

    pub: int
    rows: slice
    outcomes: int


@final
class RunnerTarget:
    """A runner as a target: one transpilation for each content, one job for each answer.

    Args:
        runner: The runner of the circuits.
        config: Mitigation, layout trials, seed.
        addressed: True to draw shots from the address (step, number of earlier predictions at the
            step, job); False to draw them from the number of the runner's job, as for models of one
            circuit.
        kept: Where to find, and to leave, what other samplings share.
        progress: Receives the progress messages.
    """

    def __init__(
        self,
        runner: CircuitRunner,
        config: SamplingConfig,
        *,
        addressed: bool = True,
        kept: KeptCircuits | None = None,
        progress: Progress = silent,
    ) -> None:
        self.runner, self.config = runner, config
        self.calibration: ReadoutCalibration | None = None
        """The readout of all qubits that any content measures."""
        self.corrections: Mapping[str, AffineCorrection] = {}
        """Corrections of outputs by the name of the call, as :func:`.corrections_of` learns them."""
        self.places: Mapping[str, Place] = {}
        """Where circuits stand by the path of their layer, as the run was trained; others find a
        place."""
        self.watch: Callable[[Seen], None] | None = None
        """Callback that receives the outcome of each call."""
        self.watch_errors: Callable[[str, np.ndarray], None] | None = None
        """Callback that receives standard errors of what layers make of the answers."""
        self._addressed, self._progress = addressed, progress
        self._kept = kept
        self._by_content = {} if kept is None else kept.circuits
        self._known: dict[tuple[int, bytes, bool], tuple[CircuitSpec, PreparedCircuit]] = {}
        self._where = _Address()

    def prepare(
        self, calls: Sequence[CircuitCall], calibration: ReadoutCalibration | None = None
    ) -> list[PreparedCircuit]:
        """Transpile the calls' circuits and, with mitigation, take the readout calibration.

        Args:
            calls: One of each layer; their values do not matter.
            calibration: A readout calibration taken earlier on the same backend and qubits.

        Returns:
            The circuits of each call; calls of equal content share theirs.

        Raises:
            CalibrationMismatch: If the given calibration is of other qubits or another backend.
        """
        self._progress(Message("transpiling"))
        found = [self.prepared(call) for call in calls]
        others = [other for call in calls if (other := other_call(call)) is not None]
        both = [*found, *(self.prepared(other) for other in others)]
        places = [each.places for each in both if each.circuits]
        sets = dict.fromkeys(qubits for each in places for qubits in each)
        if self.config.mitigation != "m3" or not sets:
            return found
        kept = self._kept
        if calibration is None and kept is not None:
            calibration = kept.calibration
        if calibration is None:
            self._progress(Message("calibrating the readout"))
            seed = self.runner.seed
            if kept is not None:
                self.runner.restart(kept.seed)
            groups = [list(dict.fromkeys(q for each in sets for q in each))]
            if self.config.tiles is not None:  # each tile by circuits of its own, side by side
                groups = [list(g) for one in calibration_rounds(places) for g in one]
            calibration = merged_calibration([self._calibrate(each) for each in groups])
            if kept is not None:  # the next job is this sampling's first, whoever calibrated
                self.runner.restart(seed)
                kept.calibration = calibration
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
        """Start another prediction at a step, to which the next answers belong."""
        self._where.begin(step)

    def note(self, name: str, errors: np.ndarray) -> None:
        """See :class:`.ErrorRecorder`."""
        if self.watch_errors is not None:
            self.watch_errors(name, errors)

    def answer(self, calls: Sequence[CircuitCall]) -> list[CallResult]:
        """See :class:`.CallTarget`. Rows beyond :data:`MOST_COUNTS` go into further jobs.

        Raises:
            InvalidData: If no shot of a row passed the post-selection.
        """
        parts = [divided(call) for call in calls]
        found = self._answer([call for each in parts for _, call in each])
        results = iter(found)
        return [joined([(rows, next(results)) for rows, _ in each]) for each in parts]

    def _answer(self, calls: Sequence[CircuitCall]) -> list[CallResult]:
        prepared = [self.prepared(call) for call in calls]
        shares = [p.shares(call.num_rows) for p, call in zip(prepared, calls, strict=True)]
        counts: list[list[list[np.ndarray]]] = [[] for _ in calls]
        for shots in dict.fromkeys(_shots_of(call) for call in calls):
            chosen = [k for k, call in enumerate(calls) if call.shots == shots]
            pubs = [
                (circuit, select_values(calls[k].values[rows], prepared[k].logical, circuit))
                for k in chosen
                for place, rows in shares[k]
                for circuit in place.circuits
            ]
            found = self._run(pubs, shots) if pubs else []
            for k in chosen:
                for place, _ in shares[k]:
                    number = len(place.circuits)
                    counts[k].append(found[:number])
                    found = found[number:]
        return [
            self._result(call, ready, share, each)
            for call, ready, share, each in zip(calls, prepared, shares, counts, strict=True)
        ]

    def _run(self, pubs: Sequence[Pub], shots: int) -> list[np.ndarray]:
        whole: list[list[np.ndarray]] = [[] for _ in pubs]
        for job in _jobs(pubs, shots):
            parts, owners = [], []
            for piece in job:
                circuit, values = pubs[piece.pub]
                rows = values[piece.rows]
                # Rows that differ only in values that no measurement sees are the same circuit.
                each = [rows] if circuit.num_parameters else list(rows[:, None])
                parts += [(circuit, part) for part in each]
                owners += [piece.pub] * len(each)
            if self._addressed:
                found = self.runner.run(parts, shots=shots, seed=self._seed())
            else:
                found = self.runner.run(parts, shots=shots)
            for owner, counts in zip(owners, found, strict=True):
                whole[owner].append(counts)
        return [each[0] if len(each) == 1 else np.concatenate(each) for each in whole]

    def _seed(self) -> int:
        return derived_seed(self.config.seed, "shots", *self._where.next())

    def _result(
        self,
        call: CircuitCall,
        prepared: PreparedCircuit,
        shares: Sequence[tuple[PreparedCircuit, slice]],
        counts: Sequence[list[np.ndarray]],
    ) -> CallResult:
        """Return a call's answer from the counts of each place that ran rows of it."""
        found = [
            self._of_place(place, each, rows.stop - rows.start)
            for (place, rows), each in zip(shares, counts, strict=True)
        ]
        result = joined_results([each for each, _, _ in found])
        if call.name in self.corrections:
            correction = self.corrections[call.name]
            result = result.scaled(correction(result.outputs), correction.gain)
        if self.watch is not None:
            raw = [np.concatenate(each) for each in zip(*(r for _, r, _ in found), strict=True)]
            used = [np.concatenate(each) for each in zip(*(u for _, _, u in found), strict=True)]
            self.watch(Seen(call, _with_shares(prepared, shares), raw, used, result))
        return result

    def _of_place(
        self, place: PreparedCircuit, counts: list[np.ndarray], rows: int
    ) -> tuple[CallResult, list[np.ndarray], list[np.ndarray]]:
        """Return the answer for the rows of one place, its raw and its used frequencies."""
        reading, used, readout = place.reading, None, None
        if self.calibration is not None and counts:
            name = self.runner.backend.name
            used = [mitigate(c, self.calibration, place.qubits, name) for c in counts]
            if reading.plan is None:
                used = [nearest_probability(each) for each in used]
            readout = self.calibration.of_bits(place.qubits)
        result = reading.result(counts, corrected=used, readout=readout, rows=rows)
        raw = [normalized(each) for each in counts]
        return result, raw, raw if used is None else used

    def _trials(
        self, logical: QuantumCircuit, seeds: Sequence[int], read: Sequence[int] | None
    ) -> list[Trial]:
        """Return the trials of a circuit; only the best one where it is known by now."""
        backend, known = self.runner.backend, {} if self._kept is None else self._kept.best_seeds
        how: dict[str, Any] = {
            "level": self.config.optimization_level,
            "read": read,
            "fractional": self.config.fractional_gates,
        }
        if known:
            key = layout_key(logical, backend.name, **how)
            seeds = [known[key]] if key in known else seeds
        return layout_trials(logical, backend, seeds=seeds, **how)

    def _transpiled(self, call: CircuitCall) -> PreparedCircuit:
        config, backend = self.config, self.runner.backend
        reading, logical = Reading.of(call.spec), call.circuit
        read = None if reading.plan is None else reading.qubits
        device = config.target.partition(":")[0] in ("noisy", "local")
        place_seed = config.seed if self._kept is None else self._kept.seed
        seeds = [
            derived_seed(place_seed, "transpiler", trial) for trial in range(config.layout_trials)
        ]
        level, chosen = config.optimization_level, seeds[0]
        place = self.places.get(call.name.partition("#")[0])
        if place is not None:
            chosen = place.transpiler_seed
            isa = transpile_for(
                logical,
                backend,
                level=level,
                seed=chosen,
                initial_layout=place.physical_qubits,
                read=read,
            )
        elif device and config.initial_layout:
            isa = transpile_for(
                logical,
                backend,
                level=level,
                seed=chosen,
                initial_layout=_checked_layout(config.initial_layout, logical),
                read=read,
            )
        elif device:
            trial = best_trial(self._trials(logical, seeds, read))
            isa, chosen = trial.circuit, trial.seed
        else:
            isa = transpile_for(logical, backend, level=level, seed=chosen, read=read)
        circuits = tuple(reading.circuits(isa, backend.target))
        tiling = None
        if config.tile_choice is not None and circuits:
            if call.reuse_qubits:
                raise UnsupportedCircuit(
                    f"Circuit '{logical.name}' measures qubits and uses them again, and tiles are "
                    "measured together at their end; run it without tiles."
                )
            self._progress(Message("finding tiles"))
            start = None
            if isa.layout is not None:
                start = isa.layout.initial_index_layout(filter_ancillas=True)
            # Of one circuit a row is an image; other models may have a row for each patch.
            images = config.num_images if self._kept is None else self._kept.rows
            rows = None if self._addressed else images
            tiling = find_tiles(circuits, backend, config.tile_choice, start=start, rows=rows)

        def placed(circuits: tuple[QuantumCircuit, ...]) -> PreparedCircuit:
            return PreparedCircuit(
                reading=reading,
                logical=logical,
                isa=isa,
                circuits=circuits,
                qubits=measured_physical_qubits(circuits[0]) if circuits else (),
                transpiler_seed=chosen,
                cost=circuit_cost(circuits[0], backend.target) if device and circuits else None,
                erased=tuple(
                    noise_alone(self.runner, each, readout=config.readout)
                    if device and not call.reuse_qubits  # resets: no exact distribution
                    else None
                    for each in circuits
                ),
            )

        if tiling is None:
            return placed(circuits)
        found = tiling

        @cache  # a device's noise takes longer than a row: only for tiles that are used
        def on_tile(number: int) -> PreparedCircuit:
            return placed(found.circuits(number))

        return replace(on_tile(len(found) - 1), tiling=found, on_tile=on_tile)

    def _calibrate(self, qubits: Sequence[int]) -> ReadoutCalibration:
        backend = self.runner.backend
        # Balanced circuits measure all qubits at once: many qubits would all be simulated.
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
    """The engine with shots: seeded draws from the exact distributions of each call's circuits.

    Args:
        seed: The run's.
        programs: Programs of the model's layers.
        single: True if the model is one circuit, whose draws are addressed by the step alone.
    """

    def __init__(self, seed: int, programs: Programs, *, single: bool) -> None:
        self._seed, self._programs, self._single = seed, programs, single
        self._readings: dict[int, Reading] = {}
        self._where = _Address()

    def begin(self, step: int) -> None:
        """Start another prediction at a step, to which the next answers belong."""
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
    """A job's address: the step, the earlier predictions at it, and the job's number within."""

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
    """The engine's programs for calls, those of a model's layers among them.

    Args:
        layers: Each layer's circuit and its program; other circuits are compiled at their first
            call.
    """

    def __init__(self, layers: Iterable[tuple[CircuitSpec, CircuitProgram]] = ()) -> None:
        self._known: dict[int, tuple[CircuitSpec, CircuitProgram]] = {}
        self.add(layers)

    def add(self, compiled: Iterable[tuple[CircuitSpec, CircuitProgram]]) -> None:
        """Take programs that were compiled elsewhere."""
        for spec, program in compiled:
            self._known.setdefault(id(spec), (spec, program))

    def of(self, call: CircuitCall) -> CircuitProgram:
        """Return the program of a call's circuit."""
        spec = call.spec
        if id(spec) not in self._known:  # a kept spec keeps its id
            made = compile_circuit(spec.circuit, spec.inputs, spec.weights)
            self._known[id(spec)] = spec, made
        return self._known[id(spec)][1]


def _with_shares(
    prepared: PreparedCircuit, shares: Sequence[tuple[PreparedCircuit, slice]]
) -> PreparedCircuit:
    """Return the circuits of a call with the erased output of each row's own tile."""
    if prepared.tiling is None:
        return prepared
    erased: list[np.ndarray | None] = []
    for number in range(len(prepared.circuits)):
        known = [(place.erased[number], rows.stop - rows.start) for place, rows in shares]
        rows = [np.tile(each, (count, 1)) for each, count in known if each is not None]
        erased.append(np.concatenate(rows) if len(rows) == len(known) else None)
    return replace(prepared, erased=tuple(erased))


def check_postselected(outputs: np.ndarray, step: int, shots: int) -> None:
    """Refuse an image without a shot that passed the post-selection: it would be zero everywhere.

    Args:
        outputs: ``(images, num_outputs)`` measured probabilities.
        step: t, for the message.
        shots: Shots of each image, for the message.

    Raises:
        InvalidData: With the number of the first such image.
    """
    empty = np.flatnonzero(np.asarray(outputs).sum(axis=1) == 0)
    if len(empty):
        raise InvalidData(
            f"At step t={step} no shot of image {empty[0]} passed the post-selection on the "
            f"ancilla; raise shots above {shots}."
        )


def check_result(call: CircuitCall, result: CallResult, step: int, *, single: bool) -> None:
    """Refuse images of which no shot was kept; see :func:`check_postselected`.

    Rows of a model of several circuits may be patches: of one of these nothing may be left, which is
    0 in each of its channels, in hardware runs too.
    """
    if isinstance(call.spec.readout, ProbabilityReadout):
        shots = _shots_of(call)
        if single:
            check_postselected(result.outputs, step, shots)


def _checked_layout(layout: Sequence[int], circuit: QuantumCircuit) -> Sequence[int]:
    """Return the layout.

    Raises:
        InvalidOption: If it does not name as many qubits as the circuit has.
    """
    if len(layout) != circuit.num_qubits:
        raise InvalidOption(
            f"initial_layout names a physical qubit for each of the {circuit.num_qubits} qubits of "
            f"'{circuit.name}', got {len(layout)}."
        )
    return layout


def _shots_of(call: CircuitCall) -> int:
    if call.shots is None:
        raise InvalidData(
            f"Call '{call.name}' asks for exact values, and this target has shots; set shots."
        )
    return call.shots


def _jobs(pubs: Sequence[Pub], shots: int) -> Iterable[list[_Piece]]:
    """Split rows in their order into jobs of as many as :data:`MOST_COUNTS` allows."""
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
