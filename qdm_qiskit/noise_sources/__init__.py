"""Sources of random bits that x_T and the noise of steps are made of.

::

    source.py       the contract, and the door of named sources
    extractors.py   uniform bits from biased ones: von Neumann, Toeplitz
    estimates.py    min-entropy and uniformity of bits
    walks.py        a quantum walk on a ring, decohering
    sources.py      circuits that are measured, and files of measured bits
    generators.py   bits as torch's generator
"""

from .source import NOISE_SOURCES, NoiseSource, find_source

__all__ = ["NOISE_SOURCES", "NoiseSource", "find_source"]
