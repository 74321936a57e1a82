"""Make the plan of a hardware run: circuits, layout, shots and estimated seconds; nothing is sent."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qiskit.providers import BackendV2

from ...arguments import checked_path, of_kind, wrong
from ...errors import InvalidOption, OutputNotWritable, TargetUnavailable
from ...execution.targets import Target, parse_target
from ...files import check_writable, write_bytes
from ...progress import Progress, silent
from ..ledger.ledger import FILE, Ledger
from . import files as plan_contents
from .calibration_reuse import reusable
from .chain_work import chain_choice, whole_chain
from .circuits import (
    calibrated_at,
    find_device,
    is_device,
    is_one_circuit,
)
from .config import DAY_SECONDS, PlanConfig
from .job_limits import with_learnt_limits
from .plan_file import read_plan, write_plan
from .refit_plan import REFIT, FoundRefit
from .refit_reuse import reusable_refit
from .refits import asked_refit, check_refit_target
from .routing import check_routed, policy_record
from .run_plan import CIRCUITS, INPUTS, PLAN, Decision, FoundCalibration, RunPlan, files_of
from .share import SharePlan
from .shots import TWIRLING_BUCKET, check_limits, outgrow_a_job
from .tiled_calls import check_tiles
from .types import Availability, ProviderRecord
from .work import Destination, Work, many_calls, one_circuit, outgrown, recorded_work

if TYPE_CHECKING:
    from ...sampling import Sampler, TrainedRun

__all__ = [
    "DAY_SECONDS",
    "TWIRLING_BUCKET",
    "Draft",
    "PlanConfig",
    "chosen_target",
    "draft_plan",
    "make_plan",
    "recorded_place",
    "with_found_calibration",
]


@dataclass(frozen=True)
class Draft:
    """A plan that is not written yet."""

    plan: RunPlan
    contents: Mapping[str, bytes]
    """The files beside it, by their path in the run's folder."""

    def write(self, root: Path, decisions: Sequence[Decision] = ()) -> RunPlan:
        """Write the run's folder, all of it or nothing.

        Args:
            root: Folder of all hardware runs.
            decisions: Verdicts of the fallback policy.

        Returns:
            The plan, as :func:`~qdm_qiskit.hardware.plan.plan_file.read_plan` reads it from the folder.

        Raises:
            OutputNotWritable: If this very run was planned already, or the folder cannot be written.
        """
        plan = dataclasses.replace(self.plan, decisions=tuple(decisions))
        return _write(plan, self.contents, root)


def make_plan(
    run: str | Path,
    config: PlanConfig,
    *,
    root: str | Path,
    backend: BackendV2 | None = None,
    provider: Any = None,
    sampler: Sampler | None = None,
    today: date | None = None,
    progress: Progress = silent,
) -> RunPlan:
    """Plan a run on its first target and write its folder; free, and no job is sent.

    Args, errors: as for :func:`draft_plan` and :meth:`Draft.write`; also

        provider: A provider object (:class:`qdm_qiskit.hardware.providers.base.Provider`): the run
            is planned for its ``NAME:DEVICE``, in the place of the configuration's targets.
    """
    run, root = checked_path(run, "run"), checked_path(root, "root")
    of_kind(config, PlanConfig, "config")
    if backend is not None:
        of_kind(
            backend, BackendV2, "backend", "a target names a snapshot, as in 'local:fake_torino'"
        )
    check_writable(root)
    offered = None
    if provider is not None:
        if isinstance(provider, type) or not callable(getattr(provider, "offered", None)):
            raise wrong(provider, "provider", "a Provider of hardware.providers.base")
        offered = provider.offered()
        backend = offered.backend
        config = dataclasses.replace(config, targets=(provider.target,))
    draft = draft_plan(
        run,
        config,
        root=root,
        backend=backend,
        availability=offered,
        sampler=sampler,
        today=today,
        progress=progress,
    )
    return draft.write(root)


