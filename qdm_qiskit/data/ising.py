"""Configurations of the Ising model on a periodic square lattice, sampled here and counted exactly.

``E = -sum over neighbours of s s'``, weight ``exp(-E / T)``; a round of the sampler is one Wolff
cluster (U. Wolff, Phys. Rev. Lett. 62, 361, 1989), which moves cold lattices, and one Metropolis sweep,
which moves hot ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from ..arguments import checked_text, real_number, whole_number
from ..errors import InvalidOption
from ..rng import stream
from .catalog import DATASETS
from .row_format import Column, RowFormat
from .rows import RowDataset, Rows

__all__ = [
    "EXACT_SIDE",
    "LARGEST_SIDE",
    "ROUNDS",
    "SIDE",
    "SPINS_COUNT",
    "TEMPERATURES",
    "ExactIsing",
    "IsingSpins",
    "exact_ising",
    "ising",
    "ising_samples",
    "metropolis_sweep",
    "spin_energies",
    "wolff_step",
]

SIDE, LARGEST_SIDE, EXACT_SIDE = 4, 32, 4
"""Side of the data set's lattice, of the largest, and of the largest that is counted exactly."""
TEMPERATURES = (1.7, 2.3, 3.5)
"""Temperatures of the data set's classes, in units of the coupling; the critical one is 2.269."""
SPINS_COUNT = 600
"""Configurations of each temperature."""
ROUNDS = 30
"""Rounds of the sampler from random spins to a configuration."""


def spin_energies(spins: np.ndarray) -> np.ndarray:
    """Return the energies of configurations of -1 and 1: ``(..., side, side)`` to ``(...)``."""
    neighbours = np.roll(spins, 1, axis=-1) + np.roll(spins, 1, axis=-2)
    return -(spins * neighbours).sum(axis=(-2, -1))


def metropolis_sweep(spins: np.ndarray, temperature: float, rng: np.random.Generator) -> None:
    """Offer a flip to every spin of every lattice once, first to the black sites, then to the white.

    Args:
        spins: ``(count, side, side)`` of -1 and 1, side even; changed in place.
        temperature: T above 0.
        rng: Source of randomness.
    """
    black = np.indices(spins.shape[1:]).sum(axis=0) % 2
    for colour in (0, 1):
        around = sum(np.roll(spins, shift, axis) for shift in (1, -1) for axis in (1, 2))
        cost = 2 * spins * around
        accept = rng.random(spins.shape) < np.exp(-np.maximum(cost, 0) / temperature)
        spins[accept & (black == colour)] *= -1


def wolff_step(spins: np.ndarray, temperature: float, rng: np.random.Generator) -> None:
    """Flip one cluster of each lattice, grown from a site drawn at random.

    Args:
        spins: ``(count, side, side)`` of -1 and 1, side at least 3; changed in place.
        temperature: T above 0.
        rng: Source of randomness.
    """
    count, side, _ = spins.shape
    joins = rng.random((2, *spins.shape)) < 1 - np.exp(-2 / temperature)
    bonds = [joins[axis] & (spins == np.roll(spins, -1, axis + 1)) for axis in (0, 1)]
    cluster = np.zeros(spins.shape, dtype=bool)
    cluster[np.arange(count), rng.integers(side, size=count), rng.integers(side, size=count)] = True
    while True:
        grown = cluster.copy()
        for axis, bond in enumerate(bonds, start=1):
            grown |= np.roll(cluster & bond, 1, axis)  # over the bond to the next site
            grown |= bond & np.roll(cluster, -1, axis)  # and back over it
        if (grown == cluster).all():
            break
        cluster = grown
    spins[cluster] *= -1


