"""The latent model on a line whose latents are amplitudes: few qubits, four steps, no head.

The circuit is measured, so that every target runs it as it is; its answer to a state is the square
root of the probabilities, and the class turns each RY by an angle from a table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor, nn

from ..circuits.line import line_amplitudes
from ..circuits.loaders import EXACT
from ..errors import InvalidOption
from ..layers import QuantumLayer
from ..options import settle
from .base import CircuitDenoiser, check_train_loader
from .eeqdm import MAX_DEPTH
from .latent_codecs import CodecKind, make_codec
from .line import check_latents
from .on_latents import OnLatents
from .presets.line import AMPLITUDES_SOURCE
from .told import check_labels

__all__ = [
    "LEAST_PROBABILITY",
    "MAX_DATA",
    "LineAmplitudes",
    "LineAmplitudesConfig",
]

MAX_DATA = 10
"""Most qubits of amplitudes."""
LEAST_PROBABILITY = 1e-9
"""Probabilities are raised to it before the root, whose slope at 0 is infinite."""


@dataclass(frozen=True, kw_only=True)
class LineAmplitudesConfig:
    """Options of the latent model of amplitudes on a line."""

    image_size: int = 8
    """Height and width of the images, 2 to 1024."""
    channels: int = 1
    """1 for grey, 3 for RGB."""
    codec: CodecKind = "autoencoder"
    """Rule by which images become latents, non-negative and of norm 1."""
    latent_qubits: int = 3
    """Qubits of the amplitudes; ``2**latent_qubits`` latent values."""
    depth: int = 3
    """Layers of rotations, with CZ between; at least 1."""
    entangled: bool = True
    """False leaves out all CZ but the loader's."""
    guided: bool = False
    """Condition on the class."""
    num_classes: int = 10
    """Number of classes, for guided models."""
    init_std: float = 0.3
    """Standard deviation of the initial angles."""
    loader: str = EXACT
    """Loader of the latents where the circuit runs: exact, bricks:L, staircase:L; see `qdm parts
    loader`."""
    train_loader: bool = False
    """Train on the states that the loader makes, in place of the latents' own."""

    def __post_init__(self) -> None:
        settle(self)
        check_train_loader(self.loader, self.train_loader)
        if not 1 <= self.latent_qubits <= MAX_DATA:
            raise InvalidOption(f"latent_qubits is 1 to {MAX_DATA}, got {self.latent_qubits}.")
        latents = 2**self.latent_qubits
        check_latents(self.image_size, self.channels, self.codec, latents, self.num_classes)
        if not 1 <= self.depth <= MAX_DEPTH:
            raise InvalidOption(f"depth is 1 to {MAX_DEPTH}, got {self.depth}.")
        if not (math.isfinite(self.init_std) and self.init_std >= 0):
            raise InvalidOption(f"init_std must be a finite number >= 0, got {self.init_std}.")

    @property
    def classes_told(self) -> int | None:
        """Classes of a guided model, else None."""
        return self.num_classes if self.guided else None


@final
class LineAmplitudes(OnLatents, CircuitDenoiser):
    """Latents as amplitudes of three qubits and an ancilla; 140 parameters with ten classes.

    Args:
        config: The options.
        generator: Source of the initial weights.
    """

    name = "line_amplitudes"
    source = AMPLITUDES_SOURCE
    config_class = LineAmplitudesConfig
    config: LineAmplitudesConfig

    def __init__(
        self, config: LineAmplitudesConfig, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.image_shape = (config.channels, config.image_size, config.image_size)
        self.codec = make_codec(config.codec, self.image_shape, 2**config.latent_qubits)
        spec = line_amplitudes(
            config.latent_qubits, config.depth, guided=config.guided, entangled=config.entangled
        )
        spec = replace(spec, loader=config.loader)
        self.layer = QuantumLayer(spec, init_std=config.init_std, generator=generator)
        classes = config.classes_told or 0
        table = torch.randn(classes, len(spec.inputs), generator=generator)
        self.table = nn.Parameter(config.init_std * table) if config.guided else None

    def encode(self, x: Tensor, labels: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Amplitudes ``(batch, latents)``, of any norm, and the class's angles, if guided.

        Raises:
            InvalidData: If a shape does not fit, or labels are missing or not wanted.
        """
        self.check_states(x)
        check_labels(labels, self.config.classes_told, len(x), self.name)
        return x, None if self.table is None or labels is None else self.table[labels]

    def decode(self, outputs: Tensor) -> Tensor:
        """Return roots of probabilities, ``(batch, latents)``: amplitudes of norm 1."""
        return outputs.clamp(min=LEAST_PROBABILITY).sqrt()
