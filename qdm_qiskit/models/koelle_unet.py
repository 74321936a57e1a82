"""The U-Nets of Kölle et al. (arXiv:2401.07049): the classical one, and QU-Net with circuits in it.

Both have the same frame: blocks of 3 x 3 filters with batch normalisation, max-pooling, bilinear
upsampling with a 1 x 1 filter that halves the channels, skips that are concatenated, and a 1 x 1
convolution at the end. Neither sees the time step. The classical net has two filters a block and 934,
1843 or 7077 parameters; QU-Net has one, a circuit, and 835 or 1231.

In the published code the fast quantum filter never calls its circuit. Here it does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from ..circuits.koelle import quantum_convolution
from ..errors import InvalidData, InvalidOption
from ..layers import QuantumLayer
from ..layers.quantum_layer import WeightMap
from ..options import settle
from .base import Denoiser, label_angles
from .classical_unet import check_sizes, start_output, start_weights
from .eeqdm import MAX_DEPTH
from .presets.eeqdm import KOELLE_PAPER

__all__ = [
    "LABEL_HEIGHT",
    "LABEL_WIDTH",
    "PATCH_FILL",
    "PATCH_SHIFT",
    "ImageNorm",
    "KoelleUNet",
    "KoelleUNetConfig",
    "QUNet",
    "QUNetConfig",
    "QuantumConv",
]

PATCH_SHIFT, PATCH_FILL = 0.1, 0.5
"""Added to each value of a patch, so that black is a state too; what fills the patch up to 2**w."""
LABEL_HEIGHT, LABEL_WIDTH = 0.1, 20.0
"""The label is added to the image as ``0.1 sin(class + column / 20)``."""


@dataclass(frozen=True, kw_only=True)
class KoelleUNetConfig:
    """Options of Kölle's classical U-Net."""

    image_size: int = 8
    """Height and width; divisible by ``2**(levels - 1)``."""
    channels: int = 1
    """Image channels."""
    levels: int = 2
    """Resolutions, at least 1; the last one is the bottleneck."""
    start_channels: int = 3
    """Feature channels of the first level; each further level doubles them."""
    guided: bool = False
    """Condition on the class by a wave that is added to the image."""
    num_classes: int = 10
    """Number of classes, for guided models."""

    def __post_init__(self) -> None:
        settle(self)
        check_sizes(self.image_size, self.channels, self.levels, self.start_channels)
        if self.num_classes < 1:
            raise InvalidOption(f"num_classes must be at least 1, got {self.num_classes}.")


@dataclass(frozen=True, kw_only=True)
class QUNetConfig(KoelleUNetConfig):
    """Options of QU-Net."""

    levels: int = 3
    """Resolutions, at least 1; the last one is the bottleneck."""
    start_channels: int = 2
    """Feature channels of the first level; each further level doubles them."""
    depth: int = 8
    """Strongly entangling layers of each filter, at least 1."""
    weight_map: WeightMap = "pi_tanh"
    """Weights to angles; Kölle's code takes pi * tanh(w)."""
    init_std: float = 0.4
    """Standard deviation of the circuits' initial weights, as in Kölle's code."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.depth <= MAX_DEPTH:
            raise InvalidOption(
                f"depth must be at least 1 and at most {MAX_DEPTH}, got {self.depth}."
            )
        if not (math.isfinite(self.init_std) and self.init_std >= 0):
            raise InvalidOption(f"init_std must be a finite number >= 0, got {self.init_std}.")


class ImageNorm(nn.Module):
    """Batch normalisation of feature maps, without PyTorch's integer count of batches.

    A checkpoint holds real tensors only, and with a fixed momentum nothing needs that count.
    """

    momentum, eps = 0.1, 1e-5
    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Statistics of the batch in training, of the past in evaluation."""
        return nn.functional.batch_norm(
            x,
            self.mean,
            self.variance,
            self.weight,
            self.bias,
            self.training,
            self.momentum,
            self.eps,
        )


