"""``qdm sweep``."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .figure_formats import FormatOption, formats_of
from .models import JsonOption, ModelOption, PresetOption, SetOption
from .train import LogOption
from .worker_options import SchedulerOption, WorkersOption, showing_progress

if TYPE_CHECKING:
    from ..sweeps import Draw, Search, SweepPlan, SweepResult

__all__ = ["parse_lists", "sweep"]


def sweep(
    out: Annotated[Path, typer.Option(help="Folder of the sweep; its runs are below runs/.")],
    model: ModelOption = None,
    preset: PresetOption = None,
    settings: SetOption = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            help="Values of an option, as depth=2,4,8; of one that is a list itself classes=0,1;2,3. "
            "May be repeated: all combinations are trained.",
            metavar="NAME=A,B,C",
        ),
    ] = None,
    draw: Annotated[
        list[str] | None,
        typer.Option(
            help="An option that is drawn: learning_rate=0.001:0.1:log, depth=2:8, or one of a list. "
            "May be repeated.",
            metavar="NAME=LOW:HIGH",
        ),
    ] = None,
    draws: Annotated[
        int | None, typer.Option(help="Points that are drawn, each with the whole grid.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Runs of each point, with seeds of their own; 1 if none.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="The first seed, which draws depend on too; 0 if none.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Data set, see `qdm data list`, npz:PATH or csv:PATH.")
    ] = None,
    train_on: Annotated[
        str | None,
        typer.Option(
            help="What circuits run on in training: engine, aer, noisy:fake_torino; see "
            "docs/training.md."
        ),
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(
            help="Choose points of --draw by what came of others: optuna, spsa, qaoa, surrogate; or "
            "random."
        ),
    ] = None,
    trials: Annotated[int | None, typer.Option(help="Points that a search tries.")] = None,
    at_once: Annotated[
        int | None,
        typer.Option(help="Points of a search that are tried before it chooses more; 4 if none."),
    ] = None,
    first_epochs: Annotated[
        int | None,
        typer.Option(help="Stop bad points early (successive halving): epochs that all train."),
    ] = None,
    factor: Annotated[
        int | None,
        typer.Option(
            help="Of so many points one goes on, for so many times the epochs; 3 if none."
        ),
    ] = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of torch for each run.")] = 1,
    log_with: LogOption = "tensorboard",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the sweep in the folder, as it began.")
    ] = False,
    sort: Annotated[
        str | None, typer.Option(help="Column by which rows stand, as test_loss; the grid if none.")
    ] = None,
    over_seeds: Annotated[
        bool, typer.Option("--over-seeds", help="Show means and deviations over seeds.")
    ] = False,
    figures: FormatOption = None,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on standard error.")] = False,
) -> None:
    """Train many runs that differ in options; what was stopped goes on with the same command.

    The folder gets runs.csv, runs.json, runs.html and curves.png beside the runs.

    Example:

        qdm sweep --model eeqdm --set train_count=20 --epochs 1 --grid depth=1,2 --out runs/sweep
    """
    from rich.console import Console

    from ..errors import InvalidOption
    from ..options import parse_assignments
    from ..reports.run_table import run_table, table_width
    from ..reports.sweep_render import write_curves
    from ..sweeps import Halving, is_search, plan_search, plan_sweep, read_plan, read_search
    from ..tasks.sweeping import run_plan

    formats = formats_of(figures)
    named = {
        "model": model,
        "preset": preset,
        "set": settings,
        "grid": grid,
        "draw": draw,
        "draws": draws,
        "seeds": seeds,
        "seed": seed,
        "epochs": epochs,
        "dataset": dataset,
        "train_on": train_on,
        "search": search,
        "trials": trials,
        "at_once": at_once,
        "first_epochs": first_epochs,
        "factor": factor,
    }
    where: dict[str, Any] = {
        "workers": workers,
        "scheduler": scheduler,
        "threads": threads,
        "log_with": log_with,
    }
    given = [name for name, value in named.items() if value]
    if resume:
        if given:
            raise InvalidOption(
                f"A sweep that is resumed has its options in {out / 'sweep.json'}; leave "
                f"{', '.join('--' + name.replace('_', '-') for name in given)} out."
            )
        plan: SweepPlan | Search = read_search(out) if is_search(out) else read_plan(out)
    else:
        name = preset or model
        if name is None or (preset and model):
            raise InvalidOption(
                f"Name what to train by --model or by --preset, got model {model!r} and preset "
                f"{preset!r}."
            )
        if factor is not None and first_epochs is None:
            raise InvalidOption("factor is one of successive halving: name first_epochs too.")
        options: dict[str, Any] = dict(parse_assignments(settings or []))
        for option in ("epochs", "dataset", "train_on"):
            if named[option] is not None:
                if option in options:
                    raise InvalidOption(f"Option '{option}' is set twice.")
                options[option] = named[option]
        if search is not None:
            _check_search(
                search, trials, {"grid": grid, "draws": draws, "first_epochs": first_epochs}
            )
            assert trials is not None
            plan = plan_search(
                name,
                options,
                draw=_parse_draws(draw or []),
                trials=trials,
                at_once=4 if at_once is None else at_once,
                seeds=1 if seeds is None else seeds,
                seed=seed or 0,
                method=search,
            )
        elif trials is not None or at_once is not None:
            raise InvalidOption("trials and at_once are a search's: name --search optuna too.")
        else:
            plan = plan_sweep(
                name,
                options,
                grid=parse_lists(grid or []),
                draw=_parse_draws(draw or []),
                draws=draws or 0,
                seeds=1 if seeds is None else seeds,
                seed=seed or 0,
                halving=None
                if first_epochs is None
                else Halving(first_epochs, 3 if factor is None else factor),
            )
    with showing_progress(quiet) as progress:
        result = run_plan(plan, out, progress=progress, **where)
    drawn = write_curves(result, out, formats)
    table = result.table.over_seeds() if over_seeds else result.table
    if sort is not None:
        table = table.sorted_by(sort)
    if as_json:
        typer.echo(json.dumps({**table.to_dict(), "best": result.best}, indent=2, allow_nan=False))
    else:
        Console(width=table_width(table)).print(run_table(table))
        _print_outcome(result, drawn)
    _leave(result, out)


def _check_search(search: str, trials: int | None, others: dict[str, Any]) -> None:
    from typing import get_args

    from ..errors import InvalidOption
    from ..sweeps import Chooser

    known = ("optuna", *get_args(Chooser))
    if search not in known:
        raise InvalidOption(
            f"search is one of {', '.join(known)}, or left out for a grid or draws; got '{search}'."
        )
    if trials is None:
        raise InvalidOption("A search needs the number of points that it tries; give trials.")
    given = [name for name, value in others.items() if value]
    if given:
        raise InvalidOption(
            f"A search chooses points by itself; leave {', '.join(given)} out, and name values or ends "
            "of every option in draw."
        )


def _print_outcome(result: SweepResult, drawn: tuple[Path, ...]) -> None:
    if result.best is not None:
        typer.echo(f"best     {result.folder / 'runs' / result.best}")
    for name in ("runs.csv", "runs.json", "runs.html", "curves.png"):
        typer.echo(f"written  {result.folder / name}")
    for path in drawn:
        typer.echo(f"written  {path}")


def _leave(result: SweepResult, out: Path) -> None:
    """Say what is left, and leave with a code of its own if anything is."""
    for name, words in result.failures.items():
        typer.echo(f"failed: {name}: {words}", err=True)
    if result.interrupted:
        typer.echo(
            f"stopped; continue with: qdm sweep --out {shlex.quote(str(out))} --resume", err=True
        )
        raise typer.Exit(130)  # cli.main says the rest
    if result.failures:
        raise typer.Exit(1)


def parse_lists(assignments: list[str]) -> dict[str, list[str]]:
    """Return ``["depth=2,4"]`` as ``{"depth": ["2", "4"]}``; a semicolon parts lists.

    Raises:
        InvalidOption: If one has no ``=``, no value, or a name stands twice.
    """
    from ..errors import InvalidOption
    from ..options import parse_assignments

    found = {}
    for name, text in parse_assignments(assignments).items():
        values = [each.strip() for each in text.split(";" if ";" in text else ",")]
        if ";" in text:
            values = [each for each in values if each]  # `classes=0,1;` is one list
        if not all(values):
            raise InvalidOption(f"grid takes values for '{name}', as {name}=A,B; got '{text}'.")
        found[name] = values
    return found


def _parse_draws(assignments: list[str]) -> dict[str, Draw | list[str]]:
    from ..options import parse_assignments
    from ..sweeps import Draw

    found: dict[str, Draw | list[str]] = {}
    for name, text in parse_assignments(assignments).items():
        if "," in text or ";" in text:
            found |= parse_lists([f"{name}={text}"])
        else:
            found[name] = Draw.from_text(text)
    return found
