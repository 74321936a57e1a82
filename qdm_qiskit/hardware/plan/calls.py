"""Work of a run whose steps are several circuit calls: its circuits, jobs and sampler.

A step asks its target one question after the other, each a list of calls that do not depend on each
other. A question is one job, or several parts where the service's limits split its rows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from ...execution.counts import MAX_CLBITS
from ...transpiling.tiles import calibration_rounds
from .tiles import TilesPlan, side_by_side
from .types import MAX_IMAGES, MAX_SHOTS, MAX_STEPS, CircuitPlan, check

__all__ = [
    "CallPlan",
    "CallsPlan",
    "JobPlan",
    "PlannedCircuit",
    "SamplerPlan",
    "bound_circuits",
    "calibration_groups",
    "job_name",
    "run_together",
]

MAX_ROWS = 100 * MAX_IMAGES
"""Most rows of a call: patches of all images."""
MOST_CALIBRATED = 15
"""Most qubits of a group of calibration circuits: 2**15 outcomes each, and 16 circuits."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


def job_name(step: int, number: int, part: int, *, alone: bool) -> str:
    """Return the name of a job, its tag and its file.

    Args:
        step: t.
        number: Of the question within the step, from 1.
        part: Of the question's rows, from 1; 0 where one job takes them all.
        alone: Whether the step asks no other question.

    >>> job_name(10, 1, 0, alone=True), job_name(10, 2, 3, alone=False)
    ('step-0010', 'step-0010-02-part-03')
    """
    name = f"step-{step:04d}" + ("" if alone else f"-{number:02d}")
    return name + (f"-part-{part:02d}" if part else "")


@dataclass(frozen=True, kw_only=True)
class CallPlan:
    """Rows of a call that one job runs."""

    name: str
    """Path of the layer, its second call in the step with ``#2``; ``@2`` where a sampler asks a second
    time within a step."""
    circuits: tuple[int, ...]
    """Entries of ``circuits.qpy``: one, or one for each basis of an expectation readout."""
    first: int
    """First of the call's rows."""
    rows: int
    """Rows of values, each run with every circuit."""
    seconds: float
    """Estimated QPU seconds, without the job's overhead."""

    def __post_init__(self) -> None:
        good = self.name.isprintable() and 1 <= len(self.name) <= 200
        check(good, "a call's name is printable and has 1 to 200 characters", self.name)
        check(bool(self.circuits), "a call has a circuit", self.circuits)
        check(0 <= self.first <= MAX_ROWS, f"first is 0 to {MAX_ROWS}", self.first)
        check(1 <= self.rows <= MAX_ROWS, f"rows is 1 to {MAX_ROWS}", self.rows)
        check(0 <= self.seconds < math.inf, "seconds is finite and >= 0", self.seconds)


@dataclass(frozen=True, kw_only=True)
class JobPlan:
    """One job of a step."""

    step: int
    """t."""
    number: int
    """Number of the question that the job answers, from 1."""
    part: int
    """Part of the question's rows, from 1; 0 where one job takes them all."""
    shots: int
    """Shots of each row and circuit."""
    calls: tuple[CallPlan, ...]
    seconds: float
    """Estimated QPU seconds."""
    name: str
    """Name of the job; see :func:`job_name`."""

    def __post_init__(self) -> None:
        check(1 <= self.step <= MAX_STEPS, f"step is 1 to {MAX_STEPS}", self.step)
        check(1 <= self.number <= 10_000, "a job's number is 1 to 10000", self.number)
        check(0 <= self.part <= 10_000, "a job's part is 0 to 10000", self.part)
        check(1 <= self.shots <= MAX_SHOTS, f"shots is 1 to {MAX_SHOTS}", self.shots)
        check(bool(self.calls), "a job has calls", self.calls)
        check(0 <= self.seconds < math.inf, "seconds is finite and >= 0", self.seconds)
        names = [job_name(self.step, self.number, self.part, alone=a) for a in (True, False)]
        good = self.name in (names if self.number == 1 else names[1:])
        check(good, f"a job of step {self.step} has the name {names[1]}", self.name)

    @property
    def circuits(self) -> int:
        """Number of bound circuits; the rows of a call on several tiles run side by side."""
        return bound_circuits(self.calls)

    @property
    def together(self) -> tuple[tuple[int, ...], ...]:
        """What runs as one circuit, by position among the circuits of all calls in their order.

        Empty without tiles.
        """
        return run_together(self.calls)


