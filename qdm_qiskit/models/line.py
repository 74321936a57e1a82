"""The latent model on a line of qubits: angles linear in latents, time and class, a linear head.

The circuit is small and native to a device's couplings; everything around it is linear, so that the
head can be fitted again to what a device measures (:mod:`qdm_qiskit.mitigation.refit`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final, get_args

import torch
from torch import Tensor, nn

from ..circuits.line import Readouts, line, num_angles
from ..errors import InvalidData, InvalidOption
from ..layers import QuantumLayer
from ..options import settle
from .base import MAX_IMAGE_SIZE, CircuitDenoiser
from .conditioning import Conditioning, check_conditioning
from .latent_codecs import CodecKind
from .on_latents import ComparedLatents, OnLatents
from .presets.line import LINE_SOURCE, LINE_TRAINING
from .told import check_labels, num_told, told
from .whitened_codecs import RADIUS, WhitenedKind, make_whitened

__all__ = [
    "MAX_LATENTS",
    "MAX_LINE",
    "MAX_UPLOADS",
    "Line",
    "LineConfig",
    "check_latents",
]

MAX_LATENTS, MAX_LINE, MAX_UPLOADS = 1_024, 20, 100


@dataclass(frozen=True, kw_only=True)
class LineConfig:
    """Options of the latent model on a line."""

    image_size: int = 8
    """Height and width of the images, 2 to 1024."""
    channels: int = 1
    """1 for grey, 3 for RGB."""
    codec: WhitenedKind = "autoencoder"
    """Rule by which images become whitened latents: pca, autoencoder, or labelled, a wider one that
    learns to keep the classes apart as well."""
    latents: int = 8
    """Latent values, at least 1, fewer than training images."""
    num_qubits: int = 6
    """Qubits of the line, at least 1."""
    uploads: int = 4
    """Layers of RY and RZ, each with all latents, the time and the class in its angles."""
    bricks: int = 3
    """Bricks of CZ between the uploads, 1 to uploads - 1."""
    entangled: bool = True
    """False leaves out all CZ; the parameters stay as they are."""
    readouts: Readouts = "zz"
    """Expectation values that the head reads: z, zz_line, or zz of all pairs."""
    skip: bool = False
    """Add a linear map of latents, time and class to the head's answer, so that the circuit has only
    the rest to answer."""
    guided: bool = False
    """Condition on the class."""
    num_classes: int = 10
    """Number of classes, for guided models."""
    conditioning: Conditioning = "label"
    """Way in which a class is told: label, or by a kernel of classes in order, kernel or rbf."""

    def __post_init__(self) -> None:
        settle(self)
        check_conditioning(self.conditioning, self.guided)
        if self.codec not in get_args(WhitenedKind):
            kinds = ", ".join(get_args(WhitenedKind))
            raise InvalidOption(f"codec is one of {kinds}, got {self.codec!r}.")
        known: CodecKind = "pca" if self.codec == "pca" else "autoencoder"
        check_latents(self.image_size, self.channels, known, self.latents, self.num_classes)
        if not 1 <= self.num_qubits <= MAX_LINE:
            raise InvalidOption(f"num_qubits is 1 to {MAX_LINE}, got {self.num_qubits}.")
        if not 1 <= self.uploads <= MAX_UPLOADS:
            raise InvalidOption(f"uploads is 1 to {MAX_UPLOADS}, got {self.uploads}.")
        if self.bricks < 1 or (self.entangled and self.bricks >= self.uploads):
            raise InvalidOption(
                f"bricks stand between uploads: 1 to uploads - 1, got {self.bricks} with uploads "
                f"{self.uploads}; or set entangled=false."
            )
        if self.readouts not in get_args(Readouts):
            raise InvalidOption(
                f"readouts is one of {', '.join(get_args(Readouts))}, got {self.readouts!r}."
            )

    @property
    def classes_told(self) -> int | None:
        """Classes of a guided model, else None."""
        return self.num_classes if self.guided else None

    def without_entanglers(self) -> LineConfig:
        """The same options without any CZ."""
        return replace(self, entangled=False)


def check_latents(
    image_size: int, channels: int, codec: str, latents: int, num_classes: int
) -> None:
    """Refuse sizes that no model of whitened latents has.

    Raises:
        InvalidOption: With the first that does not fit.
    """
    if not 2 <= image_size <= MAX_IMAGE_SIZE:
        raise InvalidOption(f"image_size is 2 to {MAX_IMAGE_SIZE}, got {image_size}.")
    if channels not in (1, 3):
        raise InvalidOption(f"channels is 1 (grey) or 3 (RGB), got {channels}.")
    if codec not in get_args(CodecKind):
        raise InvalidOption(f"codec is 'pca' or 'autoencoder', got {codec!r}.")
    pixels = channels * image_size**2
    if not 1 <= latents <= min(MAX_LATENTS, pixels):
        raise InvalidOption(
            f"latents is 1 to {min(MAX_LATENTS, pixels)}, at most the pixels, got {latents}."
        )
    if num_classes < 1:
        raise InvalidOption(f"num_classes must be at least 1, got {num_classes}.")


@final
class Line(ComparedLatents, CircuitDenoiser):
    """A line of qubits on whitened latents; 1,100 parameters by default with ten classes.

    Angle k of a state is ``W_k x_t + U_k told(t, class) + w_k``, where w are the circuit's own
    weights; the prediction, a velocity, is the head's linear function of all expectation values, and
    with ``skip`` one of ``x_t`` and ``told(t, class)`` besides.

    Args:
        config: The options.
        generator: Source of the initial weights.
    """

    name = "line"
    source = LINE_SOURCE
    config_class = LineConfig
    config: LineConfig
    state_space = "real"
    recommended: ClassVar[Mapping[str, Any]] = LINE_TRAINING

    def __init__(self, config: LineConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.image_shape = (config.channels, config.image_size, config.image_size)
        self.codec = make_whitened(config.codec, self.image_shape, config.latents, RADIUS)
        spec = line(
            config.num_qubits,
            config.uploads,
            bricks=config.bricks,
            entangled=config.entangled,
            readouts=config.readouts,
        )
        angles = num_angles(config.num_qubits, config.uploads)
        self.layer = QuantumLayer(spec, init_std=1.0, generator=generator)
        self.upload = nn.Linear(config.latents, angles, bias=False)
        self.told = nn.Linear(num_told(config.classes_told), angles, bias=False)
        self.head = nn.Linear(spec.readout.num_outputs, config.latents)
        self.skip: nn.Linear | None = None
        nn.init.normal_(
            self.upload.weight, std=0.8 / math.sqrt(config.latents), generator=generator
        )
        nn.init.normal_(self.told.weight, std=0.3, generator=generator)
        nn.init.normal_(self.head.weight, std=0.1, generator=generator)
        nn.init.zeros_(self.head.bias)
        if config.skip:  # last, so that the draws of the other weights stay as they are
            width = config.latents + num_told(config.classes_told)
            self.skip = nn.Linear(width, config.latents, bias=False)
            nn.init.zeros_(self.skip.weight)

    def counterparts(self, generator: torch.Generator | None = None) -> dict[str, OnLatents]:
        """Return the model without CZ; see :meth:`.ComparedLatents.counterparts`."""
        if not self.config.entangled:
            return {}
        return {"no_entanglers": Line(self.config.without_entanglers(), generator=generator)}

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """See :meth:`.Denoiser.forward`."""
        return super().forward(x, t, labels) + self.without_circuit(x, t, labels)

    def without_circuit(self, x: Tensor, t: Tensor, labels: Tensor | None) -> Tensor | float:
        """Return the part of the prediction that needs no circuit, ``(batch, latents)``.

        Args:
            x, t, labels: As of :meth:`forward`.

        Returns:
            0 without ``skip``.
        """
        if self.skip is None:
            return 0.0
        rows = told(t.to(x), labels, self.config.classes_told, self.config.conditioning)
        return self.skip(torch.cat([x, rows], dim=1))

    def encode(self, x: Tensor, labels: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Refuse: the circuit is told the time; see :meth:`encode_at`.

        Raises:
            InvalidData: Always.
        """
        raise InvalidData(f"'{self.name}' is told the time; call encode_at(x, t, labels).")

    def encode_at(
        self, x: Tensor, t: Tensor | None, labels: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Angles that the circuit's own weights are added to, ``(batch, angles)``, in radians.

        Args:
            x: ``(batch, latents)``.
            t: ``(batch,)`` in (0, 1].
            labels: ``(batch,)`` class indices of guided models, else None.

        Raises:
            InvalidData: If a shape does not fit, or time or labels are missing or not wanted.
        """
        self.check_states(x)
        if t is None or tuple(t.shape) != (len(x),):
            got = None if t is None else tuple(t.shape)
            raise InvalidData(
                f"'{self.name}' is told the time and needs t of shape ({len(x)},), got {got}."
            )
        check_labels(labels, self.config.classes_told, len(x), self.name)
        rows = told(t.to(x), labels, self.config.classes_told, self.config.conditioning)
        return None, self.upload(x) + self.told(rows)

    def decode(self, outputs: Tensor) -> Tensor:
        """Return the head's velocity of expectation values, ``(batch, latents)``."""
        return self.head(outputs.to(self.head.weight))
