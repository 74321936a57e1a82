"""Ways to cut the steps of a program that run tile by tile, and their costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..evolution.constants import Constants
from ..evolution.planner import NOMINAL_BATCH, Builder, Plan, Planner, are_real
from ..evolution.steps import Move, leading_rows
from ..lowering.fusion import factors_of, fold, layered, named, refined
from ..lowering.operations import (
    TOLERANCE,
    Monomial,
    Operation,
    Segment,
    as_real,
    fixed_product,
    with_bits,
)
from .steps import Angled, GateShape, Scattered, Tiles, TileStep

__all__ = [
    "ANGLE_US",
    "BLOCK_ENTRY_US",
    "CACHED_ROWS",
    "COMPLEX_NS",
    "GROUP_US",
    "LEAST_NS",
    "LEAST_SAMPLES",
    "LEVEL_US",
    "MOST_QUBITS",
    "MOVE_NS",
    "OWN_ANGLE_US",
    "PHASE_ROW_US",
    "PRODUCT_US",
    "REAL_NS",
    "RUN_US",
    "STEP_US",
    "SUM_US",
    "TILE_STEP_US",
    "TileOption",
    "TilePlanner",
    "cheapest",
    "one_by_one",
    "planned",
    "tile_options",
]

MOST_QUBITS = 3
"""Largest block; beyond, arithmetic grows faster than memory traffic shrinks."""
RUN_US = 60.0
"""Microseconds of a run, forward and backward, without its steps."""
STEP_US, TILE_STEP_US = 0.1, 0.35
"""Microseconds of each step, and of each step on each tile."""
SUM_US = 0.03
"""Microseconds of each number that is summed over a tile's lanes."""
COMPLEX_NS, REAL_NS, LEAST_NS = 0.072, 0.036, 0.09
"""Nanoseconds of one amplitude of a tile in the cache, for each row of the block; and at least."""
GROUP_US, LEVEL_US = 130.0, 60.0
"""Cost of blocks of one size and number of factors, or phases, with their gradients; and a level of
their products."""
BLOCK_ENTRY_US, PRODUCT_US = 0.02, 2.5e-4
"""An entry of a factor; and a multiplication in a product of factors, three times over."""
ANGLE_US, OWN_ANGLE_US = 0.05, 0.02
"""Matrix and slope of a gate by itself; and of each sample's own."""
MOVE_NS = 0.15
"""A row moved, with or without factors, for each of its amplitudes."""
PHASE_ROW_US = 0.03
"""Cost of making and differentiating one phase that depends on weights."""
LEAST_SAMPLES = 16
"""Samples below which a tile costs no less."""
CACHED_ROWS = 2**9
"""Rows up to which a state is near the core; memory traffic counts double beyond."""


@dataclass(frozen=True)
class TileOption:
    """A way to cut a circuit in two: steps in calls of torch, then steps on tiles."""

    name: str
    head: list[Segment]
    tail: list[Segment]
    cost: float


def tile_options(
    found: dict[str, list[Segment]],
    best: str,
    num_qubits: int,
    start: Sequence[int],
    limit: float = math.inf,
) -> list[TileOption]:
    """Return ways to run the last part of a circuit tile by tile.

    Args:
        found: Ways to cut the circuit into segments, by name.
        best: The one that is cheapest without tiles.
        num_qubits: Number of qubits of the circuit.
        start: Qubits that an initial state will hold.
        limit: Options that cost more microseconds are left out.
    """
    options = []
    segments = found[best]
    for place in _places(segments, num_qubits, start):
        head, rest = segments[:place], segments[place:]
        operations = [operation for segment in rest for operation in segment.operations]
        if not operations:
            continue
        before = Planner(head, num_qubits, start, None, Constants()).plan.cost
        for name, tail in _ways(operations, num_qubits).items():
            laid = TilePlanner(
                tail, tuple(range(num_qubits)), None, Constants(), limit=limit - before
            )
            cost = before + laid.cost
            label = f"{len(head)} segments of {best}, then on tiles: {name}"
            if cost <= limit:
                options.append(TileOption(label, head, tail, cost))
    return options


