"""Allocation of shots to the calls of a chain: over its steps, and over the calls of a step.

To first order the mean squared error of the final images is ``sum_k c_k / n_k`` with n_k the shots of
call k; a shot of it takes w_k executions, one for each row and basis. For a given sum of ``w_k n_k``
the error is least with ``n_k`` proportional to ``sqrt(c_k / w_k)`` (Neyman's allocation with costs).
As for models of one circuit the ratio is taken to a power that pilot chains choose, 0 (uniform) to 1.

Calls that are asked together are one job, and a job has one number of shots. They go into jobs of
their own where the executions that this saves take longer than the jobs' overhead.

Reference: Neyman, J. R. Stat. Soc. 97, 558 (1934); Cochran, Sampling Techniques, section 5.5 (1977).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, final

import numpy as np

from ...circuits.readouts import ProbabilityReadout
from ...errors import InvalidData, InvalidOption
from ...execution.calls import CircuitCall
from ...progress import Progress
from .call_circuits import CallCircuits
from .call_jobs import Question, Room, split_jobs
from .call_pilots import CallPilots, StepCall, call_variances, effort_of, tells_states
from .calls import JobPlan
from .config import PlanConfig
from .qpu_seconds import Timing
from .shot_allocation import (
    LEAST_SHOTS,
    MAX_TOTAL,
    PILOT_SHOTS,
    POWERS,
    ShotAllocation,
    check_precision,
    fewest_shots,
)
from .types import MAX_SHOTS, ShotChoice

if TYPE_CHECKING:
    from ...sampling import Sampler, TrainedRun

__all__ = [
    "CallSpread",
    "Errors",
    "Spread",
    "best_spread",
    "cost_shots",
    "groups_of",
]


class Errors(Protocol):
    """Pilot chains, whose error is asked for."""

    def error(self, shots: Sequence[int]) -> float:
        """Return the root mean square pixel error of final images with these shots of each call."""
        ...


@dataclass(frozen=True)
class Spread:
    """What decides the shots of calls; arrays in their order."""

    variances: np.ndarray
    """``(K,)`` c_k."""
    costs: np.ndarray
    """``(K,)`` executions of one shot."""
    groups: np.ndarray
    """``(K,)`` number of the job's calls that share their shots, 0 to the number of groups - 1."""
    most: np.ndarray
    """``(K,)`` most shots that a job holds."""
    least: int = LEAST_SHOTS
    """Fewest shots, unless uniform ones are fewer."""
    bucket: int = 1
    """Shots are a multiple of it."""

    def uniform(self, total: float) -> int:
        """Return the shots that each call gets of a total of executions, spread evenly.

        Raises:
            InvalidOption: If that is not a bucket.
        """
        buckets = math.floor(total / self.costs.sum() / self.bucket + 1e-9)
        if buckets < 1:
            raise InvalidOption(
                f"{total:.0f} executions do not reach over {len(self.costs)} calls, of which a shot of "
                f"each takes {self.costs.sum():.0f}; give at least {self.bucket} shots."
            )
        return buckets * self.bucket

    def shots(self, total: float, power: float) -> tuple[int, ...]:
        """Return the shots of each call, of at most ``total`` executions in all."""
        each = self.uniform(total)
        if power == 0:
            fits = max(
                self.bucket, math.floor(min(each, self.most.min()) / self.bucket) * self.bucket
            )
            return (fits,) * len(self.costs)
        number = int(self.groups.max()) + 1
        c = np.bincount(self.groups, self.variances, number)
        w = np.bincount(self.groups, self.costs, number)
        most = np.full(number, np.inf)
        np.minimum.at(most, self.groups, self.most)
        least = max(self.bucket, min(self.least, each) // self.bucket * self.bucket)
        found = cost_shots((c / w) ** (power / 2), w, total, least, most, self.bucket)
        return tuple(int(n) for n in found[self.groups])

    def executions(self, shots: Sequence[int]) -> float:
        """Return the executions that these shots take."""
        return float(self.costs @ np.asarray(shots, np.float64))


def cost_shots(
    weights: np.ndarray, costs: np.ndarray, total: float, least: int, most: np.ndarray, bucket: int
) -> np.ndarray:
    """Return whole shots in proportion to weights, whose executions are at most ``total`` in all.

    Args:
        weights: ``(K,)`` >= 0, not all 0.
        costs: ``(K,)`` executions of a shot.
        total: At least ``least`` of each.
        least, most: Bounds of each; ``most`` is ``(K,)`` and never taken below ``least``.
        bucket: Shots are a multiple of it, and so is ``least``.

    Returns:
        ``(K,)`` int64.

    >>> cost_shots(np.array([3.0, 1.0]), np.array([1.0, 1.0]), 400, 1, np.array([1e6, 1e6]), 1)
    array([300, 100])
    """
    high = np.maximum(np.floor(most / bucket) * bucket, least)
    low, top = 0.0, total / float((costs * weights).max()) + 1.0
    while (costs @ np.clip(top * weights, least, high)) < total and top < 1e300:
        top *= 2
    for _ in range(100):
        middle = (low + top) / 2
        if costs @ np.clip(middle * weights, least, high) > total:
            top = middle
        else:
            low = middle
    wanted = np.clip(low * weights, least, high) / bucket
    whole = np.floor(wanted + 1e-9).astype(np.int64)
    left = total - float(costs @ whole) * bucket
    # What rounding left goes to the largest fractions, where it suffices.
    for k in np.argsort(whole - wanted, kind="stable"):
        if whole[k] < wanted[k] and costs[k] * bucket <= left + 1e-9:
            whole[k] += 1
            left -= float(costs[k]) * bucket
    return whole * bucket


def groups_of(
    calls: Sequence[StepCall],
    variances: np.ndarray,
    costs: np.ndarray,
    total: float,
    *,
    execution_seconds: float,
    overhead_seconds: float,
) -> np.ndarray:
    """Return which calls share their shots: those of a question, unless jobs of their own are cheaper.

    Args:
        calls: Of the chain.
        variances: ``(K,)`` c_k.
        costs: ``(K,)`` executions of a shot.
        total: Executions of the run.
        execution_seconds: QPU seconds of one.
        overhead_seconds: QPU seconds of a further job.

    Returns:
        ``(K,)`` int64, numbered in the order of the calls.
    """
    questions: dict[tuple[int, int], list[int]] = {}
    for k, each in enumerate(calls):
        questions.setdefault((each.t, each.question), []).append(k)
    # The error of a total is (sum of these)^2 / total, whether of calls or of questions.
    alone = np.sqrt(variances * costs)
    whole = {q: math.sqrt(variances[m].sum() * costs[m].sum()) for q, m in questions.items()}
    size = sum(whole.values())
    groups, number = np.zeros(len(calls), dtype=np.int64), 0
    for question, mine in questions.items():
        saved = whole[question] - float(alone[mine].sum())
        executions = total * (1 - (1 - saved / size) ** 2) if size else 0.0
        overhead = (len(mine) - 1) * overhead_seconds
        apart = saved > 0.01 * whole[question] and executions * execution_seconds >= overhead
        for k in mine:
            groups[k] = number
            number += apart
        number += not apart
    return groups


def best_spread(pilots: Errors, spread: Spread, total: float) -> ShotAllocation:
    """Return the best of uniform shots and of shots by powers of the variances, by sampled chains.

    Args:
        pilots: The chains.
        spread: Variances and costs.
        total: Executions of all calls.

    Raises:
        InvalidOption: If there is not one bucket for each call.
    """
    even = spread.shots(total, 0.0)
    uniform = pilots.error(even)
    best = ShotAllocation(shots=even, power=0.0, error=uniform, uniform_error=uniform)
    for power in POWERS[1:]:
        shots = spread.shots(total, power)
        try:
            error = pilots.error(shots)
        except InvalidData:  # so few shots of a call that none passed a post-selection
            continue
        if error < best.error:
            best = ShotAllocation(shots=shots, power=power, error=error, uniform_error=uniform)
    return best


@final
class CallSpread:
    """Shots of a run's calls by ``variance`` or ``precision``, with the jobs that they make.

    Args:
        trained: The run.
        sampler: Of its chain.
        times: t of each step.
        steps: Questions of each step.
        distinct: A call of each distinct circuit.
        config: Rule, images, seed.
        progress: Receives each stage of the work.
    """

    def __init__(
        self,
        trained: TrainedRun,
        sampler: Sampler,
        times: Sequence[int],
        steps: Sequence[Sequence[Question]],
        distinct: Sequence[CircuitCall],
        config: PlanConfig,
        progress: Progress,
    ) -> None:
        self._trained, self._sampler, self._config = trained, sampler, config
        self._times, self._steps, self._progress = times, steps, progress
        self._qubits = {each.content: each.spec.num_qubits for each in distinct}
        values = any(not isinstance(each.spec.readout, ProbabilityReadout) for each in distinct)
        self._fewest = 2 if values else 1
        self._asked = [
            (t, number, call)
            for t, questions in zip(times, steps, strict=True)
            for number, question in enumerate(questions, start=1)
            for call in question
        ]

    def jobs(
        self,
        circuits: CallCircuits,
        clock: Timing,
        room: Room,
        *,
        most_shots: int | None,
        uniform: int,
        seconds: float | None,
        bucket: int = 1,
    ) -> tuple[tuple[JobPlan, ...], ShotChoice]:
        """Return the jobs with their shots, and the grounds.

        Args:
            circuits: Of all calls, on the device.
            clock: Overhead and repetition delay.
            room: Limits of one job.
            most_shots: Most shots of a circuit.
            uniform: Shots of each call if they are spread evenly; of ``precision`` not read.
            seconds: QPU seconds that the jobs take at most; None for no limit.
            bucket: Shots are a multiple of it.

        Raises:
            InvalidOption: If the shots do not reach, or a precision is not reached.
            InvalidData: If shot noise moves no pixel.
        """
        images, config = self._config.num_images, self._config
        numbers = [circuits.numbers(call.content) for _, _, call in self._asked]
        calls = [
            StepCall(t, number, call.name, call.rows * len(n) / images)
            for (t, number, call), n in zip(self._asked, numbers, strict=True)
        ]
        costs = np.array([each.executions for each in calls])
        qubits = [self._qubits[call.content] for _, _, call in self._asked]
        effort = effort_of(calls, qubits, states=tells_states(self._trained.model))
        pilots = CallPilots(
            self._trained,
            self._sampler,
            self._times,
            calls,
            seed=config.seed,
            label=config.label,
            num_images=effort.images,
        )
        precise = config.precision is not None
        measured = call_variances(
            pilots,
            shots=16 * PILOT_SHOTS if precise else uniform,
            repeats=effort.repeats,
            steps=effort.steps,
            progress=self._progress,
        ).final
        variances = np.array([_rounded(each) for each in measured])
        first = float(np.sqrt(variances * costs).sum()) ** 2
        total = (
            first / config.precision**2 if config.precision is not None else uniform * costs.sum()
        )
        groups = groups_of(
            calls,
            variances,
            costs,
            total * images,
            execution_seconds=clock.rep_delay_seconds + clock.circuit_seconds,
            overhead_seconds=clock.overhead_seconds,
        )
        most = np.array([_most(n, circuits, clock, room, most_shots) for n in numbers])
        least = max(self._fewest, LEAST_SHOTS)
        spread = Spread(variances, costs, groups, most, least, bucket)
        errors = _Repeated(pilots, effort.draws)
        if config.precision is None:
            found = best_spread(errors, spread, total)
        else:
            found = self._precise(errors, spread, config.precision, total)
        jobs, fewer = self._jobs(found.shots, circuits, clock, room), False
        while seconds is not None and (taken := math.fsum(e.seconds for e in jobs)) > seconds:
            # Shots went to longer circuits, or into more jobs.
            fixed = len(jobs) * clock.overhead_seconds
            total *= min(0.99, (seconds - fixed) / (taken - fixed))
            found = replace(found, shots=spread.shots(total, found.power))
            jobs = self._jobs(found.shots, circuits, clock, room)
            fewer = True
        return jobs, ShotChoice(
            variances=tuple(variances.tolist()),
            power=found.power,
            error=_rounded(errors.error(found.shots) if fewer else found.error),
            uniform_error=_rounded(found.uniform_error),
        )

    def _precise(
        self, errors: Errors, spread: Spread, precision: float, first: float
    ) -> ShotAllocation:
        check_precision(precision)
        costs = spread.costs
        return fewest_shots(
            precision,
            lambda total: best_spread(errors, spread, total),
            first=first,
            least=max(spread.least, spread.bucket) * float(costs.sum()),
            limit=min(MAX_TOTAL * float(costs.max()), float(costs @ spread.most)),
            what=("executions", f"jobs of {len(costs)} calls"),
            cost=spread.executions,
            progress=self._progress,
        )

    def _jobs(
        self, shots: Sequence[int], circuits: CallCircuits, clock: Timing, room: Room
    ) -> tuple[JobPlan, ...]:
        told: Mapping[tuple[int, str], int] = {
            (t, call.name): n for (t, _, call), n in zip(self._asked, shots, strict=True)
        }
        return split_jobs(
            self._times, self._steps, circuits, clock, lambda t, name: told[t, name], room
        )


@dataclass(frozen=True)
class _Repeated:
    """Pilot chains with so many draws of each."""

    pilots: CallPilots
    repeats: int

    def error(self, shots: Sequence[int]) -> float:
        return self.pilots.error(shots, repeats=self.repeats)


def _rounded(value: float) -> float:
    """Return fewer digits than threads and libraries change, so that the same plan is the same run."""
    return float(f"{value:.6g}")


def _most(
    numbers: Sequence[int],
    circuits: CallCircuits,
    clock: Timing,
    room: Room,
    most_shots: int | None,
) -> float:
    """Return the most shots of a call of which a job holds a row."""
    found = float(MAX_SHOTS if most_shots is None else most_shots)
    if room.executions is not None:
        found = min(found, room.executions // len(numbers))
    if room.seconds is not None:
        each = sum(clock.rep_delay_seconds + circuits.planned[k].seconds for k in numbers)
        overhead = clock.overhead_seconds
        found = min(found, (room.seconds - overhead) // each if each else found)
    return found
