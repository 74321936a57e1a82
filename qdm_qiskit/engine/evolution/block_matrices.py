"""Matrices of all blocks and phases of all monomials of a program, built in a few calls.

A call of torch costs microseconds, whatever its size. All gate angles are therefore gathered at
once, all matrices of one size are evaluated at once, the factors of all blocks of one size are put
together, and the factors of each block are multiplied as a tree.

A block is a product of factors. A factor is a layer of one-qubit gates (a Kronecker product), an
embedded two-qubit gate or a fixed matrix, followed by a monomial, which costs one gather of rows and
one multiplication for the whole program. One-qubit gates that are not monomial are mostly real.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..lowering.fusion import Factor, factors_of
from ..lowering.operations import Monomial, Operation, embedding
from .autograd_ops import in_full_precision
from .constants import BlockHandle, Constants
from .parameter_tables import AngleTable, FormTable, PhaseTable
from .unitary_products import (
    FACTOR_ENTRY_US,
    boundaries,
    chain,
    chain_us,
    prefers_tree,
    product_of,
)

__all__ = [
    "BlockBuilder",
]


@dataclass(frozen=True)
class _Registered:
    """A factor, and where its gates stand in the tables."""

    factor: Factor
    runs: tuple[int, ...]
    """Number of the run of each local qubit of a layer; -1 for none."""
    ticket: int
    """Ticket of a two-qubit gate; -1 for none."""


@dataclass
class _Group:
    """Blocks of one size and one number of factors, and the keys that put them together."""

    blocks: list[list[_Registered]] = field(default_factory=list)
    keys: dict[str, int] = field(default_factory=dict)
    phases: PhaseTable | None = None
    is_real: bool = True


class BlockBuilder:
    """Blocks of a program: collected while it is planned, built as matrices when it runs."""

    def __init__(self, constants: Constants) -> None:
        self.constants = constants
        self.angles = AngleTable()
        self._singles = FormTable(constants, self.angles)
        self._pairs = FormTable(constants, self.angles)
        self._runs: list[tuple[int, ...]] = []
        self._run_operations: list[list[Operation]] = []
        self._run_keys: list[int] = []
        self._groups: dict[tuple[int, ...], _Group] = {}
        self._phases: dict[int, PhaseTable] = {}

    def add(
        self, operations: Sequence[Operation], qubits: Sequence[int], fresh: int
    ) -> BlockHandle:
        """Register a block.

        Args:
            operations: Its gates in order; none depends on inputs.
            qubits: Its k qubits, least significant first.
            fresh: Number of first qubits that are in |0>, so that columns can be left out.

        Returns:
            Place of its ``(2**k, 2**(k - fresh))`` matrix.
        """
        factors = [self._register(each) for each in factors_of(operations, qubits)]
        key = (len(qubits), len(factors), 2**fresh)
        group = self._groups.setdefault(key, _Group())
        group.blocks.append(factors)
        return BlockHandle(key, len(group.blocks) - 1)

    def cost(self, handle: BlockHandle) -> float:
        """Return the estimated microseconds of forward and backward pass of a block's product."""
        size, factors, stride = handle.group
        entries = factors * FACTOR_ENTRY_US * 4**size
        return entries + min(chain_us(factors, 2**size, 2**size // stride))

    def add_phases(self, monomial: Monomial) -> tuple[int, int]:
        """Register the phases of a monomial on a component; in the order of its result's rows."""
        source = np.argsort(monomial.rows)
        factors = monomial.factors[source]
        phases = {angle: values[source] for angle, values in monomial.phases.items()}
        size = len(source)
        table = self._phases.setdefault(size, PhaseTable(self.constants, self.angles))
        return size, table.add(factors, phases)

    def _register(self, factor: Factor) -> _Registered:
        ticket = -1 if factor.pair is None else self._pairs.add(factor.pair)
        return _Registered(factor, tuple(map(self._run, factor.runs)), ticket)

    def _run(self, operations: Sequence[Operation]) -> int:
        if not operations:
            return -1
        self._runs.append(tuple(self._singles.add(operation) for operation in operations))
        self._run_operations.append(list(operations))
        return len(self._runs) - 1

    def finish(self) -> None:
        """Turn the collected blocks into index arrays; none can be added afterwards."""
        layers = [
            each
            for group in self._groups.values()
            for block in group.blocks
            for each in block
            if each.factor.kind == "layer"
        ]
        row_of_run = {}
        if any(-1 in each.runs for each in layers):
            row_of_run[-1] = self._singles.fixed_row(np.eye(2))
        singles, pairs = self._singles.finish(), self._pairs.finish()
        start = self._singles.num_rows  # products of several gates follow the gates themselves
        for length in sorted({len(run) for run in self._runs}):
            members = [k for k, run in enumerate(self._runs) if len(run) == length]
            table = np.array([[singles[ticket] for ticket in self._runs[k]] for k in members])
            if length == 1:
                row_of_run.update(
                    {k: int(row) for k, row in zip(members, table[:, 0], strict=True)}
                )
                continue
            self._run_keys.append(self.constants.add(table.T))
            row_of_run.update({k: start + offset for offset, k in enumerate(members)})
            start += len(members)
        for (size, _, _), group in self._groups.items():
            self._finish_group(group, size, row_of_run, pairs)
        for phases in self._phases.values():
            phases.finish()

    def _finish_group(
        self,
        group: _Group,
        size: int,
        row_of_run: dict[int, int],
        pairs: np.ndarray,
    ) -> None:
        keep = self.constants.add
        registered = [each for block in group.blocks for each in block]
        factors = [each.factor for each in registered]
        place: list[int] = []
        layers = [k for k, factor in enumerate(factors) if factor.kind == "layer"]
        if layers:
            rows = np.array([[row_of_run[run] for run in registered[k].runs] for k in layers])
            # A Kronecker product entry by entry: those of each half of the qubits, then both.
            for name, half in (("low", rows[:, : size // 2]), ("high", rows[:, size // 2 :])):
                if half.shape[1]:
                    group.keys[name] = keep(4 * half[:, :, None] + _entries(half.shape[1]))
            group.is_real = group.is_real and self._singles.is_real
            place += layers
        members = [k for k, factor in enumerate(factors) if factor.kind == "pair"]
        if members:
            # Entries of all two-qubit gates, each gate's followed by a zero.
            index = [
                17 * pairs[registered[k].ticket] + embedding(size, factors[k].positions)
                for k in members
            ]
            group.keys["pairs"] = keep(np.stack(index))
            group.is_real = group.is_real and self._pairs.is_real
            place += members
        fixed = [k for k, factor in enumerate(factors) if factor.kind == "fixed"]
        if fixed:
            stack = np.stack([np.asarray(factors[k].matrix) for k in fixed])
            group.is_real = group.is_real and not stack.imag.any()
            group.keys["fixed"] = keep(stack[None])
            place += fixed
        if place != list(range(len(factors))):
            group.keys["order"] = keep(np.argsort(place))
        after = [f.after or Monomial.identity(2**size) for f in factors]
        sources = np.stack([np.argsort(each.rows) for each in after])
        flat = (sources + 2**size * np.arange(len(factors))[:, None]).reshape(-1)
        if not np.array_equal(flat, np.arange(flat.size)):
            group.keys["rows"] = keep(flat)
        factors_of = [each.factors[s] for each, s in zip(after, sources, strict=True)]
        if any(each.phases for each in after) or any(f.imag.any() for f in factors_of):
            group.phases = PhaseTable(self.constants, self.angles)
            for each, source, values in zip(after, sources, factors_of, strict=True):
                moved = {angle: v[source] for angle, v in each.phases.items()}
                group.phases.add(values, moved)
            group.phases.finish()
        elif not all(np.allclose(f, 1) for f in factors_of):
            group.keys["signs"] = keep(np.stack(factors_of).real.reshape(-1, 1))
        self._finish_generators(group, size, registered)

    def _finish_generators(self, group: _Group, size: int, registered: list[_Registered]) -> None:
        """Keep where the derivative of each angle is read, see :mod:`.unitary_products`."""
        known: dict[tuple[str, tuple[int, ...], bytes], int] = {}
        matrices: list[np.ndarray] = []
        slots: list[tuple[int, int, int]] = []
        length = len(registered) // len(group.blocks)

        def add(k: int, gate: Operation, positions: tuple[int, ...], before: np.ndarray) -> None:
            key = (gate.gate, positions, before.tobytes())
            if key not in known:
                known[key] = len(matrices)
                local = before.conj().T @ gate.form.generator @ before
                flat = np.append(local.reshape(-1), 0)
                matrices.append(flat[embedding(size, positions)])
            slots.append((k, known[key], self.angles.column(gate.angles[0])))

        for k, each in enumerate(registered):
            pair = each.factor.pair
            if pair is not None and pair.fixed is None:
                add(k, pair, each.factor.positions, np.eye(4))
            for position, run in enumerate(each.runs):
                before = np.eye(2, dtype=complex)
                for gate in self._run_operations[run] if run >= 0 else ():
                    if gate.fixed is None:
                        add(k, gate, (position,), before)
                        break
                    before = gate.fixed @ before
        if not slots:
            return
        table = np.array(slots)
        # tr(Z X) = sum Z_rc X_cr, of which the real part counts.
        stack = np.stack(matrices).transpose(0, 2, 1).reshape(len(matrices), -1)
        keep = self.constants.add
        # Read in turn for all blocks' first factors, all their second ones, and so on.
        block, number = np.divmod(table[:, 0], length)
        place = number * len(group.blocks) + block
        group.keys["slots"] = keep(place * len(matrices) + table[:, 1])
        group.keys["angles"] = keep(table[:, 2])
        # One generator a row: the product below runs three times faster on its transpose.
        group.keys["generators"] = keep(stack.real)
        pairs = np.stack([stack.real, -stack.imag], axis=-1).reshape(len(matrices), -1)
        group.keys["complex generators"] = keep(pairs)

    def build(
        self, weights: Tensor | None, like: Tensor, *, differentiable: bool
    ) -> tuple[dict[tuple[int, ...], Tensor], dict[int, Tensor]]:
        """Return the matrices of all blocks and the phases of all monomials.

        Args:
            weights: ``(num_weights,)``, a table ``(rows, num_weights)``, or None.
            like: A real tensor that gives precision and device.
            differentiable: True if forward mode may look inside. Backward mode always works.

        Returns:
            Matrices ``(rows * count, 2**k, columns)`` of each group, real where they can be; and
            phases ``(rows * count, 2**k, 1)`` of each size of register.
        """
        if not self._groups and not self._phases:
            return {}, {}
        table = weights.unsqueeze(0) if weights is not None and weights.ndim == 1 else weights
        angles = self.angles.evaluate(table, like)
        if angles.requires_grad:
            found = _Build.apply(angles, self)
        else:
            found, _ = self.forward(angles, differentiable=differentiable)
        blocks = dict(zip(self._groups, found, strict=False))
        return blocks, dict(zip(self._phases, found[len(blocks) :], strict=True))

    def forward(
        self, angles: Tensor, *, differentiable: bool
    ) -> tuple[tuple[Tensor, ...], list[_Product]]:
        """Return the results of :meth:`build` as one tuple, and how each group's products were made.

        Args:
            angles: ``(number of angles, rows)``.
            differentiable: True if autograd or forward mode may look inside.
        """
        singles = self._run_matrices(angles)
        pairs: Tensor | None = None
        if any("pairs" in group.keys for group in self._groups.values()):
            dtype = _matrix_dtype(angles, self._pairs.is_real)
            pairs = torch.nn.functional.pad(self._pairs.evaluate(angles, dtype), (0, 1)).flatten(1)
        products, blocks = [], []
        for (size, count, stride), group in self._groups.items():
            d = 2**size
            factors = self._factor_matrices(group, size, angles, singles, pairs)
            factors = factors.view(-1, count, d, d)
            tree = prefers_tree(count, d, d // stride, len(factors))
            found = chain(factors, stride, tree=tree, differentiable=differentiable)
            products.append(_Product(factors, found, tree))
            blocks.append(product_of(found, stride, tree=tree))
        phases = [table.evaluate(angles).unsqueeze(-1) for table in self._phases.values()]
        return (*blocks, *phases), products

    def _factor_matrices(
        self, group: _Group, size: int, angles: Tensor, singles: Tensor, pairs: Tensor | None
    ) -> Tensor:
        """Return all factors of a group, ``(rows, factors * d, d)``."""
        constants, device, d, rows = self.constants, angles.device, 2**size, angles.shape[1]
        parts = []
        if "high" in group.keys:
            halves = []
            for name in ("high", "low"):
                if name not in group.keys:
                    continue
                index = constants.index(group.keys[name], device)
                entries = singles.flatten(1).index_select(1, index.view(-1))
                split = entries.view(rows, *index.shape)
                halves.append(split.prod(2) if index.shape[1] > 1 else split.squeeze(2))
            if len(halves) == 1:
                parts.append(halves[0].view(rows, -1, d, d))
            else:
                a, b = (math.isqrt(half.shape[-1]) for half in halves)
                high, low = (
                    halves[0].view(rows, -1, a, 1, a, 1),
                    halves[1].view(rows, -1, 1, b, 1, b),
                )
                parts.append((high * low).view(rows, -1, d, d))
        if "pairs" in group.keys:
            assert pairs is not None  # the caller has looked
            index = constants.index(group.keys["pairs"], device)
            parts.append(pairs.index_select(1, index.view(-1)).view(rows, *index.shape))
        if "fixed" in group.keys:
            dtype = _matrix_dtype(angles, group.is_real)
            parts.append(constants.get(group.keys["fixed"], dtype, device).expand(rows, -1, d, d))
        if len(parts) > 1:
            dtype = _matrix_dtype(angles, not any(part.is_complex() for part in parts))
            stack = torch.cat([part.to(dtype) for part in parts], dim=1)
        else:
            stack = parts[0]
        if "order" in group.keys:
            stack = stack.index_select(1, constants.index(group.keys["order"], device))
        stack = stack.reshape(rows, -1, d)
        if "rows" in group.keys:
            stack = stack.index_select(1, constants.index(group.keys["rows"], device))
        if group.phases is not None:
            stack = stack * group.phases.evaluate(angles).view(rows, -1, 1)
        elif "signs" in group.keys:
            stack = stack * constants.get(group.keys["signs"], stack.dtype, device)
        return stack

    def _run_matrices(self, angles: Tensor) -> Tensor:
        """Return single gates, then runs of several, ``(rows, gates + runs, 4)``."""
        if not self._singles.num_rows:
            return angles.new_zeros(angles.shape[1], 0, 4)
        dtype = _matrix_dtype(angles, self._singles.is_real)
        singles = self._singles.evaluate(angles, dtype)
        if not self._run_keys:
            return singles
        gates, parts = singles.unflatten(-1, (2, 2)), [singles]
        for key in self._run_keys:
            rows = self.constants.index(key, angles.device)
            product = gates.index_select(1, rows[0])
            for later in rows[1:].unbind(0):
                product = gates.index_select(1, later) @ product
            parts.append(product.flatten(-2))
        return torch.cat(parts, dim=1)

    def pull_back(
        self,
        angles: Tensor,
        products: list[_Product],
        phases: Sequence[Tensor],
        grads: Sequence[Tensor | None],
    ) -> Tensor:
        """Return the gradient in the angles.

        Args:
            angles: ``(number of angles, rows)``.
            products: Products of :meth:`forward`.
            phases: The phases that :meth:`forward` has returned.
            grads: Gradients of all that :meth:`forward` has returned; None for zero.

        Returns:
            As ``angles``.
        """
        constants, device, rows = self.constants, angles.device, angles.shape[1]
        into = torch.zeros_like(angles)
        groups = zip(self._groups.items(), products, grads, strict=False)
        for ((_, _, stride), group), (factors, found, tree), grad in groups:
            if grad is None or ("slots" not in group.keys and group.phases is None):
                continue
            around = boundaries(factors, found, grad, stride, tree=tree)
            before, after = around[:-1], around[1:]
            if "slots" in group.keys:
                flat = before.reshape(before.shape[0] * before.shape[1], -1)
                name = "generators"
                if flat.is_complex():
                    flat, name = torch.view_as_real(flat).flatten(1), "complex generators"
                read = flat @ constants.get(group.keys[name], angles.dtype, device).mT
                slots = constants.index(group.keys["slots"], device)
                read = read.view(len(before), rows, -1).transpose(0, 1).reshape(rows, -1)
                values = read.index_select(1, slots)
                into.index_add_(0, constants.index(group.keys["angles"], device), values.t())
            if group.phases is not None:
                # tr(Z Y) for Y = i on one entry of the diagonal.
                turns = after.diagonal(dim1=-2, dim2=-1).imag.neg().transpose(0, 1)
                group.phases.pull_back(turns.reshape(-1, turns.shape[-1]), into)
        offset = len(self._groups)
        for table, value, grad in zip(self._phases.values(), phases, grads[offset:], strict=True):
            if grad is not None:
                table.pull_back((grad * value.conj()).imag.squeeze(-1), into)
        return into


class _Product(NamedTuple):
    """Factors and products of the blocks of a group; see :mod:`.unitary_products`."""

    factors: Tensor
    found: list[Tensor]
    tree: bool


def _entries(num_qubits: int) -> np.ndarray:
    """Return the entry of each qubit's flat matrix that an entry of the Kronecker product takes.

    Returns:
        ``(num_qubits, 4**num_qubits)``; qubit 0 is the least significant.
    """
    index = np.arange(2**num_qubits)
    bits = index >> np.arange(num_qubits)[:, None] & 1
    return (2 * bits[:, :, None] + bits[:, None, :]).reshape(num_qubits, -1)


class _Build(torch.autograd.Function):
    """:meth:`BlockBuilder.forward` with a backward pass that uses that all factors are unitary."""

    @staticmethod
    def forward(ctx: Any, angles: Tensor, builder: BlockBuilder) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        found, ctx.products = builder.forward(angles, differentiable=False)
        ctx.builder = builder
        ctx.save_for_backward(angles)
        ctx.phases = [value.detach() for value in found[len(ctx.products) :]]
        return found

    @staticmethod
    @in_full_precision
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor, None]:
        (angles,) = ctx.saved_tensors
        builder: BlockBuilder = ctx.builder
        if not torch.is_grad_enabled():
            return builder.pull_back(angles, ctx.products, ctx.phases, grads), None
        # A graph of the gradient is asked for: autograd differentiates the plain operations.
        found, _ = builder.forward(angles, differentiable=True)
        pairs = [
            (value, grad) for value, grad in zip(found, grads, strict=True) if grad is not None
        ]
        values, given = zip(*pairs, strict=True)
        (grad,) = torch.autograd.grad(values, angles, given, create_graph=True)
        return grad, None


def _matrix_dtype(like: Tensor, is_real: bool) -> torch.dtype:
    """Return the dtype of a matrix in the precision of ``like``, a real tensor."""
    return like.dtype if is_real else like.dtype.to_complex()