def cheapest(
    operations: Sequence[Operation], order: Sequence[int], samples: int
) -> tuple[list[Segment], float]:
    """Return the cheapest way to cut gates into steps on tiles, and its microseconds.

    Args:
        operations: None depends on inputs.
        order: All qubits, the most significant first.
        samples: That run together.
    """
    samples = max(samples, LEAST_SAMPLES)
    ways = list(_ways(operations, len(order)).values())
    best, least = ways[0], math.inf
    for way in ways:
        laid = TilePlanner(way, order, None, Constants(), samples=samples, limit=least)
        if laid.cost < least:
            best, least = way, laid.cost
    return best, least


def _ways(operations: Sequence[Operation], num_qubits: int) -> dict[str, list[Segment]]:
    """Return ways to cut gates into steps on tiles, by name."""
    found = {"gates one by one": one_by_one(operations)}
    for size in range(1, min(num_qubits, 2) + 1):
        found[f"monomials apart, blocks of {size}"] = named(layered(operations, size))
    for size in range(1, min(num_qubits, MOST_QUBITS) + 1):
        found[f"blocks of {size}"] = named(fold(operations, size))
    if num_qubits > 1:
        apart = refined(fold(operations, 2, apart=True), 2)
        found["blocks of 2, fixed gates apart"] = named(apart)
        apart = layered(operations, 2, least_qubits=2)
        found["entangling monomials apart, blocks of 2"] = named(apart)
    return found


def one_by_one(operations: Sequence[Operation]) -> list[Segment]:
    """Return gates with angles by themselves, fixed ones in small blocks and monomials."""
    segments: list[Segment] = []
    fixed: list[Operation] = []
    for operation in operations:
        if operation.fixed is not None:
            fixed.append(operation)
            continue
        segments += named(layered(fixed, MOST_QUBITS))
        fixed = []
        segments.append(Segment("sample", [operation], set(operation.qubits)))
    return segments + named(layered(fixed, MOST_QUBITS))


def _places(segments: Sequence[Segment], num_qubits: int, start: Sequence[int]) -> list[int]:
    """Return where tiles could begin: at once, after the inputs, or at the last join of qubits."""
    first = plain = 0
    for place, segment in enumerate(segments):
        if segment.kind == "project":
            first = place + 1
        if segment.kind in ("project", "sample"):
            plain = place + 1
    groups: list[set[int]] = [set(start)] if start else []
    joined = len(segments)
    for place, segment in enumerate(segments):
        touched = [group for group in groups if group & segment.support]
        union = segment.support.union(*touched)
        groups = [group for group in groups if not group & segment.support] + [union]
        if len(union) == num_qubits:
            joined = place
            break
    return sorted({first, max(first, plain), max(first, joined), max(first, plain, joined)})


