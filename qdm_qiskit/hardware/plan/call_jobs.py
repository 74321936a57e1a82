"""Jobs of a run of several calls a step: the questions of its chain, split into jobs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...canonical_json import canonical_json
from ...errors import InvalidOption, InvalidPlan, MissingData, TargetUnavailable
from ...execution.calls import CircuitCall
from ...progress import Message, Progress
from .call_circuits import CallCircuits
from .calls import CallPlan, JobPlan, SamplerPlan, job_name
from .config import PlanConfig
from .qpu_seconds import Timing

if TYPE_CHECKING:
    import torch

    from ...diffusion import DiffusionProcess
    from ...sampling import Sampler, TrainedRun

__all__ = [
    "MAX_RUN_JOBS",
    "MOST_VALUES",
    "AskedCall",
    "JobsOf",
    "Question",
    "Room",
    "affordable_shots",
    "asked",
    "call_name",
    "chosen_sampler",
    "jobs_of",
    "listed_jobs",
    "noise_stream",
    "options_text",
    "planned_sampler",
    "predicted",
    "split_jobs",
]

MOST_VALUES = 4_000_000
"""Most parameter values that one job sends: 32 MB as float64, and about 80 MB as
text, the most that a service of IBM's takes in one request."""
MAX_RUN_JOBS = 20_000
"""Most jobs of one run: nobody means a plan of more."""


@dataclass(frozen=True)
class AskedCall:
    """Facts of a call that a plan needs."""

    name: str
    content: str
    rows: int


Question = list[AskedCall]
"""Calls that are asked together."""


def chosen_sampler(
    trained: TrainedRun, config: PlanConfig, sampler: Sampler | None
) -> tuple[Sampler, list[int], SamplerPlan]:
    """Return the sampler of a run, the times that it visits, and its record.

    Args:
        trained: The run, to which a sampler of its errors is fitted.
        config: Names the sampler, its steps and its eta.
        sampler: One in the place of the name.

    Raises:
        InvalidOption: As :func:`~qdm_qiskit.sampling.schedulers.planned_chain`; or if both are given.
    """
    from ...sampling.analytic import fitted
    from ...sampling.schedulers import planned_chain, sampler_origin

    if sampler is not None and config.scheduler != "process":
        raise InvalidOption(
            f"sampler is given, and scheduler is '{config.scheduler}' besides; leave one out."
        )
    chosen = config.scheduler if sampler is None else sampler
    made, times = planned_chain(trained.process, chosen, config.num_inference_steps, config.eta)
    made = fitted(trained, made, times)
    record = SamplerPlan(
        name=made.name,
        scheduler=None if sampler is not None else config.scheduler,
        **asdict(sampler_origin(chosen)),
        options=options_text(made),
        num_inference_steps=config.num_inference_steps,
    )
    return made, times, record


def options_text(sampler: Any) -> str:
    """Return the values of a sampler's fields, as one text."""
    values = {}
    if is_dataclass(sampler):
        values = {each.name: getattr(sampler, each.name) for each in fields(sampler)}
    plain = {
        n: v if isinstance(v, int | float | str | None) else repr(v) for n, v in values.items()
    }
    return canonical_json(plain).decode()


def planned_sampler(
    process: DiffusionProcess,
    plan: SamplerPlan,
    times: Sequence[int],
    given: Sampler | None,
    begins_at: int = 0,
) -> Sampler:
    """Return the sampler of a plan.

    Args:
        process: The run's.
        plan: Its record.
        times: The steps of the plan.
        given: The object, for a plan that was made with one.
        begins_at: Steps of the sampler before the plan's, which another run has answered.

    Raises:
        MissingData: If the plan was made with an object, and none is given.
        InvalidPlan: If the sampler, its options or its times are not those of the plan.
    """
    from ...sampling.analytic import AnalyticDPM
    from ...sampling.schedulers import planned_chain

    if given is None and plan.scheduler is None:
        raise MissingData(
            f"The run was planned with a Sampler object ({plan.module}); give it again: "
            "resume(run, sampler=...)."
        )
    chosen = plan.scheduler if given is None else given
    assert chosen is not None
    eta = _eta_of(plan) if given is None else 0.0
    made, found = planned_chain(process, chosen, plan.num_inference_steps, eta)
    if given is None and isinstance(made, AnalyticDPM):
        made = replace(made, errors=_errors_of(plan))
    said = (plan.name, plan.options, list(times))
    got = (made.name, options_text(made), found[begins_at:])
    if said != got:
        raise InvalidPlan(
            f"The sampler is not the one of the plan: its name, options and times are {got[:2]} and "
            f"{got[2][:4]}, but the plan has {said[:2]} and {said[2][:4]}; plan again."
        )
    return made


