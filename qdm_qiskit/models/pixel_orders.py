"""Orders of pixels among amplitudes: which pixels an entangling pair of wires holds.

The Bell stage and the layers of EEQDM act on the first half of the wires. With pixels row by row these
are the bits of the row, so H mixes pixels of a column that may be far apart. In the other orders the
first wires are the finest bits of a pairing: bit 0 tells apart two pixels that belong together, bit 1
two such pairs, and so on.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import rustworkx

__all__ = ["PixelOrder", "blocks_order", "correlated_order"]

PixelOrder = Literal["rows", "blocks", "correlated", "random"]
"""Row by row; neighbours within blocks; pixels that go together in the training images; by chance."""
_STEPS = 10**6
"""Steps of a correlation: weights of the matching are whole numbers."""


def blocks_order(size: int) -> np.ndarray:
    """Return the order in which wires are the bits of row and column in turn, the finest first.

    Args:
        size: Height and width, a power of two.

    Returns:
        ``(size**2,)``: the pixel, counted row by row, of each amplitude.

    >>> blocks_order(2).tolist()  # wire 0, the most significant bit, is the row's
    [0, 1, 2, 3]
    >>> blocks_order(4)[[0, 8, 4, 12]].tolist()  # wires 0 and 1 run through a block of 2 x 2
    [0, 4, 1, 5]
    """
    bits = 2 * (size.bit_length() - 1)
    index = np.arange(size**2)
    row, column = np.zeros_like(index), np.zeros_like(index)
    for wire in range(bits):
        bit = (index >> (bits - 1 - wire)) & 1
        target = row if wire % 2 == 0 else column
        target |= bit << (wire // 2)
    return size * row + column


def correlated_order(images: np.ndarray) -> np.ndarray:
    """Return the order in which wire k tells apart the two halves of groups of ``2**(k + 1)`` pixels.

    Pixels are paired so that the sum of the correlations of all pairs is as large as it can be
    (Edmonds' matching), then these pairs, by the mean correlation between their pixels, and so on. A
    pixel that never changes is correlated with none.

    Args:
        images: ``(count, pixels)``, at least 2; as many pixels as a power of two.

    Returns:
        ``(pixels,)``: the pixel of each amplitude.
    """
    count = images.shape[1]
    centred = images - images.mean(axis=0)
    spread = np.sqrt((centred**2).sum(axis=0))
    scaled = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 1e-12)
    between = scaled.T @ scaled
    groups = [[pixel] for pixel in range(count)]
    while len(groups) > 1:
        pairs = _best_pairs(between)
        groups = [groups[a] + groups[b] for a, b in pairs]
        first, second = (np.array(each) for each in zip(*pairs, strict=True))
        between = (
            between[np.ix_(first, first)]
            + between[np.ix_(first, second)]
            + between[np.ix_(second, first)]
            + between[np.ix_(second, second)]
        ) / 4
    # The place in a group has the first pairing as its last bit; it is to be the first wire's.
    axes = count.bit_length() - 1
    return np.array(groups[0]).reshape((2,) * axes).transpose().reshape(-1)


def _best_pairs(between: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of all rows with the largest sum of entries, in order of their first."""
    graph = rustworkx.PyGraph()
    count = len(between)
    graph.add_nodes_from(range(count))
    weights = np.rint(_STEPS * between).astype(int).tolist()
    graph.add_edges_from([(a, b, weights[a][b]) for a in range(count) for b in range(a + 1, count)])
    found = rustworkx.max_weight_matching(graph, max_cardinality=True, weight_fn=int)
    return sorted((min(pair), max(pair)) for pair in found)
