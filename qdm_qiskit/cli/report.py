"""``qdm report``: what a circuit costs on a device, and what a run has come to."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import pictures, system
from .completion import devices, subjects
from .figure_formats import FormatOption, formats_of
from .models import JsonOption, SetOption
from .worker_options import DaskOption, WorkersOption, showing_progress, stoppable

if TYPE_CHECKING:
    from ..evaluation.run_cost import RunReport
    from ..progress import Message

__all__ = [
    "app",
    "run_page",
    "states_page",
    "tiles_page",
    "transpile",
]

app = typer.Typer(help="Reports, before anything is paid for and after.", no_args_is_help=True)
app.command("pictures")(pictures.pictures)
app.command("system")(system.system)


def _devices_and_folder(
    subject: str, backend: list[str] | None, settings: list[str] | None, out: Path | None
) -> tuple[list[str], Path]:
    """Return the devices of a report and its folder, both checked before any work."""
    from ..errors import InvalidOption
    from ..execution.snapshots import load_backend
    from ..files import check_writable

    backends = backend or ["fake_torino"]
    for name in backends:
        load_backend(name)
    of_run = Path(subject).is_dir()
    if of_run and settings:
        raise InvalidOption("A trained run's options are frozen; --set is for models and presets.")
    if out is None:
        out = Path(subject) / "report" if of_run else Path("transpile_reports")
    check_writable(out)
    return backends, out


@app.command("transpile")
def transpile(
    subject: Annotated[
        str,
        typer.Argument(
            help="A run's folder, or a model, a preset or a circuit.", autocompletion=subjects
        ),
    ],
    backend: Annotated[
        list[str] | None,
        typer.Option(
            help="A device from `qdm devices list`, as fake_torino; may be repeated.",
            autocompletion=devices,
        ),
    ] = None,
    settings: SetOption = None,
    trials: Annotated[int, typer.Option(min=1, help="Transpiler seeds tried on each device.")] = 10,
    level: Annotated[int, typer.Option(min=0, max=3, help="Qiskit's optimization level.")] = 3,
    shots: Annotated[int, typer.Option(min=1, help="Shots that the verdict assumes.")] = 4096,
    loader: Annotated[
        str | None, typer.Option(help="What loads images; the model's own if not given.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, example image and transpiler.")] = 0,
    num_images: Annotated[int, typer.Option(min=1, help="Images of a run of many circuits.")] = 16,
    scheduler: Annotated[
        str, typer.Option(help="Sampler of a run of many circuits, as ddim.")
    ] = "process",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of the sampler; all if not given.")
    ] = None,
    chain: Annotated[
        str,
        typer.Option(help="Models of states: coherent, all steps in one circuit; steps; or auto."),
    ] = "auto",
    every: Annotated[
        bool,
        typer.Option("--every", help="Transpile also circuits that differ in weights only."),
    ] = False,
    fractional_gates: Annotated[
        bool,
        typer.Option("--fractional-gates", help="Use rzz for free angles, folded into its range."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the report; RUN/report, or transpile_reports for presets."),
    ] = None,
    figures: FormatOption = None,
    as_json: JsonOption = False,
    workers: WorkersOption = None,
    dask: DaskOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Report depth, two-qubit gates, duration and expected success on one or more devices.

    A trained run is reported with its weights, a model or preset with fresh ones. Loader and denoiser
    are counted apart. A model of many circuits has a row for each, and a total for the run.

    With --workers or --dask each transpiler seed on each device is an item of work. The report is the
    same, and what was stopped goes on with the same command.

    Example:

        qdm report transpile eeqdm --set depth=2 --trials 2 --backend fake_torino --out reports
    """
    from ..errors import UnsupportedCircuit
    from ..evaluation.run_cost import RunReport
    from ..options import parse_assignments
    from ..reports.calls_render import write_calls_report
    from ..reports.transpile_render import write_report
    from ..tasks import cost

    formats = formats_of(figures)
    backends, out = _devices_and_folder(subject, backend, settings, out)
    given_away = workers is not None or dask is not None
    tried = out / "trials" if given_away else None  # seeds that were tried, for another start
    with (
        _kept_until_told(tried),
        _telling(quiet, backends, trials, of_items=given_away) as progress,
    ):
        report = cost(
            subject,
            backends,
            settings=parse_assignments(settings or []),
            trials=trials,
            level=level,
            shots=shots,
            loader=loader,
            seed=seed,
            num_images=num_images,
            scheduler=scheduler,
            num_inference_steps=steps,
            chain=chain,
            every=every,
            fractional_gates=fractional_gates,
            workers=workers,
            dask=dask,
            folder=tried,
            progress=progress,
        )
    if isinstance(report, RunReport):
        paths = write_calls_report(report, out)
        if formats:
            typer.echo("note: the cost of a run of many circuits has no figure", err=True)
        if as_json:
            typer.echo(json.dumps(report.to_dict(), indent=2))
        else:
            _show_run(report, paths)
        for device in report.backends:
            if device.problem:
                raise UnsupportedCircuit(device.problem)
        return
    paths = write_report(report, out, formats)
    if as_json:
        typer.echo(json.dumps(report.to_dict(), indent=2))
        return
    for found in report.backends:
        total, loading = found.cost.total, found.cost.loader
        typer.echo(
            f"{found.backend}: depth {total.depth}, {total.two_qubit_count} two-qubit gates "
            f"({loading.two_qubit_count} of them load the data), "
            f"expected success {total.expected_success:.2g}"
        )
        typer.echo(found.verdict.sentence)
    for path in paths:
        typer.echo(f"written  {path}")


