"""Plan a run that several devices share, send it, and find it again.

Only :meth:`Fleet.submit` with ``yes=True``, and :meth:`Fleet.resume` of a run that began so, can spend
QPU time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import numpy as np

from ..arguments import checked_path, checked_text
from ..errors import InvalidData, InvalidOption, MissingData
from ..evaluation.step_decisions import RoutedStep
from ..execution.devices import DeviceLike
from ..hardware.ledger.ledger import FILE, Ledger
from ..hardware.ledger.run_files import IMAGES
from ..hardware.plan.config import PlanConfig
from ..hardware.plan.fleet_plan import FLEET, FleetPlan, read_fleet
from ..hardware.plan.plan_file import read_plan
from ..hardware.plan.prepare import with_found_calibration
from ..hardware.plan.prepare_fleet import draft_fleet, draft_moved, write_draft
from ..hardware.plan.routing import RoutingPolicy
from ..hardware.plan.run_plan import PLAN, RunPlan
from ..hardware.providers.settings import ServiceSettings
from ..hardware.run.fleet import FleetRun, driven_fleet
from ..hardware.run.fleet_results import (
    FleetReplay,
    FleetState,
    fleet_state,
    recorded_members,
    replay_fleet,
)
from ..hardware.run.verify import Verification, verify_run
from ..notebook import card, one_line, table
from ..progress import Message, Progress, silent
from ..sampling.samples import read_images
from .hardware import check_budget_of, config_of
from .hardware_run import HardwareRun
from .looks import look_for
from .recorded_runs import ROOT, fleet_folders, folder_of, root_folder, run_folders

__all__ = ["Fleet", "find_run", "fleet_price", "plan_fleet"]


@final
class Fleet:
    """A hardware run whose images several devices share: its plan, state, cost and images.

    It holds the folder only and reads the rest when asked, so it is never stale.

    Args:
        folder: The fleet's folder.

    Raises:
        MissingData: If there is no plan of a fleet in the folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = checked_path(folder, "folder")
        if not (self.folder / FLEET).is_file():
            raise MissingData(
                f"There is no fleet in {self.folder}: {self.folder / FLEET} is missing."
            )

    @classmethod
    def all(cls, root: str | Path = ROOT) -> tuple[Fleet, ...]:
        """Return all fleets of a root folder, oldest first."""
        return tuple(cls(folder) for folder in fleet_folders(root_folder(root)))

    @property
    def plan(self) -> FleetPlan:
        """The plan, read and checked."""
        return read_fleet(self.folder)

    @property
    def state(self) -> FleetState:
        """State of all its runs, from the ledger; no service is asked."""
        with self._ledger() as ledger:
            return fleet_state(self.plan, ledger)

    @property
    def note(self) -> str | None:
        """Note on a plan of an earlier version; None, for there was no earlier format."""
        return None

    @property
    def runs(self) -> tuple[HardwareRun, ...]:
        """Its runs, each of one device, in the order in which they came."""
        with self._ledger() as ledger:
            members = recorded_members(self.plan, ledger)
        return tuple(HardwareRun(self.folder.parent / each.run_id) for each in members)

    @property
    def decisions(self) -> dict[str, tuple[RoutedStep, ...]]:
        """Decisions of the routing policy of each run, by its id; empty without a policy."""
        if self.plan.config.routing is None:
            return {}
        return {each.folder.name: each.decisions for each in self.runs}

    @property
    def images(self) -> np.ndarray | None:
        """``(count, channels, height, width)`` in [0, 1]; None before all are done."""
        path = self.folder / IMAGES
        if not path.is_file():
            return None
        try:
            return read_images(path, self.plan.num_images)
        except InvalidData as error:
            raise InvalidData(
                f"{path} cannot be used: {error}; move it away, and `qdm run resume` makes it again."
            ) from error

    def submit(
        self,
        *,
        yes: bool = False,
        detach: bool = False,
        progress: Progress = silent,
        settings: ServiceSettings | None = None,
        routing: RoutingPolicy | None = None,
    ) -> Fleet:
        """Send all runs and work through their chains side by side; this may spend QPU time.

        Args:
            yes: True to really send the jobs, and pay. Else an error states the price.
            detach: True to return when the first job of each device is sent.
            progress: Receives the progress messages.
            settings: Limits and intervals; by default those of the root's ``service.json``.
            routing: The policy object, for a plan with ``routing="given"``; all groups ask it.

        Raises:
            InvalidOption: Without ``yes``; the message states the cost.
            BudgetExceeded: If the budget does not allow all of it together; nothing is sent then.
            Others: As :meth:`.HardwareRun.submit`, when all runs are as far as they can be.
        """
        if not yes:
            raise InvalidOption(
                f"{fleet_price(self)}; nothing was sent. Send it with submit(..., yes=True)."
            )
        return self._driven(lambda run: run.go(detach=detach), progress, settings, routing)

    def resume(
        self,
        *,
        progress: Progress = silent,
        settings: ServiceSettings | None = None,
        routing: RoutingPolicy | None = None,
    ) -> Fleet:
        """Go on with all runs where they stand, and with images that were about to move.

        Raises:
            MissingData: If it was never submitted.
            Others: As :meth:`submit`.
        """
        if self.state.state == "planned":
            name = self.folder.name
            raise MissingData(f"Run {name} was not submitted yet; `qdm run submit {name} --yes`.")
        return self._driven(lambda run: run.go(detach=False), progress, settings, routing)

    def collect(
        self, *, progress: Progress = silent, settings: ServiceSettings | None = None
    ) -> Fleet:
        """Fetch finished jobs and record their cost; send nothing new."""
        if self.state.state == "planned":
            raise MissingData(
                f"Run {self.folder.name} was not submitted yet; there is nothing to collect."
            )
        return self._driven(lambda run: run.collect(), progress, settings)

    def cancel(
        self, *, progress: Progress = silent, settings: ServiceSettings | None = None
    ) -> Fleet:
        """Cancel the jobs that wait or run, and release what is reserved for the rest."""
        return self._driven(lambda run: run.cancel(), progress, settings)

    def verify(
        self,
        *,
        repair: bool = False,
        progress: Progress = silent,
        settings: ServiceSettings | None = None,
    ) -> tuple[Verification, ...]:
        """Compare ledger, folder and account of each run, job by job; nothing is sent."""
        return tuple(
            verify_run(
                self.folder.parent,
                each.folder.name,
                repair=repair,
                progress=progress,
                settings=settings,
            )
            for each in self.runs
        )

    def replay(self) -> FleetReplay:
        """Compute all images again from the records of the runs, and compare them with the stored."""
        return replay_fleet(self.plan)

    def _driven(
        self,
        work: Callable[[FleetRun], FleetState],
        progress: Progress,
        settings: ServiceSettings | None,
        routing: RoutingPolicy | None = None,
    ) -> Fleet:
        root = self.folder.parent
        look = look_for(root)

        def replan(
            fleet: FleetPlan,
            failed: RunPlan,
            state: np.ndarray | None,
            begins_at: int,
            targets: Sequence[str],
        ) -> list[RunPlan]:
            drafts = draft_moved(
                fleet, failed, state, begins_at, targets, root=root, look=look, progress=progress
            )
            return [write_draft(each, root) for each in drafts]

        with driven_fleet(
            self.plan, look, replan, progress=progress, settings=settings, routing=routing
        ) as run:
            work(run)
        return self

    @contextmanager
    def _ledger(self) -> Iterator[Ledger | None]:
        root = self.folder.parent
        if not list(root.glob(f"{FILE}*")):
            yield None
            return
        ledger = Ledger.open_to_read(root)
        try:
            yield ledger
        finally:
            ledger.close()

    def __repr__(self) -> str:
        return one_line("Fleet", self.folder.name, f"in {self.folder.parent}")

    def _repr_html_(self) -> str:
        """Return state and cost of each run as HTML."""
        state = self.state
        head = ("device", "images", "state", "jobs", "QPU s, estimated", "charged")
        rows = [
            (
                each.target,
                each.images,
                "given up" if each.retired else each.run.state,
                each.run.jobs,
                f"{each.run.seconds_estimated:.1f}",
                f"{each.run.seconds_charged:.1f}",
            )
            for each in state.members
        ]
        return card(state.fleet_id, state.as_run().shown(), table(head, rows), about="hardware run")


