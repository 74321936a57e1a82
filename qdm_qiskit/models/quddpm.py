"""Quantum-state diffusion: a circuit with ancillas for each step of the way back (QuDDPM).

Zhang et al., arXiv:2310.05866. The states of step t and fresh ancillas run through the circuit of step
t, and the ancillas are measured: an outcome is drawn by its probability. With ``postselect`` outcome 0
is taken always; then the whole chain is one linear map up to norm, which can gather states but cannot
spread them over a set that the noise does not already have the shape of.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import torch
from torch import Tensor

from ..circuits import CircuitSpec, ProbabilityReadout, hardware_efficient
from ..circuits.composition import Part
from ..errors import InvalidData, InvalidOption
from ..layers.branch_layer import BranchLayer
from ..options import settle
from .base import Denoiser
from .presets.quddpm import QUDDPM_PAPER

MAX_REGISTER = 10
"""Most data and ancilla qubits together."""


@dataclass(frozen=True, kw_only=True)
class QuDDPMConfig:
    """Options of quantum-state diffusion."""

    num_qubits: int = 2
    """Qubits of the states, 1 to 8."""
    num_ancillas: int = 1
    """Ancillas, at least 1."""
    depth: int = 6
    """Layers of RX, RY and CZ in each step's circuit."""
    num_steps: int = 6
    """T; each step has weights of its own."""
    ancilla: Literal["measure", "postselect"] = "measure"
    """Draw an outcome of the ancillas, or take 0 always."""
    init_std: float = 0.1
    """Standard deviation of the initial weights."""

    def __post_init__(self) -> None:
        settle(self)
        if not 1 <= self.num_qubits <= 8 or self.num_ancillas < 1:
            raise InvalidOption(
                "num_qubits is 1 to 8 and num_ancillas at least 1, "
                f"got {self.num_qubits} and {self.num_ancillas}."
            )
        if self.num_qubits + self.num_ancillas > MAX_REGISTER:
            raise InvalidOption(
                f"States and ancillas have at most {MAX_REGISTER} qubits together, got "
                f"{self.num_qubits} + {self.num_ancillas}."
            )
        if not 1 <= self.depth <= 100 or not 1 <= self.num_steps <= 1_000:
            raise InvalidOption(
                f"depth is 1 to 100 and num_steps 1 to 1000, got {self.depth}, {self.num_steps}."
            )
        if self.ancilla not in ("measure", "postselect"):
            raise InvalidOption(f"ancilla is 'measure' or 'postselect', got {self.ancilla!r}.")
        if not (math.isfinite(self.init_std) and self.init_std >= 0):
            raise InvalidOption(f"init_std must be a finite number >= 0, got {self.init_std}.")


@final
class QuDDPM(Denoiser):
    """``2 (num_qubits + num_ancillas) depth`` weights for each step.

    Args:
        config: Its options.
        generator: Source of the initial weights.
    """

    name = "quddpm"
    source = QUDDPM_PAPER
    config_class = QuDDPMConfig
    state_space = "complex"
    data_kind = "states"
    recommended: ClassVar[dict[str, Any]] = {
        "dataset": "clustered-states",
        "process": "depolarizing",
        "batch_size": 100,
        "epochs": 40,
        "learning_rate": 0.02,
    }

    def __init__(self, config: QuDDPMConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.image_shape = (1, 2, 2**config.num_qubits)
        register = config.num_qubits + config.num_ancillas
        circuit = hardware_efficient(
            register,
            config.depth,
            rotations=("rx", "ry"),
            entangler="cz",
            final_rotations=False,
        )
        data = tuple(range(config.num_qubits))
        spec = CircuitSpec(
            name="quddpm",
            circuit=circuit,
            encoding="amplitude",
            complex_amplitudes=True,
            data_qubits=data,
            ancilla_qubits=tuple(range(config.num_qubits, register)),
            readout=ProbabilityReadout(qubits=tuple(range(register))),
            source="Zhang et al., arXiv:2310.05866",
        )
        self.layer = BranchLayer(
            spec, config.num_steps, init_std=config.init_std, generator=generator
        )

    @property
    def state_shape(self) -> tuple[int, ...]:
        """(2**num_qubits,)."""
        return (2**self.config.num_qubits,)

    def chain_parts(self, num_steps: int) -> tuple[Part, ...]:
        """See :meth:`.Denoiser.chain_parts`; ancillas are recorded, unless outcome 0 is taken."""
        postselect = self.config.ancilla == "postselect"
        rows = reversed(range(num_steps))
        return tuple(self.layer.part(row, postselect=postselect) for row in rows)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the states that each outcome of the ancillas leaves, unnormalised.

        Args:
            x: ``(batch, 2**num_qubits)`` complex unit states.
            t: ``(batch,)`` step divided by the number of steps.
            labels: None.

        Returns:
            ``(batch, 2**num_ancillas, 2**num_qubits)``, squared norms the outcomes' probabilities; with
            ``postselect`` ``(batch, 1, 2**num_qubits)`` of norm 1.

        Raises:
            InvalidData: If the states have another shape or type, or labels are given.
        """
        if labels is not None:
            raise InvalidData(f"'{self.name}' is not guided and takes no labels.")
        rows = torch.round(t * self.config.num_steps).long() - 1
        branches = self.layer(x, rows)
        if self.config.ancilla == "measure":
            return branches
        kept = branches[:, :1]
        return kept / torch.linalg.vector_norm(kept, dim=2, keepdim=True)
