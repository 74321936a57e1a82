"""A fleet in the hands of one process: its runs side by side, and images that leave a failed device.

Each run is an ordinary one of one device. What is a fleet's own is one budget in front, the turn that
each run takes, and the moving of images: the run of a failed device is given up in the ledger, its
jobs are cancelled or fetched until none is left that could still run, and only then are its images
planned on the others, from the state that its record gives. Whatever kills the process, another one
finds in the ledger how far that came.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import final

import numpy as np

from ...errors import (
    BudgetExceeded,
    JobFailed,
    MissingData,
    QdmError,
    ServiceUnavailable,
    SubmissionUncertain,
    TargetUnavailable,
    UnknownName,
)
from ...execution.targets import parse_target
from ...progress import Message, Progress, silent
from ..ledger.fleets import FleetMember, Wanted
from ..ledger.ledger import Ledger
from ..ledger.run_files import calibration_names, counts_path
from ..plan.fleet_plan import FleetPlan
from ..plan.plan_file import read_plan
from ..plan.planned_files import read_inputs
from ..plan.prepare import with_found_calibration
from ..plan.routing import RoutingPolicy
from ..plan.run_plan import RunPlan
from ..plan.types import Look
from ..providers.context import paying_budget
from ..providers.failures import JobRefused
from ..providers.settings import ServiceSettings, read_settings
from .commands import driven_run
from .driver import DrivenRun, Waiting
from .fleet_results import FleetState, fleet_state, is_finished, write_results
from .replay import recorded_state
from .router import PolicyStops

__all__ = [
    "LOOKS",
    "FleetRun",
    "Replan",
    "driven_fleet",
    "reserved_parts",
]

LOOKS = 12
"""Polls of waiting jobs after which their device is asked whether it takes jobs at all."""
_DETACHED = "; `qdm run resume` goes on"

Replan = Callable[[FleetPlan, RunPlan, np.ndarray | None, int, Sequence[str]], list[RunPlan]]
"""Function that plans the images which a failed run left open, and writes the plans: of the fleet, the
run, the state of its images (None for x_T), the steps that it answered, and the targets to take; see
:func:`~qdm_qiskit.hardware.plan.prepare_fleet.draft_moved`."""


@contextmanager
def driven_fleet(
    fleet: FleetPlan,
    look: Look,
    replan: Replan,
    *,
    progress: Progress = silent,
    settings: ServiceSettings | None = None,
    routing: RoutingPolicy | None = None,
) -> Iterator[FleetRun]:
    """Yield a fleet, with its ledger open and locked against other processes.

    Args:
        fleet: The plan, with the folder that it lies in.
        look: Function that looks at an ``ibm:`` target, or one of another package's provider.
        replan: Function that plans the open images of a failed device on others.
        progress: Receives what happens, in words.
        settings: Limits and intervals; by default those of the root's ``service.json``.
        routing: The policy object, for a plan whose routing is ``given``; all runs ask this one.

    Raises:
        LedgerBusy: If another process drives this fleet, or one of its runs.
    """
    ledger = Ledger.open(fleet.folder.parent)
    try:
        for notice in ledger.notices:
            progress(Message(notice))
        ledger.add_fleet(
            fleet.fleet_id, plan_sha256=fleet.content_sha256, members=list(fleet.members())
        )
        with ledger.run_lock(fleet.fleet_id), ExitStack() as stack:
            yield FleetRun(fleet, ledger, look, replan, stack, progress, settings, routing)
    finally:
        ledger.close()


@final
class FleetRun:
    """A fleet that this process has locked; :func:`driven_fleet` makes it."""

    def __init__(
        self,
        fleet: FleetPlan,
        ledger: Ledger,
        look: Look,
        replan: Replan,
        stack: ExitStack,
        progress: Progress,
        settings: ServiceSettings | None,
        routing: RoutingPolicy | None,
    ) -> None:
        self._fleet, self._ledger, self._look = fleet, ledger, look
        self._replan, self._routing = replan, routing
        self._stack, self._progress, self._given = stack, progress, settings
        self._root = fleet.folder.parent
        self._settings = settings or read_settings(self._root)
        self._plans: dict[str, RunPlan] = {}
        self._runs: dict[str, DrivenRun] = {}
        self._stuck: dict[str, QdmError] = {}
        """Errors of runs that this process does not go on with."""
        self._failures: dict[str, int] = {}
        self._looked: dict[str, float] = {}
        self._told: dict[str, tuple[str, str]] = {}
        self._failed_here: set[str] = set()
        """Targets that failed in this process."""

    # -- what can be asked for ----------------------------------------------------------------

    def go(self, *, detach: bool) -> FleetState:
        """Work through all chains, as far as they go.

        Args:
            detach: True to send the next job of each run, and wait for none.

        Raises:
            BudgetExceeded: If the budget, or the account, does not allow all of it together; nothing
                is sent then that was not sent before.
            QdmError: What holds up a run, when all others are as far as they can be.
        """
        self._settle_late()
        self._finish_moves()
        self._reserve()
        while open_runs := self._open():
            moved = False
            for member in open_runs:
                moved = self._turn(member) or moved
            if detach or all(each in self._stuck for each in self._ids(self._open())):
                break
            if not moved:
                time.sleep(self._settings.poll_seconds)
        return self._end()

    def collect(self) -> FleetState:
        """Fetch the counts of ended jobs; send no job and wait for none."""
        for member in self._ledger.fleet_members(self._fleet.fleet_id):
            run = self._run(member.run_id)
            if member.retired is None or self._ledger.unsettled(member.run_id):
                run.collect()
        return self._end()

    def cancel(self) -> FleetState:
        """Cancel the jobs of all runs and give back what is reserved for the rest.

        Raises:
            SubmissionUncertain, ServiceUnavailable: If it is not known of a run; the others are
                cancelled.
        """
        for member in self._open():
            try:
                self._run(member.run_id).cancel()
            except (SubmissionUncertain, ServiceUnavailable) as error:
                self._stuck[member.run_id] = error
        return self._end()

    def state(self) -> FleetState:
        """Return where the fleet stands, by the ledger."""
        return fleet_state(self._fleet, self._ledger)

    # -- runs ---------------------------------------------------------------------------------

    def _open(self) -> list[FleetMember]:
        """Return the runs that go on: not given up, and not done."""
        return [
            each
            for each in self._ledger.fleet_members(self._fleet.fleet_id)
            if each.retired is None and not self._is_done(each.run_id)
        ]

    def _ids(self, members: Sequence[FleetMember]) -> list[str]:
        return [each.run_id for each in members]

    def _is_done(self, run_id: str) -> bool:
        try:
            return self._ledger.run_state(run_id).state == "done"
        except MissingData:  # planned, and the ledger was not told yet
            return False

    def _plan(self, run_id: str) -> RunPlan:
        if run_id not in self._plans:
            self._plans[run_id] = read_plan(self._root / run_id)
        return self._plans[run_id]

    def _run(self, run_id: str) -> DrivenRun:
        """Return a run of the fleet, locked until the fleet is let go of."""
        if run_id not in self._runs:
            plan = self._plan(run_id)

            def tell(message: Message) -> None:
                text = str(message).removesuffix(_DETACHED)  # here somebody waits
                self._progress(Message(f"{plan.target}: {text}"))

            opened = driven_run(plan, tell, self._given, routing=self._routing, look=self._look)
            self._runs[run_id] = self._stack.enter_context(opened)
        return self._runs[run_id]

    def _settle_late(self) -> None:
        """Settle what was left when earlier processes ended with runs, and mend their files."""
        for member in self._ledger.fleet_members(self._fleet.fleet_id):
            if self._is_done(member.run_id):
                self._run(member.run_id).go(detach=True)
            elif member.moved is not None and self._ledger.unsettled(member.run_id):
                self._run(member.run_id).collect()

    # -- money --------------------------------------------------------------------------------

    def _reserve(self) -> None:
        """Reserve for all jobs of all runs that go on, for all of them or for none."""
        plans = [self._plan(each) for each in self._ids(self._open())]
        wanted = [_wanted(each) for each in plans]
        self._check_account(plans, wanted)
        for plan in plans:
            self._run(plan.run_id)  # the ledger knows it now
        self._ledger.reserve_together(wanted)

    def _check_account(self, plans: Sequence[RunPlan], wanted: Sequence[Wanted]) -> None:
        """Refuse a fleet that was not begun and takes more than an account has left."""
        if self.state().state != "planned":
            return
        needed: dict[str, float] = {}
        first: dict[str, RunPlan] = {}
        for plan, want in zip(plans, wanted, strict=True):
            if plan.is_qpu:
                kind = plan.target.partition(":")[0]
                first.setdefault(kind, plan)
                needed[kind] = needed.get(kind, 0.0) + sum(part[1] for part in want.parts)
        for kind, plan in first.items():
            left = self._run(plan.run_id).seconds_left()
            if left is not None and needed[kind] > left:
                raise BudgetExceeded(
                    f"'{kind}' says that the account has {left:.6g} QPU seconds left, and run "
                    f"{self._fleet.fleet_id} takes about {needed[kind]:.6g} there; plan fewer shots or "
                    "images, or wait."
                )

    # -- a turn -------------------------------------------------------------------------------

    def _turn(self, member: FleetMember) -> bool:
        """Let a run go as far as it does without waiting; return True if it went on at all."""
        run_id = member.run_id
        if run_id in self._stuck:
            return False
        failed = self._failed_jobs(run_id)
        try:
            return self._attended(run_id)
        except PolicyStops as error:  # nobody may answer: no failure of the device
            self._stuck[run_id] = error
            return False
        except JobFailed as error:
            # Cancelled by somebody, whose will it is; or paid, and its results cannot be used.
            if error.cancelled or self._failed_jobs(run_id) == failed:
                self._stuck[run_id] = error
                return False
            if self._decides(run_id):
                return self._fell_back(run_id, error)
            self._failures[run_id] = self._failures.get(run_id, 0) + 1
            free = all(
                each["seconds"] == 0.0
                for each in self._ledger.jobs(run_id)
                if each["state"] == "failed"
            )
            if free and self._failures[run_id] < self._settings.job_attempts:
                return True  # the next turn sends it again
            return self._give_up(run_id, error)
        except (TargetUnavailable, JobRefused) as error:
            return self._give_up(run_id, error)
        except (ServiceUnavailable, SubmissionUncertain, BudgetExceeded) as error:
            # Its job may exist, and nothing moves until that is known; or a policy insists on a
            # device that no budget pays.
            self._stuck[run_id] = error
            return False

    def _failed_jobs(self, run_id: str) -> int:
        return sum(each["state"] == "failed" for each in self._ledger.jobs(run_id))

    def _attended(self, run_id: str) -> bool:
        run = self._run(run_id)
        waiting = run.waiting()
        if waiting:
            told = "waits in the queue" if waiting[0].queued else "runs"
            if self._told.get(run_id) != (waiting[0].part, told):
                self._told[run_id] = (waiting[0].part, told)
                self._progress(Message(f"{self._plan(run_id).target}: {waiting[0].part} {told}"))
            self._check_wait(run_id, waiting)
            if all(each.queued for each in waiting):
                if run.impatient(max(each.seconds for each in waiting)):
                    return True
                self._check_device(run_id)
            return False
        if not self._decides(run_id):  # else the policy is told what the device says
            self._check_device(run_id)
        before = self._reached(run_id)
        run.go(detach=True)
        return self._reached(run_id) != before

    def _decides(self, run_id: str) -> bool:
        """Return True if a routing policy is asked about each failure, and not another device."""
        plan = self._plan(run_id)
        return plan.routing is not None and set(self._others()) <= {plan.target}

    def _reached(self, run_id: str) -> tuple[object, ...]:
        state = self._ledger.run_state(run_id)
        jobs = [(each.part, each.state) for each in self._ledger.intentions(run_id)]
        return state.state, state.step, jobs

    def _check_wait(self, run_id: str, waiting: Sequence[Waiting]) -> None:
        """Refuse a job that waits in the queue for longer than the fleet allows."""
        most = self._fleet.longest_wait_seconds
        late = [
            each for each in waiting if each.queued and most is not None and each.seconds > most
        ]
        if late:
            raise TargetUnavailable(
                f"{late[0].part} of run {run_id} waits in the queue of {self._plan(run_id).target} for "
                f"{late[0].seconds:.0f} s, longer than {most:g} s."
            )

    def _check_device(self, run_id: str) -> None:
        """Refuse a device that takes no jobs now; it is not asked more often than need be.

        Raises:
            TargetUnavailable: If it is paused or gone.
        """
        text = self._plan(run_id).target
        target, now = parse_target(text), time.monotonic()
        often = LOOKS * self._settings.poll_seconds
        if target.kind not in ("ibm", "provider") or now - self._looked.get(text, -often) < often:
            return
        try:
            self._look(target)
        except UnknownName as error:
            raise TargetUnavailable(str(error)) from error
        self._looked[text] = now

    # -- moving -------------------------------------------------------------------------------

    def _give_up(self, run_id: str, error: QdmError) -> bool:
        """Move the images of a run to other devices; where there is none, keep it and its error."""
        text = self._plan(run_id).target
        self._failed_here.add(text)
        if not self._others():
            return self._fell_back(run_id, error)
        reason = " ".join(str(error).split())
        self._progress(Message(f"{text} is given up: {reason}"))
        self._ledger.retire(self._fleet.fleet_id, run_id, reason)
        return self._move(run_id)

    def _fell_back(self, run_id: str, error: QdmError) -> bool:
        """Let a run's routing policy answer for a device that nobody can stand in for."""
        try:
            if self._run(run_id).fall_back(error):
                return True
        except QdmError as other:  # its job may exist: nothing is answered twice
            error = other
        self._stuck[run_id] = error
        return False

    def _finish_moves(self) -> None:
        """Go on with moves that an earlier process began."""
        for member in self._ledger.fleet_members(self._fleet.fleet_id):
            if member.retired is not None and member.moved is None:
                self._failed_here.add(self._plan(member.run_id).target)
                self._move(member.run_id)

    def _move(self, run_id: str) -> bool:
        """Plan the open images of a run that was given up on other devices, once no job of it is left.

        What forbids that now is kept for the end: the other runs go on.
        """
        if self._is_done(run_id):
            return True
        try:
            self._run(run_id).retire()
            if not self._is_done(run_id):  # its last counts may have been there
                self._hand_over(run_id)
        except QdmError as error:
            self._stuck[run_id] = error
            return False
        return True

    def _hand_over(self, run_id: str) -> None:
        """Plan the images of a run that has ended, and record who takes them.

        Raises:
            BudgetExceeded: If the budget does not allow that; the images wait for it.
            QdmError: If no device can take them.
        """
        plan = self._plan(run_id)
        found = recorded_state(plan)
        before = 0 if plan.share is None else plan.share.begins_at
        state, begins_at = found.state, before + found.steps
        if state is None and before and not found.again:
            state = _state_at_start(plan)
        elif found.again:
            begins_at = 0
            self._progress(
                Message(
                    f"{plan.target}: the sampler looks back on earlier steps, so {found.again} of them "
                    "are answered again"
                )
            )
        plans = self._replan(self._fleet, plan, state, begins_at, self._others())
        for each in plans:
            self._ledger.add_run(
                each.run_id,
                plan_sha256=each.content_sha256,
                budget=each.budget,
                total_steps=len(each.steps),
                seconds_estimated=each.total_seconds,
            )
        try:
            self._ledger.move(self._fleet.fleet_id, run_id, [_wanted(each) for each in plans])
        except BudgetExceeded as error:
            self._ledger.event(self._fleet.fleet_id, "move-refused", member=run_id)
            raise BudgetExceeded(
                f"The {plan.num_images} images that {plan.target} leaves open cannot move: {error} "
                f"Then `qdm run resume {self._fleet.fleet_id}` goes on with them."
            ) from None
        for each in plans:
            self._progress(Message(f"{each.num_images} images go to {each.target}"))

    def _others(self) -> list[str]:
        """Return the targets that may take images: those that have not failed.

        Where all have, those that failed in earlier processes are tried once more.
        """
        targets = [each.target for each in self._fleet.costs]
        retired = {
            self._plan(each.run_id).target
            for each in self._ledger.fleet_members(self._fleet.fleet_id)
            if each.retired is not None
        }
        sound = [each for each in targets if each not in retired | self._failed_here]
        return sound or [each for each in targets if each not in self._failed_here]

    # -- the end ------------------------------------------------------------------------------

    def _end(self) -> FleetState:
        """Write what the fleet ends with, or raise what holds it up."""
        if self._stuck:
            errors = list(self._stuck.values())
            raise errors[0]
        members = self._ledger.fleet_members(self._fleet.fleet_id)
        done = all(
            self._is_done(each.run_id) or (each.retired is not None and each.moved is not None)
            for each in members
        )
        if done and members and not is_finished(self._fleet):
            write_results(self._fleet, self._ledger)
            self._ledger.event(self._fleet.fleet_id, "fleet-done")
        return self.state()


def reserved_parts(plan: RunPlan) -> list[tuple[str, float, int]]:
    """Return name, QPU seconds and shots of each job of a run that has no counts yet.

    A calibration and a refit that the run is expected to take are among them. Where a policy decides
    step by step, nothing is reserved before it has.
    """
    if plan.routing is not None:
        return []
    folder = plan.folder
    parts = [each for each in plan.parts() if not counts_path(folder, each[0]).exists()]
    if not parts:
        return []
    now = with_found_calibration(plan, folder.parent)
    wanted, refit = now.new_calibration, now.new_refit
    if wanted is not None and not calibration_names(folder):
        parts.append(("calibration-0001", wanted.seconds, wanted.shots * wanted.circuits))
    if refit is not None and not calibration_names(folder, "refit"):
        parts.append(("refit-0001", refit.seconds, refit.executions))
    return parts


def _wanted(plan: RunPlan) -> Wanted:
    return Wanted(plan.run_id, paying_budget(plan), reserved_parts(plan))


def _state_at_start(plan: RunPlan) -> np.ndarray:
    return read_inputs(plan)[0]
