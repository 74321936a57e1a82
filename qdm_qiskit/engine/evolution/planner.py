"""Planning of steps from segments: the qubits of each component, their order, and the cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ..lowering.operations import Monomial, Operation, Segment, as_real, fixed_product
from .constants import BlockHandle, Constants
from .qubit_order import neighbourly
from .steps import Dense, Merge, Move, PerSample, Project, Step, Zero
from .unitary_products import FACTOR_ENTRY_US, chain_us

__all__ = [
    "CACHE",
    "CALL_US",
    "COMPLEX_US",
    "LOOK_AHEAD",
    "MOVE_US",
    "NOMINAL_BATCH",
    "PHASE_US",
    "REAL_US",
    "Builder",
    "Plan",
    "Planner",
    "are_real",
]

NOMINAL_BATCH = 64
"""Samples that the cost model assumes."""
CALL_US = 8.0
"""Forward and backward of one call of torch, in microseconds."""
MOVE_US = 5e-4
"""A gather of one amplitude, forward and backward."""
PHASE_US = 2e-3
"""A multiplication of one amplitude by a phase that depends on weights, forward and backward."""
COMPLEX_US, REAL_US = (4.6e-4, 7.6e-5), (4.3e-4, 4.3e-5)
"""A matrix product for one amplitude: constant, and for each column of the matrix. Measured for
complex64 on one core of a 2024 server; only their ratios matter."""
LOOK_AHEAD = 16
"""Segments that are looked at when qubits have to be put into another order."""
CACHE = 2**16
"""Amplitudes that a core's cache holds; beyond, moving one costs three times as much."""


def _moving(elements: int) -> float:
    """Return the weight of memory traffic."""
    return elements if elements <= CACHE else 3 * elements


@dataclass
class _Component:
    qubits: list[int]
    """Qubits of the component, most significant first."""
    batched: bool

    @property
    def columns(self) -> int:
        return NOMINAL_BATCH if self.batched else 1


@dataclass
class _Waiting:
    """A permutation that is not emitted yet, because the next one may join it."""

    component: int
    monomial: Monomial | None
    """Monomial of the permutation; None while costs are only estimated."""
    moves: bool = False
    weighted: bool = False
    fixed: bool = False

    def extend(self, later: _Waiting) -> None:
        """Join a later permutation of the same component."""
        if self.monomial is not None and later.monomial is not None:
            self.monomial = self.monomial.then(later.monomial)
        self.moves |= later.moves
        self.weighted |= later.weighted
        self.fixed |= later.fixed


@dataclass
class Plan:
    """Steps of a program, and their estimated costs."""

    steps: list[Step] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    samples: list[list[Operation]] = field(default_factory=list)
    """Per-sample gates by key: a run of gates on the same qubits."""
    final: int = 0
    """The last component."""
    order: tuple[int, ...] = ()
    """Its qubits, most significant first."""

    @property
    def cost(self) -> float:
        """Estimated microseconds of a step of training."""
        return sum(self.costs)


class Builder(Protocol):
    """Collector of blocks and monomials, which a planner gives it."""

    def add(
        self, operations: Sequence[Operation], qubits: Sequence[int], fresh: int
    ) -> BlockHandle:
        """See :meth:`BlockBuilder.add`."""

    def add_phases(self, monomial: Monomial) -> tuple[int, int]:
        """See :meth:`BlockBuilder.add_phases`."""


