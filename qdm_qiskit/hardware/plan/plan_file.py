"""A run plan as a file: ``plan.json`` is written once, and refused if anything in it was changed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ...arguments import checked_path
from ...canonical_json import from_plain
from ...errors import InvalidData, InvalidOption, InvalidPlan, MissingData, UnknownName
from ...execution.targets import parse_target
from .run_plan import CALLS_SCHEMA, PLAN, QNN_SCHEMA, SCHEMA, TRAINING_SCHEMA, RunPlan
from .sealed import read_sealed, write_sealed
from .types import check

__all__ = [
    "read_plan",
    "write_plan",
]

KEY = "run_id"
SCHEMAS = (SCHEMA, CALLS_SCHEMA, QNN_SCHEMA, TRAINING_SCHEMA)
MAX_PLAN_BYTES = 16 << 20
"""Largest ``plan.json``: far more than 10,000 steps take."""


def write_plan(plan: RunPlan, path: Path) -> None:
    """Write ``plan.json`` with the plan's hash and id.

    Raises:
        OutputNotWritable: If the file cannot be written.
    """
    write_sealed(path, plan.content(), schema=plan.schema, key=KEY, name=plan.run_id)


def read_plan(path: str | Path, argument: str = "path") -> RunPlan:
    """Read a plan, and refuse it if anything in it was changed.

    Args:
        path: ``plan.json``, or the run's folder.
        argument: Name of the path in messages.

    Returns:
        The plan; the files beside it are checked when they are read.

    Raises:
        MissingData: If there is no such file.
        InvalidPlan: If it is truncated, changed, of another schema, or makes no sense.
    """
    path = checked_path(path, argument)
    path = path / PLAN if path.is_dir() else path
    if not path.is_file():
        raise MissingData(
            f"There is no plan {path}; make one with `qdm run plan RUN --target ...`."
        )
    if path.stat().st_size > MAX_PLAN_BYTES:
        raise InvalidPlan(f"{path} is larger than any plan ({MAX_PLAN_BYTES} bytes).")
    try:
        whole, found = read_sealed(path, schemas=SCHEMAS, key=KEY)
        plan = dataclasses.replace(_from_content(whole["content"]), folder=path.parent)
        if plan.schema != whole["schema"]:
            raise InvalidData(f"it is written as {plan.schema}, and says {whole['schema']}")
        if plan.content_sha256 != found or plan.run_id != whole[KEY]:
            raise InvalidData(f"its id is {whole[KEY]!r:.60}, but it makes {plan.run_id}")
        _check_device(plan)
    except (InvalidData, InvalidOption, UnknownName, ValueError, RecursionError) as error:
        text = str(error).rstrip(".")
        raise InvalidPlan(f"{path} is no plan that can be run: {text}; plan again.") from error
    return plan


def _check_device(plan: RunPlan) -> None:
    """Refuse a target that nobody asked for, or a backend that is not the target's."""
    if plan.provider is not None:
        check(plan.target in plan.targets, f"target is one of {plan.targets}", plan.target)
        device = plan.target.partition(":")[2]
        check(
            plan.backend == device, f"backend is '{device}', which the target names", plan.backend
        )
        return
    target = parse_target(plan.target, known=False)
    # A device of one's own may have been asked for by its name, without the hash of its content.
    other = "ibm:least_busy" if target.kind == "ibm" else plan.target.partition("@")[0]
    asked = (plan.target, other)
    good = any(each in plan.targets for each in asked)
    check(good, f"target is one of {plan.targets}", plan.target)
    good = target.backend in (None, plan.backend)
    check(good, f"backend is '{target.backend}', which the target names", plan.backend)


def _from_content(content: Any) -> RunPlan:
    """Return the plan of a content; later keys of a calibration get the values of that time."""
    if isinstance(content, dict):
        later = (
            "provider", "calls", "chain", "qnn", "estimator", "refit", "training", "share", "routing"
        )  # fmt: skip
        none = dict.fromkeys(later)
        content = {**none, **content}
        if isinstance(content["calls"], dict):
            content["calls"] = {"tiles": None, **content["calls"]}
    calibration = content.get("calibration") if isinstance(content, dict) else None
    if not isinstance(calibration, dict):
        return from_plain(RunPlan, content)
    meant = {"found": None, "correction": "distance-3", **calibration}
    plan = from_plain(RunPlan, {**content, "calibration": meant})
    return dataclasses.replace(
        plan,
        before_found="found" not in calibration,
        before_correction="correction" not in calibration,
    )
