"""``qdm train``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .imports import few_collections
from .models import ModelOption, PresetOption, SetOption

if TYPE_CHECKING:
    from ..training import Callback, TrainingProgress

__all__ = [
    "LogOption",
    "train",
]

LogOption = Annotated[
    str,
    typer.Option(
        help="Where metrics and sample images go beside the folder: tensorboard, wandb, mlflow, "
        "several with commas, or none."
    ),
]


def train(
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    model: ModelOption = None,
    preset: PresetOption = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="YAML file with a model or preset and options, as 'depth: 10'; what is typed goes "
            "before it."
        ),
    ] = None,
    settings: SetOption = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Data set, see `qdm data list`, npz:PATH or csv:PATH.", show_default="digits"
        ),
    ] = None,
    loader: Annotated[
        str | None,
        typer.Option(
            help="What loads images where circuits run later, see `qdm parts loader`.",
            show_default="exact",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Passes over the training images.", show_default="30, or the preset's"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of every random stream.", show_default="0")
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            help="Continue from 'latest' or a checkpoint's name; only --epochs may change."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Where the data of a resumed run lie now: a .npz file, or a folder."),
    ] = None,
    train_on: Annotated[
        str | None,
        typer.Option(
            help="What circuits run on in training: engine, aer, noisy:fake_torino, qnn; see "
            "docs/training.md.",
            show_default="engine",
        ),
    ] = None,
    train_shots: Annotated[
        int | None,
        typer.Option(
            help="Shots of each row of a circuit in training.", show_default="exact values"
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(help="End the run after so many epochs without a lower test loss."),
    ] = None,
    keep_best: Annotated[
        bool,
        typer.Option(
            "--keep-best", help="Keep the epoch of the lowest test loss, in OUT/checkpoints/best."
        ),
    ] = False,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="CPU threads of torch; 1 is fastest for small circuits."),
    ] = None,
    log_with: LogOption = "tensorboard",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Train a model; Ctrl-C leaves a checkpoint to resume from.

    Options of the model, the data, the diffusion process and the loop are all set by --set; `qdm train
    --model NAME --help` tells the meaning, choices and default of each, as `qdm models describe NAME`
    does. --patience and --keep-best are no part of a run: on --resume they are given again.

    Example:

        qdm train --model eeqdm --set depth=1 --set train_count=20 --epochs 1 --out runs/first

        qdm train --model eeqdm --set depth=1 --set train_count=20 --epochs 1
        --train-on noisy:fake_torino --out runs/noisy
    """
    with few_collections():
        import torch

        from ..errors import InvalidOption, QdmError
        from ..models import PRESETS
        from ..options import parse_assignments
        from ..tasks import continue_training
        from ..tasks import train as start_training
        from ..training import BestCheckpoint, EarlyStopping, read_options, resolve_run
        from ..training.processes import join_processes
        from ..training.progress_bar import TerminalBar

    if threads is not None:
        torch.set_num_threads(threads)
    watching = _notes_only() if quiet else TerminalBar()
    callbacks: list[Callback] = []
    if keep_best:
        callbacks.append(BestCheckpoint())
    if patience is not None:
        callbacks.append(EarlyStopping(patience=patience))
    if resume is not None:
        fixed = (seed, train_on, train_shots)
        named = model or preset or config or settings or dataset or loader
        if named or any(k is not None for k in fixed):
            raise InvalidOption(
                "On --resume only --epochs may change, and --data the place of the data: a run's "
                "options are frozen."
            )
        result = continue_training(
            out,
            checkpoint=resume,
            epochs=epochs,
            data=data,
            progress=watching,
            log_with=log_with,
            callbacks=callbacks,
        )
    else:
        if data is not None:
            raise InvalidOption(
                "--data says where the data of a run that is resumed lie now; a new run names its own "
                "by dataset and folder (--set dataset=... --set folder=...)."
            )
        in_file = {} if config is None else read_options(config)
        if model is None and preset is None:
            model, preset = in_file.get("model"), in_file.get("preset")
        in_file = {name: each for name, each in in_file.items() if name not in ("model", "preset")}
        if (model is None) == (preset is None):
            both_fit = preset in PRESETS and PRESETS[preset].model == model
            if model is None or not both_fit:
                raise InvalidOption(
                    "Name what to train by --model or by --preset (or by both, if the preset is one of "
                    f"that model), got model {model!r} and preset {preset!r}."
                )
        values: dict[str, object] = dict(parse_assignments(settings or []))
        given = {
            "dataset": dataset,
            "loader": loader,
            "epochs": epochs,
            "seed": seed,
            "train_on": train_on,
            "train_shots": train_shots,
        }
        for name, value in given.items():
            if value is not None:
                if name in values:
                    raise InvalidOption(f"Option '{name}' is set twice.")
                values[name] = value
        # A configuration, not keywords: text that a user gave is no argument of ours.
        try:
            resolved = resolve_run(preset or model or "", {**in_file, **values})
        except QdmError as error:
            if any(f"'{name}'" in str(error) for name in in_file):
                raise type(error)(f"{config}: {error}") from error
            raise
        result = start_training(
            resolved, out, progress=watching, log_with=log_with, callbacks=callbacks
        )
    speaks = join_processes().leads  # of several processes, one
    if result.interrupted:
        if speaks:
            typer.echo(
                f"stopped with {result.epochs} epochs complete; continue with: "
                f"qdm train --out {shlex.quote(str(out))} --resume latest",
                err=True,
            )
        raise typer.Exit(130)  # cli.main says the rest
    if speaks:
        _print_outcome(result.history[-1] if result.history else {}, result.checkpoint)
        if result.best is not None:
            typer.echo(f"best checkpoint    {result.best}")
        _print_beside(result.run)
        if result.ended:
            typer.echo(f"ended after {result.epochs} epochs: {result.ended}", err=True)
        for sentence in result.warnings:
            typer.echo(f"warning: {sentence}", err=True)


def _print_outcome(row: dict[str, float], checkpoint: Path) -> None:
    if row:
        typer.echo(f"test loss          {row['test_loss']:.5f}")
        typer.echo(f"identity baseline  {row['identity_loss']:.5f}   (predicting no change at all)")
        if "baseline_loss" in row:
            typer.echo(f"classical U-Net    {row['baseline_loss']:.5f}")
        if "test_loss_first_step" in row:
            typer.echo(
                f"at t = 1           {row['test_loss_first_step']:.5f}   "
                f"(identity {row['identity_loss_first_step']:.5f})"
            )
    typer.echo(f"checkpoint         {checkpoint}")


def _print_beside(run: Path) -> None:
    """Print the losses of what stands beside a model of latents, on the same test noise."""
    from ..training.beside import read_losses

    for name, each in read_losses(run).items():
        told = (
            "" if name == "model" else f"   {each.above:+.5f} +- {each.half:.5f} beside the model"
        )
        typer.echo(f"{name:<18} {each.loss:.5f}   {each.parameters:,} parameters{told}")


def _notes_only() -> TrainingProgress:
    """Show no progress, but what the user should know."""
    from ..training import TrainingProgress

    class NotesOnly(TrainingProgress):
        def note(self, text: str) -> None:
            typer.echo(f"note: {text}", err=True)

    return NotesOnly()
