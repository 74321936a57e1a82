"""How `qdm run` names runs, and how it shows where they stand."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .budget import ROOT, existing_ledger

if TYPE_CHECKING:
    from ..hardware.ledger.ledger import RunState

RunId = Annotated[str, typer.Argument(help="Id or folder of a run, or 'latest'.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress lines.")]


def folder_of(text: str, root: Path) -> Path:
    """The folder of a run from its id, its folder, its plan.json, or 'latest'.

    Raises:
        MissingData: If there is none.
    """
    from ..errors import MissingData
    from ..hardware.plan.run_plan import PLAN, is_run_id

    if text == "latest":
        folders = run_folders(root)
        if not folders:
            raise MissingData(f"There are no runs in {root}; plan one with `qdm run plan`.")
        return max(folders, key=lambda folder: (folder / PLAN).stat().st_mtime_ns)
    if is_run_id(text) and (root / text / PLAN).is_file():
        return root / text
    path = Path(text)
    folder = path.parent if path.name == PLAN else path
    if (folder / PLAN).is_file():
        return folder
    raise MissingData(
        f"There is no run '{text}' in {root}, nor a plan of that name; `qdm run list` lists the runs, "
        "--root names another folder."
    )


def run_folders(root: Path) -> list[Path]:
    """The folders of all runs of a root, oldest first."""
    from ..hardware.plan.run_plan import PLAN, is_run_id

    if not root.is_dir():
        return []
    found = [each for each in root.iterdir() if is_run_id(each.name) and (each / PLAN).is_file()]
    return sorted(found, key=lambda folder: ((folder / PLAN).stat().st_mtime_ns, folder.name))


def states_of(folders: list[Path]) -> list[RunState]:
    """What the ledger says about runs of one root; a plan that it does not know yet is planned."""
    from ..errors import MissingData

    try:
        ledger = existing_ledger(folders[0].parent) if folders else None
    except MissingData:
        ledger = None
    states = []
    for folder in folders:
        try:
            state = None if ledger is None else ledger.run_state(folder.name)
        except MissingData:
            state = None
        states.append(_planned(folder) if state is None else state)
    return states


def _planned(folder: Path) -> RunState:
    from ..hardware.ledger.ledger import RunState
    from ..hardware.plan.run_plan import read_plan

    plan = read_plan(folder)
    return RunState(
        run_id=plan.run_id,
        state="planned",
        step=plan.num_steps,
        total_steps=plan.num_steps,
        jobs=0,
        seconds_estimated=plan.total_seconds,
        seconds_charged=0.0,
        reason=None,
        budget=plan.budget,
        plan_sha256=plan.content_sha256,
        updated_at=0.0,
    )


def state_row(state: RunState, folder: Path) -> dict[str, Any]:
    """A run's state as JSON values, with its folder."""
    row = asdict(state)
    return {
        "run": row.pop("run_id"),
        **row,
        "seconds": state.seconds_charged,
        "folder": str(folder),
    }


def print_state(state: RunState, folder: Path, as_json: bool) -> None:
    """Where a run stands, in words or as JSON."""
    note = _note(folder)
    if as_json:
        typer.echo(json.dumps({**state_row(state, folder), "note": note}, indent=2))
    else:
        done = state.total_steps - state.step
        typer.echo(f"run        {state.run_id}")
        typer.echo(f"state      {state.state}, {done} of {state.total_steps} steps done")
        typer.echo(
            f"QPU        {state.jobs} jobs, {state.seconds_charged:.1f} s charged, "
            f"about {state.seconds_estimated:.1f} s estimated for the whole run"
        )
        if state.reason:
            typer.echo(f"reason     {state.reason}")
        if note:
            typer.echo(f"note       {note}")
        if state.state == "done":
            typer.echo(f"images     {folder / 'samples.png'}")
        elif state.state == "running":
            typer.echo(f"go on by   {command_line('resume', state.run_id, folder.parent)}")


def _note(folder: Path) -> str | None:
    """What is to be said of the run's plan; where it stands is shown without its plan too."""
    from ..errors import InvalidPlan
    from ..hardware.plan.run_plan import read_plan

    try:
        return read_plan(folder).note
    except InvalidPlan:
        return None


def command_line(name: str, run_id: str, root: Path) -> str:
    """The command line that does something with a run."""
    where = "" if root == ROOT else f" --root {shlex.quote(str(root))}"
    return f"qdm run {name} {run_id}{where}"
