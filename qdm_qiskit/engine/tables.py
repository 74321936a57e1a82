"""What a program evaluates at once: its fixed arrays, its angles, its gates' matrices, its phases."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .algebra import number_dtype, turned
from .expressions import Angle, AngleVector
from .operations import Operation


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
        return self.get(key, number_dtype(real, np.iscomplexobj(self._arrays[key])), device)

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