def _eta_of(plan: SamplerPlan) -> float:
    import json

    options = json.loads(plan.options)
    return float(options.get("eta", 0.0)) if isinstance(options, dict) else 0.0


def _errors_of(plan: SamplerPlan) -> tuple[float, ...]:
    """Return the errors that a sampler was fitted to; the plan keeps them as Python writes them.

    Raises:
        InvalidPlan: If they are no numbers.
    """
    import json

    options = json.loads(plan.options)
    text = options.get("errors", "") if isinstance(options, dict) else ""
    try:
        return tuple(float(each) for each in str(text).strip("()").split(",") if each.strip())
    except ValueError as error:
        raise InvalidPlan(f"A sampler's errors are numbers, got {text!r}; plan again.") from error


def asked(
    trained: TrainedRun,
    sampler: Sampler,
    times: Sequence[int],
    x: np.ndarray,
    labels: np.ndarray | None,
    seed: int,
    shots: int,
    progress: Progress,
) -> tuple[list[list[Question]], list[CircuitCall]]:
    """Walk the chain on the engine's exact values, and note its questions.

    Args:
        trained: The model.
        sampler: Of the run.
        times: From :func:`chosen_sampler`.
        x: x_T, ``(images, ...)``.
        labels: ``(images,)`` of a guided model.
        seed: The run's seed.
        shots: Of each call, whose answers are exact all the same.
        progress: Receives the steps that are done.

    Returns:
        For each step its questions; and one call of each distinct circuit.

    Raises:
        TargetUnavailable: If the model asks nothing: no circuit is between its images.
    """
    import torch

    from ...layers.calling import ExactTarget
    from ...sampling.chain import Chain

    model = trained.model
    chain = Chain(
        trained.process, sampler, times, torch.from_numpy(x), lambda t: noise_stream(seed, t)
    )
    told = None if labels is None else torch.from_numpy(labels)
    steps: list[list[Question]] = [[]]
    distinct: dict[str, CircuitCall] = {}
    contents: dict[tuple[int, bytes], str] = {}
    exact, ask = ExactTarget(), 1
    while (question := chain.question) is not None:
        exact.calls.clear()
        prediction = predicted(
            model, exact, *question, told, num_steps=trained.process.num_steps, shots=shots
        )
        for calls in exact.calls:
            found: Question = []
            for call in calls:
                key = (id(call.spec), call.angles.tobytes())
                if key not in contents:  # its text takes longer than its values
                    contents[key] = call.content
                content = contents[key]
                distinct.setdefault(content, call)
                name = call_name(call.name, ask)
                found.append(AskedCall(name, content, call.num_rows))
            steps[-1].append(found)
        if not exact.calls:
            raise TargetUnavailable(
                f"'{model.name}' is no single circuit, and calls none at step t={question[1]}: a "
                "classical model has nothing to run; sample it by `qdm sample --target engine`."
            )
        ask += 1
        if chain.advance(prediction):
            progress(Message("listing circuit calls", len(steps), len(times)))
            steps.append([])
            ask = 1
    return steps[:-1], list(distinct.values())


def call_name(name: str, ask: int) -> str:
    """Return a call's name within its step: one of a sampler's second ask ends in ``@2``."""
    return name if ask == 1 else f"{name}@{ask}"


def noise_stream(seed: int, t: int) -> torch.Generator:
    """Return the noise of the step from t, as `qdm sample` draws it."""
    import torch

    from ...rng import derived_seed

    return torch.Generator().manual_seed(derived_seed(seed, "sampling", t))


def predicted(
    model: Any,
    target: Any,
    x: torch.Tensor,
    t: int,
    labels: torch.Tensor | None,
    *,
    num_steps: int,
    shots: int,
) -> torch.Tensor:
    """Return a model's prediction, whose circuits a target answers."""
    import torch

    from ...layers.calling import answered_by

    with answered_by(model, target, shots=shots):
        found: torch.Tensor = model(x, torch.full((len(x),), t / num_steps), labels)
        return found


@dataclass(frozen=True, kw_only=True)
class Room:
    """Largest size of one job."""

    executions: int | None
    """Most circuits times shots."""
    seconds: float | None
    """QPU seconds after which a job is cancelled."""
    values: int = MOST_VALUES
    circuits: int | None = None
    """Most circuits, each with its values."""


JobsOf = Callable[
    [Sequence[int], Sequence[Sequence[Question]], Timing, int, Room], tuple[JobPlan, ...]
]
"""Function of times, questions, clock, shots and limits that returns the jobs of a run."""


