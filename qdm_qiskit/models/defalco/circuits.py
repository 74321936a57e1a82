"""Convolutions of De Falco's hybrids: some channels through circuits, the rest through filters.

A circuit takes three channels of 2 x 2 pixels: channel c, pixel p (row by row) is wire ``4 c + p``,
encoded as the angle of an RX, and the expectation value of Z on that wire is written back in its
place. A fortieth channel takes a circuit of four wires.
"""

from __future__ import annotations

from typing import Literal, final

import torch
from torch import Tensor, nn

from ...circuits import CircuitSpec, basic_convolution, fqconv, hqconv
from ...layers import QuantumLayer
from ...layers.calling import together
from .blocks import StandardisedConv

__all__ = [
    "CHANNELS",
    "PIXELS",
    "Ansatz",
    "CircuitFilter",
    "HybridConv",
    "QuanvolutionConv",
]

Ansatz = Literal["hqconv", "fqconv"]
CHANNELS, PIXELS = 3, 4
"""Channels of a circuit of twelve wires, and pixels of its patch."""


@final
class CircuitFilter(nn.Module):
    """Circuit on patches of 2 x 2 pixels.

    Its weights are fractions of a turn, drawn uniformly from [0, 1): the angle is ``2 pi`` times the
    weight, as in the paper.

    Args:
        spec: An angle-encoded circuit with as many expectation values as inputs.
        generator: Source of the initial weights.
    """

    def __init__(self, spec: CircuitSpec, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.layer = QuantumLayer(spec, weight_map="turns", generator=generator)
        with torch.no_grad():
            self.layer.weights.uniform_(0, 1, generator=generator)
        self.channels = spec.num_qubits // PIXELS

    def forward(self, x: Tensor) -> Tensor:
        """Expectation values in place of the pixels, of the shape of ``x``.

        Args:
            x: ``(batch, channels, height, width)`` with even height and width; its 2 x 2 patches do
                not overlap, and each is one run of the circuit.
        """
        return _in_place(self.layer(inputs=_patches(x)), x)


def _patches(x: Tensor) -> Tensor:
    """The circuit's inputs, ``(patches, channels * PIXELS)``, of images with even sides."""
    batch, channels, height, width = x.shape
    patches = x.reshape(batch, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return patches.reshape(-1, channels * PIXELS)


def _in_place(predictions: Tensor, x: Tensor) -> Tensor:
    """Outputs of patches, each where its pixel was in ``x``."""
    batch, channels, height, width = x.shape
    folded = predictions.to(x).reshape(batch, height // 2, width // 2, channels, 2, 2)
    return folded.permute(0, 3, 1, 4, 2, 5).reshape(x.shape)


@final
class HybridConv(nn.Module):
    """A vertex convolution: the first channels through circuits, the others through filters.

    Args:
        channels: Channels read and made.
        ansatz: The circuit of twelve wires.
        circuits: Number of them, each with weights of its own. Where one channel is left over, it
            takes a circuit of four wires; else the rest takes a standardised convolution.
        layers: Layers of each circuit.
        generator: Source of the initial weights.
    """

    def __init__(
        self,
        channels: int,
        ansatz: Ansatz,
        circuits: int,
        *,
        layers: int = 3,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        template = hqconv if ansatz == "hqconv" else fqconv
        specs = [template(depth=layers) for _ in range(circuits)]
        self.rest = channels - CHANNELS * circuits
        if self.rest == 1:
            specs.append(basic_convolution(PIXELS, depth=4))
            self.rest = 0
        self.filters = nn.ModuleList(CircuitFilter(spec, generator=generator) for spec in specs)
        self.conv = StandardisedConv(self.rest, self.rest) if self.rest else None

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of ``x``; those of circuits come first."""
        seen, layers, start = [], [], 0
        for each in self.filters:
            assert isinstance(each, CircuitFilter)
            seen.append(x[:, start : start + each.channels])
            layers.append(each.layer)
            start += each.channels
        found = together(layers, [(None, _patches(each)) for each in seen])
        parts = [_in_place(*each) for each in zip(found, seen, strict=True)]
        if self.conv is not None:
            parts.append(self.conv(x[:, start:]))
        return torch.cat(parts, dim=1)


@final
class QuanvolutionConv(nn.Module):
    """A convolution to three channels fewer, and three channels of circuits beside it.

    Args:
        channels: Channels read and made.
        quanvolution: The filter; a block's two convolutions share one.
    """

    def __init__(self, channels: int, quanvolution: CircuitFilter) -> None:
        super().__init__()
        self.quanvolution = quanvolution
        self.conv = StandardisedConv(channels, channels - CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the shape of ``x``; those of circuits come first."""
        return torch.cat([self.quanvolution(x[:, :CHANNELS]), self.conv(x)], dim=1)
