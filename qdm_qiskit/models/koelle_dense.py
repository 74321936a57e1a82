"""Q-Dense of Kölle et al. (arXiv:2401.07049) in all its variants, and the unitary single-sample model.

Both are one strongly entangling circuit on the amplitudes of the image. Q-Dense measures and predicts
an image; the unitary model predicts the amplitudes themselves, so that its T sampling steps
are one circuit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, final, get_args

import torch
from torch import Tensor

from ..circuits import CircuitSpec
from ..circuits.composition import Part
from ..circuits.koelle import Entanglers, q_dense, repeated
from ..circuits.loaders import EXACT
from ..errors import InvalidData, InvalidOption
from ..layers import QuantumLayer
from ..layers.arrays import to_exact_array
from ..layers.quantum_layer import WeightMap
from ..options import settle
from .base import MAX_IMAGE_SIZE, CircuitDenoiser, Denoiser, check_train_loader, label_angles
from .eeqdm import MAX_DEPTH
from .presets.eeqdm import KOELLE_PAPER

__all__ = [
    "LabelAngle",
    "QDense",
    "QDenseConfig",
    "UnitaryQDense",
]

LabelAngle = Literal["turn", "fraction"]
"""``turn``: 2 pi class / classes, the paper's text. ``fraction``: class / (classes - 1) radians, from 0
to 1, what the published code passes to RX."""


@dataclass(frozen=True, kw_only=True)
class QDenseConfig:
    """Options of Q-Dense and of the unitary model."""

    image_size: int = 8
    """Height and width of the images, 2 to 1024; pixels are padded with zeros to a power of two."""
    channels: int = 1
    """1 for grey, 3 for RGB."""
    depth: int = 10
    """Strongly entangling layers, at least 1."""
    ancilla: bool = False
    """Add a qubit, of which the outcome 0 is read, not renormalised."""
    guided: bool = False
    """Condition on the class by a rotation of the ancilla, which this needs."""
    num_classes: int = 10
    """Number of classes, for guided models."""
    reuploads: int = 1
    """Groups of layers; the label is applied before each. More than 1 only for guided models."""
    label_angle: LabelAngle = "turn"
    """Rule by which a class becomes an angle: `turn` takes 2 pi class / classes as the paper's text,
    `fraction` class / (classes - 1) radians as its code."""
    entanglers: Entanglers = "ring"
    """Layout of the CNOTs: the paper's ``ring``, or ``line``, between neighbours on a device's line."""
    weight_map: WeightMap = "pi_tanh"
    """Weights to angles; Kölle's code takes pi * tanh(w)."""
    init_std: float = 0.4
    """Standard deviation of the initial weights, as in Kölle's code."""
    loader: str = EXACT
    """Loader where Q-Dense's circuit runs: exact, bricks:L, staircase:L; see `qdm parts loader`."""
    train_loader: bool = False
    """Train on the states that the loader makes, in place of the images' own."""

    def __post_init__(self) -> None:
        settle(self)
        check_train_loader(self.loader, self.train_loader)
        if not 2 <= self.image_size <= MAX_IMAGE_SIZE:
            raise InvalidOption(f"image_size is 2 to {MAX_IMAGE_SIZE}, got {self.image_size}.")
        if self.channels not in (1, 3):
            raise InvalidOption(f"channels is 1 (grey) or 3 (RGB), got {self.channels}.")
        if not 1 <= self.depth <= MAX_DEPTH:
            raise InvalidOption(
                f"depth must be at least 1 and at most {MAX_DEPTH}, got {self.depth}."
            )
        if self.guided and not self.ancilla:
            raise InvalidOption(
                "A guided model rotates its ancilla: guided=true needs ancilla=true."
            )
        if not 1 <= self.reuploads <= (self.depth if self.guided else 1):
            raise InvalidOption(
                "reuploads is 1, or up to depth for guided models, got "
                f"{self.reuploads} with depth {self.depth}, guided {self.guided}."
            )
        if self.num_classes < 1:
            raise InvalidOption(f"num_classes must be at least 1, got {self.num_classes}.")
        if self.entanglers not in get_args(Entanglers):
            raise InvalidOption(f"entanglers is 'ring' or 'line', got {self.entanglers!r}.")
        if self.label_angle not in ("turn", "fraction"):
            raise InvalidOption(f"label_angle is 'turn' or 'fraction', got {self.label_angle!r}.")
        if not (math.isfinite(self.init_std) and self.init_std >= 0):
            raise InvalidOption(f"init_std must be a finite number >= 0, got {self.init_std}.")

    @property
    def num_data_qubits(self) -> int:
        """Qubits that hold all pixels of all channels."""
        return math.ceil(math.log2(self.channels * self.image_size**2))

    def layer(self, *, complex_amplitudes: bool, generator: torch.Generator | None) -> QuantumLayer:
        """Return the circuit with fresh weights."""
        spec = q_dense(
            self.num_data_qubits,
            self.depth,
            ancilla=self.ancilla,
            guided=self.guided,
            reuploads=self.reuploads,
            complex_amplitudes=complex_amplitudes,
            entanglers=self.entanglers,
        )
        return QuantumLayer(
            replace(spec, loader=self.loader),
            weight_map=self.weight_map,
            init_std=self.init_std,
            generator=generator,
        )

    def label_inputs(self, labels: Tensor | None, x: Tensor, name: str) -> Tensor | None:
        """Angles of the label, ``(batch, 1)``, or None for unguided models.

        Raises:
            InvalidData: If labels are missing, not wanted, or out of range.
        """
        if not self.guided:
            if labels is not None:
                raise InvalidData(f"'{name}' is not guided and takes no labels.")
            return None
        angles = label_angles(labels, self.num_classes, len(x), name).to(x.real)
        if self.label_angle == "turn":
            return angles
        return angles * self.num_classes / (2 * math.pi * max(1, self.num_classes - 1))


