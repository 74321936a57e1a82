"""QAMP's hybrid U-Nets: linear layers around a circuit on 4 qubits, on complex amplitudes.

December is the run behind the published loss, January the model of the text. An amplitude x counts as
two real numbers, and so 256 amplitudes as 512 features: all real parts, then all imaginary parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn

from ..circuits import cacioppo_blocks, qamp_blocks
from ..circuits.blocks import Mixing
from ..diffusion.states import unit_states
from ..errors import InvalidOption
from ..layers.observables import AdaptiveObservables
from ..layers.state_blocks import StateBlocks
from ..options import settle
from .presets.qamp import QAMP_DECEMBER, QAMP_JANUARY
from .state_denoiser import PROCESS, StateDenoiser, check_common, check_depths

__all__ = [
    "MAX_OBSERVABLES",
    "MAX_QUBITS",
    "MAX_REPS",
    "MAX_WIDTH",
    "ComplexLinear",
    "QampConfig",
    "QampDecember",
    "QampDecemberConfig",
    "QampJanuary",
    "QampJanuaryConfig",
    "QampUNet",
    "as_complex",
    "as_real",
]

MAX_WIDTH, MAX_QUBITS, MAX_OBSERVABLES, MAX_REPS = 4_096, 6, 1_024, 100


@dataclass(frozen=True, kw_only=True)
class QampConfig:
    """Options that both models have."""

    image_size: int = 16
    """Height and width, a power of two from 2 to 32."""
    channels: int = 1
    """1: grey images."""
    num_steps: int = 10
    """T, each with angles of its own; the linear layers are shared."""
    width: int = 512
    """Real features between two linear layers, an even number."""
    num_qubits: int = 4
    """Data qubits of the circuit; one ancilla is added."""
    init_std: float = 0.7
    """Standard deviation of the initial angles."""
    complex_linear: bool = False
    """Complex weights in the first and the last linear layer in place of real ones."""
    skip: bool = True
    """Hand features past the circuit: the first layer's output in December's model, the input in
    January's. Without it the layer behind the circuit sees the circuit's features only."""

    def __post_init__(self) -> None:
        settle(self)
        check_common(
            image_size=self.image_size,
            channels=self.channels,
            num_steps=self.num_steps,
            init_std=self.init_std,
            largest=32,
        )
        if not 2 <= self.width <= MAX_WIDTH or self.width % 2:
            raise InvalidOption(f"width is an even number from 2 to {MAX_WIDTH}, got {self.width}.")
        if not 2 <= self.num_qubits <= MAX_QUBITS:
            raise InvalidOption(f"num_qubits must be 2 to {MAX_QUBITS}, got {self.num_qubits}.")


@dataclass(frozen=True, kw_only=True)
class QampDecemberConfig(QampConfig):
    """Options of the model of December 2025."""

    depths: tuple[int, ...] = (4, 4, 4)
    """Layers of the three blocks, even numbers."""
    activation: bool = True
    """LeakyReLU on real and imaginary parts after the projection of the ancilla."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_depths(self.depths, even=True)


@dataclass(frozen=True, kw_only=True)
class QampJanuaryConfig(QampConfig):
    """Options of the model of January 2026."""

    init_std: float = 0.1
    """Standard deviation of the initial angles and observables."""
    reps: int = 30
    """Layers of each of the three blocks."""
    mixing: Mixing = "qft"
    """PhaseMixing by CRZ and Fourier transform, or by H, CZ and RX as in later versions."""
    num_observables: int = 16
    """Trained observables on all data qubits."""
    activation: bool = True
    """LeakyReLU on real and imaginary parts after the projection of the ancilla."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.reps <= MAX_REPS:
            raise InvalidOption(f"reps must be 1 to {MAX_REPS}, got {self.reps}.")
        if not 1 <= self.num_observables <= MAX_OBSERVABLES:
            raise InvalidOption(
                f"num_observables must be 1 to {MAX_OBSERVABLES}, got {self.num_observables}."
            )


class QampUNet(StateDenoiser):
    """Shared part of both models: linear layers on real and imaginary parts."""

    config: QampConfig

    def __init__(self, config: QampConfig) -> None:
        super().__init__()
        self.config = config
        self.image_shape = (1, config.image_size, config.image_size)
        self.num_values = 2 * config.image_size**2

    def outer(self, values_in: int, values_out: int) -> nn.Module:
        """The first or last layer: real, or complex with half as many weights."""
        kind = ComplexLinear if self.config.complex_linear else nn.Linear
        return kind(values_in, values_out)

    def initialise(self, generator: torch.Generator | None) -> None:
        """PyTorch's own rule for linear layers, drawn from our stream."""
        if generator is None:
            return
        for module in self.modules():
            if isinstance(module, nn.Linear | ComplexLinear):
                bound = module.in_features**-0.5
                for parameter in (module.weight, module.bias):
                    nn.init.uniform_(parameter, -bound, bound, generator=generator)


