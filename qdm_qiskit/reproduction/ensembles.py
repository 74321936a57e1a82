"""Expressibility and entanglement of QAMP's layers, by their authors' recipe."""

from __future__ import annotations

import math
from typing import cast

import numpy as np

from ..analysis import (
    Estimate,
    entangling_capability,
    expressibility,
    haar_states,
    meyer_wallach,
)
from ..analysis.estimates import mean_estimate
from ..circuits import qamp_layers
from ..circuits.blocks import Mixing
from ..rng import stream

__all__ = ["entanglement", "haar_divergence", "haar_states_entanglement"]

WIRES, START = 4, math.pi / 4
"""Wires, and the angle of RY on each of them before the layers."""


def haar_divergence(*, depth: int, mixing: str, repeats: int, seed: int) -> Estimate:
    """Return the divergence of fidelities from Haar's, by bins as the authors took them.

    300 states, all pairs, 75 bins; Haar's share of a bin is the density at its centre times its
    width. Layers on 4 wires with open pairs, all angles uniform.
    """
    circuit = qamp_layers(WIRES, depth, mixing=cast("Mixing", mixing), closed=False)
    found = expressibility(
        circuit, repeats=repeats, generator=stream(seed, "evaluation", depth), start_angle=START
    )
    exact = found.haar_histogram
    centres = (np.arange(len(exact)) + 0.5) / len(exact)
    centred = (2**WIRES - 1) * (1 - centres) ** (2**WIRES - 2) / len(exact)
    seen = found.histogram > 0
    offset = float(np.sum(found.histogram[seen] * np.log(exact[seen] / centred[seen])))
    ours = found.divergence
    return Estimate(ours.value + offset, ours.low + offset, ours.high + offset)


def entanglement(*, depth: int, mixing: str, samples: int, seed: int) -> Estimate:
    """Return the mean Meyer-Wallach Q of the same states."""
    circuit = qamp_layers(WIRES, depth, mixing=cast("Mixing", mixing), closed=False)
    generator = stream(seed, "evaluation", depth)
    return entangling_capability(circuit, samples=samples, generator=generator, start_angle=START)


def haar_states_entanglement(*, qubits: int, samples: int, seed: int) -> Estimate:
    """Return the mean Meyer-Wallach Q of Haar-random states that are drawn."""
    return mean_estimate(
        meyer_wallach(haar_states(qubits, samples, stream(seed, "evaluation", qubits)))
    )
