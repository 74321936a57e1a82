"""Images as a few whitened latents and back: mean 0, unit covariance, cut off at a radius.

Angles take them, and any diffusion with Gaussian noise. The codecs of amplitudes, with norm 1, are
in :mod:`qdm_qiskit.models.latent_codecs`.
"""

from __future__ import annotations

from typing import Literal, final

import torch
from torch import Tensor, nn

from ..errors import InvalidData, InvalidOption
from .latent_codecs import LatentCodec
from .plain_optimizers import Adam

__all__ = [
    "BATCH",
    "HIDDEN",
    "JITTER",
    "LABELLED_HIDDEN",
    "LABELLED_JITTER",
    "LABELLED_STEPS",
    "RADIUS",
    "RATE",
    "STEPS",
    "WhitenedAutoencoder",
    "WhitenedCells",
    "WhitenedCodec",
    "WhitenedKind",
    "WhitenedLabelled",
    "WhitenedPca",
    "make_whitened",
]

WhitenedKind = Literal["pca", "autoencoder", "labelled"]
"""Principal components, a small network, or a wider one that learns to keep the classes apart too."""
RADIUS = 3.5
"""Largest latent, in standard deviations; further ones are cut off. In [0, 1] it is 0 and 1."""
HIDDEN, STEPS, BATCH, RATE = 48, 3_000, 128, 3e-3
"""Hidden units of each of the autoencoder's networks, and its training by Adam."""
JITTER = 0.25
"""Noise on the latents in the autoencoder's training, so that near latents give near images."""
LABELLED_HIDDEN, LABELLED_STEPS, LABELLED_JITTER = 256, 6_000, 0.5
"""Hidden units, steps and noise of the autoencoder that is told the classes."""
_CLASSES = 0.01
"""Weight of its cross-entropy of classes, in nats, beside the squared error of a pixel."""
_WHITEN = 0.005
"""Weight of the distance from zero mean and unit covariance, beside the squared error of a pixel."""


class WhitenedCodec(LatentCodec):
    """A codec whose latents have mean 0 and unit covariance over the training images.

    ``encode`` maps them from [-radius, radius] to [0, 1], ``decode`` back.

    Args:
        image_shape: (channels, height, width).
        num_latents: Latent values.
        radius: Largest latent.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], num_latents: int, radius: float = RADIUS
    ) -> None:
        super().__init__(image_shape, num_latents)
        self.radius = radius

    def encode(self, images: Tensor) -> Tensor:
        """Latents in [0, 1], ``(batch, num_latents)``."""
        return ((self.whitened(images.flatten(1)) / self.radius + 1) / 2).clamp(0, 1)

    def decode(self, latents: Tensor) -> Tensor:
        """Images ``(batch, channels, height, width)`` in [0, 1], from latents in [0, 1]."""
        pixels = self.pixels(self.radius * (2 * latents.flatten(1) - 1))
        return pixels.clamp(0, 1).reshape(-1, *self.image_shape)

    def whitened(self, flat: Tensor) -> Tensor:
        """Latents ``(batch, num_latents)`` of pixels ``(batch, pixels)``."""
        raise NotImplementedError

    def pixels(self, latents: Tensor) -> Tensor:
        """Pixels ``(batch, pixels)`` of latents ``(batch, num_latents)``."""
        raise NotImplementedError


@final
class WhitenedPca(WhitenedCodec):
    """Principal components, each divided by its standard deviation."""

    mean: Tensor
    components: Tensor
    scale: Tensor

    def __init__(
        self, image_shape: tuple[int, int, int], num_latents: int, radius: float = RADIUS
    ) -> None:
        super().__init__(image_shape, num_latents, radius)
        self.register_buffer("mean", torch.zeros(self.num_pixels))
        self.register_buffer("components", torch.zeros(num_latents, self.num_pixels))
        self.register_buffer("scale", torch.ones(num_latents))

    def fit_flat(
        self, flat: Tensor, generator: torch.Generator, labels: Tensor | None = None
    ) -> None:
        """See :meth:`LatentCodec.fit_flat`; nothing is random in it."""
        from sklearn.decomposition import PCA  # most of a second, so only when asked

        pca = PCA(self.num_latents, svd_solver="full").fit(flat.cpu().double().numpy())
        self.mean = torch.as_tensor(pca.mean_).to(self.mean)
        self.components = torch.as_tensor(pca.components_).to(self.components)
        deviation = torch.as_tensor(pca.explained_variance_).sqrt()
        self.scale = deviation.clamp(min=1e-6).to(self.scale)

    def whitened(self, flat: Tensor) -> Tensor:
        """See :meth:`WhitenedCodec.whitened`."""
        return (flat - self.mean) @ self.components.t() / self.scale

    def pixels(self, latents: Tensor) -> Tensor:
        """See :meth:`WhitenedCodec.pixels`."""
        return self.mean + (latents * self.scale) @ self.components


@final
class WhitenedCells(WhitenedCodec):
    """Each pixel less its mean, divided by its deviation: scaled in its place, and not mixed.

    Unlike the others' its latents are correlated. A pixel that never changes is 0, and comes back.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self, image_shape: tuple[int, int, int], num_latents: int, radius: float = RADIUS
    ) -> None:
        super().__init__(image_shape, num_latents, radius)
        if num_latents != self.num_pixels:
            raise InvalidOption(
                f"Cells are as many as pixels, {self.num_pixels}, got {num_latents} latents."
            )
        self.register_buffer("mean", torch.zeros(num_latents))
        self.register_buffer("scale", torch.ones(num_latents))

    def fit_flat(
        self, flat: Tensor, generator: torch.Generator, labels: Tensor | None = None
    ) -> None:
        """See :meth:`LatentCodec.fit_flat`; nothing is random in it."""
        self.mean = flat.double().mean(dim=0).to(self.mean)
        self.scale = flat.double().std(dim=0).clamp(min=1e-6).to(self.scale)

    def whitened(self, flat: Tensor) -> Tensor:
        """See :meth:`WhitenedCodec.whitened`."""
        return (flat - self.mean) / self.scale

    def pixels(self, latents: Tensor) -> Tensor:
        """See :meth:`WhitenedCodec.pixels`."""
        return self.mean + latents * self.scale