def bound_circuits(calls: Sequence[CallPlan]) -> int:
    """Return the number of bound circuits of a job's calls; those on several tiles run side by side."""
    most: dict[str, int] = {}
    for each in calls:
        most[each.name] = max(most.get(each.name, 0), each.rows * len(each.circuits))
    return sum(most.values())


def run_together(calls: Sequence[CallPlan]) -> tuple[tuple[int, ...], ...]:
    """Return what runs as one circuit, by position among the circuits of all calls in their order.

    Empty without tiles.
    """
    positions: dict[str, list[list[int]]] = {}
    first = 0
    for each in calls:
        numbers = list(range(first, first + len(each.circuits)))
        positions.setdefault(each.name, []).append(numbers)
        first += len(each.circuits)
    if all(len(tiles) == 1 for tiles in positions.values()):
        return ()
    return tuple(one for tiles in positions.values() for one in side_by_side(tiles))


@dataclass(frozen=True, kw_only=True)
class PlannedCircuit:
    """An entry of ``circuits.qpy``."""

    content: str
    """SHA-256 of the calls that run it (:attr:`.CircuitCall.content`)."""
    letters: str
    """Basis in which an expectation readout is measured, a letter for each measured qubit; empty of
    probabilities."""
    seconds: float
    """Length of the circuit on the device; 0 where it gives no durations."""
    plan: CircuitPlan

    def __post_init__(self) -> None:
        check(bool(_SHA256.fullmatch(self.content)), "content is 64 hex digits", self.content)
        check(set(self.letters) <= set("IXYZ"), "letters are I, X, Y, Z", self.letters)
        check(0 <= self.seconds < math.inf, "seconds is finite and >= 0", self.seconds)


@dataclass(frozen=True, kw_only=True)
class SamplerPlan:
    """Sampler that takes the chain from one time to the next."""

    name: str
    """The sampler's own name."""
    scheduler: str | None
    """Name by which it is found; None of an object, which has to be given again."""
    package: str
    version: str
    module: str
    """``module:attribute``; package and version are of the distribution that brings it."""
    options: str
    """Its options as canonical JSON text."""
    num_inference_steps: int | None
    """Steps that were asked for."""

    def __post_init__(self) -> None:
        for name in ("name", "scheduler", "package", "version", "module", "options"):
            text = getattr(self, name)
            good = text is None or (text.isprintable() and len(text) <= 1000)
            check(good, f"a sampler's {name} is printable, of at most 1000 characters", text)