class QuantumConv(nn.Module):
    """A circuit that is moved over an image as a filter.

    Each patch, ``channels_in * kernel**2`` values plus 0.1, filled up by 0.5, is the amplitudes of w
    wires. Output channel c is the probability of the even basis state 2 c, times ``2**w / 2``, clamped
    to [0, 1].

    Args:
        channels_in: Channels of the image.
        channels_out: Channels of the result.
        kernel: Height and width of the patch, odd.
        config: Layers, weights to angles, initial weights.
        generator: Source of the initial weights.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        config: QUNetConfig,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.kernel, self.channels_out = kernel, channels_out
        values = channels_in * kernel**2
        # The text asks for log2(channels_out) wires, of whose states only every second one is read:
        # one more makes any number of channels readable, and changes none of the paper's nets.
        wires = max(math.ceil(math.log2(values)), math.ceil(math.log2(channels_out)) + 1)
        self.layer = QuantumLayer(
            quantum_convolution(wires, config.depth),
            weight_map=config.weight_map,
            init_std=config.init_std,
            generator=generator,
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels_in, height, width)`` to ``(batch, channels_out, height, width)``."""
        batch, _, height, width = x.shape
        patches = nn.functional.unfold(x, self.kernel, padding=self.kernel // 2)
        rows = patches.transpose(1, 2).flatten(0, 1) + PATCH_SHIFT
        size = self.layer.spec.num_amplitudes
        rows = nn.functional.pad(rows, (0, size - rows.shape[1]), value=PATCH_FILL)
        found = (self.layer(rows)[:, : self.channels_out] * size / 2).clamp(0, 1)
        return found.reshape(batch, height, width, -1).permute(0, 3, 1, 2)


class _UNet(Denoiser):
    """The frame that both nets share; they differ in blocks and in the filter that halves channels."""

    config: KoelleUNetConfig
    out: nn.Conv2d

    def __init__(self, config: KoelleUNetConfig) -> None:
        super().__init__()
        self.config = config
        self.image_shape = (config.channels, config.image_size, config.image_size)
        self.down = nn.ModuleList()
        self.halve = nn.ModuleList()
        self.up = nn.ModuleList()

    @property
    def widths(self) -> list[int]:
        """Feature channels of the levels."""
        return [self.config.start_channels * 2**level for level in range(self.config.levels)]

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """See :meth:`Denoiser.forward`; the time is not used."""
        self.check_images(x)
        h = x if not self.config.guided else x + self._wave(labels, x)
        if labels is not None and not self.config.guided:
            raise InvalidData(f"'{self.name}' is not guided and takes no labels.")
        skips = []
        for level, block in enumerate(self.down):
            if level:
                skips.append(h)
                h = nn.functional.max_pool2d(h, 2)
            h = block(h)
        for halve, block in zip(self.halve, self.up, strict=True):
            h = nn.functional.interpolate(h, scale_factor=2, mode="bilinear", align_corners=True)
            h = block(torch.cat([skips.pop(), halve(h)], dim=1))
        return self.out(h)

    def _wave(self, labels: Tensor | None, x: Tensor) -> Tensor:
        """The label as ``0.1 sin(class + column / 20)``, ``(batch, 1, 1, width)``."""
        classes = self.config.num_classes
        angles = label_angles(labels, classes, len(x), self.name).to(x)
        column = torch.arange(x.shape[3]).to(x) / LABEL_WIDTH
        wave = torch.sin(angles * classes / (2 * math.pi) + column)
        return LABEL_HEIGHT * wave[:, None, None, :]


def _pairs_of_filters(channels_in: int, channels_out: int, *, late: bool) -> nn.Sequential:
    """Two 3 x 3 convolutions; on the way up the first ReLU stands before its normalisation."""
    first: list[nn.Module] = [ImageNorm(channels_out), nn.ReLU()]
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1),
        *(reversed(first) if late else first),
        nn.Conv2d(channels_out, channels_out, 3, padding=1),
        ImageNorm(channels_out),
        nn.ReLU(),
    )


@final
class KoelleUNet(_UNet):
    """Kölle's classical baseline. Its output is not bounded."""

    name = "koelle_unet"
    source = f"{KOELLE_PAPER}, classical baseline"
    config_class = KoelleUNetConfig

    def __init__(
        self, config: KoelleUNetConfig, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(config)
        widths = self.widths
        for a, b in pairwise([config.channels, *widths]):
            self.down.append(_pairs_of_filters(a, b, late=False))
        for a, b in pairwise(widths[::-1]):
            self.halve.append(nn.Conv2d(a, b, 1))
            self.up.append(_pairs_of_filters(a, b, late=True))
        self.out = nn.Conv2d(widths[0], config.channels, 1)
        start_weights(self, generator)
        start_output(self.out, generator)


@final
class QUNet(_UNet):
    """QU-Net: every filter but the last 1 x 1 convolution is a circuit. Its output is not bounded."""

    name = "qu_net"
    source = f"{KOELLE_PAPER}, QU-Net"
    config_class = QUNetConfig

    def __init__(self, config: QUNetConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__(config)

        def filter_(a: int, b: int, kernel: int) -> QuantumConv:
            return QuantumConv(a, b, kernel, config, generator)

        def block(a: int, b: int) -> nn.Sequential:
            return nn.Sequential(filter_(a, b, 3), ImageNorm(b), nn.ReLU())

        widths = self.widths
        for a, b in pairwise([config.channels, *widths]):
            self.down.append(block(a, b))
        for a, b in pairwise(widths[::-1]):
            self.halve.append(filter_(a, b, 1))
            self.up.append(block(a, b))
        self.out = nn.Conv2d(widths[0], config.channels, 1)
        start_weights(self, generator)
