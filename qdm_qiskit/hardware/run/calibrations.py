"""Readout calibrations of one run: completed, taken over from another run, or taken anew.

A calibration serves all counts that were taken near enough to it in time. One whose job was sent is
always finished before another one is begun. Runs that need the same one at the same time take one: who
claims it first in the ledger takes it, and the others wait.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Generic, Protocol, TypeVar, final

from ...errors import CalibrationMismatch
from ...mitigation.readout import ReadoutCalibration
from ..ledger.run_files import (
    StoredCounts,
    Timed,
    calibration_for,
    calibration_names,
    read_calibrations,
    write_calibration,
)
from ..plan.calibration_reuse import calibration_of, check_calibration, reusable
from ..plan.run_plan import CalibrationPlan
from ..providers.context import RunContext
from ..providers.requests import JobRequest, RunRequest
from .job_requests import RunParts

__all__ = [
    "PaidJobs",
    "Record",
    "RunCalibrations",
    "RunRecords",
]

Record = TypeVar("Record", bound=Timed)


class PaidJobs(Protocol):
    """What these jobs need of all jobs of a run; ``RunJobs`` has it."""

    def start(self, request: RunRequest) -> bool:
        """Send a job whose seconds are reserved, unless it was sent."""

    def obtain(self, request: RunRequest) -> StoredCounts:
        """Return the counts of a job, and send it first if it was not sent."""

    def fetch(self, request: RunRequest) -> StoredCounts | None:
        """Return the counts of a job that was sent; None if it was not."""

    def settle(self, *, wait: bool = False) -> None:
        """Settle what was reserved with what was charged."""

    def reserve(self, parts: list[tuple[str, float, int]]) -> None:
        """Reserve seconds and shots of parts, all or none."""


class RunRecords(ABC, Generic[Record]):
    """Records of a run that are measured once and serve until they are stale.

    Args:
        run: The run.
        parts: Requests and counts of the run.
    """

    kind: ClassVar[str]
    """First word of its parts and files, as in ``calibration-0001``."""
    words: ClassVar[str]
    """Name in messages."""

    def __init__(self, run: RunContext, parts: RunParts) -> None:
        self._run = run
        self._parts = parts

    def obtain(self, jobs: PaidJobs, at: float | None, *, send: bool) -> Record | None:
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
                    f"the {self.words} of {taken.taken_at} came back too old for the counts;"
                    " another one is needed; resume sooner, or plan with a longer "
                    "calibration_ttl_seconds (`qdm run plan --calibration-hours`)"
                )
        if found is None:
            self._check_age(at)
            found = self._renew(jobs, at) if send else None
        return found

    def _renew(self, jobs: PaidJobs, at: float | None) -> Record:
        """Return a calibration of another run, or a new one, which is waited for."""
        if self._take_over() is None and self._wait_for_another() is None:
            self._take(jobs, send=True)
        found = self._fresh(at)
        if found is None:
            self._check_age(at)
            raise CalibrationMismatch(
                f"A new {self.words} of run {self._run.plan.run_id} was older than its time to "
                f"live of {self._ttl_seconds / 3600:.3g} h when it came back; plan with a "
                "longer calibration_ttl_seconds (`qdm run plan --calibration-hours`), or resume when "
                "the queue is shorter."
            )
        return found

    def start(self, jobs: PaidJobs, at: float) -> bool:
        """Send a calibration's job and wait for nothing; False if counts of a time need none.

        True also where the account may have no more jobs for now; the run is told that.
        """
        if self._fresh(at) is not None or self._take_over() is not None:
            return False
        owner = self._claimed_by_another()
        if owner is not None:
            self._run.tell(f"run {owner} takes the {self.words}; `qdm run resume` goes on with it")
        elif jobs.start(self._request(jobs)):
            self._run.tell(f"a {self.kind} job is sent; `qdm run resume` goes on")
        return True

    def _claimed_by_another(self) -> str | None:
        """Return the run that takes what this one needs, driven by a process; None if it is for us.

        One of our own that is on its way is paid, and is not given up for another's.
        """
        if self._open() is not None:
            return None
        ledger, run_id = self._run.ledger, self._run.plan.run_id
        dead: set[str] = set()
        while True:
            owner = ledger.claim(run_id, *self._claim(), dead)
            if owner is None or ledger.is_driven(owner):
                return owner
            dead.add(owner)

    def _wait_for_another(self) -> Record | None:
        """Wait for a run that takes what this one needs; None if this one is to take it.

        That is so as soon as the other has ended without it, and after the root's
        ``calibration_wait_seconds``.
        """
        most = self._run.settings.calibration_wait_seconds
        end, pause, told = time.monotonic() + most, 0.05, ""
        while (owner := self._claimed_by_another()) is not None:
            if owner != told:
                self._run.tell(
                    f"waiting for the {self.words} that run {owner} takes, {most:g} s at most"
                )
                told = owner
            if time.monotonic() >= end:
                self._run.tell(
                    f"run {owner} has no {self.words} after {most:g} s; taking another one"
                )
                return None
            time.sleep(min(pause, max(0.0, end - time.monotonic())))
            pause = min(1.0, 1.5 * pause)
            found = self._take_over()
            if found is not None:
                return found
        # Who had it may have ended with it between our last two looks.
        found = self._take_over()
        if told and found is None:
            self._run.tell(f"run {told} has ended without a {self.words}; taking it here")
        return found

    def complete(self, jobs: PaidJobs, *, send: bool = False) -> None:
        """Make calibrations of counts that have arrived, also in an earlier process.

        Args:
            jobs: The run's jobs.
            send: True if what they need besides may be sent and waited for.
        """
        folder = self._run.plan.folder
        done = 0
        for path in sorted(folder.glob(f"{self.kind}-[0-9][0-9][0-9][0-9].npz")):
            stored = self._parts.stored(path.stem, None, jobs.settle)
            assert stored is not None
            done += self._made(jobs, path.stem, stored, send=send)
        if done:
            self._let_go()

    def _let_go(self) -> None:
        """Let go of what this run has claimed, as it is in the ledger for all."""
        if self._run.ledger.has_claims(self._run.plan.run_id):
            self._run.ledger.end_claims(self._run.plan.run_id, self._claim()[0])

    def to_reserve(self) -> tuple[str, float, int] | None:
        """Return part, seconds and shots of the first calibration if the run has to take it itself."""
        if calibration_names(self._run.plan.folder, self.kind):
            return None
        if self._of_another_run() is not None or self._claimed_by_another() is not None:
            return None
        # Who had claimed it may have ended with it between these two looks.
        return None if self._of_another_run() is not None else (self._next(), *self._price())

    def _fresh(self, at: float | None) -> Record | None:
        """Return the run's own calibration for counts of a time; None if there is none near enough."""
        moment = self._time(at)
        found = self._records()
        name = calibration_for(found, moment, self._ttl_seconds)
        if name is None:
            return None
        self._check(found[name], moment)
        return found[name]

    def _time(self, at: float | None) -> float:
        return self._run.ledger.now() if at is None else at

    def _check_age(self, at: float | None) -> None:
        """Refuse counts that no calibration can serve any more."""
        ttl, age = self._ttl_seconds, self._run.ledger.now() - self._time(at)
        if age > ttl:
            raise CalibrationMismatch(
                f"Counts of run {self._run.plan.run_id} are {age / 3600:.3g} h old and no "
                f"{self.words} was taken within {ttl / 3600:.3g} h of them, so a new one would be "
                "stale for them; plan with a longer calibration_ttl_seconds (`qdm run plan "
                "--calibration-hours`)."
            )

    def _take_over(self) -> Record | None:
        """Return a good calibration of another run, copied into this run's record."""
        if self._open() is not None:
            return None  # one of our own is on its way, and paid
        found = self._of_another_run()
        if found is None:
            return None
        calibration, path = found
        self._write(self._next(), calibration)
        self._run.ledger.event(self._run.plan.run_id, f"{self.kind}-reused", path=path)
        self._let_go()
        self._run.tell(f"{self.words} of {calibration.taken_at} used again")
        return calibration

    def _take(self, jobs: PaidJobs, *, send: bool) -> Record | None:
        if not send and self._open() is None:
            return None
        request = self._request(jobs)
        if send:
            self._run.tell(f"{request.part}: {self._doing()}")
            jobs.obtain(request)
        elif jobs.fetch(request) is None:
            return None
        self.complete(jobs, send=send)
        return self._records().get(request.part)

    def _request(self, jobs: PaidJobs) -> JobRequest:
        part = self._open() or self._next()
        jobs.reserve([(part, *self._price())])
        return self._job(part)

    def _open(self) -> str | None:
        """Return a calibration that was sent, or is about to be, and whose counts are not here.

        One that failed, was cancelled or was never created brings none, and holds up no other.
        """
        have = set(calibration_names(self._run.plan.folder, self.kind))
        for intention in reversed(self._run.ledger.intentions(self._run.plan.run_id)):
            if intention.state in ("failed", "dropped") or intention.part in have:
                continue
            if intention.part.startswith(f"{self.kind}-"):
                return intention.part
        return None

    def _next(self) -> str:
        return f"{self.kind}-{len(calibration_names(self._run.plan.folder, self.kind)) + 1:04d}"

    # -- what is a kind's own -----------------------------------------------------------------

    @property
    @abstractmethod
    def _ttl_seconds(self) -> float:
        """Age at which it is stale."""

    @abstractmethod
    def _records(self) -> Mapping[str, Record]:
        """Return those of the run's folder, by name."""

    @abstractmethod
    def _check(self, record: Record, at: float) -> None:
        """Refuse one that does not belong to counts of a time."""

    @abstractmethod
    def _of_another_run(self) -> tuple[Record, str] | None:
        """Return one of another run that serves now, with its path relative to the root."""

    @abstractmethod
    def _write(self, name: str, record: Record) -> None:
        """Write it to the run's folder."""

    @abstractmethod
    def _made(self, jobs: PaidJobs, name: str, stored: StoredCounts, *, send: bool) -> bool:
        """Make one of its counts, write it and tell the ledger; False if something is missing."""

    @abstractmethod
    def _price(self) -> tuple[float, int]:
        """Return QPU seconds and shots of taking one."""

    @abstractmethod
    def _job(self, part: str) -> JobRequest:
        """Return the job that takes one."""

    @abstractmethod
    def _claim(self) -> tuple[str, Sequence[str], int]:
        """Return what is claimed in the ledger: kind, target and method; what it covers; shots."""

    def _doing(self) -> str:
        return f"taking the {self.words}"


