"""What a fleet has reached, what it ends with, and whether its record gives that again."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...archives import read_arrays
from ...errors import InvalidData, MissingData
from ...files import read_json_object, write_bytes, write_json
from ..ledger.fleets import FleetMember
from ..ledger.ledger import FILE, Ledger
from ..ledger.run_files import IMAGES, MANIFEST, SAMPLES, iso
from ..ledger.schema import RunState, State
from ..plan.fleet_plan import FleetPlan
from ..plan.plan_file import read_plan
from ..plan.planned_files import read_inputs
from ..plan.planned_state import planned_state
from ..plan.run_plan import RunPlan
from .replay import ROUNDING, Replay, recorded_state, replay

__all__ = [
    "SCHEMA",
    "FleetReplay",
    "FleetState",
    "MemberState",
    "fleet_state",
    "is_finished",
    "recorded_members",
    "replay_fleet",
    "write_results",
]

SCHEMA = "qdm-fleet-run/1"


@dataclass(frozen=True, kw_only=True)
class MemberState:
    """Where a run of a fleet stands."""

    run: RunState
    target: str
    images: int
    """Number of its images."""
    begins_at: int
    """Steps that another run has answered before."""
    after: str | None
    """That run."""
    retired: str | None
    """Reason for which it was given up."""
    moved: tuple[str, ...] | None
    """Runs that took its images."""


@dataclass(frozen=True, kw_only=True)
class FleetState:
    """Where a fleet stands."""

    fleet_id: str
    state: State
    images: int
    images_done: int
    jobs: int
    seconds_estimated: float
    """Estimated QPU seconds of all runs that were not given up, and what the others have cost."""
    seconds_charged: float
    reason: str | None
    """What holds it up."""
    budget: str | None
    members: tuple[MemberState, ...]

    def as_run(self) -> RunState:
        """Return it as the state of one run, whose steps are those of the run that has most left."""
        left = [each for each in self.members if each.retired is None]
        most = max((each.run.step for each in left), default=0)
        total = max((each.begins_at + each.run.total_steps for each in self.members), default=0)
        return RunState(
            run_id=self.fleet_id,
            state=self.state,
            step=total if self.state == "planned" else most,
            total_steps=total,
            jobs=self.jobs,
            seconds_estimated=self.seconds_estimated,
            seconds_charged=self.seconds_charged,
            reason=self.reason,
            budget=self.budget,
            plan_sha256="",
            updated_at=max((each.run.updated_at for each in self.members), default=0.0),
        )


def recorded_members(fleet: FleetPlan, ledger: Ledger | None) -> tuple[FleetMember, ...]:
    """Return the runs of a fleet: by the ledger, else by its manifest, else by its plan."""
    found = () if ledger is None else ledger.fleet_members(fleet.fleet_id)
    if found:
        return found
    path = fleet.folder / MANIFEST
    if path.is_file():
        try:
            return tuple(
                FleetMember(
                    run_id=str(each["run_id"]),
                    retired=each["retired"],
                    moved=None if each["moved"] is None else tuple(each["moved"]),
                    after=each["after"],
                )
                for each in _manifest(path)["runs"]
            )
        except (KeyError, TypeError) as error:
            raise InvalidData(f"{path} is no manifest of a fleet: {error!r}.") from error
    return tuple(FleetMember(each) for each in fleet.members())


def _manifest(path: Path) -> dict[str, Any]:
    found = read_json_object(path)
    if found.get("schema") != SCHEMA:
        raise InvalidData(f"{path} has the schema {found.get('schema')!r:.60}, not '{SCHEMA}'.")
    return found


def fleet_state(fleet: FleetPlan, ledger: Ledger | None) -> FleetState:
    """Return where a fleet stands; nobody is asked.

    Args:
        fleet: Its plan, in its folder.
        ledger: Of its root; None where there is none.
    """
    members = []
    for each in recorded_members(fleet, ledger):
        plan = read_plan(fleet.folder.parent / each.run_id)
        share = plan.share
        members.append(
            MemberState(
                run=_run_state(plan, ledger),
                target=plan.target,
                images=plan.num_images,
                begins_at=0 if share is None else share.begins_at,
                after=None if share is None else share.after,
                retired=each.retired,
                moved=each.moved,
            )
        )
    open_runs = [each for each in members if each.retired is None]
    waits = [
        each
        for each in members
        if each.retired is not None and each.moved is None and each.run.state != "done"
    ]
    done = [each for each in members if each.run.state == "done"]
    state, reason = _state(fleet, open_runs, waits)
    return FleetState(
        fleet_id=fleet.fleet_id,
        state=state,
        images=fleet.num_images,
        images_done=sum(each.images for each in done),
        jobs=sum(each.run.jobs for each in members),
        seconds_estimated=sum(
            each.run.seconds_estimated if each.retired is None else each.run.seconds_charged
            for each in members
        ),
        seconds_charged=sum(each.run.seconds_charged for each in members),
        reason=reason,
        budget=fleet.budget,
        members=tuple(members),
    )


def _run_state(plan: RunPlan, ledger: Ledger | None) -> RunState:
    try:
        if ledger is not None:
            return ledger.run_state(plan.run_id)
    except MissingData:
        pass
    return planned_state(plan)


def _state(
    fleet: FleetPlan, open_runs: Sequence[MemberState], waits: Sequence[MemberState]
) -> tuple[State, str | None]:
    """Return the state of a fleet and the reason of it."""
    if waits:
        return "failed", f"the images of {waits[0].target} wait for a device: {waits[0].retired}"
    states = {each.run.state for each in open_runs}
    if states <= {"done"}:
        return ("done", None) if is_finished(fleet) else ("running", None)
    reasons = [f"{e.target}: {e.run.reason}" for e in open_runs if e.run.reason is not None]
    reason = " ".join(reasons) or None
    for state in ("failed", "cancelled"):
        if state in states and not states & {"running"}:
            return ("failed" if state == "failed" else "cancelled"), reason
    return ("planned" if states == {"planned"} else "running"), reason


def is_finished(fleet: FleetPlan) -> bool:
    """Return True if the fleet's folder has all that it ends with."""
    return all((fleet.folder / name).is_file() for name in (IMAGES, SAMPLES, MANIFEST))


