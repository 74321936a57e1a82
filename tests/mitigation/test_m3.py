"""M3 with all distances: against the whole inverse, the dense equation and mthree."""

import warnings

import numpy as np
import pytest

from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.execution.distributions import total_variation_distance
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.mitigation import m3
from qdm_qiskit.mitigation.m3 import solve_seen
from qdm_qiskit.mitigation.readout import ReadoutCalibration, combine_results, mitigate
from qdm_qiskit.mitigation.simplex import nearest_probability

TAKEN_AT = "2026-01-02T03:04:05+00:00"


def flips(to_one, to_zero):
    """``[read, prepared]`` of a qubit that reads 0 as 1, and 1 as 0, this often."""
    return np.array([[1 - to_one, to_zero], [to_one, 1 - to_zero]])


def of_device(name):
    """The readouts of a snapshot's qubits."""
    properties = load_backend(name).properties()
    return [
        flips(found["prob_meas1_prep0"][0], found["prob_meas0_prep1"][0])
        for found in (properties.qubit_property(q) for q in range(len(properties.qubits)))
    ]


def whole_matrix(matrices):
    """``(2**m, 2**m)``; bit 0 is the last factor."""
    found = np.ones((1, 1))
    for each in matrices:
        found = np.kron(each, found)
    return found


def calibration(matrices, shots=10**7):
    qubits = tuple(range(len(matrices)))
    return ReadoutCalibration(
        backend="made",
        qubits=qubits,
        method="balanced",
        shots=shots,
        taken_at=TAKEN_AT,
        matrices=dict(zip(qubits, matrices, strict=True)),
    )


def ghz(m):
    p = np.zeros(2**m)
    p[[0, -1]] = 0.5
    return p


def w_state(m):
    p = np.zeros(2**m)
    p[1 << np.arange(m)] = 1 / m
    return p


def spread(m):
    return np.random.default_rng(m).dirichlet(np.ones(2**m))


CASES = {
    "ghz-8, 20 % both ways": (ghz(8), [flips(0.2, 0.2)] * 8),
    "ghz-7 on fake_lagos": (ghz(7), of_device("fake_lagos")),
    "ghz-7 on fake_nairobi": (ghz(7), of_device("fake_nairobi")),
    "w-9, ones lost": (w_state(9), [flips(0.02, 0.1 + 0.03 * q) for q in range(9)]),
    "anything on 10": (spread(10), [flips(0.15, 0.02 * q) for q in range(10)]),
    "one qubit": (np.array([0.3, 0.7]), [flips(0.4, 0.35)]),
    "no errors": (spread(5), [flips(0, 0)] * 5),
}


@pytest.mark.parametrize("case", CASES)
def test_exact_counts_are_corrected_exactly(case):
    p, matrices = CASES[case]
    counts = np.rint(whole_matrix(matrices) @ p * 1e15).astype(np.int64)[None]
    quasi = mitigate(counts, calibration(matrices), range(len(matrices)), "made")
    assert total_variation_distance(nearest_probability(quasi), p[None])[0] < 1e-10


def sampled(m, shots, seed):
    """Frequencies of few shots of random outcomes, and readouts."""
    rng = np.random.default_rng(seed)
    counts = np.bincount(rng.integers(0, 2**m, size=shots), minlength=2**m)
    matrices = [flips(*rng.uniform(0.01, 0.25, 2)) for _ in range(m)]
    return counts, matrices


@pytest.mark.parametrize(("m", "shots"), [(3, 4), (6, 40), (9, 300), (12, 500), (14, 700)])
def test_few_outcomes_solve_m3s_equation(m, shots):
    counts, matrices = sampled(m, shots, seed=m)
    p, seen = counts / shots, np.flatnonzero(counts)
    found = solve_seen(p, matrices)
    between = np.ones((len(seen), len(seen)))
    for bit, matrix in enumerate(matrices):
        between *= matrix[np.ix_(seen >> bit & 1, seen >> bit & 1)]
    expected = np.linalg.solve(between / between.sum(axis=0), p[seen])
    np.testing.assert_allclose(found[seen], expected, atol=1e-9)
    assert not found[counts == 0].any()
    assert found.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("method", ["direct", "iterative"])