@final
class QampDecember(QampUNet):
    """Linear and ReLU, linear to the circuit's amplitudes, circuit, skip, two linear layers.

    822,328 parameters by default, of which 1,560 angles. The skip is the first layer's output, and
    ``skip=False`` leaves it out.
    """

    name = "qamp_december"
    source = QAMP_DECEMBER
    config_class = QampDecemberConfig
    recommended: ClassVar[Mapping[str, Any]] = {
        **PROCESS,
        "learning_rate": 1e-3,
        "weight_decay": 1e-5,
        "decay_every": 10,
        "batch_size": 512,
        "epochs": 100,
    }

    def __init__(
        self, config: QampDecemberConfig, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(config)
        amplitudes = 2 * 2**config.num_qubits
        self.encoder = self.outer(self.num_values, config.width)
        self.narrow = nn.Linear(config.width, amplitudes)
        first, middle, last = config.depths
        self.blocks = StateBlocks(
            cacioppo_blocks(config.num_qubits, (first, middle, last)),
            config.num_steps,
            activation=config.activation,
            phase_counts=True,  # real and imaginary parts go to linear layers
            init_std=config.init_std,
            source=QAMP_DECEMBER,
            generator=generator,
        )
        self.widen = nn.Linear(amplitudes + config.skip * config.width, config.width)
        self.decoder = self.outer(config.width, self.num_values)
        self.initialise(generator)

    def denoise(self, x: Tensor, rows: Tensor, labels: Tensor | None) -> Tensor:
        """See :meth:`StateDenoiser.denoise`."""
        encoded = self.encoder(as_real(x)).relu()
        state = as_real(self.blocks(as_complex(self.narrow(encoded)), rows))
        seen = torch.cat([state, encoded], dim=1) if self.config.skip else state
        h = self.widen(seen).relu()
        return unit_states(as_complex(self.decoder(h)))


@final
class QampJanuary(QampUNet):
    """Linear layers to 16 real amplitudes, ConvUnits and PhaseMixing, 16 trained observables, decoder.

    826,392 parameters by default: 804,400 classical, 13,800 angles, 8,192 numbers of observables. The
    skip is the input, and ``skip=False`` leaves it out.
    """

    name = "qamp_january"
    source = QAMP_JANUARY
    config_class = QampJanuaryConfig
    recommended: ClassVar[Mapping[str, Any]] = {
        **PROCESS,
        "schedule": "linear",
        "beta_start": 1e-4,
        "beta_end": 0.02,
        "learning_rate": 1e-3,
        "decay_every": 10,
        "batch_size": 32,
        "epochs": 100,
    }

    def __init__(
        self, config: QampJanuaryConfig, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(config)
        amplitudes = 2**config.num_qubits
        self.encoder = self.outer(self.num_values, config.width)
        self.narrow = nn.Linear(config.width, amplitudes)
        self.norm = nn.LayerNorm(amplitudes)
        self.blocks = StateBlocks(
            qamp_blocks(config.num_qubits, 1, mixing=config.mixing),
            config.num_steps,
            repeats=config.reps,
            activation=config.activation,
            init_std=config.init_std,
            source=QAMP_JANUARY,
            generator=generator,
        )
        self.observables = AdaptiveObservables(
            config.num_qubits,
            config.num_observables,
            init_std=config.init_std,
            generator=generator,
        )
        past = config.skip * self.num_values
        self.widen = nn.Linear(config.num_observables + past, config.width)
        self.decoder = self.outer(config.width, self.num_values)
        self.initialise(generator)

    def denoise(self, x: Tensor, rows: Tensor, labels: Tensor | None) -> Tensor:
        """See :meth:`StateDenoiser.denoise`."""
        values = as_real(x)
        real = self.norm(self.narrow(self.encoder(values).relu()))
        features = self.blocks.expectations(real, rows, self.observables)
        seen = torch.cat([features, values], dim=1) if self.config.skip else features
        h = self.widen(seen).relu()
        return unit_states(as_complex(self.decoder(h)))


@final
class ComplexLinear(nn.Module):
    """``W z + b`` with complex weights, on real features: real parts, then imaginary parts.

    A real linear layer on the same features has twice as many weights and contains this one.

    Args:
        in_features: Real features read, an even number.
        out_features: Real features made, an even number.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        bound = in_features**-0.5
        size = (out_features // 2, in_features // 2, 2)
        self.weight = nn.Parameter(torch.empty(size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(out_features // 2, 2).uniform_(-bound, bound))

    def forward(self, values: Tensor) -> Tensor:
        """``(batch, out_features)`` real, from ``(batch, in_features)`` real."""
        weight, bias = torch.view_as_complex(self.weight), torch.view_as_complex(self.bias)
        return as_real(nn.functional.linear(as_complex(values), weight, bias))

    def extra_repr(self) -> str:
        """Return the line that ``print(model)`` shows."""
        return f"in_features={self.in_features}, out_features={self.out_features}"


def as_real(states: Tensor) -> Tensor:
    """Real parts, then imaginary parts, ``(batch, 2 * amplitudes)``."""
    return torch.cat([states.real, states.imag], dim=1)


def as_complex(values: Tensor) -> Tensor:
    """Return the inverse of :func:`as_real`."""
    half = values.shape[1] // 2
    return torch.complex(values[:, :half], values[:, half:])
