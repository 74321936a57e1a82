"""The recorded runs of a root folder, and what its ledger says of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import MissingData
from ..hardware.ledger.ledger import FILE, Ledger, RunState
from ..hardware.plan.fleet_plan import FLEET
from ..hardware.plan.run_plan import PLAN, is_run_id, read_plan
from ..progress import Message, Progress, silent

__all__ = ["ROOT", "fleet_folders", "run_folders", "states_of"]

ROOT = Path("hardware_runs")
"""Default folder of all hardware runs and their ledger."""


def run_folders(root: Path) -> list[Path]:
    """Return the folders of all runs of a root, oldest first."""
    if not root.is_dir():
        return []
    found = [each for each in root.iterdir() if is_run_id(each.name) and (each / PLAN).is_file()]
    return sorted(found, key=lambda folder: ((folder / PLAN).stat().st_mtime_ns, folder.name))


def fleet_folders(root: Path) -> list[Path]:
    """Return the folders of all fleets of a root, oldest first."""
    if not root.is_dir():
        return []
    found = [each for each in root.iterdir() if is_run_id(each.name) and (each / FLEET).is_file()]
    return sorted(found, key=lambda folder: ((folder / FLEET).stat().st_mtime_ns, folder.name))


def states_of(folders: Sequence[Path], progress: Progress = silent) -> list[RunState]:
    """Return the ledger's states of one root's runs; a run that it does not know is planned."""
    root = folders[0].parent if folders else ROOT
    if not folders or not list(root.glob(f"{FILE}*")):
        return [_planned(folder) for folder in folders]
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
        return _planned(folder)


def _planned(folder: Path) -> RunState:
    plan = read_plan(folder)
    return RunState(
        run_id=plan.run_id,
        state="planned",
        step=len(plan.steps),
        total_steps=len(plan.steps),
        jobs=0,
        seconds_estimated=plan.total_seconds,
        seconds_charged=0.0,
        reason=None,
        budget=plan.budget,
        plan_sha256=plan.content_sha256,
        updated_at=0.0,
    )
