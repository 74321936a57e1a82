"""A compiled circuit, run on batches of inputs with exact gradients by autograd."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import torch
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor

from ..errors import InvalidData
from ..notebook import one_line
from .arguments import Signature, check_tensors
from .evolution.adjoint import Tail, find_tail, run_tail
from .evolution.autograd_ops import in_full_precision, squared_modulus
from .evolution.block_matrices import BlockBuilder
from .evolution.constants import Constants
from .evolution.hermitian_readout import check_matrices, matrix_expectations
from .evolution.pauli_readout import ObservableTable
from .evolution.per_sample_gates import SampleTable
from .evolution.planner import Plan, Planner
from .evolution.post_selection import unit_columns
from .evolution.shot_sampling import draw_selected
from .evolution.steps import Components, Frame, Step
from .jit.large_blocks import MixedBlockBuilder
from .jit.planner import planned, tile_options
from .jit.runner import TileRunner
from .jit.whole_program import WAY, WholeRunner, whole_runner
from .lowering.angles import Angle, linear, parameters_of
from .lowering.fusion import strategies
from .lowering.operations import Operation
from .lowering.pauli_sums import pauli_sum_key, pauli_sums

__all__ = [
    "KEPT_AMPLITUDES",
    "KEPT_OBSERVABLES",
    "OWN_BACKWARD",
    "ROW_SAMPLES",
    "TILES_PAY",
    "CircuitProgram",
    "in_order",
]

OWN_BACKWARD = 2**16
"""Amplitudes times steps from which the backward pass of :mod:`.evolution.adjoint` is faster than that
of autograd."""
KEPT_AMPLITUDES = 2**22
"""Amplitudes of all stages, 32 MiB in complex64, up to which they are kept for the backward pass;
beyond, states are computed again."""
TILES_PAY = 0.8
"""Share of the estimate without tiles below which tiles are chosen: machine code takes time to make."""
ROW_SAMPLES = 16
"""Samples for each row of a table of weights below which samples run apart."""
KEPT_OBSERVABLES = 16
"""Sets of observables whose tables a program keeps."""


@dataclass(frozen=True)
class _Layout:
    """A plan for one set of qubits that an initial state covers."""

    strategy: str
    candidates: dict[str, float]
    plan: Plan
    builder: BlockBuilder | MixedBlockBuilder
    constants: Constants
    samples: SampleTable
    tail: Tail
    tiles: TileRunner | None = None
    """Steps that machine code runs; the tail is empty then."""


class CircuitProgram:
    """A circuit as a differentiable function of inputs, weights and initial state.

    It is made by :func:`~qdm_qiskit.engine.compile_circuit`. Precision and device are those of the
    tensors it is given: float32 computes in complex64, float64 in complex128. The weights decide
    where they differ, then the inputs; the others are converted. :attr:`dtype` decides where there
    are none.
    """

    def __init__(
        self,
        *,
        num_qubits: int,
        num_inputs: int,
        num_weights: int,
        operations: list[Operation],
        phases: list[Angle],
        renormalise: bool = False,
        fresh: frozenset[int] = frozenset(),
        strategy: str | None = None,
        adjoint: bool | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.num_qubits = num_qubits
        self.num_inputs = num_inputs
        self.num_weights = num_weights
        self.renormalise = renormalise
        self._takes = Signature(
            num_qubits, num_inputs, num_weights, tuple(range(num_qubits)), fresh, dtype
        )
        self._operations = operations
        self.selections = sum(operation.kind == "project" for operation in operations)
        self._phases = phases
        self._fresh = fresh
        self._strategy = strategy
        self._adjoint = adjoint
        self.dtype = dtype
        self._layouts: dict[tuple[tuple[int, ...], bool], _Layout] = {}
        self._observables: dict[tuple[Hashable, ...], ObservableTable] = {}

    def __repr__(self) -> str:
        numbers = f"{self.num_inputs} inputs", f"{self.num_weights} weights"
        return one_line("CircuitProgram", f"{self.num_qubits} qubits", *numbers)

    def _layout(self, covered: tuple[int, ...], *, tiled: bool = False) -> _Layout:
        """Return the plan for an initial state on these qubits that the cost model prefers.

        Args:
            covered: The qubits.
            tiled: True if steps may run tile by tile.
        """
        if (covered, tiled) not in self._layouts:
            found = strategies(self._operations, self.num_qubits)
            if self._strategy is not None:
                found = {self._strategy: found[self._strategy]}
            candidates = {
                name: Planner(segments, self.num_qubits, covered, None, Constants()).plan.cost
                for name, segments in found.items()
            }
            best = min(candidates, key=lambda name: candidates[name])
            constants = Constants()
            builder: BlockBuilder | MixedBlockBuilder = BlockBuilder(constants)
            tiles, options = None, []
            if tiled:
                builder = MixedBlockBuilder(constants, TileRunner)
            plan = Planner(found[best], self.num_qubits, covered, builder, constants).plan
            if isinstance(builder, MixedBlockBuilder):
                cost = candidates[best] = max(candidates[best] - builder.saved, 1.0)
                limit = max(TILES_PAY, 2.0) * cost
                options = tile_options(found, best, self.num_qubits, covered, limit)
                option = min(options, key=lambda each: each.cost, default=None)
                if option is not None and option.cost < TILES_PAY * cost:
                    constants = Constants()
                    builder = MixedBlockBuilder(constants, TileRunner)
                    plan, steps = planned(option, self.num_qubits, covered, builder, constants)
                    tiles = TileRunner(steps) if steps.steps else None
                    best = option.name
            candidates |= {each.name: each.cost for each in options}
            builder.finish()
            samples = SampleTable(plan.samples)
            tail = find_tail(plan.steps) if tiles is None else find_tail([])
            self._layouts[covered, tiled] = _Layout(
                best, candidates, plan, builder, constants, samples, tail, tiles
            )
        return self._layouts[covered, tiled]

    @cached_property
    def _per_sample(self) -> CircuitProgram:
        """The same circuit with its weights as further inputs: each sample has angles of its own."""

        def moved(angle: Angle) -> Angle:
            first = {"inputs": 0, "weights": self.num_inputs}
            places = {
                name: ("inputs", first[source] + column)
                for name, (source, column) in angle.positions.items()
            }
            return Angle(angle.expression, places, angle.text)

        return CircuitProgram(
            num_qubits=self.num_qubits,
            num_inputs=self.num_inputs + self.num_weights,
            num_weights=0,
            operations=[
                replace(operation, angles=tuple(map(moved, operation.angles)))
                for operation in self._operations
            ],
            phases=[moved(phase) for phase in self._phases],
            renormalise=self.renormalise,
            fresh=self._fresh,
            adjoint=self._adjoint,
            dtype=self.dtype,
        )

    def without_recomputation(self) -> CircuitProgram:
        """Return the same program, differentiated by autograd step by step.

        Its :meth:`statevector` knows forward mode, which the backward pass of
        :mod:`.evolution.adjoint` does not. It stores every step's state.
        """
        return self._plain

    @cached_property
    def _plain(self) -> CircuitProgram:
        plain = copy.copy(self)
        plain._adjoint = False
        for made in ("_per_sample", "_whole"):  # anew, with the same choice
            plain.__dict__.pop(made, None)
        return plain

    def _all_inputs(self, inputs: Tensor | None, weights: Tensor) -> Tensor:
        """Return inputs and the weights of each sample side by side."""
        parts = [weights] if inputs is None else [inputs.to(weights.dtype), weights]
        fits = weights.shape[1] == self.num_weights and len({len(part) for part in parts}) == 1
        if not fits:
            raise self._takes.wrong_weights(weights)
        return torch.cat(parts, dim=1)

    def _may_tile(self, like: Tensor) -> bool:
        """Return whether steps may run as machine code: on a CPU, if nothing looks inside.

        Going back undoes the gates, so a fixed gate that is not quite unitary may not be among them.
        """
        if self._adjoint is False or like.device.type != "cpu" or not self._is_unitary:
            return False
        return not torch._C._are_functorch_transforms_active()

    @cached_property
    def _is_unitary(self) -> bool:
        return all(operation.is_unitary for operation in self._operations)

    def _run_tail(self, state: Tensor, tail: Tail, frame: Frame) -> Tensor | None:
        """Return the final state by :func:`run_tail`, or None where autograd is as fast."""
        if self._adjoint is False or not tail.steps:
            return None
        recompute = state.numel() * len(tail.kept) > KEPT_AMPLITUDES
        if self._adjoint is None and state.numel() * len(tail.steps) < OWN_BACKWARD:
            return None
        return run_tail(state, tail, frame, recompute=bool(self._adjoint) or recompute)

    def explain(self, initial_qubits: Sequence[int] | None = None) -> str:
        """Return a table of the program's steps, and of the ways that were considered.

        Args:
            initial_qubits: Qubits that an initial state covers; none if None.

        Returns:
            A table: steps with their estimated microseconds for a forward and backward pass of 64
            samples on one core, and the estimates of all strategies.
        """
        whole = None if initial_qubits else self._whole
        if whole is not None:
            strategy, candidates = WAY, {WAY: sum(whole.costs)}
            steps, costs = list[Step](whole.tiles.steps), list(whole.costs)
        else:
            layout = self._layout(
                tuple(initial_qubits or ()), tiled=self._adjoint is not False and self._is_unitary
            )
            strategy, candidates = layout.strategy, layout.candidates
            steps, costs = layout.plan.steps, layout.plan.costs
        lines = [f"strategy: {strategy}", "", "  microseconds  step"]
        for step, cost in zip(steps, costs, strict=True):
            lines.append(f"  {cost:12.0f}  {step.describe()}")
        lines += ["", "  microseconds  strategy"]
        for name, cost in sorted(candidates.items(), key=lambda pair: pair[1]):
            lines.append(f"  {cost:12.0f}  {name}")
        return "\n".join(lines)

    def _run(
        self,
        inputs: Tensor | None,
        weights: Tensor | None,
        initial_state: Tensor | None,
        initial_qubits: Sequence[int] | None,
        weight_rows: Tensor | None = None,
        observables: ObservableTable | None = None,
    ) -> tuple[Tensor, tuple[int, ...]]:
        """Call :meth:`_run_now`, which `torch.compile` leaves alone: it cannot trace machine code."""
        run = _untraced() if "torch._dynamo" in sys.modules else CircuitProgram._run_now
        return run(self, inputs, weights, initial_state, initial_qubits, weight_rows, observables)

    def _run_now(
        self,
        inputs: Tensor | None,
        weights: Tensor | None,
        initial_state: Tensor | None,
        initial_qubits: Sequence[int] | None,
        weight_rows: Tensor | None = None,
        observables: ObservableTable | None = None,
    ) -> tuple[Tensor, tuple[int, ...]]:
        """Return the final amplitudes without global phase, ``(2**n, batch)``, real if they are.

        The order of the qubits, most significant first, is returned beside them. If it is empty,
        the observables were read on the way, and their values ``(batch, observables)`` are returned
        instead.
        """
        if torch.is_inference_mode_enabled():
            # Tensors that are kept for later runs must serve those that want gradients as well.
            with torch.inference_mode(False), torch.no_grad():
                return self._run(
                    inputs, weights, initial_state, initial_qubits, weight_rows, observables
                )
        check_tensors(
            inputs=inputs, weights=weights, initial_state=initial_state, weight_rows=weight_rows
        )
        if weight_rows is not None:
            return self._run_rows(inputs, weights, initial_state, initial_qubits, weight_rows)
        if weights is not None and weights.ndim == 2:
            joined = self._all_inputs(inputs, weights)
            return self._per_sample._run(
                joined, None, initial_state, initial_qubits, None, observables
            )
        whole = self._whole if initial_state is None else None
        batch, like, covered = self._takes.check(
            inputs, weights, initial_state, initial_qubits, values=whole is None
        )
        self._takes.check_memory(batch)
        if inputs is not None and inputs.dtype != like.dtype:
            inputs = inputs.to(like.dtype)
        if weights is not None and weights.dtype != like.dtype:
            weights = weights.to(like.dtype)
        if whole is not None:
            if self._may_tile(like):
                order = tuple(reversed(range(self.num_qubits)))
                table = None if observables is None else observables.diagonals(like, order)
                found = whole.run(inputs, weights, batch, like.dtype, table, self._again)
                if found is not None:
                    return found, order if table is None else ()
            self._takes.check(inputs, weights, None, initial_qubits)  # names what is not finite
        layout = self._layout(covered, tiled=self._may_tile(like))
        blocks, phases = layout.builder.build(weights, like, differentiable=self._adjoint is False)
        diagonals = None
        if observables is not None and layout.tiles is not None and not self.renormalise:
            diagonals = observables.diagonals(like, layout.plan.order)
        final = self._apply(layout, blocks, phases, inputs, weights, like, initial_state, diagonals)
        if final.shape[1] != batch:
            final = final.expand(-1, batch)
        if torch.is_grad_enabled():
            for source, given in (("inputs", inputs), ("weights", weights)):
                if given is not None and given.requires_grad and source not in self._used:
                    # Derivatives in unused inputs and weights are 0 and not an error of torch.
                    final = final + given.flatten()[:0].sum()
        return (final, layout.plan.order) if diagonals is None else (final.t(), ())

    @cached_property
    def _whole(self) -> WholeRunner | None:
        """Runner of all steps in one call of machine code; None where they are too many for that."""
        if self._adjoint is not None or self._strategy is not None or not self._is_unitary:
            return None
        return whole_runner(self._operations, self.num_qubits)

    def _again(self, inputs: Tensor | None, weights: Tensor | None) -> Tensor:
        """Return the final states without global phase, ``(2**n, batch)``, in Qiskit's order."""
        final, order = self._plain._run(inputs, weights, None, None)
        return in_order(final, order)

    @cached_property
    def _used(self) -> frozenset[str]:
        """Names of those of inputs and weights on which gates depend."""
        found: set[str] = set()
        for operation in self._operations:
            for angle in operation.angles:
                part = linear(angle.expression)
                free = (
                    parameters_of(angle.expression)
                    if part is None
                    else {p for p, slope in part[0].items() if slope}
                )
                found.update(angle.positions[parameter][0] for parameter in free)
        return frozenset(found)

    def _apply(
        self,
        layout: _Layout,
        blocks: dict[tuple[int, ...], Tensor],
        phases: dict[int, Tensor],
        inputs: Tensor | None,
        weights: Tensor | None,
        like: Tensor,
        initial_state: Tensor | None,
        diagonals: Tensor | None = None,
    ) -> Tensor:
        """Run all steps; return ``(2**n, batch or 1)``, or on tiles the values of observables."""
        frame = Frame(
            constants=layout.constants,
            blocks=blocks,
            phases=phases,
            samples=layout.samples.build(inputs, weights, like),
            dtype=like.dtype,
            device=like.device,
            leading=layout.tail.leading if layout.tiles is None else layout.tiles.tiles.leading,
        )
        state: Components = {}
        if initial_state is not None:
            wanted = like.dtype.to_complex() if initial_state.is_complex() else like.dtype
            state[0] = initial_state.to(wanted).t()
        tiles = layout.tiles
        for step in layout.plan.steps[: layout.tail.first if tiles is None else tiles.tiles.first]:
            step.run(state, frame)
        final = None
        if tiles is not None:
            final = tiles.run(state[layout.plan.final], frame, inputs, weights, diagonals)
        elif layout.plan.final in state:
            final = self._run_tail(state[layout.plan.final], layout.tail, frame)
        if final is None:
            for step in layout.tail.steps:
                step.run(state, frame)
            final = state[layout.plan.final]
        if not self.renormalise:
            return final
        before = 1.0 if initial_state is None else torch.linalg.vector_norm(initial_state, dim=1)
        return unit_columns(final, self.selections, before)

    def _run_rows(
        self,
        inputs: Tensor | None,
        weights: Tensor | None,
        initial_state: Tensor | None,
        initial_qubits: Sequence[int] | None,
        rows: Tensor,
    ) -> tuple[Tensor, tuple[int, ...]]:
        """Run samples that each name a row of a table of weights; see :meth:`_run_now`.

        The blocks of all rows that are named are built at once; then the samples of a row run
        together. Each sample runs with weights of its own where these would fill no tile.
        """
        self._takes.check_rows(weights, rows, inputs, initial_state)
        assert weights is not None  # checked
        present, counts = torch.unique(rows, return_counts=True)
        table = weights.index_select(0, present)
        _, like, covered = self._takes.check(
            inputs, table.detach().sum(0), initial_state, initial_qubits
        )
        if len(rows) < ROW_SAMPLES * len(present) and self._may_tile(like):
            joined = self._all_inputs(inputs, weights.index_select(0, rows))
            if self._per_sample._layout(covered, tiled=True).tiles is not None:
                return self._per_sample._run(joined, None, initial_state, initial_qubits)
        table = table.to(like.dtype)
        sorting = torch.argsort(rows, stable=True)
        inputs = None if inputs is None else inputs[sorting].to(like.dtype)
        initial_state = None if initial_state is None else initial_state[sorting]
        layout = self._layout(covered, tiled=self._may_tile(like))
        blocks, phases = layout.builder.build(table, like, differentiable=self._adjoint is False)
        each_blocks = {key: _by_row(stack, len(present)) for key, stack in blocks.items()}
        each_phases = {size: _by_row(stack, len(present)) for size, stack in phases.items()}
        parts, start = [], 0
        for row, (own, count) in enumerate(zip(table.unbind(0), counts.tolist(), strict=True)):
            part = slice(start, start + count)
            start += count
            state = self._apply(
                layout,
                {key: stacks[row] for key, stacks in each_blocks.items()},
                {size: stacks[row] for size, stacks in each_phases.items()},
                None if inputs is None else inputs[part],
                own,
                like,
                None if initial_state is None else initial_state[part],
            )
            parts.append(state.expand(-1, count))
        if any(part.is_complex() for part in parts):
            parts = [part.to(part.dtype.to_complex()) for part in parts]
        joined = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
        return joined.index_select(1, torch.argsort(sorting)), layout.plan.order

    @in_full_precision
    def statevector(
        self,
        inputs: Tensor | None = None,
        weights: Tensor | None = None,
        initial_state: Tensor | None = None,
        *,
        initial_qubits: Sequence[int] | None = None,
        weight_rows: Tensor | None = None,
        postselect: Mapping[int, int] | None = None,
        renormalise: bool = False,
    ) -> Tensor:
        """Return the final states.

        Args:
            inputs: ``(batch, num_inputs)`` real.
            weights: ``(num_weights,)`` real, or ``(batch, num_weights)`` with angles of its own for
                each sample, which costs more: nothing can be folded. With ``weight_rows`` a table
                ``(rows, num_weights)``.
            initial_state: ``(batch, 2**k)`` real or complex; |0...0> if None. Not normalised here.
            initial_qubits: The k qubits that the initial state covers, all others start in |0>; the
                least significant first. All qubits if None.
            weight_rows: ``(batch,)`` int64: the row of the weights that each sample runs with, for
                example its time step. Each row's blocks are built once.
            postselect: Qubit to the outcome that it must have. The state is projected, and these
                qubits are left out of the result.
            renormalise: Divide the post-selected states by their norms.

        Returns:
            ``(batch, 2**(n - len(postselect)))`` complex; batch is 1 where neither inputs nor states
            nor rows are given.

        Raises:
            InvalidData: If a shape or dtype does not fit, inputs or weights are not finite, an angle
                is no real number for them (the logarithm of a negative one), a post-selected qubit
                or its outcome does not exist, or a state that is to be renormalised is zero.
        """
        chosen = self._takes.selected(postselect)
        final, order = self._run(inputs, weights, initial_state, initial_qubits, weight_rows)
        state = in_order(final, order)
        if not state.is_complex():
            state = state.to(state.dtype.to_complex())
        before = torch.linalg.vector_norm(state, dim=0, keepdim=True) if renormalise else 1.0
        if chosen:
            state, _ = _selected_rows(state, tuple(reversed(range(self.num_qubits))), chosen)
        if renormalise:
            state = unit_columns(state, len(chosen), before)
        like = state.real.detach()[:1, 0]
        if weights is not None and weights.ndim == 2 and self._phases:
            own = weights if weight_rows is None else weights[weight_rows]
            phases = self._per_sample._phases
            inputs, weights = self._all_inputs(inputs, own), None
        else:
            phases = self._phases
        for phase in phases:
            angle = phase.evaluate(inputs, weights, like).to(like.dtype)
            state = state * torch.polar(torch.ones_like(angle), angle)
        return state.t()

    @in_full_precision
    def probabilities(
        self,
        inputs: Tensor | None = None,
        weights: Tensor | None = None,
        initial_state: Tensor | None = None,
        *,
        initial_qubits: Sequence[int] | None = None,
        weight_rows: Tensor | None = None,
        qubits: Sequence[int] | None = None,
        postselect: Mapping[int, int] | None = None,
    ) -> Tensor:
        """Return the probabilities of all basis states, or of those of some qubits.

        Args:
            inputs, weights, initial_state, initial_qubits, weight_rows: As for :meth:`statevector`.
            qubits: Qiskit indices; the first is the least significant bit of the outcome. All that
                are not post-selected, if None.
            postselect: Qubit to the outcome that it must have; joint probabilities, not
                renormalised.

        Returns:
            ``(batch, 2**len(qubits))`` real.

        Raises:
            InvalidData: As for :meth:`statevector`, or if a qubit is out of range or repeated.
        """
        n, chosen = self.num_qubits, self._takes.selected(postselect)
        read = [q for q in range(n) if q not in chosen] if qubits is None else list(qubits)
        named = [*read, *chosen]
        if len(set(named)) != len(named) or not all(0 <= qubit < n for qubit in named):
            raise InvalidData(
                f"qubits must be distinct and below {n}, got {read}, and {chosen} in postselect."
            )
        state, order = self._run(inputs, weights, initial_state, initial_qubits, weight_rows)
        batch = state.shape[1]
        if len(chosen) == 1:
            ((qubit, outcome),) = chosen.items()
            found = squared_modulus(state, order.index(qubit), outcome)
            left = [each for each in order if each != qubit]
        else:
            state, left = _selected_rows(state, order, chosen)
            found = squared_modulus(state)
        rest = [qubit for qubit in left if qubit not in set(read)]
        axes = [left.index(qubit) for qubit in (*reversed(read), *rest)]
        if axes != list(range(len(axes))):
            found = found.reshape(*[2] * len(axes), batch).permute(*axes, len(axes))
        found = found.reshape(2 ** len(read), -1, batch)
        return (found.sum(1) if rest else found.squeeze(1)).t().contiguous()

    @in_full_precision
    def expectation(
        self,
        observables: Sequence[SparsePauliOp] | ObservableTable,
        inputs: Tensor | None = None,
        weights: Tensor | None = None,
        initial_state: Tensor | None = None,
        *,
        initial_qubits: Sequence[int] | None = None,
        weight_rows: Tensor | None = None,
    ) -> Tensor:
        """Return the expectation values of Hermitian Pauli sums.

        Args:
            observables: Operators on all qubits of the circuit, or what :meth:`observable_table` has
                made of them, which saves looking at their content in each call.
            inputs, weights, initial_state, initial_qubits, weight_rows: As for :meth:`statevector`.

        Returns:
            ``(batch, len(observables))`` real. All diagonal terms come from one matrix product.

        Raises:
            InvalidData: As for :meth:`statevector`, or if an observable has another number of qubits.
        """
        table = observables
        if not isinstance(table, ObservableTable):
            table = self.observable_table(table)
        elif table.num_qubits != self.num_qubits:
            raise InvalidData(
                f"observables act on all {self.num_qubits} qubits, got a table of {table.num_qubits}."
            )
        found, order = self._run(inputs, weights, initial_state, initial_qubits, weight_rows, table)
        return table.evaluate(found, order).t() if order else found

    def observable_table(self, observables: Sequence[SparsePauliOp]) -> ObservableTable:
        """Return the tables by which Pauli sums are read; they keep what these hold now.

        Raises:
            InvalidArgument: If they are no sequence of Pauli sums.
            InvalidData: If there is none, one acts on another number of qubits, or the memory cannot
                hold a state.
        """
        observables = pauli_sums(observables, self.num_qubits)
        if not observables:
            raise InvalidData("observables are at least one SparsePauliOp, got none.")
        self._takes.check_memory(1)  # before the tables, which are as long as a state
        key = tuple(map(pauli_sum_key, observables))
        if key not in self._observables:
            if len(self._observables) >= KEPT_OBSERVABLES:
                self._observables.pop(next(iter(self._observables)))
            self._observables[key] = ObservableTable(observables)
        return self._observables[key]

    @in_full_precision
    def hermitian_expectation(
        self,
        matrices: Tensor,
        qubits: Sequence[int],
        inputs: Tensor | None = None,
        weights: Tensor | None = None,
        initial_state: Tensor | None = None,
        *,
        initial_qubits: Sequence[int] | None = None,
        weight_rows: Tensor | None = None,
    ) -> Tensor:
        """Return the expectation values of whole matrices, differentiable in their entries too.

        Args:
            matrices: ``(K, 2**m, 2**m)`` real or complex. Measured is the Hermitian part
                ``(M + M^dagger) / 2``, which is M itself where M is Hermitian.
            qubits: The m qubits on which they act, the first one the least significant bit of their
                rows.
            inputs, weights, initial_state, initial_qubits, weight_rows: As for :meth:`statevector`.

        Returns:
            ``(batch, K)`` real.

        Raises:
            InvalidData: As for :meth:`statevector`, or if the matrices do not fit the qubits.
        """
        check_matrices(matrices, qubits, self.num_qubits)
        state, order = self._run(inputs, weights, initial_state, initial_qubits, weight_rows)
        return matrix_expectations(state, order, matrices, qubits)

    def sample(
        self,
        shots: int,
        inputs: Tensor | None = None,
        weights: Tensor | None = None,
        initial_state: Tensor | None = None,
        *,
        initial_qubits: Sequence[int] | None = None,
        weight_rows: Tensor | None = None,
        qubits: Sequence[int] | None = None,
        postselect: Mapping[int, int] | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return the counts of a finite number of shots.

        Args:
            shots: Shots for each sample, at least 1.
            inputs, weights, initial_state, initial_qubits, weight_rows: As for :meth:`statevector`;
                initial states have norm 1.
            qubits, postselect: As for :meth:`probabilities`.
            generator: On the CPU; torch's own if None.

        Returns:
            ``(batch, 2**len(qubits))`` int64 on the CPU. Each row sums to ``shots``, or, where the
            circuit or ``postselect`` selects outcomes, to the shots that had them.

        Raises:
            InvalidData: As for :meth:`probabilities`, if ``shots`` is below 1, or if probabilities
                sum to more than 1, or to less without a selection.
        """
        with torch.no_grad():
            found = self.probabilities(
                inputs,
                weights,
                initial_state,
                initial_qubits=initial_qubits,
                weight_rows=weight_rows,
                qubits=qubits,
                postselect=postselect,
            )
        selects = bool(postselect) or (self.selections > 0 and not self.renormalise)
        return draw_selected(found, shots, selects=selects, generator=generator)


@cache
def _untraced() -> Callable[..., tuple[Tensor, tuple[int, ...]]]:
    """Return an untraced run, made only where `torch.compile` is in use: its import is slow."""
    found: Callable[..., tuple[Tensor, tuple[int, ...]]] = torch.compiler.disable(
        CircuitProgram._run_now
    )
    return found


def _selected_rows(
    state: Tensor, order: tuple[int, ...], chosen: Mapping[int, int]
) -> tuple[Tensor, list[int]]:
    """Return the rows in which qubits have chosen outcomes, and the order of the other qubits."""
    batch = state.shape[1]
    for qubit, outcome in chosen.items():
        below = 2 ** (len(order) - 1 - order.index(qubit))
        state = state.reshape(-1, 2, below, batch).select(1, outcome).reshape(-1, batch)
        order = tuple(each for each in order if each != qubit)
    return state, list(order)


def _by_row(stack: Tensor, rows: int) -> tuple[Tensor, ...]:
    """Return the rows of ``(rows * count, ...)``."""
    return stack.unflatten(0, (rows, -1)).unbind(0)


def in_order(state: Tensor, order: tuple[int, ...]) -> Tensor:
    """Return ``(2**n, batch)`` amplitudes in Qiskit's order, from another order of qubits."""
    n = len(order)
    axes = [order.index(qubit) for qubit in reversed(range(n))]
    if axes == list(range(n)):
        return state
    return state.reshape(*[2] * n, -1).permute(*axes, n).reshape(2**n, -1)
