"""Chain whose steps are several circuit calls: a step is run again from the answered calls.

Nothing here depends on anything but the plan and the counts, so a run that is taken up again, or
replayed, gets the same images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

import numpy as np
from qiskit import QuantumCircuit

from ...errors import InvalidData, InvalidPlan
from ...execution.calls import CallResult, CallTarget, CircuitCall, joined_results
from ..plan.call_jobs import call_name, noise_stream, planned_sampler, predicted
from ..plan.call_shots import ShotsOf, told_shots
from ..plan.calls import CallPlan, CallsPlan, JobPlan
from ..plan.circuits import is_one_circuit
from ..plan.estimator_circuits import on_device
from ..plan.planned_files import load_planned_run, planned_values, read_inputs
from ..plan.refit_plan import RefitPlan
from ..plan.refits import read_pairs
from ..plan.run_plan import RunPlan
from .call_results import CallCounts, ExactDistributions, call_result, joined_counts, mended
from .parts import Answered
from .predictions import prediction_change

if TYPE_CHECKING:
    import torch

    from ...execution.counts import Pub
    from ...mitigation.device_fit import PlaceMap
    from ...mitigation.readout import ReadoutCalibration
    from ...sampling import Sampler
    from ..ledger.run_files import StoredCounts
    from ..providers.requests import EstimatorPub

__all__ = [
    "Answerer",
    "CallChain",
    "CallJob",
    "Noted",
    "PlannedTarget",
    "Seen",
    "place_results",
    "refit_job",
]

Seen = Callable[[CircuitCall, CallCounts, CallResult], None]
"""Function that is shown each call with its counts and its answer."""
Noted = Callable[[str, np.ndarray], None]
"""Function that is told standard errors of what layers make of answers; see :class:`.ErrorRecorder`."""


@dataclass(frozen=True)
class CallJob:
    """A job of a step, or of a refit, with the calls that it takes rows of."""

    plan: JobPlan | RefitPlan
    calls: tuple[CircuitCall, ...]
    """The call of each entry of ``plan.calls``."""
    engines: ExactDistributions
    owner: RunPlan

    @property
    def name(self) -> str:
        """Name of a step's job; a refit's is given by whoever takes it."""
        return self.plan.name if isinstance(self.plan, JobPlan) else "refit"

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Rows and outcomes of the counts of each circuit; of an Estimator rows and observables."""
        circuits = _calls_of(self.owner).circuits
        if self.owner.estimator is not None:
            pairs = zip(self.plan.calls, self.calls, strict=True)
            return [(each.rows, call.spec.readout.num_outputs) for each, call in pairs]
        return [
            (call.rows, 1 << circuits[number].plan.qubits)
            for call in self.plan.calls
            for number in call.circuits
        ]

    def pubs(self, circuit: Callable[[int], QuantumCircuit]) -> list[Pub]:
        """Return the circuits and their values.

        Args:
            circuit: Function that gives an entry of ``circuits.qpy``.
        """
        planned = _calls_of(self.owner).circuits
        return [
            (
                circuit(number),
                planned_values(self.owner, call.values, planned[number].plan)[
                    each.first : each.first + each.rows
                ],
            )
            for each, call in zip(self.plan.calls, self.calls, strict=True)
            for number in each.circuits
        ]

    def estimator_pubs(self, circuit: Callable[[int], QuantumCircuit]) -> list[EstimatorPub]:
        """Return the circuits, observables and values of an Estimator's job.

        Args:
            circuit: Function that gives an entry of ``circuits.qpy``.
        """
        found: list[EstimatorPub] = []
        planned = _calls_of(self.owner).circuits
        for (isa, values), each, call in zip(
            self.pubs(circuit), self.plan.calls, self.calls, strict=True
        ):
            [number] = each.circuits
            observables = on_device(call, planned[number].plan, isa.num_qubits)
            found.append((isa, tuple(observables), values))
        return found

    def distributions(self) -> list[np.ndarray]:
        """Return the exact distributions of the same rows, for the engine."""
        return [
            rows[each.first : each.first + each.rows]
            for each, call in zip(self.plan.calls, self.calls, strict=True)
            for rows in self.engines.of(call)
        ]


Answerer = Callable[[Sequence[CallJob]], list[Answered]]
"""Gives the counts of jobs that do not depend on each other, or raises to leave the computation."""


