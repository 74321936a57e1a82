"""Expectation values from counts: against the same from bits, and errors against their spread."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import SparsePauliOp

from qdm_qiskit.errors import InvalidData
from qdm_qiskit.mitigation.expectation import (
    Shots,
    combine_counts,
    combine_results,
    measurement_plan,
    outcome_values,
    pack_bits,
)

OBSERVABLES = [
    SparsePauliOp(["ZZI", "IZI", "XXX"], [0.5, -1.0, 0.25]),
    SparsePauliOp(["ZII", "IYY", "III"], [1.0, 2.0, 3.0]),
]
READOUT = [np.array([[0.97, 0.08], [0.03, 0.92]]), np.array([[0.99, 0.02], [0.01, 0.98]])]


@given(seed=st.integers(0, 1000), shots=st.integers(2, 40))
@settings(max_examples=20, deadline=None)
def test_counts_say_what_their_bits_say(seed, shots):
    plan = measurement_plan(OBSERVABLES)
    rng, m = np.random.default_rng(seed), len(plan.qubits)
    drawn = [rng.integers(0, 1 << m, (2, shots)) for _ in plan.bases]
    bits = [pack_bits((each[..., None] >> np.arange(m)) & 1 == 1) for each in drawn]
    counts = [np.stack([np.bincount(row, minlength=1 << m) for row in each]) for each in drawn]
    expected = combine_results(plan, [Shots(tuple(bits))])
    for found, wanted in zip(combine_counts(plan, counts), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-12)


@pytest.mark.parametrize("mended", [False, True])
def test_values_are_unbiased_and_errors_have_the_size_of_the_spread(mended):
    # Two observables of one circuit: their terms share shots, and the first one's are correlated.
    plan = measurement_plan([SparsePauliOp(["ZI", "IZ", "ZZ"]), SparsePauliOp("IZ")])
    [basis] = plan.bases
    p = np.array([0.55, 0.05, 0.1, 0.3])
    read = np.kron(READOUT[1], READOUT[0]) if mended else np.eye(4)
    rng, repetitions, shots = np.random.default_rng(5), 2000, 400
    counts = rng.multinomial(shots, read @ p, size=repetitions)
    quasi = [counts / shots @ np.linalg.inv(read).T] if mended else None
    values, errors = combine_counts(
        plan, [counts], corrected=quasi, readout=READOUT if mended else None
    )
    deviation = values.std(axis=0, ddof=1)
    exact = p @ outcome_values(basis)
    assert (np.abs(values.mean(axis=0) - exact) < 4 * deviation / np.sqrt(repetitions)).all()
    # The spread of 2000 values is known to 1.6 %.
    np.testing.assert_allclose(np.sqrt((errors**2).mean(axis=0)) / deviation, 1, atol=0.07)


def test_an_error_of_one_shot_and_counts_of_another_plan_are_refused():
    plan = measurement_plan([SparsePauliOp("ZZ")])
    with pytest.raises(InvalidData, match="needs two shots at least"):
        combine_counts(plan, [np.array([[1, 0, 0, 0]])])
    with pytest.raises(InvalidData, match=r"shape \(rows, 4\)"):
        combine_counts(plan, [np.ones((1, 8))])
