"""A small score network on latents with circuits where the survey has them.

The network is told the time by an embedding, lets tokens attend to each other, and squeezes them
through a bottleneck. In each of these three places stands a circuit, a classical block with as many
numbers, or nothing, by option. Predicted are velocities, which are scores in another form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn

from ..errors import InvalidOption
from ..options import settle
from .conditioning import Conditioning, check_conditioning
from .latent_codecs import CodecKind
from .line import check_latents
from .on_latents import ComparedLatents, OnLatents
from .presets.hybrid import HYBRID_SOURCE
from .presets.line import LINE_TRAINING
from .quantum_blocks import BlockKind, check_block, make_block
from .told import check_labels, num_told, told
from .whitened_codecs import RADIUS, make_whitened

__all__ = ["MAX_WIDTH", "PLACES", "HybridScore", "HybridScoreConfig"]

MAX_WIDTH = 64
"""Most numbers of a token, and of the bottleneck."""
PLACES = ("time", "attention", "bottleneck")
"""Options that choose what stands in a place."""


@dataclass(frozen=True, kw_only=True)
class HybridScoreConfig:
    """Options of the hybrid score network."""

    image_size: int = 8
    """Height and width of the images, 2 to 1024."""
    channels: int = 1
    """1 for grey, 3 for RGB."""
    codec: CodecKind = "autoencoder"
    """Rule by which images become whitened latents."""
    latents: int = 8
    """Latent values, each of which is a token; at least 1, fewer than training images."""
    time: BlockKind = "circuit"
    """Embedding of time and class: circuit, network, or none, which leaves tokens without either."""
    attention: BlockKind = "circuit"
    """What makes queries and keys of tokens: circuit, network, or none, without any attention."""
    bottleneck: BlockKind = "circuit"
    """What stands in the bottleneck beside its identity: circuit, network, or none."""
    width: int = 4
    """Numbers of a token, 1 to 64."""
    neck: int = 6
    """Numbers of the bottleneck, 1 to 64."""
    num_qubits: int = 4
    """Qubits of each circuit, 1 to 8."""
    uploads: int = 2
    """Layers of rotations of each circuit, with CZ between two of them."""
    entangled: bool = True
    """False leaves out all CZ."""
    guided: bool = False
    """Condition on the class."""
    num_classes: int = 10
    """Number of classes, for guided models."""
    conditioning: Conditioning = "label"
    """Way in which a class is told: label, or by a kernel of classes in order, kernel or rbf."""

    def __post_init__(self) -> None:
        settle(self)
        check_conditioning(self.conditioning, self.guided)
        check_latents(self.image_size, self.channels, self.codec, self.latents, self.num_classes)
        check_block(self.num_qubits, self.uploads, **{name: getattr(self, name) for name in PLACES})
        for name in ("width", "neck"):
            if not 1 <= getattr(self, name) <= MAX_WIDTH:
                raise InvalidOption(f"{name} is 1 to {MAX_WIDTH}, got {getattr(self, name)}.")

    @property
    def classes_told(self) -> int | None:
        """Classes of a guided model, else None."""
        return self.num_classes if self.guided else None

    @property
    def circuits(self) -> tuple[str, ...]:
        """Places in which circuits stand."""
        return tuple(name for name in PLACES if getattr(self, name) == "circuit")

    def without_circuits(self) -> HybridScoreConfig:
        """The same options with a classical block of the same size for each circuit."""
        kinds: dict[str, Any] = dict.fromkeys(self.circuits, "network")
        return replace(self, **kinds)


@final
class HybridScore(ComparedLatents):
    """Embedding, attention of latents, bottleneck, and a linear map beside them.

    Token i of a state is ``x_i a_i + b_i + e(t, class)``. Attention adds
    ``softmax(q k^T / sqrt(width)) v`` to the tokens, where a block makes q and k of each token; tokens
    then go through a linear layer to the neck, ``z + block(z)``, and a linear layer to velocities. The
    linear map takes x, time and class, so that what is above it has only the rest to predict.

    Args:
        config: The options.
        generator: Source of the initial weights.
    """

    name = "hybrid_score"
    source = HYBRID_SOURCE
    config_class = HybridScoreConfig
    config: HybridScoreConfig
    state_space = "real"
    recommended: ClassVar[Mapping[str, Any]] = LINE_TRAINING

    def __init__(
        self, config: HybridScoreConfig, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.image_shape = (config.channels, config.image_size, config.image_size)
        self.codec = make_whitened(config.codec, self.image_shape, config.latents, RADIUS)
        width, rows = config.width, num_told(config.classes_told)
        sizes: dict[str, Any] = {
            "num_qubits": config.num_qubits,
            "uploads": config.uploads,
            "entangled": config.entangled,
            "generator": generator,
        }
        self.time = make_block(config.time, rows, width, **sizes)
        self.attention = make_block(config.attention, width, 2 * width, **sizes)
        self.bottleneck = make_block(config.bottleneck, config.neck, config.neck, **sizes)
        size = (config.latents, width)
        self.scale = nn.Parameter(torch.randn(size, generator=generator))
        self.shift = nn.Parameter(0.3 * torch.randn(size, generator=generator))
        self.value = nn.Linear(width, width, bias=False)
        self.squeeze = nn.Linear(config.latents * width, config.neck)
        self.leave = nn.Linear(config.neck, config.latents)
        for each in (self.value, self.squeeze, self.leave):
            bound = each.in_features**-0.5
            nn.init.uniform_(each.weight, -bound, bound, generator=generator)
        nn.init.zeros_(self.squeeze.bias)
        nn.init.zeros_(self.leave.bias)
        self.skip = nn.Linear(config.latents + rows, config.latents, bias=False)
        nn.init.zeros_(self.skip.weight)
        if config.attention == "none":  # without attention no value is asked for
            self.value.requires_grad_(False)

    def counterparts(self, generator: torch.Generator | None = None) -> dict[str, OnLatents]:
        """Return the model without CZ, and with networks for circuits."""
        config = self.config
        found: dict[str, OnLatents] = {}
        if not config.circuits:
            return found
        if config.entangled and config.uploads > 1 and config.num_qubits > 1:
            found["no_entanglers"] = HybridScore(
                replace(config, entangled=False), generator=generator
            )
        found["no_circuits"] = HybridScore(config.without_circuits(), generator=generator)
        return found

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """See :meth:`.Denoiser.forward`."""
        self.check_states(x)
        check_labels(labels, self.config.classes_told, len(x), self.name)
        rows = told(t.to(x), labels, self.config.classes_told, self.config.conditioning)
        tokens = x[:, :, None] * self.scale + self.shift + self.time(rows)[:, None]
        if self.config.attention != "none":
            tokens = tokens + self._attended(tokens)
        neck = self.squeeze(nn.functional.silu(tokens).flatten(1))
        neck = neck + self.bottleneck(neck)
        return self.leave(neck) + self.skip(torch.cat([x, rows], dim=1))

    def _attended(self, tokens: Tensor) -> Tensor:
        """What each token, ``(batch, latents, width)``, takes from all of them."""
        made = self.attention(tokens.flatten(0, 1)).reshape(*tokens.shape[:2], -1)
        query, key = made.chunk(2, dim=2)
        shares = torch.softmax(query @ key.transpose(1, 2) / math.sqrt(tokens.shape[2]), dim=2)
        return shares @ self.value(tokens)
