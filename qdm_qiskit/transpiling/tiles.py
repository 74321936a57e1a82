"""Tiles: many disjoint places of a device that run one small circuit at once.

A model's circuit takes 6 or 8 of 133 qubits. The same circuit on k disjoint places of the chip serves
k images in one execution, if enough places are good. Here the circuit is transpiled as ever, its
couplings are looked for everywhere on the part of the device that works, each place gets its expected
success (gates, readout and waiting), and an integer program packs disjoint ones.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
import rustworkx
from qiskit import QuantumCircuit
from qiskit.providers import BackendV2
from qiskit.transpiler import Target as DeviceTarget

from ..arguments import of_kind
from ..errors import InvalidOption, TargetUnavailable
from .cost import circuit_cost
from .passes import measured_physical_qubits
from .tile_circuits import Template, on_tile, template_of
from .tile_costs import costs_of_places
from .tile_packing import best_packing
from .working import working_part

__all__ = [
    "AUTO_SHARE",
    "LEAST_SHARE",
    "MOST_PLACES",
    "MOST_TILES",
    "Tile",
    "TileChoice",
    "Tiling",
    "blocks_of",
    "calibration_rounds",
    "check_couplers",
    "find_tiles",
    "places_of",
]

AUTO_SHARE = 0.9
"""``auto`` takes tiles whose expected success is at least this share of the best one's."""
LEAST_SHARE = 0.5
"""A number of tiles takes none whose expected success is below this share of the best one's."""
MOST_PLACES = 50_000
"""Most places that are listed; a line of 12 qubits has 3,000 on a chip of 156."""
MOST_TILES = 99
"""Most tiles of a circuit."""


@dataclass(frozen=True, kw_only=True)
class TileChoice:
    """Number of tiles, and how good each has to be.

    >>> TileChoice.of(">=0.7")
    TileChoice(count=None, floor=0.7, buffer=False)
    >>> str(TileChoice.of("8")), str(TileChoice.of("auto"))
    ('8', 'auto')
    """

    count: int | None = None
    """Number of tiles; None takes as many as are good enough."""
    floor: float | None = None
    """Least expected success of a tile; None asks for a share of the best one's:
    :data:`AUTO_SHARE`, or with a number :data:`LEAST_SHARE`."""
    buffer: bool = False
    """True to leave a qubit between tiles, so that no coupler joins two."""

    def __post_init__(self) -> None:
        if self.count is not None and not 1 <= self.count <= MOST_TILES:
            raise InvalidOption(
                f"tiles are 1 to {MOST_TILES}, 'auto' or '>=0.7', got {self.count}."
            )
        if self.floor is not None and not (math.isfinite(self.floor) and 0 < self.floor < 1):
            raise InvalidOption(
                f"The least expected success of a tile is between 0 and 1, got {self.floor}."
            )

    @classmethod
    def of(cls, text: str, *, buffer: bool = False) -> TileChoice:
        """Read ``auto``, a number of tiles, or ``>=0.7``, the least expected success.

        Raises:
            InvalidOption: If it is something else.
        """
        plain = text.strip().replace(" ", "")
        if plain == "auto":
            return cls(buffer=buffer)
        if re.fullmatch(r"\d{1,6}", plain):
            return cls(count=int(plain), buffer=buffer)
        if re.fullmatch(r">=\d*\.?\d+", plain):
            return cls(floor=float(plain[2:]), buffer=buffer)
        raise InvalidOption(
            f"tiles is 'auto', a number, or the least expected success as '>=0.7', got {text!r:.40}."
        )

    def __str__(self) -> str:
        if self.count is not None:
            return str(self.count)
        return "auto" if self.floor is None else f">={self.floor:g}"


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One place of a circuit on a device."""

    qubits: tuple[int, ...]
    """Physical qubit of each wire of the template."""
    gate_success: float
    """Chance that no gate fails."""
    readout_success: float
    """Chance that no measurement is wrong."""
    idle_success: float | None
    """Fidelity of relaxation while qubits wait; None where it is not known."""

    @property
    def success(self) -> float:
        """Expected success: the product of all three."""
        idle = 1.0 if self.idle_success is None else self.idle_success
        return self.gate_success * self.readout_success * idle

    def to_dict(self) -> dict[str, Any]:
        """The fields and the expected success, ready for JSON."""
        return {**asdict(self), "qubits": list(self.qubits), "expected_success": self.success}


@dataclass(frozen=True, eq=False)
class Tiling:
    """Disjoint tiles of a circuit on a device, the best first."""

    tiles: tuple[Tile, ...]
    template: Template
    backend: BackendV2
    floor: float
    """Least expected success that was asked for."""
    places: int
    """Places of the device that the circuit fits on."""
    refused: int
    """Those whose expected success is below the floor."""
    proven: bool
    """True if no packing is better."""

    def __len__(self) -> int:
        return len(self.tiles)

    def circuits(self, tile: int) -> tuple[QuantumCircuit, ...]:
        """Return the measured circuits on a tile, on the device's qubits."""
        return tuple(
            on_tile(self.template, number, self.tiles[tile].qubits, self.backend)
            for number in range(len(self.template.circuits))
        )

    def measured_qubits(self, tile: int) -> tuple[int, ...]:
        """Return the physical qubit behind each classical bit on a tile."""
        return measured_physical_qubits(
            on_tile(self.template, 0, self.tiles[tile].qubits, self.backend)
        )

    def physical_qubits(self, tile: int) -> tuple[int, ...] | None:
        """Return the physical qubit on which each logical one starts; None if it is not known."""
        where = self.tiles[tile].qubits
        return tuple(where[wire] for wire in self.template.start) or None

    def to_dict(self) -> dict[str, Any]:
        """The tiles and how they were found, ready for JSON."""
        return {
            "floor": self.floor,
            "places": self.places,
            "refused": self.refused,
            "proven": self.proven,
            "tiles": [each.to_dict() for each in self.tiles],
        }