@contextmanager
def _kept_until_told(folder: Path | None) -> Iterator[None]:
    """Remove results of items when there is a report, or the reason why there can be none."""
    from ..errors import UnsupportedCircuit

    told = True
    try:
        yield
    except UnsupportedCircuit:
        raise
    except BaseException:
        told = False  # they are for the next call
        raise
    finally:
        if told and folder is not None:
            shutil.rmtree(folder / "items", ignore_errors=True)
            with suppress(OSError):  # with somebody else's files in it, it stays
                folder.rmdir()


@contextmanager
def _telling(
    quiet: bool, backends: list[str], trials: int, *, of_items: bool
) -> Iterator[Callable[[Message], None]]:
    """Show a bar over all items, or one over the trials of each device."""
    if of_items:
        with stoppable(), showing_progress(quiet) as progress:
            yield progress
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    silent = quiet or not console.is_interactive
    with Progress(console=console, disable=silent, transient=True) as bar:
        # A device of one's own is reported with the hash of its content behind its name.
        tasks = {each.partition("@")[0]: bar.add_task(each, total=trials) for each in backends}
        yield lambda each: bar.update(
            tasks[each.partition("@")[0]], completed=each.done, total=each.total
        )


def _show_run(report: RunReport, paths: tuple[Path, ...]) -> None:
    """Print a line for each distinct circuit, and the total of each device."""
    from ..evaluation.run_cost import about_line

    typer.echo(about_line(report.to_dict()))
    for device, total in zip(report.backends, report.sentences(), strict=True):
        for row in device.rows:
            told = row.problem or (
                f"depth {row.depth}, {row.two_qubit_gates} two-qubit gates, "
                f"expected success {row.expected_success:.2g}"
            )
            typer.echo(
                f"{device.backend}: {row.circuit} {row.content}: {row.calls_step} calls a step, "
                f"{row.calls_run} a run, {row.rows} rows a step in {row.bases} bases: {told}"
            )
        typer.echo(total)
    for path in paths:
        typer.echo(f"written  {path}")


