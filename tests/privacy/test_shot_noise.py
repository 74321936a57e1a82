"""Bounds of shots against all sequences of outcomes, of depolarizing noise against measurements."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.privacy import binomial_delta, depolarized_epsilon, shots_epsilon


def enumerated_delta(p, q, shots, epsilon):
    """Of all sequences of outcomes: the two directions of the hockey-stick divergence."""
    ends = []
    for first, second in ((p, q), (q, p)):
        total = 0.0
        for outcomes in itertools.product(range(len(p)), repeat=shots):
            one, other = (math.prod(each[o] for o in outcomes) for each in (first, second))
            total += max(0.0, one - math.exp(epsilon) * other)
        ends.append(total)
    return max(ends)


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_delta_of_counts_is_that_of_all_sequences(epsilon):
    found = binomial_delta(0.7, 0.55, 6, epsilon)
    assert found == pytest.approx(enumerated_delta([0.7, 0.3], [0.55, 0.45], 6, epsilon), abs=1e-12)


def test_pure_epsilon_is_kept_and_nothing_below_it_is():
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.3, 0.3])
    epsilon = shots_epsilon(p, q, 4)
    assert enumerated_delta(p, q, 4, epsilon) == pytest.approx(0, abs=1e-12)
    assert enumerated_delta(p, q, 4, epsilon - 0.01) > 0


@pytest.mark.parametrize("shots", [1, 5, 8])
@pytest.mark.parametrize("delta", [0.2, 0.01])
def test_epsilon_with_delta_is_an_upper_bound_and_no_more_than_the_pure_one(shots, delta):
    p, q = np.array([0.6, 0.4]), np.array([0.5, 0.5])
    epsilon = shots_epsilon(p, q, shots, delta)
    assert binomial_delta(0.6, 0.5, shots, epsilon) <= delta
    assert epsilon <= shots_epsilon(p, q, shots)


def test_epsilon_with_delta_grows_as_the_root_of_the_shots_and_the_pure_one_as_the_shots():
    p, q = np.array([0.501, 0.499]), np.array([0.5, 0.5])
    shots = np.array([1000, 4000, 16000])
    pure = [shots_epsilon(p, q, int(n)) for n in shots]
    with_delta = [shots_epsilon(p, q, int(n), 1e-4) for n in shots]
    assert np.polyfit(np.log(shots), np.log(pure), 1)[0] == pytest.approx(1, abs=1e-6)
    assert np.polyfit(np.log(shots), np.log(with_delta), 1)[0] == pytest.approx(0.5, abs=0.12)


def test_an_outcome_that_only_one_has_leaves_no_pure_epsilon():
    assert shots_epsilon(np.array([0.9, 0.1]), np.array([1.0, 0.0]), 1) == math.inf


def test_depolarized_measurements_keep_epsilon():
    rng, strength, qubits = np.random.default_rng(4), 0.3, 2
    largest, bound = 0.0, 0.0
    for _ in range(200):
        states = []
        for _ in range(2):
            root = rng.normal(size=(4, 1)) + 1j * rng.normal(size=(4, 1))
            rho = root @ root.conj().T
            states.append(rho / np.trace(rho).real)
        distance = 0.5 * np.abs(np.linalg.eigvalsh(states[0] - states[1])).sum()
        noisy = [strength * np.eye(4) / 4 + (1 - strength) * each for each in states]
        # The largest ratio of any measurement: the largest eigenvalue of one by the other.
        ratio = np.linalg.eigvals(np.linalg.solve(noisy[1], noisy[0])).real.max()
        epsilon = depolarized_epsilon(strength, min(1.0, distance), qubits)
        assert math.log(ratio) <= epsilon + 1e-9
        largest, bound = max(largest, math.log(ratio)), max(bound, epsilon)
    assert largest > 0.9 * bound  # it is not far from what is reached
    assert depolarized_epsilon(strength, 0.5, 2, 7) == pytest.approx(
        7 * depolarized_epsilon(strength, 0.5, 2)
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: shots_epsilon(np.array([0.5, 0.6]), np.array([0.5, 0.5]), 1), "sums to 1"),
        (
            lambda: shots_epsilon(np.array([0.5, 0.5]), np.array([0.2, 0.3, 0.5]), 1),
            "same outcomes",
        ),
        (lambda: shots_epsilon(np.array([0.5, 0.5]), np.array([0.5, 0.5]), 0), "shots"),
        (lambda: binomial_delta(1.5, 0.5, 1, 0), "chance"),
        (lambda: depolarized_epsilon(0.0, 0.5, 1), "nothing is proved"),
        (lambda: depolarized_epsilon(0.5, 2.0, 1), "trace distance"),
    ],
)
def test_what_is_out_of_range_is_refused(call, words):
    with pytest.raises((InvalidData, InvalidOption), match=words):
        call()
