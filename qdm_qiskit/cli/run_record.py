"""``qdm run status|list|replay|report``: what is recorded of runs; asks no service, sends nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from .budget import ROOT, RootOption
from .completion import run_ids
from .figure_formats import FormatOption, formats_of
from .models import JsonOption
from .run_fleet import print_fleet, report_fleet
from .run_names import RunId, print_run, state_row

__all__ = [
    "list_runs",
    "replay",
    "report",
    "status",
]


def status(
    run: Annotated[
        str | None,
        typer.Argument(
            help="Id or folder of a run, or 'latest'; all runs without.", autocompletion=run_ids
        ),
    ] = None,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
) -> None:
    """Say where a run stands; asks no service.

    Example:

        qdm run status latest --json
    """
    if run is None:
        list_runs(root=root, as_json=as_json)
        return
    from ..tasks.fleets import Fleet, find_run

    found = find_run(run, root=root)
    if isinstance(found, Fleet):
        print_fleet(found, as_json)
    else:
        print_run(found, as_json)


def list_runs(
    root: RootOption = ROOT,
    user: Annotated[
        str | None, typer.Option(help="Only runs that this user planned, as recorded.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List all runs of a root, oldest first: who planned what and when, for which target and budget.

    Example:

        qdm run list
    """
    from ..tasks.recorded_runs import fleet_folders, run_folders, states_of

    folders = run_folders(root)
    states = states_of(folders, lambda text: typer.echo(f"note: {text}", err=True))
    rows = [state_row(*each) for each in zip(states, folders, strict=True)]
    if shared := fleet_folders(root):
        from ..tasks.fleets import Fleet

        found = [Fleet(each) for each in shared]
        rows += [state_row(each.state.as_run(), each.folder) for each in found]
    if user is not None:
        known = sorted({str(row["user"]) for row in rows if row["user"]})
        rows = [row for row in rows if row["user"] == user]
        if not rows:
            from ..errors import unknown_name

            raise unknown_name("run of a user called", user, known)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        typer.echo(f"note: there are no runs in {root}; `qdm run plan` makes one", err=True)
    typer.echo(
        f"{'run':<36}{'state':<10}{'steps':>7}{'jobs':>6}{'QPU s, estimated':>18}{'real':>8}"
        f"  {'planned (UTC)':<18}{'by':<12}{'budget':<14}target"
    )
    for row in rows:
        done = f"{row['total_steps'] - row['step']}/{row['total_steps']}"
        typer.echo(
            f"{row['run']:<36}{row['state']:<10}{done:>7}{row['jobs']:>6}"
            f"{row['seconds_estimated']:>18.1f}{row['seconds']:>8.1f}"
            f"  {_when(row['created_at']):<18}{row['user'] or '-':<12}{row['budget'] or '-':<14}"
            f"{row['target'] or '-'}"
        )


def _when(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}" if seconds else "-"


def replay(run: RunId, root: RootOption = ROOT, as_json: JsonOption = False) -> None:
    """Compute the images again from the record alone, and compare them with the stored ones.

    Example:

        qdm run replay latest
    """
    from ..tasks.fleets import find_run

    chosen = find_run(run, root=root)
    found = chosen.replay()
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2))
    else:
        typer.echo(found.sentence())
        if chosen.note:
            typer.echo(f"note: {chosen.note}")
    if not (found.equal or found.rounded):
        raise typer.Exit(1)


def report(
    run: RunId,
    out: Annotated[Path | None, typer.Option(help="Folder for the page; RUN/report.")] = None,
    root: RootOption = ROOT,
    figures: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a run's page: images by step, cost estimated and real, distance to exact.

    Example:

        qdm run report latest
    """
    from ..evaluation.hardware_run import hardware_report
    from ..reports.hardware_render import write_hardware_report
    from ..tasks.fleets import Fleet, find_run

    formats = formats_of(figures)
    chosen = find_run(run, root=root)
    if isinstance(chosen, Fleet):
        report_fleet(chosen, out, as_json, formats)
        return
    folder = chosen.folder
    page, pictures = hardware_report(folder)
    files = write_hardware_report(page, pictures, out or folder / "report", formats)
    if as_json:
        typer.echo(json.dumps(page.to_dict(), indent=2))
        return
    for file in files:
        typer.echo(f"report     {file}")
    if page.note:
        typer.echo(f"note       {page.note}")
