"""Make the plan of a fleet: a run of its own for each device's share of the images; nothing is sent."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...canonical_json import content_sha256
from ...errors import (
    InvalidOption,
    InvalidPlan,
    OutputNotWritable,
    QdmError,
    UnsupportedCircuit,
)
from ...execution.targets import Target, parse_target
from ...files import check_writable
from ...progress import Message, Progress, silent
from . import files as plan_contents
from .fleet_plan import FLEET, FleetPlan, SharedRun, asked_of, fleet_id_of, read_fleet, write_fleet
from .image_split import DeviceCost, checked_split, split_images
from .plan_file import read_plan
from .prepare import Draft, PlanConfig, draft_plan
from .run_plan import INPUTS, MODEL, RunPlan
from .share import SharePlan
from .types import Availability, Look

if TYPE_CHECKING:
    from ...sampling import TrainedRun

__all__ = [
    "FleetDraft",
    "draft_fleet",
    "draft_moved",
    "write_draft",
]


@dataclass(frozen=True)
class FleetDraft:
    """A fleet that is not written yet."""

    plan: FleetPlan
    runs: tuple[Draft, ...]

    def write(self, root: Path) -> FleetPlan:
        """Write the folders of the runs, then that of the fleet.

        Args:
            root: Folder of all hardware runs.

        Raises:
            OutputNotWritable: If this very fleet was planned already, or a folder cannot be written.
        """
        folder = root / self.plan.fleet_id
        if folder.exists():
            raise _planned_already(folder)
        for each in self.runs:
            write_draft(each, root)
        part = root / f".plan-{os.getpid()}-{uuid.uuid4().hex}"
        try:
            part.mkdir(parents=True)
            write_fleet(self.plan, part / FLEET)
            read_fleet(part)  # what cannot be read back is not left for `qdm run` to stumble over
            os.rename(part, folder)
        except OSError as error:
            if isinstance(error, OutputNotWritable):
                raise
            if folder.exists():
                raise _planned_already(folder) from error
            raise OutputNotWritable(f"Cannot write {folder}: {error.strerror or error}.") from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return replace(self.plan, folder=folder)


def _planned_already(folder: Path) -> OutputNotWritable:
    return OutputNotWritable(
        f"This very run is planned already: {folder / FLEET}. Submit that one, or plan another with a "
        "different seed."
    )


def draft_fleet(
    run: Path,
    config: PlanConfig,
    *,
    root: Path,
    look: Look,
    split: str = "auto",
    longest_wait_seconds: float | None = None,
    today: date | None = None,
    progress: Progress = silent,
) -> FleetDraft:
    """Plan a run whose images several devices share; nothing is written.

    Args:
        run: Folder of a trained run, or of one of its checkpoints.
        config: Options of the whole run; its targets share the images.
        root: Folder of all hardware runs.
        look: Function that looks at an ``ibm:`` target, or one of another package's provider.
        split: ``auto`` by cost and queue, ``even``, or the images of each device.
        longest_wait_seconds: Longest that a job may wait in a queue before its images move.
        today: The day of planning; today if None.
        progress: Receives each stage of the work, in words.

    Raises:
        InvalidOption: If a device is named twice, or an option does not fit a fleet or a device.
        UnsupportedCircuit: If a device is too small.
        UnknownName, TargetUnavailable, ...: If a device is not there.
    """
    from ...sampling import load_run

    check_writable(root)
    targets = _devices(config)
    given = checked_split(split, len(targets), config.num_images)
    _check_options(config)
    config = _with_loader(run, config, progress)
    trained = load_run(run, loader=config.loader)
    day = (today or date.today()).isoformat()
    content = _content(trained, config)
    fleet = fleet_id_of(
        day, trained.model.name, asked_of(config, split, longest_wait_seconds, content)
    )
    states = [_looked_at(each, look) for each in targets]
    even = checked_split("even", len(targets), config.num_images)
    assert even is not None

    def drafted(number: int, images: tuple[int, ...]) -> Draft:
        text = config.targets[number]
        progress(Message(f"planning {len(images)} images for {text}"))
        share = SharePlan(fleet=fleet, of=config.num_images, images=images)
        made = _draft(run, config, text, states[number], root, day, progress, share, None)
        return replace(made, plan=replace(made.plan, decisions=()))

    first = [
        drafted(number, _range(even if given is None else given, number) or (0,))
        for number in range(len(targets))
    ]
    _check_different([each.plan for each in first], config)
    costs = tuple(_cost(each.plan, state.queue) for each, state in zip(first, states, strict=True))
    counts = split_images(costs, config.num_images) if given is None else given
    drafts = []
    for number, draft in enumerate(first):
        for images in _groups(_range(counts, number), config.groups):
            same = draft.plan.share is not None and draft.plan.share.images == images
            drafts.append(draft if same else drafted(number, images))
    plan = FleetPlan(
        date=day,
        model=trained.model.name,
        model_run=drafts[0].plan.model_run,
        content=content,
        config=config,
        split=split,
        longest_wait_seconds=longest_wait_seconds,
        costs=costs,
        runs=tuple(_shared(each.plan) for each in drafts),
    )
    return FleetDraft(plan, tuple(drafts))


def draft_moved(
    fleet: FleetPlan,
    failed: RunPlan,
    state: np.ndarray | None,
    begins_at: int,
    targets: Sequence[str],
    *,
    root: Path,
    look: Look,
    progress: Progress = silent,
) -> list[Draft]:
    """Plan the images that a failed device left open, for others.

    Args:
        fleet: The fleet.
        failed: Plan of the run that had them; its copy of the model is used.
        state: Their state after the steps that it answered; None for x_T.
        begins_at: Number of these steps.
        targets: Devices that may take them.
        root: Folder of all hardware runs.
        look: As for :func:`draft_fleet`.
        progress: Receives each stage of the work, in words.

    Returns:
        A draft for each device that takes some.

    Raises:
        TargetUnavailable: If no device can be planned for now, with all reasons.
    """
    assert failed.share is not None
    config = replace(fleet.config, loader=None)  # the copy's own is the one that was chosen
    day = date.today().isoformat()
    all_images = failed.share.images

    def drafted(text: str, available: Availability, rows: range) -> Draft:
        share = SharePlan(
            fleet=fleet.fleet_id,
            of=fleet.num_images,
            images=tuple(all_images[row] for row in rows),
            begins_at=begins_at,
            after=failed.run_id,
        )
        given = None if state is None else state[list(rows)]
        progress(Message(f"planning {len(rows)} images for {text}"))
        model = failed.folder / MODEL
        made = _draft(model, config, text, available, root, day, progress, share, given)
        return replace(made, plan=replace(made.plan, model_run=failed.model_run))

    found: list[tuple[str, Availability, Draft]] = []
    reasons = []
    every = range(len(all_images))
    for text in targets:
        try:
            available = _looked_at(parse_target(text), look)
            found.append((text, available, drafted(text, available, every)))
        except QdmError as error:  # another device may do
            reasons.append(error)
    if not found:
        if len(reasons) == 1:
            raise reasons[0]
        raise InvalidPlan(" ".join(str(each) for each in reasons))
    if len(found) == 1:
        return [found[0][2]]
    counts = split_images(
        [_cost(draft.plan, available.queue) for _, available, draft in found], len(all_images)
    )
    drafts, first = [], 0
    for (text, available, draft), count in zip(found, counts, strict=True):
        rows = range(first, first + count)
        first += count
        if count:
            drafts.append(draft if rows == every else drafted(text, available, rows))
    return drafts


def write_draft(draft: Draft, root: Path) -> RunPlan:
    """Write a run's folder; one that a killed process wrote is this very run, and stays.

    Raises:
        OutputNotWritable: If it cannot be written.
    """
    folder = root / draft.plan.run_id
    if folder.exists():
        return read_plan(folder)
    return draft.write(root)


def _draft(
    run: Path,
    config: PlanConfig,
    target: str,
    state: Availability,
    root: Path,
    day: str,
    progress: Progress,
    share: SharePlan,
    given: np.ndarray | None,
) -> Draft:
    try:
        return draft_plan(
            run,
            replace(config, targets=(target,)),
            root=root,
            backend=state.backend,
            availability=state,
            today=date.fromisoformat(day),
            progress=progress,
            share=share,
            state=given,
        )
    except UnsupportedCircuit as error:  # of several devices, say which
        raise UnsupportedCircuit(f"'{target}' cannot share this run: {error}") from None


def _devices(config: PlanConfig) -> list[Target]:
    if len(config.targets) < 2 and config.groups < 2:
        raise InvalidOption(
            f"Several devices share a run, got '{config.targets[0]}' alone; give another target or "
            "groups of images, or plan it for one."
        )
    found = [parse_target(each) for each in config.targets]
    texts = [str(each) for each in found]
    twice = [each for each in texts if texts.count(each) > 1]
    if twice:
        raise InvalidOption(
            f"Devices that share a run are different ones, got '{twice[0]}' twice; its queue takes all "
            "images of one run."
        )
    return found


def _check_different(plans: Sequence[RunPlan], config: PlanConfig) -> None:
    """Refuse names that turn out to be one device, as ``ibm:least_busy`` may."""
    names = [each.target for each in plans]
    for name, text in zip(names, config.targets, strict=True):
        if names.count(name) > 1:
            raise InvalidOption(
                f"Devices that share a run are different ones, and '{text}' is '{name}' now, which is "
                "named besides; name another."
            )


def _check_options(config: PlanConfig) -> None:
    for name, given, instead in (
        ("seconds", config.seconds is not None, "give shots, the same on all"),
        ("train", config.train is not None, "train on one"),
        ("shot allocation", config.schedule != "uniform", "take 'uniform'"),
    ):
        if given:
            raise InvalidOption(f"Several devices share no run with {name}; {instead}.")


def _with_loader(run: Path, config: PlanConfig, progress: Progress) -> PlanConfig:
    """Return options with the loader's own name, where ``auto`` has to choose: once for all."""
    from ...sampling import load_run
    from ...sampling.loader_choice import AUTO
    from ...sampling.trained_run import best_loader

    if config.loader is None or not config.loader.startswith(AUTO):
        return config
    choice = best_loader(load_run(run), config.loader, seed=config.seed, progress=progress)
    return replace(config, loader=choice.best.loader)


