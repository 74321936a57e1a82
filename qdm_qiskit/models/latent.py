"""Cacioppo's latent models: 8 latent values of an image on 3 qubits, with or without its class.

The paper's text was not at hand: 3 qubits, one ancilla, 4 label qubits, 50 layers and 1110 parameters
are what is known, and this layout is the one that fits them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np
import torch
from torch import Tensor

from ..circuits import alternating_layers, basis_angles, conditioned_latent_denoiser
from ..circuits.composition import Part
from ..errors import InvalidData, InvalidOption
from ..layers.state_blocks import StateBlocks
from ..layers.state_layer import StateLayer
from ..options import settle
from .latent_codecs import CodecKind, make_codec
from .presets.cacioppo import CACIOPPO_PAPER, LATENT_NOISE
from .state_denoiser import StateDenoiser, check_common, check_depths

__all__ = [
    "MAX_LABEL_QUBITS",
    "MAX_LATENT_QUBITS",
    "CacioppoLatent",
    "LatentConfig",
]

MAX_LATENT_QUBITS, MAX_LABEL_QUBITS = 6, 6


@dataclass(frozen=True, kw_only=True)
class LatentConfig:
    """Options of the latent models."""

    image_size: int = 8
    """Height and width, a power of two from 2 to 64."""
    channels: int = 1
    """1: grey images."""
    codec: CodecKind = "pca"
    """Rule by which images become latents."""
    latent_qubits: int = 3
    """Qubits of the state; ``2**latent_qubits`` latent values."""
    guided: bool = False
    """Condition on the class, which label qubits hold as a basis state."""
    num_classes: int = 10
    """Number of classes, for guided models."""
    num_steps: int = 15
    """T."""
    steps: Literal["shared", "separate"] = "shared"
    """One set of angles for all steps, or one for each."""
    depths: tuple[int, ...] = (15, 20, 15)
    """Layers of the three blocks."""
    activation: bool = False
    """LeakyReLU after the projection of the ancilla; not in guided models."""
    init_std: float = 0.7
    """Standard deviation of the initial angles."""

    def __post_init__(self) -> None:
        settle(self)
        check_common(
            image_size=self.image_size,
            channels=self.channels,
            num_steps=self.num_steps,
            init_std=self.init_std,
            largest=64,
        )
        check_depths(self.depths, even=False)
        if self.codec not in ("pca", "autoencoder"):
            raise InvalidOption(f"codec is 'pca' or 'autoencoder', got {self.codec!r}.")
        if self.steps not in ("shared", "separate"):
            raise InvalidOption(f"steps is 'shared' or 'separate', got {self.steps!r}.")
        if not 1 <= self.latent_qubits <= MAX_LATENT_QUBITS:
            raise InvalidOption(
                f"latent_qubits must be 1 to {MAX_LATENT_QUBITS}, got {self.latent_qubits}."
            )
        if 2**self.latent_qubits > self.image_size**2:
            raise InvalidOption(
                f"There are no more latent values than pixels: {2**self.latent_qubits} values of "
                f"{self.image_size} x {self.image_size} pixels."
            )
        if not 1 <= self.num_classes <= 2**MAX_LABEL_QUBITS:
            raise InvalidOption(
                f"num_classes must be 1 to {2**MAX_LABEL_QUBITS}, got {self.num_classes}."
            )
        if self.guided and self.activation:
            raise InvalidOption(
                "A guided latent model is one circuit without activation; set activation=false."
            )

    @property
    def label_qubits(self) -> int:
        """Qubits that hold the class as a basis state, at least 1; 4 for ten classes."""
        return max(1, (self.num_classes - 1).bit_length())


@final
class CacioppoLatent(StateDenoiser):
    """A circuit on latents: 510 angles by default, 1110 with the class of ten."""

    name = "cacioppo_latent"
    source = f"{CACIOPPO_PAPER}, latent models; layout inferred from their counts"
    config_class = LatentConfig
    recommended: ClassVar[Mapping[str, Any]] = {
        **LATENT_NOISE,
        "learning_rate": 0.01,
        "batch_size": 32,
    }

    def __init__(self, config: LatentConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.image_shape = (1, config.image_size, config.image_size)
        self.codec = make_codec(config.codec, self.image_shape, 2**config.latent_qubits)
        first, middle, last = config.depths
        num_rows = 1 if config.steps == "shared" else config.num_steps
        n = config.latent_qubits
        self.denoiser: StateLayer | StateBlocks
        if config.guided:
            self.denoiser = StateLayer(
                conditioned_latent_denoiser(
                    n, config.label_qubits, (first, middle, last), project_labels=True
                ),
                num_rows,
                init_std=config.init_std,
                generator=generator,
            )
        else:
            self.denoiser = StateBlocks(
                (
                    alternating_layers(n, first),
                    alternating_layers(n + 1, middle),
                    alternating_layers(n, last),
                ),
                num_rows,
                activation=config.activation,
                init_std=config.init_std,
                source=CACIOPPO_PAPER,
                generator=generator,
            )

    @property
    def state_shape(self) -> tuple[int, ...]:
        """The latents."""
        return (2**self.config.latent_qubits,)

    def fit_data(self, images: Tensor, generator: torch.Generator) -> None:
        """Fit the codec; see :meth:`Denoiser.fit_data`."""
        self.codec.fit(images, generator)

    def encode_data(self, images: Tensor) -> Tensor:
        """Return latents in [0, 1]; see :meth:`Denoiser.encode_data`."""
        self._check_fitted()
        return self.codec.encode(images)

    def decode_data(self, data: Tensor) -> Tensor:
        """Return images of latents; see :meth:`Denoiser.decode_data`."""
        self._check_fitted()
        return self.codec.decode(data)

    def _check_fitted(self) -> None:
        if not bool(self.codec.fitted):
            raise InvalidData(
                f"The {self.config.codec} of '{self.name}' has seen no images yet; call fit_data, or "
                "load a trained run."
            )

    def chain_parts(self, num_steps: int) -> tuple[Part, ...]:
        """See :meth:`.Denoiser.chain_parts`."""
        shared = self.config.steps == "shared"
        rows = [0 if shared else row for row in reversed(range(num_steps))]
        if isinstance(self.denoiser, StateLayer):
            return tuple(self.denoiser.part(row) for row in rows)
        return tuple(part for row in rows for part in self.denoiser.parts(row))

    def chain_inputs(self, labels: Tensor | None, batch: int) -> Tensor | None:
        """Angles of the classes, for guided models; see :meth:`.Denoiser.chain_inputs`."""
        return self.label_angles(labels, batch) if self.config.guided else None

    def denoise(self, x: Tensor, rows: Tensor, labels: Tensor | None) -> Tensor:
        """See :meth:`StateDenoiser.denoise`."""
        if self.config.steps == "shared":
            rows = torch.zeros_like(rows)
        if isinstance(self.denoiser, StateLayer):
            return self.denoiser(x, rows, self.label_angles(labels, len(x)).to(x.real))
        return self.denoiser(x, rows)

    def label_angles(self, labels: Tensor | None, batch: int) -> Tensor:
        """Angles that prepare the class as a basis state, ``(batch, label_qubits)``, 0 or pi.

        Raises:
            InvalidData: If labels are missing, of another length or dtype, or out of range.
        """
        classes = self.config.num_classes
        if labels is None or tuple(labels.shape) != (batch,) or labels.is_floating_point():
            got = None if labels is None else f"{tuple(labels.shape)} of {labels.dtype}"
            raise InvalidData(
                f"'{self.name}' is guided and needs integer labels of shape ({batch},), got {got}."
            )
        if bool(((labels < 0) | (labels >= classes)).any()):
            raise InvalidData(
                f"Labels are class indices 0 .. {classes - 1}, got {labels.unique().tolist()}."
            )
        values: np.ndarray = labels.cpu().numpy()
        return torch.as_tensor(basis_angles(values, self.config.label_qubits), device=labels.device)
