"""``qdm train``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .imports import few_collections
from .models import ModelOption, PresetOption, SetOption

if TYPE_CHECKING:
    from ..training import RunConfig, TrainingProgress

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
        str | None, typer.Option(help="Data set, see `qdm data list`, npz:PATH or csv:PATH.")
    ] = None,
    loader: Annotated[
        str | None,
        typer.Option(help="What loads images where circuits run later; as --set loader=NAME."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random stream.")] = None,
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
            "docs/training.md."
        ),
    ] = None,
    train_shots: Annotated[
        int | None, typer.Option(help="Shots of each row of a circuit in training.")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="CPU threads of torch; 1 is fastest for small circuits."),
    ] = None,
    log_with: LogOption = "tensorboard",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Train a model; Ctrl-C leaves a checkpoint to resume from.

    Options of the model, the data, the diffusion process and the loop are all set by --set; `qdm models
    describe NAME` tells the meaning, choices and default of each.

    Example:

        qdm train --model eeqdm --set depth=1 --set train_count=20 --epochs 1 --out runs/first

        qdm train --model eeqdm --set depth=1 --set train_count=20 --epochs 1
        --train-on noisy:fake_torino --out runs/noisy
    """
    with few_collections():
        import torch

        from ..errors import InvalidOption
        from ..models import PRESETS
        from ..options import parse_assignments
        from ..tasks import continue_training
        from ..tasks import train as start_training
        from ..training import read_options, resolve_run
        from ..training.processes import join_processes

    if threads is not None:
        torch.set_num_threads(threads)
    watching = _notes_only() if quiet else _rich_progress()
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
        resolved = resolve_run(preset or model or "", {**in_file, **values})
        result = start_training(resolved, out, progress=watching, log_with=log_with)
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
        _print_beside(result.run)
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


def _rich_progress() -> TrainingProgress:
    """Show a progress bar with loss and rate, and a line for each reported epoch."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from ..models import Denoiser
    from ..training import TrainingProgress

    class RichProgress(TrainingProgress):
        def __init__(self) -> None:
            self.console = Console(stderr=True)
            self.bar = Progress(
                TextColumn("epoch {task.fields[epoch]}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("loss {task.fields[loss]:.5f}"),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=self.console,
                # In a log file the lines of the epochs say enough.
                disable=not self.console.is_interactive,
            )
            self.every = 1
            self.warned: set[str] = set()

        def start(self, config: RunConfig, model: Denoiser, steps: int, done: int) -> None:
            self.console.print(
                f"{config.model}: {model.num_parameters} parameters "
                f"({model.num_quantum_parameters} in circuits), {model.num_qubits} qubits"
            )
            self.every = max(1, config.training.epochs // 10)
            self.task = self.bar.add_task(
                "train", total=steps, completed=done, epoch=0, loss=float("nan"), rate=""
            )
            self.bar.start()

        def note(self, text: str) -> None:
            self.console.print(f"note: {text}", highlight=False, soft_wrap=True)

        def step(self, epoch: int, loss: float) -> None:
            speed = self.bar.tasks[0].speed
            rate = f"{speed:.1f} steps/s" if speed else ""
            self.bar.update(self.task, advance=1, epoch=epoch, loss=loss, rate=rate)

        def epoch(self, row: dict[str, float]) -> None:
            if row["epoch"] % self.every and row["epoch"] != 1:
                return
            beside = f"  identity {row['identity_loss']:.5f}"
            if "baseline_loss" in row:
                beside += f"  classical U-Net {row['baseline_loss']:.5f}"
            self.console.print(
                f"epoch {row['epoch']:>4}  train {row['train_loss']:.5f}  "
                f"test {row['test_loss']:.5f}{beside}",
                highlight=False,
                soft_wrap=True,
            )

        def warn(self, sentence: str) -> None:
            rule = sentence.partition(":")[0]  # numbers of the epoch follow
            if rule not in self.warned:
                self.console.print(f"warning: {sentence}", highlight=False, soft_wrap=True)
            self.warned.add(rule)

        def stop(self) -> None:
            self.bar.stop()

    return RichProgress()
