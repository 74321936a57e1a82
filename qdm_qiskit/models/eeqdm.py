"""EEQDM (Shah and Vatsa, arXiv:2411.15973) and the Q-Dense QDDM of Kölle et al. (arXiv:2401.07049).

Both normalise the flattened image, encode it as amplitudes, run a circuit, take the joint
probability of each pixel index and ancilla = 0, multiply by the number of amplitudes and clamp to
[0, 1]. They differ in the circuit only, and neither sees the time step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, final

import torch
from torch import Tensor

from ..circuits import CircuitSpec, eeqdm, qddm
from ..circuits.loaders import EXACT
from ..errors import InvalidData, InvalidOption
from ..layers import QuantumLayer
from ..layers.quantum_layer import WeightMap
from ..options import settle
from .base import MAX_IMAGE_SIZE, CircuitDenoiser, check_train_loader, label_angles
from .pixel_orders import PixelOrder, blocks_order, correlated_order
from .presets.eeqdm import EEQDM_PAPER, KOELLE_PAPER

__all__ = [
    "EEQDM",
    "MAX_DEPTH",
    "QDDM",
    "AmplitudeDenoiser",
    "AmplitudeDenoiserConfig",
]

MAX_DEPTH = 1_000
"""Most layers of a circuit; the deepest of the papers have 555."""


@dataclass(frozen=True, kw_only=True)
class AmplitudeDenoiserConfig:
    """Options of EEQDM and QDDM."""

    image_size: int = 8
    """Height and width of the images, a power of two, at least 2."""
    channels: int = 1
    """1 for grey, 3 for RGB; three channels are padded with zeros to a power of two."""
    depth: int = 10
    """Strongly entangling layers, at least 1."""
    guided: bool = False
    """Condition on the class by a rotation of the ancilla."""
    num_classes: int = 10
    """Number of classes, for guided models."""
    weight_map: WeightMap = "pi_tanh"
    """Weights to angles; Kölle's code takes pi * tanh(w), the EEQDM paper is silent."""
    init_std: float = 0.4
    """Standard deviation of the initial weights, as in Kölle's code."""
    loader: str = EXACT
    """Loader of images where the circuit runs: exact, bricks:L, staircase:L; see `qdm parts loader`."""
    train_loader: bool = False
    """Train on the states that the loader makes, in place of the images' own."""
    pixel_order: PixelOrder = "rows"
    """Pixels among amplitudes, and so which of them EEQDM's Bell pairs hold: row by row as in the
    paper, neighbours in blocks, those that are correlated in the training images, or by chance."""

    def __post_init__(self) -> None:
        settle(self)
        check_train_loader(self.loader, self.train_loader)
        size = self.image_size
        if not 2 <= size <= MAX_IMAGE_SIZE or size & (size - 1):
            raise InvalidOption(
                f"image_size must be a power of two from 2 to {MAX_IMAGE_SIZE} (2, 4, 8, 16, 32 ...), "
                f"got {size}: size x size pixels are the amplitudes of a whole number of qubits."
            )
        if self.channels not in (1, 3):
            raise InvalidOption(f"channels is 1 (grey) or 3 (RGB), got {self.channels}.")
        # More would be refused by the template as well, which numbers its weights by four digits.
        if not 1 <= self.depth <= MAX_DEPTH:
            raise InvalidOption(
                f"depth must be at least 1 and at most {MAX_DEPTH}, got {self.depth}."
            )
        if self.num_classes < 1:
            raise InvalidOption(f"num_classes must be at least 1, got {self.num_classes}.")
        if self.pixel_order != "rows" and self.channels != 1:
            raise InvalidOption(
                f"pixel_order {self.pixel_order!r} orders the pixels of grey images, got "
                f"{self.channels} channels; set channels=1, or leave pixel_order out."
            )
        if not (math.isfinite(self.init_std) and self.init_std >= 0):
            raise InvalidOption(f"init_std must be a finite number >= 0, got {self.init_std}.")

    @property
    def num_data_qubits(self) -> int:
        """Qubits that hold all pixels of all channels."""
        return math.ceil(math.log2(self.channels * self.image_size**2))


class AmplitudeDenoiser(CircuitDenoiser):
    """The arithmetic that EEQDM and QDDM share; the template makes the difference."""

    template: ClassVar[Callable[..., CircuitSpec]]
    config_class = AmplitudeDenoiserConfig
    order: Tensor | None
    """``(pixels,)``: the pixel of each amplitude, as a real number, which all weights on disk are; None
    for row by row."""

    def __init__(
        self, config: AmplitudeDenoiserConfig, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.image_shape = (config.channels, config.image_size, config.image_size)
        spec = type(self).template(config.num_data_qubits, config.depth, guided=config.guided)
        self.layer = QuantumLayer(
            replace(spec, loader=config.loader),
            weight_map=config.weight_map,
            init_std=config.init_std,
            generator=generator,
        )
        found = config.pixel_order in ("correlated", "random")  # by fit_data; kept with the weights
        self.register_buffer("order", _first_order(config), persistent=found)

    def fit_data(self, images: Tensor, generator: torch.Generator) -> None:
        """Choose the order of the pixels, where it depends on the images or on chance."""
        if self.config.pixel_order == "correlated":
            found = torch.from_numpy(correlated_order(images.flatten(1).double().cpu().numpy()))
        elif self.config.pixel_order == "random":
            found = torch.randperm(self.config.image_size**2, generator=generator)
        else:
            return
        assert self.order is not None
        self.order.copy_(found)

    @property
    def learns_from_data(self) -> bool:
        """Whether pixels are paired by what goes together in the training images."""
        return self.config.pixel_order == "correlated"

    def encode(self, x: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return flattened images, padded with zeros to ``2**n``, and the label's angle."""
        self.check_images(x)
        flat = x.flatten(1)
        if self.order is not None:
            flat = flat[:, self.order.long()]
        missing = self.spec.num_amplitudes - flat.shape[1]
        amplitudes = torch.nn.functional.pad(flat, (0, missing)) if missing else flat
        if not self.config.guided:
            if labels is not None:
                raise InvalidData(f"'{self.name}' is not guided and takes no labels.")
            return amplitudes, None
        return amplitudes, label_angles(labels, self.config.num_classes, len(x), self.name).to(x)

    def decode(self, outputs: Tensor) -> Tensor:
        """Return probabilities times their number, clamped to [0, 1], in the pixels' places."""
        pixels = (outputs * self.spec.num_amplitudes).clamp(0, 1)
        pixels = pixels[:, : math.prod(self.image_shape)]
        if self.order is not None:
            pixels = pixels[:, self.order.argsort()]
        return pixels.reshape(-1, *self.image_shape)


def _first_order(config: AmplitudeDenoiserConfig) -> Tensor | None:
    if config.pixel_order == "rows":
        return None
    if config.pixel_order == "blocks":
        return torch.from_numpy(blocks_order(config.image_size)).float()
    return torch.arange(config.image_size**2).float()  # up to 2**20, exact


@final
class EEQDM(AmplitudeDenoiser):
    """Entanglement-enhanced denoiser: ``3 (ceil(n/2) + 1) depth`` weights."""

    name = "eeqdm"
    source = EEQDM_PAPER
    template = staticmethod(eeqdm)


@final
class QDDM(AmplitudeDenoiser):
    """Q-Dense denoiser with ancilla: ``3 (n + 1) depth`` weights."""

    name = "qddm"
    source = KOELLE_PAPER
    template = staticmethod(qddm)
