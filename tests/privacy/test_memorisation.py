"""Nearest rows: copies are found, samples of the distribution are not, and chance is exact."""

from __future__ import annotations

import numpy as np
import pytest

from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.privacy import measure_memorisation


def rows(rng, count):
    return rng.random((count, 1, 2, 2)).astype(np.float32)


def test_noisy_copies_are_found():
    rng = np.random.default_rng(0)
    train, held = rows(rng, 40), rows(rng, 40)
    noise = rng.normal(0, 0.01, train.shape)
    found = measure_memorisation(np.clip(train + noise, 0, 1), train, held)
    assert found.found
    assert found.p_value < 0.01
    assert found.near.low > 0.5
    assert found.copies == 0


def test_fresh_samples_are_not_found_more_often_than_chance_has_it():
    rng, values = np.random.default_rng(1), []
    for seed in range(60):
        found = measure_memorisation(
            rows(rng, 30), rows(rng, 30), rows(rng, 30), exchanges=99, seed=seed
        )
        values.append(found.p_value)
    below = np.mean(np.array(values) <= 0.2)
    assert below < 0.2 + 4 * np.sqrt(0.2 * 0.8 / 60)


def test_rows_that_are_equal_on_both_sides_favour_none():
    """Of ties the first is the nearest; were training rows first, all samples would be theirs."""
    same = np.repeat(rows(np.random.default_rng(2), 20), 1, axis=0)
    shares = [
        measure_memorisation(same, same, same.copy(), exchanges=20, seed=seed).share
        for seed in range(40)
    ]
    assert abs(np.mean(shares) - 0.5) < 4 * 0.5 / np.sqrt(20 * 40)


def test_exchanges_stay_within_classes():
    rng = np.random.default_rng(3)
    # Class 0 is mostly training, class 1 mostly held out; samples are of class 0.
    dark, bright = rows(rng, 40) * 0.2, rows(rng, 40) * 0.2 + 0.8
    train = np.concatenate([dark[:35], bright[:5]])
    held = np.concatenate([dark[35:], bright[5:]])
    labels = np.repeat([0, 1], [35, 5]), np.repeat([0, 1], [5, 35])
    samples = rows(rng, 50) * 0.2
    apart = measure_memorisation(samples, train, held, *labels)
    assert apart.expected == pytest.approx(35 / 40)
    assert not apart.found
    assert measure_memorisation(samples, train, held).expected == pytest.approx(0.5)


def test_bad_sets_are_refused():
    rng = np.random.default_rng(4)
    many, few = rows(rng, 20), rows(rng, 5)
    for sets, words in (
        ((few, many, many), "samples, got 5"),
        ((many, few, many), "training rows, got 5"),
        ((many, many, few), "test rows, got 5"),
    ):
        with pytest.raises(InvalidData, match=words):
            measure_memorisation(*sets)
    with pytest.raises(InvalidOption, match="or of neither"):
        measure_memorisation(many, many, many, np.zeros(20))
    with pytest.raises(InvalidOption, match="at least 20"):
        measure_memorisation(many, many, many, exchanges=2)
