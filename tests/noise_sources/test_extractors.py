"""Extracted bits are uniform, whatever the bias; estimates see what is not."""

import numpy as np
import pytest

from qdm_qiskit.errors import InvalidData
from qdm_qiskit.noise_sources.estimates import most_common_value, uniformity
from qdm_qiskit.noise_sources.extractors import extractable, toeplitz_hash, von_neumann


def test_von_neumann_takes_a_bias_away_at_its_rate():
    rng, p, count = np.random.default_rng(0), 0.8, 400_000
    raw = (rng.random(count) < p).astype(np.uint8)
    fair = von_neumann(raw)
    rate = p * (1 - p)
    assert len(fair) / count == pytest.approx(rate, abs=5 * np.sqrt(rate / count))
    assert fair.mean() == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(len(fair)))
    assert uniformity(raw, 4) < 1e-6
    assert uniformity(fair, 4) > 1e-4


def test_toeplitz_is_the_matrix_of_its_diagonals():
    bits = np.array([1, 0, 1, 1, 0], dtype=np.uint8)
    found = toeplitz_hash(bits, 3, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    column, row = rng.integers(0, 2, 3), rng.integers(0, 2, 5)
    for i in range(3):
        entries = [column[i - j] if i >= j else row[j - i] for j in range(5)]
        assert found[i] == np.dot(entries, bits) % 2


def test_hashing_makes_biased_bits_uniform():
    rng = np.random.default_rng(1)
    entropy = -np.log2(0.8)
    parts = []
    for _ in range(60):
        raw = (rng.random(4000) < 0.8).astype(np.uint8)
        parts.append(toeplitz_hash(raw, extractable(4000 * entropy), rng))
    bits = np.concatenate(parts)
    assert len(bits) == 60 * int(4000 * entropy - 64)
    assert uniformity(bits, 8) > 1e-4
    assert most_common_value(bits) > 0.97


def test_nothing_is_taken_of_too_little():
    assert extractable(64.0) == 0
    assert extractable(10.0) == 0
    assert extractable(65.5) == 1
    with pytest.raises(InvalidData, match="at most as many"):
        toeplitz_hash(np.zeros(3, dtype=np.uint8), 4, np.random.default_rng(0))


def test_min_entropy_of_a_known_bias():
    rng = np.random.default_rng(2)
    for p in (0.5, 0.7, 0.95):
        raw = rng.random(200_000) < p
        found, exact = most_common_value(raw), -np.log2(p)
        spread = np.sqrt(p * (1 - p) / 200_000) / (p * np.log(2))
        assert exact - (5 + 2.6) * spread < found < exact + (5 - 2.6) * spread
    assert most_common_value(np.zeros(100)) == 0


def test_p_values_of_uniform_bits_are_uniform():
    rng = np.random.default_rng(3)
    found = np.array([uniformity(rng.integers(0, 2, 4000), 4) for _ in range(300)])
    assert abs((found < 0.1).mean() - 0.1) < 5 * np.sqrt(0.09 / 300)
    with pytest.raises(InvalidData, match="5 for each value"):
        uniformity(np.zeros(100, dtype=np.uint8), 8)
    with pytest.raises(InvalidData, match="at least 2 symbols"):
        most_common_value(np.zeros(1))