def _content(trained: TrainedRun, config: PlanConfig) -> str:
    """Return the hash of the model and of all images' inputs."""
    contents = plan_contents.model_files(trained, config.loader)
    x, labels = plan_contents.inputs(
        trained, config.num_images, config.label, config.seed, config.start
    )
    contents[INPUTS] = plan_contents.npz_bytes(x, labels)
    return content_sha256({p: hashlib.sha256(c).hexdigest() for p, c in contents.items()})


def _looked_at(target: Target, look: Look) -> Availability:
    return look(target) if target.kind in ("ibm", "provider") else Availability()


def _range(counts: Sequence[int], number: int) -> tuple[int, ...]:
    first = sum(counts[:number])
    return tuple(range(first, first + counts[number]))


def _groups(images: tuple[int, ...], groups: int) -> list[tuple[int, ...]]:
    """Return the images of each group of a device, as even as can be; none for no images."""
    sizes = checked_split("even", groups, len(images))
    assert sizes is not None
    found = [_range(sizes, number) for number in range(groups)]
    return [tuple(images[row] for row in rows) for rows in found if rows]


def _cost(plan: RunPlan, queue: int | None) -> DeviceCost:
    """Return what a device costs, from the plan of some images on it."""
    jobs = len(plan.parts())
    overheads = jobs * plan.timing.overhead_seconds
    steps = sum(each.seconds for each in plan.steps)
    fixed = overheads + plan.total_seconds - steps
    return DeviceCost(
        target=plan.target,
        jobs=jobs,
        fixed_seconds=max(0.0, min(fixed, plan.total_seconds)),
        image_seconds=max(0.0, steps - overheads) / plan.num_images,
        queue=queue,
    )


def _shared(plan: RunPlan) -> SharedRun:
    assert plan.share is not None
    return SharedRun(
        run_id=plan.run_id,
        target=plan.target,
        plan_sha256=plan.content_sha256,
        images=plan.share.images,
    )
