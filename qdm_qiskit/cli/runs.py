"""``qdm runs``: what runs there are, with options and metrics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .models import JsonOption

if TYPE_CHECKING:
    from ..overview import RunTable

__all__ = ["app", "compare", "list_runs", "show"]

app = typer.Typer(
    help="Training, sampling and hardware runs of a folder: list, show, compare.",
    no_args_is_help=True,
)

OutOption = Annotated[
    Path | None, typer.Option(help="Folder for the table as runs.csv, runs.json and runs.html.")
]


@app.command("list")
def list_runs(
    root: Annotated[Path, typer.Argument(help="Folder that holds runs, at any depth.")] = Path(
        "runs"
    ),
    kind: Annotated[
        list[str] | None,
        typer.Option(help="training, samples or hardware; may be repeated; all if none."),
    ] = None,
    sort: Annotated[
        str | None, typer.Option(help="Option or metric by which runs stand, as test_loss.")
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="The largest first.")] = False,
    columns: Annotated[
        str | None, typer.Option(help="Options and metrics that are shown, as depth,test_loss.")
    ] = None,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """List runs with the options in which they differ, and their metrics.

    Example:

        qdm runs list runs --sort test_loss
    """
    from ..overview import find_runs

    found = find_runs(root, kind or ())
    if sort is not None:
        found = found.sorted_by(sort, reverse=reverse)
    elif reverse:
        found = found.sorted_by("name", reverse=True)
    if columns is not None:
        found = found.with_columns([each.strip() for each in columns.split(",") if each.strip()])
    _show(found, out, as_json)


@app.command("show")
def show(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    as_json: JsonOption = False,
) -> None:
    """Show all options and metrics of a run.

    Example:

        qdm runs show runs/first
    """
    from ..overview import read_run
    from ..overview.table import cell

    row = read_run(run)
    if as_json:
        from ..overview import RunTable

        typer.echo(json.dumps(RunTable((row,)).to_dict()["rows"][0], indent=2, allow_nan=False))
        return
    typer.echo(f"{row.kind} run {run}: {row.state}")
    for title, values in (("options", row.options), ("metrics", row.metrics)):
        typer.echo(f"{title}:")
        for name, value in values.items():
            typer.echo(f"  {name:<28}{cell(value)}")


@app.command("compare")
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of two runs or more.")],
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare runs: the options in which they differ, and their metrics, a run a column.

    Example:

        qdm runs compare runs/first runs/line
    """
    from dataclasses import replace

    from ..overview import compare as compare_runs
    from ..overview import read_run

    rows = [replace(read_run(each), name=str(each)) for each in runs]
    found = compare_runs(rows)
    _show(found, out, as_json, turned=True)


def _show(found: RunTable, out: Path | None, as_json: bool, *, turned: bool = False) -> None:
    paths = []
    if out is not None:
        from ..files import write_together
        from ..reports.run_table import table_files

        contents = {out / name: content for name, content in table_files(found).items()}
        write_together(contents)
        paths = list(contents)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2, allow_nan=False))
        return
    from rich.console import Console

    from ..reports.run_table import run_table, table_width

    Console(width=table_width(found, turned=turned)).print(run_table(found, turned=turned))
    for path in paths:
        typer.echo(f"written  {path}")
