"""Ways of a density program in columns, and the choice between them by cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from qiskit.circuit import Parameter
from torch import Tensor

from .base import Arguments, is_differentiated
from .column_layout import ObservableLayout, StateLayout, late_blocks, runs_on_columns
from .column_memory import ColumnNeeds, needs_of, record_bytes
from .column_steps import Column
from .columns import String, observable_columns, state_column
from .constants import Constants
from .density_layouts import KEPT_CHOICES, WIDTHS, Layout, Layouts, picture_seconds
from .matrices import SampleStarts
from .memory import check_memory
from .pauli_vectors import initial_numbers, pauli_vector
from .pictures import Action, Picture, Pictures

__all__ = ["FEW_STRINGS", "MAX_COLUMN_BLOCK", "MAX_DIGITS", "ColumnWays", "Way"]

FEW_STRINGS = 32
"""Strings that may be evolved, however small the batch."""
MAX_COLUMN_BLOCK = 2
"""Qubits of the blocks that columns know."""
MAX_DIGITS = 15
"""Qubits of a column, whose places are numbers of 31 bits."""


@dataclass
class Way:
    """A way to compute some strings in columns."""

    pictures: Pictures
    columns: list[Column] | None
    """None where a block has too many qubits."""
    covered: tuple[int, ...]
    strings: list[String]
    states: StateLayout | None = None
    observables: ObservableLayout | None = None
    forward: Layout | None = None
    """The part before the observables."""
    starts: SampleStarts | None = None

    @cached_property
    def joined(self) -> frozenset[str]:
        """Of "inputs" and "weights", those with a graph from all of them to the values."""
        parts = (self.states, self.observables, self.starts)
        return frozenset().union(*(each.joined for each in parts if each is not None))

    @cached_property
    def needs(self) -> ColumnNeeds:
        """Numbers that the columns take."""
        assert self.columns is not None  # the way was chosen
        return needs_of(self.columns, read=self.reads_products)

    @cached_property
    def records(self) -> int:
        """Bytes of records."""
        assert self.columns is not None  # the way was chosen
        return record_bytes(self.columns, states=self.pictures.backward is None)

    @property
    def reads_products(self) -> bool:
        """True if observables are read in products of qubits."""
        orders = self.pictures.forward.orders.values()
        return self.pictures.backward is not None and all(len(each) == 1 for each in orders)

    @cached_property
    def own_numbers(self) -> int:
        """Numbers of the matrices that each sample has for itself."""
        assert self.columns is not None  # the way was chosen
        used = {step.block for step in self.columns[0].steps if step.block >= 0}
        own = (self.pictures.blocks[k] for k in used if self.pictures.blocks[k].per_sample)
        return sum(16 ** len(block.qubits) for block in own)

    def seconds(self, batch: int) -> float:
        """Return the estimated time of a training step."""
        if self.columns is None:
            return math.inf
        total = sum(column.seconds() for column in self.columns)
        if self.pictures.backward is None:
            return batch * total
        return total + self.pictures.forward.seconds(batch)


class ColumnWays:
    """The ways of a program in columns.

    Args:
        active: Qubits on which anything acts, ascending.
        inputs: The parameters that each sample has its own values of.
        weights: The parameters that all samples share.
        layouts: Those of the program in calls of torch.
        constants: Where tensors of constants are kept.
    """

    def __init__(
        self,
        active: Sequence[int],
        inputs: Sequence[Parameter],
        weights: Sequence[Parameter],
        layouts: Layouts,
        constants: Constants,
    ) -> None:
        self._active, self._inputs, self._weights = active, inputs, weights
        self._layouts, self._constants = layouts, constants
        self.known: dict[tuple[object, ...], Way] = {}
        """By covered qubits, readout, strings, and whether observables are evolved."""
        self._chosen_ways: dict[tuple[object, ...], Way | None] = {}
        """By covered qubits, readout, batch size and strings."""

    def choose(
        self, key: object, strings: list[String], arguments: Arguments, readout: bool
    ) -> Way | None:
        """Return the way in machine code, if it is the cheapest that there is.

        Args:
            key: Stands for the strings.
            strings: On active qubits.
            arguments: What was given.
            readout: True if readout errors are channels at the end.
        """
        if not runs_on_columns(arguments):
            return None
        place = (arguments.covered, readout, arguments.batch, key)
        if place not in self._chosen_ways:
            if len(self._chosen_ways) >= KEPT_CHOICES:
                self._chosen_ways.clear()
            self._chosen_ways[place] = self._cheapest_way(key, strings, arguments, readout)
        return self._chosen_ways[place]

    def _cheapest_way(
        self, key: object, strings: list[String], arguments: Arguments, readout: bool
    ) -> Way | None:
        batch, covered = arguments.batch, arguments.covered
        found = []
        for backward in (False, True):
            # A column for each of many strings is not cheaper, and takes long to lay out.
            if not backward or len(strings) <= max(4 * batch, FEW_STRINGS):
                place = (covered, readout, key, backward)
                if place not in self.known:
                    if len(self.known) >= KEPT_CHOICES:
                        self.known.clear()
                    self.known[place] = self.way(covered, readout, strings, backward=backward)
                found.append(self.known[place])
        best = min(found, key=lambda way: way.seconds(batch))
        others = (
            picture_seconds(
                self._layouts.pictures(covered, readout, width, backward), batch, len(strings)
            )
            for width in WIDTHS
            for backward in (False, True)
        )
        return best if best.seconds(batch) < min(others) else None

    def way(
        self, covered: tuple[int, ...], readout: bool, strings: list[String], *, backward: bool
    ) -> Way:
        """Return states or, if backward, observables as columns, whatever they cost."""
        pictures = self._layouts.pictures(covered, readout, WIDTHS[0], backward)
        blocks = pictures.blocks
        if backward:
            late = late_blocks(pictures)
            columns = observable_columns(blocks, late, strings)
            used = set(late)
        else:
            columns = [state_column(blocks, covered, strings)]
            used = {step.block for step in columns[0].steps if step.block >= 0}
        widest = max((len(blocks[k].qubits) for k in used), default=0)
        digits = len(self._active) if backward else columns[0].digits
        fits = 0 < widest <= MAX_COLUMN_BLOCK and digits <= MAX_DIGITS
        return Way(pictures, columns if fits else None, covered, strings)

    def evaluate(self, way: Way, arguments: Arguments) -> Tensor:
        """Return the expectation values of the way's strings, ``(strings, batch or 1)``."""
        self._check_columns(way, arguments)
        state = None if arguments.state is None else pauli_vector(arguments.state, self._constants)
        if way.states is None and way.observables is None:
            self._build(way)
        if way.states is not None:
            start = None if state is None else state.t()
            return way.states.evaluate(arguments, start)
        assert way.observables is not None  # one of both has been built
        assert way.forward is not None
        components = {} if state is None else {0: state}
        if way.starts is not None:
            components |= way.starts.build(arguments, arguments.like)
        if way.forward.pictures.forward.actions:
            self._layouts.run(way.forward, components, arguments)
        return way.observables.evaluate(arguments, components)

    def _build(self, way: Way) -> None:
        assert way.columns is not None  # the way was chosen
        pictures = way.pictures
        if pictures.backward is None:
            way.states = StateLayout(
                pictures.blocks, way.columns[0], way.strings, self._inputs, self._weights
            )
            return
        layout = self._layouts.compiled(Pictures(pictures.blocks, pictures.forward, None))
        way.forward, way.starts = self._without_starts(layout)
        way.observables = ObservableLayout(
            pictures, way.columns, self._active, self._inputs, self._weights
        )

    def _without_starts(self, layout: Layout) -> tuple[Layout, SampleStarts | None]:
        """Return the forward picture without qubits that only one input turns, and those at once."""
        forward, blocks = layout.pictures.forward, layout.pictures.blocks
        actions: dict[int, list[Action]] = {}
        for action in forward.actions:
            actions.setdefault(action.component, []).append(action)
            if action.kind == "merge":
                actions.setdefault(action.other, []).append(action)
        starts = {
            component: (blocks[several[1].block].events[0], layout.zeros[id(several[0])])
            for component, several in actions.items()
            if [each.kind for each in several] == ["zero", "rotate"]
            and len(several[1].register) == 1
        }
        if not starts:
            return layout, None
        rest = [action for action in forward.actions if action.component not in starts]
        picture = Picture(rest, forward.orders, forward.batched)
        others = self._layouts.compiled(Pictures(blocks, picture, None))
        return others, SampleStarts(starts, self._inputs, self._weights)

    def needed_bytes(self, way: Way, arguments: Arguments) -> int:
        """Return the most memory that a way takes at a time, its backward pass included."""
        assert way.columns is not None  # the way was chosen
        batch, strings, size = arguments.batch, len(way.strings), arguments.like.element_size()
        kept, states = is_differentiated(arguments), way.pictures.backward is None
        count = batch if states else len(way.columns)
        keep = kept and way.needs.keeps(count, size)
        threads = min(torch.get_num_threads(), count)
        numbers = threads * sum(way.needs.working(batch, backward=kept, keep=keep))
        if kept:  # what was worked in on the way there is free, but need not go back to the system
            numbers += threads * sum(way.needs.working(batch, backward=False, keep=keep))
        numbers += count * way.needs.kept if keep else 0
        # Results and what is made of them: sums and differences of outcomes, and their gradients.
        numbers += (6 if kept else 4) * strings * batch
        # Cosines, sines and sums of terms; back, sums, all entries, and a gradient of each term.
        numbers += (8 if kept else 3) * way.own_numbers * batch
        if arguments.state is not None:
            back = kept and arguments.state.requires_grad
            numbers += initial_numbers(len(way.covered), batch, back=back)
        if not states:
            numbers += way.pictures.forward.numbers(batch, kept=kept)
            numbers += 8 * len(self._active) * batch  # vectors of samples, and their gradients
            if not way.reads_products:
                # All observables at the start of the circuit; what autograd keeps, and their gradients.
                numbers += (3 if kept else 1) * strings * 4 ** len(self._active)
                numbers += (3 if kept else 2) * strings * 2 ** len(self._active) * batch
        return numbers * size + threads * way.records

    def _check_columns(self, way: Way, arguments: Arguments) -> None:
        check_memory(
            self.needed_bytes(way, arguments),
            arguments.like.device,
            f"A density matrix of {len(self._active)} qubits for {arguments.batch} samples",
            "use method='trajectories' (noise_injection=true in training), fewer samples or fewer "
            "qubits",
        )
