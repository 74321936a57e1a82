"""Settings of the papers and our own, one file a family of models."""

from . import defalco, eeqdm, koelle
from .base import Preset

PRESETS: dict[str, Preset] = {**eeqdm.PRESETS, **defalco.PRESETS, **koelle.PRESETS}
"""Presets by name."""

__all__ = ["PRESETS", "Preset"]
