"""Small programs on a CPU in machine code from angles to values, and back to the angles' gradients.

A step of a small circuit is a few thousand multiplications, less than what the calls of torch around
them cost. So machine code does all of it here: it takes cosines and sines of the angles, fills the
matrices of the gates, runs these one by one on the tiles of :mod:`.runner`, and on the way back turns
the slopes of the gates into the gradients of inputs and weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import InvalidData
from ..evolution.allocator import keep_freed_memory
from ..evolution.autograd_ops import in_full_precision, packed
from ..evolution.block_matrices import BlockBuilder
from ..evolution.constants import Constants
from ..evolution.steps import Frame
from ..lowering.angles import linear
from ..lowering.gate_forms import GateForm
from ..lowering.operations import Operation
from .planner import TilePlanner, one_by_one
from .step_layout import AngleFields
from .step_table import KEPT_TABLES, TileTable
from .steps import Angled, Tiles
from .tile_work import SUMMED_TILES, lanes_of, share, summed, versions

__all__ = [
    "ALIGNED",
    "KEPT_LAYOUTS",
    "KEPT_STARTS",
    "SMALL_US",
    "TINY",
    "WAY",
    "Again",
    "WholeRunner",
    "aligned",
    "whole_runner",
]

SMALL_US = 300.0
"""Microseconds of arithmetic, as :class:`.planner.TilePlanner` estimates a training step of 64 samples,
up to which a program is small: about the price of the calls of torch that it does without."""
KEPT_STARTS = 2**16
"""Amplitudes up to which the states |0...0> of a batch are kept."""
KEPT_LAYOUTS = 64
"""Batch sizes whose memory is laid out once."""
ALIGNED = 64
"""Bytes of the widest vectors, at multiples of which the parts of memory begin."""
TINY = 1e-15
"""Coefficients below this are the rounding of zero: cos(pi / 2)."""

WAY = "all in one call of machine code, gates one by one"
"""Name of this way to run a program, beside those of a planner."""
Again = Callable[[Tensor | None, Tensor | None], Tensor]
"""The same states ``(2**n, batch)`` from inputs and weights, in calls that autograd knows."""


def whole_runner(operations: Sequence[Operation], num_qubits: int) -> WholeRunner | None:
    """Return the runner of a small program; None if it is not small, or if it

    * selects outcomes;
    * holds an angle that is not linear in inputs and weights.

    Args:
        operations: The circuit.
        num_qubits: Number of its qubits.
    """
    free = [operation for operation in operations if operation.fixed is None]
    if not num_qubits or any(operation.kind == "project" for operation in free):
        return None
    if not all(_is_plain(operation) for operation in free):
        return None
    segments, order = one_by_one(operations), tuple(reversed(range(num_qubits)))
    if TilePlanner(segments, order, None, Constants(), limit=SMALL_US).cost > SMALL_US:
        return None
    constants = Constants()
    laid = TilePlanner(segments, order, BlockBuilder(constants), constants)
    return WholeRunner(Tiles(0, tuple(laid.steps), laid.num_rows, {}), constants, laid.costs)


def _is_plain(operation: Operation) -> bool:
    """Return whether a gate's entries are linear in cosine and sine of a finite linear angle."""
    part = linear(operation.angles[0].expression) if len(operation.angles) == 1 else None
    if part is None or not np.isfinite([*part[0].values(), part[1]]).all():
        return False
    form = operation.form
    frequencies = {abs(each) for each in (*form.cos[:, 0], *form.phase[:, 0]) if each}
    return len(frequencies) == 1 and not (form.cos * form.phase).any()