@final
class PlannedTarget:
    """Target that answers calls from the counts of the jobs that a plan has for them.

    Args:
        plan: The run.
        answerer: Function that gives the counts of jobs.
        seen: Function that is shown each call with its counts.
        noted: Function that is told the errors of what layers make of the answers.
    """

    def __init__(
        self,
        plan: RunPlan,
        answerer: Answerer,
        seen: Seen | None = None,
        noted: Noted | None = None,
    ) -> None:
        self._plan, self._calls = plan, _calls_of(plan)
        self._answerer, self._seen, self._noted = answerer, seen, noted
        self._engines = ExactDistributions()
        self._heads: list[tuple[slice, PlaceMap]] = []
        self.begin(0)

    def begin(self, step: int, *, images: bool = False) -> None:
        """Go to a step.

        Args:
            step: t.
            images: True if a row is an image, so that one without a shot left is refused.
        """
        self._step, self._number, self._ask, self._images = step, 0, 1, images

    def next_ask(self) -> None:
        """Note that the sampler asks the model once more within the step."""
        self._ask += 1

    def note(self, name: str, errors: np.ndarray) -> None:
        """See :class:`.ErrorRecorder`."""
        if self._noted is not None:
            self._noted(name, errors)

    def answer(self, calls: Sequence[CircuitCall]) -> list[CallResult]:
        """Answer calls; see :class:`.CallTarget`.

        Raises:
            InvalidPlan: If the calls are not those of the plan.
            InvalidData: If no shot of an image passed the post-selection.
            Unanswered: As the answerer.
        """
        self._number += 1
        names = {call_name(call.name, self._ask): call for call in calls}
        jobs = [
            CallJob(
                plan=job,
                calls=tuple(self._matching(job, each.name, names) for each in job.calls),
                engines=self._engines,
                owner=self._plan,
            )
            for job in self._calls.question(self._step, self._number)
        ]
        self._check_complete(jobs, names)
        answered = self._answerer(jobs)
        found = []
        for call in calls:
            if self._plan.estimator is not None:
                estimated = _estimated(call, jobs, answered)
                if estimated.standard_errors is not None:
                    self.note(call.name, estimated.standard_errors)
                found.append(estimated)
                continue
            places = list(self._places(call, jobs, answered))
            parts = [counts for _, _, counts in places]
            counts = joined_counts(parts)
            # Tiles are read out by qubits of their own; all other rows by the same ones.
            alone = self._calls.tiles is not None or self._plan.refit is not None
            results = [call_result(call, each) for each in (parts if alone else [counts])]
            if self._seen is not None:
                self._seen(call, counts, joined_results(results))
            if self._plan.refit is not None:
                results = self._fitted(places, results)
            found.append(joined_results(results))
            if self._images and found[-1].kept is not None:
                shots = int(counts.counts[0].sum(axis=1).min())
                _check_kept(found[-1].outputs, self._step, shots)
        return found

    def _places(
        self, call: CircuitCall, jobs: Sequence[CallJob], answered: Sequence[Answered]
    ) -> Iterator[tuple[CallPlan, Answered, CallCounts]]:
        """Yield the counts of a call, of all its jobs and tiles."""
        for job, answer in zip(jobs, answered, strict=True):
            for each, own, counts in _counts(self._plan, job, answer.stored, answer.calibration):
                if own is call:
                    yield each, answer, counts

    def _fitted(
        self,
        places: Sequence[tuple[CallPlan, Answered, CallCounts]],
        results: Sequence[CallResult],
    ) -> list[CallResult]:
        """Return results corrected by the refit; where it is of the head, keep the head of each row."""
        refit = self._plan.refit
        assert refit is not None
        found, heads = [], []
        for (each, answer, _), result in zip(places, results, strict=True):
            assert answer.fit is not None
            fit = answer.fit.maps[refit.place(each)]
            if refit.kind == "head":
                heads.append((slice(each.first, each.first + each.rows), fit))
                found.append(result)
                continue
            if result.outputs.shape[1:] != fit.bias.shape:
                raise _unfit(self._plan, fit, result.outputs.shape[1])
            found.append(result.scaled(fit(result.outputs), fit.weight))
        self._heads = heads
        return found

    @contextmanager
    def fitted_head(self, model: Any) -> Iterator[None]:
        """Have a model's head say, of each row, what the refit of its place says.

        Args:
            model: Denoiser with a linear layer ``head``; other plans' models stay as they are.
        """
        refit = self._plan.refit
        if refit is None or refit.kind != "head":
            yield
            return
        hook = model.head.register_forward_hook(self._headed)
        try:
            yield
        finally:
            hook.remove()

    def _headed(
        self, head: Any, given: tuple[torch.Tensor, ...], said: torch.Tensor
    ) -> torch.Tensor:
        import torch

        from ...layers.arrays import to_array

        values = to_array(given[0]).astype(np.float64)
        made = np.full(tuple(said.shape), np.nan)
        for rows, fit in self._heads:
            if fit.weight.shape != tuple(head.weight.shape):
                raise _unfit(self._plan, fit, head.weight.shape[1])
            made[rows] = fit(values[rows])
        return torch.from_numpy(made).to(said)

    def _matching(self, job: JobPlan, name: str, names: dict[str, CircuitCall]) -> CircuitCall:
        planned = next(each for each in job.calls if each.name == name)
        call = names.get(name)
        content = self._calls.circuits[planned.circuits[0]].content
        if call is None or call.content != content:
            raise self._other(job.name, name, list(names))
        return call

    def _check_complete(self, jobs: Sequence[CallJob], names: dict[str, CircuitCall]) -> None:
        """Refuse calls that the plan does not have, or of which it has other rows."""
        rows = dict.fromkeys(names, 0)
        for job in jobs:
            for each in job.plan.calls:
                rows[each.name] += each.rows
        wanted = {name: call.num_rows for name, call in names.items()}
        if rows != wanted:
            raise self._other(
                f"question {self._number}", sorted(wanted.items()), sorted(rows.items())
            )

    def _other(self, where: str, got: object, planned: object) -> InvalidPlan:
        return InvalidPlan(
            f"The model of run {self._plan.run_id} calls other circuits at step t={self._step} than it "
            f"did when it was planned ({where}: {got!r:.120} beside {planned!r:.120}); its code has "
            "changed, or its calls depend on what was measured, which no plan can hold; plan again."
        )


