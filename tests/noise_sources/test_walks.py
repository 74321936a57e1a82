"""A walk on a ring: steps against closed forms and against its circuit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import Statevector

from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.noise_sources.walks import (
    classical_walk,
    momentum_walk,
    walk_circuit,
    walk_distribution,
)


@settings(max_examples=30, deadline=None)
@given(positions=st.integers(2, 40), steps=st.integers(0, 60))
def test_the_unitary_walk_is_its_closed_form_in_momentum_space(positions, steps):
    found = walk_distribution(positions, steps)
    np.testing.assert_allclose(found, momentum_walk(positions, steps), atol=1e-10)
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize(("positions", "steps"), [(2, 3), (7, 5), (8, 20), (16, 11)])
def test_measured_at_each_step_it_is_the_classical_walk(positions, steps):
    found = walk_distribution(positions, steps, 1.0)
    np.testing.assert_allclose(found, classical_walk(positions, steps), atol=1e-12)


@pytest.mark.parametrize("steps", [0, 1, 4, 7])
def test_the_circuit_walks(steps):
    state = Statevector(walk_circuit(3, steps))
    np.testing.assert_allclose(
        state.probabilities(range(3)), walk_distribution(8, steps), atol=1e-12
    )


def test_a_little_decoherence_is_near_the_unitary_walk_and_more_is_uniform():
    exact = walk_distribution(15, 8)
    near = [np.abs(walk_distribution(15, 8, p) - exact).sum() for p in (1e-3, 2e-3)]
    assert near[1] == pytest.approx(2 * near[0], rel=0.02)  # of first order
    spread = walk_distribution(15, 2000, 0.3)
    np.testing.assert_allclose(spread, 1 / 15, atol=1e-6)


def test_the_unitary_walk_spreads_with_the_steps_and_the_classical_one_with_their_root():
    places = (np.arange(256) + 128) % 256 - 128

    def width(steps, decoherence):
        found = walk_distribution(256, steps, decoherence)
        return np.sqrt(found @ places**2)

    assert width(80, 0.0) / width(40, 0.0) == pytest.approx(2, abs=0.05)
    found = [classical_walk(256, steps) @ places**2 for steps in (40, 80)]
    assert found[1] / found[0] == pytest.approx(2)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((1, 3), "2 to 256"),
        ((8, -1), "0 to 10000"),
        ((8, 3, 1.5), "from 0 to 1"),
        ((8, 3, np.nan), "0 to 1"),
    ],
)
def test_walks_that_cannot_be_are_refused(given, words):
    with pytest.raises(InvalidOption, match=words):
        walk_distribution(*given)