def draft_plan(
    run: Path,
    config: PlanConfig,
    *,
    target: str | None = None,
    root: Path | None = None,
    backend: BackendV2 | None = None,
    availability: Availability | None = None,
    sampler: Sampler | None = None,
    today: date | None = None,
    progress: Progress = silent,
    share: SharePlan | None = None,
    state: np.ndarray | None = None,
) -> Draft:
    """Plan a run; nothing is written.

    Args:
        run: Folder of a trained run, or of one of its checkpoints.
        config: Options of the run.
        target: The target of ``config.targets`` to plan for; the first if None.
        root: Folder of all hardware runs, where a calibration that can be used again is looked for;
            None expects to take one.
        backend: The QPU, for an ``ibm:`` target; other targets find their own, and take no other.
        availability: State of the target, from a look at it; needed for another package's provider.
        sampler: A sampler in the place of ``config.scheduler``; it has to be given again to whoever
            sends or replays the run.
        today: The day of planning; today if None.
        progress: Receives each stage of the work, in words.
        share: Images of the configuration's that the run answers, for a fleet; None for all.
        state: Their state after the steps that another run has answered, ``(images, ...)``; None for
            x_T.

    Returns:
        The draft.

    Raises:
        TargetUnavailable: If the model calls no circuit that a target can run, or an ``ibm:`` target
            comes without its backend.
        InvalidOption: If an option does not fit the model or the device, the target is none of
            ``config.targets``, or the backend is not the target's.
    """
    from ...sampling import load_run
    from ...sampling.loader_choice import AUTO
    from ...sampling.trained_run import best_loader

    chosen = chosen_target(config, target)
    config.options.check_target(str(chosen), is_qpu=chosen.kind == "ibm")
    if config.loader is not None and config.loader.startswith(AUTO):
        choice = best_loader(load_run(run), config.loader, seed=config.seed, progress=progress)
        config = replace(config, loader=choice.best.loader)
    trained = load_run(run, loader=config.loader)
    device = find_device(chosen, backend, config.seed)
    if root is not None and chosen.kind == "ibm" and device is not None:
        config = with_learnt_limits(config, root, device.name, progress)
    if config.train is not None:
        return _training(
            trained, config, Destination(chosen, device, availability), root, today, progress
        )
    x, labels = plan_contents.inputs(
        trained, config.num_images, config.label, config.seed, config.start
    )
    if share is not None:
        config, x, labels = _shared(config, share, x, labels, state)
    destination = Destination(chosen, device, availability)
    own_chain = (
        sampler is None
        and (share is None or share.begins_at == 0)
        and config.scheduler == "process"
        and config.eta == 0
        and config.num_inference_steps in (None, trained.process.num_steps)
        and config.primitive == "sampler"
    )
    if config.routing is not None:
        config = replace(config, chain="steps")  # its steps are what is routed
    if config.tile_choice is not None:
        check_tiles(chosen, config.tile_choice)
        own_chain = False  # a tile's rows are a call's
    contents = plan_contents.model_files(trained, config.loader)
    refit = None
    if config.refit is not None:
        check_refit_target(chosen)
        refit = asked_refit(trained, config, contents)
        own_chain = False  # what is fitted is a call's
    coherent, chain = chain_choice(trained, config, sampler)
    if coherent is not None and refit is not None:
        raise InvalidOption(
            "A chain in one circuit has no values between its steps to fit; leave out refit, or take "
            "chain='steps'."
        )
    work: Work | None = None
    if coherent is not None:
        found = whole_chain(trained, coherent, config, destination, x, labels, progress)
        work, chain = (found, None) if isinstance(found, Work) else (None, found)
    elif own_chain and is_one_circuit(trained) and x.dtype == np.float32:
        work = one_circuit(trained, config, destination, progress)
        full = config.schedule == "uniform" and outgrow_a_job(work.steps, availability)
        if full or outgrown(work, config):
            work = None  # jobs of calls are split
    if work is None:
        begins_at = 0 if share is None else share.begins_at
        work = many_calls(
            trained, config, destination, x, labels, sampler, progress, refit, begins_at
        )
    check_limits(
        work.steps if work.calls is None else (),
        work.calibration,
        device,
        config.options.max_execution_seconds,
        availability,
        config,
    )
    if config.routing is not None:
        wide = () if work.calls is None else [each.plan.qubits for each in work.calls.circuits]
        check_routed(config.routing, max([work.circuit.qubits, *wide]))
    if refit is not None:
        contents[REFIT] = refit.pairs
    contents[CIRCUITS] = plan_contents.qpy_bytes(work.circuits)
    contents[INPUTS] = plan_contents.npz_bytes(x, labels)
    plan = RunPlan(
        date=(today or date.today()).isoformat(),
        model=trained.model.name,
        model_run=_run_name(trained),
        num_steps=trained.process.num_steps,
        image_shape=_triple(trained.model.image_shape),
        state_shape=tuple(int(side) for side in x.shape[1:]),
        targets=config.targets,
        **recorded_place(destination),
        **recorded_work(config, work),
        num_images=config.num_images,
        label=config.label,
        shot_choice=work.choice,
        chain=work.chain or chain,
        estimator=work.estimator,
        refit=work.refit,
        decisions=(),
        share=share,
        routing=None if config.routing is None else policy_record(config.routing),
        files=files_of({path: hashlib.sha256(c).hexdigest() for path, c in contents.items()}),
    )
    return Draft(plan if root is None else with_found_calibration(plan, root), contents)


def _shared(
    config: PlanConfig,
    share: SharePlan,
    x: np.ndarray,
    labels: np.ndarray | None,
    state: np.ndarray | None,
) -> tuple[PlanConfig, np.ndarray, np.ndarray | None]:
    """Return options, states and labels of a share's images alone."""
    rows = list(share.images)
    config = replace(config, num_images=len(rows), groups=1)  # it is one of them
    if share.begins_at:  # the chain went step by step before
        config = replace(config, chain="steps")
    found = x[rows] if state is None else state.astype(x.dtype, copy=False)
    return config, found, None if labels is None else labels[rows]


