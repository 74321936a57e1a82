"""A denoiser of time series with quantum blocks between its convolutions in time.

Ours, after the idea of quantum blocks in a time-series denoiser (arXiv:2606.27561); the paper was not
at hand, so nothing here is a reproduction of it. A series is diffused as it stands, a value a step in
time; any row of numbers is one, in the order of its cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn

from ..errors import InvalidOption
from ..options import settle
from .conditioning import Conditioning, check_conditioning
from .line import check_latents
from .on_latents import ComparedLatents, OnLatents
from .presets.hybrid import SERIES_SOURCE
from .presets.line import LINE_TRAINING
from .quantum_blocks import BlockKind, check_block, make_block
from .told import check_labels, num_told, told
from .whitened_codecs import RADIUS, WhitenedCells

__all__ = ["MAX_BLOCKS", "MAX_CHANNELS", "Series", "SeriesConfig"]

MAX_BLOCKS, MAX_CHANNELS = 8, 32


@dataclass(frozen=True, kw_only=True)
class SeriesConfig:
    """Options of the denoiser of time series."""

    image_size: int = 4
    """Side of the picture that a series fills: image_size**2 values in time, 2 to 32."""
    channels: int = 1
    """1: a series is a grey picture."""
    block: BlockKind = "circuit"
    """What stands behind each convolution: circuit, network, or none."""
    blocks: int = 2
    """Convolutions with a block behind each, 1 to 8; convolution k looks 2**k steps to both sides."""
    width: int = 4
    """Numbers of each step in time between blocks, 1 to 32."""
    num_qubits: int = 3
    """Qubits of each circuit, 1 to 8."""
    uploads: int = 2
    """Layers of rotations of each circuit, with CZ between two of them."""
    entangled: bool = True
    """False leaves out all CZ."""
    guided: bool = False
    """Condition on the class."""
    num_classes: int = 2
    """Number of classes, for guided models."""
    conditioning: Conditioning = "label"
    """Way in which a class is told: label, or by a kernel of classes in order, kernel or rbf."""

    codec: ClassVar[str] = "scaling of cells"

    def __post_init__(self) -> None:
        settle(self)
        check_conditioning(self.conditioning, self.guided)
        if self.channels != 1 or not 2 <= self.image_size <= 32:
            raise InvalidOption(
                "A series is a grey picture: channels is 1 and image_size 2 to 32, got "
                f"{self.channels} and {self.image_size}."
            )
        check_latents(self.image_size, 1, "pca", self.latents, self.num_classes)
        check_block(self.num_qubits, self.uploads, block=self.block)
        if not 1 <= self.blocks <= MAX_BLOCKS or not 1 <= self.width <= MAX_CHANNELS:
            raise InvalidOption(
                f"blocks is 1 to {MAX_BLOCKS} and width 1 to {MAX_CHANNELS}, got {self.blocks} and "
                f"{self.width}."
            )

    @property
    def latents(self) -> int:
        """Values of a series."""
        return self.image_size**2

    @property
    def classes_told(self) -> int | None:
        """Classes of a guided model, else None."""
        return self.num_classes if self.guided else None


@final
class Series(ComparedLatents):
    """Convolutions in time of width 3, each followed by a block at every step in time.

    Every block sees the ``width`` numbers of one step and is added to them. A linear layer of time and
    class is added before each convolution, and a linear map of the whole series beside all of it.

    Args:
        config: The options.
        generator: Source of the initial weights.
    """

    name = "series"
    source = SERIES_SOURCE
    config_class = SeriesConfig
    config: SeriesConfig
    state_space = "real"
    recommended: ClassVar[Mapping[str, Any]] = {**LINE_TRAINING, "dataset": "waves"}

    def __init__(self, config: SeriesConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.image_shape = (1, config.image_size, config.image_size)
        self.codec = WhitenedCells(self.image_shape, config.latents, RADIUS)
        width, rows = config.width, num_told(config.classes_told)
        self.enter = nn.Conv1d(1, width, 1)
        self.told = nn.ModuleList(nn.Linear(rows, width) for _ in range(config.blocks))
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding=2**k, dilation=2**k) for k in range(config.blocks)
        )
        self.blocks = nn.ModuleList(
            make_block(
                config.block,
                width,
                width,
                num_qubits=config.num_qubits,
                uploads=config.uploads,
                entangled=config.entangled,
                generator=generator,
            )
            for _ in range(config.blocks)
        )
        self.leave = nn.Conv1d(width, 1, 1)
        self.skip = nn.Linear(config.latents + rows, config.latents, bias=False)
        for each in (self.enter, self.leave, *self.convolutions, *self.told):
            assert isinstance(each, nn.Conv1d | nn.Linear)
            assert each.bias is not None
            bound = each.weight[0].numel() ** -0.5
            for numbers in (each.weight, each.bias):
                nn.init.uniform_(numbers, -bound, bound, generator=generator)
        nn.init.zeros_(self.skip.weight)

    def counterparts(self, generator: torch.Generator | None = None) -> dict[str, OnLatents]:
        """Return the model without CZ, and with networks for circuits."""
        config = self.config
        found: dict[str, OnLatents] = {}
        if config.block != "circuit":
            return found
        if config.entangled and config.uploads > 1 and config.num_qubits > 1:
            found["no_entanglers"] = Series(replace(config, entangled=False), generator=generator)
        found["no_circuits"] = Series(replace(config, block="network"), generator=generator)
        return found

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """See :meth:`.Denoiser.forward`."""
        self.check_states(x)
        check_labels(labels, self.config.classes_told, len(x), self.name)
        rows = told(t.to(x), labels, self.config.classes_told, self.config.conditioning)
        h = self.enter(x[:, None])
        for add, convolution, block in zip(self.told, self.convolutions, self.blocks, strict=True):
            h = h + nn.functional.silu(convolution(h + add(rows)[:, :, None]))
            steps = h.transpose(1, 2)  # (batch, steps, width)
            h = h + block(steps.flatten(0, 1)).reshape(steps.shape).transpose(1, 2)
        return self.leave(h)[:, 0] + self.skip(torch.cat([x, rows], dim=1))
