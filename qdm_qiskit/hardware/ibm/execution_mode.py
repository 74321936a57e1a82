"""Ways of jobs to a QPU: one by one, in a Batch, or in a Session; opened, reopened, closed.

An open session is in the ledger before it is used, so that one left behind is closed at the next
start. Closing never raises: it must not hide the error that made it necessary.

Where a service has no Sessions a Batch is used, and where it has neither, one job after the other.
Only an answer that means "there is none" leads there, never a missing answer. A life that is longer
than the plan allows is asked for again as the refusal has it; where no life will do, or sessions end
before a job has finished in them, and the mode is not the user's choice, jobs are sent one by one.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Literal, cast, final

from ...errors import ServiceUnavailable
from ..ledger.ledger import Ledger
from .account import ServiceHandle
from .client_errors import CallFailed, Failure

if TYPE_CHECKING:
    from qiskit.providers import BackendV2
    from qiskit_ibm_runtime import QiskitRuntimeService, Session

__all__ = [
    "CLOSE_ATTEMPTS",
    "FRUITLESS",
    "INSTEAD",
    "NOT_OFFERED",
    "JobMode",
    "Mode",
    "Wanted",
    "close_left_behind",
    "close_session",
]

Wanted = Literal["auto", "job", "batch", "session"]
Mode = Literal["job", "batch", "session"]
CLOSE_ATTEMPTS = 3
FRUITLESS = 2
"""Sessions without a finished job after which jobs are sent one by one; fewer than the attempts that
a job has by default."""
NOT_OFFERED = (404, 405, 501)
"""HTTP statuses with which a service refuses to open a session because it has no such address,
method or function."""
_LEARNT = ("mode-replaced", "session-life")
INSTEAD: dict[Mode, Mode] = {"session": "batch", "batch": "job"}


@final
class JobMode:
    """The mode in which the jobs of a run are sent.

    Args:
        handle: The service.
        ledger: Knows the sessions.
        run_id: The run.
        backend: Name of the backend.
        wanted: ``auto`` takes a Session where the plan has them, else a Batch; what the service
            turns out not to have is replaced, see above.
    """

    def __init__(
        self, handle: ServiceHandle, ledger: Ledger, run_id: str, backend: str, wanted: Wanted
    ) -> None:
        self._handle = handle
        self._ledger = ledger
        self._run_id = run_id
        self._backend = backend
        self._wanted: Mode | None = None if wanted == "auto" else wanted
        self._free = wanted == "auto"
        self._life: int | None = handle.settings.session_max_seconds
        """Seconds that a session may live; None leaves it to the service."""
        self._fruitless = 0
        """Sessions in a row that ended before they had finished a job."""
        self._resolved = False
        self._number: int | None = None
        self._objects: tuple[int, Session] | None = None
        self.session_id: str | None = None

    @property
    def mode(self) -> Mode:
        """Mode in use; ``job`` before it was resolved."""
        return self._wanted or "job"

    def target(self) -> BackendV2 | Session:
        """Target of IBM's Sampler: the backend, or the open session.

        Raises:
            ServiceUnavailable: If no session can be opened.
            CallFailed: If the service does not answer.
        """
        if not self._resolved:
            self._resolve()
        if self._wanted != "job" and self.session_id is None:
            self._take_up_or_open()
        if self._wanted == "job":
            return self._handle.backend(self._backend)
        generation = self._handle.generation
        if self._objects is None or self._objects[0] != generation:
            self._objects = (generation, self._again(self.session_id))
        return self._objects[1]

    def expired(self, *, sure: bool) -> None:
        """Forget a session that the service closed; the next job opens a new one.

        Where the mode is free, :data:`FRUITLESS` sessions that ended before they had finished a single
        job are the last: the queue is longer than their life.

        Args:
            sure: False if a job's end says so, which may be the end of an earlier session.
        """
        number, session_id, mode = self._number, self.session_id, self.mode
        if session_id is None or number is None:
            return
        if not sure and self._still_open(mode, session_id):
            return
        self._fruitless = 0 if self._finished_a_job(session_id) else self._fruitless + 1
        if self._free and self._fruitless >= FRUITLESS:
            why = f"a {mode} ended twice before a job had finished in it"
            self._replace(mode, why, to="job")
        else:
            self._handle.tell(f"the {mode} was closed by the service; opening another one")
        self.close()

    def _still_open(self, mode: Mode, session_id: str) -> bool:
        try:
            return _accepts(self._handle, mode, session_id)
        except CallFailed:
            return False  # another one costs nothing

    def _finished_a_job(self, session_id: str) -> bool:
        return any(
            each.session_id == session_id and each.state == "collected"
            for each in self._ledger.intentions(self._run_id)
        )

    def close(self) -> None:
        """Close all sessions of the run, also those of a process that died; tell a failure."""
        self._number, self.session_id, self._objects = None, None, None
        for row in self._ledger.sessions("open"):
            if row["run_id"] == self._run_id and row["instance"] == self._handle.instance:
                number, session_id = cast(int, row["id"]), str(row["session_id"])
                mode = cast(Mode, row["mode"])
                close_session(self._handle, self._ledger, number, mode, session_id)

    def keep(self) -> None:
        """Leave the session open for a later process."""
        self._number, self.session_id, self._objects = None, None, None

    def _resolve(self) -> None:
        """Resolve ``auto``; an earlier process of this run may have met what is missing."""
        mode = self._wanted
        if mode is None:
            mode = "batch" if self._handle.plan_type() == "open" else "session"
        for row in self._ledger.events(self._run_id):
            detail = json.loads(str(row["detail"])) if row["kind"] in _LEARNT else {}
            if row["kind"] == "mode-replaced":
                mode = detail["by"] if detail["mode"] == mode else mode
            if row["kind"] == "session-life":
                self._life = detail["seconds"]
        self._wanted, self._resolved = mode, True

    def _take_up_or_open(self) -> None:
        """Return the session that an earlier process of this run has open, or a new one."""
        for row in self._ledger.sessions("open"):
            if row["run_id"] != self._run_id or row["backend"] != self._backend:
                continue
            number, session_id = cast(int, row["id"]), str(row["session_id"])
            mode = cast(Mode, row["mode"])
            if mode == self._wanted and _accepts(self._handle, mode, session_id):
                self._number, self.session_id = number, session_id
                return
            close_session(self._handle, self._ledger, number, mode, session_id)
        self._open()

    def _open(self) -> None:
        for attempt in self._handle.retrying(60.0):
            with attempt:
                while self._wanted != "job" and not self._try_to_open():
                    pass  # what it was is replaced

    def _try_to_open(self) -> bool:
        """Open a session or batch; False if there is none, and something else is wanted now.

        Raises:
            CallFailed: If the service gave no answer; the session may exist then, without an id.
            ServiceUnavailable: If the service refuses.
        """
        mode, longest = self.mode, self._life
        backend = self._handle.backend(self._backend)
        number = self._ledger.opening_session(
            self._run_id, mode, self._backend, self._handle.instance
        )
        try:
            made = self._handle.once(f"opening a {mode}", lambda _: _make(mode, backend, longest))
        except CallFailed as error:
            failure = error.failure
            missing = failure.kind == "no-session" or failure.status in NOT_OFFERED
            refused = missing or failure.nothing_created
            self._ledger.set_session(number, "refused" if refused else "lost")
            if missing:
                self._replace(mode, self._missing(mode, failure))
                return False
            if failure.kind == "session-life" and longest is not None:
                self._live_shorter(mode, longest, failure)
                return False
            if failure.kind == "session-life" and self._free:
                self._replace(mode, f"the service opens no {mode} of any life: {failure.message}")
                return False
            if not failure.passing:
                raise ServiceUnavailable(
                    f"IBM Quantum opens no {mode} on {self._backend}: {error}"
                ) from None
            raise
        session_id = made.session_id
        if not session_id:
            raise ServiceUnavailable(f"IBM Quantum opened a {mode} without an id; try again.")
        self._ledger.set_session(number, "open", str(session_id))
        self._number, self.session_id = number, str(session_id)
        self._objects = (self._handle.generation, made)
        return True

    def _live_shorter(self, mode: Mode, asked: int, failure: Failure) -> None:
        """Ask for the longest life that a refusal names below the asked one, else for none."""
        allowed = [math.floor(each) for each in failure.seconds if 1 <= each < asked]
        self._life = max(allowed, default=None)
        life = "its own" if self._life is None else f"{self._life} s"
        self._handle.tell(
            f"a {mode} may not live {asked} s ({failure.message}); asking for {life} instead"
        )
        self._ledger.event(
            self._run_id, "session-life", mode=mode, seconds=self._life, reason=failure.message
        )

    def _missing(self, mode: Mode, failure: Failure) -> str:
        """Return in words that a service has no such mode."""
        several = "sessions" if mode == "session" else "batches"
        if failure.kind == "no-session":
            return f"the account's plan has no {several} (code 1352)"
        return f"the service offers no {several} (HTTP {failure.status})"

    def _replace(self, mode: Mode, why: str, *, to: Mode | None = None) -> None:
        """Replace a mode that the service does not have; say and record it once a run."""
        by = to or INSTEAD[mode]
        then = "using a batch" if by == "batch" else "sending jobs one by one"
        self._handle.tell(f"{why}; {then} instead")
        self._ledger.event(self._run_id, "mode-replaced", mode=mode, by=by, reason=why)
        self._wanted = by

    def _again(self, session_id: str | None) -> Session:
        """Return the object of a session that is open already, with the present token."""
        assert session_id is not None
        mode = self._wanted
        return self._handle.ask(
            f"taking up the {mode}", lambda service: _from_id(mode, session_id, service)
        )


def close_left_behind(handle: ServiceHandle, ledger: Ledger, run_id: str) -> None:
    """Close unused open sessions of this run, and of runs that no process drives.

    Args:
        handle: The service; only sessions of its instance are touched.
        ledger: Knows the sessions.
        run_id: The run that this process drives; its open session is taken up later.
    """
    for row in ledger.sessions("opening", "open"):
        number, session_id = cast(int, row["id"]), row["session_id"]
        owner = str(row["run_id"])
        if row["instance"] != handle.instance:
            continue
        if owner != run_id and ledger.is_driven(owner):
            continue
        if session_id is None:
            # Its process died before the service answered; no list of sessions can be asked for.
            ledger.set_session(number, "lost")
            handle.tell(
                f"a {row['mode']} of run {owner} may have been opened without its id being known; "
                f"the service closes it after {handle.settings.session_max_seconds} s at most"
            )
        elif owner != run_id:
            handle.tell(f"closing the {row['mode']} {session_id} that run {owner} left open")
            close_session(handle, ledger, number, cast(Mode, row["mode"]), str(session_id))


def close_session(
    handle: ServiceHandle, ledger: Ledger, number: int, mode: Mode, session_id: str
) -> None:
    """Close a session and check that it takes no more jobs; never raises but for Ctrl-C."""
    problem = ""
    for _ in range(CLOSE_ATTEMPTS):
        try:
            if _accepts(handle, mode, session_id):
                handle.once(
                    f"closing the {mode}",
                    lambda service: _from_id(mode, session_id, service).close(),
                )
            if not _accepts(handle, mode, session_id):
                # One that is not charged yet stays open in the ledger, and is met again.
                if mode != "session" or _charged(handle, ledger, number, session_id):
                    ledger.set_session(number, "closed")
                return
            problem = "it still takes jobs"
        except CallFailed as error:
            if error.failure.gone:
                ledger.set_session(number, "closed")
                return
            problem = error.failure.message
            if error.failure.kind == "unauthorized":
                try:
                    handle.rebuild()
                except (CallFailed, ServiceUnavailable) as second:
                    problem = str(second)
        except ServiceUnavailable as error:
            problem = str(error)
    handle.tell(f"{mode} {session_id} could not be closed now ({problem}); the next start tries")


def _charged(handle: ServiceHandle, ledger: Ledger, number: int, session_id: str) -> bool:
    """Put the cost of a dedicated session's waiting times into the budget, if IBM names it."""
    details = handle.once(
        "asking what the session cost",
        lambda service: _from_id("session", session_id, service).details(),
    )
    said = (details or {}).get("usage_time")
    if isinstance(said, bool) or not isinstance(said, int | float):
        return True
    try:
        seconds = float(said)
    except OverflowError:  # an integer of hundreds of digits
        seconds = math.inf
    if not math.isfinite(seconds):
        handle.tell(f"session {session_id}: IBM names no cost that can be counted ({seconds})")
        return True
    return ledger.charge_session(number, seconds)


def _accepts(handle: ServiceHandle, mode: Mode, session_id: str) -> bool:
    """Return True if a session takes more jobs; one that is gone does not."""
    try:
        details = handle.once(
            f"asking for the {mode}",
            lambda service: _from_id(mode, session_id, service).details(),
        )
    except CallFailed as error:
        if error.failure.gone:
            return False
        raise
    return bool(details and details.get("accepting_jobs"))


def _make(mode: Mode, backend: BackendV2, longest: int | None) -> Session:
    from qiskit_ibm_runtime import Batch, Session

    return (Session if mode == "session" else Batch)(backend=backend, max_time=longest)


def _from_id(mode: Mode | None, session_id: str, service: QiskitRuntimeService) -> Session:
    from qiskit_ibm_runtime import Batch, Session

    return (Batch if mode == "batch" else Session).from_id(session_id, service)
