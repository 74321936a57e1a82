"""Exact evolution of density matrices, as real vectors over Pauli strings."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import final

import numpy as np
import torch
from qiskit.circuit import Parameter, ParameterExpression
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor

from ...arguments import all_of_kind
from ...circuits.spec import WAY_TO_SUMS
from ...errors import InvalidData
from ..evolution.autograd_ops import in_full_precision
from ..lowering.angles import Tree
from ..lowering.pauli_sums import pauli_sum_key
from .angles import Angles
from .base import Arguments, NoisyProgram, confusion_terms
from .blocks import fuse
from .channels import PAULIS, ReadoutMap
from .column_layout import ObservableLayout, StateLayout, late_blocks, runs_on_columns
from .column_reading import table_numbers
from .column_steps import Column
from .columns import String, observable_columns, state_column
from .lowering import Event, NoisyCircuit
from .matrices import BlockMatrices, SampleRotations, SampleStarts
from .memory import check_memory
from .pictures import Action, Picture, Pictures, lay_out, run_observables, run_picture

__all__ = [
    "FEW_STRINGS",
    "KEPT_CHOICES",
    "MAX_COLUMN_BLOCK",
    "MAX_DIGITS",
    "MAX_MATRIX_QUBITS",
    "WIDTHS",
    "DensityProgram",
    "String",
]

WIDTHS = (2, 3)
"""Largest blocks that are tried, in qubits; the way with the lowest estimated cost is taken."""
KEPT_CHOICES = 64
"""Batch sizes and numbers of observables for which the cheapest way is remembered."""
FEW_STRINGS = 32
"""Strings that may be evolved, however small the batch."""
MAX_COLUMN_BLOCK = 2
"""Qubits of the blocks that columns know."""
MAX_DIGITS = 15
"""Qubits of a column, whose places are numbers of 31 bits."""
MAX_MATRIX_QUBITS = 13
"""Most qubits of a density matrix: 4**13 complex numbers a sample."""


@dataclass
class _Layout:
    """Pictures with the matrices of their blocks."""

    pictures: Pictures
    matrices: BlockMatrices
    keys: list[object | None]
    weighted: Angles
    rotations: SampleRotations
    zeros: dict[int, np.ndarray]
    """Id of an action to the vector of its new qubit, ``(4, 1)``."""


@dataclass
class _Way:
    """A way to compute some strings in columns."""

    pictures: Pictures
    columns: list[Column] | None
    """None where a block has too many qubits."""
    covered: tuple[int, ...]
    strings: list[String]
    states: StateLayout | None = None
    observables: ObservableLayout | None = None
    forward: _Layout | None = None
    """The part before the observables."""
    starts: SampleStarts | None = None

    def seconds(self, batch: int) -> float:
        """Return the estimated time of a training step."""
        if self.columns is None:
            return math.inf
        total = sum(column.seconds() for column in self.columns)
        if self.pictures.backward is None:
            return batch * total
        return total + self.pictures.forward.seconds(batch)


@final
class DensityProgram(NoisyProgram):
    """A noisy circuit, its density matrix evolved exactly.

    The state costs ``4**active`` real numbers a sample. A cost model chooses, for each batch size,
    whether states or observables are evolved, and how far gates and noise are fused.
    """

    def __init__(
        self, noisy: NoisyCircuit, inputs: Sequence[Parameter], weights: Sequence[Parameter]
    ) -> None:
        super().__init__(noisy, inputs, weights)
        self._known_pictures: dict[tuple[tuple[int, ...], bool, int, bool], Pictures] = {}
        self._layouts: dict[tuple[tuple[int, ...], bool, int, bool], _Layout] = {}
        self._chosen: dict[tuple[tuple[int, ...], bool, int, int], _Layout] = {}
        """Layouts by batch size and number of observables, for which the cost model chose them."""
        self._observables: dict[tuple[Hashable, ...], tuple[list[String], np.ndarray]] = {}
        self._inside: dict[tuple[Hashable, ...], tuple[list[String], np.ndarray]] = {}
        """By observables and readout: strings on active qubits, and their coefficients."""
        self._tensors: dict[tuple[object, ...], Tensor] = {}
        self._ways: dict[tuple[object, ...], _Way] = {}
        """By covered qubits, readout, strings, and whether observables are evolved."""
        self._chosen_ways: dict[tuple[object, ...], _Way | None] = {}
        """By covered qubits, readout, batch size and strings."""

    @in_full_precision
    def probabilities(
        self,
        inputs: Tensor | None = None,
        weights: Tensor | None = None,
        initial_state: Tensor | None = None,
        *,
        initial_qubits: Sequence[int] | None = None,
        qubits: Sequence[int] | None = None,
        readout: bool = True,
    ) -> Tensor:
        """See :meth:`NoisyProgram.probabilities`; exact."""
        arguments = self._arguments(inputs, weights, initial_state, initial_qubits)
        chosen = self._outcome_qubits(qubits)
        busy = [q for q in chosen if q in set(self.active)]
        # Strings of I and Z: bit k of the row is Z on the k-th qubit.
        strings: list[String] = [
            tuple((q, 3) for k, q in enumerate(busy) if row >> k & 1)
            for row in range(2 ** len(busy))
        ]
        values = self._strings(("outcomes", *busy), strings, arguments, readout)
        values = values.reshape(*[2] * len(busy), -1)
        for axis in range(len(busy)):
            plus, minus = values.unbind(axis)
            values = torch.stack([plus + minus, plus - minus], axis) / 2
        if len(busy) < len(chosen):
            for axis, qubit in enumerate(reversed(chosen)):
                if qubit not in busy:
                    row = self._idle(qubit, readout)
                    pair = [values * float(row[0]), values * float(row[1])]
                    values = torch.stack(pair, axis)
        return self._connected(values.reshape(2 ** len(chosen), -1).t(), arguments)

    @in_full_precision
    def expectation(
        self,
        observables: Sequence[SparsePauliOp],
        inputs: Tensor | None = None,
        weights: Tensor | None = None,
        initial_state: Tensor | None = None,
        *,
        initial_qubits: Sequence[int] | None = None,
        readout: bool = True,
    ) -> Tensor:
        """See :meth:`NoisyProgram.expectation`; exact."""
        arguments = self._arguments(inputs, weights, initial_state, initial_qubits)
        key = tuple(
            map(pauli_sum_key, all_of_kind(observables, SparsePauliOp, "observables", WAY_TO_SUMS))
        )
        if key not in self._observables:
            self._observables[key] = self._pauli_terms(observables)
        inside, coefficients = self._on_active(key, readout)
        if not inside:
            zeros = arguments.like.new_zeros(arguments.batch, len(observables))
            return self._connected(zeros, arguments)
        values = self._strings((key, readout), inside, arguments, readout)
        matrix = self._constant((key, readout), coefficients, arguments.like)
        return self._connected((matrix @ values).t(), arguments)

    def _on_active(
        self, key: tuple[Hashable, ...], readout: bool
    ) -> tuple[list[String], np.ndarray]:
        """Return known observables as strings on active qubits, and ``(observables, strings)``.

        Qubits on which nothing acts are numbers in the coefficients.
        """
        place = (key, readout)
        if place not in self._inside:
            self._inside[place] = self._without_idle(*self._observables[key], readout)
        return self._inside[place]

    def _without_idle(
        self, strings: list[String], table: np.ndarray, readout: bool
    ) -> tuple[list[String], np.ndarray]:
        factors = np.ones(len(strings))
        kept: dict[String, int] = {}
        rows = []
        for row, string in enumerate(strings):
            for qubit, digit in string:
                if qubit not in self.active:
                    zero, one = self._idle(qubit, readout)
                    a = self._bias(qubit) if readout else 0.0
                    factors[row] *= zero - one if digit == 3 else a
            inside = tuple(pair for pair in string if pair[0] in self.active)
            rows.append(kept.setdefault(inside, len(kept)))
        coefficients = np.zeros((len(table), len(kept)))
        np.add.at(coefficients.T, rows, (table * factors).T)
        return list(kept), coefficients

    @in_full_precision
    def density_matrix(
        self,
        inputs: Tensor | None = None,
        weights: Tensor | None = None,
        initial_state: Tensor | None = None,
        *,
        initial_qubits: Sequence[int] | None = None,
        qubits: Sequence[int] | None = None,
    ) -> Tensor:
        """Return the density matrices before readout, all other qubits traced out.

        Args:
            inputs, weights, initial_state, initial_qubits: As for :meth:`probabilities`.
            qubits: Active qubits, the first least significant; all of them if None.

        Returns:
            ``(batch, 2**k, 2**k)`` complex.

        Raises:
            InvalidData: As for :meth:`probabilities`, or for an inactive qubit.
        """
        arguments = self._arguments(inputs, weights, initial_state, initial_qubits)
        chosen = self._qubits(qubits, self.active)
        if not set(chosen) <= set(self.active) or len(chosen) > MAX_MATRIX_QUBITS:
            raise InvalidData(
                f"qubits holds at most {MAX_MATRIX_QUBITS} of the active qubits "
                f"{list(self.active)}, got {list(chosen)}."
            )
        k = len(chosen)
        strings: list[String] = [
            tuple((q, row >> 2 * p & 3) for p, q in enumerate(chosen) if row >> 2 * p & 3)
            for row in range(4**k)
        ]
        values = self._strings(("matrix", *chosen), strings, arguments, False).t()
        complex_dtype = arguments.like.dtype.to_complex()
        halves = self._constant("matrix", PAULIS.reshape(4, 4) / 2, arguments.like, complex_dtype)
        rho = _on_every_digit(values.to(complex_dtype), halves.t())
        pairs = rho.reshape(-1, *[2] * (2 * k))
        axes = [1 + 2 * p for p in range(k)] + [2 + 2 * p for p in range(k)]
        found = pairs.permute(0, *axes).reshape(-1, 2**k, 2**k)
        return self._connected(found, arguments)

    def explain(self, batch: int = 32, observables: int = 1) -> str:
        """Return the ways that are considered, with milliseconds of a training step."""
        lines = ["  milliseconds  blocks on  picture"]
        for width in WIDTHS:
            for backward in (False, True):
                pictures = self._pictures((), True, width, backward)
                seconds = _seconds(pictures, batch, observables)
                picture = "observables backwards" if backward else "states forwards"
                lines.append(f"  {seconds * 1e3:12.2f}  {width} qubits   {picture}")
        return "\n".join(lines)

    # ------------------------------------------------------------------ evolution

    def _strings(
        self, key: object, strings: list[String], arguments: Arguments, readout: bool
    ) -> Tensor:
        """Return the expectation values of Pauli strings on active qubits, ``(strings, batch)``.

        The key stands for the strings, so that their indices are worked out once.
        """
        batch, like = arguments.batch, arguments.like
        if not self.active:
            return like.new_ones(len(strings), batch)
        way = self._columns(key, strings, arguments, readout)
        if way is not None:
            return self._on_columns(way, arguments).expand(-1, batch)
        layout = self._layout(arguments.covered, readout, batch, len(strings))
        pictures = layout.pictures
        kept = _is_differentiated(arguments)
        numbers = pictures.forward.numbers(batch, kept=kept)
        if pictures.backward is not None:
            numbers += pictures.backward.numbers(len(strings), kept=kept) + 2 * 4 ** len(
                self.active
            )
        check_memory(
            numbers * like.element_size(),
            like.device,
            f"A density matrix of {len(self.active)} qubits for {batch} samples",
            "use method='trajectories' (noise_injection=true in training), fewer samples or fewer "
            "qubits",
        )
        state: dict[int, Tensor] = {}
        if arguments.state is not None:
            state[0] = self._pauli_vector(arguments.state)
        matrices = self._run_forward(layout, state, arguments)
        if pictures.backward is None:
            (order,) = pictures.forward.orders.values()
            (final,) = state.values()
            found = final.index_select(0, self._rows(key, strings, order, like))
            return found.expand(-1, batch)
        rows = self._rows(key, strings, self.active, like)
        start = like.new_zeros(4 ** len(self.active), len(strings))
        start.scatter_(0, rows.unsqueeze(0), 1.0)
        evolved = {0: start}
        run_observables(pictures.backward, evolved, matrices)
        return self._contract(pictures, evolved[0], state, like).expand(-1, batch)

    def _run_forward(
        self, layout: _Layout, state: dict[int, Tensor], arguments: Arguments
    ) -> list[Tensor | None]:
        """Run the forward picture on components; return the matrices of all blocks."""
        like = arguments.like
        angles = layout.weighted.evaluate(None, arguments.weights, like)
        built = layout.matrices.build(angles, like)
        matrices = [None if key is None else built[key] for key in layout.keys]
        rotations = layout.rotations.build(arguments, like)

        def rotate(action: Action, x: Tensor) -> Tensor:
            same, turned, partner = rotations[action.block]
            split = x.reshape(action.high, len(partner), -1, x.shape[-1])
            return torch.addcmul(split * same, split.index_select(1, partner), turned)

        def zero(action: Action) -> Tensor:
            return self._constant(("zero", id(action)), layout.zeros[id(action)], like)

        run_picture(layout.pictures.forward, state, matrices, rotate, zero)
        return matrices

    # ------------------------------------------------------------------ columns

    def _columns(
        self, key: object, strings: list[String], arguments: Arguments, readout: bool
    ) -> _Way | None:
        """Return the way in machine code, if it is the cheapest that there is."""
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
    ) -> _Way | None:
        batch, covered = arguments.batch, arguments.covered
        found = []
        for backward in (False, True):
            # A column for each of many strings is not cheaper, and takes long to lay out.
            if not backward or len(strings) <= max(4 * batch, FEW_STRINGS):
                place = (covered, readout, key, backward)
                if place not in self._ways:
                    if len(self._ways) >= KEPT_CHOICES:
                        self._ways.clear()
                    self._ways[place] = self._way(covered, readout, strings, backward=backward)
                found.append(self._ways[place])
        best = min(found, key=lambda way: way.seconds(batch))
        others = (
            _seconds(self._pictures(covered, readout, width, backward), batch, len(strings))
            for width in WIDTHS
            for backward in (False, True)
        )
        return best if best.seconds(batch) < min(others) else None

    def _way(
        self, covered: tuple[int, ...], readout: bool, strings: list[String], *, backward: bool
    ) -> _Way:
        pictures = self._pictures(covered, readout, WIDTHS[0], backward)
        blocks = pictures.blocks
        if backward:
            late = late_blocks(pictures)
            columns = observable_columns(blocks, late, strings)
            used = set(late)
        else:
            columns = [state_column(blocks, covered, strings)]
            used = {step.block for step in columns[0].steps if step.block >= 0}
        widest = max((len(blocks[k].qubits) for k in used), default=0)
        digits = len(self.active) if backward else columns[0].digits
        fits = 0 < widest <= MAX_COLUMN_BLOCK and digits <= MAX_DIGITS
        return _Way(pictures, columns if fits else None, covered, strings)

    def _on_columns(self, way: _Way, arguments: Arguments) -> Tensor:
        """Return the expectation values of the way's strings, ``(strings, batch or 1)``."""
        self._check_columns(way, arguments)
        state = None if arguments.state is None else self._pauli_vector(arguments.state)
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
            self._run_forward(way.forward, components, arguments)
        return way.observables.evaluate(arguments, components)

    def _build(self, way: _Way) -> None:
        assert way.columns is not None  # the way was chosen
        pictures = way.pictures
        if pictures.backward is None:
            way.states = StateLayout(
                pictures.blocks, way.columns[0], way.strings, self.inputs, self.weights
            )
            return
        layout = self._compile(Pictures(pictures.blocks, pictures.forward, None))
        way.forward, way.starts = self._without_starts(layout)
        way.observables = ObservableLayout(
            pictures, way.columns, self.active, self.inputs, self.weights
        )

    def _without_starts(self, layout: _Layout) -> tuple[_Layout, SampleStarts | None]:
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
        others = self._compile(Pictures(blocks, picture, None))
        return others, SampleStarts(starts, self.inputs, self.weights)

    def _check_columns(self, way: _Way, arguments: Arguments) -> None:
        assert way.columns is not None  # the way was chosen
        like, threads, batch = arguments.like, torch.get_num_threads(), arguments.batch
        kept = _is_differentiated(arguments)
        needed = threads * max(column.numbers(kept=kept) for column in way.columns)
        if way.pictures.backward is None:
            needed += 2 * batch * (len(way.strings) + (4 ** len(way.covered)))
        else:
            needed += threads * table_numbers(max(len(c.qubits) for c in way.columns), batch)
            if any(len(each) > 1 for each in way.pictures.forward.orders.values()):
                # All observables at the start of the circuit; what autograd keeps, and their gradients.
                needed += (3 if kept else 1) * len(way.strings) * 4 ** len(self.active)
            needed += way.pictures.forward.numbers(batch, kept=kept)
        check_memory(
            needed * like.element_size(),
            like.device,
            f"A density matrix of {len(self.active)} qubits for {arguments.batch} samples",
            "use method='trajectories' (noise_injection=true in training), fewer samples or fewer "
            "qubits",
        )

    def _contract(
        self, pictures: Pictures, observables: Tensor, state: dict[int, Tensor], like: Tensor
    ) -> Tensor:
        """Return the values of observables ``(4**n, m)`` in the product state, ``(m, columns)``."""
        assert pictures.backward is not None  # the caller has evolved observables
        order, m = pictures.backward.orders[0], observables.shape[1]
        parts = sorted(state, key=lambda c: (state[c].shape[1] > 1, -state[c].shape[0]))
        orders = [pictures.forward.orders[c] for c in parts]
        reached = {q for part in orders for q in part}
        fresh = [q for q in order if q not in reached]
        shared = [c for c in parts if state[c].shape[1] == 1]
        own = [c for c in parts if state[c].shape[1] != 1]
        halves: tuple[list[int], list[int]] = ([], [])
        for c in own:  # the larger ones first
            min(halves, key=lambda half: sum(len(pictures.forward.orders[k]) for k in half)).append(
                c
            )
        wanted = [*fresh]
        for c in (*shared, *halves[0], *halves[1]):
            wanted += pictures.forward.orders[c]
        n = len(order)
        axes = [order.index(q) for q in wanted]
        x = observables.reshape(*[4] * n, m).permute(*axes, n)
        for _ in fresh:
            x = x[0] + x[3]  # I and Z are 1 in |0>
        for c in shared:
            vector = state[c].squeeze(1)
            x = vector @ x.reshape(len(vector), -1)
        if not own:
            return x.reshape(m, 1)
        first, second = (_product([state[c] for c in half]) for half in halves)
        assert first is not None  # there is at least one component, and it went there
        x = (first.t() @ x.reshape(first.shape[0], -1)).reshape(first.shape[1], -1, m)
        if second is None:
            return x.squeeze(1).t()
        return torch.bmm(second.t().unsqueeze(1), x).squeeze(1).t()

    def _pauli_vector(self, states: Tensor) -> Tensor:
        """Return ``tr(P |psi><psi|)`` for all P, ``(4**k, batch)`` real."""
        batch, size = states.shape
        k = size.bit_length() - 1
        rho = (states.unsqueeze(2) * states.conj().unsqueeze(1)).reshape(batch, *[2] * (2 * k))
        axes = [axis for p in range(k) for axis in (1 + p, 1 + k + p)]
        pairs = rho.permute(0, *axes).reshape(batch, 4**k)
        # tr(P rho) = sum_ij conj(P)_ij rho_ij, as P is Hermitian.
        matrix = self._constant(
            "vector", PAULIS.reshape(4, 4).conj(), states.real.detach(), states.dtype
        )
        return _on_every_digit(pairs, matrix).real.t().contiguous()

    # ------------------------------------------------------------------ pictures

    def _events(self, readout: bool) -> list[Event]:
        events = list(self._noisy.events)
        if readout:
            for qubit in self.active:
                if qubit in self._noisy.confusion:
                    a, b = confusion_terms(self._noisy.confusion[qubit])
                    matrix = np.diag([1.0, b, b, b])
                    matrix[1:, 0] = a
                    events.append(Event((qubit,), channel=ReadoutMap(matrix)))
        return events

    def _pictures(
        self, covered: tuple[int, ...], readout: bool, width: int, backward: bool
    ) -> Pictures:
        key = (covered, readout, width, backward)
        if key not in self._known_pictures:
            blocks = fuse(self._events(readout), width)
            self._known_pictures[key] = lay_out(blocks, self.active, covered, backward=backward)
        return self._known_pictures[key]

    def _layout(
        self, covered: tuple[int, ...], readout: bool, batch: int, observables: int
    ) -> _Layout:
        place = (covered, readout, batch, observables)
        if place not in self._chosen:
            if len(self._chosen) >= KEPT_CHOICES:
                self._chosen.clear()
            self._chosen[place] = self._cheapest(*place)
        return self._chosen[place]

    def _cheapest(
        self, covered: tuple[int, ...], readout: bool, batch: int, observables: int
    ) -> _Layout:
        candidates = [(w, b) for w in WIDTHS for b in (False, True)]
        best = min(
            candidates,
            key=lambda c: _seconds(self._pictures(covered, readout, *c), batch, observables),
        )
        key = (covered, readout, *best)
        if key not in self._layouts:
            self._layouts[key] = self._compile(self._known_pictures[key])
        return self._layouts[key]

    def _compile(self, pictures: Pictures) -> _Layout:
        rotations = [
            event for block in pictures.blocks for event in block.events if event.channel is None
        ]
        shared = [event for event in rotations if not event.on_inputs]
        columns = {id(event): row for row, event in enumerate(shared)}
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
                keys.append(matrices.add(block.events, columns, registers[index]))
        matrices.finish()
        return _Layout(
            pictures,
            matrices,
            keys,
            Angles([_angle(event) for event in shared], self.inputs, self.weights),
            SampleRotations(places, self.inputs, self.weights),
            zeros,
        )

    # ------------------------------------------------------------------ small things

    def _rows(
        self, key: object, strings: list[String], order: Sequence[int], like: Tensor
    ) -> Tensor:
        """Return the indices of Pauli strings in a vector whose qubits lie in this order."""
        place = (key, tuple(order), torch.int64, like.device)
        if place not in self._tensors:
            weight = {q: 4 ** (len(order) - 1 - k) for k, q in enumerate(order)}
            rows = [sum(digit * weight[q] for q, digit in string) for string in strings]
            self._tensors[place] = torch.tensor(rows, device=like.device)
        return self._tensors[place]

    def _idle(self, qubit: int, readout: bool) -> np.ndarray:
        """Return the probabilities of the outcomes of a qubit on which nothing acts."""
        if readout and qubit in self._noisy.confusion:
            return self._noisy.confusion[qubit][0]
        return np.array([1.0, 0.0])

    def _bias(self, qubit: int) -> float:
        matrix = self._noisy.confusion.get(qubit)
        return 0.0 if matrix is None else confusion_terms(matrix)[0]

    def _constant(
        self, key: object, array: np.ndarray, like: Tensor, dtype: torch.dtype | None = None
    ) -> Tensor:
        if dtype is None:
            dtype = torch.int64 if array.dtype.kind == "i" else like.dtype
        place = (key, dtype, like.device)
        if place not in self._tensors:
            self._tensors[place] = torch.tensor(array, dtype=dtype, device=like.device)
        return self._tensors[place]


def _is_differentiated(arguments: Arguments) -> bool:
    """Return whether torch keeps what it computes for a backward pass."""
    given = (arguments.inputs, arguments.weights, arguments.state)
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in given)


def _angle(event: Event) -> ParameterExpression | Tree:
    assert event.angle is not None  # rotations have one
    return event.angle


def _product(parts: list[Tensor]) -> Tensor | None:
    """Return the tensor product of components ``(4**k, batch)``; None if there are none."""
    if not parts:
        return None
    return reduce(lambda x, y: (x.unsqueeze(1) * y.unsqueeze(0)).flatten(0, 1), parts)


def _on_every_digit(x: Tensor, matrix: Tensor) -> Tensor:
    """Apply a 4 x 4 matrix to every base-4 digit of ``(batch, 4**k)``."""
    shape = x.shape
    k = (shape[1].bit_length() - 1) // 2
    for _ in range(k):  # each turn moves the first digit to the end
        x = (x.reshape(shape[0], 4, -1).transpose(1, 2) @ matrix.t()).reshape(shape)
    return x


def _seconds(pictures: Pictures, batch: int, observables: int) -> float:
    total = pictures.forward.seconds(batch)
    if pictures.backward is not None:
        total += pictures.backward.seconds(observables)
    return total
