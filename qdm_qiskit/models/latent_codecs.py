"""Images as a few latent values that amplitudes can hold: non-negative, of norm 1, and back.

A state's modulus is what the reverse chain gives, and a state has norm 1. So latents are
non-negative, and their norm carries no information that decoding could use.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal, final

import torch
from torch import Tensor, nn

from ..errors import InvalidData
from .plain_optimizers import Adam

__all__ = [
    "AUTOENCODER_BATCH",
    "AUTOENCODER_RATE",
    "AUTOENCODER_STEPS",
    "HIDDEN",
    "AutoencoderCodec",
    "CodecKind",
    "LatentCodec",
    "PcaCodec",
    "make_codec",
]

CodecKind = Literal["pca", "autoencoder"]
"""Principal components, or a small neural network trained once before the diffusion model."""
HIDDEN = 64
"""Hidden units of the autoencoder's two networks."""
AUTOENCODER_STEPS, AUTOENCODER_BATCH, AUTOENCODER_RATE = 2_000, 64, 3e-3


class LatentCodec(nn.Module, ABC):
    """Encoder and decoder between images and latents, whose learned values are buffers.

    Args:
        image_shape: (channels, height, width).
        num_latents: Latent values.
    """

    fitted: Tensor
    """1 once :meth:`fit` was called, else 0."""

    def __init__(self, image_shape: tuple[int, int, int], num_latents: int) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.num_pixels = math.prod(image_shape)
        self.num_latents = num_latents
        self.register_buffer("fitted", torch.zeros(()))

    def fit(self, images: Tensor, generator: torch.Generator, labels: Tensor | None = None) -> None:
        """Learn from training images ``(count, channels, height, width)`` in [0, 1].

        Args:
            images: The training images.
            generator: Source of randomness.
            labels: Their class indices ``(count,)``, for codecs that are told them.

        Raises:
            InvalidData: If there are fewer images than latent values, or labels are needed and missing.
        """
        if len(images) <= self.num_latents:
            raise InvalidData(
                f"{self.num_latents} latent values are fitted to more images than that, got "
                f"{len(images)}."
            )
        self.fit_flat(images.flatten(1), generator, labels)
        # The order of a tensor's numbers in memory decides the rounding of its products, and files
        # keep them by rows: a run that is resumed has to begin with those.
        for name, value in list(self.named_buffers()):
            setattr(self, name, value.contiguous())
        self.fitted = torch.ones_like(self.fitted)

    @abstractmethod
    def fit_flat(
        self, flat: Tensor, generator: torch.Generator, labels: Tensor | None = None
    ) -> None:
        """As :meth:`fit`, on ``(count, pixels)``."""

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """Latents in [0, 1], ``(batch, num_latents)`` with norm 1."""

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Images ``(batch, channels, height, width)`` in [0, 1], from latents of any norm."""


@final
class PcaCodec(LatentCodec):
    """All but one latent are principal components, shifted and scaled into [0, 1] by their range.

    The last latent completes the vector to one and the same norm, so that nothing is lost when states
    are normalised: the largest norm of the training images' components.
    """

    mean: Tensor
    components: Tensor
    low: Tensor
    span: Tensor
    radius: Tensor

    def __init__(self, image_shape: tuple[int, int, int], num_latents: int) -> None:
        super().__init__(image_shape, num_latents)
        kept = num_latents - 1
        self.register_buffer("mean", torch.zeros(self.num_pixels))
        self.register_buffer("components", torch.zeros(kept, self.num_pixels))
        self.register_buffer("low", torch.zeros(kept))
        self.register_buffer("span", torch.ones(kept))
        self.register_buffer("radius", torch.ones(()))

    def fit_flat(
        self, flat: Tensor, generator: torch.Generator, labels: Tensor | None = None
    ) -> None:
        """See :meth:`LatentCodec.fit_flat`; nothing is random in it."""
        from sklearn.decomposition import PCA  # most of a second, so only when asked

        pca = PCA(self.num_latents - 1, svd_solver="full").fit(flat.cpu().double().numpy())
        self.mean = torch.as_tensor(pca.mean_).to(self.mean)
        self.components = torch.as_tensor(pca.components_).to(self.components)
        values = (flat.to(self.mean) - self.mean) @ self.components.t()
        self.low = values.amin(dim=0)
        self.span = (values.amax(dim=0) - self.low).clamp(min=1e-6)
        scaled = (values - self.low) / self.span
        self.radius = torch.linalg.vector_norm(scaled, dim=1).amax()

    def encode(self, images: Tensor) -> Tensor:
        """See :meth:`LatentCodec.encode`; values outside of the training range are clamped."""
        values = (images.flatten(1) - self.mean) @ self.components.t()
        scaled = ((values - self.low) / self.span).clamp(0, 1)
        rest = (self.radius.square() - scaled.square().sum(dim=1, keepdim=True)).clamp(min=0).sqrt()
        return nn.functional.normalize(torch.cat([scaled, rest], dim=1), dim=1)

    def decode(self, latents: Tensor) -> Tensor:
        """See :meth:`LatentCodec.decode`."""
        unit = nn.functional.normalize(latents, dim=1)
        values = self.low + self.span * self.radius * unit[:, :-1]
        images = self.mean + values @ self.components
        return images.clamp(0, 1).reshape(-1, *self.image_shape)


@final
class AutoencoderCodec(LatentCodec):
    """Two networks with one hidden layer each, trained by Adam on the squared error of the pixels.

    The encoder ends with softplus and a division by the norm, the decoder with a sigmoid.
    """

    def __init__(self, image_shape: tuple[int, int, int], num_latents: int) -> None:
        super().__init__(image_shape, num_latents)
        sizes = self._sizes()
        for index, (width_in, width_out) in enumerate(sizes):
            self.register_buffer(f"weight_{index}", torch.zeros(width_out, width_in))
            self.register_buffer(f"bias_{index}", torch.zeros(width_out))

    def _sizes(self) -> list[tuple[int, int]]:
        pixels, latents = self.num_pixels, self.num_latents
        return [(pixels, HIDDEN), (HIDDEN, latents), (latents, HIDDEN), (HIDDEN, pixels)]

    def fit_flat(
        self, flat: Tensor, generator: torch.Generator, labels: Tensor | None = None
    ) -> None:
        """See :meth:`LatentCodec.fit_flat`."""
        weights = []
        for width_in, width_out in self._sizes():
            bound = width_in**-0.5
            for size in ((width_out, width_in), (width_out,)):
                values = torch.empty(size).uniform_(-bound, bound, generator=generator)
                weights.append(values.requires_grad_())
        optimizer = Adam(weights, lr=AUTOENCODER_RATE)
        with torch.enable_grad():
            for _ in range(AUTOENCODER_STEPS):
                chosen = torch.randint(len(flat), (AUTOENCODER_BATCH,), generator=generator)
                batch = flat[chosen]
                loss = (_decoded(_encoded(batch, weights), weights) - batch).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        for index in range(4):
            setattr(self, f"weight_{index}", weights[2 * index].detach())
            setattr(self, f"bias_{index}", weights[2 * index + 1].detach())

    def _weights(self) -> list[Tensor]:
        names = [f"{kind}_{index}" for index in range(4) for kind in ("weight", "bias")]
        return [self.get_buffer(name) for name in names]

    def encode(self, images: Tensor) -> Tensor:
        """See :meth:`LatentCodec.encode`."""
        return _encoded(images.flatten(1), self._weights())

    def decode(self, latents: Tensor) -> Tensor:
        """See :meth:`LatentCodec.decode`."""
        unit = nn.functional.normalize(latents, dim=1)
        return _decoded(unit, self._weights()).reshape(-1, *self.image_shape)


def make_codec(kind: CodecKind, image_shape: tuple[int, int, int], num_latents: int) -> LatentCodec:
    """Return the codec of a name, not fitted yet."""
    return (PcaCodec if kind == "pca" else AutoencoderCodec)(image_shape, num_latents)


def _encoded(flat: Tensor, weights: list[Tensor]) -> Tensor:
    hidden = nn.functional.linear(flat, *weights[0:2]).relu()
    return nn.functional.normalize(
        nn.functional.softplus(nn.functional.linear(hidden, *weights[2:4])), dim=1
    )


def _decoded(unit: Tensor, weights: list[Tensor]) -> Tensor:
    hidden = nn.functional.linear(unit, *weights[4:6]).relu()
    return nn.functional.linear(hidden, *weights[6:8]).sigmoid()
