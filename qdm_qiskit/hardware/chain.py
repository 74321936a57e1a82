"""The whole life of a run: submit, resume, collect, cancel; step by step through the reverse chain.

The images of step t - 1 need the counts of step t, so one job follows the other. All that a run has
reached is on disk: its plan, the counts that have arrived, and the ledger. Whatever kills the
process, at whatever point, another one calls :func:`resume_run` and goes on there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import final

import numpy as np

from ..errors import (
    BudgetExceeded,
    CalibrationMismatch,
    InvalidData,
    InvalidOption,
    InvalidPlan,
    JobFailed,
    MissingData,
    QdmError,
)
from ..execution.counts import Pub
from ..mitigation.readout import ReadoutCalibration
from .calibration import calibration_of, check_calibration, reusable
from .ledger import FILE, Ledger, RunState
from .manifest import write_manifest
from .modes import Wanted
from .places import LocalPlace, Place, ServicePlace
from .plan import PLAN, CalibrationPlan, RunPlan, StepPlan, check_files, read_circuits, read_plan
from .record import (
    IMAGES,
    MANIFEST,
    SAMPLES,
    StoredCounts,
    calibration_for,
    calibration_names,
    counts_path,
    nonce,
    read_calibrations,
    read_counts,
    write_calibration,
    write_images,
)
from .reverse import PlannedChain, probabilities_of
from .service import Report, silent
from .settings import ServiceSettings, read_settings
from .submit import JobRequest


def submit_run(
    plan_path: Path,
    *,
    detach: bool = False,
    report: Report | None = None,
    settings: ServiceSettings | None = None,
) -> RunState:
    """Send a planned run and work through its chain; a run that was begun goes on.

    Args:
        plan_path: ``plan.json``, or the run's folder.
        detach: Return when the first job is sent.
        report: Is told in words what happens.
        settings: Limits and intervals; by default those of the root's ``service.json``.

    Returns:
        Where the run stands.

    Raises:
        InvalidPlan: If the plan or a file of it was changed.
        BudgetExceeded: If the budget, or the account, does not allow the whole run.
        ServiceUnavailable, SubmissionUncertain: If the service refuses or does not answer; the run
            can be resumed.
        JobFailed: If a job ended without counts; the run can be resumed, which sends it again.
        LedgerBusy: If another process drives this run.
    """
    plan = _plan(plan_path)
    with _driven(plan, report, settings) as run:
        return run.go(detach=detach)


def resume_run(
    root: Path,
    run_id: str,
    *,
    detach: bool = False,
    report: Report | None = None,
    settings: ServiceSettings | None = None,
) -> RunState:
    """Go on with a run that was begun, in any process.

    Args:
        root: Folder of all runs.
        run_id: The run.
        detach, report, settings: As for :func:`submit_run`.

    Returns, raises:
        As :func:`submit_run`; also MissingData if the run was never submitted.
    """
    plan = _plan(root / run_id)
    if run_state(root, run_id).state == "planned":
        raise MissingData(f"Run {run_id} was not submitted yet; `qdm run submit {run_id} --yes`.")
    with _driven(plan, report, settings) as run:
        return run.go(detach=detach)


def collect_run(
    root: Path,
    run_id: str,
    *,
    report: Report | None = None,
    settings: ServiceSettings | None = None,
) -> RunState:
    """Fetch what has ended and record what it cost; sends no job and waits for none.

    Args, returns, raises:
        As for :func:`resume_run`.
    """
    plan = _plan(root / run_id)
    if run_state(root, run_id).state == "planned":
        raise MissingData(f"Run {run_id} was not submitted yet; there is nothing to collect.")
    with _driven(plan, report, settings) as run:
        return run.collect()


def cancel_run(
    root: Path,
    run_id: str,
    *,
    report: Report | None = None,
    settings: ServiceSettings | None = None,
) -> RunState:
    """Cancel the jobs of a run and give back what is reserved for the rest of it.

    Counts that have arrived stay, and the run can be resumed.

    Args, returns, raises:
        As for :func:`resume_run`.
    """
    plan = _plan(root / run_id)
    run_state(root, run_id)
    with _driven(plan, report, settings) as run:
        return run.cancel()


def run_state(root: Path, run_id: str) -> RunState:
    """Where a run stands, from the ledger alone.

    Raises:
        MissingData: If the ledger does not know the run.
    """
    if not list(root.glob(f"{FILE}*")):
        raise MissingData(f"There is no ledger in {root}, and so no run '{run_id}'.")
    ledger = Ledger.open_to_read(root)
    try:
        return ledger.run_state(run_id)
    finally:
        ledger.close()


@contextmanager
def _driven(
    plan: RunPlan, report: Report | None, settings: ServiceSettings | None
) -> Iterator[_Run]:
    """The run, with its ledger open and locked against other processes."""
    say = report or silent
    root = plan.folder.parent
    settings = settings or read_settings(root)
    ledger = Ledger.open(root)
    try:
        for notice in ledger.notices:
            say(notice)
        ledger.add_run(
            plan.run_id,
            plan_sha256=plan.content_sha256,
            budget=plan.budget,
            total_steps=plan.num_steps,
            seconds_estimated=plan.total_seconds,
        )
        with ledger.run_lock(plan.run_id):
            for left in plan.folder.rglob(".part-*"):
                left.unlink(missing_ok=True)  # of a process that died while it wrote a file
            run = _Run(plan, ledger, settings, say)
            try:
                yield run
            finally:
                run.close()
    finally:
        ledger.close()


@final
class _Run:
    """A run in the hands of one process."""

    def __init__(
        self, plan: RunPlan, ledger: Ledger, settings: ServiceSettings, report: Report
    ) -> None:
        self._plan = plan
        self._ledger = ledger
        self._settings = settings
        self._report = report
        self._nonce = nonce(plan.folder)
        self._place: Place | None = None
        self._chain: PlannedChain | None = None
        self._keep_session = False
        check_files(plan)
        self._circuit, self._calibration_circuits = read_circuits(plan)

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
        place.settle()
        with self._failing():
            self._walk(place, detach=False, send=False)
        return self._state()

    def cancel(self) -> RunState:
        """Cancel what waits, release what is reserved."""
        state = self._state()
        if state.state == "done":
            return state
        if state.state == "planned" and not self._ledger.intentions(self._plan.run_id):
            self._ledger.release(self._plan.run_id)
            self._ledger.set_run(self._plan.run_id, "failed", reason="cancelled before it was sent")
            return self._state()
        place = self._open(detach=True)
        cancelled = place.cancel()
        place.settle(wait=True)
        self._ledger.release(self._plan.run_id)
        reason = f"cancelled, {len(cancelled)} job(s) with it"
        self._ledger.set_run(self._plan.run_id, "failed", reason=reason)
        return self._state()

    def close(self) -> None:
        """Let go of the place; never raises but for Ctrl-C."""
        if self._place is not None:
            self._place.close(keep=self._keep_session)

    # -- the chain ----------------------------------------------------------------------------

    def _walk(self, place: Place, detach: bool, *, send: bool = True) -> None:
        """Step by step from x_T; what was collected before is only computed again."""
        plan, chain = self._plan, self._reverse_chain()
        if plan.calibration is not None:
            self._complete_calibrations(plan.calibration)
        path = [chain.images()]
        for step in plan.steps:
            stored = self._stored(step.name, step.rows)
            if stored is None and (detach or not send):
                stored = self._fetch_step(place, step)
                if stored is None:
                    self._stop_here(place, step, send=send)
                    return
            if stored is None:
                stored = self._obtain_step(place, step)
            calibration = self._calibration(place, stored.info.ran_at, send=send and not detach)
            if plan.calibration is not None and calibration is None:
                self._stop_here(place, step, send=send)
                return
            chain.advance(probabilities_of(plan, stored.counts[0], calibration))
            path.append(chain.images())
            if self._state().step > chain.step:
                self._ledger.set_run(plan.run_id, "running", step=chain.step)
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
        """What was left when the run was done: costs not counted yet, a session not closed."""
        run_id = self._plan.run_id
        unsettled = self._ledger.unsettled(run_id)
        if unsettled or any(row["run_id"] == run_id for row in self._ledger.sessions("open")):
            place = self._open(detach=True)  # what it leaves open is closed with it
            if unsettled:
                place.settle()  # all are looked at before one is waited for
                place.settle(wait=True)
                write_manifest(self._plan, self._ledger)

    def _obtain_step(self, place: Place, step: StepPlan) -> StoredCounts:
        if self._plan.calibration is not None:
            # Before the step, so that it is near in time.
            self._calibration(place, self._ledger.now(), send=True)
        return place.obtain(self._step_request(step))

    def _fetch_step(self, place: Place, step: StepPlan) -> StoredCounts | None:
        """A step's counts if its job has ended; also a calibration's, which may come first."""
        if self._plan.calibration is not None:
            self._calibration(place, self._ledger.now(), send=False)
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
        wanted, stored = self._plan.calibration, self._stored(step.name, step.rows)
        at = self._ledger.now() if stored is None else stored.info.ran_at
        if wanted is not None and self._fresh(at) is None:
            if self._take_over(wanted) is None:
                place.start(self._calibration_request(place, wanted))
                self._report("a calibration job is sent; `qdm run resume` goes on")
                return
        if stored is None:
            place.start(self._step_request(step))
        self._report(f"{step.name} is sent; `qdm run resume` goes on")

    def _step_request(self, step: StepPlan) -> JobRequest:
        assert self._chain is not None
        assert self._chain.step == step.step
        return self._request(step.name, [(self._circuit, self._chain.values())], step.shots)

    def _request(self, part: str, pubs: list[Pub], shots: int) -> JobRequest:
        plan = self._plan
        return JobRequest(
            run_id=plan.run_id,
            part=part,
            pubs=pubs,
            shots=shots,
            options=plan.options,
            backend=plan.backend,
            nonce=self._nonce,
        )

    def _stored(self, part: str, rows: int) -> StoredCounts | None:
        """Counts of an earlier process; the ledger is told if it died before that."""
        stored = read_counts(counts_path(self._plan.folder, part))
        if stored is None:
            return None
        width = 1 << self._plan.circuit.qubits
        if part.startswith("step-") and stored.counts[0].shape != (rows, width):
            raise InvalidData(
                f"The counts of {part} of run {self._plan.run_id} have the shape "
                f"{stored.counts[0].shape}, not {(rows, width)}; move the file away and resume."
            )
        known = {each.tag: each for each in self._ledger.intentions(self._plan.run_id)}
        intention = known.get(stored.info.tag)
        if intention is not None and intention.state == "submitted":
            path = counts_path(self._plan.folder, part).relative_to(self._plan.folder)
            self._ledger.collected(intention.tag, str(path))
            assert self._place is not None
            self._place.settle()
        return stored

    # -- calibration --------------------------------------------------------------------------

    def _calibration(self, place: Place, at: float, *, send: bool) -> ReadoutCalibration | None:
        """The calibration for counts of a time; taken over or taken anew where there is none."""
        wanted = self._plan.calibration
        if wanted is None:
            return None
        self._complete_calibrations(wanted)
        found = self._fresh(at)
        age = self._ledger.now() - at
        if found is None and age > wanted.ttl_seconds:
            raise CalibrationMismatch(
                f"Counts of run {self._plan.run_id} are {age / 3600:.1f} h old and no readout "
                f"calibration was taken within {wanted.ttl_seconds / 3600:.1f} h of them, so a new "
                "one would be stale for them; plan with a longer --calibration-hours."
            )
        if found is None:
            found = self._take_over(wanted) if send else None
        if found is None:
            found = self._take(place, wanted, send=send)
        if found is not None:
            check_calibration(
                found,
                backend=self._plan.backend,
                qubits=self._plan.circuit.measured_qubits,
                ttl_seconds=wanted.ttl_seconds,
                at=at,
            )
        return found

    def _fresh(self, at: float) -> ReadoutCalibration | None:
        wanted = self._plan.calibration
        assert wanted is not None
        found = read_calibrations(self._plan.folder)
        name = calibration_for(found, at, wanted.ttl_seconds)
        return None if name is None else found[name]

    def _take_over(self, wanted: CalibrationPlan) -> ReadoutCalibration | None:
        """A calibration of another run that is still good; copied into this run's record."""
        if self._open_calibration() is not None:
            return None  # one of our own is on its way, and paid
        found = reusable(self._ledger, self._plan, wanted, self._ledger.now())
        if found is None:
            return None
        calibration, path = found
        write_calibration(self._plan.folder, self._next_calibration(), calibration)
        self._ledger.event(self._plan.run_id, "calibration-reused", path=path)
        self._report(f"readout calibration of {calibration.taken_at} used again")
        return calibration

    def _take(
        self, place: Place, wanted: CalibrationPlan, *, send: bool
    ) -> ReadoutCalibration | None:
        if not send and self._open_calibration() is None:
            return None
        request = self._calibration_request(place, wanted)
        if send:
            self._report(f"{request.part}: calibrating the readout")
            place.obtain(request)
        elif place.fetch(request) is None:
            return None
        self._complete_calibrations(wanted)
        return read_calibrations(self._plan.folder).get(request.part)

    def _calibration_request(self, place: Place, wanted: CalibrationPlan) -> JobRequest:
        part = self._open_calibration() or self._next_calibration()
        place.reserve([(part, wanted.seconds, wanted.shots * wanted.circuits)])
        nothing = np.zeros((1, 0))
        pubs: list[Pub] = [(circuit, nothing) for circuit in self._calibration_circuits]
        return self._request(part, pubs, wanted.shots)

    def _complete_calibrations(self, wanted: CalibrationPlan) -> None:
        """Make calibrations of counts that have arrived, also in an earlier process."""
        folder = self._plan.folder
        for path in sorted(folder.glob("calibration-[0-9][0-9][0-9][0-9].npz")):
            stored = self._stored(path.stem, 1)
            assert stored is not None
            calibration = calibration_of(self._plan, wanted, stored.counts, stored.info.ran_at)
            write_calibration(folder, path.stem, calibration)
            self._ledger.add_calibration(
                target=self._plan.target,
                backend=calibration.backend,
                qubits=calibration.qubits,
                method=calibration.method,
                shots=calibration.shots,
                taken_at=stored.info.ran_at,
                run_id=self._plan.run_id,
                job_id=stored.info.job_id,
                path=f"{self._plan.run_id}/{path.stem}.json",
            )

    def _open_calibration(self) -> str | None:
        """A calibration that was sent, or is about to be, and whose counts are not here."""
        have = set(calibration_names(self._plan.folder))
        for intention in reversed(self._ledger.intentions(self._plan.run_id)):
            if intention.part.startswith("calibration-") and intention.part not in have:
                return intention.part
        return None

    def _next_calibration(self) -> str:
        return f"calibration-{len(calibration_names(self._plan.folder)) + 1:04d}"

    # -- around it ----------------------------------------------------------------------------

    def _reserve(self, place: Place, first_time: bool) -> None:
        """Reserve for every job that has not been sent, all of them or none."""
        plan = self._plan
        parts = [
            (each.name, each.seconds, each.shots * each.rows)
            for each in plan.steps
            if not counts_path(plan.folder, each.name).exists()
        ]
        wanted = plan.calibration
        if wanted is not None and parts and not calibration_names(plan.folder):
            if reusable(self._ledger, plan, wanted, self._ledger.now()) is None:
                part = (self._next_calibration(), wanted.seconds, wanted.shots * wanted.circuits)
                parts.append(part)
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
        """Options that would be left out silently are refused."""
        plan = self._plan
        if not plan.is_qpu and dataclasses.asdict(plan.options) != dataclasses.asdict(
            type(plan.options)()
        ):
            raise InvalidOption(
                f"Target '{plan.target}' simulates without decoupling, twirling, repetition delays "
                "or time limits; plan with an ibm: target, or without these options."
            )

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
            self._ledger.set_run(run_id, "failed", reason=str(error))
            raise
        except QdmError as error:
            self._ledger.set_run(run_id, "running", reason=str(error))
            raise

    def _state(self) -> RunState:
        return self._ledger.run_state(self._plan.run_id)


def _plan(path: Path) -> RunPlan:
    plan = read_plan(path)
    if plan.folder.resolve().name != plan.run_id:
        raise InvalidPlan(
            f"Run {plan.run_id} lies in a folder of another name, {plan.folder}; its folder and "
            f"{PLAN} belong together."
        )
    return dataclasses.replace(plan, folder=plan.folder.resolve())