def jobs_of(
    times: Sequence[int],
    steps: Sequence[Sequence[Question]],
    circuits: CallCircuits,
    clock: Timing,
    shots: int,
    room: Room,
) -> tuple[JobPlan, ...]:
    """Return the jobs of a run: one a question, or as many as the limits ask for.

    Args:
        times: t of each step.
        steps: Questions of each step.
        circuits: Of all calls.
        clock: Overhead and repetition delay.
        shots: Of each row and circuit.
        room: Limits of one job.

    Raises:
        InvalidOption: If a single row outgrows the limits.
    """
    split = _Splitter(circuits, clock, shots, room)
    return listed_jobs(times, steps, split.parts, split.overhead, shots)


def split_jobs(
    times: Sequence[int],
    steps: Sequence[Sequence[Question]],
    circuits: CallCircuits,
    clock: Timing,
    shots: Callable[[int, str], int],
    room: Room,
) -> tuple[JobPlan, ...]:
    """Return the jobs of a run whose calls have shots of their own.

    Calls of a question with equal shots go together; those with others are parts of it, like rows
    that go beyond a job's limits.

    Args:
        times, steps, circuits, clock, room: As for :func:`jobs_of`.
        shots: Function of t and a call's name that returns its shots.

    Raises:
        InvalidOption: If a single row outgrows the limits, or the run has too many jobs.
    """
    splitters: dict[int, _Splitter] = {}
    jobs: list[JobPlan] = []
    for t, questions in zip(times, steps, strict=True):
        for number, question in enumerate(questions, start=1):
            parts: list[tuple[_Splitter, list[CallPlan]]] = []
            for count in dict.fromkeys(shots(t, call.name) for call in question):
                if count not in splitters:
                    splitters[count] = _Splitter(circuits, clock, count, room)
                split = splitters[count]
                mine = [call for call in question if shots(t, call.name) == count]
                parts += [(split, calls) for calls in split.parts(mine)]
            jobs += [
                _job(t, number, which, calls, split.overhead, split.shots, len(questions))
                for which, (split, calls) in enumerate(parts, start=int(len(parts) > 1))
            ]
        _check_number(jobs, t)
    return tuple(jobs)


def listed_jobs(
    times: Sequence[int],
    steps: Sequence[Sequence[Question]],
    parts_of: Callable[[Question], Sequence[Sequence[CallPlan]]],
    overhead: float,
    shots: int,
) -> tuple[JobPlan, ...]:
    """Return the jobs of a run in order, named by step, question and part.

    Args:
        times: t of each step.
        steps: Questions of each step.
        parts_of: Returns the calls of each job of a question.
        overhead: QPU seconds of a job beside its calls.
        shots: Of each row and circuit.

    Raises:
        InvalidOption: If there are more than :data:`MAX_RUN_JOBS`.
    """
    jobs: list[JobPlan] = []
    for t, questions in zip(times, steps, strict=True):
        for number, question in enumerate(questions, start=1):
            parts = parts_of(question)
            jobs += [
                _job(t, number, part, calls, overhead, shots, len(questions))
                for part, calls in enumerate(parts, start=int(len(parts) > 1))
            ]
        _check_number(jobs, t)
    return tuple(jobs)


def _job(
    t: int,
    number: int,
    part: int,
    calls: Sequence[CallPlan],
    overhead: float,
    shots: int,
    questions: int,
) -> JobPlan:
    return JobPlan(
        step=t,
        number=number,
        part=part,
        shots=shots,
        calls=tuple(calls),
        seconds=overhead + math.fsum(c.seconds for c in calls),
        name=job_name(t, number, part, alone=questions == 1),
    )


def _check_number(jobs: Sequence[JobPlan], t: int) -> None:
    if len(jobs) > MAX_RUN_JOBS:
        raise InvalidOption(
            f"The run takes more than {MAX_RUN_JOBS} jobs by step t={t}; take fewer steps by "
            "num_inference_steps and a scheduler such as ddim, or fewer shots or images."
        )


