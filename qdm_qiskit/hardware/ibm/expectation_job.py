"""Expectation values from a QPU: jobs of IBM's Sampler, until the error that is wanted is met.

The same rules as for counts: reserved first, an intention with a tag, looked for before it is sent
again, written to disk when it arrives, settled with the real cost.

Values and errors are computed here from the bits (:mod:`~qdm_qiskit.mitigation.expectation`). IBM's
Estimator is not asked: with TREX it divides by a factor that it makes of a flip probability as if
that were a rate (<ZZZ> .936 for 1 at flips of 10 %), and its errors ignore that terms read from
the same shots are correlated.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from ...arguments import checked_number, checked_path, checked_text, of_kind
from ...errors import (
    InvalidData,
    InvalidOption,
    JobFailed,
)
from ...execution.region import check_isa
from ...files import read_json_object, write_bytes, write_json
from ...mitigation.expectation import Shots, calibration_growth, combine_results
from ..ledger.ledger import Intention, Ledger
from ..plan.qpu_seconds import MAX_EXECUTIONS
from ..providers.collector import Collector
from ..providers.requests import EstimateRequest, MeasureRequest
from ..providers.sender import Sender
from ..providers.settlement import Settlement
from .account import ServiceHandle
from .execution_mode import JobMode
from .provider import IBMProvider

__all__ = [
    "LEAST_RANDOMIZATIONS",
    "LEAST_SHOTS",
    "MARGIN",
    "MOST_GROWTH",
    "MOST_JOBS",
    "MOST_SHOTS",
    "SHOTS_EACH",
    "Estimates",
    "checked_bits",
    "estimate",
]

SHOTS_EACH = 32
"""Most shots of one randomization. They share their flips, and so what a lopsided readout does to
them: more shots of as many randomizations would not make the error smaller."""
LEAST_RANDOMIZATIONS = 64
"""Fewest randomizations of a twirled job: the error is read from their scatter, to 9 %."""
LEAST_SHOTS = 256
"""Fewest shots of a job, for each bound circuit."""
MOST_SHOTS = 100_000
"""IBM's limit on the shots of one bound circuit."""
MOST_JOBS = 16
"""Most jobs of one request."""
MARGIN = 1.1
"""Factor on the shots that the last error asks for: an error is itself an estimate."""
MOST_GROWTH = 3.0
"""A readout that takes more times as many shots to be told from none is given up: the first job has
enough of them if the device reads as it says."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimates:
    """Expectation values of one request."""

    values: np.ndarray
    """``(rows, observables)`` float64."""
    errors: np.ndarray
    """Standard errors, of the same shape."""
    job_ids: tuple[str, ...]
    """Ids of all jobs, in their order."""
    shots: int
    """Shots of each bound circuit, in all jobs."""

    @property
    def job_id(self) -> str:
        """Id of the first job."""
        return self.job_ids[0]


def estimate(
    handle: ServiceHandle,
    ledger: Ledger,
    request: EstimateRequest,
    *,
    budget: str | None,
    seconds: float,
    folder: Path,
) -> Estimates:
    """Obtain expectation values; called again after a crash it goes on, and pays once.

    One job is sent after the other until no standard error is above ``request.precision``. Most
    requests need one or two: how much the shots scatter is known after the first.

    Args:
        handle: The account.
        ledger: Where everything is written down.
        request: Circuit, observables, values.
        budget: The budget that pays.
        seconds: Estimated QPU seconds of a job with ``request.shots`` shots of each bound circuit; a
            job with more reserves more, in proportion.
        folder: Where ``<part>.npz`` is written, and the bits of each job.

    Returns:
        The values. Where :data:`MOST_JOBS` jobs do not suffice their errors are larger than wanted,
        and the account's ``progress`` says so.

    Raises:
        BudgetExceeded: If the budget does not allow a job; it is not sent then, and what earlier
            ones brought is kept.
        InvalidOption: If the precision takes more shots than :data:`MOST_JOBS` jobs have, or a budget
            is to pay for jobs of 0 seconds.
        InvalidData: If the readout leaves nothing of a term, or files are of another request.
        UnsupportedCircuit: If the circuit was not transpiled for the device; nothing is reserved.
        ServiceUnavailable, SubmissionUncertain: See :meth:`.sender.Sender.send`.
        JobFailed: If a job ended without values; called again, it is sent again.
    """
    of_kind(handle, ServiceHandle, "handle", "connect() makes one")
    of_kind(ledger, Ledger, "ledger", "Ledger.open(root) makes one")
    of_kind(request, EstimateRequest, "request")
    folder = checked_path(folder, "folder")
    if budget is not None:
        checked_text(budget, "budget", "the name of one, or None")
    checked_number(seconds, "seconds")
    if budget is not None and not seconds > 0:
        raise InvalidOption(
            f"seconds of a job that budget '{budget}' pays are above 0, got {seconds:g}; else any "
            "budget would allow it."
        )
    path = folder / f"{request.part}.npz"
    stored = _read(path, request)
    with ledger.run_lock(request.run_id):
        jobs = _EstimateJobs(handle, ledger, request, budget, seconds, folder)
        jobs.settle(again=True)
        if stored is None:
            stored = jobs.work()
            _write(path, stored, request)
        jobs.settle()
    return stored


@final
class _EstimateJobs:
    """The jobs of one request, in the hands of one process."""

    def __init__(
        self,
        handle: ServiceHandle,
        ledger: Ledger,
        request: EstimateRequest,
        budget: str | None,
        seconds: float,
        folder: Path,
    ) -> None:
        self._handle = handle
        self._ledger = ledger
        self._request = request
        self._budget = budget
        self._seconds = seconds
        self._folder = folder
        mode = JobMode(handle, ledger, request.run_id, request.backend, "job")
        self._provider = IBMProvider(request.backend, handle=handle, job_mode=mode)
        self._collector = Collector(self._provider, handle.settings, handle.progress)
        self._sender = Sender(self._provider, ledger, handle.settings, handle.progress)
        self._settlement = Settlement(
            request.run_id,
            ledger,
            self._sender,
            self._collector,
            charges=True,
            progress=handle.progress,
        )
        self._most = min(MOST_SHOTS, MAX_EXECUTIONS // request.executions_per_shot)
        if self._most < LEAST_SHOTS:
            raise InvalidOption(
                f"{request.executions_per_shot} bound circuits of {LEAST_SHOTS} shots are more than "
                f"the {MAX_EXECUTIONS} executions that IBM takes in a job; ask for fewer rows or "
                "observables."
            )

    def work(self) -> Estimates:
        """Send jobs until the error is met."""
        request, plan = self._request, self._request.measurements
        check_isa(request.circuit, self._handle.backend(request.backend), request.values)
        bits: list[Shots] = []
        ids: list[str] = []
        total = 0
        wanted: int | None = None
        for number in range(1, MOST_JOBS + 1):
            job = self._job(number, wanted)
            found, job_id = self._obtain(job)
            bits.append(found)
            ids.append(job_id)
            total += job.shots
            growth = calibration_growth(plan, bits)
            if 1 < growth <= MOST_GROWTH and number < MOST_JOBS:
                needed, why = growth, "the readout is not known well enough"
            else:
                try:
                    values, errors = combine_results(plan, bits)
                except InvalidData:
                    self.settle()  # paid all the same
                    raise
                worst = float(errors.max())
                if worst <= request.precision:
                    break
                needed = (worst / request.precision) ** 2
                why = f"a standard error is {worst:.3g}, and {request.precision:g} is wanted"
            self.settle()  # the next one is reserved beside what this one really cost
            wanted = math.ceil(MARGIN * needed * total) - total
            last = number == MOST_JOBS
            self._handle.tell(f"{request.part}: {why}; {'no more jobs' if last else 'one more'}")
        return Estimates(values=values, errors=errors, job_ids=tuple(ids), shots=total)

    def settle(self, *, again: bool = False) -> None:
        """Put the real costs of jobs that have ended in the place of their reservations.

        Args:
            again: True to list jobs of settled parts once more, for one that was created twice.
        """
        parts = {self._part(number) for number in range(1, MOST_JOBS + 1)}
        wait = None if again else self._handle.settings.usage_wait_seconds
        self._settlement.settle(wait, parts)

    # -- one job ------------------------------------------------------------------------------

    def _part(self, number: int) -> str:
        part = self._request.part
        return part if number == 1 else f"{part}-{number:04d}"

    def _job(self, number: int, wanted: int | None) -> MeasureRequest:
        """Return the job of a number, as an earlier process decided it, or decide it now.

        Its shots depend on the device's calibration, which may change between two processes; its
        tag depends on its shots. So they are written down before it is sent.
        """
        path = self._folder / f"{self._part(number)}.json"
        if path.exists():
            found = read_json_object(path)
            if found.get("request") != self._request.payload_sha256:
                raise InvalidData(
                    f"{path} is of another request; move it away, or name another part."
                )
            shots, randomizations = found["shots"], found["randomizations"]
        else:
            shots, randomizations = self._split(self._first() if wanted is None else wanted)
            decided = {"shots": shots, "randomizations": randomizations}
            write_json(path, {"request": self._request.payload_sha256, **decided})
        target = self._handle.backend(self._request.backend).target
        return self._request.job(self._part(number), shots, randomizations, target)

    def _first(self) -> int:
        """Return the shots of the first job: enough if terms are independent and the
        device reads as it says."""
        request = self._request
        shots = self._with_trex() if request.trex else request.shots
        if shots > MOST_JOBS * self._most:
            raise InvalidOption(
                f"A standard error of {request.precision:g} takes about {shots} shots of each bound "
                f"circuit on {request.backend}, more than {MOST_JOBS} jobs of {self._most}; ask for "
                "a larger precision, smaller terms or better readouts."
            )
        return shots

    def _with_trex(self) -> int:
        """Return the shots of the circuits and of TREX's own, by the device's readout errors.

        Half of each readout error is taken to go one way only; that part does not average out
        within a randomization.
        """
        request = self._request
        wrong = _readout_errors(self._handle, request)
        variance = np.zeros(len(request.observables))
        for basis in request.measurements.bases:
            left = np.prod(np.where(basis.masks, (1 - 2 * wrong) ** 2, 1.0), axis=1)
            with_bias = np.where(basis.masks, (1 - 2 * wrong) ** 2 + wrong**2, 1.0)
            shared = SHOTS_EACH * (np.prod(with_bias, axis=1) - left)
            # Of value / factor, at the value that makes it largest.
            scale = (np.maximum(1.0, 2 - 2 * left) + 2 * shared) / np.maximum(left, 1e-12)
            variance += (scale[:, None] * basis.weights**2).sum(axis=0)
        return math.ceil(MARGIN * float(variance.max()) / request.precision**2)

    def _split(self, shots: int) -> tuple[int, int | None]:
        """Return shots within the limits, in whole randomizations."""
        options, trex = self._request.options, self._request.trex
        shots = max(LEAST_SHOTS, min(shots, self._most))
        if not (options.twirl_gates or options.twirl_measure or trex):
            return shots, None
        each = min(SHOTS_EACH, shots // LEAST_RANDOMIZATIONS)
        randomizations = min(-(-shots // each), self._most // each)
        return each * randomizations, randomizations

    def _obtain(self, job: MeasureRequest) -> tuple[Shots, str]:
        """Return the bits of a job, from disk if they are there, and its id."""
        path = self._folder / f"{job.part}-bits.npz"
        stored = _read_bits(path, job)
        if stored is not None:
            self._collected(job, path)
            return stored
        executions = job.rows * job.shots
        seconds = self._seconds * max(1.0, job.shots / self._request.shots)
        self._ledger.reserve(self._budget, job.run_id, [(job.part, seconds, executions)])
        intention = self._latest(job)
        if intention is None or intention.state == "intended":
            most = self._settlement.most_seconds(self._budget, job.part)
            intention = self._sender.send(job, intention, max_seconds=most)
        assert intention.job_id is not None
        ending = self._collector.ending(intention.job_id, self._handle.tell)
        if ending.status != "DONE":
            self._ledger.job_failed(intention.tag, ending.reason, cancelled=ending.cancelled)
            self.settle()
            raise JobFailed(
                f"{job.part} of run {job.run_id} has no values: job {intention.job_id} "
                f"{ending.sentence}; ask again to send it again.",
                cancelled=ending.cancelled,
            )
        found = self._bits(intention.job_id, job)
        _write_bits(path, found, job, intention.job_id)
        self._collected(job, path)
        return found, intention.job_id

    def _bits(self, job_id: str, job: MeasureRequest) -> Shots:
        """Return the bits of a job that is done."""
        return self._collector.result(
            job_id,
            lambda: self._provider.read_result(job_id, lambda found: checked_bits(found, job)),
        )

    def _collected(self, job: MeasureRequest, path: Path) -> None:
        intention = self._latest(job)
        if intention is not None and intention.state == "submitted":
            self._ledger.collected(intention.tag, path.name)

    def _latest(self, job: MeasureRequest) -> Intention | None:
        """Return the last attempt of this job that has not failed."""
        found = [e for e in self._ledger.intentions(job.run_id) if e.part == job.part]
        last = max(found, key=lambda each: each.attempt, default=None)
        if last is None or last.state in ("failed", "dropped"):
            return None
        if last.payload_sha256 != job.payload_sha256:
            raise InvalidData(
                f"{job.part} of run {job.run_id} was sent with other circuits, values, observables or "
                "shots; name another part."
            )
        return last


def _readout_errors(handle: ServiceHandle, request: EstimateRequest) -> np.ndarray:
    """Return the readout error of each measured qubit, 0 to 1/2; 0 where the device gives none."""
    properties = handle.backend(request.backend).target.get("measure") or {}
    found = []
    for qubit in request.measurements.qubits:
        error = float(getattr(properties.get((qubit,)), "error", None) or 0.0)
        found.append(min(0.5, max(0.0, error)) if math.isfinite(error) else 0.0)
    return np.array(found)


def checked_bits(result: Any, job: MeasureRequest) -> Shots:
    """Return the bits of a result, if it is the result of what was sent.

    Args:
        result: What the client returned.
        job: What was sent.

    Returns:
        The bits, with the calibration's if the last circuit is TREX's.

    Raises:
        InvalidData: If it is not, with the fault.
    """
    if result is None or isinstance(result, str | bytes):
        raise InvalidData("the results are not there yet")
    try:
        parts = [part.data["meas"] for part in result]
    except (TypeError, AttributeError, KeyError, ValueError):
        raise InvalidData("the results hold no bits of circuits") from None
    if len(parts) != len(job.circuits):
        raise InvalidData(f"the results hold {len(parts)} circuits, not {len(job.circuits)}")
    found = []
    for bits, circuit in zip(parts, job.circuits, strict=True):
        rows = len(job.values) if circuit.num_parameters else 1
        width = circuit.num_clbits
        try:
            array = np.asarray(bits.array, dtype=np.uint8)
            good = (int(bits.num_bits), int(bits.num_shots)) == (width, job.shots)
            found.append(array.reshape(rows, job.shots, -(-width // 8)))
        except (TypeError, ValueError, AttributeError):
            good = False
        if not good:
            raise InvalidData(
                f"the results are not {rows} rows of {job.shots} shots of {width} bits"
            )
    return _shots_of(found, job)


def _shots_of(arrays: list[np.ndarray], job: MeasureRequest) -> Shots:
    each = 1 if job.randomizations is None else job.shots // job.randomizations
    if not job.calibrated:
        return Shots(tuple(arrays), each)
    return Shots(tuple(arrays[:-1]), each, arrays[-1][0])


def _write_bits(path: Path, found: Shots, job: MeasureRequest, job_id: str) -> None:
    arrays = {f"circuit_{k:04d}": each for k, each in enumerate(found.circuits)}
    if found.calibration is not None:
        arrays[f"circuit_{len(arrays):04d}"] = found.calibration[None]
    _write_arrays(path, {**arrays, "about": np.array([job_id, job.payload_sha256])})


def _read_bits(path: Path, job: MeasureRequest) -> tuple[Shots, str] | None:
    if not path.exists():
        return None
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            job_id, payload = (str(each) for each in arrays["about"])
            found = [arrays[f"circuit_{k:04d}"] for k in range(len(job.circuits))]
        if payload != job.payload_sha256:
            raise InvalidData("it is of another request")
        return _shots_of(found, job), job_id
    except Exception as error:  # zip, numpy and key errors alike
        raise _unusable(path, error) from error


def _write(path: Path, found: Estimates, request: EstimateRequest) -> None:
    _write_arrays(
        path,
        {
            "values": found.values,
            "errors": found.errors,
            "job_ids": np.array(found.job_ids),
            "shots": np.array(found.shots),
            "request": np.array(request.payload_sha256),
        },
    )


def _read(path: Path, request: EstimateRequest) -> Estimates | None:
    if not path.exists():
        return None
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            if "request" not in arrays.files:
                raise InvalidData("it is of an earlier version, whose errors are not to be trusted")
            if str(arrays["request"]) != request.payload_sha256:
                raise InvalidData("it is of another request")
            found = Estimates(
                values=arrays["values"],
                errors=arrays["errors"],
                job_ids=tuple(str(each) for each in arrays["job_ids"]),
                shots=int(arrays["shots"]),
            )
        if found.values.shape != request.shape:
            raise InvalidData(f"shape {found.values.shape}, not {request.shape}")
    except Exception as error:  # zip, numpy and key errors alike
        raise _unusable(path, error) from error
    return found


def _write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    buffer = io.BytesIO()
    # numpy's annotations take a keyword for its option `allow_pickle`.
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_bytes(path, buffer.getvalue())


def _unusable(path: Path, error: Exception) -> InvalidData:
    return InvalidData(f"{path} cannot be used ({error}); move it away and ask again.")
