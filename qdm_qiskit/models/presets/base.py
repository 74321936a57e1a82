"""Contract of a preset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "Preset",
]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Options of a model that a paper uses, or that we recommend."""

    model: str
    """Name in :data:`MODELS`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options that differ from the model's defaults."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Recommended options of data, diffusion and training loop."""
    source: str
    """Source of the setting."""
