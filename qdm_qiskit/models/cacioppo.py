"""Cacioppo's diffusion of image amplitudes: a circuit with an ancilla for each backward step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from ..circuits import cacioppo_blocks
from ..circuits.composition import Part
from ..layers.state_blocks import StateBlocks
from ..options import settle
from .presets.cacioppo import CACIOPPO_PAPER
from .state_denoiser import PROCESS, StateDenoiser, check_common, check_depths


@dataclass(frozen=True, kw_only=True)
class CacioppoConfig:
    """Options of the full model."""

    image_size: int = 16
    """Height and width, a power of two from 2 to 64; all pixels are amplitudes."""
    channels: int = 1
    """1: grey images."""
    num_steps: int = 10
    """T, each with angles of its own."""
    depths: tuple[int, ...] = (2, 2, 2)
    """Layers of the three blocks, even numbers."""
    activation: bool = True
    """LeakyReLU on real and imaginary parts after the projection of the ancilla."""
    init_std: float = 0.7
    """Standard deviation of the initial angles."""

    def __post_init__(self) -> None:
        settle(self)
        check_common(
            image_size=self.image_size,
            channels=self.channels,
            num_steps=self.num_steps,
            init_std=self.init_std,
            largest=64,
        )
        check_depths(self.depths, even=True)

    @property
    def num_data_qubits(self) -> int:
        """Qubits that hold all pixels."""
        return (self.image_size**2).bit_length() - 1


@final
class Cacioppo(StateDenoiser):
    """``3 T (L1 n + L2 (n + 1) + L3 n)`` angles: 1500 for 16 x 16 pixels, T = 10 and depths 2, 2, 2."""

    name = "cacioppo"
    source = f"{CACIOPPO_PAPER}, full model"
    config_class = CacioppoConfig
    recommended: ClassVar[Mapping[str, Any]] = {**PROCESS, "learning_rate": 0.01, "batch_size": 32}

    def __init__(self, config: CacioppoConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.image_shape = (1, config.image_size, config.image_size)
        first, middle, last = config.depths
        self.blocks = StateBlocks(
            cacioppo_blocks(config.num_data_qubits, (first, middle, last)),
            config.num_steps,
            activation=config.activation,
            init_std=config.init_std,
            source=CACIOPPO_PAPER,
            generator=generator,
        )

    def chain_parts(self, num_steps: int) -> tuple[Part, ...]:
        """See :meth:`.Denoiser.chain_parts`."""
        return tuple(part for row in reversed(range(num_steps)) for part in self.blocks.parts(row))

    def denoise(self, x: Tensor, rows: Tensor, labels: Tensor | None) -> Tensor:
        """See :meth:`StateDenoiser.denoise`."""
        return self.blocks(x, rows)
