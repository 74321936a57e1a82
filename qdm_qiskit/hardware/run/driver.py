"""Run in the hands of one process: step by step through its reverse chain.

What was reached before is on disk, and is computed again rather than trusted to memory; so it does
not matter which process goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, final

import numpy as np

from ...errors import (
    CalibrationMismatch,
    InvalidData,
    InvalidOption,
    JobFailed,
    QdmError,
    SubmissionUncertain,
    TargetUnavailable,
)
from ...execution.devices import named_device
from ...execution.targets import parse_target
from ..ledger.decision_files import lost_decisions
from ..ledger.ledger import RunState
from ..ledger.output_files import OUTPUTS, write_outputs
from ..ledger.run_files import IMAGES, MANIFEST, SAMPLES, write_images
from ..ledger.schema import State
from ..ledger.stored_files import StoredFiles
from ..ledger.trained_files import TRAINING, write_trained
from ..plan.plan_file import write_plan
from ..plan.routing import GIVEN, RoutingPolicy, Verdict
from ..plan.run_plan import PLAN, StepPlan
from ..plan.types import Look
from ..providers.base import Provider
from ..providers.context import RunContext
from ..providers.door import open_provider
from ..providers.failures import JobRefused
from ..providers.jobs import RunJobs
from ..providers.requests import JobRequest
from .answers import Answers
from .calibrations import RunCalibrations
from .job_requests import RunParts
from .manifest import write_manifest
from .parts import Part, Unanswered
from .refits import RunRefits
from .reservations import Reservations
from .reverse_chain import PlannedChain, probabilities_of
from .router import PolicyStops, Router

if TYPE_CHECKING:
    from ...sampling import Sampler
    from .call_chain import CallChain

__all__ = [
    "DrivenRun",
    "Waiting",
]


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Job that was sent and has not ended."""

    part: str
    queued: bool
    """True if it waits in the device's queue; False if it runs."""
    seconds: float
    """Time since it was sent, at least."""


