"""Pairs of wires that a device joins: a connected region of its coupling map, relabelled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qiskit.transpiler import CouplingMap, Target

from ..errors import InvalidTemplate
from .checks import check_counts

__all__ = [
    "BROKEN",
    "device_region",
    "working_couplings",
]

BROKEN = 0.5
"""Error from which a gate is no gate; calibrations that failed put 1 there."""


def working_couplings(target: Target) -> list[tuple[int, int]]:
    """Return the pairs of a device's qubits on which a two-qubit gate works.

    Coupling maps hold broken pairs too: on fake_torino 11 of 150.

    Args:
        target: A backend's ``target``.

    Returns:
        Pairs in the gate's direction, in the target's order, for :func:`device_region`; one whose
        error the device does not tell counts as working.
    """
    found: dict[tuple[int, int], None] = {}
    for name in target.operation_names:
        for qubits, properties in (target[name] or {}).items():
            if qubits is None or len(qubits) != 2:
                continue
            error = None if properties is None else properties.error
            if error is None or error < BROKEN:
                found[qubits[0], qubits[1]] = None
    return list(found)


def device_region(
    coupling: CouplingMap | Iterable[tuple[int, int]] | None,
    num_wires: int,
    *,
    start: int | None = None,
) -> tuple[list[int], list[tuple[int, int]]]:
    """Return a connected region of a device and its couplings in the region's own numbers.

    The region grows from its first qubit, nearest qubits first and lower numbers first. Couplings
    come in groups that touch each qubit at most once, so that a layer of them is as shallow as a
    greedy colouring makes it.

    Args:
        coupling: Pairs of a device's qubits, as from :func:`working_couplings`, or its
            ``coupling_map``.
        num_wires: Number of wires, at least 1.
        start: The first qubit; if None, the lowest from which a large enough region grows.

    Returns:
        The device's qubit of each wire, and the pairs of wires for ``entanglement=`` of
        :func:`~qdm_qiskit.circuits.hardware_efficient`. A coupling in one direction keeps it.

    Raises:
        InvalidTemplate: If there is no connected region of this size, ``start`` is not a qubit, or the
            coupling map is None (as a simulator's) or no list of pairs.

    >>> device_region([(0, 1), (1, 2), (2, 3), (1, 4)], 4)
    ([0, 1, 2, 4], [(0, 1), (1, 2), (1, 3)])
    """
    check_counts("device_region", num_wires=(num_wires, 1))
    edges = _pairs(coupling)
    neighbours: dict[int, set[int]] = {}
    for a, b in edges:
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
    if start is not None and start not in neighbours:
        raise InvalidTemplate(f"start is a coupled qubit of the device, got {start!r:.20}.")
    largest = 0
    for first in sorted(neighbours) if start is None else [start]:
        region = _grow(neighbours, first, num_wires)
        largest = max(largest, len(region))
        if len(region) == num_wires:
            break
    else:
        raise InvalidTemplate(
            f"The coupling map has no connected region of {num_wires} qubits"
            f"{'' if start is None else f' around {start}'}, the largest has {largest}."
        )
    wire = {qubit: index for index, qubit in enumerate(region)}
    inside = set()
    for a, b in edges:
        if a in wire and b in wire and a != b:
            both = (b, a) in edges and wire[b] < wire[a]
            inside.add((wire[b], wire[a]) if both else (wire[a], wire[b]))
    return region, _by_colour(sorted(inside))


def _pairs(coupling: CouplingMap | Iterable[tuple[int, int]] | None) -> list[tuple[int, int]]:
    if coupling is None:
        raise InvalidTemplate(
            "A device without a coupling map joins all qubits: use entanglement 'linear' or 'full'."
        )
    pairs = list(coupling.get_edges() if isinstance(coupling, CouplingMap) else coupling)
    for pair in pairs:
        if not (isinstance(pair, Sequence) and [type(each) for each in pair] == [int, int]):
            raise InvalidTemplate(
                f"A coupling map is a list of pairs of qubits, got {pair!r:.40} in it."
            )
    return list(dict.fromkeys((a, b) for a, b in pairs))


def _grow(neighbours: dict[int, set[int]], first: int, size: int) -> list[int]:
    """Return qubits in breadth-first order from one of them, at most ``size``."""
    region = [first]
    for qubit in region:
        for near in sorted(neighbours[qubit]):
            if near not in region and len(region) < size:
                region.append(near)
    return region


def _by_colour(edges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return edges in groups of disjoint ones."""
    groups: list[list[tuple[int, int]]] = []
    for edge in edges:
        for group in groups:
            if not any(set(edge) & set(other) for other in group):
                group.append(edge)
                break
        else:
            groups.append([edge])
    return [edge for group in groups for edge in group]