class TilePlanner:
    """Layout of segments as steps on tiles.

    Args:
        segments: Blocks and monomials in circuit order.
        order: All qubits, the most significant first.
        builder: Collects blocks with weights; None estimates only.
        constants: Collects fixed arrays.
        component: Number of the component.
        samples: That the estimate is for.
        limit: Stop where the estimate exceeds it; only without a builder.
    """

    def __init__(
        self,
        segments: Sequence[Segment],
        order: Sequence[int],
        builder: Builder | None,
        constants: Constants,
        component: int = 0,
        samples: int = NOMINAL_BATCH,
        limit: float = math.inf,
    ) -> None:
        self.builder, self.constants, self.component = builder, constants, component
        self.samples = samples
        self.place = {qubit: len(order) - 1 - k for k, qubit in enumerate(order)}
        self.num_rows = 2 ** len(order)
        self.steps: list[TileStep] = []
        self.costs: list[float] = []
        self._total = 0.0
        self._tiles = -(-samples // LEAST_SAMPLES)
        self._groups: set[tuple[int, int]] = set()
        """Sizes and numbers of factors of the blocks; phases have no factors."""
        self._known_active: dict[tuple[object, ...], np.ndarray] = {}
        self._known_factors: dict[tuple[object, ...], int] = {}
        self._known_rows: dict[tuple[int, ...], tuple[int, int, int]] = {}
        for segment in segments:
            self._lay_out(segment)
            if builder is None and self.cost > limit:
                break

    @property
    def cost(self) -> float:
        """Estimated microseconds of a step of training."""
        levels = sum(max(factors - 1, 0).bit_length() for _, factors in self._groups)
        return RUN_US + self._total + GROUP_US * len(self._groups) + LEVEL_US * levels

    def _spend(self, cost: float) -> None:
        self.costs.append(cost)
        self._total += cost

    def _amplitudes_us(self, share: float, nanoseconds: float) -> float:
        least = LEAST_NS if self.num_rows <= CACHED_ROWS else 2 * LEAST_NS
        return self.num_rows * self.samples * share * max(nanoseconds, least) / 1e3

    def _lay_out(self, segment: Segment) -> None:
        match segment.kind:
            case "block":
                self._block(segment)
            case "monomial":
                self._monomial(segment)
            case "sample":
                self._sample(segment)
            case "project":
                raise AssertionError("tiles begin after the last projection")

    def _block(self, segment: Segment) -> None:
        qubits = sorted(segment.support, key=self.place.__getitem__)
        size = 2 ** len(qubits)
        active = self._active(segment.operations, qubits)
        is_fixed = all(operation.fixed is not None for operation in segment.operations)
        if not len(active):
            if is_fixed:
                return
            active = np.arange(size)
        share = len(active) / size
        slope = REAL_NS if are_real(segment.operations) else COMPLEX_NS
        once = self._amplitudes_us(share, slope * len(active))
        cost = STEP_US + TILE_STEP_US * self._tiles + 3 * once
        if not is_fixed:
            factors = self._factors(segment.operations, qubits)
            self._groups.add((len(qubits), factors))
            cost += once + SUM_US * self._tiles * len(active) ** 2
            cost += factors * (BLOCK_ENTRY_US * size**2 + PRODUCT_US * (factors > 1) * size**3)
        self._spend(cost)
        if self.builder is None:
            return
        text = f"{size} x {size} matrix of {len(segment.operations)} gates on qubits {qubits}"
        if len(active) < size:
            text += f", of which {len(active)} rows act"
        constant = handle = None
        if is_fixed:
            constant = self.constants.add(as_real(fixed_product(segment.operations, qubits)))
            text += ", fixed"
        else:
            handle = self.builder.add(segment.operations, qubits, 0)
        places = tuple(self.place[qubit] for qubit in qubits)
        first, order, inverse = self._rows(places)
        offsets = with_bits(np.zeros(size, dtype=int), places, np.arange(size))
        step = Scattered(
            self.component, handle, constant, first, offsets, active, order, inverse, text
        )
        self.steps.append(step)

    def _sample(self, segment: Segment) -> None:
        for operation in segment.operations:
            self._gate(operation)

    def _gate(self, operation: Operation) -> None:
        """Return a gate with an angle by itself."""
        form = operation.form
        active, shared = form.active, not operation.depends_on_inputs
        shape = GateShape(shared, len(active), form.is_real and shared, form.is_diagonal)
        inner = active[:, None] * form.size + active[None, :]
        entries = inner.diagonal() if shape.diagonal else inner.reshape(-1)
        columns = 1 if shape.diagonal else len(active)
        slope = REAL_NS if shape.real else COMPLEX_NS
        once = self._amplitudes_us(len(active) / form.size, slope * columns)
        angle = ANGLE_US if shared else OWN_ANGLE_US * self.samples
        self._spend(STEP_US + TILE_STEP_US * self._tiles + angle + 4 * once)
        if self.builder is None:
            return
        places = tuple(self.place[qubit] for qubit in operation.qubits)
        offsets = with_bits(np.zeros(form.size, dtype=int), places, np.arange(form.size))
        text = f"{operation.gate} on qubits {list(operation.qubits)}"
        self.steps.append(
            Angled(
                self.component,
                len(self.steps),
                operation.angles[0],
                form.of_entries(entries),
                form.generator.reshape(-1)[entries],
                shape,
                self._rows(places)[0],
                offsets[active],
                text if shared else text + ", each sample's own",
            )
        )

    def _rows(self, places: tuple[int, ...]) -> tuple[int, int, int]:
        if places not in self._known_rows:
            index = np.arange(self.num_rows)
            first = index[with_bits(index, places, np.zeros_like(index)) == index]
            inner = np.arange(2 ** len(places))
            offsets = with_bits(np.zeros_like(inner), places, inner)
            order = (offsets[:, None] + first[None, :]).reshape(-1)
            keep = self.constants.add
            self._known_rows[places] = keep(first), keep(order), keep(np.argsort(order))
        return self._known_rows[places]

    def _active(self, operations: Sequence[Operation], qubits: Sequence[int]) -> np.ndarray:
        """Return the rows on which the block differs from the identity for some angles."""
        size = 2 ** len(qubits)
        if all(len(operation.qubits) == 1 for operation in operations):
            return np.arange(size)
        key = _signature(operations, qubits)
        if key not in self._known_active:
            rng = np.random.default_rng(0)
            differs = np.zeros(size, dtype=bool)
            for _ in range(2):
                drawn = [_with_drawn_angles(operation, rng) for operation in operations]
                change = np.abs(fixed_product(drawn, qubits) - np.eye(size)) > TOLERANCE
                differs |= change.any(axis=0) | change.any(axis=1)
            self._known_active[key] = np.flatnonzero(differs)
        return self._known_active[key]

    def _factors(self, operations: Sequence[Operation], qubits: Sequence[int]) -> int:
        key = _signature(operations, qubits)
        if key not in self._known_factors:
            self._known_factors[key] = len(factors_of(operations, qubits))
        return self._known_factors[key]

    def _monomial(self, segment: Segment) -> None:
        moves = turns = weighted = False
        total: Monomial | None = None
        for operation in segment.operations:
            small = operation.monomial
            assert small is not None  # fusion has sorted them
            moves, turns = moves or small.moves, turns or small.turns
            weighted = weighted or bool(small.phases)
            if self.builder is not None:
                positions = [self.place[qubit] for qubit in operation.qubits]
                spread = small.spread(int(self.num_rows).bit_length() - 1, positions)
                total = spread if total is None else total.then(spread)
        step = Move(self.component, None, None, None, None, "")
        if total is not None and self.builder is not None:
            moves, turns, weighted = total.moves, total.turns, bool(total.phases)
            source, keep = np.argsort(total.rows), self.constants.add
            if moves:
                step.source, step.inverse = keep(source), keep(total.rows)
            if weighted:
                step.phases = self.builder.add_phases(total)
            elif turns:
                step.signs = keep(as_real(total.factors[source]).reshape(-1, 1))
        if not (moves or turns or weighted):
            return
        names = {"permutation": moves, "phases with weights": weighted, "fixed phases": turns}
        named = [name for name, there in names.items() if there]
        step.text = f"monomial on {len(self.place)} qubits: " + ", ".join(named)
        cost = STEP_US + TILE_STEP_US * self._tiles + 3 * self._amplitudes_us(1, MOVE_NS)
        if weighted:
            self._groups.add((len(self.place), 0))
            cost += self._amplitudes_us(1, MOVE_NS) + PHASE_ROW_US * self.num_rows
        self._spend(cost)
        if self.builder is not None:
            self.steps.append(step)


def _signature(operations: Sequence[Operation], qubits: Sequence[int]) -> tuple[object, ...]:
    """Return a key that is equal for blocks that differ in their angles only."""
    local = {qubit: k for k, qubit in enumerate(qubits)}
    return tuple(
        (
            operation.gate if operation.fixed is None else operation.fixed.tobytes(),
            *(local[qubit] for qubit in operation.qubits),
        )
        for operation in operations
    )


def _with_drawn_angles(operation: Operation, rng: np.random.Generator) -> Operation:
    if operation.fixed is not None:
        return operation
    angles = rng.uniform(0.5, 2.5, len(operation.angles))
    return Operation(operation.qubits, fixed=operation.form.matrix(*angles))


def planned(
    option: TileOption,
    num_qubits: int,
    start: Sequence[int],
    builder: Builder,
    constants: Constants,
) -> tuple[Plan, Tiles]:
    """Return the plan of an option, and its steps on tiles.

    Args:
        option: Option of :func:`tile_options`.
        num_qubits, start, builder, constants: As for :class:`~.evolution.planner.Planner`.
    """
    plan = Planner(option.head, num_qubits, start, builder, constants).plan
    head = list(plan.steps)
    laid = TilePlanner(option.tail, plan.order, builder, constants, plan.final)
    plan.steps += laid.steps
    plan.costs += laid.costs
    tiles = Tiles(len(head), tuple(laid.steps), laid.num_rows, leading_rows(head))
    return plan, tiles
