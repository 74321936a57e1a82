"""Expectation values from counts: against the same from bits, and errors against their spread."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import SparsePauliOp

from qdm_qiskit.errors import InvalidData
from qdm_qiskit.mitigation.bit_readout import BitReadout
from qdm_qiskit.mitigation.expectation import (
    Shots,
    combine_counts,
    combine_results,
    errors_of_sums,
    measurement_plan,
    outcome_values,
    pack_bits,
)
from qdm_qiskit.mitigation.readout import (
    ReadoutCalibration,
    merged_calibration,
    mitigate,
    prepared_bits,
)
from qdm_qiskit.mitigation.readout import combine_results as calibration_of

OBSERVABLES = [
    SparsePauliOp(["ZZI", "IZI", "XXX"], [0.5, -1.0, 0.25]),
    SparsePauliOp(["ZII", "IYY", "III"], [1.0, 2.0, 3.0]),
]
READOUT = (np.array([[0.97, 0.08], [0.03, 0.92]]), np.array([[0.99, 0.02], [0.01, 0.98]]))


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
        plan, [counts], corrected=quasi, readout=BitReadout(READOUT) if mended else None
    )
    deviation = values.std(axis=0, ddof=1)
    exact = p @ outcome_values(basis)
    assert (np.abs(values.mean(axis=0) - exact) < 4 * deviation / np.sqrt(repetitions)).all()
    # The spread of 2000 values is known to 1.6 %.
    np.testing.assert_allclose(np.sqrt((errors**2).mean(axis=0)) / deviation, 1, atol=0.07)


def _calibrated(rng, shots, *, qubits=(7, 3), merged=False):
    """A calibration of two qubits that read as READOUT does, from drawn counts."""
    given = []
    for bits in prepared_bits(len(qubits)):
        p = np.ones(1)
        for matrix, bit in zip(READOUT, bits, strict=False):
            p = np.kron(matrix[:, bit], p)
        given.append(rng.multinomial(shots, p))
    found = calibration_of(given, qubits, backend="made", taken_at="2026-01-01")
    if merged:
        other = calibration_of(
            [(10**6, 0), (0, 10**6)], (9,), backend="made", taken_at="2026-01-01"
        )
        found = merged_calibration([found, other])
        found = ReadoutCalibration.from_dict(json.loads(json.dumps(found.to_dict())))
        assert found.prepared_shots(7) == 2 * shots  # four circuits, half of them prepare 0
    return found


@pytest.mark.parametrize(
    ("calibration_shots", "shots", "merged"),
    [(64, 2_000, False), pytest.param(512, 100_000, True, marks=pytest.mark.slow)],
)
def test_errors_of_corrected_values_hold_the_noise_of_the_calibration(
    calibration_shots, shots, merged
):
    # Terms of two bases and of both qubits: one calibration moves all of them together.
    plan = measurement_plan([SparsePauliOp(["ZI", "IZ", "XX"]), SparsePauliOp("ZZ")])
    outcomes = {"Z": [0.75, 0.05, 0.1, 0.1], "X": [0.6, 0.1, 0.1, 0.2]}
    true = [np.array(outcomes[basis.letters[0]]) for basis in plan.bases]
    assert len(true) == 2
    rng, read = np.random.default_rng(11), np.kron(READOUT[1], READOUT[0])
    values, errors, sums = [], [], []
    each = outcome_values(plan.bases[0])
    for _ in range(400):
        calibration = _calibrated(rng, calibration_shots, merged=merged)
        readout = calibration.of_bits((7, 3))
        counts = [rng.multinomial(shots, read @ p)[None] for p in true]
        quasi = [mitigate(c, calibration, (7, 3), "made") for c in counts]
        found = combine_counts(plan, counts, corrected=quasi, readout=readout)
        values.append(found[0][0])
        errors.append(found[1][0])
        sums.append((quasi[0][0] @ each, errors_of_sums(each, counts[0], readout)[0]))
    # 400 values know their spread to 3.5 %; without the calibration's part .3 to .75 is reported.
    ratio = np.sqrt(np.mean(np.square(errors), axis=0)) / np.std(values, axis=0, ddof=1)
    np.testing.assert_allclose(ratio, 1, atol=0.1)
    ours, theirs = np.array(sums).swapaxes(0, 1)
    used = ours.std(axis=0) > 1e-9  # a basis has no term of some observables
    ratio = np.sqrt((theirs**2).mean(axis=0))[used] / ours.std(axis=0, ddof=1)[used]
    np.testing.assert_allclose(ratio, 1, atol=0.1)


def test_bits_of_one_qubit_share_the_error_of_its_calibration():
    # The same qubit read twice, as after a reset: both bits of ZI + IZ err to the same side.
    rng, matrix = np.random.default_rng(3), READOUT[0]
    plan = measurement_plan([SparsePauliOp(["ZI", "IZ"])])
    p, shots, prepared = np.array([1.0, 0, 0, 0]), 200_000, 300
    values, errors = [], []
    for _ in range(600):
        ones = rng.binomial(prepared, matrix[1]) / prepared
        seen = np.array([1 - ones, ones])
        readout = BitReadout((seen, seen), qubits=(5, 5), shots=(prepared, prepared))
        counts = rng.multinomial(shots, np.kron(matrix, matrix) @ p)[None]
        quasi = readout.corrected(counts / shots)
        [[value]], [[error]] = combine_counts(plan, [counts], corrected=[quasi], readout=readout)
        values.append(value)
        errors.append(error)
    ratio = np.sqrt(np.mean(np.square(errors))) / np.std(values, ddof=1)
    np.testing.assert_allclose(ratio, 1, atol=0.1)  # .71 for two qubits


def test_an_error_of_one_shot_and_counts_of_another_plan_are_refused():
    plan = measurement_plan([SparsePauliOp("ZZ")])
    with pytest.raises(InvalidData, match="needs two shots at least"):
        combine_counts(plan, [np.array([[1, 0, 0, 0]])])
    with pytest.raises(InvalidData, match=r"shape \(rows, 4\)"):
        combine_counts(plan, [np.ones((1, 8))])