def plan_fleet(
    run: str | Path,
    targets: Sequence[str | DeviceLike] | None = None,
    *,
    split: str = "auto",
    longest_wait_seconds: float | None = None,
    config: PlanConfig | None = None,
    root: str | Path = ROOT,
    progress: Progress = silent,
    **options: Any,
) -> Fleet:
    """Plan a sampling run whose images several devices share; free, nothing is sent.

    Args:
        run: Folder of a trained run, or of one of its checkpoints.
        targets: The devices, two or more, as for :func:`qdm_qiskit.plan`.
        split: ``"auto"`` by the cost of an image and the queue of each device, ``"even"``, or the
            images of each device: ``"12,4"``.
        longest_wait_seconds: Longest that a job may wait in a device's queue before its images move
            to the others; None for ever.
        config: All options at once, targets included, in place of ``targets`` and ``options``.
        root: Folder of all hardware runs.
        progress: Receives the progress messages.
        options: As for :func:`qdm_qiskit.plan`: ``num_images=16``, ``shots=1024``, ``budget="open"``.

    Returns:
        The fleet; ``.submit(yes=True)`` sends it.

    Raises:
        InvalidOption: If a device is named twice, or an option is unknown or does not fit.
        UnsupportedCircuit: If a device is too small.
        UnknownName, TargetUnavailable: If there is no such device or budget.
        OutputNotWritable: If this very run is planned already, or a folder cannot be written.

    >>> import tempfile
    >>> from qdm_qiskit.tasks import plan_fleet, train
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     small = dict(image_size=2, depth=1, num_steps=2, train_count=8, epochs=1, baseline=False)
    ...     run = train("eeqdm", f"{folder}/first", **small).run
    ...     small = dict(num_images=3, shots=64, root=f"{folder}/runs")
    ...     sent = plan_fleet(run, ["aer", "engine"], **small).submit(yes=True)
    ...     print(sent.state.state, [len(each.images) for each in sent.runs], sent.replay().equal)
    done [2, 1] True
    """
    root = root_folder(root)
    checked_text(split, "split")
    made, _ = config_of(None if targets is None else list(targets), None, config, options)
    check_budget_of(made)
    ledger = Ledger.open(root)
    try:
        for notice in ledger.notices:
            progress(Message(notice))
        if made.budget is not None:
            ledger.budget(made.budget)  # refuses one that is not there
        draft = draft_fleet(
            checked_path(run, "run"),
            made,
            root=root,
            look=look_for(root),
            split=split,
            longest_wait_seconds=longest_wait_seconds,
            progress=progress,
        )
        plan = draft.write(root)
        for each in draft.runs:
            ledger.add_run(
                each.plan.run_id,
                plan_sha256=each.plan.content_sha256,
                budget=each.plan.budget,
                total_steps=len(each.plan.steps),
                seconds_estimated=each.plan.total_seconds,
            )
        ledger.add_fleet(
            plan.fleet_id, plan_sha256=plan.content_sha256, members=list(plan.members())
        )
    finally:
        ledger.close()
    return Fleet(plan.folder)


