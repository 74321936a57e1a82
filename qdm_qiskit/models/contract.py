"""Contract of a model's class: checked when it comes in, and when the first model is built."""

from __future__ import annotations

import inspect
import re
from dataclasses import is_dataclass
from typing import Any, get_args

from ..arguments import shown
from ..diffusion import StateSpace
from ..errors import InvalidArgument, InvalidExtension
from ..layers import QuantumLayer
from ..options import field_types
from .base import CircuitDenoiser, Denoiser

__all__ = [
    "SIZES",
    "check_model",
    "checked_class",
]

SIZES = {"images": ("image_size", "channels"), "states": ("num_qubits",)}
"""Options that say what data a model learns from; fields or properties of its options."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def checked_class(part: Any, name: str | None = None) -> type[Denoiser]:
    """Return the class, if models can be made of it, saved and found again.

    Args:
        part: What an entry point names, or a user gives.
        name: The name that it has to have; None for any.

    Raises:
        InvalidArgument: With the first thing that is missing.
    """
    if not isinstance(part, type) or not issubclass(part, Denoiser):
        raise InvalidArgument(
            f"a model is a class derived from qdm_qiskit.models.Denoiser, got {shown(part)}."
        )
    word, own = part.__name__, getattr(part, "name", None)
    undefined = sorted(getattr(part, "__abstractmethods__", ()))
    if undefined:
        raise InvalidArgument(f"a model defines {undefined[0]}(), and {word} does not.")
    if not isinstance(own, str):
        raise InvalidArgument(f"a model has a class attribute `name`, and {word} has {own!r}.")
    if not _NAME.fullmatch(own):  # a part of file names and of jobs' tags
        raise InvalidArgument(
            f"the `name` of a model is up to 64 letters, digits, '-' and '_', and {word} has {own!r}."
        )
    if name is not None and own != name:
        raise InvalidArgument(
            f"the `name` of a model is that of its entry point, '{name}', and {word} has '{own}'."
        )
    options = getattr(part, "config_class", None)
    if not isinstance(options, type) or not is_dataclass(options) or not _frozen(options):
        raise InvalidArgument(
            f"a model's `config_class` is a frozen dataclass of its options, and {word} has "
            f"{shown(options)}."
        )
    if part.state_space not in get_args(StateSpace) or part.data_kind not in SIZES:
        raise InvalidArgument(
            f"`state_space` is one of {', '.join(get_args(StateSpace))} and `data_kind` images or "
            f"states, and {word} has {part.state_space!r} and {part.data_kind!r}."
        )
    _check_options(part, options)
    try:
        inspect.signature(part).bind(None, generator=None)
    except TypeError as error:
        raise InvalidArgument(
            f"a model is made by {word}(config, generator=generator), but: {error}."
        ) from error
    return part


def _check_options(part: type[Denoiser], options: type) -> None:
    try:
        names = set(field_types(options))
    except Exception as error:  # typing evaluates the annotations of another package
        raise InvalidArgument(
            f"the types of the fields of {options.__name__} cannot be read: {error}."
        ) from error
    lacking = [e for e in SIZES[part.data_kind] if e not in names and not hasattr(options, e)]
    if lacking:
        raise InvalidArgument(
            f"the options of a model of {part.data_kind} have `{lacking[0]}`, and {options.__name__} "
            "does not."
        )


def check_model(model: Denoiser, config: Any) -> None:
    """Refuse a model whose class lacks an attribute that the rest of the package reads.

    Raises:
        InvalidExtension: With what is missing.
    """
    word = type(model).__name__
    if getattr(model, "config", None) != config:
        raise InvalidExtension(
            f"{word} keeps its options as self.config, in __init__; it does not."
        )
    shape = getattr(model, "image_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 3 or not all(type(e) is int for e in shape):
        raise InvalidExtension(
            f"{word} sets self.image_shape to (channels, height, width) in __init__, got {shape!r}."
        )
    layer = getattr(model, "layer", None)
    if isinstance(model, CircuitDenoiser) and not isinstance(layer, QuantumLayer):
        raise InvalidExtension(
            f"{word} sets self.layer to its circuit's QuantumLayer in __init__, got {shown(layer)}."
        )


def _frozen(options: type) -> bool:
    return bool(getattr(options, "__dataclass_params__").frozen)  # noqa: B009 (not in its type)