# -- results --------------------------------------------------------------------------------------


def write_results(fleet: FleetPlan, ledger: Ledger) -> None:
    """Write the images of all runs by their addresses, the grid of them, then the manifest.

    Raises:
        InvalidData: If an image is in no run or in two, or a run's images cannot be read.
        OutputNotWritable: If a file cannot be written.
    """
    from ...data import save_grid
    from ...files import write_atomic

    members = recorded_members(fleet, ledger)
    paths = {
        each.run_id: _path_of(read_plan(fleet.folder.parent / each.run_id)) for each in members
    }
    images, trajectory = _joined(fleet, members, paths)
    arrays = {"images": images} | ({} if trajectory is None else {"trajectory": trajectory})
    buffer = io.BytesIO()
    # numpy's annotations take a keyword for its option `allow_pickle`.
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_bytes(fleet.folder / IMAGES, buffer.getvalue())

    def write(part: Path) -> None:
        save_grid(images, part, overwrite=True)

    write_atomic(fleet.folder / SAMPLES, write)
    write_json(fleet.folder / MANIFEST, _explained(fleet, ledger))


def _path_of(plan: RunPlan) -> np.ndarray:
    """Return the images of a run at each state that it reached, ``(states, images, ...)``."""
    stored = plan.folder / IMAGES
    if stored.is_file():
        return read_arrays(stored)["trajectory"]
    return replay(plan.folder).trajectory


