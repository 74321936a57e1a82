"""``qdm privacy``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from .models import JsonOption, ModelOption, PresetOption, SetOption
from .worker_options import SchedulerOption, WorkersOption, showing_progress, stoppable

__all__ = ["app", "audit", "epsilon", "train"]

app = typer.Typer(
    help="Privacy of training data: attacks with intervals, private training, what it spends.",
    no_args_is_help=True,
)
QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress on standard error.")]


@app.command("audit")
def audit(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run.")],
    shadows: Annotated[
        int, typer.Option(help="Shadow models of the likelihood ratios; 0 leaves them out.")
    ] = 0,
    num_images: Annotated[
        int, typer.Option(help="Samples whose nearest rows are looked at; 0 leaves that out.")
    ] = 200,
    samples: Annotated[
        Path | None,
        typer.Option(help="Folder of `qdm sample` with samples in place of drawn ones."),
    ] = None,
    secret: Annotated[
        str | None, typer.Option(help="Column of a table that is guessed from the others.")
    ] = None,
    bins: Annotated[int, typer.Option(help="Values tried for a secret of numbers.")] = 5,
    repeats: Annotated[int, typer.Option(help="Draws of noise for the loss of a row.")] = 4,
    level: Annotated[float, typer.Option(help="Of all intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Seed of noise, samples and shadows.")] = 0,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of audit.json and shadows; RUN/privacy if none.")
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Attack a run: are rows that it learned told from those that it did not?

    Members are its training rows, non-members its test rows. By the loss alone, by likelihood ratios
    of shadow models, by the samples' nearest rows, and by guesses of a column. What was stopped goes
    on with the same command.

    Example:

        qdm privacy audit runs/iris --shadows 4 --num-images 50 --secret species
    """
    from ..tasks.privacy import audit_privacy

    with stoppable(), showing_progress(quiet) as progress:
        found = audit_privacy(
            run,
            folder=out,
            samples=samples,
            workers=workers,
            scheduler=scheduler,
            progress=progress,
            shadows=shadows,
            num_images=num_images,
            secret=secret,
            bins=bins,
            repeats=repeats,
            level=level,
            seed=seed,
        )
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2, allow_nan=False))
        return
    for line in found.lines():
        typer.echo(line)


@app.command("train")
def train(
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    model: ModelOption = None,
    preset: PresetOption = None,
    settings: SetOption = None,
    dataset: Annotated[
        str | None, typer.Option(help="Data set, see `qdm data list`, npz:PATH or csv:PATH.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    noise: Annotated[
        float, typer.Option(help="Noise multiplier: deviation of the noise by --clip.")
    ] = 1.0,
    clip: Annotated[float, typer.Option(help="Largest norm of the gradient of a row.")] = 1.0,
    delta: Annotated[
        float, typer.Option(help="Chance that epsilon does not cover; below one by the rows.")
    ] = 1e-3,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint, same options.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train with differential privacy: clipped gradients of single rows, and noise (needs Opacus).

    Models that fit a codec to the data first, or compare batches with ensembles, cannot be trained so,
    and say why.

    Example:

        qdm privacy train --model eeqdm --set depth=1 --set train_count=20 --epochs 1 --out runs/private
    """
    from ..errors import InvalidOption
    from ..options import parse_assignments
    from ..tasks.privacy import train_privately

    if (model is None) == (preset is None):
        raise InvalidOption(
            f"Name what to train by --model or by --preset, got model {model!r} and preset {preset!r}."
        )
    values: dict[str, Any] = dict(parse_assignments(settings or []))
    for name, value in (("dataset", dataset), ("epochs", epochs)):
        if value is not None:
            if name in values:
                raise InvalidOption(f"Option '{name}' is set twice.")
            values[name] = value
    with showing_progress(quiet) as progress:
        made = train_privately(
            preset or model or "",
            out,
            noise=noise,
            clip=clip,
            delta=delta,
            resume=resume,
            progress=progress,
            **values,
        )
    if made.result.interrupted:
        typer.echo("stopped; the same command with --resume goes on", err=True)
        raise typer.Exit(130)  # cli.main says the rest
    row = made.result.history[-1]
    if as_json:
        told = {
            "epsilon": made.epsilon,
            "delta": delta,
            "rate": made.rate,
            "steps": made.steps,
            "test_loss": row["test_loss"],
            "identity_loss": row["identity_loss"],
            "checkpoint": str(made.result.checkpoint),
        }
        typer.echo(json.dumps(told, indent=2, allow_nan=False))
        return
    typer.echo(f"epsilon            {made.epsilon:.4f} at delta {delta:g}, {made.steps} steps")
    typer.echo(f"test loss          {row['test_loss']:.5f}")
    typer.echo(f"identity baseline  {row['identity_loss']:.5f}   (predicting no change at all)")
    typer.echo(f"checkpoint         {made.result.checkpoint}")


@app.command("epsilon")
def epsilon(
    noise: Annotated[float, typer.Option(help="Noise multiplier.")],
    rate: Annotated[float, typer.Option(help="Chance of each row to be in a batch.")],
    steps: Annotated[int, typer.Option(help="Steps.")],
    delta: Annotated[float, typer.Option(help="Chance that epsilon does not cover.")] = 1e-3,
) -> None:
    """Print what private training of so many steps spends, before it runs; needs no Opacus.

    Example:

        qdm privacy epsilon --noise 1.1 --rate 0.05 --steps 100 --delta 1e-5
    """
    from ..privacy.accounting import gradient_epsilon

    typer.echo(f"{gradient_epsilon(noise, rate, steps, delta):.6f}")
