"""``qdm circuits scan``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .circuit_options import NameArgument
from .models import JsonOption, SetOption
from .sweep import parse_lists
from .worker_options import SchedulerOption, WorkersOption, showing_progress

__all__ = ["scan"]


def scan(
    name: NameArgument,
    grid: Annotated[
        list[str],
        typer.Option(
            help="Values of an option, as depth=1,2,4. May be repeated: all combinations are measured.",
            metavar="NAME=A,B,C",
        ),
    ],
    settings: SetOption = None,
    samples: Annotated[
        int, typer.Option(help="Random states of a repeat, and points for gradients.")
    ] = 300,
    repeats: Annotated[int, typer.Option(help="Independent repeats of the expressibility.")] = 10,
    start_angle: Annotated[
        float, typer.Option(help="RY of this angle in radians on each qubit first.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of all random angles.")] = 0,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder for scan.csv and scan.json.")] = None,
    sort: Annotated[
        str | None,
        typer.Option(help="Column by which rows stand, as expressibility_kl; the grid if none."),
    ] = None,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on standard error.")] = False,
) -> None:
    """Measure a template's expressibility, entanglement and gradients over its options, in one table.

    Each circuit has the numbers that `qdm circuits analyze` gives it. With --out, results are kept and
    what was stopped goes on with the same command.

    Example:

        qdm circuits scan eeqdm --grid depth=1,2 --samples 50 --out reports/scan
    """
    from rich.console import Console

    from ..files import write_text
    from ..options import parse_assignments
    from ..reports.run_table import run_table, table_width
    from ..tasks.circuit_scans import scan_circuit

    with showing_progress(quiet) as progress:
        found = scan_circuit(
            name,
            parse_lists(grid),
            settings=parse_assignments(settings or []),
            samples=samples,
            repeats=repeats,
            start_angle=start_angle,
            seed=seed,
            folder=out,
            workers=workers,
            scheduler=scheduler,
            progress=progress,
        )
    table = found.table if sort is None else found.table.sorted_by(sort)
    content = json.dumps({**found.to_dict(), **table.to_dict()}, indent=2, allow_nan=False)
    written = []
    if out is not None:
        written = [out / "scan.csv", out / "scan.json"]
        for path, text in zip(written, (table.to_csv(), content + "\n"), strict=True):
            write_text(path, text)
    if as_json:
        typer.echo(content)
    else:
        Console(width=table_width(table)).print(run_table(table))
        for path in written:
            typer.echo(f"written  {path}")
    for each, words in found.failures.items():
        typer.echo(f"failed: {each}: {words}", err=True)
    if found.interrupted:
        typer.echo("stopped; the same command goes on", err=True)
        raise typer.Exit(130)  # cli.main says the rest
    if found.failures:
        raise typer.Exit(1)
