"""The parts of De Falco's U-Net: time embedding, residual and attention blocks, resizing.

The layout is that of the published Flax code (De Falco et al. 2024), repaired where its text and code
disagree. Shapes are ``(batch, channels, height, width)`` throughout.
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "GROUPS",
    "HEADS",
    "HEAD_WIDTH",
    "INNER",
    "AttentionBlock",
    "ChannelNorm",
    "ResidualBlock",
    "StandardisedConv",
    "TimeEmbedding",
    "Upsample",
]

GROUPS = 10
"""Groups of every group normalisation, and the base width of the network."""
HEADS, HEAD_WIDTH = 4, 32
"""Attention heads, and features of each."""
INNER = HEADS * HEAD_WIDTH
"""Features of all heads."""


@final
class TimeEmbedding(nn.Module):
    """Sinusoids of the step, then two linear layers with GELU between them.

    Args:
        width: Sinusoids, an even number; half of them sines.
    """

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        frequencies = torch.exp(-math.log(10_000) / (half - 1) * torch.arange(half))
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.hidden = nn.Linear(width, 4 * width)
        self.out = nn.Linear(4 * width, 4 * width)

    def forward(self, step: Tensor) -> Tensor:
        """Embeddings ``(batch, 4 * width)`` of steps ``(batch,)``, which count from 0."""
        angles = step.to(self.hidden.weight.dtype)[:, None] * self.frequencies
        waves = torch.cat([angles.sin(), angles.cos()], dim=1)
        return self.out(functional.gelu(self.hidden(waves), approximate="tanh"))


@final
class StandardisedConv(nn.Conv2d):
    """A 3 x 3 convolution whose filters are standardised: mean 0, variance 1 each; the bias is not.

    Args:
        channels_in: Channels read.
        channels_out: Channels made.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels_out, height, width)``."""
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), correction=0, keepdim=True)
        weight = (self.weight - mean) * torch.rsqrt(variance + 1e-5)
        return functional.conv2d(x, weight, self.bias, padding=1)


class ResidualBlock(nn.Module):
    """Two convolutions with group normalisation, scaled and shifted by the time, and a shortcut.

    Args:
        channels_in: Channels read.
        channels_out: Channels made.
        time_width: Length of the time embedding.
        first: The first convolution; a standardised one if None.
        second: The second convolution; likewise.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        time_width: int,
        *,
        first: nn.Module | None = None,
        second: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.first = first or StandardisedConv(channels_in, channels_out)
        self.first_norm = nn.GroupNorm(GROUPS, channels_out, eps=1e-6)
        self.time = nn.Linear(time_width, 2 * channels_out)
        self.second = second or StandardisedConv(channels_out, channels_out)
        self.second_norm = nn.GroupNorm(GROUPS, channels_out, eps=1e-6)
        same = channels_in == channels_out
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """``(batch, channels_out, height, width)`` from images and time embeddings."""
        scale, shift = self.time(functional.silu(time))[:, :, None, None].chunk(2, dim=1)
        h = self.first_norm(self.first(x))
        h = functional.silu(h * (1 + scale) + shift)
        h = functional.silu(self.second_norm(self.second(h)))
        return h + self.shortcut(x)


@final
class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each pixel, with a scale and no bias.

    Args:
        channels: Channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of ``x``."""
        variance, mean = torch.var_mean(x, dim=1, correction=0, keepdim=True)
        return (x - mean) * torch.rsqrt(variance + 1e-5) * self.scale[:, None, None]


class AttentionBlock(nn.Module):
    """Normalisation, attention over the pixels, and the input added.

    Args:
        channels: Channels.
        linear: Linear attention with a normalisation after it; else full attention.
    """

    def __init__(self, channels: int, *, linear: bool) -> None:
        super().__init__()
        self.linear = linear
        self.norm = ChannelNorm(channels)
        self.features = nn.Conv2d(channels, 3 * INNER, 1, bias=False)
        self.out = nn.Conv2d(INNER, channels, 1)
        self.out_norm = ChannelNorm(channels) if linear else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of ``x``."""
        pixels = self.norm(x).flatten(2)
        attend = self._linear_attention if self.linear else self._attention
        return x + self.out_norm(attend(pixels).reshape(x.shape))

    def _linear_attention(self, pixels: Tensor) -> Tensor:
        """Return softmax(q) (softmax(k) v^T), of the shape ``(batch, channels, pixels)`` of the pixels.

        Values, and what comes before the last convolution, are never made: both are linear maps of
        something smaller, so their small matrices are multiplied first. The 1 x 1 convolutions are
        matrix products, which for so few channels are several times as fast.
        """
        batch, channels, count = pixels.shape
        queries, keys, values = self.features.weight.flatten(1).split(INNER)
        # `@` would fold batch and pixels together and exchange the axes of its result: bmm does not.
        q = torch.bmm(queries.expand(batch, -1, -1), pixels)
        q = q.reshape(batch, HEADS, HEAD_WIDTH, count).softmax(dim=2)
        k = torch.bmm(keys.expand(batch, -1, -1), pixels).softmax(dim=2)
        # Queries over the root of their width and values over the pixels: both divide a small matrix.
        seen = torch.bmm(k, pixels.transpose(1, 2)) / (math.sqrt(HEAD_WIDTH) * count)
        context = seen.reshape(batch, HEADS, HEAD_WIDTH, channels) @ values.reshape(
            HEADS, HEAD_WIDTH, channels
        ).transpose(1, 2)
        out = self.out.weight.reshape(channels, HEADS, HEAD_WIDTH).transpose(0, 1)
        mixing = (context @ out.transpose(1, 2)).flatten(1, 2)  # (batch, INNER, channels)
        bias = self.out.bias
        assert bias is not None
        return torch.baddbmm(bias[:, None], mixing.transpose(1, 2), q.flatten(1, 2))

    def _attention(self, pixels: Tensor) -> Tensor:
        """Return what the pixels attend to, of their shape ``(batch, channels, pixels)``."""
        batch, _, count = pixels.shape
        made = self.features.weight.flatten(1) @ pixels
        q, k, v = made.reshape(batch, 3, HEADS, HEAD_WIDTH, count).unbind(1)
        mixed = _attention(q, k, v).flatten(1, 2)
        bias = self.out.bias
        assert bias is not None
        prediction: Tensor = self.out.weight.flatten(1) @ mixed
        return prediction + bias[:, None]


def _attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """All ``(batch, heads, features, pixels)``; queries and keys have norm 1 over the *pixels*.

    Norm 1 over the features would be the usual choice; the published numbers come from this one.
    """
    q = functional.normalize(q, dim=3, eps=1e-12)
    k = functional.normalize(k, dim=3, eps=1e-12)
    weights = (10 * q.transpose(2, 3) @ k).softmax(dim=3)
    return v @ weights.transpose(2, 3)


@final
class Upsample(nn.Module):
    """Nearest-neighbour resizing to a given size, then a 3 x 3 convolution.

    Args:
        channels_in: Channels read.
        channels_out: Channels made.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """``(batch, channels_out, *size)``."""
        return self.conv(functional.interpolate(x, size=size, mode="nearest-exact"))
