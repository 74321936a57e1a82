"""Commands for the whole life of a run: submit, resume, collect, cancel.

The images of step t - 1 need the counts of step t, so one job follows the other. All that a run has
reached is on disk: its plan, the counts that have arrived, and the ledger. Whatever kills the
process, at whatever point, another one calls :func:`resume_run` and goes on there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ...arguments import checked_path, checked_text
from ...errors import InvalidOption, InvalidPlan, MissingData
from ...progress import Progress, silent
from ..ledger.ledger import FILE, Ledger, RunState
from ..ledger.stored_files import check_ledger_of
from ..plan.plan_file import read_plan
from ..plan.routing import RoutingPolicy
from ..plan.run_plan import PLAN, RunPlan
from ..plan.types import Look
from ..providers.base import Provider
from ..providers.context import RunContext
from ..providers.settings import ServiceSettings
from .driver import DrivenRun

if TYPE_CHECKING:
    from ...sampling import Sampler

__all__ = [
    "cancel_run",
    "collect_run",
    "driven_run",
    "planned_in",
    "resume_run",
    "run_state",
    "submit_run",
]


def submit_run(
    plan_path: Path,
    *,
    detach: bool = False,
    progress: Progress | None = None,
    settings: ServiceSettings | None = None,
    provider: Provider | None = None,
    sampler: Sampler | None = None,
    routing: RoutingPolicy | None = None,
    look: Look | None = None,
) -> RunState:
    """Send a planned run and work through its chain; a run that was begun goes on.

    Args:
        plan_path: ``plan.json``, or the run's folder.
        detach: True to return when the first job is sent.
        progress: Receives what happens, in words.
        settings: Limits and intervals; by default those of the root's ``service.json``.
        provider: The provider object of the plan's target, in the place of the one that an installed
            package brings.
        sampler: The sampler object, for a plan that was made with one.
        routing: The policy object, for a plan whose routing is ``given``.
        look: Function that looks at the target, which tells a routing policy its queue.

    Returns:
        The state of the run.

    Raises:
        InvalidPlan: If the plan or a file of it was changed.
        BudgetExceeded: If the budget, or the account, does not allow the whole run.
        ServiceUnavailable, SubmissionUncertain: If the provider refuses or does not answer; the run
            can be resumed.
        JobFailed: If a job ended without counts; the run can be resumed, which sends it again.
        LedgerBusy: If another process drives this run.
    """
    plan = planned_in(plan_path, "plan_path")
    _check_alone(plan)
    with driven_run(plan, progress, settings, provider, sampler, routing, look) as run:
        return run.go(detach=detach)


def resume_run(
    root: str | Path,
    run_id: str,
    *,
    detach: bool = False,
    progress: Progress | None = None,
    settings: ServiceSettings | None = None,
    provider: Provider | None = None,
    sampler: Sampler | None = None,
    routing: RoutingPolicy | None = None,
    look: Look | None = None,
) -> RunState:
    """Go on with a run that was begun, in any process.

    Args:
        root: Folder of all runs.
        run_id: The run.
        detach, progress, settings, provider, sampler, routing, look: As for :func:`submit_run`.

    Returns, raises:
        As :func:`submit_run`; also MissingData if the run was never submitted.
    """
    root = checked_path(root, "root")
    checked_text(run_id, "run_id")
    plan = planned_in(root / run_id)
    _check_alone(plan)
    if run_state(root, run_id).state == "planned":
        raise MissingData(f"Run {run_id} was not submitted yet; `qdm run submit {run_id} --yes`.")
    with driven_run(plan, progress, settings, provider, sampler, routing, look) as run:
        return run.go(detach=detach)


def collect_run(
    root: str | Path,
    run_id: str,
    *,
    progress: Progress | None = None,
    settings: ServiceSettings | None = None,
    provider: Provider | None = None,
    sampler: Sampler | None = None,
) -> RunState:
    """Fetch the counts of ended jobs and record their costs; send no job and wait for none.

    Args, returns, raises:
        As for :func:`resume_run`.
    """
    root = checked_path(root, "root")
    checked_text(run_id, "run_id")
    plan = planned_in(root / run_id)
    if run_state(root, run_id).state == "planned":
        raise MissingData(f"Run {run_id} was not submitted yet; there is nothing to collect.")
    with driven_run(plan, progress, settings, provider, sampler) as run:
        return run.collect()


def cancel_run(
    root: str | Path,
    run_id: str,
    *,
    progress: Progress | None = None,
    settings: ServiceSettings | None = None,
    provider: Provider | None = None,
    sampler: Sampler | None = None,
) -> RunState:
    """Cancel the jobs of a run and give back what is reserved for the rest of it.

    Counts that have arrived stay, and the run can be resumed.

    Args, returns, raises:
        As for :func:`resume_run`.
    """
    root = checked_path(root, "root")
    checked_text(run_id, "run_id")
    plan = planned_in(root / run_id)
    run_state(root, run_id)
    with driven_run(plan, progress, settings, provider, sampler) as run:
        return run.cancel()


def run_state(root: str | Path, run_id: str) -> RunState:
    """Return the state of a run, from the ledger alone.

    Raises:
        MissingData: If the ledger does not know the run.
    """
    root = checked_path(root, "root")
    checked_text(run_id, "run_id")
    if not list(root.glob(f"{FILE}*")):
        raise MissingData(f"There is no ledger in {root}, and so no run '{run_id}'.")
    ledger = Ledger.open_to_read(root)
    try:
        return ledger.run_state(run_id)
    finally:
        ledger.close()


@contextmanager
def driven_run(
    plan: RunPlan,
    progress: Progress | None,
    settings: ServiceSettings | None,
    provider: Provider | None = None,
    sampler: Sampler | None = None,
    routing: RoutingPolicy | None = None,
    look: Look | None = None,
) -> Iterator[DrivenRun]:
    """Yield a run, with its ledger open and locked against other processes.

    Args:
        plan: The plan, with the folder that it lies in.
        progress, settings, provider, sampler, routing, look: As for :func:`submit_run`.
    """
    root = plan.folder.parent
    ledger = Ledger.open(root)
    try:
        run = RunContext(
            plan=plan,
            ledger=ledger,
            progress=progress or silent,
            given_settings=settings,
        )
        for notice in ledger.notices:
            run.tell(notice)
        if plan.is_qpu:
            check_ledger_of(plan.folder, ledger, plan.run_id)
        ledger.add_run(
            plan.run_id,
            plan_sha256=plan.content_sha256,
            budget=plan.budget,
            total_steps=len(plan.steps),
            seconds_estimated=plan.total_seconds,
        )
        with ledger.run_lock(plan.run_id):
            for left in plan.folder.rglob(".part-*"):
                left.unlink(missing_ok=True)  # of a process that died while it wrote a file
            driven = DrivenRun(run, provider, sampler, routing, look)
            try:
                yield driven
            finally:
                driven.close()
    finally:
        ledger.close()


def _check_alone(plan: RunPlan) -> None:
    """Refuse to send what a fleet may have given to another device."""
    if plan.share is not None:
        raise InvalidOption(
            f"Run {plan.run_id} answers some of the images that several devices share; go on with all "
            f"of them: `qdm run resume {plan.share.fleet}`."
        )


def planned_in(path: Path, argument: str = "path") -> RunPlan:
    """Return the plan of a run's folder, which has to be named after it.

    Raises:
        InvalidPlan, MissingData: As :func:`.plan_file.read_plan`; or if the folder has another name.
    """
    plan = read_plan(path, argument)
    if plan.folder.resolve().name != plan.run_id:
        raise InvalidPlan(
            f"Run {plan.run_id} lies in a folder of another name, {plan.folder}; its folder and "
            f"{PLAN} belong together."
        )
    return dataclasses.replace(plan, folder=plan.folder.resolve())
