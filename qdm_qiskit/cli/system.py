"""``qdm report system``: what runs take of a quantum system."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .models import JsonOption

__all__ = ["system"]


def system(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Folders of training, sampling or hardware runs, or folders of them."),
    ],
    watts: Annotated[
        float | None,
        typer.Option(help="Power of the system that runs the circuits, for their energy."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for system.csv, system.json and system.html.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Report qubits used and idle, depth, latency, shots, cost, stability and reproducibility.

    All is read from what the runs recorded, and what is not recorded is said. Runs that differ in
    the seed alone, or in the device's calibration alone, show how much each metric varies.

    Example:

        qdm report system runs/first runs/first/noisy --out reports
    """
    from ..files import check_writable
    from ..reports.system_render import system_json, system_tables, system_width, write_system
    from ..tasks import system_metrics

    if out is not None:
        check_writable(out)
    report = system_metrics(runs, watts=watts)
    paths = () if out is None else write_system(report, out)
    if as_json:
        typer.echo(system_json(report))
        return
    from rich.console import Console

    console = Console(width=system_width(report))
    for each in system_tables(report):
        console.print(each)
    for line in report.notes():
        typer.echo(line)
    unknown = report.unknown()
    if unknown:
        typer.echo("not known:")
    for line in unknown:
        typer.echo(f"  {line}")
    for path in paths:
        typer.echo(f"written  {path}")