def find_tiles(
    circuits: Sequence[QuantumCircuit],
    backend: BackendV2,
    choice: TileChoice,
    *,
    start: Sequence[int] | None = None,
    rows: int | None = None,
) -> Tiling:
    """Find tiles for measured circuits of one layout.

    Args:
        circuits: Transpiled for the device, in one layout; parameters may be free. Places are compared
            by the first.
        backend: The device, whose target holds errors.
        choice: Number of tiles, least expected success, buffer.
        start: Physical qubit on which each logical one starts; by the first circuit's layout if None.
        rows: Rows that the tiles share: no more are taken than save an execution; None for all.

    Returns:
        The tiles, disjoint, the one of the highest expected success first.

    Raises:
        TargetUnavailable: If the device has no couplers to look at, or no place is good enough.
        InvalidOption: If there are fewer tiles than the number that was asked for.
        UnsupportedCircuit: If the circuit cannot be moved, or the device gives no errors.
    """
    of_kind(backend, BackendV2, "backend", "as_backend(device) makes one of a name")
    of_kind(choice, TileChoice, "choice", "TileChoice.of('auto') makes one")
    check_couplers(backend)
    template = template_of(circuits, start)
    circuit_cost(circuits[0], backend.target)  # refuses a device without errors by its own words
    places = places_of(template, backend.target)
    costs = costs_of_places(template.circuits[0], places, backend.target).success
    places, costs = _best_of_each_set(places, costs)
    best = float(costs[0]) if len(costs) else 0.0
    share = AUTO_SHARE if choice.count is None else LEAST_SHARE
    floor = share * best if choice.floor is None else choice.floor
    tiles, proven = _packed(template, backend, choice, places, costs, floor, rows)
    if not tiles:
        raise TargetUnavailable(
            f"{backend.name} has no place for circuit '{circuits[0].name}' ({template.num_wires} "
            f"qubits) whose expected success is {floor:.3g} or more: the best of {len(places)} has "
            f"{best:.3g}; lower the floor, or use a smaller circuit."
        )
    return Tiling(
        tiles=tuple(tiles),
        template=template,
        backend=backend,
        floor=floor,
        places=len(places),
        refused=int((costs < floor).sum()),
        proven=proven,
    )


def check_couplers(backend: BackendV2) -> None:
    """Refuse a device without a coupling map: it says of no place what it is worth.

    Raises:
        TargetUnavailable: Then.
    """
    if not backend.num_qubits or not (
        backend.target.build_coupling_map() and backend.target.build_coupling_map().get_edges()
    ):
        raise TargetUnavailable(
            f"Device '{backend.name}' has no coupling map, and tiles are places on one; run without "
            "tiles."
        )


def places_of(template: Template, target: DeviceTarget) -> np.ndarray:
    """Return all places of a template on the part of a device that works.

    Args:
        template: The circuits.
        target: The device.

    Returns:
        ``(places, wires)`` physical qubits: all, or :data:`MOST_PLACES` and some disjoint ones.
    """
    part = working_part(target, template.circuits[0])
    device = rustworkx.PyGraph(multigraph=False)
    device.add_nodes_from(part.qubits)
    edges = {tuple(sorted(edge)) for edge in part.target.build_coupling_map().get_edges()}
    device.add_edges_from_no_data(sorted(edges))
    rows = [
        [part.qubits[node] for node in nodes]
        for nodes in islice(_mappings(device, template), MOST_PLACES)
    ]
    if len(rows) == MOST_PLACES:  # every qubit of a fully coupled device is joined to all others
        rows += _one_after_the_other(device, template)
    rows.sort()
    return np.array(rows, dtype=np.int64).reshape(-1, template.num_wires)


def _mappings(device: rustworkx.PyGraph, template: Template) -> Iterator[list[int]]:
    """Yield the node of each wire, for each way in which a template lies on a graph."""
    for mapping in rustworkx.vf2_mapping(
        device, template.pattern(), subgraph=True, induced=False, id_order=False
    ):
        nodes = [0] * template.num_wires
        for node, wire in mapping.items():
            nodes[wire] = node
        yield nodes


