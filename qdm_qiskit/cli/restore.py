"""``qdm restore``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .models import JsonOption

__all__ = [
    "restore",
]


def restore(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run.")],
    mask: Annotated[
        str | None,
        typer.Option(
            help="Hide pixels: left, right, top, bottom, centre, random:0.5, of rows "
            "columns:NAME,NAME, or an .npz file with an array 'mask', true where known."
        ),
    ] = None,
    factor: Annotated[
        int | None,
        typer.Option(help="Super-resolution: keep the means of blocks of so many pixels a side."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Images as .npz; the run's own test images if none.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(help="CSV file of the columns of the run's rows, with missing values."),
    ] = None,
    target: Annotated[str, typer.Option(help="Where circuits run; see `qdm sample`.")] = "engine",
    shots: Annotated[int | None, typer.Option(help="Shots of each image and step.")] = None,
    count: Annotated[int, typer.Option("--count", "-n", help="Images at most.")] = 16,
    draws: Annotated[int, typer.Option(help="Draws of each image.")] = 8,
    resamples: Annotated[
        int, typer.Option(help="Times that each step is walked: 1 replaces, more is RePaint's.")
    ] = 1,
    candidates: Annotated[
        int | None,
        typer.Option(help="Choose draws among so many samples, instead of leading the chain."),
    ] = None,
    label: Annotated[int | None, typer.Option(help="Class of all images; guided models.")] = None,
    scheduler: Annotated[
        str, typer.Option("--sampler", "--scheduler", help="process, ddpm or ddim.")
    ] = "process",
    steps: Annotated[int | None, typer.Option(help="Steps of the sampler; all by default.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random stream.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for restored.npz, of rows restored.csv; none if not given."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Restore what is hidden: inpainting, imputation of rows, super-resolution.

    The run's images stand beside what needs no model: the mean of the training images, the nearest of
    them, bilinear interpolation, and the mean and draws of a Gaussian given what is known.

    Example:

        qdm restore runs/first --mask left --draws 8 --out runs/first/restored
    """
    from ..tasks.restoring import restore as run_restore

    made = run_restore(
        run,
        target,
        mask=mask,
        factor=factor,
        images=images,
        table=table,
        count=count,
        draws=draws,
        resamples=resamples,
        candidates=candidates,
        out=out,
        shots=shots,
        label=label,
        scheduler=scheduler,
        num_inference_steps=steps,
        seed=seed,
    )
    if as_json:
        typer.echo(json.dumps(made.to_dict(), indent=2))
        return
    typer.echo(f"restored   {made.draws.shape[1]} images, {len(made.draws)} draws of each")
    for name, each in made.errors.items():
        less = "" if name == "run" else f"   less the run's {_range(each.less)}"
        typer.echo(f"{name:<18} mse {_range(each.mse)}   crps {each.crps.estimate:.4f}{less}")
    for name, columns in made.columns.items():
        words = [
            f"{column} " + (f"rmse {e['rmse']:.3g}" if "rmse" in e else f"right {e['right']:.0%}")
            for column, e in columns.items()
        ]
        if words:  # of means of blocks no column is hidden
            typer.echo(f"{name:<18} {', '.join(words)}")
    if out is not None:
        typer.echo(f"written    {out}")


def _range(found: object) -> str:
    estimate, low, high = (getattr(found, end) for end in ("estimate", "low", "high"))
    return f"{estimate:.4f} [{low:.4f}, {high:.4f}]"
