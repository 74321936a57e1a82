"""Quantum trajectories: pure states, one branch of each channel drawn for each of them.

The estimator: a channel with Kraus operators K_k takes branch k with probability
``q_k = |K_k|^2 / S``, where ``|K|`` is the spectral norm and ``S = sum_k |K_k|^2 >= 1``, and multiplies
the state by ``K_k / sqrt(q_k)``; states are not normalised afterwards. Then the mean of ``|psi><psi|``
is the density matrix, without bias. The q do not depend on states or parameters, so the mean of
the gradients of trajectories is the gradient of the mean, without bias and without score terms.

The variance: no branch multiplies a squared norm by more than S, and mixtures of unitaries have
S = 1. A trajectory's value of an observable O thus lies within ``+-|O| * prod(S)``, and its
variance is at most ``|O|^2 prod(S) - <O>^2``, over all channels of the circuit. The product grows
exponentially with the damping in the circuit: where it is large, the method is unfit, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import final

import numpy as np
import torch
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ...errors import InvalidOption
from ..evolution.autograd_ops import in_full_precision
from ..evolution.pauli_readout import ObservableTable
from .angles import Angles
from .base import Arguments, NoisyProgram, confusion_terms
from .channels import Channel
from .lowering import NoisyCircuit
from .memory import check_memory
from .readout import apply_readout
from .trajectory_blocks import TrajectoryBlock, TrajectoryPlan, plan_blocks

__all__ = [
    "CHUNK_BYTES",
    "MAX_VARIANCE_FACTOR",
    "TrajectoryProgram",
]

CHUNK_BYTES = 2**28
"""Bytes of the states that autograd keeps of the trajectories that are evolved at once."""
MAX_VARIANCE_FACTOR = 100.0
"""Largest :attr:`TrajectoryProgram.variance_factor` of an estimator that is not refused."""


@final
class TrajectoryProgram(NoisyProgram):
    """A noisy circuit by sampled trajectories; see the module for estimator and variance.

    Args:
        noisy: The circuit.
        inputs: The parameters that each sample has its own values of.
        weights: The parameters that all samples share.

    Raises:
        InvalidOption: If the variance factor is above :data:`MAX_VARIANCE_FACTOR`.
    """

    def __init__(
        self, noisy: NoisyCircuit, inputs: Sequence[Parameter], weights: Sequence[Parameter]
    ) -> None:
        super().__init__(noisy, inputs, weights)
        channels = [i.channel for i in noisy.events if isinstance(i.channel, Channel)]
        self.variance_factor = math.prod(channel.spread for channel in channels)
        """The product of all spreads S: bounds values and variances of single trajectories."""
        if self.variance_factor > MAX_VARIANCE_FACTOR:
            raise InvalidOption(
                "Trajectories need channels that are nearly mixtures of unitaries: their variance "
                f"factor may be {MAX_VARIANCE_FACTOR:g}, here it is {self.variance_factor:.3g}; "
                "use method='density'."
            )
        rotations = [event for event in noisy.events if event.channel is None]
        groups = {
            "weights": [event for event in rotations if not event.on_inputs],
            "inputs": [event for event in rotations if event.on_inputs],
        }
        self._angles = {
            name: Angles([i.angle for i in events if i.angle is not None], inputs, weights)
            for name, events in groups.items()
        }
        rows = {id(i): (name, k) for name, events in groups.items() for k, i in enumerate(events)}
        self._plans: dict[tuple[int, ...], TrajectoryPlan] = {}
        self._rows = rows
        self._tensors: dict[tuple[int, torch.dtype, torch.device], Tensor] = {}

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
        trajectories: int = 256,
        generator: torch.Generator | None = None,
        part_of: tuple[int, int] | None = None,
    ) -> Tensor:
        """Return an unbiased estimate of :meth:`NoisyProgram.probabilities`.

        The sum of a row is 1 in the mean; exactly 1 only where all channels are mixtures of unitaries.

        Args:
            inputs, weights, initial_state, initial_qubits, qubits, readout: As there.
            trajectories: Number for each sample, at least 1.
            generator: Draws the branches, on the CPU; torch's own if None. Seeded alike it draws the
                same ones, whatever the parameters: common random numbers.
            part_of: The first sample's place in a larger batch, and that batch's samples: branches are
                drawn as for all of it, so that parts give what the whole gives.

        Returns:
            ``(batch, 2**len(qubits))`` real.

        Raises:
            InvalidOption: For no trajectories, or a part that lies outside of its batch.
            InvalidData: As there, or if one trajectory does not fit the memory.
        """
        arguments = self._arguments(inputs, weights, initial_state, initial_qubits)
        chosen = self._outcome_qubits(qubits)
        busy = [q for q in chosen if q in set(self.active)]

        def measure(states: Tensor, order: list[int]) -> Tensor:
            found = states.real**2 + states.imag**2
            found = found.sum(1).reshape(-1, *[2] * len(order))
            left = list(reversed(busy))
            axes = [1 + order.index(q) for q in left]
            rest = [1 + k for k, q in enumerate(order) if q not in busy]
            return found.permute(0, *axes, *rest).reshape(len(found), 2 ** len(busy), -1).sum(2)

        found = self._mean(arguments, measure, trajectories, generator, part_of)
        for qubit in chosen:
            if qubit not in busy:  # a new least significant bit, in |0>
                found = torch.stack([found, torch.zeros_like(found)], dim=2).flatten(1)
        bits = [*reversed([q for q in chosen if q not in busy]), *busy]  # least significant first
        axes = [1 + len(bits) - 1 - bits.index(q) for q in reversed(chosen)]
        found = found.reshape(-1, *[2] * len(bits)).permute(0, *axes).reshape(len(found), -1)
        if readout:
            confusion = self._noisy.confusion
            errors = [((k,), confusion[q]) for k, q in enumerate(chosen) if q in confusion]
            found = apply_readout(found, errors)
        return found

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
        trajectories: int = 256,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return an unbiased estimate of :meth:`NoisyProgram.expectation`.

        Args:
            observables, inputs, weights, initial_state, initial_qubits, readout: As there.
            trajectories: Number for each sample, at least 1.
            generator: As for :meth:`probabilities`.

        Returns:
            ``(batch, len(observables))`` real.

        Raises:
            InvalidOption: For no trajectories.
            InvalidData: As there, or if one trajectory does not fit the memory.
        """
        arguments = self._arguments(inputs, weights, initial_state, initial_qubits)
        values = self._values(observables, readout)

        def measure(states: Tensor, order: list[int]) -> Tensor:
            return values(states, order).sum(2).t()

        return self._mean(arguments, measure, trajectories, generator)

    @in_full_precision
    def estimate(
        self,
        observables: Sequence[SparsePauliOp],
        inputs: Tensor | None = None,
        weights: Tensor | None = None,
        initial_state: Tensor | None = None,
        *,
        initial_qubits: Sequence[int] | None = None,
        readout: bool = True,
        trajectories: int = 256,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return what :meth:`expectation` does, and the variance of each of these estimates.

        The variance is that of the same trajectories, divided by their number.

        Args:
            observables, inputs, weights, initial_state, initial_qubits, readout: As there.
            trajectories: Number for each sample, at least 2.
            generator: As for :meth:`probabilities`.

        Returns:
            Means, differentiable, and variances, without a gradient: ``(batch, len(observables))`` real
            each. A variance is at most ``variance_factor * |O|**2 / trajectories`` in the mean.

        Raises:
            InvalidOption: For fewer trajectories.
            InvalidData: As for :meth:`expectation`.
        """
        if trajectories < 2:
            raise InvalidOption(f"A variance takes at least 2 trajectories, got {trajectories}.")
        arguments = self._arguments(inputs, weights, initial_state, initial_qubits)
        values = self._values(observables, readout)

        def measure(states: Tensor, order: list[int]) -> Tensor:
            found = values(states, order)
            return torch.cat([found.sum(2), found.square().sum(2)]).t()

        mean, square = self._mean(arguments, measure, trajectories, generator).chunk(2, 1)
        scatter = (square - mean.square()).detach().clamp_min(0.0)
        return mean, scatter / (trajectories - 1)

    def _values(
        self, observables: Sequence[SparsePauliOp], readout: bool
    ) -> Callable[[Tensor, list[int]], Tensor]:
        """Return a function of states and their order, ``(observables, batch, trajectories)``."""
        found = [self._through_readout(observable, readout) for observable in observables]
        tables: dict[tuple[int, ...], ObservableTable] = {}

        def values(states: Tensor, order: list[int]) -> Tensor:
            key = tuple(order)
            if key not in tables:
                positions = {q: len(order) - 1 - k for k, q in enumerate(order)}
                tables[key] = ObservableTable([_placed(terms, positions) for terms in found])
            flat = states.reshape(-1, states.shape[-1]).t()
            return tables[key].evaluate(flat).reshape(len(found), *states.shape[:2])

        return values

    # ------------------------------------------------------------------ evolution

    def _mean(
        self,
        arguments: Arguments,
        measure: Callable[[Tensor, list[int]], Tensor],
        trajectories: int,
        generator: torch.Generator | None,
        part_of: tuple[int, int] | None = None,
    ) -> Tensor:
        if trajectories < 1:
            raise InvalidOption(f"trajectories is at least 1, got {trajectories}.")
        batch, like = arguments.batch, arguments.like
        first, whole = part_of or (0, batch)
        if not 0 <= first <= whole - batch:
            raise InvalidOption(
                f"part_of is (first, samples) of a batch that {batch} samples are part of, got "
                f"{part_of}."
            )
        plan = self._plan(arguments.covered)
        blocks, order = plan.blocks, plan.order
        # Chunks decide which branches a generator draws: their size stays as it was.
        one = 2 * like.element_size() * whole * 2 ** len(self.active) * (3 * len(blocks) + 3)
        chunk = max(1, min(trajectories, CHUNK_BYTES // one))
        check_memory(
            chunk * self._bytes_of_one(plan, batch, like.element_size()),
            like.device,
            f"{chunk} trajectories of {len(self.active)} qubits for {batch} samples"
            if chunk > 1
            else f"One trajectory of {len(self.active)} qubits for {batch} samples",
            "use fewer trajectories, fewer samples or fewer qubits",
        )
        edges = [torch.from_numpy(edge) for edge in plan.edges]
        recorded = (arguments.inputs, arguments.weights, arguments.state)
        needs_grad = torch.is_grad_enabled() and any(
            t is not None and t.requires_grad for t in recorded
        )
        total: Tensor | None = None
        for start in range(0, trajectories, chunk):
            count = min(chunk, trajectories - start)
            draws = torch.rand(len(edges), whole, count, dtype=torch.float64, generator=generator)
            draws = draws[:, first : first + batch]
            picks = [
                torch.searchsorted(edge, draw, right=True).clamp_max(len(edge) - 1).to(like.device)
                for edge, draw in zip(edges, draws, strict=True)
            ]

            def measured(
                inputs: Tensor | None,
                weights: Tensor | None,
                state: Tensor | None,
                *,
                picks: list[Tensor] = picks,
                count: int = count,
            ) -> Tensor:
                states = self._evolve(blocks, arguments, inputs, weights, state, picks)
                if states.shape[:2] != (batch, count):
                    states = states.expand(batch, count, -1)
                return measure(states, order)

            if needs_grad and trajectories > chunk:
                value = checkpoint(measured, *recorded, use_reentrant=False)
            else:
                value = measured(*recorded)
            total = value if total is None else total + value
        assert total is not None  # there is at least one trajectory
        return self._connected(total / trajectories, arguments)

    def _bytes_of_one(self, plan: TrajectoryPlan, batch: int, itemsize: int) -> int:
        """Return the bytes of one trajectory of each sample, with what autograd keeps of it."""
        # A state before each block; what is read, its gradient, and those that are worked on.
        states = 2 ** len(self.active) * (len(plan.blocks) + 6)
        # Operators that were drawn, their products within a block, and the gradients of these.
        operators = 3 * 16 * sum(len(block.factors) for block in plan.blocks)
        draws = 16 * len(plan.edges)  # numbers in double precision, and branches
        return batch * (2 * itemsize * (states + operators) + draws)

    def _evolve(
        self,
        blocks: list[TrajectoryBlock],
        arguments: Arguments,
        inputs: Tensor | None,
        weights: Tensor | None,
        state: Tensor | None,
        picks: list[Tensor],
    ) -> Tensor:
        """Return the final states ``(batch or 1, trajectories or 1, 2**n)``."""
        n, like = len(self.active), arguments.like
        dtype = like.dtype.to_complex()
        waves = {}
        for name, angles in self._angles.items():
            if angles.count:
                half = angles.evaluate(inputs, weights, like) / 2
                # (angles, batch or 1, 1, 1, 1)
                half = half[:, :, None, None, None]
                waves[name] = (torch.cos(half).unbind(0), torch.sin(half).unbind(0))
        width = 2 ** len(arguments.covered)
        if state is None:
            x = torch.zeros(1, 1, 2**n, dtype=dtype, device=like.device)
            x[..., 0] = 1
        else:
            x = torch.nn.functional.pad(state, (0, 2**n - width)).unsqueeze(1)
        for block in blocks:
            if block.axes is not None:
                shape = x.shape
                x = x.reshape(*shape[:2], *[2] * n).permute(0, 1, *(2 + a for a in block.axes))
                x = x.reshape(shape)
            matrix: Tensor | None = None
            for kind, row, array in block.factors:
                table = self._constant(array, dtype, like.device)
                if kind == "fixed":
                    factor = table
                elif kind == "noise":
                    factor = table[picks[row]]
                else:
                    cosine, sine = waves[kind]
                    factor = cosine[row] * table[0] + sine[row] * table[1]
                matrix = factor if matrix is None else factor @ matrix
            assert matrix is not None  # blocks hold at least one event
            x = matrix @ x.reshape(*x.shape[:2], matrix.shape[-1], -1)
            x = x.flatten(2)
        return x

    # ------------------------------------------------------------------ preparation

    def _plan(self, covered: tuple[int, ...]) -> TrajectoryPlan:
        """Return the blocks; chances of branches are the same whatever is covered."""
        if covered not in self._plans:
            self._plans[covered] = plan_blocks(self._noisy.events, self._rows, self.active, covered)
        return self._plans[covered]

    def _through_readout(
        self, observable: SparsePauliOp, readout: bool
    ) -> dict[tuple[tuple[int, int], ...], float]:
        """Return Pauli strings on active qubits with coefficients that hold the readout errors."""
        strings, table = self._pauli_terms([observable])
        found: dict[tuple[tuple[int, int], ...], float] = {}
        for string, coefficient in zip(strings, table[0], strict=True):
            reads: dict[tuple[tuple[int, int], ...], float] = {(): float(coefficient)}
            for qubit, digit in string:
                matrix = self._noisy.confusion.get(qubit) if readout else None
                a, b = (0.0, 1.0) if matrix is None else confusion_terms(matrix)
                new: dict[tuple[tuple[int, int], ...], float] = {}
                for read, value in reads.items():
                    if qubit in self.active:
                        options = [((*read, (qubit, digit)), b), (read, a)]
                    else:  # in |0>: Z is 1, X and Y are 0
                        options = [(read, a + b * (digit == 3))]
                    for key, factor in options:
                        if factor:
                            new[key] = new.get(key, 0.0) + value * factor
                reads = new
            for read, value in reads.items():
                found[read] = found.get(read, 0.0) + value
        return found

    def _constant(self, array: np.ndarray, dtype: torch.dtype, device: torch.device) -> Tensor:
        place = (id(array), dtype, device)  # the blocks keep the arrays alive
        if place not in self._tensors:
            self._tensors[place] = torch.tensor(array, dtype=dtype, device=device)
        return self._tensors[place]


def _placed(
    terms: dict[tuple[tuple[int, int], ...], float], positions: dict[int, int]
) -> SparsePauliOp:
    """Return Pauli strings as an operator on the qubits as they lie."""
    triples = [
        ("".join(" XYZ"[digit] for _, digit in string), [positions[q] for q, _ in string], value)
        for string, value in terms.items()
    ]
    return SparsePauliOp.from_sparse_list(triples or [("", [], 0.0)], len(positions))