class Planner:
    """Layout of one list of segments.

    Args:
        segments: In circuit order.
        num_qubits: Number of qubits of the circuit.
        start: Qubits that an initial state will hold, least significant first; all others start
            in |0>.
        builder: Collects blocks with weights; None estimates only.
        constants: Collects fixed arrays.
    """

    def __init__(
        self,
        segments: Sequence[Segment],
        num_qubits: int,
        start: Sequence[int],
        builder: Builder | None,
        constants: Constants,
    ) -> None:
        self.num_qubits = num_qubits
        self.builder = builder
        self.constants = constants
        self.plan = Plan()
        self.components: dict[int, _Component] = {}
        self.where: dict[int, int] = {}
        self._next = 0
        self._open: _Waiting | None = None
        if start:
            self._new(list(reversed(start)), batched=True)
        self._ahead: list[set[int]] = []
        """Qubits of the blocks that come next, this one first."""
        for position, segment in enumerate(segments):
            ahead = segments[position : position + LOOK_AHEAD]
            self._ahead = [each.support for each in ahead if each.kind == "block"]
            self._lay_out(segment)
        self._finish()

    # ---- layout -------------------------------------------------------------------------------

    def _new(self, qubits: Sequence[int], *, batched: bool) -> int:
        key = self._next
        self._next += 1
        self.components[key] = _Component(list(qubits), batched)
        self.where.update(dict.fromkeys(qubits, key))
        return key

    def _emit(self, step: Step, cost: float) -> None:
        self.plan.steps.append(step)
        self.plan.costs.append(cost)

    def _joined(self, qubits: Sequence[int]) -> int | None:
        """Merge the components that hold any of the qubits; None if all are in |0> still."""
        keys = sorted({self.where[q] for q in qubits if q in self.where})
        if not keys:
            return None
        if len(keys) > 1:
            self._close()
        keys.sort(key=lambda key: -max(self.components[key].qubits))
        first = keys[0]
        for other in keys[1:]:
            high, low = self.components[first], self.components.pop(other)
            high.qubits += low.qubits
            high.batched = high.batched or low.batched
            self.where.update(dict.fromkeys(low.qubits, first))
            elements = 2 ** len(high.qubits) * high.columns
            self._emit(Merge(first, other), 2 * CALL_US + PHASE_US * _moving(elements))
        return first

    def _reorder(self, key: int, qubits: list[int]) -> None:
        """Change the order of a component's qubits (most significant first)."""
        component = self.components[key]
        if component.qubits == qubits:
            return
        size = len(qubits)
        monomial = None
        if self.builder is not None:
            position = {q: size - 1 - k for k, q in enumerate(qubits)}
            index = np.arange(2**size)
            rows = np.zeros_like(index)
            for k, q in enumerate(component.qubits):
                rows |= ((index >> (size - 1 - k)) & 1) << position[q]
            monomial = Monomial(rows, np.ones(2**size, dtype=complex), {})
        self._move(key, _Waiting(key, monomial, moves=True))
        component.qubits = list(qubits)

    def _move(self, key: int, next_: _Waiting) -> None:
        """Permute a component; permutations that follow each other become one."""
        if self._open is not None and self._open.component == key:
            self._open.extend(next_)
            return
        self._close()
        self._open = next_

    def _close(self) -> None:
        """Emit the permutation that waits."""
        if self._open is None:
            return
        waiting, self._open = self._open, None
        key, monomial = waiting.component, waiting.monomial
        component = self.components[key]
        step = Move(key, None, None, None, None, f"monomial on {len(component.qubits)} qubits:")
        moves, weighted, fixed = waiting.moves, waiting.weighted, waiting.fixed
        if monomial is not None and self.builder is not None:
            keep = self.constants.add
            source = np.argsort(monomial.rows)
            factors = as_real(monomial.factors[source])
            moves, weighted, fixed = monomial.moves, bool(monomial.phases), monomial.turns
            if moves:
                step.source, step.inverse = keep(source), keep(monomial.rows)
            if weighted:
                step.phases = self.builder.add_phases(monomial)
            elif fixed:
                step.signs = keep(factors.reshape(-1, 1))
        elements = _moving(2 ** len(component.qubits) * component.columns)
        cost = 0.0
        if moves:
            step.text += " permutation"
            cost += 3 * CALL_US + MOVE_US * elements
        if weighted:
            step.text += " phases with weights"
            cost += 3 * CALL_US + PHASE_US * elements
        elif fixed:
            step.text += " fixed phases"
            cost += CALL_US + MOVE_US * elements
        if cost:
            self._emit(step, cost)

    def _window(self, key: int, qubits: Sequence[int]) -> int:
        """Bring qubits of a component next to each other; the product of the axes above them."""
        component = self.components[key]
        wanted = set(qubits)
        places = [k for k, q in enumerate(component.qubits) if q in wanted]
        if places[-1] - places[0] + 1 != len(places):
            self._reorder(key, neighbourly(component.qubits, [wanted, *self._ahead]))
            places = [k for k, q in enumerate(component.qubits) if q in wanted]
        self._close()
        return 2 ** places[0]

    # ---- segments -----------------------------------------------------------------------------

    def _lay_out(self, segment: Segment) -> None:
        match segment.kind:
            case "block":
                self._block(segment)
            case "monomial":
                self._monomial(segment)
            case "sample":
                self._sample(segment)
            case "project":
                self._project(segment)

    def _monomial(self, segment: Segment) -> None:
        key = self._joined(sorted(segment.support))
        fresh = sorted((q for q in segment.support if q not in self.where), reverse=True)
        if fresh:
            self._close()
            zero = self._new(fresh, batched=False)
            self._emit(Zero(zero, len(fresh)), CALL_US)
            key = self._joined(sorted(segment.support))
        assert key is not None  # every qubit of the segment is in a component by now
        component = self.components[key]
        size = len(component.qubits)
        place = {q: size - 1 - k for k, q in enumerate(component.qubits)}
        total = None if self.builder is None else Monomial.identity(2**size)
        waiting = _Waiting(key, total)
        for operation in segment.operations:
            small = operation.monomial
            assert small is not None  # fusion has sorted them
            if waiting.monomial is not None:
                positions = [place[q] for q in operation.qubits]
                waiting.monomial = waiting.monomial.then(small.spread(size, positions))
            waiting.moves |= small.moves
            waiting.weighted |= bool(small.phases)
            waiting.fixed |= small.turns
        self._move(key, waiting)

    def _block(self, segment: Segment) -> None:
        live = [q for q in segment.support if q in self.where]
        fresh = sorted(q for q in segment.support if q not in self.where)
        key = self._joined(live)
        if key is None:
            self._close()
            order = sorted(segment.support, reverse=True)
            key = self._new(order, batched=False)
            self._dense(key, segment, order[::-1], high=1, fresh=len(fresh), is_new=True)
            return
        high = self._window(key, live)
        component = self.components[key]
        first = min(component.qubits.index(q) for q in live)
        inner = component.qubits[first : first + len(live)]
        # New qubits go below the block's live ones: their |0> then selects every 2**f-th column.
        component.qubits[first + len(live) : first + len(live)] = fresh[::-1]
        self.where.update(dict.fromkeys(fresh, key))
        local = fresh + inner[::-1]
        self._dense(key, segment, local, high=high, fresh=len(fresh), is_new=False)

    def _dense(
        self, key: int, segment: Segment, local: list[int], *, high: int, fresh: int, is_new: bool
    ) -> None:
        component = self.components[key]
        size, total = len(local), len(component.qubits)
        columns = 2 ** (size - fresh)
        elements = 2**total * component.columns
        text = f"{2**size} x {columns} matrix of {len(segment.operations)} gates on qubits {local}"
        if all(operation.fixed is not None for operation in segment.operations):
            cost = CALL_US + 2 * _product_us(elements, columns, are_real(segment.operations))
            constant = 0
            if self.builder is not None:
                constant = self.constants.add(as_real(fixed_product(segment.operations, local)))
            step = Dense(key, None, constant, high, fresh, is_new, size, text + ", fixed")
        else:
            # Forward and backward; and the overlap of state and gradient, which is complex.
            cost = 2 * CALL_US + 2 * _product_us(elements, columns, are_real(segment.operations))
            cost += _product_us(elements, columns, real=False)
            # Building the block: its factors, and their product.
            factors = 1 + round(sum(len(op.qubits) > 1 for op in segment.operations) / size)
            cost += factors * FACTOR_ENTRY_US * 4**size + min(chain_us(factors, 2**size, columns))
            handle = (
                None if self.builder is None else self.builder.add(segment.operations, local, fresh)
            )
            step = Dense(key, handle, None, high, fresh, is_new, size, text)
        self._emit(step, cost)

    def _sample(self, segment: Segment) -> None:
        qubits = segment.operations[0].qubits
        self.plan.samples.append(segment.operations)
        sample = len(self.plan.samples) - 1
        key = self._joined(sorted(segment.support))
        fresh = sorted((q for q in segment.support if q not in self.where), reverse=True)
        order = list(qubits[::-1])
        text = f"{len(segment.operations)} gates of each sample on qubits {list(qubits)}"
        if key is None:
            self._close()
            key = self._new(order, batched=True)
            self._emit(PerSample(key, sample, 1, True, text), 2 * CALL_US)
            return
        if fresh:
            self._close()
            zero = self._new(fresh, batched=False)
            self._emit(Zero(zero, len(fresh)), CALL_US)
            joined = self._joined(sorted(segment.support))
            assert joined is not None
            key = joined
        component = self.components[key]
        places = [component.qubits.index(q) for q in order]
        if places != list(range(places[0], places[0] + len(places))):
            self._reorder(key, order + [q for q in component.qubits if q not in order])
        high = self._window(key, order)
        component.batched = True
        elements = 2 ** len(component.qubits) * NOMINAL_BATCH
        cost = 6 * CALL_US + 2 ** len(order) * 2 * PHASE_US * _moving(elements)
        self._emit(PerSample(key, sample, high, False, text), cost)

    def _project(self, segment: Segment) -> None:
        operation = segment.operations[0]
        (qubit,) = operation.qubits
        assert operation.outcome is not None
        if qubit not in self.where:
            self._close()
            self._emit(Zero(self._new([qubit], batched=False), 1), CALL_US)
        key = self.where[qubit]
        high = self._window(key, [qubit])
        text = f"project qubit {qubit} on {operation.outcome}"
        self._emit(Project(key, high, operation.outcome, operation.to_zero, text), 4 * CALL_US)

    def _finish(self) -> None:
        missing = [q for q in reversed(range(self.num_qubits)) if q not in self.where]
        if missing:
            self._close()
            self._emit(Zero(self._new(missing, batched=False), len(missing)), CALL_US)
        key = self._joined(range(self.num_qubits))
        assert key is not None
        if self._open is not None:
            # A permutation has to be made anyway; it may as well end in Qiskit's order.
            self._reorder(key, list(reversed(range(self.num_qubits))))
        self._close()
        self.plan.final = key
        self.plan.order = tuple(self.components[key].qubits)


def _product_us(elements: int, columns: int, real: bool) -> float:
    constant, slope = REAL_US if real else COMPLEX_US
    return constant * _moving(elements) + slope * columns * elements


def are_real(operations: Sequence[Operation]) -> bool:
    """Return whether no entry of any of the gates' matrices ever has an imaginary part."""
    return all(
        not np.asarray(op.fixed).imag.any() if op.fixed is not None else op.form.is_real
        for op in operations
    )