def _training(
    trained: TrainedRun,
    config: PlanConfig,
    destination: Destination,
    root: Path | None,
    today: date | None,
    progress: Progress,
) -> Draft:
    from .prepare_training import training_draft

    plan, contents = training_draft(
        trained,
        config,
        destination,
        recorded_place(destination),
        _run_name(trained),
        today,
        progress,
    )
    return Draft(plan if root is None else with_found_calibration(plan, root), contents)


def with_found_calibration(plan: RunPlan, root: Path) -> RunPlan:
    """Return the plan with the calibration and the refit that it can expect to use, of earlier runs.

    Args:
        plan: The plan; of its calibration only what it wants is read.
        root: Folder of all hardware runs.

    Returns:
        The plan, which expects a calibration of the same target, backend and qubits, by the same
        method, with as many shots and within its time to live; or to take one. So with a refit.
    """
    wanted, refit = plan.calibration, plan.refit
    if wanted is None and refit is None:
        return plan
    usable, fitted = None, None
    if list(root.glob(f"{FILE}*")):
        ledger = Ledger.open_to_read(root)
        try:
            if wanted is not None:
                usable = reusable(ledger, plan, wanted, ledger.now())
            if refit is not None:
                fitted = reusable_refit(ledger, plan, refit, ledger.now())
        finally:
            ledger.close()
    if wanted is not None:
        found = usable and FoundCalibration(path=usable[1], taken_at=usable[0].taken_at)
        plan = dataclasses.replace(plan, calibration=dataclasses.replace(wanted, found=found))
    if refit is not None:
        again = fitted and FoundRefit(path=fitted[1], taken_at=fitted[0].taken_at)
        plan = dataclasses.replace(plan, refit=dataclasses.replace(refit, found=again))
    return plan


def recorded_place(destination: Destination) -> dict[str, Any]:
    """Return the fields of a plan that say where it runs.

    Raises:
        TargetUnavailable: If nobody has looked at another package's provider.
    """
    target, device = destination.target, destination.device
    name = target.backend if target.backend not in (None, "least_busy") else target.kind
    own = is_device(target) and target.provider is None
    said = None if target.provider is None else _provider(target, destination.availability)
    return {
        # By the name that says which: of least_busy the QPU, of a device of one's own its content.
        "target": f"{target.kind}:{device.name}" if own and device else str(target),
        "backend": str(name) if device is None or target.provider else device.name,
        "provider": said,
        "calibrated_at": calibrated_at(device),
    }


def _provider(target: Target, availability: Availability | None) -> ProviderRecord:
    """Return the record of the provider of a target.

    Raises:
        TargetUnavailable: If nobody has looked at it.
    """
    if availability is None or availability.provider is None:
        raise TargetUnavailable(
            f"Planning for '{target}' asks its provider first; give the provider object, or plan by "
            f"`qdm run plan RUN --target {target}`."
        )
    return availability.provider


def chosen_target(config: PlanConfig, target: str | None) -> Target:
    """Return the target to plan for: the one of that name, or the configuration's first.

    Raises:
        InvalidOption: If it is none of the configuration's targets.
    """
    text = config.targets[0] if target is None else target
    if text not in config.targets:
        raise InvalidOption(
            f"target is one of the configuration's targets {config.targets}, got '{text}'."
        )
    return parse_target(text)


def _run_name(trained: TrainedRun) -> str:
    return trained.checkpoint.resolve().parent.parent.name[:128]


def _triple(shape: Sequence[int]) -> tuple[int, int, int]:
    channels, height, width = (int(side) for side in shape)
    return channels, height, width


def _write(plan: RunPlan, contents: Mapping[str, bytes], root: Path) -> RunPlan:
    """Write the folder, all of it or nothing; the plan comes last and is moved in with the rest."""
    folder = root / plan.run_id
    root.mkdir(parents=True, exist_ok=True)
    draft = root / f".plan-{os.getpid()}-{uuid.uuid4().hex}"
    try:
        for path, content in contents.items():
            write_bytes(draft / path, content)
        write_plan(plan, draft / PLAN)
        read_plan(draft)  # what cannot be read back is not left for `qdm run` to stumble over
        try:
            os.rename(draft, folder)
        except OSError as error:
            if not folder.exists():
                raise
            raise OutputNotWritable(
                f"This very run is planned already: {folder / PLAN}. Submit that one, or plan "
                "another with a different seed."
            ) from error
    except OSError as error:
        if isinstance(error, OutputNotWritable):
            raise
        raise OutputNotWritable(f"Cannot write {folder}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return dataclasses.replace(plan, folder=folder)
