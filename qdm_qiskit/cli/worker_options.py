"""Options that say who works on items, and the bar over them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..progress import Message, Progress

__all__ = ["DaskOption", "SchedulerOption", "WorkersOption", "showing_progress", "stoppable"]

_DASK = (
    "A scheduler of Dask, as tcp://10.0.0.1:8786, whose workers see the same folders; or local, a "
    "cluster of Dask's on this machine."
)
WorkersOption = Annotated[
    int | None, typer.Option(help="Processes of this machine; this one alone if none.")
]
SchedulerOption = Annotated[str | None, typer.Option("--scheduler", "--dask", help=_DASK)]
DaskOption = Annotated[str | None, typer.Option("--dask", help=_DASK)]
"""The same where ``--scheduler`` is a sampler."""


@contextmanager
def showing_progress(quiet: bool) -> Iterator[Progress]:
    """Show a bar over all items, or in a log file a line for each."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    from ..progress import silent

    console = Console(stderr=True)
    if quiet:
        yield silent
        return
    if not console.is_interactive:
        yield lambda message: typer.echo(_counted(message), err=True)
        return
    bar = Bar(
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
        console=console,
    )
    task = bar.add_task("", total=None)

    def show(message: Message) -> None:
        bar.update(task, description=str(message))
        if message.total is not None:
            bar.update(task, completed=message.done or 0, total=message.total)
        if "failed" in message or "lost" in message:
            console.print(str(message), highlight=False, soft_wrap=True, markup=False)

    with bar:
        yield show


@contextmanager
def stoppable() -> Iterator[None]:
    """After Ctrl-C say that the same command goes on, and leave with its code."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on", err=True)
        raise typer.Exit(130) from None  # cli.main says the rest


def _counted(message: Message) -> str:
    counts = "" if message.total is None else f"{message.done}/{message.total} "
    return f"{counts}{message}"
