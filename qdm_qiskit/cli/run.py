"""``qdm run``: plan a sampling run on hardware, see what it costs, send it, collect it, replay it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from ..progress import Message, silent
from .budget import ROOT, RootOption
from .completion import run_ids
from .models import JsonOption
from .run_fleet import print_fleet, print_verifications
from .run_names import QuietOption, RunId, command_line, print_run, print_verification
from .run_plan import plan
from .run_record import list_runs, replay, report, status

if TYPE_CHECKING:
    from ..progress import Progress
    from ..tasks import Fleet, HardwareRun

__all__ = [
    "app",
    "cancel",
    "collect",
    "resume",
    "submit",
    "verify",
]

app = typer.Typer(
    help="Runs on hardware: plan, submit, status, resume, collect, cancel, verify, replay, report.",
    no_args_is_help=True,
)


def submit(
    plan: Annotated[
        str,
        typer.Argument(
            help="A plan.json, a run's folder or id, or 'latest'.", autocompletion=run_ids
        ),
    ],
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
    from ..tasks.fleets import Fleet, find_run, fleet_price
    from ..tasks.hardware_run import price

    run = find_run(plan, root=root)
    if not yes:
        again = command_line("submit", run.folder.resolve().name, run.folder.parent)
        cost = fleet_price(run) if isinstance(run, Fleet) else price(run.plan)
        raise InvalidOption(f"{cost}; nothing was sent. Send it with `{again} --yes`.")
    _drive(run, lambda say: run.submit(yes=True, detach=detach, progress=say), as_json, quiet)


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
    from ..tasks.fleets import find_run

    found = find_run(run, root=root)
    _drive(found, lambda say: found.resume(progress=say), as_json, quiet)


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
    from ..tasks.fleets import find_run

    found = find_run(run, root=root)
    _drive(found, lambda say: found.collect(progress=say), as_json, quiet)


def cancel(run: RunId, root: RootOption = ROOT, as_json: JsonOption = False) -> None:
    """Cancel the jobs that wait or run, and give back what is reserved for the rest.

    Example:

        qdm run cancel latest
    """
    from ..tasks.fleets import Fleet, find_run

    found = find_run(run, root=root).cancel(progress=silent if as_json else _told)
    if isinstance(found, Fleet):
        print_fleet(found, as_json)
    else:
        print_run(found, as_json)


def verify(
    run: RunId,
    repair: Annotated[
        bool, typer.Option("--repair", help="Bring the ledger to what the account says.")
    ] = False,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compare ledger, folder and account, job by job; send nothing. Exit with 1 if they differ.

    Example:

        qdm run verify latest
    """
    from ..tasks.fleets import find_run

    found = find_run(run, root=root).verify(
        repair=repair, progress=silent if quiet or as_json else _told
    )
    if isinstance(found, tuple):
        print_verifications(found, as_json)
    else:
        print_verification(found, as_json)
        found = (found,)
    if not all(each.clean for each in found):
        raise typer.Exit(1)


app.command("plan")(plan)
app.command("submit")(submit)
app.command("resume")(resume)
app.command("collect")(collect)
app.command("status")(status)
app.command("list")(list_runs)
app.command("cancel")(cancel)
app.command("verify")(verify)
app.command("replay")(replay)
app.command("report")(report)


def _told(message: Message) -> None:
    """Print what happens."""
    typer.echo(message, err=True)


def _drive(
    run: HardwareRun | Fleet,
    work: Callable[[Progress], HardwareRun | Fleet],
    as_json: bool,
    quiet: bool,
) -> None:
    """Work on a run and show where it stands; Ctrl-C leaves with 130 and says how to go on."""
    try:
        work(silent if quiet or as_json else _told)
    except KeyboardInterrupt:
        typer.echo(
            "stopped; jobs that were sent go on without us, and nothing is paid twice; continue "
            f"with: {command_line('resume', run.folder.name, run.folder.parent)}",
            err=True,
        )
        raise typer.Exit(130) from None  # cli.main says the rest
    from ..tasks import fleets

    if isinstance(run, fleets.Fleet):
        print_fleet(run, as_json)
    else:
        print_run(run, as_json)