def _counts(
    plan: RunPlan,
    job: CallJob,
    stored: StoredCounts,
    calibration: ReadoutCalibration | None,
) -> Iterator[tuple[CallPlan, CircuitCall, CallCounts]]:
    """Yield the counts of each entry of a job's calls, corrected where there is a calibration."""
    circuits = _calls_of(plan).circuits
    left = list(stored.counts)
    for each, own in zip(job.plan.calls, job.calls, strict=True):
        rows, left = left[: len(each.circuits)], left[len(each.circuits) :]
        quasi, readout = None, None
        if calibration is not None:
            plans = [circuits[number].plan for number in each.circuits]
            quasi = tuple(
                mended(plan, counts, circuit, calibration)
                for counts, circuit in zip(rows, plans, strict=True)
            )
            readout = calibration.of_bits(plans[0].measured_qubits)
        yield each, own, CallCounts(tuple(rows), quasi, readout)


def place_results(
    plan: RunPlan,
    job: CallJob,
    stored: StoredCounts,
    calibration: ReadoutCalibration | None,
) -> Iterator[tuple[CallPlan, CircuitCall, CallResult]]:
    """Yield for each entry of a job's calls its call, whole, and the result of the entry's rows.

    Args:
        plan: The run.
        job: The job.
        stored: Its counts.
        calibration: Of their readout; None without mitigation.
    """
    for each, call, counts in _counts(plan, job, stored, calibration):
        yield each, call, call_result(call, counts)


def refit_job(plan: RunPlan) -> CallJob:
    """Return the job of a plan's refit: the model's own calls on the states that were planned.

    Raises:
        InvalidPlan: If the model calls otherwise than it did when it was planned.
    """
    from ...layers.calling import calls_of

    refit = plan.refit
    assert refit is not None
    pairs, trained = read_pairs(plan), load_planned_run(plan)
    asked = [
        call for job in calls_of(trained.model, pairs.x, pairs.t, pairs.labels) for call in job
    ]
    calls = {call.name: replace(call, shots=refit.shots) for call in asked}
    circuits = _calls_of(plan).circuits
    same = {name: call.num_rows for name, call in calls.items()} == refit.rows and all(
        calls[each.name].content == circuits[each.circuits[0]].content for each in refit.calls
    )
    if not same:
        raise InvalidPlan(
            f"The refit of run {plan.run_id} calls other circuits than it did when it was planned "
            f"({sorted(calls)[:3]}); its model's code has changed; plan again."
        )
    own = tuple(calls[each.name] for each in refit.calls)
    return CallJob(plan=refit, calls=own, engines=ExactDistributions(), owner=plan)


def _unfit(plan: RunPlan, fit: PlaceMap, values: int) -> InvalidData:
    return InvalidData(
        f"A refit of run {plan.run_id} has maps of shape {fit.weight.shape}, and the model returns "
        f"{values} values; move the refit's file away and resume."
    )


def _estimated(
    call: CircuitCall, jobs: Sequence[CallJob], answered: Sequence[Answered]
) -> CallResult:
    """Return a call's values and errors, of all jobs that took rows of it."""
    parts = [
        estimates
        for job, answer in zip(jobs, answered, strict=True)
        for own, estimates in zip(job.calls, answer.stored.estimates, strict=True)
        if own is call
    ]
    values, errors = np.concatenate(parts, axis=1)
    return CallResult(outputs=values, standard_errors=errors)


def _check_kept(outputs: np.ndarray, step: int, shots: int) -> None:
    from ...sampling.call_targets import check_postselected

    check_postselected(outputs, step, shots)