def _one_after_the_other(device: rustworkx.PyGraph, template: Template) -> list[list[int]]:
    """Return disjoint places, each the first that is found on the qubits that are left."""
    left, found = device.copy(), []
    while (nodes := next(_mappings(left, template), None)) is not None:
        found.append([left[node] for node in nodes])
        left.remove_nodes_from(nodes)
    return found


def blocks_of(rows: int, tiles: int) -> list[slice]:
    """Return the rows that each tile runs: blocks in as few executions as the tiles allow.

    No more tiles are used than that takes, the best first, so there may be fewer blocks than tiles.

    >>> blocks_of(10, 4)
    [slice(0, 3, None), slice(3, 6, None), slice(6, 9, None), slice(9, 10, None)]
    >>> len(blocks_of(16, 11)), len(blocks_of(16, 7)), len(blocks_of(3, 7))
    (8, 6, 3)
    """
    size = math.ceil(rows / tiles)
    return [slice(first, min(rows, first + size)) for first in range(0, rows, size)]


def calibration_rounds(
    tilings: Sequence[Sequence[tuple[int, ...]]],
) -> list[list[tuple[int, ...]]]:
    """Return the qubits to calibrate in groups, and the groups in rounds that run at once.

    Args:
        tilings: For each circuit the measured qubits of each of its tiles, which share none.

    Returns:
        A round for each circuit that measures a qubit which no earlier one does.

    >>> calibration_rounds([[(0, 1), (4, 5)], [(1, 2), (7, 8)]])
    [[(0, 1), (4, 5)], [(2,), (7, 8)]]
    """
    seen: set[int] = set()
    rounds = []
    for tiles in tilings:
        groups = [tuple(qubit for qubit in tile if qubit not in seen) for tile in tiles]
        if any(groups):
            rounds.append([each for each in groups if each])
        seen.update(*tiles)
    return rounds


def _best_of_each_set(places: np.ndarray, costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the best order of the wires on each set of qubits, the best set first."""
    order = np.argsort(-costs, kind="stable")
    order = order[costs[order] > 0]
    seen: set[frozenset[int]] = set()
    kept = []
    for k in order:
        key = frozenset(places[k].tolist())
        if key not in seen:
            seen.add(key)
            kept.append(k)
    return places[kept], costs[kept]


def _packed(
    template: Template,
    backend: BackendV2,
    choice: TileChoice,
    places: np.ndarray,
    costs: np.ndarray,
    floor: float,
    rows: int | None,
) -> tuple[list[Tile], bool]:
    """Return the packed tiles, the best first, and whether no packing is better.

    The circuit is costed on each chosen tile as it runs there; where that is below the floor, as turns
    of a gate's direction can make it, the place is left out and the rest packed again.
    """
    pairs = _couplers(backend.target) if choice.buffer else ()
    good = costs >= floor - 1e-12
    while good.any():
        index = np.flatnonzero(good)
        sets = [frozenset(places[k].tolist()) for k in index]
        count = choice.count
        if count is not None and rows is not None:
            count = len(blocks_of(rows, count))
        found = best_packing(sets, costs[index], count=count, pairs=pairs)
        if found is not None and rows is not None and count is None:
            used = len(blocks_of(rows, len(found.chosen)))
            if used < len(found.chosen):  # fewer leave room for better ones
                found = best_packing(sets, costs[index], count=used, pairs=pairs) or found
        if found is None:
            most = best_packing(sets, costs[index], pairs=pairs)
            number = 0 if most is None else len(most.chosen)
            raise InvalidOption(
                f"{backend.name} has {number} disjoint tiles of {template.num_wires} qubits whose "
                f"expected success is {floor:.3g} or more, got tiles={count}; ask for "
                f"{number}, or for a lower success, as '>={floor / 2:.2g}'."
            )
        chosen = index[list(found.chosen)]
        tiles = [_tile(template, places[k], backend) for k in chosen]
        worse = [k for k, tile in zip(chosen, tiles, strict=True) if tile.success < floor - 1e-9]
        if not worse:
            return sorted(tiles, key=lambda each: (-each.success, each.qubits)), found.proven
        good[worse] = False
    return [], True


def _tile(template: Template, place: np.ndarray, backend: BackendV2) -> Tile:
    qubits = tuple(int(qubit) for qubit in place)
    cost = circuit_cost(on_tile(template, 0, qubits, backend), backend.target)
    return Tile(
        qubits=qubits,
        gate_success=cost.gate_success,
        readout_success=cost.readout_success,
        idle_success=cost.idle_success,
    )


def _couplers(target: DeviceTarget) -> list[tuple[int, int]]:
    """Return all couplers, those that do not work too: crosstalk does not ask for gates."""
    return sorted({(min(edge), max(edge)) for edge in target.build_coupling_map().get_edges()})