class _Splitter:
    """Splitter that fills jobs with rows until the limits are reached."""

    def __init__(self, circuits: CallCircuits, clock: Timing, shots: int, room: Room) -> None:
        self._circuits, self._clock, self._room = circuits, clock, room
        self.shots = shots
        self._found: dict[str, tuple[tuple[int, ...], float, int]] = {}
        self._kept: dict[tuple[AskedCall, ...], list[list[CallPlan]]] = {}
        longest = max(each.seconds for each in circuits.planned)
        self.overhead = clock.overhead_seconds + circuits.extra * (
            clock.rep_delay_seconds + longest
        )
        """QPU seconds of a job besides its rows."""

    def parts(self, question: Question) -> list[list[CallPlan]]:
        """Return the calls of each job of a question."""
        key = tuple(question)
        if key not in self._kept:
            self._kept[key] = self._parts(question)
        return self._kept[key]

    def _parts(self, question: Question) -> list[list[CallPlan]]:
        parts: list[list[CallPlan]] = [[]]
        used = np.zeros(4)
        for call in question:
            numbers, seconds, values = self._row(call)
            weight = math.fsum(self._circuits.weight(k) for k in numbers)
            each = np.array([weight * self.shots, seconds, values, weight])
            most = self._most()
            if (each > most).any():
                self._refuse(call, each)
            first = 0
            while first < call.rows:
                taken = each > 0
                left = ((most - used)[taken] / each[taken]).min()
                rows = int(min(call.rows - first, max(0.0, left + 1e-9)))
                if not rows:
                    parts.append([])
                    used = np.zeros(4)
                    continue
                parts[-1].append(
                    CallPlan(
                        name=call.name,
                        circuits=numbers,
                        first=first,
                        rows=rows,
                        seconds=rows * seconds,
                    )
                )
                used = used + rows * each
                first += rows
        return parts

    def _most(self) -> np.ndarray:
        room = self._room
        seconds = math.inf if room.seconds is None else room.seconds - self.overhead
        executions = math.inf
        if room.executions is not None:
            executions = room.executions - self._circuits.extra
        circuits = math.inf if room.circuits is None else room.circuits
        return np.array([executions, seconds, room.values, circuits], dtype=np.float64)

    def _row(self, call: AskedCall) -> tuple[tuple[int, ...], float, int]:
        """Return the circuits of a call, the QPU seconds of one of its rows, and its values."""
        if call.content not in self._found:
            numbers = self._circuits.numbers(call.content)
            planned = [self._circuits.planned[k] for k in numbers]
            delay = self._clock.rep_delay_seconds
            seconds = math.fsum(
                self.shots * self._circuits.weight(k) * (delay + each.seconds)
                for k, each in zip(numbers, planned, strict=True)
            )
            values = sum(len(each.plan.parameters) for each in planned)
            self._found[call.content] = (numbers, seconds, values)
        return self._found[call.content]

    def _refuse(self, call: AskedCall, each: np.ndarray) -> None:
        room = self._room
        what = (
            f"{each[0]:.0f} executions (circuits times shots), and a job holds {room.executions}"
            if room.executions is not None and each[0] > room.executions
            else f"{each[1] + self.overhead:.1f} QPU seconds, and "
            f"max_execution_seconds={room.seconds} cancels it"
            if room.seconds is not None and each[1] > self._most()[1]
            else f"{each[3]:.0f} circuits, and a job holds {room.circuits}"
            if room.circuits is not None and each[3] > room.circuits
            else f"{each[2]:.0f} values of parameters, and a job sends {room.values}"
        )
        raise InvalidOption(
            f"One row of call '{call.name}' has {what}; it cannot be split, so lower shots."
        )


def affordable_shots(
    times: Sequence[int],
    steps: Sequence[Sequence[Question]],
    circuits: CallCircuits,
    clock: Timing,
    room: Room,
    seconds: float,
    most: int,
    jobs: JobsOf | None = None,
) -> int:
    """Return the most shots of each row with which all jobs of the steps take so many QPU seconds.

    Args:
        times, steps, circuits, clock, room: As for :func:`jobs_of`.
        seconds: Of all jobs of the steps.
        most: Shots that the service takes of one circuit.
        jobs: The function that gives the jobs; :func:`jobs_of` if None.

    Raises:
        InvalidOption: If not even one shot fits.
    """

    def total(shots: int) -> float:
        found = (
            jobs_of(times, steps, circuits, clock, shots, room)
            if jobs is None
            else jobs(times, steps, clock, shots, room)
        )
        return math.fsum(each.seconds for each in found)

    least = total(1)
    if least > seconds:
        raise InvalidOption(
            f"One shot of each row takes {least:.1f} QPU seconds already, besides the calibration; "
            f"got {seconds:g} for it."
        )
    low, high = 1, most
    while low < high:  # the seconds grow with the shots, and so does the number of jobs
        middle = (low + high + 1) // 2
        try:
            fits = total(middle) <= seconds
        except InvalidOption:  # a row outgrows a job
            fits = False
        low, high = (middle, high) if fits else (low, middle - 1)
    return low
