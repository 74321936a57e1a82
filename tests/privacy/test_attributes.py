"""Guesses of a column by a loss: of a table that was learned by heart, and of one that was not."""

from __future__ import annotations

import numpy as np
import pytest

from qdm_qiskit.data import table_rows
from qdm_qiskit.errors import InvalidData, InvalidOption, UnknownName
from qdm_qiskit.privacy import infer_attribute
from qdm_qiskit.privacy.attributes import candidates_of

RNG = np.random.default_rng(0)
TABLE = table_rows(
    {
        "size": RNG.random(120),
        "colour": np.array(["red", "green", "blue"])[RNG.integers(0, 3, 120)].tolist(),
    }
)
FORM, VALUES = TABLE.format, TABLE.values
MEMBER = np.arange(120) < 60


def by_heart(values):
    """Loss 0 for a row that was learned, 1 for another."""
    known = {tuple(row) for row in VALUES[MEMBER]}
    return np.array([float(tuple(row) not in known) for row in values])


def test_a_secret_that_was_learned_by_heart_is_found():
    found = infer_attribute(FORM, VALUES, MEMBER, "colour", by_heart)
    assert found.members.estimate == 1
    assert found.others.estimate < 0.6  # the first candidate, wherever all losses are equal
    assert found.found
    assert found.advantage.low < found.advantage.estimate < found.advantage.high
    assert found.advantage.estimate == found.members.estimate - found.others.estimate


def test_what_other_columns_tell_is_no_advantage():
    truth = VALUES[:, 1].copy()
    found = infer_attribute(
        FORM, VALUES, MEMBER, "colour", lambda values: np.abs(values[:, 1] - truth)
    )
    assert (found.members.estimate, found.others.estimate) == (1, 1)
    assert not found.found
    assert found.commonest == pytest.approx(np.bincount(truth.astype(int)).max() / 120)


def test_numbers_have_candidates_at_medians_of_equal_bins():
    found = candidates_of(FORM, VALUES, "size", 4)
    assert np.allclose(found, np.quantile(VALUES[:, 0], [0.125, 0.375, 0.625, 0.875]))
    assert candidates_of(FORM, VALUES, "colour").tolist() == [0, 1, 2]


def test_bad_secrets_are_refused_in_one_line():
    constant = VALUES.copy()
    constant[:, 0] = 0.5
    with pytest.raises(InvalidData, match="Column 'size' has one value"):
        infer_attribute(FORM, constant, MEMBER, "size", by_heart)
    with pytest.raises(UnknownName, match="There is no column 'weight'"):
        infer_attribute(FORM, VALUES, MEMBER, "weight", by_heart)
    with pytest.raises(InvalidOption, match="bins must be at least 2"):
        infer_attribute(FORM, VALUES, MEMBER, "size", by_heart, bins=1)
    with pytest.raises(InvalidData, match="at least 10 members, got 3"):
        infer_attribute(FORM, VALUES, np.arange(120) < 3, "colour", by_heart)