@app.command("tiles")
def tiles_page(
    subject: Annotated[
        str,
        typer.Argument(
            help="A run's folder, or a model, a preset or a circuit.", autocompletion=subjects
        ),
    ],
    backend: Annotated[
        list[str] | None,
        typer.Option(
            help="A device from `qdm devices list`, as fake_torino; may be repeated.",
            autocompletion=devices,
        ),
    ] = None,
    tiles: Annotated[
        str,
        typer.Option(help="auto, a number of tiles, or the least expected success, '>=0.7'."),
    ] = "auto",
    tile_buffer: Annotated[
        bool, typer.Option("--tile-buffer", help="Leave a qubit between tiles.")
    ] = False,
    call: Annotated[
        str | None, typer.Option(help="One circuit of a model that calls several.")
    ] = None,
    settings: SetOption = None,
    trials: Annotated[int, typer.Option(min=1, help="Transpiler seeds tried on each device.")] = 5,
    level: Annotated[int, typer.Option(min=0, max=3, help="Qiskit's optimization level.")] = 3,
    loader: Annotated[
        str | None, typer.Option(help="What loads images; the model's own if not given.")
    ] = None,
    inputs: Annotated[
        int, typer.Option(min=0, help="Random inputs of the simulation; 0 for none.")
    ] = 16,
    seed: Annotated[int, typer.Option(help="Seed of weights and inputs.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the report; RUN/report, or transpile_reports for presets."),
    ] = None,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Report disjoint places of a chip that run a circuit at once, and draw them.

    The expected success of each, with gates, readout and waiting in it, stands beside what a
    simulation with the noise of its own qubits leaves of the signal.

    Example:

        qdm report tiles eeqdm --set image_size=2 --tiles 4 --trials 1 --inputs 4 --out reports
    """
    from rich.console import Console
    from rich.progress import Progress

    from ..options import parse_assignments
    from ..reports.tiles_render import write_tiles_report
    from ..tasks import tiles as find

    backends, out = _devices_and_folder(subject, backend, settings, out)
    console = Console(stderr=True)
    silent = quiet or not console.is_interactive
    with Progress(console=console, disable=silent, transient=True) as bar:
        task = bar.add_task("finding tiles", total=None)
        report = find(
            subject,
            backends,
            tiles,
            buffer=tile_buffer,
            call=call,
            settings=parse_assignments(settings or []),
            trials=trials,
            level=level,
            loader=loader,
            inputs=inputs,
            seed=seed,
            progress=lambda each: bar.update(
                task, description=str(each), completed=each.done, total=each.total
            ),
        )
    paths = write_tiles_report(report, out)
    if as_json:
        typer.echo(json.dumps(report.to_dict(), indent=2))
        return
    for sentence in report.sentences():
        typer.echo(sentence)
    for path in paths:
        typer.echo(f"written  {path}")


@app.command("run")
def run_page(
    run: Annotated[Path, typer.Argument(help="A run's folder, with samples in sub-folders.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the page; the run's own if none.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Where the run's data lie now, a .npz file or a folder.")
    ] = None,
    figures: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a run's page: loss beside its baselines, and what each target made of the samples.

    Samples are found in the run's sub-folders, as `qdm sample RUN --out RUN/exact` writes them.

    Example:

        qdm report run runs/first
    """
    from ..evaluation.run import run_report
    from ..files import check_writable
    from ..reports.run_render import write_run_report

    formats = formats_of(figures)
    folder = run if out is None else out
    check_writable(folder)
    report, pictures = run_report(run, data=data)
    paths = write_run_report(report, pictures, folder, formats)
    if as_json:
        typer.echo(json.dumps(report.to_dict(), indent=2))
        return
    for target in report.targets:
        typer.echo(f"{target.folder}: {target.sentence}")
    for note in report.notes:
        typer.echo(note)
    for path in paths:
        typer.echo(f"written  {path}")


@app.command("states")
def states_page(
    run: Annotated[Path, typer.Argument(help="Folder of a run that diffuses quantum states.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the files; the run's own.")] = None,
    states: Annotated[int, typer.Option(help="States of each ensemble.")] = 300,
    repeats: Annotated[int, typer.Option(help="Independent ensembles.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the samples.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Compare a run's states with fresh data, and draw them in Bloch balls.

    The run is one of `qdm train --preset quddpm-clustered --out runs/clustered`.

    Example:

        qdm report states runs/clustered --states 50 --repeats 2
    """
    from ..evaluation.states import states_report
    from ..files import check_writable
    from ..reports.states_render import write_states_report

    folder = run if out is None else out
    check_writable(folder)
    report, pictures = states_report(run, states=states, repeats=repeats, seed=seed)
    paths = write_states_report(report, pictures, folder)
    if as_json:
        typer.echo(json.dumps(report.to_dict(), indent=2))
        return
    for line in report.lines():
        typer.echo(line)
    for path in paths:
        typer.echo(f"written  {path}")