def _calls_of(plan: RunPlan) -> CallsPlan:
    assert plan.calls is not None
    return plan.calls


@final
class CallChain:
    """The reverse chain of a plan of several calls a step, with its model, at x_T.

    Args:
        plan: The plan; its files are checked.
        sampler: The object, for a plan that was made with one.

    Raises:
        InvalidPlan: If a file of it is missing or was changed, or the sampler is another one.
        MissingData: If the plan was made with a sampler object, and none is given.
    """

    def __init__(self, plan: RunPlan, sampler: Sampler | None = None) -> None:
        import torch

        from ...sampling.chain import Chain
        from ...sampling.shared import SharedSampler

        x, labels = read_inputs(plan)
        trained = load_planned_run(plan)
        self.plan = plan
        self._model, self._process = trained.model, trained.process
        self._one_circuit = is_one_circuit(trained)
        self._labels = None if labels is None else torch.from_numpy(labels)
        times = [each.step for each in plan.steps]
        record = _calls_of(plan).sampler
        assert record is not None  # of a model's plan
        share = plan.share
        begins_at = 0 if share is None else share.begins_at
        walker = planned_sampler(trained.process, record, times, sampler, begins_at)
        if share is not None:
            walker = SharedSampler(walker, share.rows(), share.images, begins_at)
        self._chain = Chain(
            trained.process,
            walker,
            times,
            torch.from_numpy(x),
            lambda t: noise_stream(plan.seed, t),
        )
        self._predictions: list[torch.Tensor] = []

    @property
    def left(self) -> int:
        """Number of steps that are left."""
        return self._chain.left

    @property
    def memory(self) -> int:
        """Number of earlier steps that the sampler looks back on."""
        return self._chain.sampler.memory

    def state(self) -> np.ndarray:
        """The x_t at hand, ``(images, ...)``."""
        from ...layers.arrays import to_array

        return to_array(self._chain.x)

    def walk(self, target: CallTarget) -> None:
        """Go one step on, by the calls that a target answers.

        Raises:
            Unanswered: As the target; the chain must not be used then.
            InvalidPlan, InvalidData: If calls or states are not those of the run.
        """
        if isinstance(target, PlannedTarget):
            step = self.plan.steps[self._chain.index].step
            target.begin(step, images=self._one_circuit)
        ask = 1
        while True:
            question = self._chain.question
            assert question is not None
            prediction = self._predicted(target, *question, ask)
            if ask == 1:
                self._predictions = [*self._predictions, prediction][-2:]
            if self._chain.advance(prediction):
                return
            ask += 1
            if isinstance(target, PlannedTarget):
                target.next_ask()

    def _predicted(self, target: CallTarget, x: torch.Tensor, t: int, ask: int) -> torch.Tensor:
        fitted = (
            target.fitted_head(self._model) if isinstance(target, PlannedTarget) else nullcontext()
        )
        with fitted:
            if self.plan.schedule != "uniform":
                return told_shots(
                    self._model,
                    target,
                    x,
                    t,
                    self._labels,
                    num_steps=self._process.num_steps,
                    shots=self._shots_at(ask),
                )
            return predicted(
                self._model,
                target,
                x,
                t,
                self._labels,
                num_steps=self._process.num_steps,
                shots=_calls_of(self.plan).jobs[0].shots,
            )

    def _shots_at(self, ask: int) -> ShotsOf:
        """Return the function that gives the calls of a prediction their planned shots."""
        step, known = self.plan.steps[self._chain.index].step, _calls_of(self.plan).shots_of_calls

        def shots(name: str) -> int | None:
            # A call that is not planned is refused by whoever answers it.
            return next(iter(known.get((step, call_name(name, ask)), ())), 1)

        return shots

    def advance_exactly(self) -> None:
        """Go one step on by the engine's exact values."""
        from ...layers.calling import ExactTarget

        self.walk(ExactTarget())

    @property
    def hold_error(self) -> float | None:
        """Root mean square change between the last two predictions; None before there are two."""
        return prediction_change(self._predictions)

    def hold(self) -> None:
        """Go one step on by the last step's prediction, whatever the sampler asks within it."""
        while not self._chain.advance(self._predictions[-1]):
            pass

    def keep(self, route: str) -> None:
        """Go one step on without the device: by ``exact`` or ``hold``."""
        if route == "hold":
            self.hold()
        else:
            self.advance_exactly()

    def images(self) -> np.ndarray:
        """The x_t at hand as images, ``(images, channels, height, width)``; x_0 lies in [0, 1]."""
        import torch

        from ...layers.arrays import to_array

        with torch.no_grad():
            data = self._process.to_images(self._chain.x)
            found = self._model.decode_data(data if self.left else data.clamp(0, 1))
        return to_array(found)