class _Job:
    """One run: its arguments, its memory, and where the parts of that are."""

    __slots__ = (
        "again",
        "batch",
        "diagonals",
        "dtype",
        "given",
        "lanes",
        "lock",
        "memory",
        "padded",
        "places",
        "rows",
        "table",
        "values",
        "versions",
    )

    def __init__(
        self,
        runner: WholeRunner,
        inputs: Tensor | None,
        weights: Tensor | None,
        batch: int,
        dtype: torch.dtype,
        diagonals: Tensor | None,
        again: Again,
    ) -> None:
        self.rows, self.batch, self.dtype = runner.tiles.num_rows, batch, dtype
        self.lanes = lanes_of(batch, dtype.itemsize)
        self.padded = -(-batch // self.lanes) * self.lanes
        self.table = runner.table(dtype, self.lanes)
        self.diagonals, self.again = diagonals, again
        # The gradient needs these for their shapes only, so they may change until then.
        self.given, self.versions = (inputs, weights), versions(inputs, weights)
        self.lock = Lock()
        """Held on the way back, which writes to the memory too."""
        count = 0 if diagonals is None else diagonals.shape[0]
        *offsets, size = self.table.layout(batch, self.rows, count)
        self.memory = torch.empty(size, dtype=torch.uint8)
        first = self.memory.data_ptr()
        self.places = [first + offset for offset in offsets]

    def prepare(self) -> bool:
        """Make the matrices; return whether inputs and weights are finite."""
        inputs, weights = self.given
        samples: tuple[int, ...] = (0, 0, 0)
        angles: tuple[int, ...] = (0, 0, 0)
        columns = 0
        if inputs is not None:
            columns = inputs.shape[1]
            samples = inputs.data_ptr(), *inputs.stride()
        if weights is not None:
            angles = weights.data_ptr(), *weights.stride(), weights.shape[0]
        table, batch = self.table, self.batch
        *places, _, _ = self.places
        wrong = table.kernels.prepare(table.fields_at, *samples, columns, *angles, batch, *places)
        return wrong == 0.0

    def run(self, start: Tensor) -> Tensor:
        """Run the steps from this state; return values, as :meth:`WholeRunner.run` does."""
        table, batch, rows, lanes, dtype = self.table, self.batch, self.rows, self.lanes, self.dtype
        forward, diagonals, padded = table.kernels.forward, self.diagonals, self.padded
        source, (*_, steps_at, states, scratch_at) = start.data_ptr(), self.places
        if diagonals is None:
            found = torch.empty_like(start)
            states, readout = found.data_ptr(), (0, 0, 0, 0)
        else:
            count = diagonals.shape[0]
            # The last column of a tile that is not full is there too, and nobody sees it.
            found = torch.empty(padded * count, dtype=dtype)
            found.as_strided_((batch, count), (1, padded))
            readout = table.expect, diagonals.data_ptr(), count, found.data_ptr()
        tiles, steps = padded // lanes, table.steps

        def run(first: int, end: int) -> None:
            # One thread has the job's own scratch.
            own = None if end - first == tiles else torch.empty(4 * rows * lanes, dtype=dtype)
            scratch = scratch_at if own is None else own.data_ptr()
            forward(source, states, batch, rows, first, end, steps_at, steps, scratch, *readout)

        share(run, batch, rows, lanes, steps)
        return found

    def pull_back(
        self, grad: Tensor, final: Tensor | None, want_inputs: bool, want_weights: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients of inputs and weights.

        Args:
            grad: That of the values.
            final: The final states, where these are the values.
            want_inputs, want_weights: False where a gradient is not wanted.
        """
        table, batch, rows, lanes, dtype = self.table, self.batch, self.rows, self.lanes, self.dtype
        kernels, diagonals = table.kernels, self.diagonals
        *_, steps_at, states, scratch_at = self.places
        sums_at, slopes_at, unread, cotangents = table.way_back(scratch_at, batch, rows)
        if grad.is_neg() or grad.is_conj():
            grad = packed(grad)
        if diagonals is None:
            assert final is not None  # the caller has kept it
            grad = grad.contiguous()
            cotangents, states, readout = grad.data_ptr(), final.data_ptr(), (0, 0, 0)
            kernels.spread(0, 0, 0, batch, 0, cotangents, table.shared_gates, sums_at)
        else:
            count = diagonals.shape[0]
            readout = table.seed, diagonals.data_ptr(), count
            kernels.spread(
                grad.data_ptr(), *grad.stride(), batch, count, cotangents,
                table.shared_gates, sums_at,
            )  # fmt: skip
        each = want_inputs or (want_weights and table.is_mixed)
        readings, tiles = table.readings_at[each], self.padded // lanes

        def undo(first: int, end: int, sums: int, scratch: int) -> None:
            kernels.backward(
                states, cotangents, unread, batch, rows, first, end, steps_at, readings,
                table.steps, scratch, sums, slopes_at, *readout,
            )  # fmt: skip

        def run(first: int, end: int) -> Tensor | None:
            if end - first == tiles <= SUMMED_TILES:  # one thread has the job's own scratch
                undo(first, end, sums_at, scratch_at)
                return None
            scratch = torch.empty(6 * rows * lanes, dtype=dtype)
            return summed(
                lambda start, stop, sums: undo(start, stop, sums.data_ptr(), scratch.data_ptr()),
                first,
                end,
                torch.zeros(table.shared_gates, dtype=dtype),
            )

        found = [each for each in share(run, batch, rows, lanes, table.steps) if each is not None]
        if found:
            sums = torch.stack(found).sum(0).to(dtype)
            sums_at = sums.data_ptr()
        inputs, weights = self.given
        to_inputs = None if inputs is None or not each else torch.empty(inputs.shape, dtype=dtype)
        to_weights = None if weights is None else torch.empty(weights.shape, dtype=dtype)
        kernels.pull_back(
            table.fields_at if each else table.shared_fields_at, sums_at, slopes_at, batch,
            *((0, 0) if to_inputs is None else (to_inputs.shape[1], to_inputs.data_ptr())),
            *((0, 0) if to_weights is None else (to_weights.shape[0], to_weights.data_ptr())),
        )  # fmt: skip
        return to_inputs if want_inputs else None, to_weights if want_weights else None


class WholeRunner:
    """Runner of a small program; :func:`whole_runner` makes it.

    Args:
        tiles: Its steps; none has a matrix of several gates with weights.
        constants: Fixed arrays of the steps.
        costs: Estimated microseconds of each step.
    """

    def __init__(self, tiles: Tiles, constants: Constants, costs: Sequence[float]) -> None:
        self.tiles, self.constants, self.costs = tiles, constants, tuple(costs)
        self._tables: dict[tuple[torch.dtype, int], _AngleTable] = {}
        self._starts: dict[tuple[torch.dtype, int], Tensor] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without addresses: a copy makes tables of its own."""
        return {**self.__dict__, "_tables": {}, "_starts": {}}

    def run(
        self,
        inputs: Tensor | None,
        weights: Tensor | None,
        batch: int,
        dtype: torch.dtype,
        diagonals: Tensor | None,
        again: Again,
    ) -> Tensor | None:
        """Run the program on |0...0>.

        Args:
            inputs: ``(batch, num_inputs)`` of this dtype, on the CPU, or None.
            weights: ``(num_weights,)``, likewise.
            batch: Samples; 1 without inputs.
            dtype: Real precision.
            diagonals: ``(count, 2**n)`` real, of observables; None for the states.
            again: Called for gradients of gradients.

        Returns:
            ``(2**n, batch)`` complex, in Qiskit's order, or ``(batch, count)`` real expectation values,
            differentiable in inputs and weights; None if one of these is not finite.
        """
        if inputs is not None and inputs.is_neg():
            inputs = inputs.resolve_neg()
        if weights is not None and weights.is_neg():
            weights = weights.resolve_neg()
        keep_freed_memory()
        job = _Job(self, inputs, weights, batch, dtype, diagonals, again)
        if not job.prepare():
            return None
        values = job.run(self.start(dtype, batch))
        if not torch.is_grad_enabled():
            return values
        found: Tensor = _Whole.apply(inputs, weights, job, [values])
        return found

    def start(self, dtype: torch.dtype, batch: int) -> Tensor:
        """Return |0...0> for each sample, ``(2**n, batch)`` complex; nobody writes to it."""
        found = self._starts.get((dtype, batch))
        if found is None:
            with torch.inference_mode(False):
                found = torch.zeros(self.tiles.num_rows, batch, dtype=dtype.to_complex())
                found[0] = 1
            if found.numel() <= KEPT_STARTS:
                if len(self._starts) >= KEPT_TABLES:
                    self._starts.clear()
                self._starts[dtype, batch] = found
        return found

    def table(self, dtype: torch.dtype, lanes: int) -> _AngleTable:
        """Return the tables for a precision and number of lanes."""
        found = self._tables.get((dtype, lanes))
        if found is None:
            found = _AngleTable(self.tiles, self.constants, dtype, lanes)
            self._tables[dtype, lanes] = found
        return found


class _Whole(torch.autograd.Function):
    """A finished run with its gradient."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor | None, weights: Tensor | None, job: _Job, values: list[Tensor]
    ) -> Tensor:
        ctx.job = job
        (found,) = values
        if job.diagonals is None:
            ctx.save_for_backward(found)
        return found

    @staticmethod
    @in_full_precision
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        job: _Job = ctx.job
        if torch.is_grad_enabled():
            return *_with_graph(job, grad), None, None
        final = ctx.saved_tensors[0] if job.diagonals is None else None
        with job.lock:
            found = job.pull_back(grad, final, *ctx.needs_input_grad[:2])
        return *found, None, None


def _with_graph(job: _Job, grad: Tensor) -> list[Tensor | None]:
    """Return gradients with a graph of their own: autograd differentiates plain steps."""
    if versions(*job.given) != job.versions:
        raise InvalidData(
            "Weights or inputs were changed in place between the forward pass and a backward "
            "pass with create_graph; change copies of them."
        )
    # In aliases: inputs may depend on the same weights, and that path is not taken here.
    given = [
        each.view_as(each) if each is not None and each.requires_grad else each
        for each in job.given
    ]
    value = job.again(*given)
    if job.diagonals is not None:
        value = (job.diagonals @ (value.real.square() + value.imag.square())).t()
    wanted = [each for each in given if each is not None and each.requires_grad]
    found = iter(torch.autograd.grad(value, wanted, grad, create_graph=True, allow_unused=True))
    return [next(found) if each is not None and each.requires_grad else None for each in given]


class _AngleTable:
    """Tables of a small program for one precision and number of lanes."""

    def __init__(self, tiles: Tiles, constants: Constants, dtype: torch.dtype, lanes: int) -> None:
        device = torch.device("cpu")
        frame = Frame(constants, {}, {}, {}, dtype, device)
        self.tile = TileTable(tiles, frame, (), lanes)
        self._bytes, self._lanes = dtype.itemsize, lanes
        self._layouts: dict[tuple[int, int], tuple[int, ...]] = {}
        self._ends: dict[int, tuple[int, int, int, int]] = {}
        """By batch size, where the parts begin that :meth:`way_back` tells."""
        self._keep: list[np.ndarray] = []
        """Arrays whose addresses are in the fields."""
        rows = [int(row) for each in self.tile.gate_rows for row in each]
        gates = [tiles.gate(row) for row in rows]
        shared = [gate for gate in gates if gate.shape.shared]
        self.shared_gates, self.own_gates = len(shared), len(gates) - len(shared)
        turns = _Turns(gates)
        self.is_mixed = turns.mixed
        places = np.zeros(len(tiles.steps), dtype=np.int32)
        numbers: list[tuple[int, np.ndarray]] = []
        entries: list[tuple[int, np.ndarray]] = []
        for row, gate, turn in zip(rows, gates, turns.of_gates, strict=True):
            factors = _factors(gate.form)
            if not gate.shape.shared:
                places[row] = len(entries)
                own = turn - turns.shared
                entries += [(own, np.concatenate([each.real, each.imag])) for each in factors]
                continue
            places[row] = len(numbers)
            for each in factors:
                numbers.append((turn, each.real))
                if not gate.shape.real:
                    numbers.append((turn, each.imag))
        self._turns = turns.shared, len(turns.keys) - turns.shared
        self._numbers, self._entries = len(numbers), len(entries)
        real = np.float64 if dtype == torch.float64 else np.float32

        def whole(values: Sequence[int] | np.ndarray) -> int:
            return self._address(np.array(values, dtype=np.int32))

        def reals(values: Any) -> int:
            return self._address(np.array(values, dtype=real))

        fields = AngleFields(
            shared=turns.shared,
            own=len(turns.keys) - turns.shared,
            offsets=reals([offset for _, offset in turns.keys]),
            **turns.terms("weights", whole, reals),
            **turns.terms("inputs", whole, reals),
            numbers=len(numbers),
            number_turns=whole([turn for turn, _ in numbers]),
            number_factors=reals([factors for _, factors in numbers]),
            entries=len(entries),
            entry_turns=whole([turn for turn, _ in entries]),
            entry_factors=reals([factors for _, factors in entries]),
            steps=len(tiles.steps),
            table=self.tile.template.ctypes.data,
            places=whole(places),
            shared_gates=self.shared_gates,
            own_gates=self.own_gates,
            gate_turns=whole(turns.of_gates),
            gate_factors=reals([1 / _frequency(gate.form) for gate in gates]),
        )
        self.steps = len(tiles.steps)
        self.kernels = self.tile.kernels
        self.expect, self.seed = self.kernels.expect(), self.kernels.seed()
        self.fields_at = self._address(np.array(fields, dtype=np.int64))
        shared_only = np.array(fields._replace(own_gates=0), dtype=np.int64)
        self.shared_fields_at = self._address(shared_only)
        """The same without the gates of each sample, whose slopes nobody has asked for."""
        self.readings_at = [
            self._address(self.tile.readings(slopes=each)) for each in (False, True)
        ]
        """Readings without and with the slopes of each sample."""

    def _address(self, array: np.ndarray) -> int:
        self._keep.append(array)
        return int(array.ctypes.data)

    def layout(self, batch: int, rows: int, values: int) -> tuple[int, ...]:
        """Return where the parts of a run's memory begin, and its size, in bytes.

        The parts are turns, numbers, entries, steps, final states and scratch. Three tiles of scratch
        are followed by what :meth:`way_back` says.

        Args:
            batch: Samples.
            rows: Amplitudes of each.
            values: Observables; 0 if the states are the result, and are not kept here.
        """
        found = self._layouts.get((batch, values))
        if found is None:
            padded = -(-batch // self._lanes) * self._lanes
            shared, own = self._turns
            reals = [2 * (shared + own * padded), self._numbers, 2 * self._entries * padded]
            sizes = [self._bytes * each for each in reals] + [self.tile.template.nbytes]
            sizes.append(2 * self._bytes * rows * batch * (values > 0))
            sizes.append(sum(self._scratch(batch, rows)) + self._bytes * values * padded)
            found = (0, *np.cumsum([aligned(size) for size in sizes]).tolist())
            if len(self._layouts) >= KEPT_LAYOUTS:
                self._layouts.clear()
            self._layouts[batch, values] = found
        return found

    def _scratch(self, batch: int, rows: int) -> tuple[int, int, int, int]:
        """Return the bytes of three tiles, of sums, slopes, and gradients at the start."""
        padded = -(-batch // self._lanes) * self._lanes
        tiles, sums = 6 * rows * self._lanes, self.shared_gates
        tiles, sums, slopes, unread = (
            aligned(self._bytes * each)
            for each in (tiles, sums, self.own_gates * padded, 2 * rows * batch)
        )
        return tiles, sums, slopes, unread

    def way_back(self, scratch: int, batch: int, rows: int) -> tuple[int, int, int, int]:
        """Return the addresses of sums, slopes, gradients at the start, and of those of the values."""
        if self._ends.get(batch) is None:
            if len(self._ends) >= KEPT_LAYOUTS:
                self._ends.clear()
            tiles, sums, slopes, unread = self._scratch(batch, rows)
            sums, slopes = tiles + sums, tiles + sums + slopes
            self._ends[batch] = tiles, sums, slopes, slopes + unread
        first, second, third, fourth = self._ends[batch]
        return scratch + first, scratch + second, scratch + third, scratch + fourth


def aligned(size: int) -> int:
    """Return a size, filled up to where the next part may begin."""
    return size + -size % ALIGNED


class _Turns:
    """Arguments of cosine and sine, each once; see :class:`.step_layout.AngleFields`."""

    def __init__(self, gates: Sequence[Angled]) -> None:
        keys = [_turn_of(gate) for gate in gates]
        unique = list(dict.fromkeys(keys))
        own = [each for each in unique if any(source == "inputs" for (source, _), _ in each[0])]
        alone = [each for each in unique if each not in set(own)]
        self.keys = alone + own
        self.shared = len(alone)
        place = {key: k for k, key in enumerate(self.keys)}
        self.of_gates = [place[key] for key in keys]
        self.mixed = any(source == "weights" for each in own for (source, _), _ in each[0])
        """True if the samples' own hold weights too."""

    def terms(
        self, source: str, whole: Callable[[list[int]], int], reals: Callable[[list[float]], int]
    ) -> dict[str, int]:
        """Return addresses of the terms with inputs or weights, by the names of their fields."""
        found = [
            [(column, slope) for (of, column), slope in key if of == source] for key, _ in self.keys
        ]
        flat = [term for terms in found for term in terms]
        starts = [0, *np.cumsum([len(terms) for terms in found], dtype=int)]
        name = source.removesuffix("s")
        return {
            f"{name}_starts": whole(starts),
            f"{name}_columns": whole([column for column, _ in flat]),
            f"{name}_slopes": reals([slope for _, slope in flat]),
        }


_Turn = tuple[tuple[tuple[tuple[str, int], float], ...], float]
"""Slope of each input and weight, by place, and the offset."""


def _turn_of(gate: Angled) -> _Turn:
    part, frequency = linear(gate.angle.expression), _frequency(gate.form)
    assert part is not None  # the caller has looked
    slopes: dict[tuple[str, int], float] = {}
    for parameter, slope in part[0].items():
        slopes[gate.angle.positions[parameter]] = slope * frequency
    return tuple(sorted(slopes.items())), part[1] * frequency


def _frequency(form: GateForm) -> float:
    """Return the only frequency at which the gate's entries change with its angle."""
    return float(max(np.abs(form.cos).max(), np.abs(form.phase).max()))


def _factors(form: GateForm) -> np.ndarray:
    """Return coefficients of each entry in 1, cos(phi) and sin(phi), ``(entries, 3)`` complex."""
    cos, phase = np.sign(form.cos[:, 0]), np.sign(form.phase[:, 0])
    constant = form.scale * np.exp(1j * form.phase_offset)
    found = np.zeros((len(constant), 3), dtype=complex)
    level, tilt = constant * np.cos(form.cos_offset), -constant * np.sin(form.cos_offset)
    idle = (cos == 0) & (phase == 0)
    found[:, 0] = np.where(idle, level, 0)
    found[:, 1] = np.where(idle, 0, level)
    found[:, 2] = np.where(phase != 0, 1j * phase * level, cos * tilt)
    found.real[np.abs(found.real) < TINY] = 0
    found.imag[np.abs(found.imag) < TINY] = 0
    return found
