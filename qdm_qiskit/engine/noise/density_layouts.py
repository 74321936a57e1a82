"""Ways of a density program in calls of torch, with the matrices of their blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from qiskit.circuit import Parameter
from torch import Tensor

from .base import Arguments, confusion_terms
from .blocks import fuse
from .channels import ReadoutMap
from .constants import Constants
from .lowering import Event, NoisyCircuit
from .matrices import BlockMatrices, SampleRotations
from .pictures import Action, Pictures, lay_out, run_picture

__all__ = ["KEPT_CHOICES", "WIDTHS", "Layout", "Layouts", "picture_seconds"]

WIDTHS = (2, 3)
"""Largest blocks that are tried, in qubits; the way with the lowest estimated cost is taken."""
KEPT_CHOICES = 64
"""Batch sizes and numbers of observables for which the cheapest way is remembered."""


@dataclass
class Layout:
    """Pictures with the matrices of their blocks."""

    pictures: Pictures
    matrices: BlockMatrices
    keys: list[object | None]
    rotations: SampleRotations
    zeros: dict[int, np.ndarray]
    """Id of an action to the vector of its new qubit, ``(4, 1)``."""


class Layouts:
    """The layouts of a program, each made when first asked for.

    Args:
        noisy: The circuit.
        inputs: The parameters that each sample has its own values of.
        weights: The parameters that all samples share.
        constants: Where tensors of constants are kept.
    """

    def __init__(
        self,
        noisy: NoisyCircuit,
        inputs: Sequence[Parameter],
        weights: Sequence[Parameter],
        constants: Constants,
    ) -> None:
        self._noisy, self._inputs, self._weights = noisy, inputs, weights
        self._constants = constants
        self._known_pictures: dict[tuple[tuple[int, ...], bool, int, bool], Pictures] = {}
        self._layouts: dict[tuple[tuple[int, ...], bool, int, bool], Layout] = {}
        self._chosen: dict[tuple[tuple[int, ...], bool, int, int], Layout] = {}
        """By batch size and number of observables, for which the cost model chose them."""

    def _events(self, readout: bool) -> list[Event]:
        events = list(self._noisy.events)
        if readout:
            for qubit in self._noisy.active:
                if qubit in self._noisy.confusion:
                    a, b = confusion_terms(self._noisy.confusion[qubit])
                    matrix = np.diag([1.0, b, b, b])
                    matrix[1:, 0] = a
                    events.append(Event((qubit,), channel=ReadoutMap(matrix)))
        return events

    def pictures(
        self, covered: tuple[int, ...], readout: bool, width: int, backward: bool
    ) -> Pictures:
        """Return the program in calls of torch.

        Args:
            covered: Qubits with an initial state, the first least significant.
            readout: True if readout errors are channels at the end.
            width: Qubits of a block, at most.
            backward: True if observables are evolved as far as they may be.
        """
        key = (covered, readout, width, backward)
        if key not in self._known_pictures:
            blocks = fuse(self._events(readout), width)
            self._known_pictures[key] = lay_out(
                blocks, self._noisy.active, covered, backward=backward
            )
        return self._known_pictures[key]

    def chosen(
        self, covered: tuple[int, ...], readout: bool, batch: int, observables: int
    ) -> Layout:
        """Return the layout with the lowest estimated cost, of those in calls of torch.

        Args:
            covered, readout: As for :meth:`pictures`.
            batch: Samples.
            observables: Number of strings.
        """
        place = (covered, readout, batch, observables)
        if place not in self._chosen:
            if len(self._chosen) >= KEPT_CHOICES:
                self._chosen.clear()
            self._chosen[place] = self._cheapest(*place)
        return self._chosen[place]

    def _cheapest(
        self, covered: tuple[int, ...], readout: bool, batch: int, observables: int
    ) -> Layout:
        candidates = [(w, b) for w in WIDTHS for b in (False, True)]
        best = min(
            candidates,
            key=lambda c: picture_seconds(self.pictures(covered, readout, *c), batch, observables),
        )
        key = (covered, readout, *best)
        if key not in self._layouts:
            self._layouts[key] = self.compiled(self._known_pictures[key])
        return self._layouts[key]

    def compiled(self, pictures: Pictures) -> Layout:
        """Return pictures with the matrices of their blocks."""
        registers: dict[int, tuple[int, ...]] = {}
        zeros: dict[int, np.ndarray] = {}
        for picture in (pictures.forward, pictures.backward):
            for action in picture.actions if picture is not None else ():
                if action.block >= 0:
                    registers[action.block] = action.register
                if action.kind == "zero":
                    vector = np.array([[1.0], [0.0], [0.0], [1.0]])
                    for event in (i for k in action.prepared for i in pictures.blocks[k].events):
                        assert event.channel is not None  # rotations are not prepared
                        vector = event.channel.transfer @ vector
                    zeros[id(action)] = vector
        matrices = BlockMatrices()
        keys: list[object | None] = []
        places: dict[int, tuple[Event, tuple[int, ...]]] = {}
        for index, block in enumerate(pictures.blocks):
            if index not in registers:
                keys.append(None)
            elif block.per_sample:
                keys.append(None)
                places[index] = (block.events[0], registers[index])
            else:
                keys.append(matrices.add(block.events, registers[index]))
        matrices.finish(self._inputs, self._weights)
        return Layout(
            pictures,
            matrices,
            keys,
            SampleRotations(places, self._inputs, self._weights),
            zeros,
        )

    def run(
        self, layout: Layout, state: dict[int, Tensor], arguments: Arguments
    ) -> list[Tensor | None]:
        """Run the forward picture; return the matrices of all blocks, None for rotations of samples.

        Args:
            layout: Pictures and matrices.
            state: Component to ``(4**k, batch or 1)``; replaced in place.
            arguments: What was given.
        """
        like = arguments.like
        built = layout.matrices.build(arguments.weights, like)
        matrices = [None if key is None else built[key] for key in layout.keys]
        rotations = layout.rotations.build(arguments, like)

        def rotate(action: Action, x: Tensor) -> Tensor:
            same, turned, partner = rotations[action.block]
            split = x.reshape(action.high, len(partner), -1, x.shape[-1])
            return torch.addcmul(split * same, split.index_select(1, partner), turned)

        def zero(action: Action) -> Tensor:
            return self._constants.of(("zero", id(action)), layout.zeros[id(action)], like)

        run_picture(layout.pictures.forward, state, matrices, rotate, zero)
        return matrices


def picture_seconds(pictures: Pictures, batch: int, observables: int) -> float:
    """Return the estimated time of a training step in calls of torch."""
    total = pictures.forward.seconds(batch)
    if pictures.backward is not None:
        total += pictures.backward.seconds(observables)
    return total
