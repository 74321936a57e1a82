"""``qdm compete``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "compete",
]


def compete(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run.")],
    only: Annotated[
        list[str] | None,
        typer.Option(help="latent_diffusion, gan or vae; may be repeated; all if none."),
    ] = None,
    steps: Annotated[int, typer.Option(help="Steps of each one's training.")] = 4_000,
) -> None:
    """Fit a latent diffusion, a GAN and a VAE of the model's size beside a run.

    They learn from the run's own training images. `qdm evaluate` measures them beside the run from
    then on, unless it is told --alone.

    Example:

        qdm compete runs/first
    """
    from ..tasks.competing import compete as run_compete

    made = run_compete(run, only or None, steps=steps)
    typer.echo(f"model              {made.model_parameters:>7,} parameters")
    for name, size in made.parameters.items():
        more = made.trained[name] - size
        typer.echo(f"{name:<18} {size:>7,} parameters make an image, {more:,} more in training")
    typer.echo(f"written            {made.folder}")
