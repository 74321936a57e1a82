"""Tables that machine code reads: steps, and readings of gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..evolution.gate_entries import Entries
from ..evolution.steps import Frame, Move
from .compiler import Kernels, kernels
from .step_layout import FORMS, READING, STEP, StepKind
from .steps import Angled, GateShape, Scattered, Tiles, Users

__all__ = [
    "KEPT_TABLES",
    "TileTable",
]

KEPT_TABLES = 8
"""Filled tables that are kept."""


class TileTable:
    """The table of a program's steps, for one precision and number of lanes.

    Args:
        tiles: The steps.
        frame: Constants and precision.
        are_complex: True for each of the tiles' groups whose stack is complex.
        lanes: Samples of a tile.
    """

    def __init__(self, tiles: Tiles, frame: Frame, are_complex: Sequence[bool], lanes: int) -> None:
        self.kernels: Kernels = kernels(double=frame.dtype == torch.float64, lanes=lanes)
        self.sums: list[tuple[int, tuple[int, ...], bool]] = []
        """First sum of each of the users, the shape of its sums, and whether they are complex."""
        self.num_sums = 0
        self.entries: list[Entries] = []
        """Coefficients of the entries of each shape of gates."""
        self.first_gate_sum = 0
        """Place of the slopes of shared angles among the sums; they are the last."""
        self._constants, self._dtype, self._device = frame.constants, frame.dtype, frame.device
        self._keep: list[Any] = []
        """Arrays whose addresses are in the table."""
        self._known: dict[int, int] = {}
        self.gate_rows: list[np.ndarray] = []
        """Places among the steps of the gates of each shape."""
        self._own_rows: list[np.ndarray] = []
        self._filled: dict[tuple[Any, ...], np.ndarray] = {}
        """Tables of earlier runs by the addresses in them, which come back in a loop."""
        self._slots: list[tuple[np.ndarray, int]] = []
        """Steps of each of the users, and the bytes of one's matrix or factors."""
        self.template = np.zeros(len(tiles.steps), dtype=STEP)
        """The steps, in which matrices that depend on weights or inputs are missing."""
        self._readings = np.zeros(len(tiles.steps), dtype=READING)
        weighted = {position for users in tiles.users for position in users.positions}
        for row, step in enumerate(tiles.steps):
            if isinstance(step, Move):
                self._monomial(row, step, tiles.num_rows)
            else:
                offsets = step.offsets if isinstance(step, Angled) else step.offsets[step.active]
                count = len(frame.constants.array(step.first))
                kind = StepKind.BLOCK
                if isinstance(step, Angled):
                    kind = StepKind.GATE if step.shape.shared else StepKind.OWN_GATE
                places = self._address(offsets.astype(np.int32))
                self._describe(row, kind, count, self._indices(step.first), places)
            if row not in weighted and not isinstance(step, Angled):
                self._fixed(row, step)
        for users, complex_ in zip(tiles.users, tiles.of_users(are_complex), strict=True):
            self._weighted(tiles, users, complex_)
        self._num_slopes, self.first_gate_sum = 0, self.num_sums
        for shape, rows in tiles.angled.items():
            self._angled(shape, rows, [tiles.gate(row) for row in rows])

    def _address(self, array: np.ndarray) -> int:
        self._keep.append(array)
        return int(array.ctypes.data)

    def _indices(self, constant: int) -> int:
        """Return the address of a constant as int32."""
        if constant not in self._known:
            array = self._constants.array(constant).astype(np.int32)
            self._known[constant] = self._address(array)
        return self._known[constant]

    def _describe(self, row: int, kind: StepKind, count: int, rows: int, offsets: int) -> None:
        self.template["kind"][row] = kind
        self.template["count"][row] = count
        self.template["rows"][row] = rows
        self.template["offsets"][row] = offsets

    def _apply_by(self, rows: int | np.ndarray, functions: Sequence[int]) -> None:
        """Enter the functions of all forms, in their order."""
        for form, function in zip(FORMS, functions, strict=True):
            self.template[form][rows] = function

    def _monomial(self, row: int, step: Move, rows: int) -> None:
        if step.source is None:
            self._describe(row, StepKind.TURN, rows, 0, 0)
        else:
            self._describe(row, StepKind.MOVE, rows, self._indices(step.source), 0)

    def _movers(self, step: Move, factors: str) -> list[int]:
        make = self.kernels.turn if step.source is None else self.kernels.move
        turns = factors == "complex"
        return [make(factors=factors, conjugate=turns and form == "adjoint") for form in FORMS]

    def _blocks(self, size: int, *, real: bool, diagonal: bool = False) -> list[int]:
        make = self.kernels.apply
        return [
            make(size, real=real, diagonal=diagonal, form="transposed" if real and k else form)
            for k, form in enumerate(FORMS)
        ]

    def _fixed(self, row: int, step: Scattered | Move) -> None:
        """Enter the functions and numbers of a step without weights."""
        if isinstance(step, Scattered):
            assert step.fixed is not None  # it has no weights
            matrix = self._constants.number(step.fixed, self._dtype, self._device)
            active = torch.from_numpy(step.active)
            values = matrix[active][:, active].contiguous()
            functions = self._blocks(len(active), real=not matrix.is_complex())
        elif step.signs is not None:
            values = self._constants.number(step.signs, self._dtype, self._device)
            functions = self._movers(step, "complex" if values.is_complex() else "real")
        else:
            self._apply_by(row, self._movers(step, "none"))
            return
        self._keep.append(values)
        self.template["matrix"][row] = values.data_ptr()
        self._apply_by(row, functions)

    def _weighted(self, tiles: Tiles, users: Users, complex_: bool) -> None:
        """Enter the functions of steps with weights, and where their gradients go."""
        rows = np.array(users.positions)
        if users.size:
            shape: tuple[int, ...] = (users.size, users.size)
            self._apply_by(rows, self._blocks(users.size, real=not complex_))
            read = self.kernels.overlap(users.size, real=not complex_)
        else:
            shape, complex_ = (tiles.num_rows,), True
            for row in users.positions:
                step = tiles.steps[row]
                assert isinstance(step, Move)  # nothing else has phases
                self._apply_by(row, self._movers(step, "complex"))
            read = self.kernels.products()
        reals = int(np.prod(shape)) * (2 if complex_ else 1)
        self.num_sums += self.num_sums % 2  # complex numbers begin at even places
        self._readings["function"][rows] = read
        self._readings["place"][rows] = self.num_sums + reals * np.arange(len(rows))
        self._slots.append((rows, reals * self.kernels.itemsize))
        self.sums.append((self.num_sums, (len(rows), *shape), complex_))
        self.num_sums += reals * len(rows)

    def _angled(self, shape: GateShape, positions: Sequence[int], gates: Sequence[Angled]) -> None:
        """Enter gates of one shape."""
        dtype = self._dtype.to_complex()
        generators = torch.from_numpy(np.stack([gate.generator for gate in gates])).to(dtype)
        self._keep.append(generators)
        bytes_each = generators.shape[1] * 2 * self.kernels.itemsize
        rows, count = np.array(positions), len(gates)
        size, diagonal = shape.size, shape.diagonal
        if shape.shared:
            functions = self._blocks(size, real=shape.real, diagonal=diagonal)
            self._readings["place"][rows] = self.num_sums + np.arange(count)
            self.num_sums += count
        else:
            make = self.kernels.apply_each
            functions = [make(size, diagonal=diagonal, form=form) for form in FORMS]
            self._readings["place"][rows] = self._num_slopes + np.arange(count)
            self._num_slopes += count
            self._own_rows.append(rows)
        self._apply_by(rows, functions)
        self._readings["function"][rows] = self.kernels.slope(
            size, diagonal=diagonal, each=not shape.shared
        )
        self._readings["generator"][rows] = generators.data_ptr() + bytes_each * np.arange(count)
        like = torch.zeros(0, dtype=self._dtype, device=self._device)
        forms = [gate.form for gate in gates]
        self.entries.append(Entries.of(forms, like, real=shape.real and shape.shared))
        self.gate_rows.append(rows)

    def steps(self, packs: Sequence[Tensor], entries: Sequence[Tensor]) -> np.ndarray:
        """Return the table for one run.

        Args:
            packs: Matrices and phases of the tiles' users.
            entries: Entries of their gates by themselves, ``(gates, entries, samples)`` for each
                shape.
        """
        key = (
            *(each.data_ptr() for each in packs),
            *((e.data_ptr(), e.stride(0)) for e in entries),
        )
        found = self._filled.get(key)
        if found is None:
            found = self.template.copy()
            for (rows, step), pack in zip(self._slots, packs, strict=True):
                found["matrix"][rows] = pack.data_ptr() + step * np.arange(len(rows))
            for rows, each in zip(self.gate_rows, entries, strict=True):
                step = each.stride(0) * each.element_size()
                found["matrix"][rows] = each.data_ptr() + step * np.arange(len(rows))
            if len(self._filled) >= KEPT_TABLES:
                self._filled.clear()
            self._filled[key] = found
        return found

    def readings(self, *, slopes: bool) -> np.ndarray:
        """Return the table of readings, with or without the slopes of each sample."""
        if slopes or not self._own_rows:
            return self._readings
        table = self._readings.copy()
        table["function"][np.concatenate(self._own_rows)] = 0
        return table
