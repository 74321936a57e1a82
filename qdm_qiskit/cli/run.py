"""``qdm run``: plan a sampling run on hardware, see what it costs, send it, collect it, replay it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..progress import Message, silent
from .budget import ROOT, RootOption
from .models import JsonOption
from .run_names import QuietOption, RunId, command_line, folder_of, print_state
from .run_plan import plan
from .run_record import list_runs, replay, report, status

if TYPE_CHECKING:
    from ..hardware.ledger.ledger import RunState
    from ..progress import Progress

app = typer.Typer(
    help="Runs on hardware: plan, submit, status, resume, collect, cancel, replay, report.",
    no_args_is_help=True,
)


def submit(
    plan: Annotated[str, typer.Argument(help="A plan.json, a run's folder or id, or 'latest'.")],
    yes: Annotated[bool, typer.Option("--yes", help="Really send the jobs, and pay.")] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when the first job is sent.")
    ] = False,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Send a planned run and work through its chain, step by step.

    Without --yes it only says what that would cost. It can be stopped at any moment: what is sent
    stays sent, and `qdm run resume` goes on.

    Example:

        qdm run submit latest --yes
    """
    from ..errors import InvalidOption
    from ..hardware.plan.run_plan import read_plan
    from ..hardware.run.commands import submit_run

    folder = folder_of(plan, root)
    found = read_plan(folder)
    if not yes:
        from ..hardware.plan.prepare import with_found_calibration

        # What was found when it was planned may be stale now, and there may be another one.
        now = with_found_calibration(found, folder.parent)
        where = found.target if found.is_qpu else f"{found.target}, which charges nothing"
        most = ""
        if now.most_seconds > now.total_seconds:
            most = f" ({now.most_seconds:.1f} if the readout has to be calibrated anew)"
        raise InvalidOption(
            f"Run {found.run_id} takes {now.num_jobs} jobs, {now.total_shots} shots and about "
            f"{now.total_seconds:.1f} QPU seconds{most} on {where}; nothing was sent. Send it with "
            f"`{command_line('submit', found.run_id, folder.parent)} --yes`."
        )
    _drive(folder, lambda say: submit_run(folder, detach=detach, progress=say), as_json, quiet)


def resume(
    run: RunId,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Go on with a run at the step that it has reached, in any process, on any day.

    Example:

        qdm run resume latest
    """
    from ..hardware.run.commands import resume_run

    folder = folder_of(run, root)
    parent, name = folder.parent, folder.name
    _drive(folder, lambda say: resume_run(parent, name, progress=say), as_json, quiet)


def collect(
    run: RunId,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fetch what is finished and record what it cost; send nothing new.

    Example:

        qdm run collect latest
    """
    from ..hardware.run.commands import collect_run

    folder = folder_of(run, root)
    parent, name = folder.parent, folder.name
    _drive(folder, lambda say: collect_run(parent, name, progress=say), as_json, quiet)


def cancel(run: RunId, root: RootOption = ROOT, as_json: JsonOption = False) -> None:
    """Cancel the jobs that wait or run, and give back what is reserved for the rest.

    Example:

        qdm run cancel latest
    """
    from ..hardware.run.commands import cancel_run

    folder = folder_of(run, root)
    progress = silent if as_json else _told
    print_state(cancel_run(folder.parent, folder.name, progress=progress), folder, as_json)


app.command("plan")(plan)
app.command("submit")(submit)
app.command("resume")(resume)
app.command("collect")(collect)
app.command("status")(status)
app.command("list")(list_runs)
app.command("cancel")(cancel)
app.command("replay")(replay)
app.command("report")(report)


def _told(message: Message) -> None:
    """Print what happens."""
    typer.echo(message, err=True)


def _drive(folder: Path, work: Callable[[Progress], RunState], as_json: bool, quiet: bool) -> None:
    """Work on a run and show where it stands; Ctrl-C leaves with 130 and says how to go on."""
    try:
        state = work(silent if quiet or as_json else _told)
    except KeyboardInterrupt:
        typer.echo(
            "stopped; jobs that were sent go on without us, and nothing is paid twice; continue "
            f"with: {command_line('resume', folder.name, folder.parent)}",
            err=True,
        )
        raise typer.Exit(130) from None  # cli.main says the rest
    print_state(state, folder, as_json)