def fleet_price(fleet: Fleet) -> str:
    """Describe in words the cost of a fleet if it were sent now."""
    plans = [with_found_calibration(each.plan, fleet.folder.parent) for each in fleet.runs]
    jobs, shots = sum(each.num_jobs for each in plans), sum(each.total_shots for each in plans)
    seconds, most = (
        sum(each.total_seconds for each in plans),
        sum(each.most_seconds for each in plans),
    )
    where = ", ".join(
        each.target if each.is_qpu else f"{each.target} (which charges nothing)" for each in plans
    )
    more = f" ({most:.1f} if all is calibrated anew)" if most > seconds else ""
    return (
        f"Run {fleet.folder.name} takes {jobs} jobs, {shots} shots and about {seconds:.1f} QPU "
        f"seconds{more} on {where}"
    )


def find_run(run: str | Path, *, root: str | Path = ROOT) -> HardwareRun | Fleet:
    """Return a run, or one that several devices share, by id, folder, plan, or ``"latest"``.

    Runs of a fleet are not the latest: the fleet is.

    Raises:
        MissingData: If there is none.
    """
    root = root_folder(root)
    text = str(checked_path(run, "run"))
    if text == "latest":
        return _latest(root)
    folder = folder_of(text, root, FLEET)
    if folder is not None:
        return Fleet(folder)
    return HardwareRun.find(run, root=root)


def _latest(root: Path) -> HardwareRun | Fleet:
    """Return the run, or fleet, that was planned last."""
    fleets = {folder: folder / FLEET for folder in fleet_folders(root)}
    plans = {folder: folder / PLAN for folder in run_folders(root)}
    every = sorted(
        {**fleets, **plans}.items(), key=lambda item: item[1].stat().st_mtime_ns, reverse=True
    )
    for folder, _ in every:
        if folder in fleets:
            return Fleet(folder)
        if not _is_shared(folder):
            return HardwareRun(folder)
    return HardwareRun.find("latest", root=root)


def _is_shared(folder: Path) -> bool:
    try:
        return read_plan(folder).share is not None
    except ValueError:  # a damaged plan is shown by whoever reads it next
        return False
