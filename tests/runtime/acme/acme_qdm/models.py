"""A model of one circuit with arithmetic of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch

from qdm_qiskit.layers import QuantumLayer
from qdm_qiskit.models import CircuitDenoiser

from .circuits import su2


@dataclass(frozen=True, kw_only=True)
class WaveOptions:
    """Options of Wave."""

    image_size: Literal[2] = 2
    channels: Literal[1] = 1
    reps: int = 1
    loader: str = "exact"


class Wave(CircuitDenoiser):
    """The square root of each pixel as an amplitude, so that the pixels are the probabilities."""

    name = "acme-wave"
    source = "Acme (2026)"
    config_class = WaveOptions

    def __init__(self, config: WaveOptions, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config, self.image_shape = config, (1, 2, 2)
        spec = replace(su2(3, config.reps), loader=config.loader)
        self.layer = QuantumLayer(spec, generator=generator)

    def encode(self, x: torch.Tensor, labels: torch.Tensor | None):
        """Amplitudes of any norm; the circuit has no inputs besides."""
        self.check_images(x)
        return x.flatten(1).clamp(0, 1).sqrt(), None

    def decode(self, outputs: torch.Tensor) -> torch.Tensor:
        """Pixels whose mean is at most half."""
        return (2 * outputs).clamp(0, 1).reshape(-1, 1, 2, 2)
