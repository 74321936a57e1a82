import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qdm_qiskit.errors import InvalidData
from qdm_qiskit.mitigation.simplex import nearest_probability

rows = arrays(
    np.float64,
    st.tuples(st.integers(1, 4), st.integers(1, 9)),
    elements=st.floats(-3, 3, allow_subnormal=False),
)


def by_bisection(row):
    """Slow and obvious: find the threshold at which what is above it sums to 1."""
    low, high = row.min() - 1, row.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(row - middle, 0).sum() > 1 else (low, middle)
    return np.maximum(row - low, 0)


@given(rows)
def test_projection_is_the_reference(quasi):
    found = nearest_probability(quasi)
    np.testing.assert_allclose(found, [by_bisection(row) for row in quasi], atol=1e-12)


@given(rows)
def test_result_is_a_probability_and_projecting_again_changes_nothing(quasi):
    p = nearest_probability(quasi)
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=-1), 1, atol=1e-12)
    np.testing.assert_allclose(nearest_probability(p), p, atol=1e-12)


@given(rows, st.integers(0, 2**32 - 1))
def test_no_other_probability_is_nearer(quasi, seed):
    p = nearest_probability(quasi)
    other = np.random.default_rng(seed).dirichlet(np.ones(quasi.shape[1]), size=len(quasi))
    nearest, found = (((quasi - q) ** 2).sum(axis=-1) for q in (p, other))
    assert (nearest <= found + 1e-12).all()


@given(rows)
def test_order_is_kept(quasi):
    p = nearest_probability(quasi)
    assert (np.take_along_axis(p, quasi.argsort(axis=-1), -1) >= 0).all()
    assert (np.diff(np.take_along_axis(p, quasi.argsort(axis=-1), -1), axis=-1) >= 0).all()


def test_probability_stays_what_it_is():
    p = np.random.default_rng(1).dirichlet(np.ones(128), size=3)
    np.testing.assert_allclose(nearest_probability(p), p, atol=1e-14)


def test_large_numbers_do_not_lose_the_sum():
    assert nearest_probability(np.array([1e12, 1e12 + 0.5])).tolist() == [0.25, 0.75]


@pytest.mark.parametrize("bad", [np.float64(1.0), np.zeros((2, 0)), np.array([0.5, np.nan])])
def test_bad_numbers_are_refused(bad):
    with pytest.raises(InvalidData, match="finite"):
        nearest_probability(bad)
