"""Settings of the papers and our own, one file a family of models."""

from . import cacioppo, defalco, eeqdm, hybrid, koelle, line, mixed, qamp, quddpm, rows
from .base import Preset

PRESETS: dict[str, Preset] = {
    **eeqdm.PRESETS,
    **defalco.PRESETS,
    **koelle.PRESETS,
    **cacioppo.PRESETS,
    **qamp.PRESETS,
    **quddpm.PRESETS,
    **mixed.PRESETS,
    **line.PRESETS,
    **rows.PRESETS,
    **hybrid.PRESETS,
}
"""Presets by name."""

__all__ = ["PRESETS", "Preset"]