@final
class DrivenRun:
    """A run that this process has locked.

    Args:
        run: The run; its files are checked.
        provider: A provider object in the place of the one that a package brings.
        sampler: The sampler object, for a plan that was made with one.
        routing: The policy object, for a plan whose policy was given as one.
        look: Function that looks at the target for a policy; None where nobody can.
    """

    def __init__(
        self,
        run: RunContext,
        provider: Provider | None = None,
        sampler: Sampler | None = None,
        routing: RoutingPolicy | None = None,
        look: Look | None = None,
    ) -> None:
        self._run = run
        self._plan = run.plan
        self._ledger = run.ledger
        self._given = provider
        self._sampler = sampler
        self._settings = run.settings
        self._parts = RunParts(run)
        self._files = StoredFiles(run.plan.folder, run.ledger, run.run_id)
        self._calibrations: RunCalibrations | None = None
        if run.plan.calibration is not None:
            self._calibrations = RunCalibrations(run, run.plan.calibration, self._parts)
        self._refits: RunRefits | None = None
        if run.plan.refit is not None:
            self._refits = RunRefits(run, run.plan.refit, self._parts, self._calibrations)
        self._reservations = Reservations(run.plan, self._calibrations, self._refits)
        self._routing, self._look = routing, look
        self._router: Router | None = None
        self._jobs: RunJobs | None = None
        self._chain: PlannedChain | None = None
        self._keep_session = False
        self._clock_told = False
        self._unfinished: State = "running"
        """State of the run while it is not done: a cancelled one stays so until it is resumed."""

    # -- what can be asked for ----------------------------------------------------------------

    def go(self, *, detach: bool) -> RunState:
        """Work through the chain, as far as it goes.

        Args:
            detach: True to send the next job and wait for none; what a device fails with is then
                raised, and no routing policy is asked about it.
        """
        self._mend()
        state = self._state()
        if state.state == "done" and self._finished():
            self._settle_late()
            return self._state()
        self._check_options()
        self._check_policy()
        first_time = state.state == "planned"
        jobs = self._open(detach)
        jobs.settle()
        self._reservations.reserve(jobs, first_time)
        self._ledger.set_run(self._plan.run_id, "running")
        self._tell_clock(jobs.provider)
        with self._failing():
            if self._plan.routing is None:
                self._walk(jobs, detach)
            else:
                self._walk_routed(jobs, detach)
        return self._state()

    def collect(self) -> RunState:
        """Fetch the counts of ended jobs."""
        self._mend()
        state = self._state()
        if state.state == "done" and self._finished():
            self._settle_late()
            return self._state()
        jobs = self._open(detach=True)
        self._keep_session = True  # its jobs may still wait in it
        self._stay_cancelled(state)
        jobs.settle()
        with self._failing():
            self._walk(jobs, detach=False, send=False)
        return self._state()

    def cancel(self) -> RunState:
        """Cancel waiting jobs and release reservations.

        Raises:
            SubmissionUncertain: If a job may exist that cannot be looked for now; what is reserved
                for it stays so, and the rest is cancelled.
        """
        state, run_id = self._state(), self._plan.run_id
        if state.state == "done":
            return state
        if state.state == "planned" and not self._ledger.intentions(run_id):
            self._ledger.release(run_id)
            self._ledger.set_run(run_id, "cancelled", reason="cancelled before it was sent")
            return self._state()
        self._stay_cancelled(state)
        jobs = self._open(detach=True)
        with self._failing():
            found = jobs.cancel()
            jobs.settle(wait=True)
            self._ledger.release(run_id)
            if found.in_doubt:
                raise SubmissionUncertain(
                    f"Run {run_id} is not cancelled as a whole: a job tagged "
                    f"{', '.join(found.in_doubt)} may exist, and the service cannot be asked for "
                    f"it now; `qdm run cancel {run_id}` looks for it again."
                )
        reason = f"cancelled, {len(found.jobs)} job(s) with it"
        if found.finished:
            reason += (
                f"; {', '.join(found.finished)} had run already, `qdm run collect {run_id}` "
                "fetches the counts and settles the cost"
            )
        self._ledger.set_run(run_id, "cancelled", reason=reason)
        return self._state()

    def waiting(self) -> list[Waiting]:
        """Return the jobs that were sent and have not ended; none where nothing runs behind us.

        Raises:
            ServiceUnavailable: If the provider does not answer.
        """
        jobs = self._jobs
        if jobs is None or jobs.provider.in_process:
            return []
        found = []
        for each in self._ledger.intentions(self._plan.run_id):
            if each.state != "submitted" or each.job_id is None:
                continue
            queued = jobs.still_waiting(each.job_id)
            if queued is not None:
                sent = self._ledger.sent_seconds_ago(each)
                found.append(Waiting(part=each.part, queued=queued, seconds=sent))
        return found

    def retire(self) -> None:
        """Give the run up for good: cancel what waits, wait for what cannot be cancelled any more,
        and fetch what has counts.

        Afterwards no job of the run exists that has not ended, and none that has counts which are not
        here.

        Raises:
            SubmissionUncertain, ServiceUnavailable: If that cannot be known now; called again, it goes
                on.
            JobFailed: If a job was paid and its results cannot be used.
        """
        self.cancel()
        self._open(detach=True)
        while self.waiting():
            time.sleep(self._settings.poll_seconds)
        while True:
            failed = self._failed_jobs()
            try:
                self.collect()
                break
            except CalibrationMismatch:  # the step is answered elsewhere
                break
            except JobFailed:
                if self._failed_jobs() == failed:
                    raise
        self._keep_session = False

    def _failed_jobs(self) -> int:
        jobs = self._ledger.intentions(self._plan.run_id)
        return sum(each.state == "failed" for each in jobs)

    def close(self) -> None:
        """Let go of the provider, and of what other runs wait for; never raises but for Ctrl-C."""
        with suppress(QdmError):
            if self._ledger.has_claims(self._plan.run_id):
                self._ledger.end_claims(self._plan.run_id)
        if self._jobs is not None:
            self._jobs.close(keep=self._keep_session)

    # -- the chain ----------------------------------------------------------------------------

    def _mend(self) -> None:
        """Set files aside that were damaged; what follows makes them again."""
        plan = self._plan
        again: dict[str, Callable[[], None]] = {PLAN: lambda: write_plan(plan, plan.folder / PLAN)}
        if plan.routing is not None:
            decisions = lost_decisions(plan.folder, self._ledger, plan.run_id)
            again |= decisions
        self._files.mend(self._run.tell, again)
        if plan.routing is not None:
            for name, write in decisions.items():
                if not (plan.folder / name).exists():  # the last process died before it was written
                    write()
            if self._router is None:  # one for all of this process: it knows what it decided
                self._router = Router(self._run, self._routing, self._look)
        self._files.note()

    def _walk(self, jobs: RunJobs, detach: bool, *, send: bool = True) -> None:
        """Walk step by step from x_T; steps that were collected before are only computed again."""
        self._chain = None
        if self._calibrations is not None:
            self._calibrations.complete(jobs)
        if self._refits is not None:
            self._refits.complete(jobs)
        answers = Answers(
            self._run,
            self._parts,
            self._calibrations,
            self._refits,
            jobs,
            detach=detach,
            send=send,
        )
        try:
            write = self._computed(answers)
        except Unanswered:
            self._keep_session = self._keep_session or answers.stopped
            return
        self._finish(jobs, write)

    def _walk_routed(self, jobs: RunJobs, detach: bool) -> None:
        """Walk as :meth:`_walk` does, and ask the policy where the device fails or lets a job wait."""
        in_turns = not detach and not jobs.provider.in_process
        while True:
            reached = self._state().step
            try:
                self._walk(jobs, detach or in_turns)
            except PolicyStops:
                raise
            except (JobFailed, TargetUnavailable, JobRefused) as error:
                cancelled = isinstance(error, JobFailed) and error.cancelled
                if cancelled or detach or not self.fall_back(error):
                    raise
                continue
            if not in_turns or self._state().state == "done":
                return
            waiting = self.waiting()
            if waiting and all(each.queued for each in waiting):
                self.impatient(max(each.seconds for each in waiting))
            if waiting or self._state().step == reached:
                time.sleep(self._settings.poll_seconds)

    def fall_back(self, error: QdmError) -> bool:
        """Ask the routing policy about a step at which the device failed.

        Returns:
            True if the run goes on: by another job, or by an answer of this machine. False if there
            is no policy, the policy insists on a device that failed too often, or it stops.

        Raises:
            SubmissionUncertain, ServiceUnavailable: If it is not known whether a job of the step could
                still run; called again, it goes on.
        """
        router = self._router
        if router is None or router.step is None:
            return False
        reason = str(error)
        verdict = router.ask(failure=reason)
        if verdict.route == "device":
            router.record(verdict, failure=reason)
            return router.failures < self._settings.job_attempts
        return self._take_over(router, verdict, reason)

    def impatient(self, seconds: float) -> bool:
        """Ask the routing policy about a job that waits; take its step over if it says so.

        Args:
            seconds: Time that the job has waited in the queue.

        Returns:
            True if the step is taken over; False if the job is waited for, or there is no policy.

        Raises:
            PolicyStops: If the policy lets nobody answer.
            SubmissionUncertain, ServiceUnavailable: As :meth:`fall_back`.
        """
        router = self._router
        if router is None or router.step is None:
            return False
        verdict = router.ask(waited=seconds)
        return verdict.route != "device" and self._take_over(router, verdict, None)

    def _take_over(self, router: Router, verdict: Verdict, failure: str | None) -> bool:
        """Answer a step here, once it is certain that no job of it can run; not if its counts came.

        The policy's word is recorded only then: a process that dies before leaves a step of the device,
        whose jobs cost nothing or were paid once.
        """
        step = router.step
        assert step is not None
        if verdict.route == "stop":
            router.record(verdict, failure=failure)
            if failure is None:
                raise router.stopped(verdict.reason)
            return False
        self.retire()
        self._unfinished = "running"
        self._ledger.set_run(self._plan.run_id, "running")
        if self._reservations.missing(step) and not self._finished():
            router.record(verdict, failure=failure)
        return True

    def _kept_here(self, step: StepPlan, chain: PlannedChain | CallChain, answers: Answers) -> bool:
        """Answer a step on this machine, if the routing policy says so; return True if it did."""
        if self._router is None:
            return False
        assert self._jobs is not None
        jobs = self._jobs
        route = self._router.route(
            step.step,
            chain,
            lambda: self._reservations.reserve_step(jobs, step.step),
            may_ask=answers.sends,
        )
        if route == "device":
            return False
        chain.keep(route)
        return True

    def _computed(self, answers: Answers) -> Callable[[], None]:
        """Compute what the run is for, and return the function that writes it."""
        plan = self._plan
        if plan.qnn is not None:
            return self._outputs(answers)
        if plan.training is not None:
            return self._trained(answers)
        path = list(self._one_circuit(answers) if plan.calls is None else self._calls(answers))
        return partial(write_images, plan.folder, path[-1], path)

    def _one_circuit(self, answers: Answers) -> Iterator[np.ndarray]:
        """Yield the images of x_T and after each step of a model that is one circuit."""
        plan, chain = self._plan, self._reverse_chain()
        shape = (plan.num_images, 1 << plan.circuit.qubits)
        yield chain.images()
        for step in plan.steps:
            if not self._kept_here(step, chain, answers):
                part = Part(step.name, [shape], partial(self._step_request, step))
                [found] = answers.of([part])
                chain.advance(probabilities_of(plan, found.stored.counts[0], found.calibration))
            yield chain.images()
            self._reached(step.name, chain.step)

    def _calls(self, answers: Answers) -> Iterator[np.ndarray]:
        """Yield the same of a model whose steps are several calls."""
        from .call_chain import PlannedTarget
        from .whole_chain import WholeChain, chain_of_calls

        chain = chain_of_calls(self._plan, self._sampler)
        target = PlannedTarget(self._plan, answers.of_calls)
        yield chain.images()
        for step in self._plan.steps:
            if isinstance(chain, WholeChain) or not self._kept_here(step, chain, answers):
                chain.walk(target)
            yield chain.images()
            self._reached(step.name, chain.left)

    def _outputs(self, answers: Answers) -> Callable[[], None]:
        """Compute the outputs of a QNN, and return the function that writes them."""
        from .qnn_chain import QnnChain

        found = QnnChain(self._plan).ask(answers.of_calls)
        self._reached(self._plan.steps[0].name, 0)
        return partial(write_outputs, self._plan.folder, found)

    def _trained(self, answers: Answers) -> Callable[[], None]:
        """Train the model, and return the function that writes it."""
        from .call_chain import PlannedTarget
        from .training_chain import TrainingChain

        chain = TrainingChain(self._plan)
        target = PlannedTarget(self._plan, answers.of_calls)
        for step in self._plan.steps:
            chain.walk(target)
            self._reached(step.name, chain.left)
        return partial(write_trained, self._plan.folder, chain.files())

    def _reached(self, name: str, left: int) -> None:
        """Record that a step is done, unless it was before."""
        if self._state().step > left:
            reason = None if self._unfinished == "running" else self._state().reason
            self._ledger.set_run(self._plan.run_id, self._unfinished, step=left, reason=reason)
            self._files.note()
            self._run.tell(f"{name} done, {left} to go")

    def _finish(self, jobs: RunJobs, write: Callable[[], None]) -> None:
        plan = self._plan
        self._keep_session = False
        write()
        jobs.settle(wait=True)
        self._tell_clock(jobs.provider)
        self._ledger.release(plan.run_id)  # what a reused calibration or a retry left over
        self._ledger.set_run(plan.run_id, "done", step=0)
        write_manifest(self._run)
        self._files.note()
        self._files.recorded()

    def _finished(self) -> bool:
        results: tuple[str, ...] = (IMAGES, SAMPLES) if self._plan.qnn is None else (OUTPUTS,)
        if self._plan.training is not None:
            results = (TRAINING,)
        return self._files.complete and all(
            (self._plan.folder / name).exists() for name in (*results, MANIFEST)
        )

    def _settle_late(self) -> None:
        """Settle what was left when the run was done: costs not counted yet, a session not closed.

        Also the last look for jobs that were created twice (:meth:`.settlement.Settlement.settle`).
        """
        run_id = self._plan.run_id
        unsettled = self._ledger.unsettled(run_id)
        if self._plan.is_qpu:
            unsettled += self._ledger.to_look_again(run_id, self._settings.grace_seconds)
        if unsettled or any(row["run_id"] == run_id for row in self._ledger.sessions("open")):
            jobs = self._open(detach=True)  # what it leaves open is closed with it
            if unsettled:
                jobs.settle()  # all are looked at before one is waited for
                jobs.settle(wait=True)
                write_manifest(self._run)
                self._files.recorded((MANIFEST,))

    def _step_request(self, step: StepPlan) -> JobRequest:
        assert self._chain is not None
        assert self._chain.step == step.step
        # The engine runs no circuits: it draws from the exact distribution.
        exact = self._plan.target.partition(":")[0] == "engine"
        return self._parts.step(
            step,
            self._chain.values(),
            self._chain.exact_probabilities() if exact else None,
        )

    # -- around it ----------------------------------------------------------------------------

    def seconds_left(self) -> float | None:
        """Return the QPU seconds that the account may still use; None without a limit."""
        return self._open(detach=True).provider.seconds_left() if self._plan.is_qpu else None

    def _open(self, detach: bool) -> RunJobs:
        if self._jobs is not None:  # of this very process
            return self._jobs
        provider = open_provider(self._run, self._given, detach=detach)
        self._ledger.clock.follow(provider.service_time)
        self._jobs = RunJobs(self._run, provider)
        return self._jobs

    def _tell_clock(self, provider: Provider) -> None:
        """Say once that this machine's clock is wrong, as soon as the provider's is known."""
        wrong = self._ledger.clock.error()
        if wrong is not None and not self._clock_told:
            self._clock_told = True
            where = "ahead of" if wrong > 0 else "behind"
            self._run.tell(
                f"the clock of this machine is {abs(wrong):.0f} s {where} that of {provider.title}, "
                "which is taken"
            )

    def _reverse_chain(self) -> PlannedChain:
        if self._chain is None:
            self._chain = PlannedChain(self._plan)
        return self._chain

    def _check_options(self) -> None:
        """Refuse options that planning refuses now, and a device that is not the plan's."""
        ibm = self._plan.target.startswith("ibm:")
        self._plan.options.check_target(self._plan.target, is_qpu=ibm)
        if self._plan.is_qpu or self._plan.provider is not None:
            return
        device = parse_target(self._plan.target)
        if device.backend is not None:
            named_device(device.backend)

    def _check_policy(self) -> None:
        """Refuse a policy object that the plan has no place for, and a run that lacks its own."""
        record = self._plan.routing
        if self._routing is not None and (record is None or record.text != GIVEN):
            asked = "no routing policy" if record is None else f"the routing policy '{record.text}'"
            raise InvalidOption(
                f"The plan of run {self._plan.run_id} has {asked}; leave routing out, or plan with "
                "routing='given'."
            )
        if self._router is not None:
            self._router.check()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Record the reason of a stop; a failure is only what a resume cannot mend by itself."""
        run_id = self._plan.run_id
        try:
            yield
        except KeyboardInterrupt:
            self._ledger.event(run_id, "interrupted")
            raise
        except (JobFailed, InvalidData, CalibrationMismatch) as error:
            cancelled = isinstance(error, JobFailed) and error.cancelled
            self._ledger.set_run(run_id, "cancelled" if cancelled else "failed", reason=str(error))
            raise
        except QdmError as error:
            self._ledger.set_run(run_id, self._unfinished, reason=str(error))
            raise

    def _stay_cancelled(self, state: RunState) -> None:
        if state.state == "cancelled":
            self._unfinished = "cancelled"

    def _state(self) -> RunState:
        return self._ledger.run_state(self._plan.run_id)
