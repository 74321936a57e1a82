"""A QuDDPM of mixed states in a latent space: latents of images as mixed states of a few qubits.

Ours, after the idea of a latent mixed-state QuDDPM (arXiv:2607.07072); the paper was not at hand, so
nothing here is a reproduction of it. Three latents of an image are the Bloch vector of a qubit. A step
prepares the qubits' mixed states, runs them with fresh ancillas, draws the outcome of those that are
measured, forgets the others, and keeps each qubit's mixed state: what qubits share is lost between
steps, and comes back only through the circuits and their outcomes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import torch
from torch import Tensor, nn

from ..circuits.mixed_step import bloch_angles, mixed_step
from ..diffusion.mixed_states import in_ball
from ..errors import InvalidData, InvalidOption
from ..layers import QuantumLayer
from ..layers.arrays import to_exact_array
from ..options import settle
from .latent_codecs import CodecKind
from .line import check_latents
from .on_latents import OnLatents
from .presets.mixed import MIXED_SOURCE, MIXED_TRAINING
from .state_denoiser import MAX_STEPS
from .whitened_codecs import make_whitened

__all__ = [
    "MAX_REGISTER",
    "RADIUS",
    "MixedQuDDPM",
    "MixedQuDDPMConfig",
    "NetworkStep",
]

MAX_REGISTER = 14
"""Most qubits of a step: data, purifiers and ancillas."""
RADIUS = 3.0
"""Standard deviations of a latent that are a Bloch vector of length 1."""


@dataclass(frozen=True, kw_only=True)
class MixedQuDDPMConfig:
    """Options of the latent mixed-state QuDDPM."""

    image_size: int = 8
    """Height and width of the images, 2 to 1024."""
    channels: int = 1
    """1 for grey, 3 for RGB."""
    codec: CodecKind = "pca"
    """Rule by which images become whitened latents."""
    num_qubits: int = 2
    """Qubits whose mixed states are diffused, 1 to 4; three latents each."""
    num_ancillas: int = 1
    """Ancillas whose outcome is drawn in each step, 0 to 4; without any, every step is a channel."""
    num_traced: int = 1
    """Ancillas that nobody looks at, 0 to 4."""
    depth: int = 4
    """Layers of RX, RY and CZ in each step's circuit."""
    num_steps: int = 6
    """T; each step has weights of its own."""
    step: Literal["circuit", "network"] = "circuit"
    """Circuits, or in their place classical networks of about as many numbers."""
    init_std: float = 0.1
    """Standard deviation of the initial angles, or scale of a network's last layer."""

    def __post_init__(self) -> None:
        settle(self)
        if not 1 <= self.num_qubits <= 4:
            raise InvalidOption(f"num_qubits is 1 to 4, got {self.num_qubits}.")
        if not (0 <= self.num_ancillas <= 4 and 0 <= self.num_traced <= 4):
            raise InvalidOption(
                "num_ancillas and num_traced are 0 to 4, got "
                f"{self.num_ancillas} and {self.num_traced}."
            )
        if self.register > MAX_REGISTER:
            raise InvalidOption(
                f"Data qubits, as many purifiers and ancillas are at most {MAX_REGISTER} qubits, got "
                f"2 x {self.num_qubits} + {self.num_ancillas} + {self.num_traced}."
            )
        check_latents(self.image_size, self.channels, self.codec, self.latents, 1)
        if not 1 <= self.depth <= 100 or not 1 <= self.num_steps <= MAX_STEPS:
            raise InvalidOption(
                f"depth is 1 to 100 and num_steps 1 to {MAX_STEPS}, got {self.depth}, "
                f"{self.num_steps}."
            )
        if self.step not in ("circuit", "network"):
            raise InvalidOption(f"step is 'circuit' or 'network', got {self.step!r}.")
        if not (math.isfinite(self.init_std) and self.init_std >= 0):
            raise InvalidOption(f"init_std must be a finite number >= 0, got {self.init_std}.")

    @property
    def latents(self) -> int:
        """Latent values."""
        return 3 * self.num_qubits

    @property
    def register(self) -> int:
        """Qubits of a step's circuit."""
        return 2 * self.num_qubits + self.num_ancillas + self.num_traced

    @property
    def angles_of_a_step(self) -> int:
        """Weights of a step's circuit."""
        return 2 * (self.num_qubits + self.num_ancillas + self.num_traced) * (self.depth + 1)


