"""De Falco's U-Net with exactly 483,321 parameters, and its hybrids (De Falco et al. 2024).

Circuits stand at the vertex (QVU-Net: 475,329, 440,985 or 429,993 parameters with 1, 7 or 13 HQConv
circuits to a convolution), and as quanvolutions on the second encoder level (QuanvU-Net, 474,293). The
published code applies no block A, drops the second stage's circuits and reads the block's input twice;
this is the repaired form, which has the same counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import torch
from torch import Tensor, nn

from ...errors import InvalidData, InvalidOption
from ...options import settle
from ..base import Denoiser
from ..presets.defalco import DEFALCO_PAPER
from .blocks import AttentionBlock, ResidualBlock, StandardisedConv, TimeEmbedding, Upsample
from .circuits import CHANNELS, Ansatz, CircuitFilter, HybridConv, QuanvolutionConv

__all__ = [
    "LEVELS",
    "MAX_CIRCUITS",
    "VERTEX",
    "WIDTH",
    "HybridUNet",
    "HybridUNetConfig",
]

WIDTH = 10
"""Channels of the first level."""
LEVELS = (10, 10, 20, 30)
"""Channels of the encoder's levels."""
VERTEX = 40
"""Channels of the vertex, at 2 x 2 pixels."""
MAX_CIRCUITS = VERTEX // CHANNELS
"""Circuits that take all channels of the vertex but one."""


@dataclass(frozen=True, kw_only=True)
class HybridUNetConfig:
    """Options of the U-Net."""

    image_size: Literal[28, 32] = 28
    """Height and width; only these two come to 2 x 2 pixels at the vertex."""
    channels: int = 1
    """1 for grey, 3 for RGB."""
    num_steps: int = 1000
    """T of the diffusion process, which the time embedding counts in."""
    circuits: int = 0
    """Circuits of twelve qubits in each vertex convolution, 0 to 13; 0 is the classical U-Net."""
    ansatz: Ansatz = "hqconv"
    """Circuit at the vertex."""
    layers: int = 3
    """Layers of each vertex circuit."""
    quanvolution: bool = False
    """Quanvolutions on the second encoder level."""

    def __post_init__(self) -> None:
        settle(self)
        if self.image_size not in (28, 32) or self.channels not in (1, 3):
            raise InvalidOption(
                "image_size is 28 or 32, which come to 2 x 2 pixels at the vertex, and channels 1 or 3;"
                f" got {self.image_size} and {self.channels}."
            )
        if not 0 <= self.circuits <= MAX_CIRCUITS:
            raise InvalidOption(f"circuits is 0 to {MAX_CIRCUITS}, got {self.circuits}.")
        if self.ansatz not in ("hqconv", "fqconv"):
            raise InvalidOption(f"ansatz is 'hqconv' or 'fqconv', got {self.ansatz!r}.")
        if not 1 <= self.layers <= 100 or not 1 <= self.num_steps <= 10_000:
            raise InvalidOption(
                "layers is 1 to 100 and num_steps 1 to 10000, "
                f"got {self.layers} and {self.num_steps}."
            )


