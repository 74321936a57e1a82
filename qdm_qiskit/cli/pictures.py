"""``qdm report pictures``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "pictures",
]


def pictures(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the pictures; RUN/pictures if none.")
    ] = None,
    num_images: Annotated[int, typer.Option(help="Images of the grid and of the film.")] = 16,
    scheduler: Annotated[
        str,
        typer.Option(
            "--sampler",
            "--scheduler",
            help="process; of noise models ddpm, ddim, analytic, dpm-solver++, sde, ode; or another's.",
        ),
    ] = "process",
    steps: Annotated[int | None, typer.Option(help="Steps of the sampler; all by default.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Where the run's data lie now, a .npz file or a folder.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random stream.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on standard error.")] = False,
) -> None:
    """Draw a run: samples, their way out of noise as strip and film, the way into it, losses, classes.

    Example:

        qdm report pictures runs/first --num-images 9
    """
    from contextlib import nullcontext

    from rich.console import Console

    from ..data import cache_folder
    from ..files import check_writable
    from ..options import build
    from ..reports.pictures import run_pictures, write_pictures
    from ..sampling import SamplingConfig

    values = {
        "num_images": num_images,
        "scheduler": scheduler,
        "num_inference_steps": steps,
        "seed": seed,
    }
    config = build(SamplingConfig, values)
    folder = run / "pictures" if out is None else out
    check_writable(folder)
    console = Console(stderr=True)
    silent = quiet or not console.is_interactive
    with nullcontext() if silent else console.status("drawing") as status:
        drawn = run_pictures(
            run,
            config,
            cache=cache_folder() / "evaluation",
            data=data,
            progress=lambda stage: None if status is None else status.update(stage),
        )
    for note in drawn.notes:
        typer.echo(note)
    for path in write_pictures(drawn, folder):
        typer.echo(f"written  {path}")
