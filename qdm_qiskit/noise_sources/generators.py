"""Bits of a source as the whole state of torch's generator.

The Mersenne Twister holds 624 words of 32 bits. Filled with the bits of a source, it gives 623 words
that are these bits, turned by its one-to-one tempering, before it mixes them for the first time: a
number of float64 takes two words, one of float32 takes one. What a step draws beyond comes
from the same 19,968 bits.
"""

from __future__ import annotations

import numpy as np
import torch

from .source import NoiseSource, drawn_bits

__all__ = ["FRESH_WORDS", "WORDS", "generator_of"]

WORDS = 624
"""Words of 32 bits in a state."""
FRESH_WORDS = WORDS - 1
"""Words that a generator gives before it mixes its state."""
_HEADER = 24
"""Bytes before the words: seed, words left, a flag, and the next word's number."""


def generator_of(source: NoiseSource, rng: np.random.Generator) -> torch.Generator:
    """Return a generator whose state is made of a source's bits.

    Args:
        source: The source.
        rng: What the source draws with.

    Returns:
        A generator on the CPU.

    Raises:
        InvalidData, InvalidExtension: As :func:`.drawn_bits`.
    """
    bits = drawn_bits(source, 32 * WORDS, rng)
    generator = torch.Generator().manual_seed(0)
    state = generator.get_state().numpy().copy()
    words = np.packbits(bits, bitorder="little").view("<u4").astype("<u8")
    state[_HEADER : _HEADER + 8 * WORDS] = words.view(np.uint8)
    header = state[:_HEADER].view("<i4")
    header[2], header[4] = WORDS, 1  # words left, one more than it gives; the next word's number
    generator.set_state(torch.from_numpy(state))
    return generator
