"""Transfer learning: a classical model first, whose weights the hybrid takes over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..errors import InvalidOption
from ..models import Denoiser, model_class
from .checkpoint import find_checkpoint, load_weights
from .config import RunConfig

__all__ = [
    "FOLDER",
    "start_from",
    "take_over",
    "teacher_run",
]

FOLDER = "classical"
"""Folder of the classical run inside a run with transfer."""


def teacher_run(config: RunConfig) -> RunConfig:
    """The classical run that comes before a run with ``transfer_epochs``.

    Raises:
        InvalidOption: If the model has no classical counterpart.
    """
    options = model_class(config.model).teacher_options(config.model_options)
    if options is None:
        raise InvalidOption(
            f"'{config.model}' with these options has no classical counterpart to learn from; leave "
            "transfer_epochs out."
        )
    training = replace(
        config.training,
        epochs=config.training.transfer_epochs,
        transfer_epochs=0,
        start_from=None,
        train_on="engine",
        train_shots=None,
        train_readout="mean",
        train_layout=(),
        noise_injection=False,
        noise_epochs=0,
    )
    return replace(config, model_options=options, training=training, preset=None)


def start_from(model: Denoiser, run: Path) -> None:
    """Copy all weights of another run's latest checkpoint: of their average where it has one.

    Args:
        model: The run's own; changed in place.
        run: Folder of a run of the same model.

    Raises:
        MissingData: If there is no run or checkpoint.
        InvalidCheckpoint: If the files cannot be used.
        InvalidOption: If the other run's model is another, or has other options.
    """
    other = load_weights(find_checkpoint(run))
    if type(other) is not type(model) or other.config != model.config:
        raise InvalidOption(
            f"start_from is a run of the same model with the same options: {run} trained "
            f"'{other.name}' with {other.config}, and this is '{model.name}' with {model.config}."
        )
    model.load_state_dict(other.state_dict())


def take_over(model: Denoiser, teacher: Denoiser) -> tuple[str, ...]:
    """Copy the teacher's weights but for the parts that the model learns afresh.

    Args:
        model: The hybrid; changed in place.
        teacher: Its trained classical counterpart.

    Returns:
        Names of the parameters that were copied.

    Raises:
        InvalidOption: If the two share no weight.
    """
    fresh = model.fresh_parts
    theirs = dict(teacher.state_dict())
    copied = {
        name: theirs[name]
        for name, value in model.state_dict().items()
        if name.partition(".")[0] not in fresh
        and name in theirs
        and theirs[name].shape == value.shape
    }
    if not copied:
        raise InvalidOption(f"'{model.name}' and its teacher '{teacher.name}' share no weights.")
    model.load_state_dict({**model.state_dict(), **copied})
    return tuple(copied)
