"""Plan of a fleet: one run whose images several devices share, each by a run of its own.

A fleet is a folder ``<root>/<fleet id>/`` with ``fleet.json``, beside the folders of its runs. The
options in it are those of the whole run; they plan the images again that a device which fails leaves
open. What happened to the runs since, the ledger knows.
"""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from ...arguments import checked_path
from ...canonical_json import check, content_sha256, from_plain
from ...errors import InvalidData, InvalidOption, InvalidPlan, MissingData, UnknownName
from .config import PlanConfig
from .image_split import DeviceCost
from .sealed import read_sealed, write_sealed

__all__ = [
    "FLEET",
    "FleetPlan",
    "SharedRun",
    "read_fleet",
    "write_fleet",
]

SCHEMA = "qdm-fleet-plan/1"
FLEET = "fleet.json"
KEY = "fleet_id"
MAX_BYTES = 64 << 20
"""Largest ``fleet.json``: a million addresses take a tenth of it."""

_RUN_ID = re.compile(r"\d{4}-\d{2}-\d{2}-[A-Za-z0-9_-]+-[0-9a-f]{8}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class SharedRun:
    """A run of a fleet, as it was planned."""

    run_id: str
    target: str
    """Target that it is planned for."""
    plan_sha256: str
    images: tuple[int, ...]
    """Addresses of its images."""

    def __post_init__(self) -> None:
        check(bool(_RUN_ID.fullmatch(self.run_id)), "run_id is a run's id", self.run_id)
        check(bool(_SHA256.fullmatch(self.plan_sha256)), "a hash has 64 hex digits", self.run_id)
        check(bool(self.images), "a run of a fleet has images", self.run_id)


@dataclass(frozen=True, kw_only=True)
class FleetPlan:
    """Everything that decides a fleet."""

    date: str
    """The day of planning, ISO 8601."""
    model: str
    """Name of the model in the catalogue."""
    model_run: str
    """Name of the folder that the model was trained in."""
    content: str
    """SHA-256 of the model's files and of all images' x_T and labels."""
    config: PlanConfig
    """Options of the whole run; ``targets`` are the devices that share it, in order."""
    split: str
    """``auto``, ``even``, or the images of each device."""
    longest_wait_seconds: float | None
    """Longest that a job may wait in a device's queue before its images move; None for ever."""
    costs: tuple[DeviceCost, ...]
    """Cost and queue of each device when it was planned."""
    runs: tuple[SharedRun, ...]
    """The first run of each device that has images; with ``groups`` so many of each."""
    folder: Path = field(default=Path(), compare=False)
    """Folder of the fleet; it decides nothing and is not in the hash."""

    def __post_init__(self) -> None:
        try:
            date.fromisoformat(self.date)
        except ValueError:
            raise InvalidOption(f"date is ISO 8601, got {self.date!r:.40}.") from None
        check(len(self.date) == 10, "date is ISO 8601", self.date)
        named = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", self.model)
        check(named is not None, "model is a name", self.model)
        check(bool(_SHA256.fullmatch(self.content)), "content is 64 hex digits", self.content)
        check(
            self.model_run.isprintable() and len(self.model_run) <= 128,
            "model_run is printable and has at most 128 characters",
            self.model_run,
        )
        wait = self.longest_wait_seconds
        good = wait is None or 0 < wait < math.inf
        check(good, "longest_wait_seconds is a number above 0", wait)
        targets = self.config.targets
        several = len(targets) > 1 or self.config.groups > 1
        good = several and len(targets) == len(set(targets))
        check(good, "a fleet has 2 devices or more, or groups of images", targets)
        check(len(self.costs) == len(targets), "each device has its cost", len(self.costs))
        images = sorted(image for each in self.runs for image in each.images)
        every = images == list(range(self.config.num_images))
        check(every, "each image is in one run", len(images))
        ids = [each.run_id for each in self.runs]
        check(len(set(ids)) == len(ids), "runs are different ones", ids[:3])

    @property
    def num_images(self) -> int:
        """Images of the whole run."""
        return self.config.num_images

    @property
    def budget(self) -> str | None:
        """Name of the budget that pays for all."""
        return self.config.budget

    @property
    def fleet_id(self) -> str:
        """Id: ``<date>-<model>-fleet-<first 8 digits of a hash>``, of what was asked for."""
        return fleet_id_of(
            self.date,
            self.model,
            [self.content, _options(self.config), self.split, self.longest_wait_seconds],
        )

    def plain(self) -> dict[str, Any]:
        """Everything but the folder, as JSON values; of the options those that are set."""
        found = asdict(dataclasses.replace(self, folder=Path()))
        del found["folder"]
        found["config"] = _options(self.config)
        return found

    @property
    def content_sha256(self) -> str:
        """SHA-256 of the canonical JSON of :meth:`plain`."""
        return content_sha256(self.plain())

    def members(self) -> dict[str, SharedRun]:
        """Return the first runs by their ids."""
        return {each.run_id: each for each in self.runs}


def fleet_id_of(day: str, model: str, asked: Any) -> str:
    """Return the id of a fleet, from what was asked for and not from how its images were split.

    Args:
        day: The day of planning.
        model: Name of the model.
        asked: Hash of the model and its inputs, options, split and longest wait, as JSON values.
    """
    return f"{day}-{model}-fleet-{content_sha256(asked)[:8]}"


def asked_of(
    config: PlanConfig, split: str, longest_wait_seconds: float | None, content: str
) -> list[Any]:
    """Return what a fleet's id is made of."""
    return [content, _options(config), split, longest_wait_seconds]


def _options(config: PlanConfig) -> dict[str, Any]:
    """Return the options that differ from the defaults, and the targets, as JSON values."""
    plain, found = asdict(PlanConfig()), asdict(config)
    kept = {n: v for n, v in found.items() if v != plain[n] or n in ("targets", "num_images")}
    return {n: list(v) if isinstance(v, tuple) else v for n, v in kept.items()}


def write_fleet(plan: FleetPlan, path: Path) -> None:
    """Write ``fleet.json`` with the plan's hash and id.

    Raises:
        OutputNotWritable: If the file cannot be written.
    """
    write_sealed(path, plan.plain(), schema=SCHEMA, key=KEY, name=plan.fleet_id)


def read_fleet(path: str | Path, argument: str = "path") -> FleetPlan:
    """Read the plan of a fleet, and refuse it if anything in it was changed.

    Args:
        path: ``fleet.json``, or the fleet's folder.
        argument: Name of the path in messages.

    Raises:
        MissingData: If there is no such file.
        InvalidPlan: If it is truncated, changed, of another schema, or makes no sense.
    """
    path = checked_path(path, argument)
    path = path / FLEET if path.is_dir() else path
    if not path.is_file():
        raise MissingData(
            f"There is no fleet {path}; make one with `qdm run plan RUN --target A --target B`."
        )
    if path.stat().st_size > MAX_BYTES:
        raise InvalidPlan(f"{path} is larger than any fleet's plan ({MAX_BYTES} bytes).")
    try:
        whole, found = read_sealed(path, schemas=[SCHEMA], key=KEY)
        content = whole["content"]
        if not isinstance(content, dict) or not isinstance(content.get("config"), dict):
            raise InvalidData("it has no options")
        config = {**asdict(PlanConfig()), **content["config"]}
        plan = from_plain(FleetPlan, {**content, "config": config})
        plan = dataclasses.replace(plan, folder=path.parent)
        if plan.content_sha256 != found or plan.fleet_id != whole[KEY]:
            raise InvalidData(f"its id is {whole[KEY]!r:.60}, but it makes {plan.fleet_id}")
    except (InvalidData, InvalidOption, UnknownName, ValueError, RecursionError) as error:
        text = str(error).rstrip(".")
        raise InvalidPlan(f"{path} is no fleet that can be run: {text}; plan again.") from error
    return plan
