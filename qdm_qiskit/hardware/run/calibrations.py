"""Readout calibrations of one run: completed, taken over from another run, or taken anew.

A calibration serves all counts that were taken near enough to it in time. One whose job was sent is
always finished before another one is begun.
"""

from __future__ import annotations

from typing import final

from ...errors import CalibrationMismatch
from ...mitigation.readout import ReadoutCalibration
from ..ledger.run_files import (
    calibration_for,
    calibration_names,
    read_calibrations,
    write_calibration,
)
from ..plan.calibration_reuse import calibration_of, check_calibration, reusable
from ..plan.run_plan import CalibrationPlan
from ..providers.context import RunContext
from ..providers.jobs import RunJobs
from ..providers.requests import JobRequest
from .job_requests import RunParts

__all__ = [
    "RunCalibrations",
]


@final
class RunCalibrations:
    """The calibrations of a run that is mitigated by M3.

    Args:
        run: The run.
        wanted: Its calibration: method, shots, time to live.
        parts: Requests and counts of the run.
    """

    def __init__(self, run: RunContext, wanted: CalibrationPlan, parts: RunParts) -> None:
        self._run = run
        self._wanted = wanted
        self._parts = parts

    def obtain(self, jobs: RunJobs, at: float | None, *, send: bool) -> ReadoutCalibration | None:
        """Return the calibration for counts of a time; take one over or anew where there is none.

        One that was sent earlier may come back too old; then one more is taken, and no third. The
        first costs nothing any more, so it is looked at before counts are given up as too old.

        Args:
            jobs: The run's jobs.
            at: Time of the counts, since 1970; None if they are about to be taken, as soon as
                the calibration is here.
            send: True if a job may be sent and waited for; else only a sent one is looked at.

        Returns:
            The calibration; None if nothing may be sent and none is here yet, or only a stale one.

        Raises:
            CalibrationMismatch: If none belongs to the counts, nor could; or if a new one is too
                old when it comes back.
        """
        self.complete(jobs)
        found = self._fresh(at)
        if found is None and self._open() is not None:
            taken = self._take(jobs, send=send)
            if taken is None:
                return None
            found = self._fresh(at)
            if found is None:
                self._run.tell(
                    f"the readout calibration of {taken.taken_at} came back too old for the counts;"
                    " another one is needed; resume sooner, or plan with a longer "
                    "calibration_ttl_seconds (`qdm run plan --calibration-hours`)"
                )
        if found is None:
            self._check_age(at)
            found = self._renew(jobs, at) if send else None
        return found

    def _renew(self, jobs: RunJobs, at: float | None) -> ReadoutCalibration:
        """Return a calibration of another run, or a new one, which is waited for."""
        if self._take_over() is None:
            self._take(jobs, send=True)
        found = self._fresh(at)
        if found is None:
            self._check_age(at)
            raise CalibrationMismatch(
                f"A new readout calibration of run {self._run.plan.run_id} was older than its time to "
                f"live of {self._wanted.ttl_seconds / 3600:.3g} h when it came back; plan with a "
                "longer calibration_ttl_seconds (`qdm run plan --calibration-hours`), or resume when "
                "the queue is shorter."
            )
        return found

    def start(self, jobs: RunJobs, at: float) -> bool:
        """Send a calibration's job and wait for nothing; False if counts of a time need none.

        True also where the account may have no more jobs for now; the run is told that.
        """
        if self._fresh(at) is not None or self._take_over() is not None:
            return False
        if jobs.start(self._request(jobs)):
            self._run.tell("a calibration job is sent; `qdm run resume` goes on")
        return True

    def complete(self, jobs: RunJobs) -> None:
        """Make calibrations of counts that have arrived, also in an earlier process."""
        folder = self._run.plan.folder
        for path in sorted(folder.glob("calibration-[0-9][0-9][0-9][0-9].npz")):
            stored = self._parts.stored(path.stem, None, jobs.settle)
            assert stored is not None
            calibration = calibration_of(
                self._run.plan, self._wanted, stored.counts, stored.info.ran_at
            )
            write_calibration(folder, path.stem, calibration)
            self._run.ledger.add_calibration(
                target=self._run.plan.target,
                backend=calibration.backend,
                qubits=calibration.qubits,
                method=calibration.method,
                shots=calibration.shots,
                taken_at=stored.info.ran_at,
                run_id=self._run.plan.run_id,
                job_id=stored.info.job_id,
                path=f"{self._run.plan.run_id}/{path.stem}.json",
            )

    def to_reserve(self) -> tuple[str, float, int] | None:
        """Return part, seconds and shots of the first calibration if the run has to take it itself."""
        wanted = self._wanted
        if calibration_names(self._run.plan.folder):
            return None
        if reusable(self._run.ledger, self._run.plan, wanted, self._run.ledger.now()) is not None:
            return None
        return self._next(), wanted.seconds, wanted.shots * wanted.circuits

    def _fresh(self, at: float | None) -> ReadoutCalibration | None:
        """Return the run's own calibration for counts of a time; None if there is none near enough."""
        time, ttl = self._time(at), self._wanted.ttl_seconds
        found = read_calibrations(self._run.plan.folder, self._wanted.correction)
        name = calibration_for(found, time, ttl)
        if name is None:
            return None
        check_calibration(
            found[name],
            backend=self._run.plan.backend,
            qubits=self._run.plan.measured_qubits,
            ttl_seconds=ttl,
            at=time,
        )
        return found[name]

    def _time(self, at: float | None) -> float:
        return self._run.ledger.now() if at is None else at

    def _check_age(self, at: float | None) -> None:
        """Refuse counts that no calibration can serve any more."""
        ttl, age = self._wanted.ttl_seconds, self._run.ledger.now() - self._time(at)
        if age > ttl:
            raise CalibrationMismatch(
                f"Counts of run {self._run.plan.run_id} are {age / 3600:.3g} h old and no readout "
                f"calibration was taken within {ttl / 3600:.3g} h of them, so a new one would be "
                "stale for them; plan with a longer calibration_ttl_seconds (`qdm run plan "
                "--calibration-hours`)."
            )

    def _take_over(self) -> ReadoutCalibration | None:
        """Return a good calibration of another run, copied into this run's record."""
        if self._open() is not None:
            return None  # one of our own is on its way, and paid
        found = reusable(self._run.ledger, self._run.plan, self._wanted, self._run.ledger.now())
        if found is None:
            return None
        calibration, path = found
        write_calibration(self._run.plan.folder, self._next(), calibration)
        self._run.ledger.event(self._run.plan.run_id, "calibration-reused", path=path)
        self._run.tell(f"readout calibration of {calibration.taken_at} used again")
        return calibration

    def _take(self, jobs: RunJobs, *, send: bool) -> ReadoutCalibration | None:
        if not send and self._open() is None:
            return None
        request = self._request(jobs)
        if send:
            self._run.tell(f"{request.part}: calibrating the readout")
            jobs.obtain(request)
        elif jobs.fetch(request) is None:
            return None
        self.complete(jobs)
        return read_calibrations(self._run.plan.folder, self._wanted.correction).get(request.part)

    def _request(self, jobs: RunJobs) -> JobRequest:
        wanted = self._wanted
        part = self._open() or self._next()
        jobs.reserve([(part, wanted.seconds, wanted.shots * wanted.circuits)])
        return self._parts.calibration(part, wanted)

    def _open(self) -> str | None:
        """Return a calibration that was sent, or is about to be, and whose counts are not here.

        One that failed, was cancelled or was never created brings none, and holds up no other.
        """
        have = set(calibration_names(self._run.plan.folder))
        for intention in reversed(self._run.ledger.intentions(self._run.plan.run_id)):
            if intention.state in ("failed", "dropped") or intention.part in have:
                continue
            if intention.part.startswith("calibration-"):
                return intention.part
        return None

    def _next(self) -> str:
        return f"calibration-{len(calibration_names(self._run.plan.folder)) + 1:04d}"