@final
class NetworkStep(nn.Module):
    """A classical step: a hidden layer of SiLU that adds to the Bloch vectors, and outcomes.

    Args:
        width: Numbers of a state.
        outcomes: Outcomes, whose probabilities are a softmax.
        numbers: Trainable numbers, which it comes as near to as a whole number of hidden units can.
        init_std: Scale of the initial weights of its last layer: at 0 it keeps states as they are.
        generator: Source of the initial weights.
    """

    def __init__(
        self,
        width: int,
        outcomes: int,
        numbers: int,
        init_std: float,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.outcomes = outcomes
        made = outcomes * (1 + width)
        hidden = max(1, round((numbers - made) / (width + 1 + made)))
        self.enter, self.leave = nn.Linear(width, hidden), nn.Linear(hidden, made)
        for layer in (self.enter, self.leave):
            for each in (layer.weight, layer.bias):
                bound = layer.in_features**-0.5
                nn.init.uniform_(each, -bound, bound, generator=generator)
        with torch.no_grad():  # like circuits with small angles, it begins near the identity
            for each in (self.leave.weight, self.leave.bias):
                each.mul_(init_std)

    def forward(self, x: Tensor) -> Tensor:
        """As :meth:`MixedQuDDPM.forward`."""
        made = self.leave(nn.functional.silu(self.enter(x)))
        made = made.reshape(len(x), self.outcomes, -1)
        chance = torch.softmax(made[..., :1], dim=1)
        return torch.cat([chance, chance * in_ball(x[:, None] + made[..., 1:])], dim=2)


@final
class MixedQuDDPM(OnLatents):
    """``2 (num_qubits + num_ancillas + num_traced) (depth + 1)`` angles for each step.

    Args:
        config: Its options.
        generator: Source of the initial weights.
    """

    name = "mixed_quddpm"
    source = MIXED_SOURCE
    config_class = MixedQuDDPMConfig
    config: MixedQuDDPMConfig
    state_space = "real"
    recommended: ClassVar[Mapping[str, Any]] = MIXED_TRAINING

    def __init__(
        self, config: MixedQuDDPMConfig, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.image_shape = (config.channels, config.image_size, config.image_size)
        self.codec = make_whitened(config.codec, self.image_shape, config.latents, RADIUS)
        outcomes = 2**config.num_ancillas
        if config.step == "network":
            numbers = config.angles_of_a_step
            made = [
                NetworkStep(config.latents, outcomes, numbers, config.init_std, generator)
                for _ in range(config.num_steps)
            ]
            self.steps = nn.ModuleList(made)
            return
        spec = mixed_step(config.num_qubits, config.num_ancillas, config.num_traced, config.depth)
        self.steps = nn.ModuleList(
            QuantumLayer(spec, init_std=config.init_std, generator=generator)
            for _ in range(config.num_steps)
        )

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return what each outcome of the ancillas leaves of mixed states.

        Args:
            x: ``(batch, 3 num_qubits)`` Bloch vectors of length at most 1, qubit 0 first.
            t: ``(batch,)`` step divided by the number of steps.
            labels: None.

        Returns:
            ``(batch, 2**num_ancillas, 1 + 3 num_qubits)``: the probability of each outcome, and the
            Bloch vectors that it leaves times that probability.

        Raises:
            InvalidData: If the states have another shape, a Bloch vector is longer than 1, a time is
                that of no step, or labels are given.
        """
        self.check_states(x)
        if labels is not None:
            raise InvalidData(f"'{self.name}' is not guided and takes no labels.")
        lengths = torch.linalg.vector_norm(x.unflatten(1, (-1, 3)), dim=2)
        if len(x) and float(lengths.max()) > 1 + 1e-4:
            raise InvalidData(
                f"Bloch vectors are at most 1 long, got one of {float(lengths.max()):.4g}; in_ball "
                "shortens them."
            )
        rows = self._rows(t, len(x))
        made = x.new_zeros(len(x), 2**self.config.num_ancillas, 1 + self.config.latents)
        for row in torch.unique(rows).tolist():
            own = rows == row
            made[own] = self._step(row, x[own])
        return made

    def _rows(self, t: Tensor, batch: int) -> Tensor:
        """Steps counted from 0."""
        steps = self.config.num_steps
        rows = torch.round(t * steps).long() - 1
        if t.shape != (batch,) or not bool(((rows >= 0) & (rows < steps)).all()):
            raise InvalidData(
                f"'{self.name}' takes one of the times 1/{steps} .. 1 for each state."
            )
        return rows

    def _step(self, row: int, x: Tensor) -> Tensor:
        layer = self.steps[row]
        if isinstance(layer, NetworkStep):
            return layer(x)
        inputs = torch.as_tensor(bloch_angles(to_exact_array(x))).to(x)
        read = layer(inputs=inputs).to(x)
        # One number is left out of what is read: that the outcomes' probabilities sum to 1.
        values = torch.cat([torch.ones_like(read[:, :1]), read], dim=1)
        outcomes = 2**self.config.num_ancillas
        values = values.reshape(len(x), 1 + self.config.latents, outcomes)
        return (values @ _signs(outcomes).to(x) / outcomes).transpose(1, 2)


def _signs(outcomes: int) -> Tensor:
    """``(-1)**(number of ancillas of s that outcome m has as 1)``, ``(subsets, outcomes)``."""
    return torch.tensor(
        [[(-1.0) ** (s & m).bit_count() for m in range(outcomes)] for s in range(outcomes)]
    )