@dataclass(frozen=True, kw_only=True)
class CallsPlan:
    """Circuits, jobs and sampler of a run."""

    circuits: tuple[PlannedCircuit, ...]
    """The entries of ``circuits.qpy`` before the calibration's."""
    jobs: tuple[JobPlan, ...]
    """Jobs in the order in which they are needed."""
    sampler: SamplerPlan | None
    """Sampler of the chain; None of a QNN and of training, which have no chain."""
    tiles: TilesPlan | None = None
    """Places of the chip that run the circuits at once; a plan without is written without the key."""

    def __post_init__(self) -> None:
        check(
            bool(self.circuits) and bool(self.jobs), "a plan has circuits and jobs", len(self.jobs)
        )
        names = [each.name for each in self.jobs]
        check(len(set(names)) == len(names), "names of jobs differ", names[:3])
        used = {c for job in self.jobs for call in job.calls for c in call.circuits}
        good = used == set(range(len(self.circuits)))
        check(good, "circuits are those that the jobs use", sorted(used)[-3:])
        if self.tiles is not None:
            self._check_tiles(self.tiles)

    def _check_tiles(self, tiles: TilesPlan) -> None:
        """Refuse tiles that are not those of the circuits."""
        on_tiles = {tile.circuits for one in tiles.circuits for tile in one.tiles}
        used = {call.circuits for job in self.jobs for call in job.calls}
        check(used == on_tiles, "each call runs on tiles", sorted(used - on_tiles)[:3])
        for one in tiles.circuits:
            for tile in one.tiles:
                for number in tile.circuits:
                    found = self.circuits[number]
                    good = found.content == one.content
                    good &= set(found.plan.measured_qubits) <= set(tile.qubits)
                    check(good, "a tile has its own circuits", number)

    @property
    def measured_qubits(self) -> tuple[int, ...]:
        """Physical qubits that any circuit measures, in ascending order."""
        return tuple(sorted({q for each in self.circuits for q in each.plan.measured_qubits}))

    @property
    def calibrated(self) -> list[list[tuple[int, ...]]]:
        """Qubits to calibrate, in groups with circuits of their own; the groups of a round run at
        once.
        """
        if self.tiles is None:
            return [[each] for each in calibration_groups(self.measured_qubits)]
        return calibration_rounds(
            [
                [self.circuits[tile.circuits[0]].plan.measured_qubits for tile in one.tiles]
                for one in self.tiles.circuits
            ]
        )

    @cached_property
    def shots_of_calls(self) -> dict[tuple[int, str], set[int]]:
        """Shots of each call of each step, by t and name in the order in which they are asked."""
        found: dict[tuple[int, str], set[int]] = {}
        for job in self.jobs:
            for call in job.calls:
                found.setdefault((job.step, call.name), set()).add(job.shots)
        return found

    def question(self, step: int, number: int) -> list[JobPlan]:
        """Return the jobs of a question of a step; none if there is no such question."""
        return [each for each in self.jobs if (each.step, each.number) == (step, number)]

    def table(self, *, training: bool = False) -> list[tuple[str, int, int, int, float]]:
        """Return the jobs to be sent: equal work in steps that follow each other is one row.

        Args:
            training: True if the steps are an optimizer's, which are counted upwards.

        Returns:
            Name, jobs, circuits of each job, shots of each circuit, and QPU seconds of the row.
        """
        steps = [list(jobs) for _, jobs in groupby(self.jobs, key=lambda each: each.step)]
        rows: list[tuple[str, int, int, int, float]] = []
        first = 0
        for last, jobs in enumerate(steps):
            following = steps[last + 1] if last + 1 < len(steps) else None
            if following is not None and _shape(following) == _shape(jobs):
                continue
            same = steps[first : last + 1]
            times = f"t = {same[0][0].step}" + ("" if len(same) == 1 else f" .. {jobs[0].step}")
            if training:
                most = self.jobs[0].step
                numbers = (most - same[0][0].step + 1, most - jobs[0].step + 1)
                times = f"step {numbers[0]}" + ("" if len(same) == 1 else f" .. {numbers[1]}")
            elif self.sampler is None:
                times = "all rows" if len(jobs) == 1 else "rows"
            for position, job in enumerate(jobs):
                name = times if len(jobs) == 1 else f"{times}, {position + 1}"
                seconds = math.fsum(each[position].seconds for each in same)
                rows.append((name, len(same), job.circuits, job.shots, seconds))
            first = last + 1
        return rows


def _shape(jobs: Sequence[JobPlan]) -> list[tuple[int, int]]:
    return [(each.circuits, each.shots) for each in jobs]


def calibration_groups(qubits: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the qubits in groups, each calibrated by circuits of its own in the same job.

    >>> [len(each) for each in calibration_groups(range(40))]
    [15, 15, 10]
    >>> len(calibration_groups(range(20)))
    1
    """
    if len(qubits) <= MAX_CLBITS:
        return [tuple(qubits)]
    starts = range(0, len(qubits), MOST_CALIBRATED)
    return [tuple(qubits[k : k + MOST_CALIBRATED]) for k in starts]