class WhitenedAutoencoder(WhitenedCodec):
    """Two networks with one hidden layer of SiLU each; the decoder ends with a sigmoid.

    Adam lowers the squared error of pixels decoded from latents with noise, and a penalty that keeps
    the latents near zero mean and unit covariance; what is left of both is taken off exactly by the
    whitening of the training images' latents.
    """

    mean: Tensor
    whiten: Tensor
    colour: Tensor

    def __init__(
        self, image_shape: tuple[int, int, int], num_latents: int, radius: float = RADIUS
    ) -> None:
        super().__init__(image_shape, num_latents, radius)
        for index, (width_in, width_out) in enumerate(self._sizes()):
            self.register_buffer(f"weight_{index}", torch.zeros(width_out, width_in))
            self.register_buffer(f"bias_{index}", torch.zeros(width_out))
        self.register_buffer("mean", torch.zeros(num_latents))
        self.register_buffer("whiten", torch.eye(num_latents))
        self.register_buffer("colour", torch.eye(num_latents))

    def _training(self) -> tuple[int, int, float]:
        """Return hidden units of each network, steps, and the noise on the latents."""
        return HIDDEN, STEPS, JITTER

    def _sizes(self) -> list[tuple[int, int]]:
        pixels, latents, hidden = self.num_pixels, self.num_latents, self._training()[0]
        return [(pixels, hidden), (hidden, latents), (latents, hidden), (hidden, pixels)]

    def fit_flat(
        self, flat: Tensor, generator: torch.Generator, labels: Tensor | None = None
    ) -> None:
        """See :meth:`LatentCodec.fit_flat`; labels are left aside."""
        self._fit(flat, generator, None)

    def _fit(self, flat: Tensor, generator: torch.Generator, labels: Tensor | None) -> None:
        _, steps, jitter = self._training()
        classes = [] if labels is None else [(self.num_latents, int(labels.max()) + 1)]
        weights = []
        for width_in, width_out in [*self._sizes(), *classes]:
            bound = width_in**-0.5
            for size in ((width_out, width_in), (width_out,)):
                values = torch.empty(size).uniform_(-bound, bound, generator=generator)
                weights.append(values.requires_grad_())
        optimizer = Adam(weights, lr=RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        unit = torch.eye(self.num_latents)
        with torch.enable_grad():
            for _ in range(steps):
                chosen = torch.randint(len(flat), (BATCH,), generator=generator)
                batch = flat[chosen]
                z = _layers(batch, weights[:4])
                noisy = z + jitter * torch.randn(z.shape, generator=generator)
                error = (_layers(noisy, weights[4:8]).sigmoid() - batch).square().mean()
                skew = z.mean(dim=0).square().mean() + (z.t() @ z / len(z) - unit).square().mean()
                loss = error + _WHITEN * skew
                if labels is not None:
                    named = nn.functional.linear(noisy, *weights[8:])
                    loss = loss + _CLASSES * nn.functional.cross_entropy(named, labels[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        for index in range(4):
            setattr(self, f"weight_{index}", weights[2 * index].detach())
            setattr(self, f"bias_{index}", weights[2 * index + 1].detach())
        self._whiten(_layers(flat, self._weights()[:4]).double())

    def _whiten(self, latents: Tensor) -> None:
        self.mean = latents.mean(dim=0).to(self.mean)
        values, vectors = torch.linalg.eigh(torch.cov(latents.t()).reshape(self.num_latents, -1))
        deviation = values.clamp(min=1e-12).sqrt()
        self.whiten = (vectors / deviation).to(self.whiten)
        self.colour = (vectors * deviation).t().to(self.colour)

    def _weights(self) -> list[Tensor]:
        names = [f"{kind}_{index}" for index in range(4) for kind in ("weight", "bias")]
        return [self.get_buffer(name) for name in names]

    def whitened(self, flat: Tensor) -> Tensor:
        """See :meth:`WhitenedCodec.whitened`."""
        return (_layers(flat, self._weights()[:4]) - self.mean) @ self.whiten

    def pixels(self, latents: Tensor) -> Tensor:
        """See :meth:`WhitenedCodec.pixels`."""
        return _layers(latents @ self.colour + self.mean, self._weights()[4:]).sigmoid()


@final
class WhitenedLabelled(WhitenedAutoencoder):
    """A wider autoencoder, trained longer, whose latents also tell a linear classifier the class.

    The classifier reads the latents with noise; it is trained with the networks and then left aside.
    Encoding and decoding are told no class.
    """

    def _training(self) -> tuple[int, int, float]:
        return LABELLED_HIDDEN, LABELLED_STEPS, LABELLED_JITTER

    def fit_flat(
        self, flat: Tensor, generator: torch.Generator, labels: Tensor | None = None
    ) -> None:
        """See :meth:`LatentCodec.fit_flat`.

        Raises:
            InvalidData: Without a label for each image, or with fewer than two classes.
        """
        if labels is None or tuple(labels.shape) != (len(flat),):
            raise InvalidData(
                "codec=labelled is fitted with the class of each image; call fit_labelled with "
                f"labels of shape ({len(flat)},), or choose another codec."
            )
        if len(labels.unique()) < 2:
            raise InvalidData(
                "codec=labelled tells classes apart and needs at least two, got one; choose "
                "codec=autoencoder."
            )
        self._fit(flat, generator, labels.long())


_CODECS: dict[WhitenedKind, type[WhitenedCodec]] = {
    "pca": WhitenedPca,
    "autoencoder": WhitenedAutoencoder,
    "labelled": WhitenedLabelled,
}


def make_whitened(
    kind: WhitenedKind, image_shape: tuple[int, int, int], num_latents: int, radius: float = RADIUS
) -> WhitenedCodec:
    """Return the codec of a name, not fitted yet."""
    return _CODECS[kind](image_shape, num_latents, radius)


def _layers(values: Tensor, weights: list[Tensor]) -> Tensor:
    hidden = nn.functional.silu(nn.functional.linear(values, *weights[0:2]))
    return nn.functional.linear(hidden, *weights[2:4])
