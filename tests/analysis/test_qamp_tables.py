"""The QAMP authors' expressibility and entanglement of 1 to 5 layers, both forms of PhaseMixing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qdm_qiskit.analysis import entangling_capability, expressibility
from qdm_qiskit.circuits import qamp_layers
from qdm_qiskit.rng import stream

# Four wires, open pairs, RY(pi/4) first, 300 states, all pairs, 75 bins. None: not stated.
PUBLISHED = {
    "rx": {
        "kl": [0.0072, 0.0020, 0.0019, 0.0020, 0.0020],
        "mw": [0.6486, 0.7736, 0.7962, 0.8123, 0.8234],
    },
    "qft": {
        "kl": [0.0160, 0.0020, None, None, None],
        "mw": [0.688, 0.804, 0.817, 0.824, 0.820],
    },
}


def centred_offset(histogram: np.ndarray, exact: np.ndarray) -> float:
    """What the divergence gains where Haar's probability of a bin is density at the centre x width.

    That is how the published figures are made; the sum of such a histogram is not quite 1.
    """
    bins = len(exact)
    centres = (np.arange(bins) + 0.5) / bins
    centred = 15 * (1 - centres) ** 14 / bins
    seen = histogram > 0
    return float(np.sum(histogram[seen] * np.log(exact[seen] / centred[seen])))


@pytest.mark.parametrize("mixing", PUBLISHED)
@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_the_tables(mixing, depth):
    circuit = qamp_layers(4, depth, mixing=mixing, closed=False)
    rng = stream(1, "evaluation", depth)
    start = math.pi / 4
    found = expressibility(circuit, repeats=6, generator=rng, start_angle=start)
    published = PUBLISHED[mixing]["kl"][depth - 1]
    ours = found.divergence.value + centred_offset(found.histogram, found.haar_histogram)
    if published is not None:
        assert abs(ours - published) < 0.002
        assert abs(found.divergence.value - published) < 0.002 + 0.0006 * (depth == 1)
    else:
        assert found.divergence.value < 0.001
    q = entangling_capability(circuit, samples=1800, generator=rng, start_angle=start)
    assert abs(q.value - PUBLISHED[mixing]["mw"][depth - 1]) < 0.02
    assert q.high - q.low < 0.03


def test_the_offset_is_that_of_the_midpoint_rule():
    """Sum of density x width over centres falls short of 1 by (f'(1) - f'(0)) / (24 bins^2)."""
    exact = -np.diff((1 - np.linspace(0, 1, 76)) ** 15)
    assert centred_offset(exact, exact) == pytest.approx(15 * 14 / (24 * 75**2), rel=0.02)
