"""Fusion of gates: runs on few qubits become blocks, CX- and RZ-like gates monomials.

A monomial gate moves basis states and gives them phases. On a state it costs one gather and one
multiplication, however many of them follow each other; a block costs a matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .operations import Monomial, Operation, Segment, embedding

__all__ = [
    "MAX_BLOCK",
    "Factor",
    "alternate",
    "factors_of",
    "fold",
    "layered",
    "named",
    "refined",
    "strategies",
]

MAX_BLOCK = 8
"""Largest block: 256 x 256."""


def fold(operations: Sequence[Operation], max_qubits: int, *, apart: bool = False) -> list[Segment]:
    """Group gates into blocks of at most ``max_qubits`` qubits.

    A gate joins an earlier block if everything in between acts on other qubits, so the product is the
    same circuit. Gates that depend on inputs join only each other, on the same qubits in the same
    order. Gates with weights do not join blocks without any if ``apart``.
    """
    segments: list[Segment] = []
    for operation in operations:
        support, kind = set(operation.qubits), operation.kind
        place = None
        for position in reversed(range(len(segments))):
            segment = segments[position]
            joint = segment.support | support
            if "project" in (kind, segment.kind):
                fits = False
            elif "sample" in (kind, segment.kind):
                fits = kind == segment.kind and segment.operations[0].qubits == operation.qubits
            else:
                fits = len(joint) <= max_qubits
                if fits and apart and operation.fixed is None:
                    fits = any(each.fixed is None for each in segment.operations)
            if fits:
                place = position
            if segment.support & support:
                break
        if place is None:
            segments.append(Segment(kind, [operation], support))
        else:
            segments[place].operations.append(operation)
            segments[place].support |= support
    return segments


def alternate(
    operations: Sequence[Operation], least_qubits: int = 1
) -> list[tuple[list[Operation], list[Operation]]]:
    """Return rounds of monomial gates and then of others, as few as the circuit allows.

    Gates are taken as soon as everything before them on their qubits has been taken. Monomial gates
    on fewer than ``least_qubits`` qubits count as others.
    """
    queues: dict[int, list[int]] = {}
    for number, operation in enumerate(operations):
        for qubit in operation.qubits:
            queues.setdefault(qubit, []).append(number)
    heads = dict.fromkeys(queues, 0)

    def ready(number: int) -> bool:
        return all(
            heads[q] < len(queues[q]) and queues[q][heads[q]] == number
            for q in operations[number].qubits
        )

    def take(monomial: bool) -> list[Operation]:
        taken: list[int] = []
        waiting = list(queues)
        while waiting:
            qubit = waiting.pop()
            while heads[qubit] < len(queues[qubit]):
                number = queues[qubit][heads[qubit]]
                operation = operations[number]
                is_monomial = (
                    operation.kind == "block"
                    and len(operation.qubits) >= least_qubits
                    and operation.monomial is not None
                )
                if is_monomial != monomial or not ready(number):
                    break
                taken.append(number)
                for each in operation.qubits:
                    heads[each] += 1
                    if each != qubit:
                        waiting.append(each)
        return [operations[number] for number in taken]

    rounds = []
    while any(heads[q] < len(queues[q]) for q in queues):
        rounds.append((take(True), take(False)))
    return rounds


def layered(operations: Sequence[Operation], size: int, least_qubits: int = 1) -> list[Segment]:
    """Return monomial segments, and blocks of the gates between them."""
    segments: list[Segment] = []
    for monomials, others in alternate(operations, least_qubits):
        if monomials:
            segments.append(Segment("monomial", monomials, _support(monomials)))
        segments += fold(others, size)
    return segments


def refined(segments: Sequence[Segment], size: int) -> list[Segment]:
    """Return the segments with neighbouring blocks without weights cut anew, monomials apart."""
    out: list[Segment] = []
    run: list[Operation] = []
    for segment in segments:
        if segment.kind == "block" and all(each.fixed is not None for each in segment.operations):
            run += segment.operations
            continue
        out += [*layered(run, size), segment]
        run = []
    return out + layered(run, size)


def named(segments: Sequence[Segment]) -> list[Segment]:
    """Return the segments with blocks of monomial gates named so, and neighbours joined."""
    out: list[Segment] = []
    for segment in segments:
        kind = segment.kind
        if kind == "block" and all(each.monomial is not None for each in segment.operations):
            kind = "monomial"
        if kind == "monomial" and out and out[-1].kind == "monomial":
            joined = out[-1].operations + segment.operations
            out[-1] = Segment(kind, joined, out[-1].support | segment.support)
        else:
            out.append(Segment(kind, segment.operations, segment.support))
    return out


def strategies(operations: Sequence[Operation], num_qubits: int) -> dict[str, list[Segment]]:
    """Return ways to cut a circuit into segments, by name; the cost model chooses."""
    found = {}
    for size in range(1, min(num_qubits, MAX_BLOCK) + 1):
        found[f"blocks of {size}"] = named(fold(operations, size))
        found[f"blocks of {size}, fixed gates apart"] = named(
            refined(fold(operations, size, apart=True), size)
        )
        found[f"monomials apart, blocks of {size}"] = named(layered(operations, size))
        found[f"entangling monomials apart, blocks of {size}"] = named(
            layered(operations, size, least_qubits=2)
        )
    return found


def _support(operations: Sequence[Operation]) -> set[int]:
    return {qubit for operation in operations for qubit in operation.qubits}


@dataclass
class Factor:
    """One factor of a block's matrix, and the monomial that follows it."""

    kind: Literal["layer", "pair", "fixed"]
    runs: tuple[tuple[Operation, ...], ...] = ()
    """Gates of a layer, for each of the block's qubits, at most one of them with an angle."""
    pair: Operation | None = None
    """A gate on two qubits."""
    positions: tuple[int, ...] = ()
    """The pair's place among the block's qubits."""
    matrix: np.ndarray | None = None
    """Matrix of a fixed factor, on all of the block's qubits."""
    after: Monomial | None = None


def factors_of(operations: Sequence[Operation], qubits: Sequence[int]) -> list[Factor]:
    """Return the factors of a block, the first one applied first.

    Args:
        operations: Its gates in order; none depends on inputs.
        qubits: Its qubits, least significant first.
    """
    local = {qubit: position for position, qubit in enumerate(qubits)}
    size = len(qubits)
    factors: list[Factor] = []

    def positions(operation: Operation) -> tuple[int, ...]:
        return tuple(local[qubit] for qubit in operation.qubits)

    def layer(runs: dict[int, list[Operation]]) -> None:
        of_each = tuple(tuple(runs.get(position, ())) for position in range(size))
        factors.append(Factor("layer", runs=of_each))

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
                if operation.fixed is None and any(
                    each.fixed is None for each in runs.get(where[0], [])
                ):
                    layer(runs)  # at most one angle in a run, for its derivative's sake
                    runs = {}
                runs.setdefault(where[0], []).append(operation)
                continue
            if any(position in runs for position in where):
                layer(runs)
                runs = {}
            if len(where) == 2:
                factors.append(Factor("pair", pair=operation, positions=where))
            else:
                assert operation.fixed is not None  # larger free gates are decomposed
                flat = np.append(operation.fixed.reshape(-1), 0)
                factors.append(Factor("fixed", matrix=flat[embedding(size, where)]))
        if runs:
            layer(runs)
    return factors
