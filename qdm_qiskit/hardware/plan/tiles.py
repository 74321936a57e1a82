"""Tiles of a plan: where each circuit of its calls lies on the chip, and what that saves."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...canonical_json import check

__all__ = ["TilePlan", "TiledCircuit", "TilesPlan", "side_by_side"]

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class TilePlan:
    """One place of a circuit on the chip."""

    circuits: tuple[int, ...]
    """Entries of ``circuits.qpy``: one, or one for each basis of an expectation readout."""
    qubits: tuple[int, ...]
    """Physical qubits that it takes."""
    gate_success: float
    readout_success: float
    idle_success: float | None

    def __post_init__(self) -> None:
        check(bool(self.circuits), "a tile has a circuit", self.circuits)
        distinct = len(set(self.qubits)) == len(self.qubits) > 0 and min(self.qubits) >= 0
        check(distinct, "a tile's qubits are different numbers >= 0", self.qubits)
        for name in ("gate_success", "readout_success", "idle_success"):
            success = getattr(self, name)
            check(success is None or 0 <= success <= 1, "a success is 0 to 1", success)

    @property
    def success(self) -> float:
        """Expected success: nothing fails, is misread or decays while it waits."""
        idle = 1.0 if self.idle_success is None else self.idle_success
        return self.gate_success * self.readout_success * idle


@dataclass(frozen=True, kw_only=True)
class TiledCircuit:
    """The tiles of the circuits of one content, the best first."""

    content: str
    """SHA-256 of the calls that run them."""
    floor: float
    """Least expected success that was asked for."""
    places: int
    """Places of the chip that the circuit fits on."""
    refused: int
    """Those below the floor."""
    proven: bool
    """True if no packing is better."""
    tiles: tuple[TilePlan, ...]

    def __post_init__(self) -> None:
        check(bool(_SHA256.fullmatch(self.content)), "content is 64 hex digits", self.content)
        check(0 <= self.floor <= 1, "floor is 0 to 1", self.floor)
        check(0 <= self.refused <= self.places, "refused places are some of them", self.refused)
        check(1 <= len(self.tiles) <= self.places, "tiles are some of the places", len(self.tiles))
        qubits = [qubit for tile in self.tiles for qubit in tile.qubits]
        check(len(set(qubits)) == len(qubits), "tiles share no qubit", sorted(qubits)[:6])
        lengths = {len(tile.circuits) for tile in self.tiles}
        check(len(lengths) == 1, "tiles have the same circuits", sorted(lengths))


@dataclass(frozen=True, kw_only=True)
class TilesPlan:
    """All tiles of a run, and the price of the same run without them."""

    choice: str
    """The choice: ``auto``, a number, or the least expected success."""
    buffer: bool
    """True if a qubit is left between tiles."""
    circuits: tuple[TiledCircuit, ...]
    """Tiles of each distinct circuit."""
    seconds_without: float
    """QPU seconds of the same run on one place of the chip, a calibration included."""
    executions_without: int
    """Its bound circuits times shots, without a calibration's."""

    def __post_init__(self) -> None:
        check(bool(self.circuits), "tiles are of a circuit", self.circuits)
        good = 0 <= self.seconds_without < math.inf and self.executions_without >= 1
        check(good, "a run without tiles takes seconds and executions", self.seconds_without)
        entries = [k for one in self.circuits for tile in one.tiles for k in tile.circuits]
        good = sorted(entries) == list(range(len(entries)))
        check(good, "every circuit is on one tile", sorted(entries)[-3:])

    def of(self, content: str) -> TiledCircuit:
        """Return the tiles of a content."""
        return next(each for each in self.circuits if each.content == content)


def side_by_side(groups: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """Return what runs as one circuit: the first of each group, then the second, and so on.

    >>> side_by_side([[0, 1], [2, 3], [4]])
    ((0, 2, 4), (1, 3))
    """
    longest = max((len(each) for each in groups), default=0)
    return tuple(
        tuple(each[position] for each in groups if position < len(each))
        for position in range(longest)
    )
