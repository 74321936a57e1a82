"""Tables of a program's angles, gates' matrices and phases, each evaluated at once."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..lowering.angles import Angle, AngleVector
from ..lowering.operations import Operation
from .autograd_ops import turned
from .constants import Constants

__all__ = [
    "AngleTable",
    "FormTable",
    "PhaseTable",
]


class AngleTable:
    """All angles that depend on weights, as one vector; filled while the blocks are collected."""

    def __init__(self) -> None:
        self._columns: dict[Angle, int] = {}
        self._vector: AngleVector | None = None

    def column(self, angle: Angle) -> int:
        """Return the angle's place in the vector."""
        return self._columns.setdefault(angle, len(self._columns))

    def evaluate(self, weights: Tensor | None, like: Tensor) -> Tensor:
        """Return ``(number of angles, rows)`` in radians, for weights ``(rows, num_weights)``."""
        if self._vector is None:
            self._vector = AngleVector(list(self._columns))
        values = self._vector.evaluate(None, weights, like)
        if values.ndim == 1:  # none depends on weights
            values = values.unsqueeze(1).expand(-1, 1 if weights is None else len(weights))
        return values


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
        """Return a ticket for a gate; :meth:`rows` says which row of the table it became."""
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

    def fixed_row(self, matrix: np.ndarray) -> int:
        """Return the row of a fixed matrix."""
        return self._fixed_row(np.asarray(matrix, dtype=complex))

    def finish(self) -> np.ndarray:
        """Turn the gates into arrays; for each ticket its row."""
        keep = self.constants.add
        self.is_real = all(op.form.is_real for op in self._free) and not any(
            matrix.imag.any() for matrix in self._fixed
        )
        if self._fixed:
            self._keys["fixed"] = keep(np.stack(self._fixed).reshape(1, len(self._fixed), -1))
        if self._free:
            forms = [op.form for op in self._free]
            self._keys["columns"] = keep(
                np.array([self.angles.column(op.angles[0]) for op in self._free])
            )
            self._keys["cos"] = keep(np.stack([form.cos[:, 0] for form in forms]))
            self._keys["cos offset"] = keep(np.stack([form.cos_offset for form in forms]))
            scale = np.stack([form.scale for form in forms])
            if not (scale == 1).all():
                self._keys["scale"] = keep(scale)
            if not self.is_real:
                self._keys["phase"] = keep(np.stack([form.phase[:, 0] for form in forms]))
                self._keys["phase offset"] = keep(np.stack([form.phase_offset for form in forms]))
        return np.array(
            [row + len(self._fixed) * free for free, row in self._tickets], dtype=np.int64
        )

    @property
    def num_rows(self) -> int:
        """Rows of the table."""
        return len(self._fixed) + len(self._free)

    def evaluate(self, angles: Tensor, dtype: torch.dtype) -> Tensor:
        """Return all matrices, flat: ``(rows of angles, num_rows, d * d)``."""
        device = angles.device
        parts = []
        if "fixed" in self._keys:
            fixed = self.constants.get(self._keys["fixed"], dtype, device)
            parts.append(fixed.expand(angles.shape[1], -1, -1))
        if self._free:
            get = self._real
            columns = self.constants.index(self._keys["columns"], device)
            theta = angles.index_select(0, columns).t().unsqueeze(-1)
            values = torch.cos(torch.addcmul(get("cos offset", angles), get("cos", angles), theta))
            if "scale" in self._keys:
                values = values * get("scale", angles)
            if "phase" in self._keys:
                phase = torch.addcmul(get("phase offset", angles), get("phase", angles), theta)
                values = turned(values, phase)
            parts.append(values.to(dtype))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def _real(self, name: str, like: Tensor) -> Tensor:
        return self.constants.get(self._keys[name], like.dtype, like.device)


class PhaseTable:
    """Phases of all monomials on registers of one size, ``(count, 2**k)``."""

    def __init__(self, constants: Constants, angles: AngleTable) -> None:
        self.constants, self.angles = constants, angles
        self._members: list[tuple[np.ndarray, dict[Angle, np.ndarray]]] = []
        self._keys: dict[str, int] = {}
        self._width = 1

    def add(self, factors: np.ndarray, phases: dict[Angle, np.ndarray]) -> int:
        """Register fixed and weighted phases, both in the order of the rows; their row."""
        self._members.append((factors, phases))
        return len(self._members) - 1

    def finish(self) -> None:
        """Turn the collected phases into arrays."""
        width = max(max(len(phases) for _, phases in self._members), 1)
        count, size = len(self._members), len(self._members[0][0])
        matrix = np.zeros((count, size, width))
        columns = np.zeros((count, width), dtype=np.int64)
        for row, (_, phases) in enumerate(self._members):
            for k, (angle, values) in enumerate(phases.items()):
                matrix[row, :, k] = values
                columns[row, k] = self.angles.column(angle)
        keep = self.constants.add
        self._width = width
        self._keys = {
            "matrix": keep(matrix),
            "columns": keep(columns.reshape(-1)),
            "offset": keep(
                np.stack([np.angle(factors) for factors, _ in self._members])[..., None]
            ),
            "one": keep(np.ones(1)),
        }

    def evaluate(self, angles: Tensor) -> Tensor:
        """Return ``(rows of angles * count, 2**k)`` complex numbers of modulus 1."""
        get, device = self.constants.get, angles.device
        columns = self.constants.index(self._keys["columns"], device)
        theta = angles.index_select(0, columns).view(-1, self._width, angles.shape[1])
        matrix = get(self._keys["matrix"], angles.dtype, device)
        offset = get(self._keys["offset"], angles.dtype, device)
        phase = torch.baddbmm(offset, matrix, theta)  # (count, size, rows)
        phase = phase.permute(2, 0, 1).reshape(-1, phase.shape[1])
        return torch.polar(get(self._keys["one"], angles.dtype, device).expand_as(phase), phase)

    def pull_back(self, grad: Tensor, into: Tensor) -> None:
        """Add the angles' gradient, from that of the phases in radians.

        Args:
            grad: ``(rows of angles * count, 2**k)`` real.
            into: ``(number of angles, rows of angles)``.
        """
        matrix = self.constants.get(self._keys["matrix"], into.dtype, into.device)
        count, size, _ = matrix.shape
        phases = grad.reshape(-1, count, size).permute(1, 2, 0)
        found = torch.bmm(matrix.mT, phases).view(-1, into.shape[1])
        into.index_add_(0, self.constants.index(self._keys["columns"], into.device), found)
