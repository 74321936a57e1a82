"""Transfer learning: a classical model first, whose weights the hybrid takes over."""

from __future__ import annotations

from dataclasses import replace

from ..errors import InvalidOption
from ..models import Denoiser, model_class
from .config import RunConfig

__all__ = [
    "FOLDER",
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
        train_on="engine",
        train_shots=None,
        train_readout="mean",
        noise_injection=False,
        noise_epochs=0,
    )
    return replace(config, model_options=options, training=training, preset=None)


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
