"""The part that all models of latents share: a codec between images and what is diffused."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ..errors import InvalidData
from .base import Denoiser
from .conditioning import Conditioning
from .latent_codecs import LatentCodec

__all__ = [
    "ComparedLatents",
    "LatentOptions",
    "OnLatents",
]


class LatentOptions(Protocol):
    """What options of all models of velocities of latents tell."""

    @property
    def image_size(self) -> int:
        """Height and width of the images."""

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB."""

    @property
    def latents(self) -> int:
        """Latent values."""

    @property
    def classes_told(self) -> int | None:
        """Classes of a guided model, else None."""

    @property
    def conditioning(self) -> Conditioning:
        """Way in which a class is told."""


class OnLatents(Denoiser):
    """A denoiser of latents, whose codec learns from the training images when a run begins.

    A model derives from it and sets :attr:`codec`; its own arithmetic then sees x_t of
    ``(batch, *state_shape)`` and nothing of the images.
    """

    codec: LatentCodec

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Shape of one x_t: a vector of the latents."""
        return (self.codec.num_latents,)

    def fit_data(self, images: Tensor, generator: torch.Generator) -> None:
        """Fit the codec; see :meth:`.Denoiser.fit_data`."""
        self.codec.fit(images, generator)

    def fit_labelled(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> None:
        """Fit the codec, which may be told the classes; see :meth:`.Denoiser.fit_labelled`."""
        self.codec.fit(images, generator, labels)

    def encode_data(self, images: Tensor) -> Tensor:
        """Return latents in [0, 1]; see :meth:`.Denoiser.encode_data`."""
        self._check_fitted()
        return self.codec.encode(images).reshape(-1, *self.state_shape)

    def decode_data(self, data: Tensor) -> Tensor:
        """Return images of latents; see :meth:`.Denoiser.decode_data`."""
        self._check_fitted()
        return self.codec.decode(data.flatten(1))

    def check_states(self, x: Tensor) -> None:
        """Refuse states of another shape, and values that are not finite.

        Raises:
            InvalidData: With both shapes, or the number of the state.
        """
        if tuple(x.shape[1:]) != self.state_shape:
            wanted = ", ".join(map(str, self.state_shape))
            raise InvalidData(
                f"'{self.name}' takes latents of shape (batch, {wanted}), got {tuple(x.shape)}."
            )
        bad = ~torch.isfinite(x).flatten(1).all(dim=1)
        if bool(bad.any()):
            raise InvalidData(f"State {int(bad.nonzero()[0])} of {len(x)} holds NaN or infinity.")

    def _check_fitted(self) -> None:
        if not bool(self.codec.fitted):
            raise InvalidData(
                f"The {self.config.codec} of '{self.name}' has seen no images yet; call fit_data, or "
                "load a trained run."
            )


class ComparedLatents(OnLatents):
    """A denoiser that predicts velocities of latents, beside which simpler ones are fitted.

    See :mod:`qdm_qiskit.models.beside`, which adds to :meth:`counterparts` what stands beside any.
    """

    config: LatentOptions

    def counterparts(self, generator: torch.Generator | None = None) -> dict[str, OnLatents]:
        """Return models of the same options with less of circuits in them, by name, with fresh weights.

        Args:
            generator: Source of the initial weights.
        """
        return {}
