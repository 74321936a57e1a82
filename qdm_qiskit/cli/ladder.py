"""``qdm ladder``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from .models import JsonOption

__all__ = [
    "ladder",
]


def ladder(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run, or of a checkpoint.")],
    target: Annotated[str, typer.Option(help="Simulated device: noisy:SNAPSHOT.")],
    rung: Annotated[
        list[str] | None,
        typer.Option(help="Rung to climb, with those below it; may be repeated; all if none."),
    ] = None,
    num_images: Annotated[int, typer.Option(help="Images of each rung, at least 2.")] = 16,
    shots: Annotated[int, typer.Option(help="Shots for each image and step.")] = 1024,
    label: Annotated[
        int | None, typer.Option(help="Class of all images; guided models only.")
    ] = None,
    readout: Annotated[
        str,
        typer.Option(help="Readout errors: mean, one a qubit as in Aer, or asymmetric."),
    ] = "mean",
    calibration_shots: Annotated[
        int, typer.Option(help="Shots of each calibration circuit.")
    ] = 8192,
    layout_trials: Annotated[int, typer.Option(help="Transpiler seeds tried.")] = 5,
    randomizations: Annotated[
        int, typer.Option(help="Random circuits of a row where something is twirled.")
    ] = 8,
    pulses: Annotated[str, typer.Option(help="Pulses in waits: XX, XpXm or XY4.")] = "XX",
    scheduler: Annotated[
        str,
        typer.Option(
            "--sampler",
            "--scheduler",
            help="process; of noise models ddpm, ddim, analytic, dpm-solver++, sde, ode; or another's.",
        ),
    ] = "process",
    steps: Annotated[int | None, typer.Option(help="Steps of the sampler; all by default.")] = None,
    loader: Annotated[
        str | None,
        typer.Option(help="What loads images into the circuit; the model's own if not given."),
    ] = None,
    classifier: Annotated[
        bool,
        typer.Option(
            "--classifier/--no-classifier",
            help="Name the images by a classifier of the run's data, trained once and kept.",
        ),
    ] = True,
    seed: Annotated[int, typer.Option(help="Seed of every random stream.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for table, picture and page; RUN/ladder if none.")
    ] = None,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on standard error.")] = False,
) -> None:
    """Show what each part of a device's noise costs, and what each remedy gives back and costs.

    The same images go through exact values, shots, gate noise, readout noise and all of it; then
    through M3, dynamical decoupling, twirling and other remedies. A rung that the simulated noise
    cannot show, or that cannot run, says so.

    Example:

        qdm ladder runs/first --target noisy:fake_torino --shots 256 --num-images 4 --rung m3
    """
    from contextlib import nullcontext

    from rich.console import Console

    from ..evaluation.ladder import ladder_notes
    from ..reports.ladder_render import ladder_table
    from ..tasks import ladder as climb

    options: dict[str, Any] = {
        "num_images": num_images,
        "shots": shots,
        "label": label,
        "readout": readout,
        "calibration_shots": calibration_shots,
        "layout_trials": layout_trials,
        "randomizations": randomizations,
        "pulses": pulses,
        "scheduler": scheduler,
        "num_inference_steps": steps,
        "loader": loader,
        "classifier": classifier,
        "seed": seed,
    }
    folder = run / "ladder" if out is None else out
    console = Console(stderr=True)
    silent = quiet or not console.is_interactive
    with nullcontext() if silent else console.status("climbing") as status:
        found = climb(
            run,
            target,
            rungs=rung or (),
            out=folder,
            progress=lambda stage: None if status is None else status.update(stage),
            **options,
        )
    data = found.to_dict()
    if as_json:
        typer.echo(json.dumps(data, indent=2, allow_nan=False))
        return
    Console(width=max(190, Console().width)).print(ladder_table(data))
    for each in ladder_notes(data):
        typer.echo(each)
    for name in ("ladder.png", "ladder.md", "ladder.json"):
        typer.echo(f"written  {folder / name}")
