"""A block of a network that is a circuit, a classical one of as many numbers, or nothing at all.

All three take and give rows of the same widths, so that what a circuit adds to a network can be
measured: the rest of the network stays as it is.
"""

from __future__ import annotations

import math
from typing import Literal, final, get_args

import torch
from torch import Tensor, nn

from ..circuits.line import line, num_angles
from ..errors import InvalidOption
from ..layers import QuantumLayer

__all__ = [
    "MAX_BLOCK",
    "BlockKind",
    "CircuitBlock",
    "NetworkBlock",
    "NoBlock",
    "check_block",
    "circuit_numbers",
    "make_block",
]

BlockKind = Literal["circuit", "network", "none"]
"""A circuit on a line between two linear layers; a hidden layer of SiLU with as many numbers; zeros."""
MAX_BLOCK = 8
"""Most qubits of a block, which is run for many rows of a batch."""


@final
class CircuitBlock(nn.Module):
    """Linear layer, circuit on a line of qubits, linear layer.

    Angle k of a row is ``W_k x + w_k``, with w the circuit's own weights; read are <Z> of each qubit
    and <ZZ> of all pairs.

    Args:
        width_in, width_out: Widths of rows.
        num_qubits: Qubits of the line.
        uploads: Layers of rotations, with a brick of CZ between two of them.
        entangled: False leaves out all CZ.
        generator: Source of the initial weights.
    """

    def __init__(
        self,
        width_in: int,
        width_out: int,
        *,
        num_qubits: int,
        uploads: int,
        entangled: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        spec = line(
            num_qubits,
            uploads,
            bricks=max(1, uploads - 1),
            entangled=entangled and uploads > 1,
            readouts="zz",
        )
        self.layer = QuantumLayer(spec, init_std=1.0, generator=generator)
        self.upload = nn.Linear(width_in, len(spec.inputs), bias=False)
        self.head = nn.Linear(spec.readout.num_outputs, width_out)
        nn.init.normal_(self.upload.weight, std=0.8 / math.sqrt(width_in), generator=generator)
        _draw(self.head, generator)

    def forward(self, rows: Tensor) -> Tensor:
        """``(rows, width_out)`` of ``(rows, width_in)``."""
        return self.head(self.layer(inputs=self.upload(rows)).to(rows))


@final
class NetworkBlock(nn.Module):
    """Linear layer, SiLU, linear layer.

    Args:
        width_in, width_out: Widths of rows.
        numbers: Trainable numbers, which it comes as near to as a whole number of hidden units can.
        generator: Source of the initial weights.
    """

    def __init__(
        self,
        width_in: int,
        width_out: int,
        *,
        numbers: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        hidden = max(1, round((numbers - width_out) / (width_in + 1 + width_out)))
        self.upload = nn.Linear(width_in, hidden)
        self.head = nn.Linear(hidden, width_out)
        for each in (self.upload, self.head):
            _draw(each, generator)

    def forward(self, rows: Tensor) -> Tensor:
        """``(rows, width_out)`` of ``(rows, width_in)``."""
        return self.head(nn.functional.silu(self.upload(rows)))


@final
class NoBlock(nn.Module):
    """Zeros: what is left of a network where a block is taken out.

    Args:
        width_out: Width of rows.
    """

    def __init__(self, width_out: int) -> None:
        super().__init__()
        self.width_out = width_out

    def forward(self, rows: Tensor) -> Tensor:
        """``(rows, width_out)`` of zeros."""
        return rows.new_zeros(len(rows), self.width_out)


def circuit_numbers(width_in: int, width_out: int, *, num_qubits: int, uploads: int) -> int:
    """Return the trainable numbers of a :class:`CircuitBlock`.

    >>> circuit_numbers(8, 8, num_qubits=4, uploads=2)
    196
    """
    angles = num_angles(num_qubits, uploads)
    values = num_qubits * (num_qubits + 1) // 2
    return angles * (width_in + 1) + (values + 1) * width_out


def make_block(
    kind: BlockKind,
    width_in: int,
    width_out: int,
    *,
    num_qubits: int,
    uploads: int,
    entangled: bool = True,
    generator: torch.Generator | None = None,
) -> CircuitBlock | NetworkBlock | NoBlock:
    """Return a block of a kind; one that is no circuit has the size of the circuit that it stands for.

    Args:
        kind: The kind.
        width_in, width_out, num_qubits, uploads, entangled, generator: As of :class:`CircuitBlock`.
    """
    if kind == "none":
        return NoBlock(width_out)
    if kind == "network":
        numbers = circuit_numbers(width_in, width_out, num_qubits=num_qubits, uploads=uploads)
        return NetworkBlock(width_in, width_out, numbers=numbers, generator=generator)
    return CircuitBlock(
        width_in,
        width_out,
        num_qubits=num_qubits,
        uploads=uploads,
        entangled=entangled,
        generator=generator,
    )


def check_block(num_qubits: int, uploads: int, **kinds: str) -> None:
    """Refuse sizes and kinds of blocks that there are none of.

    Args:
        num_qubits, uploads: Of each circuit.
        kinds: Kind by the name of its option.

    Raises:
        InvalidOption: With the first that does not fit.
    """
    if not 1 <= num_qubits <= MAX_BLOCK:
        raise InvalidOption(f"num_qubits of a block is 1 to {MAX_BLOCK}, got {num_qubits}.")
    if not 1 <= uploads <= 20:
        raise InvalidOption(f"uploads of a block is 1 to 20, got {uploads}.")
    for name, kind in kinds.items():
        if kind not in get_args(BlockKind):
            raise InvalidOption(f"{name} is one of {', '.join(get_args(BlockKind))}, got {kind!r}.")


def _draw(layer: nn.Linear, generator: torch.Generator | None) -> None:
    """PyTorch's rule for linear layers, from our own stream."""
    bound = layer.in_features**-0.5
    for each in (layer.weight, layer.bias):
        if each is not None:
            nn.init.uniform_(each, -bound, bound, generator=generator)
