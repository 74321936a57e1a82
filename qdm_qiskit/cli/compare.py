"""``qdm compare``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .completion import devices, subjects
from .figure_formats import FormatOption, formats_of
from .models import JsonOption, SetOption
from .worker_options import SchedulerOption, WorkersOption, showing_progress

if TYPE_CHECKING:
    from ..evaluation.comparison import Comparison, Failing

__all__ = ["compare"]


def compare(
    subject: Annotated[
        str,
        typer.Argument(
            help="A run's folder, or a model, a preset or a circuit.", autocompletion=subjects
        ),
    ],
    backend: Annotated[
        list[str] | None,
        typer.Option(
            help="all, or devices from `qdm devices list`, as fake_torino,fake_fez; may be repeated.",
            autocompletion=devices,
        ),
    ] = None,
    optimization_level: Annotated[
        str, typer.Option(help="Qiskit's optimization levels, as 1,3.")
    ] = "3",
    loader: Annotated[
        list[str] | None,
        typer.Option(
            help="What loads images; may be repeated. The model's own if not given, or named own."
        ),
    ] = None,
    settings: SetOption = None,
    trials: Annotated[
        int, typer.Option(min=1, help="Transpiler seeds tried for each circuit.")
    ] = 3,
    shots: Annotated[int, typer.Option(min=1, help="Shots of each circuit.")] = 4096,
    num_images: Annotated[
        int, typer.Option(min=1, help="Images of the run that QPU seconds are for.")
    ] = 16,
    sampler: Annotated[str, typer.Option(help="Sampler of that run, as ddim.")] = "process",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of the sampler; all if not given.")
    ] = None,
    fractional_gates: Annotated[
        bool,
        typer.Option("--fractional-gates", help="Use rzz for free angles, folded into its range."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of weights, example image and transpiler.")] = 0,
    fail_above: Annotated[
        list[str] | None,
        typer.Option(
            help="Leave with code 1 if a row has more: cnots=250. May be repeated.",
            metavar="COLUMN=NUMBER",
        ),
    ] = None,
    fail_below: Annotated[
        list[str] | None,
        typer.Option(
            help="Leave with code 1 if a row has less: success=0.5. May be repeated.",
            metavar="COLUMN=NUMBER",
        ),
    ] = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the files; RUN/comparison, or comparisons/NAME for presets."),
    ] = None,
    sort: Annotated[
        str | None, typer.Option(help="Column by which rows stand, as cnots; the rank if none.")
    ] = None,
    figures: FormatOption = None,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on standard error.")] = False,
) -> None:
    """Compare a model on many devices, optimization levels and loaders, in one table.

    The folder gets comparison.csv, .json, .html and .png. What was stopped goes on with the same
    command. A device that is too small is a row that says so.

    Example:

        qdm compare eeqdm --set image_size=2 --trials 1 --backend fake_quito,fake_lima --out reports/small
    """  # noqa: E501 (an example is one line, to be copied as it is)
    from rich.console import Console

    from ..errors import InvalidOption, unknown_name
    from ..evaluation.comparison import METRICS, check_limits
    from ..options import parse_assignments
    from ..reports.comparison_render import write_comparison
    from ..reports.run_table import run_table, table_width
    from ..tasks import compare as run_comparison
    from ..tasks.cost_subjects import subject_name

    formats = formats_of(figures)
    above, below = _limits(fail_above, "fail_above"), _limits(fail_below, "fail_below")
    check_limits(above, below)
    if sort is not None and sort not in (*METRICS, "level", "loader", "state", "name"):
        raise unknown_name("column of this table called", sort, METRICS)
    options = parse_assignments(settings or [])
    devices = [each.strip() for text in backend or ["fake_torino"] for each in text.split(",")]
    try:
        levels = [int(each) for each in optimization_level.split(",")]
    except ValueError as error:
        raise InvalidOption(
            f"optimization_level is a list of numbers 0 to 3, got '{optimization_level}'."
        ) from error
    if out is None:
        of_run = Path(subject).is_dir()
        name = "comparison" if of_run else subject_name(subject, options)
        out = (Path(subject) if of_run else Path("comparisons")) / name
    with showing_progress(quiet) as progress:
        found = run_comparison(
            subject,
            [each for each in devices if each],
            levels=levels,
            loaders=[None if each == "own" else each for each in loader or ["own"]],
            settings=options,
            trials=trials,
            shots=shots,
            num_images=num_images,
            sampler=sampler,
            num_inference_steps=steps,
            fractional_gates=fractional_gates,
            seed=seed,
            folder=out,
            workers=workers,
            scheduler=scheduler,
            progress=progress,
        )
    if sort is not None:
        found = found.sorted_by(sort)
    failing = [] if found.interrupted else found.failing(above, below)
    paths = write_comparison(found, out, failing, formats)
    if as_json:
        failed = {"failing": [str(each) for each in failing]}
        typer.echo(json.dumps({**found.to_dict(), **failed}, indent=2, allow_nan=False))
    else:
        Console(width=table_width(found.table)).print(run_table(found.table))
        typer.echo(found.about)
        for path in paths:
            typer.echo(f"written  {path}")
    _leave(found, failing)


def _limits(assignments: list[str] | None, option: str) -> dict[str, float]:
    from ..errors import InvalidOption
    from ..options import parse_assignments

    found = {}
    for column, text in parse_assignments(assignments or []).items():
        try:
            found[column] = float(text)
        except ValueError as error:
            raise InvalidOption(f"{option} takes a number for '{column}', got '{text}'.") from error
    return found


def _leave(found: Comparison, failing: list[Failing]) -> None:
    """Say what is beyond a limit or has failed, and leave with a code of its own if anything is."""
    for each in failing:
        typer.echo(f"beyond a limit: {each}", err=True)
    for name, words in found.failures.items():
        typer.echo(f"failed: {name}: {words}", err=True)
    if found.interrupted:
        typer.echo("stopped; the same command goes on", err=True)
        raise typer.Exit(130)  # cli.main says the rest
    if failing or found.failures:
        raise typer.Exit(1)
