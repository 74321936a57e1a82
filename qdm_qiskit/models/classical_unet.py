"""The small classical U-Nets that EEQDM's paper compares with: 892, 1735 and 6781 parameters.

The paper (arXiv:2411.15973, section 5.2) gives the counts and "convolutional layers with ReLU". This
layout reproduces all three exactly; it is inferred, and other layouts with the same counts exist:
two input channels (the noisy image and a constant channel with t), no normalisation, an upsampler
without parameters, and skips that are added.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from ..errors import InvalidData, InvalidOption
from ..options import settle
from .base import MAX_IMAGE_SIZE, Denoiser
from .presets.eeqdm import EEQDM_PAPER

__all__ = [
    "MAX_CHANNELS",
    "MAX_LEVELS",
    "SMALL_OUTPUT",
    "ClassicalUNet",
    "ClassicalUNetConfig",
    "check_sizes",
    "mirrored_filters",
    "start_output",
    "start_weights",
]

MAX_LEVELS = 11
"""Levels that halve the largest image down to one pixel."""
SMALL_OUTPUT = 0.1
"""Size of the last convolution's initial weights, in units of PyTorch's rule."""
MAX_CHANNELS = 1_024
"""Most feature channels of a level."""


@dataclass(frozen=True, kw_only=True)
class ClassicalUNetConfig:
    """Options of the small U-Net."""

    image_size: int = 8
    """Height and width; divisible by ``2**(levels - 1)``."""
    channels: int = 1
    """Image channels."""
    levels: int = 2
    """Resolutions, at least 1; the last one is the bottleneck."""
    start_channels: int = 3
    """Feature channels of the first level; each further level doubles them."""

    def __post_init__(self) -> None:
        settle(self)
        check_sizes(self.image_size, self.channels, self.levels, self.start_channels)


def check_sizes(image_size: int, channels: int, levels: int, start_channels: int) -> None:
    """Refuse a U-Net that cannot be, or that no memory holds.

    Args:
        image_size: Height and width of the images.
        channels: Channels of the images.
        levels: Resolutions.
        start_channels: Feature channels of the first level.

    Raises:
        InvalidOption: With what was received.
    """
    if channels < 1 or levels < 1 or start_channels < 1:
        raise InvalidOption(
            "channels, levels and start_channels must be at least 1, got "
            f"{channels}, {levels}, {start_channels}."
        )
    # Before any power of two: a damaged config.json must not cost memory.
    if (
        levels > MAX_LEVELS
        or image_size > MAX_IMAGE_SIZE
        or max(channels, start_channels * 2 ** (levels - 1)) > MAX_CHANNELS
    ):
        raise InvalidOption(
            f"image_size is at most {MAX_IMAGE_SIZE}, levels at most {MAX_LEVELS}, channels and "
            f"start_channels * 2**(levels - 1) at most {MAX_CHANNELS}; got {image_size}, "
            f"{levels}, {channels} and {start_channels}."
        )
    step = 2 ** (levels - 1)
    if image_size < step or image_size % step:
        raise InvalidOption(
            f"image_size must be divisible by {step} for {levels} levels, got {image_size}."
        )


def start_weights(model: nn.Module, generator: torch.Generator | None) -> None:
    """Initial weights with which no layer of a few channels is silent, whatever the seed.

    In front of a ReLU half of the filters are the negatives of the other half, so that of each pair one
    is alive at every pixel: He's uniform rule (arXiv:1502.01852) in :func:`mirrored_filters`, no bias.
    With PyTorch's own rule all of 2 to 4 filters may be below zero for every image, and then neither
    a prediction nor a gradient passes: 3 of 20 seeds of 892 parameters, 8 of 20 of 1735. A 1 x 1
    convolution has no ReLU behind it and keeps PyTorch's rule.

    Args:
        model: Its convolutions get new weights, in the order of definition.
        generator: Source of the weights; PyTorch's own if None.
    """
    for module in model.modules():
        if not isinstance(module, nn.Conv2d):
            continue
        assert module.bias is not None
        if module.kernel_size == (1, 1):
            bound = module.weight[0].numel() ** -0.5
            for parameter in (module.weight, module.bias):
                nn.init.uniform_(parameter, -bound, bound, generator=generator)
        else:
            mirrored_filters(module.weight, generator)
            nn.init.zeros_(module.bias)


@torch.no_grad()
def start_output(conv: nn.Conv2d, generator: torch.Generator | None) -> None:
    """Initial weights of the last convolution: small and positive, so that predictions grow from 0.

    Predictions that begin above their targets push all features below zero in the first steps, and the
    ReLUs in front of the last convolution never come back.

    Args:
        conv: A 1 x 1 convolution of features that are not negative, for targets that are not either.
        generator: Source of the weights; PyTorch's own if None.
    """
    assert conv.bias is not None
    bound = SMALL_OUTPUT * conv.weight[0].numel() ** -0.5
    nn.init.uniform_(conv.weight, 0, bound, generator=generator)
    nn.init.zeros_(conv.bias)


@torch.no_grad()
def mirrored_filters(weight: Tensor, generator: torch.Generator | None) -> None:
    """Draw filters in front of a ReLU, in place: pairs of opposite ones.

    One that is left over sums to at least zero, so that it predicts where its inputs are even and
    positive; one that is alone has no negative weight.

    Args:
        weight: ``(filters, channels, height, width)``.
        generator: Source of the weights; PyTorch's own if None.
    """
    bound = math.sqrt(6 / weight[0].numel())
    nn.init.uniform_(weight, -bound, bound, generator=generator)
    half = len(weight) // 2
    weight[half : 2 * half] = -weight[:half]
    if not half:
        weight.abs_()
    elif len(weight) % 2 and weight[-1].sum() < 0:
        weight[-1] *= -1


def _conv(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.ReLU())


@final
class ClassicalUNet(Denoiser):
    """The classical baseline. Its output is not bounded."""

    name = "classical_unet"
    source = f"{EEQDM_PAPER}, section 5.2"
    config_class = ClassicalUNetConfig

    def __init__(
        self, config: ClassicalUNetConfig, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.image_shape = (config.channels, config.image_size, config.image_size)
        widths = [config.start_channels * 2**level for level in range(config.levels)]
        incoming = [config.channels + 1, *widths[:-1]]
        self.down = nn.ModuleList(
            nn.Sequential(_conv(a, b), _conv(b, b)) for a, b in zip(incoming, widths, strict=True)
        )
        pairs = list(zip(widths[1:], widths[:-1], strict=True))[::-1]
        self.narrow = nn.ModuleList(_conv(a, b) for a, b in pairs)
        self.refine = nn.ModuleList(_conv(b, b) for _, b in pairs)
        self.out = nn.Conv2d(widths[0], config.channels, 1)
        start_weights(self, generator)
        start_output(self.out, generator)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """See :meth:`Denoiser.forward`; labels are not used by this model and are refused."""
        self.check_images(x)
        if labels is not None:
            raise InvalidData(f"'{self.name}' is not guided and takes no labels.")
        time = t.to(x).reshape(-1, 1, 1, 1).expand(len(x), 1, *x.shape[2:])
        h = torch.cat([x, time], dim=1)
        skips = []
        for level, block in enumerate(self.down):
            if level:
                skips.append(h)
                h = nn.functional.max_pool2d(h, 2)
            h = block(h)
        for narrow, refine in zip(self.narrow, self.refine, strict=True):
            h = nn.functional.interpolate(h, scale_factor=2, mode="bilinear", align_corners=False)
            h = refine(narrow(h) + skips.pop())
        return self.out(h)
