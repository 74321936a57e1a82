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

from .expressions import Angle, AngleVector
from .fusion import alternate
from .operations import Monomial, Operation, embedding


class Constants:
    """Arrays of a program as tensors, converted once for each dtype and device."""

    def __init__(self) -> None:
        self._arrays: list[np.ndarray] = []
        self._tensors: dict[tuple[int, torch.dtype, torch.device], Tensor] = {}

    def add(self, array: np.ndarray) -> int:
        """Keep an array; the key that :meth:`get` takes."""
        self._arrays.append(np.ascontiguousarray(array))
        return len(self._arrays) - 1

    def get(self, key: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """The array as a tensor."""
        place = (key, dtype, device)
        found = self._tensors.get(place)
        if found is None:
            array = self._arrays[key]
            if not dtype.is_complex and np.iscomplexobj(array):
                array = array.real
            found = torch.tensor(array, dtype=dtype, device=device)
            self._tensors[place] = found
        return found

    def number(self, key: int, real: torch.dtype, device: torch.device) -> Tensor:
        """The array in the precision of ``real``: complex if the array is, real if not."""
        return self.get(key, _dtype_of(real, np.iscomplexobj(self._arrays[key])), device)

    def index(self, key: int, device: torch.device) -> Tensor:
        """The array as int64 indices."""
        return self.get(key, torch.int64, device)


class AngleTable:
    """All angles that depend on weights, as one vector; filled while the blocks are collected."""

    def __init__(self) -> None:
        self._columns: dict[Angle, int] = {}
        self._vector: AngleVector | None = None

    def column(self, angle: Angle) -> int:
        """The angle's place in the vector."""
        return self._columns.setdefault(angle, len(self._columns))

    def evaluate(self, weights: Tensor | None, like: Tensor) -> Tensor:
        """``(number of angles,)`` in radians."""
        if self._vector is None:
            self._vector = AngleVector(list(self._columns))
        return self._vector.evaluate(None, weights, like)


class FormTable:
    """All matrices of one size that blocks use: fixed ones first, then the parameterized ones."""

    def __init__(self, constants: Constants, angles: AngleTable) -> None:
        self.constants, self.angles = constants, angles
        self._fixed: list[np.ndarray] = []
        self._free: list[Operation] = []
        self._tickets: list[tuple[bool, int]] = []
        self._keys: dict[str, int] = {}
        self.is_real = True

    def add(self, operation: Operation) -> int:
        """A ticket for a gate; :meth:`rows` says which row of the table it became."""
        if operation.fixed is None:
            self._free.append(operation)
            self._tickets.append((True, len(self._free) - 1))
        else:
            self._tickets.append((False, self._fixed_row(operation.fixed)))
        return len(self._tickets) - 1

    def _fixed_row(self, matrix: np.ndarray) -> int:
        for row, known in enumerate(self._fixed):
            if np.array_equal(known, matrix):
                return row
        self._fixed.append(np.asarray(matrix, dtype=complex))
        return len(self._fixed) - 1

    def finish(self) -> np.ndarray:
        """Turn the gates into arrays; for each ticket its row."""
        keep = self.constants.add
        self.is_real = all(op.form.is_real for op in self._free) and not any(
            matrix.imag.any() for matrix in self._fixed
        )
        if self._fixed:
            self._keys["fixed"] = keep(np.stack(self._fixed).reshape(len(self._fixed), -1))
        if self._free:
            width = max(len(op.angles) for op in self._free)
            entries = len(self._free[0].form.scale)
            cos = np.zeros((len(self._free), entries, width))
            phase = np.zeros_like(cos)
            columns = np.zeros((len(self._free), width), dtype=np.int64)
            for row, operation in enumerate(self._free):
                for k, angle in enumerate(operation.angles):
                    columns[row, k] = self.angles.column(angle)
                    cos[row, :, k] = operation.form.cos[:, k]
                    phase[row, :, k] = operation.form.phase[:, k]
            forms = [op.form for op in self._free]
            self._keys["columns"] = keep(columns)
            self._keys["cos"] = keep(cos)
            self._keys["cos offset"] = keep(np.stack([form.cos_offset for form in forms]))
            scale = np.stack([form.scale for form in forms])
            if not (scale == 1).all():
                self._keys["scale"] = keep(scale)
            if not self.is_real:
                self._keys["phase"] = keep(phase)
                self._keys["phase offset"] = keep(np.stack([form.phase_offset for form in forms]))
        return np.array(
            [row + len(self._fixed) * free for free, row in self._tickets], dtype=np.int64
        )

    def evaluate(self, angles: Tensor, dtype: torch.dtype) -> Tensor:
        """All matrices, flat: ``(rows, d * d)``."""
        device = angles.device
        parts = []
        if "fixed" in self._keys:
            parts.append(self.constants.get(self._keys["fixed"], dtype, device))
        if self._free:
            get = self._real
            theta = angles[self.constants.index(self._keys["columns"], device)].unsqueeze(1)
            values = torch.cos(_linear(get("cos", angles), theta) + get("cos offset", angles))
            if "scale" in self._keys:
                values = values * get("scale", angles)
            if "phase" in self._keys:
                phase = _linear(get("phase", angles), theta) + get("phase offset", angles)
                values = turned(values, phase)
            parts.append(values.to(dtype))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _real(self, name: str, like: Tensor) -> Tensor:
        return self.constants.get(self._keys[name], like.dtype, like.device)


def turned(values: Tensor, phase: Tensor) -> Tensor:
    """``values * exp(i phase)``; torch.polar has a wrong gradient for negative values (torch 2.13)."""
    return torch.complex(values * torch.cos(phase), values * torch.sin(phase))


def _linear(coefficients: Tensor, theta: Tensor) -> Tensor:
    """``(rows, entries, k)`` times ``(rows, 1, k)``, summed over k."""
    if coefficients.shape[-1] == 1:
        return coefficients.squeeze(-1) * theta.squeeze(-1)
    return (coefficients * theta).sum(-1)


class PhaseTable:
    """Phases of all monomials on registers of one size, ``(count, 2**k)``."""

    def __init__(self, constants: Constants, angles: AngleTable) -> None:
        self.constants, self.angles = constants, angles
        self._members: list[tuple[np.ndarray, dict[Angle, np.ndarray]]] = []
        self._keys: dict[str, int] = {}

    def add(self, factors: np.ndarray, phases: dict[Angle, np.ndarray]) -> int:
        """Register fixed and weighted phases, both in the order of the rows; their row."""
        self._members.append((factors, phases))
        return len(self._members) - 1

    def finish(self) -> None:
        """Turn what was collected into arrays."""
        width = max(max(len(phases) for _, phases in self._members), 1)
        count, size = len(self._members), len(self._members[0][0])
        matrix = np.zeros((count, size, width))
        columns = np.zeros((count, width), dtype=np.int64)
        for row, (_, phases) in enumerate(self._members):
            for k, (angle, values) in enumerate(phases.items()):
                matrix[row, :, k] = values
                columns[row, k] = self.angles.column(angle)
        keep = self.constants.add
        self._keys = {
            "matrix": keep(matrix),
            "columns": keep(columns),
            "offset": keep(np.stack([np.angle(factors) for factors, _ in self._members])),
        }

    def evaluate(self, angles: Tensor) -> Tensor:
        """``(count, 2**k)`` complex numbers of modulus 1."""
        constants, device = self.constants, angles.device
        theta = angles[constants.index(self._keys["columns"], device)].unsqueeze(-1)
        matrix = constants.get(self._keys["matrix"], angles.dtype, device)
        offset = constants.get(self._keys["offset"], angles.dtype, device)
        phase = torch.baddbmm(offset.unsqueeze(-1), matrix, theta).squeeze(-1)
        return torch.polar(torch.ones_like(phase), phase)


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
                parts.append(_kronecker(singles, rows))
            for rows_key, map_key in group.pairs:
                if pair_table is None:
                    table = self._pairs.evaluate(angles, _dtype(like, self._pairs.is_real))
                    pair_table = torch.nn.functional.pad(table, (0, 1))
                chosen = pair_table[constants.index(rows_key, device)]
                parts.append(chosen[:, constants.index(map_key, device)].reshape(-1, d, d))
            if "fixed" in group.keys:
                dtype = _dtype(like, group.is_real)
                parts.append(constants.get(group.keys["fixed"], dtype, device))
            if len(parts) > 1:
                dtype = _dtype(like, not any(part.is_complex() for part in parts))
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
        dtype = _dtype(angles, self._singles.is_real)
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


def _dtype(like: Tensor, real: bool) -> torch.dtype:
    return _dtype_of(like.dtype, not real)


def _dtype_of(real: torch.dtype, complex_: bool) -> torch.dtype:
    if not complex_:
        return real
    return torch.complex64 if real == torch.float32 else torch.complex128


def as_real(array: np.ndarray) -> np.ndarray:
    """The array without its imaginary part, if that is zero."""
    return array if np.iscomplexobj(array) and array.imag.any() else array.real


def _kronecker(gates: Tensor, rows: Tensor) -> Tensor:
    """Kronecker products of table entries.

    Args:
        gates: ``(table, 2, 2)``.
        rows: ``(count, k)``; local qubit 0 least significant.

    Returns:
        ``(count, 2**k, 2**k)``.
    """
    parts = list(gates[rows.T].unbind(0))
    while len(parts) > 1:
        merged = []
        for low, high in zip(parts[0::2], parts[1::2], strict=False):
            a, b = high.shape[-1], low.shape[-1]
            product = high[:, :, None, :, None] * low[:, None, :, None, :]
            merged.append(product.reshape(-1, a * b, a * b))
        if len(parts) % 2:
            merged.append(parts[-1])
        parts = merged
    return parts[0]


def tree_product(factors: Tensor) -> Tensor:
    """``(blocks, m, d, d)`` factors, the first applied first, to ``(blocks, d, d)``."""
    while factors.shape[1] > 1:
        odd = factors.shape[1] % 2
        last = factors[:, -1:] if odd else None
        even = factors[:, : factors.shape[1] - odd]
        factors = even[:, 1::2] @ even[:, 0::2]
        if last is not None:
            factors = torch.cat([factors, last], dim=1)
    return factors[:, 0]


class _PermuteRows(torch.autograd.Function):
    """``x[index]`` for a permutation; its gradient is a gather too, not a scatter."""

    @staticmethod
    def forward(ctx, x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.inverse = inverse
        return x.index_select(0, index)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[no-untyped-def]
        return grad.index_select(0, ctx.inverse), None, None


def permute_rows(x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
    """Row ``i`` of the result is row ``index[i]``; ``inverse`` is the inverse permutation."""
    if not x.requires_grad:
        return x.index_select(0, index)
    return _PermuteRows.apply(x, index, inverse)
