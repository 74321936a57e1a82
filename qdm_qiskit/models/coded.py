"""Any model of images on latents in place of pixels: a codec around it, and nothing else changed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from .. import options
from ..errors import InvalidOption
from ..options import settle
from .catalog import model_class
from .latent_codecs import CodecKind
from .line import check_latents
from .on_latents import OnLatents
from .whitened_codecs import make_whitened

__all__ = [
    "MAX_SIDE",
    "RADIUS",
    "Coded",
    "CodedConfig",
]

MAX_SIDE = 32
"""Largest side of the square of latents."""
RADIUS = 2.5
"""Latents beyond so many deviations are cut off; the rest fills [0, 1], which such models take."""


@dataclass(frozen=True, kw_only=True)
class CodedConfig:
    """Options of a model on latents."""

    image_size: int = 8
    """Height and width of the images, 2 to 1024."""
    channels: int = 1
    """1 for grey, 3 for RGB."""
    codec: CodecKind = "pca"
    """Rule by which images become whitened latents."""
    side: int = 4
    """Side of the square that the latents fill, 2 to 32: ``side**2`` of them."""
    inner: str = "q_dense"
    """Name of the model: one whose states are grey images in [0, 1], such as eeqdm, q_dense, qu_net."""
    inner_options: tuple[str, ...] = ()
    """Its options, as in ``depth=4,ancilla=true``; its image_size is ``side``."""

    def __post_init__(self) -> None:
        settle(self)
        if not 2 <= self.side <= MAX_SIDE:
            raise InvalidOption(f"side is 2 to {MAX_SIDE}, got {self.side}.")
        check_latents(self.image_size, self.channels, self.codec, self.side**2, 1)
        kind = model_class(self.inner)
        if self.inner == Coded.name or kind.state_space != "unit" or kind.data_kind != "images":
            raise InvalidOption(
                f"inner is a model whose states are images in [0, 1], got '{self.inner}'; models of "
                "other states have latent forms of their own, cacioppo_latent and line."
            )
        self.inner_config()

    def inner_config(self) -> Any:
        """Return the options of the model inside.

        Raises:
            InvalidOption: If one is unknown or out of range, or sets the size.
        """
        given = options.parse_assignments(list(self.inner_options))
        for name in ("image_size", "channels"):
            if name in given:
                raise InvalidOption(f"{name} of the model inside follows from side; leave it out.")
        kind: Any = model_class(self.inner).config_class
        made: Any = options.build(kind, {**given, "image_size": self.side, "channels": 1})
        return made

    @property
    def guided(self) -> bool:
        """True if the model inside is told the class."""
        return bool(getattr(self.inner_config(), "guided", False))

    @property
    def num_classes(self) -> int:
        """Classes that the model inside knows."""
        return int(getattr(self.inner_config(), "num_classes", 1))


@final
class Coded(OnLatents):
    """A model of images that sees a square of latents where it would see pixels.

    Its circuits are those of the model inside, so every target runs them.

    Args:
        config: The options.
        generator: Source of the initial weights.
    """

    name = "coded"
    source = "ours: any model of images on whitened latents"
    config_class = CodedConfig
    config: CodedConfig

    def __init__(self, config: CodedConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.image_shape = (config.channels, config.image_size, config.image_size)
        self.codec = make_whitened(config.codec, self.image_shape, config.side**2, RADIUS)
        self.inner = model_class(config.inner)(config.inner_config(), generator=generator)
        if math.prod(self.inner.state_shape) != config.side**2:
            raise InvalidOption(
                f"inner is a model whose states are images, got '{config.inner}', whose states have "
                f"shape {self.inner.state_shape}."
            )

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """See :meth:`.Denoiser.forward`."""
        self.check_states(x)
        found: Tensor = self.inner(x.reshape(len(x), *self.inner.state_shape), t, labels)
        return found.flatten(1)
