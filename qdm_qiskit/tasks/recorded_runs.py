"""The recorded runs of a root folder, and what its ledger says of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import MissingData
from ..hardware.ledger.ledger import FILE, Ledger, RunState
from ..hardware.plan.fleet_plan import FLEET
from ..hardware.plan.planned_state import planned_state
from ..hardware.plan.run_plan import PLAN, is_run_id, read_plan
from ..progress import Message, Progress, silent

__all__ = ["ROOT", "fleet_folders", "folder_of", "run_folders", "states_of"]

ROOT = Path("hardware_runs")
"""Default folder of all hardware runs and their ledger."""


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
    root = folders[0].parent if folders else ROOT
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
