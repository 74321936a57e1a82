"""Events fused into blocks: everything on two or three qubits between which nothing else acts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .lowering import Event

__all__ = [
    "Block",
    "fuse",
]


@dataclass
class Block:
    """Events on a few qubits, or one rotation whose angle each sample has for itself."""

    qubits: tuple[int, ...]
    """Qubits, in no order yet."""
    events: list[Event] = field(default_factory=list)
    per_sample: bool = False


def fuse(events: Sequence[Event], width: int, *, split_samples: bool = True) -> list[Block]:
    """Put events together.

    An event joins the last block on its qubits if that covers them. Otherwise it starts a new one,
    which takes over those blocks after which nothing else acts on their qubits.

    Args:
        events: In order.
        width: Qubits of a block, at most (events on more have a block of their own).
        split_samples: True if rotations with an angle for each sample stay alone.

    Returns:
        Blocks in an order in which they can be applied.
    """
    blocks: list[Block | None] = []
    last: dict[int, int] = {}

    def fusible(index: int) -> Block | None:
        block = blocks[index]
        return None if block is None or block.per_sample else block

    for event in events:
        before = sorted({last[q] for q in event.qubits if q in last}, reverse=True)
        if split_samples and event.on_inputs:
            new = Block(event.qubits, [event], per_sample=True)
        else:
            newest = fusible(before[0]) if before else None
            if newest is not None and set(event.qubits) <= set(newest.qubits):
                newest.events.append(event)
                continue
            qubits, absorbed = set(event.qubits), []
            for index in before:
                block = fusible(index)
                if block is None or any(last[q] != index for q in block.qubits):
                    continue
                if len(qubits | set(block.qubits)) <= width:
                    qubits |= set(block.qubits)
                    absorbed.append(index)
            new = Block(tuple(sorted(qubits)))
            for index in sorted(absorbed):
                old = blocks[index]
                assert old is not None  # fusible() has looked
                new.events += old.events
                blocks[index] = None
            new.events.append(event)
        blocks.append(new)
        last.update(dict.fromkeys(new.qubits, len(blocks) - 1))
    return [block for block in blocks if block is not None]
