"""The recorded runs of a root folder, and what its ledger says of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..arguments import checked_path
from ..errors import InvalidData, MissingData
from ..files import read_json_object
from ..hardware.ledger.ledger import FILE, Ledger, RunState
from ..hardware.plan.fleet_plan import FLEET
from ..hardware.plan.plan_file import read_plan
from ..hardware.plan.planned_state import planned_state
from ..hardware.plan.run_plan import PLAN, is_run_id
from ..progress import Message, Progress, silent

__all__ = [
    "ROOT",
    "fleet_folders",
    "folder_of",
    "root_folder",
    "run_folders",
    "states_of",
    "subject_of",
]

ROOT = Path("hardware_runs")
"""Default folder of all hardware runs and their ledger, unless ``$QDM_ROOT`` names another."""


def root_folder(root: str | Path) -> Path:
    """Return the folder of all hardware runs: as given, or by default ``$QDM_ROOT``.

    Args:
        root: A folder; :data:`ROOT` itself, the default of every function, stands for none given.

    Raises:
        InvalidArgument: If it is no path.
    """
    if root is ROOT and os.environ.get("QDM_ROOT"):
        return Path(os.environ["QDM_ROOT"]).expanduser()
    return checked_path(root, "root")


def subject_of(folder: Path) -> tuple[str | None, str | None]:
    """Return what a run is of, a model or the like, and its target; None where a plan does not say.

    Only its plan's text is read: nothing is checked that a list needs not.
    """
    for name in (PLAN, FLEET):
        try:
            content = read_json_object(folder / name).get("content")
        except (InvalidData, MissingData):
            continue
        if not isinstance(content, dict):
            continue
        config = content.get("config")
        inner = config if isinstance(config, dict) else {}
        subject = content.get("model") or content.get("name") or inner.get("model")
        target = content.get("target")
        costs = content.get("costs")
        if target is None and isinstance(costs, list):
            targets = [str(each.get("target")) for each in costs if isinstance(each, dict)]
            target = ", ".join(targets) or None
        return (None if subject is None else str(subject)), (
            None if target is None else str(target)
        )
    return None, None


def run_folders(root: Path) -> list[Path]:
    """Return the folders of all runs of a root, oldest first."""
    return _folders_with(root, PLAN)


def fleet_folders(root: Path) -> list[Path]:
    """Return the folders of all fleets of a root, oldest first."""
    return _folders_with(root, FLEET)


def _folders_with(root: Path, file: str) -> list[Path]:
    if not root.is_dir():
        return []
    found = [each for each in root.iterdir() if is_run_id(each.name) and (each / file).is_file()]
    return sorted(found, key=lambda folder: ((folder / file).stat().st_mtime_ns, folder.name))


def folder_of(run: str, root: Path, file: str) -> Path | None:
    """Return the folder of a run by its id, its folder, or the path of a file of it.

    Args:
        run: The id, or a path.
        root: Folder of all runs.
        file: The file: ``plan.json`` of a run, ``fleet.json`` of a fleet.

    Returns:
        The folder; None if none of these has the file.
    """
    if is_run_id(run) and (root / run / file).is_file():
        return root / run
    path = Path(run)
    folder = path.parent if path.name == file else path
    return folder if (folder / file).is_file() else None


def states_of(folders: Sequence[Path], progress: Progress = silent) -> list[RunState]:
    """Return the ledger's states of one root's runs; a run that it does not know is planned."""
    root = folders[0].parent if folders else root_folder(ROOT)
    if not folders or not list(root.glob(f"{FILE}*")):
        return [planned_state(read_plan(folder)) for folder in folders]
    ledger = Ledger.open_to_read(root)
    try:
        for notice in ledger.notices:
            progress(Message(notice))
        return [_state(ledger, folder) for folder in folders]
    finally:
        ledger.close()


def _state(ledger: Ledger, folder: Path) -> RunState:
    try:
        return ledger.run_state(folder.name)
    except MissingData:
        return planned_state(read_plan(folder))
