"""Order, picture and layout in which a density program computes.

States are vectors over Pauli strings, batch last: a product of components ``(4**k, batch)``, where a
component that no input has reached has one column. Gates and channels after the last input do not
depend on the sample: there the observables may be evolved backwards instead (Heisenberg's picture),
which has one column for each observable and not for each sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from .blocks import Block

__all__ = [
    "BANDWIDTH",
    "FLOPS",
    "OVERHEAD",
    "Action",
    "Picture",
    "Pictures",
    "Shape",
    "lay_out",
    "run_observables",
    "run_picture",
]

OVERHEAD = 20e-6
"""Seconds for one call of torch, forward and backward."""
FLOPS = 40e9
"""Real multiplications and additions in a second, measured on one core at 32 columns (float32)."""
BANDWIDTH = 8e9
"""Bytes in a second of an elementwise operation on the same core."""

Shape = list[int]


@dataclass
class Action:
    """One operation on a component."""

    kind: Literal["zero", "merge", "permute", "apply", "rotate"]
    component: int = 0
    other: int = 0
    """Component that becomes the less significant part in a merge."""
    axes: tuple[int, ...] = ()
    """Old axes in their new order, for a permutation of qubits."""
    block: int = -1
    """Index of the block to apply."""
    register: tuple[int, ...] = ()
    """Its qubits as they stand, the first most significant."""
    high: int = 1
    """Product of the axes in front of them."""
    size: int = 0
    """4**k of the component afterwards."""
    batched: bool = False
    """True if the component has a column for each sample."""
    prepared: list[int] = field(default_factory=list)
    """Blocks of fixed channels that a new qubit goes through at once."""


@dataclass
class Picture:
    """Actions in one direction of time, and how the qubits lie at the end."""

    actions: list[Action] = field(default_factory=list)
    orders: dict[int, list[int]] = field(default_factory=dict)
    """Component to its qubits, the first most significant."""
    batched: dict[int, bool] = field(default_factory=dict)

    def seconds(self, columns: int) -> float:
        """Return the estimated time of a forward and a backward pass in float32 on one core."""
        total = 0.0
        for action in self.actions:
            numbers = action.size * (columns if action.batched else 1)
            total += OVERHEAD * (3 if action.kind == "rotate" else 1)
            if action.kind == "apply":
                total += 3 * 2 * numbers * 4 ** len(action.register) / FLOPS
            total += 3 * 8 * numbers / BANDWIDTH
        return total

    def numbers(self, columns: int, *, kept: bool = True) -> int:
        """Return how many real numbers are held at once.

        Args:
            columns: Samples, or observables.
            kept: True if the results of all actions are kept for a backward pass. If not, it is a
                vector before and after an action, and as much between.
        """
        factor = {"rotate": 3}
        each = (
            action.size * (columns if action.batched else 1) * factor.get(action.kind, 1)
            for action in self.actions
        )
        return sum(each) if kept else 3 * max(each, default=0)


@dataclass
class Pictures:
    """Blocks, of which the first are applied to the state and the others to the observables."""

    blocks: list[Block]
    forward: Picture
    backward: Picture | None


def lay_out(
    blocks: list[Block], active: Sequence[int], covered: Sequence[int], *, backward: bool
) -> Pictures:
    """Lay out a program.

    Args:
        blocks: In order.
        active: All qubits.
        covered: Those with an initial state, the first least significant.
        backward: True if blocks that no sample's rotation needs are applied to the observables.
    """
    early: list[int] = []
    late: list[int] = []
    needed: set[int] = set()
    for k in reversed(range(len(blocks))):
        block = blocks[k]
        if not backward or block.per_sample or needed.intersection(block.qubits):
            needed.update(block.qubits)
            early.append(k)
        else:
            late.append(k)  # from the last to the first, as they are applied
    early.reverse()
    forward = _forward(blocks, early, covered)
    if not backward:
        _complete(forward, active)
        return Pictures(blocks, forward, None)
    return Pictures(blocks, forward, _backward(blocks, late, active))


def _forward(blocks: list[Block], indices: list[int], covered: Sequence[int]) -> Picture:
    picture = Picture()
    place: dict[int, int] = {}
    if covered:
        picture.orders[0], picture.batched[0] = list(reversed(covered)), True
        place.update(dict.fromkeys(covered, 0))
    for position, index in enumerate(indices):
        block = blocks[index]
        for qubit in block.qubits:
            if qubit not in place:
                _zero(picture, place, qubit)
        first, *others = dict.fromkeys(place[q] for q in block.qubits)
        for other in others:
            _merge(picture, place, first, other)
        _act(picture, first, blocks, indices, position)
    return picture


def _backward(blocks: list[Block], indices: list[int], active: Sequence[int]) -> Picture:
    picture = Picture(orders={0: list(active)}, batched={0: True})
    for position in range(len(indices)):
        _act(picture, 0, blocks, indices, position)
    return picture


def _zero(picture: Picture, place: dict[int, int], qubit: int) -> None:
    component = max(picture.orders, default=-1) + 1
    place[qubit] = component
    picture.orders[component], picture.batched[component] = [qubit], False
    picture.actions.append(Action("zero", component, size=4))


def _merge(picture: Picture, place: dict[int, int], first: int, other: int) -> None:
    picture.orders[first] += picture.orders.pop(other)
    picture.batched[first] |= picture.batched.pop(other)
    place.update(dict.fromkeys(picture.orders[first], first))
    size, batched = 4 ** len(picture.orders[first]), picture.batched[first]
    picture.actions.append(Action("merge", first, other, size=size, batched=batched))


def _complete(picture: Picture, active: Sequence[int]) -> None:
    """Join all components, so that one holds all qubits."""
    place = {q: c for c, order in picture.orders.items() for q in order}
    for qubit in active:
        if qubit not in place:
            _zero(picture, place, qubit)
    first, *others = sorted(picture.orders, key=lambda c: (picture.batched[c], c))
    for other in others:
        _merge(picture, place, first, other)


def _act(
    picture: Picture, component: int, blocks: list[Block], indices: list[int], position: int
) -> None:
    """Bring a block's qubits together if they are not, and apply it."""
    block, order = blocks[indices[position]], picture.orders[component]
    size = 4 ** len(order)
    latest = picture.actions[-1] if picture.actions else None
    fixed = all(event.channel is not None for event in block.events)
    if latest is not None and latest.kind == "zero" and latest.component == component and fixed:
        latest.prepared.append(indices[position])
        latest.register = tuple(order)
        return
    spots = sorted(order.index(q) for q in block.qubits)
    start, together = spots[0], spots[-1] - spots[0] == len(spots) - 1
    # Far inside, a product would fall into many small ones.
    if not together or (not block.per_sample and start > 1 and len(order) - spots[-1] < 3):
        use = {
            q: k for k in range(len(indices) - 1, position, -1) for q in blocks[indices[k]].qubits
        }
        inside = [order[k] for k in spots]
        rest = [q for q in order if q not in block.qubits]
        rest.sort(key=lambda q: use.get(q, len(indices)))
        new = inside + rest
        axes = tuple(order.index(q) for q in new)
        batched = picture.batched[component]
        if axes != tuple(range(len(axes))):
            action = Action("permute", component, axes=axes, size=size, batched=batched)
            picture.actions.append(action)
        order[:] = new
        start = 0
    register = tuple(order[start : start + len(block.qubits)])
    if block.per_sample:
        picture.batched[component] = True
    picture.actions.append(
        Action(
            "rotate" if block.per_sample else "apply",
            component,
            block=indices[position],
            register=register,
            high=4**start,
            size=size,
            batched=picture.batched[component],
        )
    )


