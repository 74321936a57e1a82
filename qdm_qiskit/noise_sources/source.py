"""The contract of noise sources, and the door by which they come in by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from ..arguments import of_kind, shown, wrong
from ..doors import Door, Origin, origin_of
from ..errors import InvalidArgument, InvalidData, InvalidExtension, InvalidOption, QdmError

__all__ = ["NOISE_SOURCES", "NoiseSource", "drawn_bits", "find_source", "source_origin"]


class NoiseSource(ABC):
    """A source of independent, uniform bits.

    >>> class Coins(NoiseSource):
    ...     name = "coins"
    ...     simulated = True
    ...     def bits(self, count, rng):
    ...         return rng.integers(0, 2, count, dtype=np.uint8)
    >>> drawn_bits(Coins(), 4, np.random.default_rng(0)).shape
    (4,)
    """

    name: str
    """Name in files and options."""
    simulated: bool
    """True if outcomes are drawn by a pseudo-random generator from a distribution that was computed:
    they are repeatable, and no more random than that generator."""

    @abstractmethod
    def bits(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return uniform bits.

        Args:
            count: Number of bits.
            rng: Source of what is drawn here: simulated outcomes, seeds of extractors, random circuits.
                It is addressed by seed and step, so the same seed gives the same bits.

        Returns:
            ``(count,)`` uint8, each 0 or 1.
        """

    def record(self) -> dict[str, Any]:
        """Return what a manifest tells, ready for JSON."""
        return {"name": self.name, "simulated": self.simulated}


def _checked(part: Any, name: str) -> Any:
    """Return a source, or a class or function that makes one."""
    if not isinstance(part, NoiseSource) and not callable(part):
        raise wrong(part, name or "noise_source", "a NoiseSource, or what makes one")
    return part


NOISE_SOURCES: Door[Any] = Door(
    "noise_source",
    "noise source",
    {
        "hadamard": "qdm_qiskit.noise_sources.sources:HadamardSource",
        "haar": "qdm_qiskit.noise_sources.sources:HaarSource",
        "walk": "qdm_qiskit.noise_sources.sources:WalkSource",
        "measured": "qdm_qiskit.noise_sources.sources:MeasuredSource",
    },
    _checked,
)
"""Noise sources by name; what stands behind a colon goes to the one that makes it."""


def find_source(source: str | NoiseSource) -> NoiseSource:
    """Return a source by its text, ``NAME`` or ``NAME:ARGUMENT``, or the source that is given.

    Raises:
        UnknownName: If there is none of this name.
        InvalidOption, InvalidData: If the argument does not fit.
        InvalidArgument, InvalidExtension: If it is no source.
    """
    if not isinstance(source, str):
        of_kind(
            source, NoiseSource, "noise_source", "a class that inherits NoiseSource has instances"
        )
        return source
    name, colon, argument = source.partition(":")
    part = NOISE_SOURCES.get(name)
    if colon and not argument:  # an empty shell variable must not become the default
        raise InvalidOption(
            f"Noise source '{source}' has nothing behind its colon; leave it out, or say more."
        )
    if isinstance(part, NoiseSource):
        if colon:
            raise InvalidOption(f"Noise source '{name}' takes no argument, got {argument!r}.")
        return part
    try:
        made = part(argument) if colon else part()
    except QdmError:
        raise
    except Exception as error:  # another package's code may raise anything
        raise InvalidExtension(
            f"Noise source '{source}' cannot be made: {type(error).__name__}: {error}."
        ) from error
    if not isinstance(made, NoiseSource):
        raise InvalidArgument(f"Noise source '{source}' makes a NoiseSource, got {shown(made)}.")
    return made


def source_origin(text: str | None, source: NoiseSource) -> Origin:
    """Return where a source comes from, of its text if it came by one."""
    if text is None:
        return origin_of(source)
    return NOISE_SOURCES.origin(text.partition(":")[0])


def drawn_bits(source: NoiseSource, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return a source's bits, checked.

    Raises:
        InvalidExtension: If a source of another package raises.
        InvalidData: If they are not ``count`` bits.
    """
    try:
        found = np.asarray(source.bits(count, rng))
    except QdmError:
        raise
    except Exception as error:  # another package's code may raise anything
        raise InvalidExtension(
            f"Noise source '{source.name}' fails: {type(error).__name__}: {error}."
        ) from error
    if found.shape != (count,) or found.dtype != np.uint8 or (found > 1).any():
        raise InvalidData(
            f"Noise source '{source.name}' gives {count} bits as uint8, got shape {found.shape} of "
            f"{found.dtype}."
        )
    return found