def _joined(
    fleet: FleetPlan, members: Sequence[FleetMember], paths: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the last images by address, and all states of them where all runs have as many.

    Args:
        fleet: The fleet.
        members: Its runs.
        paths: The images of each at each state that it reached.

    Raises:
        InvalidData: If an image is in no finished run, or in two.
    """
    root = fleet.folder.parent
    plans = {each.run_id: read_plan(root / each.run_id) for each in members}
    ends: dict[int, np.ndarray] = {}
    lengths = set()
    for each in members:
        plan, path = plans[each.run_id], paths[each.run_id]
        share = plan.share
        if share is None or share.fleet != fleet.fleet_id:
            raise InvalidData(f"Run {plan.run_id} is none of fleet {fleet.fleet_id}.")
        if len(path) <= len(plan.steps):
            continue  # its images ended elsewhere
        lengths.add(share.begins_at + len(path))
        for row, image in enumerate(share.images):
            if image in ends:
                raise InvalidData(f"Image {image} of fleet {fleet.fleet_id} is in two runs.")
            ends[image] = path[-1, row]
    missing = sorted(set(range(fleet.num_images)) - set(ends))
    if missing:
        raise InvalidData(f"Image {missing[0]} of fleet {fleet.fleet_id} is in no finished run.")
    images = np.stack([ends[image] for image in range(fleet.num_images)])
    if len(lengths) != 1:
        return images, None
    trajectory = np.full((*lengths, *images.shape), np.nan, dtype=images.dtype)
    for each in members:  # a run that took over comes after the one before it
        share, path = plans[each.run_id].share, paths[each.run_id]
        assert share is not None
        trajectory[share.begins_at : share.begins_at + len(path), list(share.images)] = path
    return images, trajectory


def _explained(fleet: FleetPlan, ledger: Ledger) -> dict[str, Any]:
    """Return the content of the manifest: who answered which images, at what cost, and the journal."""
    state = fleet_state(fleet, ledger)
    return {
        "schema": SCHEMA,
        "fleet_id": fleet.fleet_id,
        "plan_sha256": fleet.content_sha256,
        "images": fleet.num_images,
        "seconds_estimated": state.seconds_estimated,
        "seconds_charged": state.seconds_charged,
        "jobs": state.jobs,
        "budget": fleet.budget,
        "runs": [
            {
                "run_id": each.run.run_id,
                "target": each.target,
                "images": list(_images(fleet, each.run.run_id)),
                "begins_at": each.begins_at,
                "after": each.after,
                "retired": each.retired,
                "moved": None if each.moved is None else list(each.moved),
                "state": each.run.state,
                "jobs": each.run.jobs,
                "seconds_estimated": each.run.seconds_estimated,
                "seconds_charged": each.run.seconds_charged,
            }
            for each in state.members
        ],
        "journal": [
            {
                "at": iso(float(row["at"] or 0.0)),
                "kind": row["kind"],
                **json.loads(str(row["detail"])),
            }
            for row in ledger.events(fleet.fleet_id)
        ],
    }


def _images(fleet: FleetPlan, run_id: str) -> tuple[int, ...]:
    share = read_plan(fleet.folder.parent / run_id).share
    return () if share is None else share.images


# -- replay ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class FleetReplay:
    """Images that the records of a fleet's runs give."""

    fleet: FleetPlan
    runs: tuple[Replay, ...]
    """Replay of each run, in the order in which they came."""
    handed_on: bool
    """True if each run that took over begins at the very state that the one before it ends with."""
    images: np.ndarray | None
    """``(images, channels, height, width)`` by address; None before all are done."""
    difference: float | None
    """Largest difference of a pixel from the stored one; None without stored ones."""

    @property
    def done(self) -> bool:
        """True if all images are done."""
        return self.images is not None

    @property
    def equal(self) -> bool:
        """True if all runs and the images are the stored ones to the bit."""
        same = self.difference == 0.0 if self.done else self.difference is None
        return same and self.handed_on and all(each.equal for each in self.runs)

    @property
    def rounded(self) -> bool:
        """True if they are the stored ones but for the last digits, as another processor has."""
        small = self.done and (self.difference or 0) <= ROUNDING
        alike = all(each.equal or each.rounded for each in self.runs)
        return small and self.handed_on and alike and not self.equal

    def sentence(self) -> str:
        """Return the verdict in words."""
        done = sum(each.done for each in self.runs)
        runs = f"{done} of {len(self.runs)} runs are recorded as a whole"
        if self.equal and self.done:
            return f"{runs}; the images are the stored ones to the bit."
        if self.equal:
            return f"{runs}; go on with `qdm run resume {self.fleet.fleet_id}`."
        if not self.handed_on:
            return f"{runs}; a run that took over does NOT begin where the one before it ends."
        if self.rounded:
            return f"{runs}; the images are the stored ones up to rounding."
        return f"{runs}; the images DIFFER from the stored ones: the record was changed."

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict and those of the runs, ready for JSON."""
        return {
            "run": self.fleet.fleet_id,
            "done": self.done,
            "equal": self.equal,
            "handed_on": self.handed_on,
            "difference": self.difference,
            "runs": [each.to_dict() for each in self.runs],
        }


def replay_fleet(fleet: FleetPlan) -> FleetReplay:
    """Compute a fleet's images again from the records of its runs, and compare them with the stored.

    Args:
        fleet: Its plan, in its folder.

    Raises:
        InvalidPlan, InvalidData, CalibrationMismatch: As :func:`.replay.replay`.
    """
    root = fleet.folder.parent
    members = _members_at(fleet, root)
    runs = {each.run_id: replay(root / each.run_id) for each in members}
    finished = all(
        runs[each.run_id].done or (each.retired is not None and each.moved is not None)
        for each in members
    )
    images = None
    if finished:
        paths = {run_id: each.trajectory for run_id, each in runs.items()}
        images = _joined(fleet, members, paths)[0]
    stored = fleet.folder / IMAGES
    difference = None
    if stored.is_file():
        kept = read_arrays(stored)["images"]
        same = images is not None and kept.shape == images.shape
        difference = float(np.abs(kept - images).max()) if same else float("inf")
    return FleetReplay(
        fleet=fleet,
        runs=tuple(runs.values()),
        handed_on=all(_fits(read_plan(root / each.run_id)) for each in members),
        images=images,
        difference=difference,
    )


def _members_at(fleet: FleetPlan, root: Path) -> tuple[FleetMember, ...]:
    if not list(root.glob(f"{FILE}*")):
        return recorded_members(fleet, None)
    ledger = Ledger.open_to_read(root)
    try:
        return recorded_members(fleet, ledger)
    finally:
        ledger.close()


def _fits(plan: RunPlan) -> bool:
    """Return True if a run begins with the state that the run before it left of its images."""
    share = plan.share
    if share is None or share.after is None or share.begins_at == 0:
        return True
    before = read_plan(plan.folder.parent / share.after)
    earlier = before.share
    found = recorded_state(before)
    if earlier is None or not set(share.images) <= set(earlier.images):
        return False
    state = read_inputs(before)[0] if found.state is None else found.state
    rows = [earlier.images.index(image) for image in share.images]
    same_step = share.begins_at == earlier.begins_at + found.steps
    return same_step and np.allclose(state[rows], read_inputs(plan)[0], rtol=0, atol=ROUNDING)