def run_observables(
    picture: Picture, observables: dict[int, Tensor], matrices: Sequence[Tensor | None]
) -> None:
    """Run the actions of a backward picture: blocks only, transposed."""

    def none(action: Action, *_: Tensor) -> Tensor:
        raise AssertionError(f"observables meet no '{action.kind}'")

    run_picture(picture, observables, matrices, none, none, transposed=True)


def run_picture(
    picture: Picture,
    state: dict[int, Tensor],
    matrices: Sequence[Tensor | None],
    rotate: Callable[[Action, Tensor], Tensor],
    zero: Callable[[Action], Tensor],
    *,
    transposed: bool = False,
) -> None:
    """Run the actions; components are replaced in place.

    Args:
        picture: Actions in order.
        state: Component to ``(4**k, columns)``.
        matrices: Transfer matrix of each block, in the order of its register.
        rotate: Applies a rotation with an angle for each sample.
        zero: Gives the vector of a new qubit, ``(4, 1)``.
        transposed: Apply the transposed matrices: for observables.
    """
    for action in picture.actions:
        if action.kind == "zero":
            state[action.component] = zero(action)
            continue
        x = state[action.component]
        columns = x.shape[-1]
        if action.kind == "merge":
            low = state.pop(action.other)
            y = x.unsqueeze(1) * low.unsqueeze(0)
        elif action.kind == "permute":
            n = len(action.axes)
            y = x.reshape(*[4] * n, columns).permute(*action.axes, n)
        elif action.kind == "rotate":
            y = rotate(action, x)
        else:
            matrix = matrices[action.block]
            assert matrix is not None  # only rotations have none
            matrix = matrix.t() if transposed else matrix
            if action.high == 1:
                y = matrix @ x.reshape(matrix.shape[0], -1)
            else:
                y = torch.matmul(matrix, x.reshape(action.high, matrix.shape[0], -1))
        state[action.component] = y.reshape(action.size, -1)
