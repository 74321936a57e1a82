"""``qdm evaluate``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .figure_formats import FormatOption, formats_of
from .models import JsonOption
from .worker_options import DaskOption, WorkersOption, showing_progress, stoppable

if TYPE_CHECKING:
    from ..progress import Progress

__all__ = [
    "evaluate",
]


def evaluate(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Folders of trained runs; each is sampled.")
    ] = None,
    samples: Annotated[
        list[Path] | None,
        typer.Option(help="Folder that `qdm sample` has written, taken as it is; may be repeated."),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(help="Data set, npz:PATH or csv:PATH; the first run's own if none."),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Where a run's own data lie now, a file or folder; may be repeated."),
    ] = None,
    part: Annotated[str, typer.Option(help="Reference images: test or train.")] = "test",
    protocol: Annotated[
        str,
        typer.Option(help="small, or defalco: 7000 images, KID subsets of 100, score of 10 parts."),
    ] = "small",
    count: Annotated[
        int | None, typer.Option(help="Images of each set at most; 512 if none, 7000 for defalco.")
    ] = None,
    resamples: Annotated[
        int | None, typer.Option(help="Bootstrap resamples of each metric; 200 if none.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="Metric, of this package or another's; may be repeated. kid, frechet, score or all "
            "stand for several; all if none."
        ),
    ] = None,
    scheduler: Annotated[
        str,
        typer.Option(
            "--sampler",
            "--scheduler",
            help="process; of noise models ddpm, ddim, analytic, dpm-solver++, sde, ode; or another's.",
        ),
    ] = "process",
    steps: Annotated[int | None, typer.Option(help="Steps of the sampler; all by default.")] = None,
    inception_weights: Annotated[
        str | None,
        typer.Option(help="File of Inception's weights, or 'download'; no Inception FID if none."),
    ] = None,
    accept_other_weights: Annotated[
        bool,
        typer.Option(
            "--accept-other-weights", help="Take Inception's weights with another checksum too."
        ),
    ] = False,
    alone: Annotated[
        bool,
        typer.Option(
            "--alone", help="Leave out what stands beside a run: simpler denoisers, competitors."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of samples, noise and resamples.")] = 0,
    workers: WorkersOption = None,
    dask: DaskOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for table and pictures; RUN/evaluation if one run.")
    ] = None,
    figures: FormatOption = None,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on standard error.")] = False,
) -> None:
    """Measure samples against real images, with intervals, beside real images and noise.

    Several runs stand in one table and one plot. Distances are those of a small classifier of the
    data set, which is trained once and kept in the user's cache folder.

    With --workers or --dask each run is an item of work. What was stopped goes on with the same
    command, and in a folder that has been written more runs are measured alone.

    Example:

        qdm evaluate runs/first --count 64 --out runs/first/evaluation
    """
    from rich.console import Console

    from ..errors import InvalidOption
    from ..files import check_writable
    from ..reports.evaluation_render import render_table, sentences
    from ..tasks import evaluate as run_evaluation

    given = {"count": count, "resamples": resamples, "part": part, "seed": seed}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if out is None and len(runs or []) + len(samples or []) == 1:
        out = [*(runs or []), *(samples or [])][0] / "evaluation"
    formats = formats_of(figures)
    if formats and out is None:
        raise InvalidOption("Figures go into a folder: name out.")
    if out is not None:
        check_writable(out)
    given_away = workers is not None or dask is not None
    with _telling(quiet, of_items=given_away) as progress:
        made = run_evaluation(
            *(runs or []),
            samples=samples or [],
            metrics=metric or None,
            reference=reference,
            data=data or [],
            protocol=protocol,
            sampler=scheduler,
            steps=steps,
            inception_weights=inception_weights,
            accept_other_weights=accept_other_weights,
            beside=not alone,
            out=out,
            formats=formats,
            workers=workers,
            dask=dask,
            progress=progress,
            **options,
        )
    report = made.report
    table = report.to_dict()
    if as_json:
        typer.echo(json.dumps(table, indent=2, allow_nan=False))
        return
    wide = Console(width=max(80, 32 + 27 * len(report.rows)))
    wide.print(render_table(table))
    for sentence in sentences(table):
        typer.echo(sentence)
    for path in made.files:
        typer.echo(f"written  {path}")


@contextmanager
def _telling(quiet: bool, *, of_items: bool) -> Iterator[Progress]:
    """Show what is done: a bar over items, or a line that says what is measured."""
    if of_items:
        with stoppable(), showing_progress(quiet) as progress:
            yield progress
        return
    from rich.console import Console

    from ..progress import silent

    console = Console(stderr=True)
    if quiet or not console.is_interactive:
        yield silent
        return
    with console.status("evaluating") as status:
        yield lambda stage: status.update(stage)
