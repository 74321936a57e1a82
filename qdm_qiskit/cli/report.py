"""``qdm report``: what a circuit costs on a device, and what a run has come to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import pictures
from .models import JsonOption, SetOption

if TYPE_CHECKING:
    from ..models import CircuitDenoiser

app = typer.Typer(help="Reports, before anything is paid for.", no_args_is_help=True)
app.command("pictures")(pictures.pictures)


@app.command("transpile")
def transpile(
    subject: Annotated[
        str, typer.Argument(help="A run's folder, or a model, a preset or a circuit.")
    ],
    backend: Annotated[
        list[str] | None,
        typer.Option(help="A device snapshot, such as fake_torino; may be repeated."),
    ] = None,
    settings: SetOption = None,
    trials: Annotated[int, typer.Option(min=1, help="Transpiler seeds tried on each device.")] = 10,
    level: Annotated[int, typer.Option(min=0, max=3, help="Qiskit's optimization level.")] = 3,
    shots: Annotated[int, typer.Option(min=1, help="Shots that the verdict assumes.")] = 4096,
    loader: Annotated[
        str | None, typer.Option(help="What loads images; the model's own if not given.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, example image and transpiler.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the report; RUN/report, or transpile_reports for presets."),
    ] = None,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Report depth, two-qubit gates, duration and expected success on one or more devices.

    A trained run is reported with its weights, a model or preset with fresh ones. Loader and denoiser
    are counted apart.

    Example:

        qdm report transpile eeqdm --set depth=2 --trials 2 --backend fake_torino --out reports
    """
    import torch
    from rich.console import Console
    from rich.progress import Progress

    from ..diffusion import InterpolatedNoise
    from ..errors import InvalidOption
    from ..execution.snapshots import load_backend
    from ..files import check_writable
    from ..options import parse_assignments
    from ..reports.transpile import transpile_report, write_report
    from ..rng import derived_seed
    from ..sampling import load_run, unrolled_circuit
    from ..sampling.encoding import circuit_values

    backends = backend or ["fake_torino"]
    for name in backends:
        load_backend(name)
    if Path(subject).is_dir():
        if settings:
            raise InvalidOption(
                "A trained run's options are frozen; --set is for models and presets."
            )
        run = load_run(Path(subject))
        model, process = run.model, run.process
        name = Path(subject).resolve().name
    else:
        from ..models import build_model, resolve

        choice = resolve(subject, parse_assignments(settings or []))
        generator = torch.Generator().manual_seed(derived_seed(seed, "init", 0))
        model, process = build_model(choice, generator=generator), InterpolatedNoise()
        name = "_".join([subject, *(each.replace("=", "") for each in settings or [])])
    model = _one_circuit(model)
    if loader is not None:
        model = model.with_loader(loader)
        name = f"{name}_{loader.replace(':', '')}"
    if out is None:
        out = Path(subject) / "report" if Path(subject).is_dir() else Path("transpile_reports")
    check_writable(out)
    circuit = unrolled_circuit(model)
    start = torch.Generator().manual_seed(derived_seed(seed, "sampling", 0))
    image = process.start((1, *model.image_shape), start)
    labels = torch.zeros(1, dtype=torch.int64) if getattr(model.config, "guided", False) else None
    values = circuit_values(model, *model.encode_at(image, torch.ones(1), labels))
    console = Console(stderr=True)
    silent = quiet or not console.is_interactive
    with Progress(console=console, disable=silent, transient=True) as bar:
        tasks = {each: bar.add_task(each, total=trials) for each in backends}
        report = transpile_report(
            name,
            circuit,
            backends,
            level=level,
            seeds=[derived_seed(seed, "transpiler", trial) for trial in range(trials)],
            example_values=values[0],
            shots=shots,
            progress=lambda each, done, total: bar.update(tasks[each], completed=done),
        )
    paths = write_report(report, out)
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


def _one_circuit(model: object) -> CircuitDenoiser:
    from ..errors import InvalidOption
    from ..models import CircuitDenoiser

    if not isinstance(model, CircuitDenoiser):
        raise InvalidOption(
            f"'{getattr(model, 'name', model)}' has no single circuit to report on."
        )
    return model


@app.command("run")
def run_page(
    run: Annotated[Path, typer.Argument(help="A run's folder, with samples in sub-folders.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the page; the run's own if none.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Where the run's data lie now, a .npz file or a folder.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a run's page: loss beside its baselines, and what each target made of the samples.

    Samples are found in the run's sub-folders, as `qdm sample RUN --out RUN/exact` writes them.

    Example:

        qdm report run runs/first
    """
    from ..files import check_writable
    from ..reports.run import run_report, write_run_report

    folder = run if out is None else out
    check_writable(folder)
    report, pictures = run_report(run, data=data)
    paths = write_run_report(report, pictures, folder)
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
    from ..files import check_writable
    from ..reports.states import states_report, write_states_report

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