@final
class RunCalibrations(RunRecords[ReadoutCalibration]):
    """The calibrations of a run that is mitigated by M3.

    Args:
        run: The run.
        wanted: Its calibration: method, shots, time to live.
        parts: Requests and counts of the run.
    """

    kind = "calibration"
    words = "readout calibration"

    def __init__(self, run: RunContext, wanted: CalibrationPlan, parts: RunParts) -> None:
        super().__init__(run, parts)
        self._wanted = wanted

    @property
    def _ttl_seconds(self) -> float:
        return self._wanted.ttl_seconds

    def _records(self) -> Mapping[str, ReadoutCalibration]:
        return read_calibrations(self._run.plan.folder, self._wanted.correction)

    def _check(self, record: ReadoutCalibration, at: float) -> None:
        check_calibration(
            record,
            backend=self._run.plan.backend,
            qubits=self._run.plan.measured_qubits,
            ttl_seconds=self._wanted.ttl_seconds,
            at=at,
        )

    def _of_another_run(self) -> tuple[ReadoutCalibration, str] | None:
        return reusable(self._run.ledger, self._run.plan, self._wanted, self._run.ledger.now())

    def _write(self, name: str, record: ReadoutCalibration) -> None:
        write_calibration(self._run.plan.folder, name, record)

    def _made(self, jobs: PaidJobs, name: str, stored: StoredCounts, *, send: bool) -> bool:
        calibration = calibration_of(
            self._run.plan, self._wanted, stored.counts, stored.info.ran_at
        )
        write_calibration(self._run.plan.folder, name, calibration)
        self._run.ledger.add_calibration(
            target=self._run.plan.target,
            backend=calibration.backend,
            qubits=calibration.qubits,
            method=calibration.method,
            shots=calibration.shots,
            taken_at=stored.info.ran_at,
            run_id=self._run.plan.run_id,
            job_id=stored.info.job_id,
            path=f"{self._run.plan.run_id}/{name}.json",
        )
        return True

    def _price(self) -> tuple[float, int]:
        return self._wanted.seconds, self._wanted.shots * self._wanted.circuits

    def _job(self, part: str) -> JobRequest:
        return self._parts.calibration(part, self._wanted)

    def _claim(self) -> tuple[str, Sequence[str], int]:
        plan, wanted = self._run.plan, self._wanted
        what = f"readout {wanted.method} {plan.target}"
        return what, [str(q) for q in plan.measured_qubits], wanted.shots * wanted.circuits

    def _doing(self) -> str:
        return "calibrating the readout"
