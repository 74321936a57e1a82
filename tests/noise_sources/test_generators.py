"""Bits become the words of torch's generator, each tempered and none lost."""

import numpy as np
import torch
from scipy.stats import kstest

from qdm_qiskit.noise_sources import NoiseSource, find_source
from qdm_qiskit.noise_sources.generators import FRESH_WORDS, generator_of


class Known(NoiseSource):
    name, simulated = "known", True

    def __init__(self, bits):
        self.known = bits

    def bits(self, count, rng):
        return self.known


def tempered(word):
    """MT19937's tempering, Matsumoto and Nishimura (1998)."""
    word ^= word >> 11
    word ^= (word << 7) & 0x9D2C5680
    word ^= (word << 15) & 0xEFC60000
    return (word ^ (word >> 18)) & 0xFFFFFFFF


def test_the_first_words_are_the_sources_bits():
    bits = np.random.default_rng(0).integers(0, 2, 32 * 624, dtype=np.uint8)
    generator = generator_of(Known(bits), np.random.default_rng())
    drawn = torch.empty(FRESH_WORDS, dtype=torch.int64).random_(0, 2**20, generator=generator)
    words = bits.reshape(624, 32).astype(np.int64) @ (1 << np.arange(32))
    expected = [tempered(int(word)) % 2**20 for word in words[1:]]
    assert drawn.tolist() == expected


def test_it_goes_on_as_the_twister_does():
    """Behind its own words the state is mixed as numpy's twister mixes the same one."""
    bits = np.random.default_rng(1).integers(0, 2, 32 * 624, dtype=np.uint8)
    generator = generator_of(Known(bits), np.random.default_rng())
    drawn = torch.empty(3000, dtype=torch.int64).random_(0, 2**20, generator=generator).numpy()
    words = (bits.reshape(624, 32).astype(np.int64) @ (1 << np.arange(32))).astype(np.uint32)
    theirs = np.random.RandomState()
    theirs.set_state(("MT19937", words, 1))
    raw = theirs.randint(0, 2**32, size=3000, dtype=np.uint32).astype(np.int64)
    assert (drawn == raw % 2**20).all()


def test_numbers_are_normal():
    for name in ("hadamard", "walk"):
        generator = generator_of(find_source(name), np.random.default_rng(2))
        assert kstest(torch.randn(600, generator=generator).numpy(), "norm").pvalue > 1e-4
