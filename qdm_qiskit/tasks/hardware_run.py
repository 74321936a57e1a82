"""A hardware run in its folder: sent, found again in any process, and what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np

from ..archives import read_arrays
from ..arguments import checked_path
from ..data import grid_png
from ..errors import InvalidData, InvalidOption, InvalidPlan, MissingData
from ..evaluation.step_decisions import RoutedStep, routed_steps
from ..hardware.ledger.ledger import FILE, Ledger, RunState
from ..hardware.ledger.output_files import read_outputs
from ..hardware.ledger.run_files import IMAGES
from ..hardware.ledger.trained_files import TRAINED, read_training
from ..hardware.plan.plan_file import read_plan
from ..hardware.plan.prepare import with_found_calibration
from ..hardware.plan.routing import RoutingPolicy
from ..hardware.plan.run_plan import PLAN, RunPlan
from ..hardware.plan.types import Look
from ..hardware.providers.base import Provider
from ..hardware.providers.settings import ServiceSettings
from ..hardware.run.commands import cancel_run, collect_run, resume_run, submit_run
from ..hardware.run.replay import Replay
from ..hardware.run.replay import replay as replay_folder
from ..hardware.run.verify import Verification, verify_run
from ..notebook import Markup, card, facts, note, one_line, picture
from ..progress import Progress, silent
from .looks import look_for
from .recorded_runs import ROOT, folder_of, root_folder, run_folders, states_of

if TYPE_CHECKING:
    from ..sampling import Sampler

__all__ = ["HardwareRun", "price"]


@final
class HardwareRun:
    """A hardware run: its plan, state, cost and images, or outputs of a QNN, or a trained model.

    It holds the folder only and reads the rest when asked, so it is never stale: a run goes on in
    any process.

    Args:
        folder: The run's folder.

    Raises:
        MissingData: If there is no plan in the folder.

    >>> import tempfile, qdm_qiskit as qdm
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     small = dict(image_size=2, depth=1, num_steps=2, train_count=8, epochs=1, baseline=False)
    ...     run = qdm.train("eeqdm", f"{folder}/first", **small).run
    ...     planned = qdm.plan(run, "aer", num_images=2, shots=64, root=f"{folder}/runs")
    ...     found = qdm.HardwareRun.find("latest", root=f"{folder}/runs")
    ...     print(found.state.state, found.plan == planned, found.images)
    planned True None
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = checked_path(folder, "folder")
        if not (self.folder / PLAN).is_file():
            raise MissingData(f"There is no run in {self.folder}: {self.folder / PLAN} is missing.")

    @classmethod
    def find(cls, run: str | Path, *, root: str | Path = ROOT) -> HardwareRun:
        """Return a run by its id, its folder, its ``plan.json``, or ``"latest"``.

        Raises:
            MissingData: If there is none.
        """
        root = root_folder(root)
        text = str(checked_path(run, "run"))
        if text == "latest":
            folders = run_folders(root)
            if not folders:
                raise MissingData(f"There are no runs in {root}; plan one with `qdm run plan`.")
            return cls(max(folders, key=lambda folder: (folder / PLAN).stat().st_mtime_ns))
        folder = folder_of(text, root, PLAN)
        if folder is not None:
            return cls(folder)
        raise MissingData(
            f"There is no run '{text}' in {root}, nor a plan of that name; `qdm run list` lists the "
            "runs, another root may hold it."
        )

    @classmethod
    def all(cls, root: str | Path = ROOT) -> tuple[HardwareRun, ...]:
        """Return all runs of a root folder, oldest first."""
        return tuple(cls(folder) for folder in run_folders(root_folder(root)))

    @property
    def plan(self) -> RunPlan:
        """The plan, read and checked."""
        return read_plan(self.folder)

    @property
    def state(self) -> RunState:
        """State of the run, from the ledger; no service is asked."""
        return states_of([self.folder])[0]

    @property
    def note(self) -> str | None:
        """Note if an earlier version planned the run otherwise than this one would; else None."""
        try:
            return self.plan.note
        except InvalidPlan:
            return None

    @property
    def images(self) -> np.ndarray | None:
        """``(count, channels, height, width)`` in [0, 1]; None before the run is done."""
        path = self.folder / IMAGES
        if not path.is_file():
            return None
        try:
            return read_arrays(path, ["images"])["images"]
        except (InvalidData, KeyError) as error:
            raise InvalidData(
                f"{path} cannot be used: {error}; move it away, and `qdm run resume` makes it again."
            ) from error

    @property
    def trained(self) -> Path | None:
        """Run folder of the model that the run trained, for :func:`qdm_qiskit.sample` and others; None
        before it is done, and of runs that train nothing.
        """
        return None if read_training(self.folder) is None else self.folder / TRAINED

    @property
    def losses(self) -> tuple[float, ...] | None:
        """Loss of each optimizer step of a training run, by the counts; None before it is done."""
        found = read_training(self.folder)
        return None if found is None else found.losses

    @property
    def outputs(self) -> np.ndarray | None:
        """Outputs of a QNN, ``(..., *output_shape)``; None before the run is done, and of a model."""
        found = read_outputs(self.folder)
        return None if found is None else found.outputs

    @property
    def standard_errors(self) -> np.ndarray | None:
        """Standard errors of the outputs, of their shape; None where there are none."""
        found = read_outputs(self.folder)
        return None if found is None else found.standard_errors

    @property
    def decisions(self) -> tuple[RoutedStep, ...]:
        """Decisions of its routing policy, with their costs by the ledger; none without a policy.

        Raises:
            InvalidData: If one cannot be read.
        """
        plan, root = self.plan, self.folder.parent
        if plan.routing is None:
            return ()
        jobs = None
        if list(root.glob(f"{FILE}*")):
            ledger = Ledger.open_to_read(root)
            try:
                jobs = [
                    {**job, "seconds_charged": job["seconds"]}
                    for job in ledger.jobs(self.folder.name)
                ]
            finally:
                ledger.close()
        return routed_steps(plan, self.folder, jobs)

    def submit(
        self,
        *,
        yes: bool = False,
        detach: bool = False,
        progress: Progress = silent,
        settings: ServiceSettings | None = None,
        provider: Provider | None = None,
        sampler: Sampler | None = None,
        routing: RoutingPolicy | None = None,
    ) -> HardwareRun:
        """Send the run; see :func:`submit`."""
        if not yes:
            raise InvalidOption(
                f"{price(self.plan)}; nothing was sent. Send it with submit(..., yes=True)."
            )
        submit_run(
            self.folder,
            detach=detach,
            progress=progress,
            settings=settings,
            provider=provider,
            sampler=sampler,
            routing=routing,
            look=self._look(),
        )
        return self

    def resume(
        self,
        *,
        progress: Progress = silent,
        settings: ServiceSettings | None = None,
        provider: Provider | None = None,
        sampler: Sampler | None = None,
        routing: RoutingPolicy | None = None,
    ) -> HardwareRun:
        """Go on with the run; see :func:`resume`."""
        resume_run(
            self.folder.parent,
            self.folder.name,
            progress=progress,
            settings=settings,
            provider=provider,
            sampler=sampler,
            routing=routing,
            look=self._look(),
        )
        return self

    def collect(
        self,
        *,
        progress: Progress = silent,
        settings: ServiceSettings | None = None,
        provider: Provider | None = None,
        sampler: Sampler | None = None,
    ) -> HardwareRun:
        """Fetch finished jobs and record their cost; send nothing new."""
        collect_run(
            self.folder.parent,
            self.folder.name,
            progress=progress,
            settings=settings,
            provider=provider,
            sampler=sampler,
        )
        return self

    def cancel(
        self,
        *,
        progress: Progress = silent,
        settings: ServiceSettings | None = None,
        provider: Provider | None = None,
        sampler: Sampler | None = None,
    ) -> HardwareRun:
        """Cancel the jobs that wait or run, and release what is reserved for the rest."""
        cancel_run(
            self.folder.parent,
            self.folder.name,
            progress=progress,
            settings=settings,
            provider=provider,
            sampler=sampler,
        )
        return self

    def verify(
        self,
        *,
        repair: bool = False,
        progress: Progress = silent,
        settings: ServiceSettings | None = None,
        provider: Provider | None = None,
    ) -> Verification:
        """Compare ledger, folder and account of the run, job by job; nothing is sent.

        Args:
            repair: True to bring the ledger to what the account says.
            progress: Receives what happens, in words.
            settings: Limits and intervals; by default those of the root's ``service.json``.
            provider: The provider object, where no package brings it.

        Returns:
            The jobs with what was charged and settled, and what is not as it should be.
        """
        return verify_run(
            self.folder.parent,
            self.folder.name,
            repair=repair,
            progress=progress,
            settings=settings,
            provider=provider,
        )

    def replay(self, *, sampler: Sampler | None = None) -> Replay:
        """Compute the images again from the record; see :func:`replay`."""
        return replay_folder(self.folder, sampler=sampler)

    def _look(self) -> Look | None:
        """Return the look at the target that a routing policy needs."""
        return None if self.plan.routing is None else look_for(self.folder.parent)

    def __repr__(self) -> str:
        return one_line("HardwareRun", self.folder.name, f"in {self.folder.parent}")

    def _repr_html_(self) -> str:
        """Return progress, results and spending as HTML; a damaged plan is shown, not raised."""
        try:
            state = self.state
        except InvalidPlan as error:
            return card(self.folder.name, note(error), about="hardware run")
        about = facts([("folder", self.folder), ("note", self.note)])
        parts: list[Markup] = [state.shown(), about]
        images = self.images
        if images is not None:
            parts.append(picture(grid_png(images), f"{len(images)} images of the run"))
        trained, losses = self.trained, self.losses
        if losses is not None:
            ends = [("first loss", losses[0]), ("last loss", losses[-1])]
            parts.append(facts([("trained run", trained), *ends]))
        outputs, errors = self.outputs, self.standard_errors
        if outputs is not None:
            largest = None if errors is None else float(errors.max())
            named = [("outputs", str(outputs.shape)), ("largest standard error", largest)]
            parts.append(facts(named))
        return card(state.run_id, *parts, about="hardware run")


def price(plan: RunPlan) -> str:
    """Describe in words the cost of a plan if it were sent now.

    The calibration that planning found may be stale now, and there may be another one.
    """
    now = with_found_calibration(plan, plan.folder.parent)
    where = plan.target if plan.is_qpu else f"{plan.target}, which charges nothing"
    most = ""
    if now.most_seconds > now.total_seconds:
        most = f" ({now.most_seconds:.1f} if {now.anew})"
    return (
        f"Run {plan.run_id} takes {now.num_jobs} jobs, {now.total_shots} shots and about "
        f"{now.total_seconds:.1f} QPU seconds{most} on {where}"
    )