def test_it_is_mthree_with_all_distances(method):
    m, shots = 7, 400
    counts, matrices = sampled(m, shots, seed=1)
    from mthree import M3Mitigation

    reference = M3Mitigation(None)
    reference.cals_from_matrices([each.astype(np.float32) for each in matrices])
    seen = {f"{k:0{m}b}": int(counts[k]) for k in np.flatnonzero(counts)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = reference.apply_correction(
            seen, list(range(m)), distance=m, method=method, tol=1e-7, max_iter=200
        )
    expected = np.zeros(2**m)
    for key, value in found.items():
        expected[int(key, 2)] = value
    # mthree solves in single precision.
    np.testing.assert_allclose(solve_seen(counts / shots, matrices), expected, atol=1e-4)


def test_the_correction_of_0_1_is_mthrees_default():
    """Where no two outcomes differ in more than 3 bits the corrections agree, else not."""
    taken = calibration([flips(0.2, 0.3)] * 6)
    near, far = np.zeros((2, 1, 64), dtype=np.int64)
    near[0, [0b000000, 0b000111, 0b000101]] = 500, 300, 200
    far[0, [0b000000, 0b111111]] = 500, 300

    def difference(counts):
        old = mitigate(counts, taken, range(6), "made", correction="distance-3")
        return np.abs(old - mitigate(counts, taken, range(6), "made")).max()

    assert difference(near) < 1e-6
    assert difference(far) > 1e-4
    with pytest.raises(InvalidOption, match="corrections are all, distance-3; got 'distance-2'"):
        mitigate(near, taken, range(6), "made", correction="distance-2")


def test_runs_of_0_1_keep_calibrations_that_0_1_took():
    """It took every qubit that is right more often than wrong; a new plan wants to know it."""
    known = calibration([flips(0.48, 0.48)], shots=10**6).to_dict() | {"shots": 1000}
    with pytest.raises(InvalidData, match="500 shots each"):
        ReadoutCalibration.from_dict(known)
    found = ReadoutCalibration.from_dict(known, "distance-3")
    assert found.to_dict() == known
    known["matrices"] = {"0": flips(0.5, 0.5).tolist()}
    with pytest.raises(InvalidData, match="reads the same"):
        ReadoutCalibration.from_dict(known, "distance-3")


def test_both_solvers_agree(monkeypatch):
    counts, matrices = sampled(10, 600, seed=5)
    by_steps = solve_seen(counts / 600, matrices)
    monkeypatch.setattr(m3, "SHORT_CYCLES", 1)
    monkeypatch.setattr(m3, "CYCLE", 1)
    np.testing.assert_allclose(solve_seen(counts / 600, matrices), by_steps, atol=1e-9)


def test_a_correction_that_is_not_found_is_an_error(monkeypatch):
    counts, matrices = sampled(10, 600, seed=5)
    for name, value in {"CYCLE": 1, "LONG_CYCLES": 1, "DENSE_OUTCOMES": 10}.items():
        monkeypatch.setattr(m3, name, value)
    with pytest.raises(InvalidData, match="10 qubits is too close to random") as told:
        solve_seen(counts / 600, matrices)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("useless", [(0,), (2,), (0, 2)])
@pytest.mark.parametrize("matrix", [flips(0.5, 0.5), flips(0.6, 0.7), flips(0.03, 0.97)])
def test_a_useless_qubit_is_named_qubit_0_too(useless, matrix):
    matrices = [matrix if q in useless else flips(0.02, 0.05) for q in range(3)]
    with pytest.raises(InvalidData, match="reads the same") as told:
        calibration(matrices)
    text = str(told.value)
    assert [f"qubit {q}:" in text for q in range(3)] == [q in useless for q in range(3)]
    assert "\n" not in text


@pytest.mark.parametrize("seed", range(5))
def test_chance_does_not_make_a_useless_qubit_useful(seed):
    """A coin for qubit 0: its matrix is off 1/2 by chance, and would be divided by."""
    rng = np.random.default_rng(seed)
    counts = []
    for prepared in range(4):
        bits = rng.integers(0, 2, 1000) | (prepared & 2)
        counts.append(np.bincount(bits, minlength=4))
    with pytest.raises(InvalidData, match="qubit 0"):
        combine_results(counts, (0, 1), backend="made", taken_at=TAKEN_AT)


def test_a_bad_qubit_that_is_known_well_enough_is_corrected():
    matrix = flips(0.48, 0.48)
    assert calibration([matrix], shots=10**6).matrices[0] is matrix
    with pytest.raises(InvalidData, match="500 shots each"):
        calibration([matrix], shots=1000)
