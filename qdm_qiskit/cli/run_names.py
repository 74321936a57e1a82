"""Names of the runs of `qdm run`, and the display of where they stand."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .budget import ROOT
from .completion import run_ids

if TYPE_CHECKING:
    from ..evaluation.step_decisions import RoutedStep
    from ..hardware.ledger.ledger import RunState
    from ..hardware.run.verify import Verification
    from ..tasks import HardwareRun

__all__ = [
    "QuietOption",
    "RunId",
    "command_line",
    "print_run",
    "print_verification",
    "state_row",
]

RunId = Annotated[
    str, typer.Argument(help="Id or folder of a run, or 'latest'.", autocompletion=run_ids)
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress lines.")]


def state_row(state: RunState, folder: Path) -> dict[str, Any]:
    """Return a run's state as JSON values, with its folder."""
    from ..tasks.recorded_runs import subject_of

    row = asdict(state)
    subject, target = subject_of(folder)
    return {
        "run": row.pop("run_id"),
        **row,
        "subject": subject,
        "target": target,
        "seconds": state.seconds_charged,
        "folder": str(folder),
    }


def print_run(run: HardwareRun, as_json: bool) -> None:
    """Show where a run stands, in words or as JSON."""
    from ..hardware.ledger.budget import is_rehearsal
    from ..tasks.recorded_runs import states_of

    state = states_of([run.folder], lambda text: typer.echo(f"note: {text}", err=True))[0]
    note, folder, decided = run.note, run.folder, _decisions(run)
    if as_json:
        row = {**state_row(state, folder), "note": note}
        if decided is not None:
            row["decisions"] = [each.to_dict() for each in decided]
        typer.echo(json.dumps(row, indent=2))
    else:
        done = state.total_steps - state.step
        typer.echo(f"run        {state.run_id}")
        typer.echo(f"state      {state.state}, {done} of {state.total_steps} steps done")
        rehearsed = is_rehearsal(state.budget)
        charged = f"charged to budget '{state.budget}', a rehearsal" if rehearsed else "charged"
        typer.echo(
            f"QPU        {state.jobs} jobs, {state.seconds_charged:.1f} s {charged}, "
            f"about {state.seconds_estimated:.1f} s estimated for the whole run"
        )
        if state.reason:
            typer.echo(f"reason     {state.reason}")
        if note:
            typer.echo(f"note       {note}")
        if state.state == "done":
            trained = run.trained
            result = ("images", folder / "samples.png") if trained is None else ("trained", trained)
            typer.echo(f"{result[0]:<11}{result[1]}")
        elif state.state == "running":
            typer.echo(f"go on by   {command_line('resume', state.run_id, folder.parent)}")
        if decided:
            from ..reports.decision_rows import decision_lines

            typer.echo("\nrouting    who answers each step, and what that cost in QPU seconds")
            for line in decision_lines(decided):
                typer.echo(line)


def _decisions(run: HardwareRun) -> tuple[RoutedStep, ...] | None:
    """Return the decisions of a run's policy; None without one, or where its files are damaged."""
    from ..errors import QdmError

    try:
        return None if run.plan.routing is None else run.decisions
    except QdmError as error:  # where the run stands is shown all the same
        typer.echo(f"note: {error}", err=True)
        return None


def command_line(name: str, run_id: str, root: Path) -> str:
    """Return the command line that does something with a run."""
    default = Path(os.environ.get("QDM_ROOT") or ROOT)
    where = "" if root == default else f" --root {shlex.quote(str(root))}"
    return f"qdm run {name} {run_id}{where}"


def print_verification(found: Verification, as_json: bool) -> None:
    """Show the jobs of a run as ledger and account have them, and what is wrong."""
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2))
        return
    wide = max([26, *(len(job.job_id) + 2 for job in found.jobs)])
    typer.echo(
        f"{'job':<{wide}}{'part':<18}{'ledger':<20}{'account':<12}{'settled':>9}{'charged':>9}"
    )
    for job in found.jobs:
        settled, charged = (
            "" if seconds is None else f"{seconds:.2f}"
            for seconds in (job.settled_seconds, job.charged_seconds)
        )
        typer.echo(
            f"{job.job_id:<{wide}}{job.part or '':<18}{job.ledger or '-':<20}{job.account or '-':<12}"
            f"{settled:>9}{charged:>9}"
        )
    for each in found.findings:
        typer.echo(f"{'repaired' if each.repaired else each.kind:<11}{each.text}")
    if found.has_account and not found.listed:
        typer.echo("note       the account has no list of jobs: those of other tags are not seen")
    typer.echo(found.sentence())