def ising_samples(
    side: int, temperature: float, count: int, rng: np.random.Generator, *, rounds: int = ROUNDS
) -> np.ndarray:
    """Draw configurations, each from a chain of its own that begins with random spins.

    Args:
        side: Side of the lattice, even, 4 to 32.
        temperature: T above 0.
        count: Number of configurations.
        rng: Source of randomness.
        rounds: Rounds of a cluster and a sweep.

    Returns:
        ``(count, side, side)`` int8 of -1 and 1.

    Raises:
        InvalidOption: If an option is out of range.
    """
    if not 4 <= whole_number(side, "side") <= LARGEST_SIDE or side % 2:
        raise InvalidOption(f"side is an even number from 4 to {LARGEST_SIDE}, got {side}.")
    if not 0.05 <= real_number(temperature, "temperature") <= 1e6:
        raise InvalidOption(f"temperature is 0.05 to a million, got {temperature}.")
    if whole_number(count, "count") < 1 or whole_number(rounds, "rounds") < 1:
        raise InvalidOption(f"count and rounds are at least 1, got {count} and {rounds}.")
    spins = (2 * rng.integers(2, size=(count, side, side)) - 1).astype(np.int8)
    for _ in range(rounds):
        wolff_step(spins, temperature, rng)
        metropolis_sweep(spins, temperature, rng)
    return spins


@dataclass(frozen=True, eq=False)
class ExactIsing:
    """All configurations of a small lattice with their probabilities."""

    energies: np.ndarray
    """``(2**sites,)``: energy of each configuration."""
    magnetisations: np.ndarray
    """``(2**sites,)``: mean spin of each."""
    probabilities: np.ndarray
    """``(2**sites,)``: sum 1."""

    def mean(self, values: np.ndarray) -> float:
        """Return the mean of one value a configuration."""
        return float(self.probabilities @ values)


def exact_ising(side: int, temperature: float) -> ExactIsing:
    """Count all ``2**(side*side)`` configurations.

    Args:
        side: 2 to 4.
        temperature: T above 0.

    Raises:
        InvalidOption: If the side is another one.

    >>> found = exact_ising(2, 4.0)
    >>> float(found.probabilities.sum().round(9)), found.mean(found.magnetisations)
    (1.0, 0.0)
    """
    if not 2 <= side <= EXACT_SIDE:
        raise InvalidOption(f"Sides from 2 to {EXACT_SIDE} are counted exactly, got {side}.")
    sites = side * side
    bits = np.arange(2**sites)[:, None] >> np.arange(sites) & 1
    spins = (2 * bits - 1).reshape(-1, side, side)
    energies = spin_energies(spins)
    weights = np.exp(-(energies - energies.min()) / temperature)
    return ExactIsing(energies, spins.mean(axis=(1, 2)), weights / weights.sum())


@final
class IsingSpins(RowDataset):
    """Configurations at some temperatures, a class each.

    Args:
        side: Side of the lattice.
        temperatures: One or more.
        count: Configurations of each.
        seed: Seed of the sampler.
        name: Name in runs; another than ``ising`` for other options.

    Raises:
        InvalidOption: If the name stands for other options.
    """

    def __init__(
        self,
        side: int = SIDE,
        temperatures: Sequence[float] = TEMPERATURES,
        count: int = SPINS_COUNT,
        *,
        seed: int = 0,
        name: str = "ising",
    ) -> None:
        info = DATASETS["ising"]
        self.side, self.temperatures, self.count = side, tuple(temperatures), count
        self.seed, self.name = seed, checked_text(name, "name")
        usual = (SIDE, TEMPERATURES, SPINS_COUNT, 0)
        if name == "ising" and (side, self.temperatures, count, seed) != usual:
            raise InvalidOption(
                "'ising' has its own side, temperatures, count and seed; give a name."
            )
        self.classes = tuple(f"T={each:g}" for each in self.temperatures)
        self.licence, self.source, self.description = info.licence, info.source, info.description

    def rows(self) -> Rows:
        """See :meth:`.RowDataset.rows`."""
        spins = np.concatenate(
            [
                ising_samples(self.side, each, self.count, stream(self.seed, "data", 71, label))
                for label, each in enumerate(self.temperatures)
            ]
        )
        columns = tuple(
            Column(name=f"s{row}_{place}", kind="spin", low=-1.0, decimals=0)
            for row in range(self.side)
            for place in range(self.side)
        )
        form = RowFormat(
            kind="spins", columns=columns, shape=(self.side, self.side), classes=self.classes
        )
        values = spins.reshape(len(spins), -1).astype(np.float64)
        return Rows(form, values, np.repeat(np.arange(len(self.temperatures)), self.count))


ising = IsingSpins()
