"""Ledger, folder and account side by side: what was sent, charged, settled, and what slipped through.

Nothing is sent, and without ``repair`` nothing is changed.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, final

from ...arguments import checked_path, checked_text
from ...errors import ServiceUnavailable
from ...notebook import card, folded, note, one_line, table
from ...progress import Message, Progress, silent
from ..ibm.account import connect
from ..ibm.provider import IBMProvider
from ..ledger.ledger import FILE, Intention, Ledger
from ..ledger.schema import Row
from ..ledger.stored_files import StoredFiles, has_other_ledger
from ..plan.plan_file import read_plan
from ..plan.run_plan import RunPlan
from ..providers.base import ENDED, AccountJob, Provider
from ..providers.context import RunContext
from ..providers.door import open_provider
from ..providers.failures import CallFailed
from ..providers.settings import ServiceSettings

__all__ = [
    "Finding",
    "FindingKind",
    "JobOnAll",
    "Verification",
    "verify_run",
]

FindingKind = Literal[
    "unknown", "double", "lost", "charge", "unsettled", "held", "foreign", "file", "copied"
]
"""``unknown``: a job with this run's tag that the ledger does not have. ``double``: a part that two
jobs have run for and were charged for. ``lost``: a job of the ledger that the account does not know.
``charge``: settled otherwise than it was charged. ``unsettled``: ended and charged, and only
reserved. ``held``: reserved by a run that is over, for a job that was never sent. ``foreign``: a job
of nobody's tag in the run's time and on its device. ``file``: damaged. ``copied``: the folder was used
with another ledger."""
MOST_FOREIGN = 100
"""Most jobs without our tag whose charge is asked for."""
LEAST_SECONDS = 1e-3
_TAG_END = re.compile(r"(.+)-(\d{1,9})-([0-9a-f]{16})")


@dataclass(frozen=True, kw_only=True)
class JobOnAll:
    """One job as ledger and account have it."""

    job_id: str
    part: str | None
    tag: str | None
    ledger: str | None
    """State in the ledger; None if it is not there."""
    account: str | None
    """State in the account; None if it is not there."""
    settled_seconds: float | None
    charged_seconds: float | None
    """QPU seconds; None while the provider counts."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is not as it should be."""

    kind: FindingKind
    text: str
    """In words, on one line."""
    job_id: str | None = None
    part: str | None = None
    seconds: float | None = None
    """QPU seconds that it is about."""
    repaired: bool = False


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The run beside the account."""

    run_id: str
    jobs: tuple[JobOnAll, ...]
    """All jobs of the run, oldest first."""
    findings: tuple[Finding, ...]
    has_account: bool
    """False of a target that charges nothing, such as a simulator: there is no account to ask."""
    listed: bool
    """True if the account has a list of its jobs; without it jobs of other tags are not seen."""
    charged_seconds: float
    """QPU seconds that the account charged for the jobs of this run."""
    settled_seconds: float
    """QPU seconds that the budget has spent for them."""

    @property
    def clean(self) -> bool:
        """True if nothing is wrong that was not repaired; jobs of others are nothing wrong."""
        return all(each.repaired or each.kind == "foreign" for each in self.findings)

    def sentence(self) -> str:
        """Return the verdict in words."""
        jobs = f"{len(self.jobs)} jobs, {self.charged_seconds:.6g} s charged"
        settled = f"{self.settled_seconds:.6g} s settled"
        wrong = [each for each in self.findings if each.kind != "foreign" and not each.repaired]
        if wrong:
            return f"Run {self.run_id}: {jobs}, {settled}; {len(wrong)} finding(s)."
        if not self.has_account:
            return f"Run {self.run_id}: {jobs}, {settled}; ledger and folder agree."
        return f"Run {self.run_id}: {jobs}, {settled}; ledger, folder and account agree."

    def __repr__(self) -> str:
        return one_line("Verification", self.sentence().rstrip("."))

    def _repr_html_(self) -> str:
        found = [("repaired" if each.repaired else each.kind, each.text) for each in self.findings]
        jobs = [
            (
                each.job_id,
                each.part,
                each.ledger,
                each.account,
                each.settled_seconds,
                each.charged_seconds,
            )
            for each in self.jobs
        ]
        head = ("job", "part", "ledger", "account", "settled, s", "charged, s")
        parts = [note(self.sentence()), *([table((), found)] if found else [])]
        return card("Verification", *parts, folded(f"{len(jobs)} jobs", table(head, jobs)))

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""
        return {**asdict(self), "clean": self.clean}


def verify_run(
    root: str | Path,
    run_id: str,
    *,
    repair: bool = False,
    progress: Progress = silent,
    settings: ServiceSettings | None = None,
    provider: Provider | None = None,
) -> Verification:
    """Compare ledger, folder and account of a run.

    Args:
        root: Folder of all runs.
        run_id: The run.
        repair: True to bring the ledger to what the account says: jobs that it does not have, costs
            that it has otherwise, reservations that nothing needs. Files come back by `resume_run`.
        progress: Receives what happens, in words.
        settings: Limits and intervals; by default those of the root's ``service.json``.
        provider: The provider object, where no package brings it.

    Returns:
        The jobs, and what is not as it should be.

    Raises:
        InvalidPlan: If the plan was changed.
        ServiceUnavailable: If the account does not answer.
        LedgerBusy: If a process drives the run that is to be repaired.
    """
    plan = read_plan(checked_path(root, "root") / checked_text(run_id, "run_id"))
    plan = replace(plan, folder=plan.folder.resolve())
    ledger = Ledger.open(plan.folder.parent)
    try:
        run = RunContext(plan=plan, ledger=ledger, progress=progress, given_settings=settings)
        account = _account(run, provider) if plan.is_qpu else None
        try:
            if account is not None:
                ledger.clock.follow(account.service_time)
            if not repair:
                return _Verifier(run, account).verification()
            with ledger.run_lock(plan.run_id):
                return _Verifier(run, account).repaired()
        finally:
            if account is not None:
                account.close(keep=True)
    finally:
        ledger.close()


def _account(run: RunContext, given: Provider | None) -> Provider:
    """Return the provider of a run, for questions only."""
    if not run.plan.target.startswith("ibm:"):
        return open_provider(run, given, detach=True)
    sent = [each.instance for each in run.ledger.intentions(run.run_id)]
    handle = connect(
        instance=sent[-1] if sent else None, settings=run.settings, progress=run.progress
    )
    return IBMProvider(run.plan.backend, handle=handle)


@final
class _Verifier:
    """One comparison.

    Args:
        run: The run.
        account: Its provider; None of a run that nothing is paid for.
    """

    def __init__(self, run: RunContext, account: Provider | None) -> None:
        self._run, self._ledger, self._account = run, run.ledger, account
        self._prefix = f"qdm-{run.run_id}-"

    def verification(self) -> Verification:
        """Return the comparison."""
        run_id = self._run.run_id
        rows = {str(row["job_id"]): row for row in self._ledger.jobs(run_id)}
        listed = self._listed()
        tags = {job.job_id: tag for job in listed or [] if (tag := self._ours(job)) is not None}
        jobs = self._jobs(rows, self._tagged() if listed is None else tags)
        reservations = self._ledger.reservations(run_id)
        return Verification(
            run_id=run_id,
            jobs=tuple(jobs),
            findings=(
                *self._copied(),
                *self._of_jobs(jobs),
                *self._doubles(jobs),
                *self._held(reservations),
                *self._files(),
                *self._foreign(listed or []),
            ),
            has_account=self._account is not None,
            listed=listed is not None,
            charged_seconds=math.fsum(each.charged_seconds or 0.0 for each in jobs),
            settled_seconds=math.fsum(float(row["spent_seconds"] or 0.0) for row in reservations),
        )

    # -- the account --------------------------------------------------------------------------

    def _listed(self) -> list[AccountJob] | None:
        """Return the jobs of the account since the run was planned; None where it has no list."""
        if self._account is None:
            return None
        planned = datetime.fromisoformat(self._run.plan.date).replace(tzinfo=UTC)
        try:
            found = self._account.listed((planned - timedelta(days=1)).timestamp())
        except CallFailed as error:
            raise ServiceUnavailable(f"The account cannot be listed now: {error}") from None
        return None if found is None else list(found)

    def _tagged(self) -> dict[str, str]:
        """Return the tag of each job that the account finds by a tag of the ledger."""
        if self._account is None:
            return {}
        try:
            return {
                job_id: each.tag
                for each in self._ledger.intentions(self._run.run_id)
                for job_id in self._account.find(each.tag)
            }
        except CallFailed as error:
            raise ServiceUnavailable(f"The account cannot be asked for now: {error}") from None

    def _ours(self, job: AccountJob) -> str | None:
        return next((tag for tag in job.tags if tag.startswith(self._prefix)), None)

    def _jobs(self, rows: dict[str, Row], tags: dict[str, str]) -> list[JobOnAll]:
        """Return the jobs of the run that the ledger or the account has."""
        found = []
        for job_id in dict.fromkeys([*rows, *tags]):
            row = rows.get(job_id)
            tag = tags.get(job_id) or (None if row is None else str(row["tag"]))
            part = None if row is None else str(row["part"])
            if part is None and tag is not None:
                part = self._place(tag)[0]
            state, charged = self._asked(job_id)
            settled = row is not None and row["usage_status"] == "final"
            found.append(
                JobOnAll(
                    job_id=job_id,
                    part=part,
                    tag=tag,
                    ledger=None if row is None else f"{row['state']}, {row['role']}",
                    account=state,
                    settled_seconds=float(row["seconds"] or 0.0) if row and settled else None,
                    charged_seconds=charged,
                )
            )
        return found

    def _asked(self, job_id: str) -> tuple[str | None, float | None]:
        """Return the state of a job in the account, and its charge if it is final."""
        if self._account is None:
            return None, None
        try:
            state = self._account.status(job_id)
            charged = self._account.usage(job_id) if state in ENDED and state != "lost" else None
        except CallFailed as error:
            if error.failure.gone:
                return None, None
            raise ServiceUnavailable(f"Job {job_id} cannot be asked for now: {error}") from None
        return None if state == "lost" else state, charged

    def _place(self, tag: str) -> tuple[str | None, int]:
        """Return the part and the attempt that a tag names."""
        match = _TAG_END.fullmatch(tag.removeprefix(self._prefix))
        return (None, 0) if match is None else (match[1], int(match[2]))

    # -- findings -----------------------------------------------------------------------------

    def _copied(self) -> list[Finding]:
        plan = self._run.plan
        if not has_other_ledger(plan.folder, self._ledger, plan.run_id):
            return []
        text = f"the folder of run {plan.run_id} was used with another ledger than this one"
        if self._account is None:  # `--repair` has nobody to take jobs from
            if self._ledger.jobs(plan.run_id):
                return []
            text += (
                f", which knows no job of it; copy {FILE} and {FILE}.log of its old root too, or "
                "read it with `qdm run replay`"
            )
        return [Finding(kind="copied", text=text)]

    def _of_jobs(self, jobs: Sequence[JobOnAll]) -> list[Finding]:
        """Return what is wrong with single jobs."""
        found = []
        for job in jobs:
            wrong = self._wrong(job)
            if wrong is not None:
                kind, text = wrong
                seconds = job.charged_seconds
                found.append(
                    Finding(kind=kind, text=text, job_id=job.job_id, part=job.part, seconds=seconds)
                )
        return found

    def _wrong(self, job: JobOnAll) -> tuple[FindingKind, str] | None:
        charged, settled, name = job.charged_seconds, job.settled_seconds, f"job {job.job_id}"
        cost = "its cost is not known yet" if charged is None else f"{charged:.6g} s charged"
        if job.ledger is None:
            return "unknown", (
                f"{name} has the tag of {job.part} of this run and is not in this ledger ({cost}): "
                "another root sent it, or a ledger that was lost"
            )
        if self._account is None:
            return None
        if job.account is None:
            return "lost", f"{name} of {job.part} is in the ledger, and the account has none"
        if charged is None:
            return None
        if settled is None:
            return "unsettled", f"{name} of {job.part} has ended, {cost}, and is only reserved"
        if abs(charged - settled) > LEAST_SECONDS:
            return "charge", f"{name} of {job.part}: {cost}, {settled:.6g} s settled"
        return None

    def _doubles(self, jobs: Sequence[JobOnAll]) -> list[Finding]:
        """Return the parts that more than one job ran and was charged for."""
        paid: defaultdict[str, list[JobOnAll]] = defaultdict(list)
        for job in jobs:
            if job.account == "done" and (job.charged_seconds or 0.0) > 0 and job.part is not None:
                paid[job.part].append(job)
        found = []
        for part, same in sorted(paid.items()):
            if len(same) > 1:
                more = math.fsum(each.charged_seconds or 0.0 for each in same[1:])
                names = ", ".join(each.job_id for each in same)
                text = f"{part} was paid {len(same)} times ({names}): {more:.6g} s too many"
                found.append(Finding(kind="double", text=text, part=part, seconds=more))
        return found

    def _held(self, reservations: Sequence[Row]) -> list[Finding]:
        """Return what a run that is over still reserves for jobs that were never sent."""
        run_id = self._run.run_id
        states = {each.run_id: each.state for each in self._ledger.runs()}
        if states.get(run_id) not in ("done", "cancelled"):
            return []
        used = {e.reservation for e in self._ledger.intentions(run_id) if e.state != "dropped"}
        return [
            Finding(
                kind="held",
                text=f"{row['part']} reserves {float(row['seconds'] or 0.0):.6g} s, and the run is "
                f"{states[run_id]}",
                part=str(row["part"]),
                seconds=float(row["seconds"] or 0.0),
            )
            for row in reservations
            if row["state"] == "held" and row["id"] not in used
        ]

    def _files(self) -> list[Finding]:
        run = self._run
        return [
            Finding(
                kind="file",
                text=f"{name} is damaged; `qdm run resume {run.run_id}` makes it again",
            )
            for name in StoredFiles(run.plan.folder, run.ledger, run.run_id).damaged()
        ]

    def _foreign(self, listed: Sequence[AccountJob]) -> list[Finding]:
        """Return the jobs of nobody's tag in the time of the run's jobs."""
        ours = [job.created_at for job in listed if self._ours(job) is not None]
        if not ours:
            return []
        lag = self._run.settings.grace_seconds
        first, last = min(ours) - lag, max(ours) + lag
        found: list[Finding] = []
        for job in listed:
            if any(tag.startswith("qdm-") for tag in job.tags):
                continue
            if not first <= job.created_at <= last:
                continue
            charged = self._asked(job.job_id)[1] if len(found) < MOST_FOREIGN else None
            cost = "cost not known" if charged is None else f"{charged:.6g} s charged"
            at = datetime.fromtimestamp(job.created_at, UTC)
            text = f"job {job.job_id} of {at:%Y-%m-%d %H:%M:%S} UTC has no tag of ours ({cost})"
            found.append(Finding(kind="foreign", text=text, job_id=job.job_id, seconds=charged))
        return found

    # -- repair -------------------------------------------------------------------------------

    def repaired(self) -> Verification:
        """Bring the ledger to what the account says, and return what was found and what is left."""
        before = self.verification()
        copied = any(each.kind == "copied" for each in before.findings)
        known = {each.tag: each for each in self._ledger.intentions(self._run.run_id)}
        if copied and known == {} and self._account is not None:
            self._add_run()
        for job in before.jobs:
            if job.ledger is None and job.tag is not None:
                self._take_in(job, known.get(job.tag), copied)
        self._settle()
        self._release()
        after = self.verification()
        left = {(each.kind, each.job_id, each.part, each.text) for each in after.findings}
        mended = [
            replace(each, repaired=True)
            for each in before.findings
            if (each.kind, each.job_id, each.part, each.text) not in left
            and each.kind not in ("double", "foreign", "file")
        ]
        return replace(after, findings=(*mended, *after.findings))

    def _add_run(self) -> None:
        plan: RunPlan = self._run.plan
        self._ledger.add_run(
            plan.run_id,
            plan_sha256=plan.content_sha256,
            budget=plan.budget,
            total_steps=len(plan.steps),
            seconds_estimated=plan.total_seconds,
        )

    def _take_in(self, job: JobOnAll, intention: Intention | None, copied: bool) -> None:
        """Record a job of the account in the ledger; one of another root's only if this copy is its."""
        assert job.tag is not None
        if intention is not None:
            if intention.job_id is None and intention.state == "intended":
                self._ledger.sent(job.tag, job.job_id, how="found")
            else:
                self._ledger.duplicate(job.tag, job.job_id, str(job.account))
            return
        part, attempt = self._place(job.tag)
        if not copied or part is None or self._account is None:
            return
        planned = {name: (seconds, shots) for name, seconds, shots in self._run.plan.parts()}
        seconds, shots = planned.get(part, (0.0, 0))
        self._ledger.adopt(
            job.job_id,
            tag=job.tag,
            run_id=self._run.run_id,
            part=part,
            attempt=attempt,
            backend=self._run.plan.backend,
            instance=self._account.instance,
            budget=self._run.budget,
            seconds=seconds,
            shots=shots,
        )
        if self._ledger.run_state(self._run.run_id).state == "planned":
            self._ledger.set_run(self._run.run_id, "running", reason="taken in from the account")
        self._say(f"{part}: job {job.job_id} is taken in from the account")

    def _settle(self) -> None:
        """Put the account's charges in the place of others, and of reservations."""
        charged: defaultdict[str, dict[str, float | None]] = defaultdict(dict)
        wrong = set()
        for job in self.verification().jobs:
            if job.ledger is None or job.tag is None:
                continue
            charged[job.tag][job.job_id] = job.charged_seconds
            if self._wrong(job) is not None and job.charged_seconds is not None:
                wrong.add(job.tag)
        shots = {row["id"]: int(row["shots"] or 0) for row in self._reservations()}
        for each in self._ledger.intentions(self._run.run_id):
            usage = {k: v for k, v in charged.get(each.tag, {}).items() if v is not None}
            if each.tag in wrong and len(usage) == len(charged[each.tag]):
                self._ledger.correct(each.tag, usage, shots.get(each.reservation, 0))
                self._say(f"{each.part}: {math.fsum(usage.values()):.6g} s, as the account charged")

    def _release(self) -> None:
        if self._held(self._reservations()):
            self._ledger.release(self._run.run_id)

    def _reservations(self) -> list[Row]:
        return self._ledger.reservations(self._run.run_id)

    def _say(self, text: str) -> None:
        self._run.progress(Message(text))
