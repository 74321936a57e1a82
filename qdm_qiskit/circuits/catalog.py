"""The templates by name."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import unknown_name
from .image_denoisers import eeqdm, qddm
from .spec import CircuitSpec

TEMPLATES: dict[str, Callable[..., CircuitSpec]] = {"eeqdm": eeqdm, "qddm": qddm}
"""Templates that make a whole denoiser, by the name of their function."""


def template(name: str) -> Callable[..., CircuitSpec]:
    """The template of this name.

    Raises:
        UnknownName: If there is none; the message lists what exists.
    """
    if name not in TEMPLATES:
        raise unknown_name("template", name, TEMPLATES)
    return TEMPLATES[name]
