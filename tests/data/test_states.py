"""Ensembles of states."""

from __future__ import annotations

import numpy as np
import pytest

from qdm_qiskit.data import STATE_ENSEMBLES, images_to_states, load_states, states_to_images
from qdm_qiskit.data.states import circular_states, clustered_states
from qdm_qiskit.errors import InvalidData, InvalidOption, UnknownName


@pytest.mark.parametrize("name", STATE_ENSEMBLES)
@pytest.mark.parametrize("num_qubits", [1, 3])
def test_ensembles_are_unit_states_and_repeatable(name, num_qubits):
    split = load_states(name, num_qubits=num_qubits, train_count=20, test_count=10, seed=4)
    assert split.train.images.shape == (20, 1, 2, 2**num_qubits)
    assert split.test.images.shape == (10, 1, 2, 2**num_qubits)
    states = images_to_states(split.train.images)
    assert np.allclose(np.linalg.norm(states, axis=1), 1)
    again = load_states(name, num_qubits=num_qubits, train_count=20, test_count=10, seed=4)
    assert np.array_equal(split.train.images, again.train.images)
    assert not np.array_equal(split.train.images[:10], split.test.images)


def test_clustered_states_have_their_width():
    """<1|psi> is 0.08 c up to the norm, and E|c|^2 = 2."""
    states = clustered_states(20_000, 2, np.random.default_rng(0))
    share = np.abs(states[:, 1] / states[:, 0]) ** 2
    assert share.mean() == pytest.approx(2 * 0.08**2, rel=0.03)
    assert np.all(states[:, 2:] == 0)


def test_circular_states_are_mixed_on_average_and_real():
    states = circular_states(20_000, 1, np.random.default_rng(0))
    assert np.all(states.imag == 0)
    mean = states.T @ states.conj() / len(states)
    assert np.allclose(mean, np.eye(2) / 2, atol=0.02)


def test_arrays_and_states_are_each_others_inverse():
    rng = np.random.default_rng(0)
    states = rng.normal(size=(5, 4)) + 1j * rng.normal(size=(5, 4))
    states /= np.linalg.norm(states, axis=1, keepdims=True)
    assert np.allclose(images_to_states(states_to_images(states)), states, atol=1e-6)


def test_bad_options_are_refused():
    with pytest.raises(UnknownName, match="clustered-states"):
        load_states("clusterd-states", num_qubits=1)
    with pytest.raises(InvalidOption, match="num_qubits"):
        load_states("clustered-states", num_qubits=9)
    with pytest.raises(InvalidOption, match="states"):
        load_states("clustered-states", num_qubits=1, train_count=0)
    with pytest.raises(InvalidData, match="count, 1, 2, d"):
        images_to_states(np.zeros((2, 1, 4, 4)))
    with pytest.raises(InvalidData, match="norm zero"):
        images_to_states(np.full((2, 1, 2, 4), 0.5))
