"""Calls on tiles: their circuits on every tile, and jobs whose rows are spread over them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from qiskit import QuantumCircuit
from qiskit.providers import BackendV2

from ...errors import InvalidOption, TargetUnavailable
from ...execution.targets import Target
from ...progress import Message, Progress
from ...transpiling.cost import circuit_cost
from ...transpiling.passes import measured_physical_qubits
from ...transpiling.tiles import TileChoice, Tiling, blocks_of, find_tiles
from .call_circuits import CallCircuits
from .call_jobs import AskedCall, Question, Room, listed_jobs
from .calls import CallPlan, JobPlan, PlannedCircuit
from .circuits import clock
from .config import PlanConfig
from .qpu_seconds import Timing
from .tiles import TiledCircuit, TilePlan
from .types import Availability

__all__ = ["TiledCalls", "check_tiles", "rows_of", "tiled_calls", "tiled_jobs"]


@dataclasses.dataclass(frozen=True)
class TiledCalls:
    """The circuits of all calls on all their tiles."""

    circuits: CallCircuits
    """Entries of ``circuits.qpy``: content by content, tile by tile, basis by basis."""
    tiles: tuple[TiledCircuit, ...]

    def of(self, content: str) -> TiledCircuit:
        """Return the tiles of a content."""
        return next(each for each in self.tiles if each.content == content)


def check_tiles(target: Target, choice: TileChoice) -> None:
    """Refuse targets that run no circuits on many places.

    Raises:
        InvalidOption: With the targets that do.
    """
    if target.kind not in ("noisy", "local", "ibm"):
        why = (
            "is a provider that runs circuits one by one"
            if target.kind == "provider"
            else "has no qubits to lay tiles on"
        )
        raise InvalidOption(
            f"Target '{target}' {why}, got tiles={choice}; leave tiles out, or take an ibm:, local: or "
            "noisy: target."
        )


def rows_of(steps: Sequence[Sequence[Question]]) -> dict[str, int]:
    """Return the largest number of rows of a call of each content."""
    rows: dict[str, int] = {}
    for questions in steps:
        for question in questions:
            for call in question:
                rows[call.content] = max(rows.get(call.content, 0), call.rows)
    return rows


def tiled_calls(
    found: CallCircuits,
    rows: dict[str, int],
    device: BackendV2 | None,
    target: Target,
    choice: TileChoice,
    config: PlanConfig,
    availability: Availability | None,
    progress: Progress,
) -> TiledCalls:
    """Put transpiled circuits on tiles of the device.

    Args:
        found: The circuits on one place each.
        rows: Largest number of rows of each content: no more tiles are of use.
        device, target, config, availability: As for :func:`.call_circuits.transpiled_calls`.
        choice: Number and least success of tiles.
        progress: Receives each stage of the work.

    Raises:
        TargetUnavailable: If the device has no coupling map, or no place is good enough.
        InvalidOption: If there are fewer tiles than asked for.
    """
    if device is None:
        raise TargetUnavailable(f"Target '{target}' says nothing of its device; leave tiles out.")
    circuits: list[QuantumCircuit] = []
    planned: list[PlannedCircuit] = []
    timings: list[Timing] = []
    tiles: list[TiledCircuit] = []
    for content in dict.fromkeys(each.content for each in found.planned):
        numbers = found.numbers(content)
        own = [found.circuits[k] for k in numbers]
        progress(Message(f"finding tiles for {own[0].name}"))
        start = found.planned[numbers[0]].plan.physical_qubits
        tiling = find_tiles(own, device, choice, start=start, rows=rows[content])
        entries = []
        for tile in range(len(tiling)):
            first = len(circuits)
            for number, circuit in zip(numbers, tiling.circuits(tile), strict=True):
                time = clock(device, target, circuit, (), config, availability)
                cost = circuit_cost(circuit, device.target)
                once = found.planned[number]
                plan = dataclasses.replace(
                    once.plan,
                    parameters=tuple(p.name for p in circuit.parameters),
                    depth=circuit.depth(),
                    two_qubit_gates=cost.two_qubit_count,
                    expected_success=cost.expected_success,
                    idle_success=cost.idle_success,
                    measured_qubits=measured_physical_qubits(circuit),
                    physical_qubits=tiling.physical_qubits(tile),
                )
                circuits.append(circuit)
                timings.append(time)
                planned.append(
                    PlannedCircuit(
                        content=content,
                        letters=once.letters,
                        seconds=time.circuit_seconds,
                        plan=plan,
                    )
                )
            entries.append(tuple(range(first, len(circuits))))
        tiles.append(_recorded(content, tiling, entries))
    made = CallCircuits(tuple(circuits), tuple(planned), tuple(timings))
    return TiledCalls(made, tuple(tiles))


def _recorded(content: str, tiling: Tiling, entries: Sequence[tuple[int, ...]]) -> TiledCircuit:
    return TiledCircuit(
        content=content,
        floor=tiling.floor,
        places=tiling.places,
        refused=tiling.refused,
        proven=tiling.proven,
        tiles=tuple(
            TilePlan(
                circuits=numbers,
                qubits=tile.qubits,
                gate_success=tile.gate_success,
                readout_success=tile.readout_success,
                idle_success=tile.idle_success,
            )
            for tile, numbers in zip(tiling.tiles, entries, strict=True)
        ),
    )


def tiled_jobs(
    times: Sequence[int],
    steps: Sequence[Sequence[Question]],
    calls: TiledCalls,
    clock: Timing,
    shots: int,
    room: Room,
) -> tuple[JobPlan, ...]:
    """Return the jobs of a run on tiles; as :func:`.call_jobs.jobs_of`, which has one place.

    Raises:
        InvalidOption: If one execution of a call outgrows the limits, or the run has too many jobs.
    """
    split = _Splitter(calls, clock, shots, room)
    return listed_jobs(times, steps, split.parts, clock.overhead_seconds, shots)


class _Splitter:
    """Splitter that fills jobs with executions, each a row on every tile, up to the limits."""

    def __init__(self, calls: TiledCalls, clock: Timing, shots: int, room: Room) -> None:
        self._calls, self._clock, self._shots, self._room = calls, clock, shots, room

    def parts(self, question: Question) -> list[list[CallPlan]]:
        """Return the calls of each job of a question."""
        parts: list[list[CallPlan]] = [[]]
        used = np.zeros(4)
        most = self._most()
        for call in question:
            tiled = self._calls.of(call.content)
            each = self._execution(tiled)
            if (each > most).any():
                raise InvalidOption(
                    f"One row of call '{call.name}' on each of {len(tiled.tiles)} tiles takes "
                    f"{each[0]:.0f} executions, {each[1]:.1f} QPU seconds, {each[2]:.0f} values and "
                    f"{each[3]:.0f} circuits, and a job holds {most[0]:.0f}, {most[1]:.1f}, "
                    f"{most[2]:.0f} and {most[3]:.0f}; lower shots."
                )
            first = 0
            while first < call.rows:
                taken = each > 0
                left = float(((most - used)[taken] / each[taken]).min())
                # Of no limit there is room for all.
                layers = min(call.rows, math.floor(min(left, call.rows) + 1e-9))
                if not layers:
                    parts.append([])
                    used = np.zeros(4)
                    continue
                rows = min(call.rows - first, layers * len(tiled.tiles))
                blocks = blocks_of(rows, len(tiled.tiles))
                executions = max(block.stop - block.start for block in blocks)
                parts[-1] += self._on_tiles(call, tiled, first, blocks, executions * each[1] / rows)
                used = used + executions * each
                first += rows
        return parts

    def _on_tiles(
        self,
        call: AskedCall,
        tiled: TiledCircuit,
        first: int,
        blocks: Sequence[slice],
        seconds: float,
    ) -> list[CallPlan]:
        """Return a tile's rows each; a row pays its share of executions that run side by side."""
        return [
            CallPlan(
                name=call.name,
                circuits=tile.circuits,
                first=first + block.start,
                rows=block.stop - block.start,
                seconds=(block.stop - block.start) * seconds,
            )
            for tile, block in zip(tiled.tiles, blocks, strict=False)
        ]

    def _execution(self, tiled: TiledCircuit) -> np.ndarray:
        """Return circuits times shots, QPU seconds and values of one row on every tile."""
        planned = self._calls.circuits.planned
        bases = range(len(tiled.tiles[0].circuits))
        longest = [max(planned[t.circuits[b]].seconds for t in tiled.tiles) for b in bases]
        delay = self._clock.rep_delay_seconds
        seconds = math.fsum(self._shots * (delay + each) for each in longest)
        values = sum(len(planned[k].plan.parameters) for t in tiled.tiles for k in t.circuits)
        executions = len(bases) * self._shots
        return np.array([executions, seconds, values, len(bases)], dtype=np.float64)

    def _most(self) -> np.ndarray:
        room = self._room
        seconds = math.inf if room.seconds is None else room.seconds - self._clock.overhead_seconds
        executions = math.inf if room.executions is None else room.executions
        circuits = math.inf if room.circuits is None else room.circuits
        return np.array([executions, seconds, room.values, circuits], dtype=np.float64)