def _padded(x: Tensor, length: int) -> Tensor:
    """Flattened images with zeros up to a length."""
    flat = x.flatten(1)
    return torch.nn.functional.pad(flat, (0, length - flat.shape[1]))


@final
class QDense(CircuitDenoiser):
    """Q-Dense: probabilities of the pixels times their number, clamped to [0, 1]."""

    name = "q_dense"
    source = KOELLE_PAPER
    config_class = QDenseConfig

    def __init__(self, config: QDenseConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.image_shape = (config.channels, config.image_size, config.image_size)
        self.layer = config.layer(complex_amplitudes=False, generator=generator)

    def encode(self, x: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return flattened images, padded with zeros to ``2**n``, and the label's angle."""
        self.check_images(x)
        amplitudes = _padded(x, self.spec.num_amplitudes)
        return amplitudes, self.config.label_inputs(labels, x, self.name)

    def decode(self, outputs: Tensor) -> Tensor:
        """Return probabilities times their number, clamped to [0, 1]; a padded tail is cut off."""
        pixels = (outputs * self.spec.num_amplitudes).clamp(0, 1)
        return pixels[:, : math.prod(self.image_shape)].reshape(-1, *self.image_shape)


@final
class UnitaryQDense(Denoiser):
    """The unitary single-sample model: amplitudes in, amplitudes out, times the input's norm.

    Without an ancilla one step is a unitary U, and T steps are U^T: :meth:`chain_matrix` is that one
    matrix, :meth:`chain_circuit` that one circuit. With an ancilla a step is the block <0|U|0>, which
    is linear but not unitary; on a device each step then needs a fresh ancilla.
    """

    name = "q_dense_unitary"
    source = f"{KOELLE_PAPER}, unitary single sampling"
    config_class = QDenseConfig
    state_space = "complex_image"
    recommended = {"process": "interpolated_states"}  # noqa: RUF012 (never changed)

    def __init__(self, config: QDenseConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.image_shape = (config.channels, config.image_size, config.image_size)
        pixels = math.prod(self.image_shape)
        if pixels != 2**config.num_data_qubits:
            raise InvalidOption(
                f"'{self.name}' predicts as many pixels as amplitudes, a power of two, got "
                f"{pixels}; choose image_size 2, 4, 8, 16 ... and one channel."
            )
        if config.train_loader:
            raise InvalidOption(
                f"'{self.name}' hands states from step to step, and loads the first one only; leave "
                "train_loader out."
            )
        self.layer = config.layer(complex_amplitudes=True, generator=generator)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """See :meth:`Denoiser.forward`; ``x`` is complex, of any norm but 0. The time is not used."""
        self.check_images(x)
        flat = x.flatten(1)
        norm = torch.linalg.vector_norm(flat, dim=1, keepdim=True)
        inputs = self.config.label_inputs(labels, x, self.name)
        return (norm * self.layer.statevector(flat, inputs)).reshape(x.shape)

    def chain_parts(self, num_steps: int) -> tuple[Part, ...]:
        """See :meth:`.Denoiser.chain_parts`: :meth:`chain_circuit`, or an ancilla for each step."""
        spec, angles = self.layer.spec, to_exact_array(self.layer.angles())
        if spec.ancilla_qubits:
            return (Part(spec, angles),) * num_steps
        return (Part(self.chain_circuit(num_steps), angles),)

    def chain_inputs(self, labels: Tensor | None, batch: int) -> Tensor | None:
        """Angles of the classes, for guided models; see :meth:`.Denoiser.chain_inputs`."""
        return self.config.label_inputs(labels, torch.zeros(batch, dtype=torch.float64), self.name)

    @torch.no_grad()
    def chain_matrix(self, num_steps: int, label: int | None = None) -> Tensor:
        """Return all steps of the reverse chain as one matrix.

        Args:
            num_steps: T, at least 1.
            label: Class index, for guided models.

        Returns:
            ``(2**n, 2**n)`` complex: flattened x_T to flattened x_0. Unitary without an ancilla.

        Raises:
            InvalidOption: If ``num_steps`` is below 1.
            InvalidData: If the label is missing, not wanted, or out of range.
        """
        if num_steps < 1:
            raise InvalidOption(f"A chain has at least 1 step, got {num_steps}.")
        size = self.layer.spec.num_amplitudes
        basis = torch.eye(size, dtype=torch.complex64, device=self.layer.weights.device)
        labels = None if label is None else torch.full((size,), label, device=basis.device)
        images = basis.reshape(size, *self.image_shape)
        step = self(images, torch.ones(size), labels).flatten(1).T
        return torch.linalg.matrix_power(step, num_steps)

    def chain_circuit(self, num_steps: int) -> CircuitSpec:
        """Return all steps of the reverse chain as one circuit with this model's weights.

        Args:
            num_steps: T, at least 1.

        Returns:
            A spec that loads one image and reads all pixels once.

        Raises:
            InvalidTemplate: If the model has an ancilla, or ``num_steps`` is below 1.
        """
        return repeated(self.layer.spec, num_steps)
