"""Matrices of all blocks and phases of all monomials of a program, built in a few calls.

A call of torch costs microseconds, whatever its size. So all gate angles are gathered at once, all
matrices of one size are evaluated at once, the factors of all blocks of one size are put together, and
the factors of each block are multiplied as a tree.

A block is a product of factors. A factor is a layer of one-qubit gates (a Kronecker product), an
embedded two-qubit gate or a fixed matrix, followed by a monomial, which costs one gather of rows and
one multiplication for the whole program. One-qubit gates that are not monomial are mostly real.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from .algebra import kronecker, matrix_dtype, permute_rows, tree_product
from .fusion import alternate
from .operations import Monomial, Operation, embedding
from .tables import AngleTable, Constants, FormTable, PhaseTable


@dataclass
class Factor:
    """One factor of a block: where its matrix comes from, and the monomial that follows."""

    kind: str
    """"layer", "pair" or "fixed"."""
    sources: tuple[int, ...] = ()
    """Runs for each local qubit (-1 for none), or the ticket of a two-qubit gate."""
    positions: tuple[int, ...] = ()
    """Local qubits of an embedded two-qubit gate."""
    matrix: np.ndarray | None = None
    """The matrix of a fixed factor."""
    after: Monomial | None = None
    """The monomial that follows."""


@dataclass(frozen=True)
class BlockHandle:
    """Which matrix of :meth:`BlockBuilder.build` belongs to a block."""

    group: tuple[int, int]
    row: int


@dataclass
class _Group:
    """Blocks of one size and one number of factors, and the keys that put them together."""

    blocks: list[list[Factor]] = field(default_factory=list)
    keys: dict[str, int] = field(default_factory=dict)
    pairs: list[tuple[int, int]] = field(default_factory=list)
    phases: PhaseTable | None = None
    is_real: bool = True


class BlockBuilder:
    """Collects the blocks of a program while it is planned, builds their matrices when it runs."""

    def __init__(self, constants: Constants) -> None:
        self.constants = constants
        self.angles = AngleTable()
        self._singles = FormTable(constants, self.angles)
        self._pairs = FormTable(constants, self.angles)
        self._runs: list[tuple[int, ...]] = []
        self._run_keys: list[tuple[int, int]] = []
        self._groups: dict[tuple[int, int], _Group] = {}
        self._phases: dict[int, PhaseTable] = {}

    def add(self, operations: Sequence[Operation], qubits: Sequence[int]) -> BlockHandle:
        """Register a block.

        Args:
            operations: Its gates in order; none depends on inputs.
            qubits: Its qubits, least significant first.

        Returns:
            Where its ``(2**k, 2**k)`` matrix will stand.
        """
        factors = self._factors(operations, qubits)
        key = (len(qubits), len(factors))
        group = self._groups.setdefault(key, _Group())
        group.blocks.append(factors)
        return BlockHandle(key, len(group.blocks) - 1)

    def add_phases(self, monomial: Monomial) -> tuple[int, int]:
        """Register the phases of a monomial on a component; in the order of its result's rows."""
        source = np.argsort(monomial.rows)
        factors = monomial.factors[source]
        phases = {angle: values[source] for angle, values in monomial.phases.items()}
        size = len(source)
        table = self._phases.setdefault(size, PhaseTable(self.constants, self.angles))
        return size, table.add(factors, phases)

    def _factors(self, operations: Sequence[Operation], qubits: Sequence[int]) -> list[Factor]:
        local = {qubit: position for position, qubit in enumerate(qubits)}
        size = len(qubits)
        factors: list[Factor] = []

        def positions(operation: Operation) -> tuple[int, ...]:
            return tuple(local[qubit] for qubit in operation.qubits)

        def layer(runs: dict[int, list[Operation]]) -> None:
            sources = tuple(self._run(runs.get(position, [])) for position in range(size))
            factors.append(Factor("layer", sources=sources))

        for monomials, others in alternate(operations):
            if monomials:
                total = Monomial.identity(2**size)
                for operation in monomials:
                    assert operation.monomial is not None  # alternate() has sorted them
                    total = total.then(operation.monomial.spread(size, positions(operation)))
                if not factors:
                    layer({})
                factors[-1].after = total
            runs: dict[int, list[Operation]] = {}
            for operation in others:
                where = positions(operation)
                if len(where) == 1:
                    runs.setdefault(where[0], []).append(operation)
                    continue
                if any(position in runs for position in where):
                    layer(runs)
                    runs = {}
                if len(where) == 2:
                    ticket = self._pairs.add(operation)
                    factors.append(Factor("pair", sources=(ticket,), positions=where))
                else:
                    assert operation.fixed is not None  # larger free gates are decomposed
                    flat = np.append(operation.fixed.reshape(-1), 0)
                    factors.append(Factor("fixed", matrix=flat[embedding(size, where)]))
            if runs:
                layer(runs)
        return factors

    def _run(self, operations: list[Operation]) -> int:
        if not operations:
            return -1
        self._runs.append(tuple(self._singles.add(operation) for operation in operations))
        return len(self._runs) - 1

    def finish(self) -> None:
        """Turn what was collected into index arrays; no block can be added afterwards."""
        singles, pairs = self._singles.finish(), self._pairs.finish()
        row_of_run = {-1: 0}  # row 0 is the identity, then the runs by length
        start = 1
        for length in sorted({len(run) for run in self._runs}):
            members = [k for k, run in enumerate(self._runs) if len(run) == length]
            table = np.array([[singles[ticket] for ticket in self._runs[k]] for k in members])
            self._run_keys.append((length, self.constants.add(table.T)))
            row_of_run.update({k: start + offset for offset, k in enumerate(members)})
            start += len(members)
        for (size, _), group in self._groups.items():
            self._finish_group(group, size, row_of_run, pairs)
        for phases in self._phases.values():
            phases.finish()

    def _finish_group(
        self, group: _Group, size: int, row_of_run: dict[int, int], pairs: np.ndarray
    ) -> None:
        keep = self.constants.add
        factors = [factor for block in group.blocks for factor in block]
        place: list[int] = []
        layers = [k for k, factor in enumerate(factors) if factor.kind == "layer"]
        if layers:
            rows = [[row_of_run[run] for run in factors[k].sources] for k in layers]
            group.keys["layers"] = keep(np.array(rows))
            group.is_real = group.is_real and self._singles.is_real
            place += layers
        for positions in sorted({f.positions for f in factors if f.kind == "pair"}):
            members = [k for k, f in enumerate(factors) if f.positions == positions]
            rows_of = np.array([pairs[factors[k].sources[0]] for k in members])
            group.pairs.append((keep(rows_of), keep(embedding(size, positions).reshape(-1))))
            group.is_real = group.is_real and self._pairs.is_real
            place += members
        fixed = [k for k, factor in enumerate(factors) if factor.kind == "fixed"]
        if fixed:
            stack = np.stack([np.asarray(factors[k].matrix) for k in fixed])
            group.is_real = group.is_real and not stack.imag.any()
            group.keys["fixed"] = keep(stack)
            place += fixed
        if place != list(range(len(factors))):
            group.keys["order"] = keep(np.argsort(place))
        after = [f.after or Monomial.identity(2**size) for f in factors]
        sources = np.stack([np.argsort(each.rows) for each in after])
        flat = (sources + 2**size * np.arange(len(factors))[:, None]).reshape(-1)
        if not np.array_equal(flat, np.arange(flat.size)):
            group.keys["rows"] = keep(flat)
            group.keys["back"] = keep(np.argsort(flat))
        factors_of = [each.factors[s] for each, s in zip(after, sources, strict=True)]
        if any(each.phases for each in after) or any(f.imag.any() for f in factors_of):
            group.phases = PhaseTable(self.constants, self.angles)
            for each, source, values in zip(after, sources, factors_of, strict=True):
                moved = {angle: v[source] for angle, v in each.phases.items()}
                group.phases.add(values, moved)
            group.phases.finish()
        elif not all(np.allclose(f, 1) for f in factors_of):
            group.keys["signs"] = keep(np.stack(factors_of).real.reshape(-1, 1))

    def build(
        self, weights: Tensor | None, like: Tensor
    ) -> tuple[dict[tuple[int, int], Tensor], dict[int, Tensor]]:
        """The matrices of all blocks and the phases of all monomials.

        Args:
            weights: ``(num_weights,)`` or None.
            like: A real tensor that gives precision and device.

        Returns:
            For each group its ``(count, 2**k, 2**k)`` matrices, real where they can be; and for
            each size of register its ``(count, 2**k, 1)`` phases.
        """
        constants, device = self.constants, like.device
        if not self._groups and not self._phases:
            return {}, {}
        angles = self.angles.evaluate(weights, like)
        singles = self._run_matrices(angles)
        pair_table: Tensor | None = None
        blocks = {}
        for (size, count), group in self._groups.items():
            d = 2**size
            parts = []
            if "layers" in group.keys:
                rows = constants.index(group.keys["layers"], device)
                parts.append(kronecker(singles, rows))
            for rows_key, map_key in group.pairs:
                if pair_table is None:
                    table = self._pairs.evaluate(angles, matrix_dtype(like, self._pairs.is_real))
                    pair_table = torch.nn.functional.pad(table, (0, 1))
                chosen = pair_table[constants.index(rows_key, device)]
                parts.append(chosen[:, constants.index(map_key, device)].reshape(-1, d, d))
            if "fixed" in group.keys:
                dtype = matrix_dtype(like, group.is_real)
                parts.append(constants.get(group.keys["fixed"], dtype, device))
            if len(parts) > 1:
                dtype = matrix_dtype(like, not any(part.is_complex() for part in parts))
                stack = torch.cat([part.to(dtype) for part in parts])
            else:
                stack = parts[0]
            if "order" in group.keys:
                stack = stack[constants.index(group.keys["order"], device)]
            stack = stack.reshape(-1, d)
            if "rows" in group.keys:
                index = constants.index(group.keys["rows"], device)
                back = constants.index(group.keys["back"], device)
                stack = permute_rows(stack, index, back)
            if group.phases is not None:
                stack = stack * group.phases.evaluate(angles).reshape(-1, 1)
            elif "signs" in group.keys:
                stack = stack * constants.get(group.keys["signs"], stack.dtype, device)
            blocks[(size, count)] = tree_product(stack.reshape(-1, count, d, d))
        phases = {
            size: table.evaluate(angles).unsqueeze(-1) for size, table in self._phases.items()
        }
        return blocks, phases

    def _run_matrices(self, angles: Tensor) -> Tensor:
        """The identity and all runs of one-qubit gates, ``(1 + runs, 2, 2)``."""
        constants, device = self.constants, angles.device
        dtype = matrix_dtype(angles, self._singles.is_real)
        parts = [torch.eye(2, dtype=dtype, device=device).unsqueeze(0)]
        if self._runs:
            singles = self._singles.evaluate(angles, dtype).reshape(-1, 2, 2)
            for length, key in self._run_keys:
                rows = constants.index(key, device)
                product = singles[rows[0]]
                for k in range(1, length):
                    product = singles[rows[k]] @ product
                parts.append(product)
        return torch.cat(parts)