@final
class HybridUNet(Denoiser):
    """The U-Net; see :class:`HybridUNetConfig` for what makes it a hybrid.

    Args:
        config: Its options.
        generator: Source of the initial weights.
    """

    name = "hybrid_unet"
    source = DEFALCO_PAPER
    config_class = HybridUNetConfig
    state_space = "real"
    fresh_parts = frozenset({"vertex_in", "vertex_attention", "vertex_out"})
    recommended: ClassVar[dict[str, Any]] = {
        "process": "ddpm",
        "schedule": "cosine",
        "learning_rate": 1e-3,
        "second_moment": 0.99,
        "batch_size": 128,
        "epochs": 20,
        "weight_average": True,
    }

    def __init__(
        self, config: HybridUNetConfig, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.image_shape = (config.channels, config.image_size, config.image_size)
        te = 4 * WIDTH
        self.time = TimeEmbedding(WIDTH)
        self.enter = nn.Conv2d(config.channels, WIDTH, 7, padding=3)
        filters = {}
        if config.quanvolution:
            filters = {1: [self._quanvolution(generator) for _ in range(2)]}
        self.encoder = nn.ModuleList(
            _EncoderLevel(width, te, filters.get(level)) for level, width in enumerate(LEVELS)
        )
        self.down = nn.ModuleList(
            [
                nn.Conv2d(10, 10, 4, stride=2, padding=1),
                nn.Conv2d(10, 20, 4, stride=2, padding=1),
                nn.Conv2d(20, 30, 7, stride=2, padding=1),
                nn.Conv2d(30, VERTEX, 3, padding=1),
            ]
        )
        self.vertex_in = self._vertex_block(te, generator)
        self.vertex_attention = AttentionBlock(VERTEX, linear=False)
        self.vertex_out = self._vertex_block(te, generator)
        widths = (VERTEX, *LEVELS[:0:-1])  # 40, 30, 20, 10
        self.decoder = nn.ModuleList(
            _DecoderLevel(width, skip, te) for width, skip in zip(widths, LEVELS[::-1], strict=True)
        )
        self.up = nn.ModuleList(
            Upsample(width, skip) for width, skip in zip(widths, LEVELS[::-1], strict=True)
        )
        self.leave = ResidualBlock(2 * WIDTH, WIDTH, te)
        self.out = nn.Conv2d(WIDTH, config.channels, 1)
        if generator is not None:
            _initialise(self, generator)

    @staticmethod
    def _quanvolution(generator: torch.Generator | None) -> CircuitFilter:
        from ...circuits import hqconv

        return CircuitFilter(hqconv(depth=1), generator=generator)

    def _vertex_block(self, te: int, generator: torch.Generator | None) -> ResidualBlock:
        config = self.config
        if not config.circuits:
            return ResidualBlock(VERTEX, VERTEX, te)
        first, second = (
            HybridConv(
                VERTEX, config.ansatz, config.circuits, layers=config.layers, generator=generator
            )
            for _ in range(2)
        )
        return ResidualBlock(VERTEX, VERTEX, te, first=first, second=second)

    @classmethod
    def teacher_options(cls, options: HybridUNetConfig) -> HybridUNetConfig | None:
        """Return the options of the same U-Net without circuits."""
        if not options.circuits and not options.quanvolution:
            return None
        return HybridUNetConfig(
            image_size=options.image_size, channels=options.channels, num_steps=options.num_steps
        )

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the predicted noise; see :meth:`Denoiser.forward`."""
        self.check_images(x)
        if labels is not None:
            raise InvalidData(f"'{self.name}' is not guided and takes no labels.")
        time = self.time(t * self.config.num_steps - 1)
        first = h = self.enter(x)
        skips: list[Tensor] = []
        for level, down in zip(self.encoder, self.down, strict=True):
            h, kept = level(h, time)
            skips += kept
            h = down(h)
        h = self.vertex_out(self.vertex_attention(self.vertex_in(h, time)), time)
        for level, up in zip(self.decoder, self.up, strict=True):
            h = level(h, time, skips)
            height, width = (skips[-1] if skips else first).shape[2:]
            h = up(h, (height, width))
        return self.out(self.leave(torch.cat([h, first], dim=1), time))


class _EncoderLevel(nn.Module):
    """Two residual blocks and linear attention, two skips."""

    def __init__(self, width: int, te: int, filters: list[CircuitFilter] | None) -> None:
        super().__init__()
        if filters is None:
            self.first, self.second = (ResidualBlock(width, width, te) for _ in range(2))
        else:
            self.first, self.second = (
                ResidualBlock(
                    width,
                    width,
                    te,
                    first=QuanvolutionConv(width, each),
                    second=QuanvolutionConv(width, each),
                )
                for each in filters
            )
        self.attention = AttentionBlock(width, linear=True)

    def forward(self, x: Tensor, time: Tensor) -> tuple[Tensor, list[Tensor]]:
        first = self.first(x, time)
        second = self.attention(self.second(first, time))
        return second, [first, second]


class _DecoderLevel(nn.Module):
    """Two residual blocks that each take a skip, and linear attention."""

    def __init__(self, width: int, skip: int, te: int) -> None:
        super().__init__()
        self.first, self.second = (ResidualBlock(width + skip, width, te) for _ in range(2))
        self.attention = AttentionBlock(width, linear=True)

    def forward(self, x: Tensor, time: Tensor, skips: list[Tensor]) -> Tensor:
        h = self.first(torch.cat([x, skips.pop()], dim=1), time)
        h = self.second(torch.cat([h, skips.pop()], dim=1), time)
        return self.attention(h)


def _initialise(model: nn.Module, generator: torch.Generator) -> None:
    """PyTorch's uniform rule for convolutions and linear layers, from our own stream."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | StandardisedConv):
            bound = module.weight[0].numel() ** -0.5
            for parameter in (module.weight, module.bias):
                if parameter is not None:
                    nn.init.uniform_(parameter, -bound, bound, generator=generator)
