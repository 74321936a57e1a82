"""A run in the hands of one process: step by step through its reverse chain.

What was reached before is on disk, and is computed again rather than trusted to memory; so it does
not matter which process goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

import numpy as np

from ...errors import (
    BudgetExceeded,
    CalibrationMismatch,
    InvalidData,
    JobFailed,
    QdmError,
    SubmissionUncertain,
)
from ..ibm.execution_mode import Wanted
from ..ibm.provider import ServicePlace
from ..ibm.settings import ServiceSettings
from ..ledger.ledger import Ledger, RunState
from ..ledger.run_files import IMAGES, MANIFEST, SAMPLES, StoredCounts, counts_path, write_images
from ..ledger.schema import State
from ..plan.run_plan import RunPlan, StepPlan
from ..providers.base import Place, Report
from ..providers.local import LocalPlace
from ..providers.requests import JobRequest
from .calibrations import RunCalibrations
from .job_requests import RunParts
from .manifest import write_manifest
from .reverse_chain import PlannedChain, probabilities_of


@final
class DrivenRun:
    """A run that this process has locked.

    Args:
        plan: The run; its files are checked.
        ledger: Where everything is written down.
        settings: Limits and intervals of the service.
        report: Is told in words what happens.
    """

    def __init__(
        self, plan: RunPlan, ledger: Ledger, settings: ServiceSettings, report: Report
    ) -> None:
        self._plan = plan
        self._ledger = ledger
        self._settings = settings
        self._report = report
        self._parts = RunParts(plan, ledger)
        self._calibrations: RunCalibrations | None = None
        if plan.calibration is not None:
            self._calibrations = RunCalibrations(
                plan, plan.calibration, self._parts, ledger, report
            )
        self._place: Place | None = None
        self._chain: PlannedChain | None = None
        self._keep_session = False
        self._unfinished: State = "running"
        """What the run is while it is not done: a cancelled one stays so until it is resumed."""

    # -- what can be asked for ----------------------------------------------------------------

    def go(self, *, detach: bool) -> RunState:
        """Work through the chain, as far as it goes."""
        state = self._state()
        if state.state == "done" and self._finished():
            self._settle_late()
            return self._state()
        self._check_options()
        first_time = state.state == "planned"
        place = self._open(detach)
        place.settle()
        self._reserve(place, first_time)
        self._ledger.set_run(self._plan.run_id, "running")
        with self._failing():
            self._walk(place, detach)
        return self._state()

    def collect(self) -> RunState:
        """Fetch what has ended."""
        state = self._state()
        if state.state == "done" and self._finished():
            self._settle_late()
            return self._state()
        place = self._open(detach=True)
        self._keep_session = True  # its jobs may still wait in it
        self._stay_cancelled(state)
        place.settle()
        with self._failing():
            self._walk(place, detach=False, send=False)
        return self._state()

    def cancel(self) -> RunState:
        """Cancel what waits, release what is reserved.

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
        place = self._open(detach=True)
        with self._failing():
            found = place.cancel()
            place.settle(wait=True)
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

    def close(self) -> None:
        """Let go of the place; never raises but for Ctrl-C."""
        if self._place is not None:
            self._place.close(keep=self._keep_session)

    # -- the chain ----------------------------------------------------------------------------

    def _walk(self, place: Place, detach: bool, *, send: bool = True) -> None:
        """Step by step from x_T; what was collected before is only computed again."""
        plan, chain, calibrations = self._plan, self._reverse_chain(), self._calibrations
        if calibrations is not None:
            calibrations.complete(place)
        path = [chain.images()]
        for step in plan.steps:
            stored = self._parts.stored(step.name, step.rows, place)
            if stored is None and (detach or not send):
                stored = self._fetch_step(place, step)
                if stored is None:
                    self._stop_here(place, step, send=send)
                    return
            if stored is None:
                stored = self._obtain_step(place, step)
            calibration = None
            if calibrations is not None:
                at = stored.info.ran_at
                calibration = calibrations.obtain(place, at, send=send and not detach)
                if calibration is None:
                    self._stop_here(place, step, send=send)
                    return
            chain.advance(probabilities_of(plan, stored.counts[0], calibration))
            path.append(chain.images())
            if self._state().step > chain.step:
                reason = None if self._unfinished == "running" else self._state().reason
                self._ledger.set_run(plan.run_id, self._unfinished, step=chain.step, reason=reason)
                self._report(f"{step.name} done, {chain.step} to go")
        self._finish(place, path)

    def _finish(self, place: Place, path: list[np.ndarray]) -> None:
        plan = self._plan
        self._keep_session = False
        write_images(plan.folder, path[-1], path)
        place.settle(wait=True)
        self._ledger.release(plan.run_id)  # what a reused calibration or a retry left over
        self._ledger.set_run(plan.run_id, "done", step=0)
        write_manifest(plan, self._ledger)
        self._ledger.event(plan.run_id, "recorded")

    def _finished(self) -> bool:
        return all((self._plan.folder / name).exists() for name in (IMAGES, SAMPLES, MANIFEST))

    def _settle_late(self) -> None:
        """What was left when the run was done: costs not counted yet, a session not closed.

        Also the last look for jobs that were created twice (:meth:`.ServicePlace.settle`).
        """
        run_id = self._plan.run_id
        unsettled = self._ledger.unsettled(run_id)
        if self._plan.is_qpu:
            known_before = self._ledger.now() - self._settings.grace_seconds
            unsettled += self._ledger.to_look_again(run_id, known_before)
        if unsettled or any(row["run_id"] == run_id for row in self._ledger.sessions("open")):
            place = self._open(detach=True)  # what it leaves open is closed with it
            if unsettled:
                place.settle()  # all are looked at before one is waited for
                place.settle(wait=True)
                write_manifest(self._plan, self._ledger)

    def _obtain_step(self, place: Place, step: StepPlan) -> StoredCounts:
        if self._calibrations is not None:
            # Before the step, so that it is near in time.
            self._calibrations.obtain(place, None, send=True)
        return place.obtain(self._step_request(step))

    def _fetch_step(self, place: Place, step: StepPlan) -> StoredCounts | None:
        """A step's counts if its job has ended; also a calibration's, which may come first."""
        if self._calibrations is not None:
            self._calibrations.obtain(place, self._ledger.now(), send=False)
        return place.fetch(self._step_request(step))

    def _stop_here(self, place: Place, step: StepPlan, *, send: bool) -> None:
        """Send the one job that comes next unless it was sent, and wait for nothing.

        That is the calibration where there is none for now, or for the step's counts if they are
        here; else the step.
        """
        if not send:
            self._report(f"{step.name}: not finished yet")
            return
        self._keep_session = True
        stored = self._parts.stored(step.name, step.rows, place)
        at = self._ledger.now() if stored is None else stored.info.ran_at
        if self._calibrations is not None and self._calibrations.start(place, at):
            self._report("a calibration job is sent; `qdm run resume` goes on")
            return
        if stored is None:
            place.start(self._step_request(step))
        self._report(f"{step.name} is sent; `qdm run resume` goes on")

    def _step_request(self, step: StepPlan) -> JobRequest:
        assert self._chain is not None
        assert self._chain.step == step.step
        return self._parts.step(step, self._chain.values())

    # -- around it ----------------------------------------------------------------------------

    def _reserve(self, place: Place, first_time: bool) -> None:
        """Reserve for every job that has not been sent, all of them or none."""
        plan = self._plan
        parts = [
            (each.name, each.seconds, each.shots * each.rows)
            for each in plan.steps
            if not counts_path(plan.folder, each.name).exists()
        ]
        if self._calibrations is not None and parts:
            calibration = self._calibrations.to_reserve()
            parts += [] if calibration is None else [calibration]
        if first_time and isinstance(place, ServicePlace):
            left, needed = place.seconds_left(), sum(part[1] for part in parts)
            if left is not None and needed > left:
                raise BudgetExceeded(
                    f"IBM says that the account has {left:.6g} QPU seconds left, and run "
                    f"{plan.run_id} takes about {needed:.6g}; plan fewer shots or images, or wait."
                )
        place.reserve(parts)

    def _open(self, detach: bool) -> Place:
        plan = self._plan
        wanted: Wanted = plan.mode
        if detach and wanted == "auto":
            wanted = "job"  # a session that nobody feeds would cost time, or be closed
        if plan.is_qpu:
            self._place = ServicePlace(plan, self._ledger, self._settings, self._report, wanted)
        else:
            self._place = LocalPlace(plan, self._ledger, self._report, self._exact_counts)
        return self._place

    def _exact_counts(self, request: JobRequest) -> np.ndarray:
        return self._reverse_chain().exact_counts(request.shots)

    def _reverse_chain(self) -> PlannedChain:
        if self._chain is None:
            self._chain = PlannedChain(self._plan)
        return self._chain

    def _check_options(self) -> None:
        """Refuse what planning refuses now, in plans of earlier versions."""
        self._plan.options.check_target(self._plan.target, is_qpu=self._plan.is_qpu)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Record why a run stops; only what a resume cannot mend by itself counts as failed."""
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
