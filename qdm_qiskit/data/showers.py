"""Calorimeter-like showers made here: energy deposits of electrons and photons in layers and rings.

Longitudinally a gamma distribution whose maximum is ``ln(E / Ec) -+ 0.5`` radiation lengths deep
(Particle Data Group, Passage of particles through matter), with fluctuations of depth and length from
shower to shower; in each layer rings around the axis by ``r^2 / (r^2 + R^2)``, wider with depth (after
Grindhammer and Peters, hep-ex/0001020); deposits fluctuate by 10 % / sqrt(E in GeV). A toy: nothing
here replaces Geant4.
"""

from __future__ import annotations

import math
from typing import final

import numpy as np
from scipy.special import gammainc

from ..rng import stream
from .catalog import DATASETS
from .row_format import Column, RowFormat
from .rows import RowDataset, Rows

__all__ = [
    "CRITICAL",
    "ENERGIES",
    "LAYERS",
    "LAYER_DEPTH",
    "RINGS",
    "SHOWERS_COUNT",
    "Showers",
    "deposits",
    "layer_shares",
    "ring_shares",
    "showers",
]

LAYERS, RINGS = 6, (0.5, 1.5)
"""Layers in depth, and the outer ends of the inner rings in Molière radii; the last ring is open."""
LAYER_DEPTH = 4.0
"""Depth of a layer, in radiation lengths."""
CRITICAL = 0.01
"""Critical energy of the material in GeV."""
ENERGIES = (10.0, 100.0)
"""Ends of the incoming energy in GeV, drawn evenly on a logarithmic scale."""
SHOWERS_COUNT = 700
"""Showers of each particle."""
_SHIFTS = (-0.5, 0.5)
"""Depth of the maximum beyond ln(E / Ec), of electrons and photons."""


def layer_shares(deepest: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Return the share of the energy in each layer, and behind the last one in none.

    Args:
        deepest: ``(count,)`` depth of the maximum, in radiation lengths, above 0.
        length: ``(count,)`` b of the gamma distribution, above 0.

    Returns:
        ``(count, layers)``.
    """
    edges = LAYER_DEPTH * np.arange(LAYERS + 1)
    below = gammainc((1 + length * deepest)[:, None], length[:, None] * edges)
    return np.diff(below, axis=1)


def ring_shares() -> np.ndarray:
    """Return the share of a layer's energy in each ring, ``(layers, rings)``; rows sum to 1."""
    width = 0.3 + 0.08 * np.arange(LAYERS)[:, None]
    edges = np.array(RINGS)
    inside = edges**2 / (edges**2 + width**2)
    below = np.concatenate([np.zeros((LAYERS, 1)), inside, np.ones((LAYERS, 1))], axis=1)
    return np.diff(below, axis=1)


def deposits(count: int, shift: float, rng: np.random.Generator) -> np.ndarray:
    """Draw showers.

    Args:
        count: Number of them.
        shift: Depth of the mean maximum beyond ln(E / Ec).
        rng: Source of randomness.

    Returns:
        ``(count, layers, rings)`` deposits in GeV, at least 0.
    """
    energy = np.exp(rng.uniform(math.log(ENERGIES[0]), math.log(ENERGIES[1]), size=count))
    deepest = np.log(energy / CRITICAL) + shift + rng.normal(scale=0.7, size=count)
    length = 0.5 * np.exp(rng.normal(scale=0.15, size=count))
    mean = (energy[:, None] * layer_shares(deepest, length))[:, :, None] * ring_shares()
    grain = 0.01  # GeV: the variance of a deposit is this times its mean
    return grain * rng.gamma(np.maximum(mean, 1e-12) / grain)


@final
class Showers(RowDataset):
    """Showers of electrons and photons."""

    def __init__(self) -> None:
        info = DATASETS["showers"]
        self.name, self.classes = info.name, info.classes
        self.licence, self.source, self.description = info.licence, info.source, info.description

    def rows(self) -> Rows:
        """See :meth:`.RowDataset.rows`."""
        made = [
            deposits(SHOWERS_COUNT, shift, stream(0, "data", 72, label))
            for label, shift in enumerate(_SHIFTS)
        ]
        values = np.concatenate(made).reshape(2 * SHOWERS_COUNT, -1).round(4)
        columns = tuple(
            Column(
                name=f"layer{layer}_ring{ring}",
                high=float(values[:, layer * (len(RINGS) + 1) + ring].max()),
                decimals=4,
            )
            for layer in range(LAYERS)
            for ring in range(len(RINGS) + 1)
        )
        form = RowFormat(
            kind="showers",
            columns=columns,
            shape=(LAYERS, len(RINGS) + 1),
            classes=self.classes,
        )
        return Rows(form, values, np.repeat(np.arange(2), SHOWERS_COUNT))


showers = Showers()
