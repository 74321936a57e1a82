import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.quantum_info import hellinger_fidelity as qiskit_hellinger_fidelity

from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.execution.distributions import (
    FALSE_ALARM,
    detectable_fraction,
    hellinger_fidelity,
    normalized,
    shot_noise_distance,
    signal_left,
    total_variation_distance,
)


def dirichlet(seed, outcomes, rows=3):
    return np.random.default_rng(seed).dirichlet(np.ones(outcomes), size=rows)


seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(2, 16))
def test_total_variation_is_the_largest_difference_of_any_event(seed, outcomes):
    p, q, r = dirichlet(seed, outcomes)
    best_event = (p - q)[p > q].sum()
    assert total_variation_distance(p, q) == pytest.approx(best_event)
    assert total_variation_distance(p, q) == pytest.approx(total_variation_distance(q, p))
    assert total_variation_distance(p, r) <= (
        total_variation_distance(p, q) + total_variation_distance(q, r) + 1e-12
    )


@given(seeds, st.integers(2, 16))
def test_hellinger_fidelity_is_qiskits(seed, outcomes):
    p, q, _ = dirichlet(seed, outcomes)
    reference = qiskit_hellinger_fidelity(dict(enumerate(p)), dict(enumerate(q)))
    assert hellinger_fidelity(p, q) == pytest.approx(reference)


def test_batches_go_row_by_row():
    p, q = dirichlet(1, 8), dirichlet(2, 8)
    for distance in (total_variation_distance, hellinger_fidelity):
        assert distance(p, q).shape == (3,)
        np.testing.assert_allclose(
            distance(p, q), [distance(a, b) for a, b in zip(p, q, strict=True)]
        )
        np.testing.assert_allclose(distance(p, q[0]), [distance(a, q[0]) for a in p])


@pytest.mark.parametrize("shots", [1, 2, 7, 100])
@pytest.mark.parametrize("p", [0.03, 0.5, 0.9])
def test_shot_noise_of_two_outcomes_is_the_binomial_sum(p, shots):
    from scipy.stats import binom

    k = np.arange(shots + 1)
    reference = (binom.pmf(k, shots, p) * np.abs(k / shots - p)).sum()
    assert shot_noise_distance(np.array([p, 1 - p]), shots) == pytest.approx(reference)


def test_certain_outcome_has_no_shot_noise():
    assert shot_noise_distance(np.array([0.0, 1.0]), 10) == 0


def test_shot_noise_falls_as_one_over_sqrt_shots():
    p = np.full(16, 1 / 16)
    shots = 4 ** np.arange(4, 9)
    distance = [float(shot_noise_distance(p, int(n))) for n in shots]
    assert np.polyfit(np.log(shots), np.log(distance), 1)[0] == pytest.approx(-0.5, abs=0.005)


def test_mean_shot_noise_is_what_samples_show():
    uniform = np.full(32, 1 / 32)
    samples = np.random.default_rng(6).multinomial(256, uniform, size=4000) / 256
    distance = total_variation_distance(samples, uniform)
    five_sigma = 5 * distance.std() / np.sqrt(4000)
    assert distance.mean() == pytest.approx(shot_noise_distance(uniform, 256), abs=five_sigma)


@pytest.mark.parametrize("shots", [10, 64, 4096])
@pytest.mark.parametrize("spread", [0.02, 1.0])
def test_erased_signal_is_hardly_ever_called_alive(shots, spread):
    """Also for a signal of few outcomes in few shots, where no normal law holds."""
    rng = np.random.default_rng(6)
    exact = rng.dirichlet(np.full(256, spread))
    erased = rng.dirichlet(np.full(256, 10.0))
    samples = rng.multinomial(shots, erased, size=4000) / shots
    left = signal_left(exact, samples, erased, shots=shots)
    # 4000 draws at 1e-3 or less: more than 15 has a chance below 1e-5.
    assert left.erased.size - left.erased.sum() <= 15
    assert FALSE_ALARM == 1e-3


def test_fraction_has_no_bias_from_shots():
    rng = np.random.default_rng(2)
    exact, erased = rng.dirichlet(np.ones(64), size=2)
    samples = rng.multinomial(200, 0.3 * exact + 0.7 * erased, size=4000) / 200
    fraction = signal_left(exact, samples, erased, shots=200).fraction
    assert fraction.mean() == pytest.approx(0.3, abs=5 * fraction.std() / np.sqrt(4000))


def test_detectable_fraction_falls_as_one_over_sqrt_shots():
    exact, uniform = dirichlet(1, 64)[0], np.full(64, 1 / 64)
    shots = 4 ** np.arange(6, 11)
    found = [float(detectable_fraction(exact, uniform, int(n))) for n in shots]
    assert np.polyfit(np.log(shots), np.log(found), 1)[0] == pytest.approx(-0.5, abs=0.02)


def test_fraction_is_the_linear_cross_entropy_for_uniform_noise():
    exact, noisy, _ = dirichlet(9, 32)
    xeb = (32 * (noisy * exact).sum() - 1) / (32 * (exact**2).sum() - 1)
    assert signal_left(exact, noisy, shots=10).fraction == pytest.approx(xeb)


@pytest.mark.parametrize("keep", [1.0, 0.6, 0.25])
def test_depolarized_signal_keeps_its_fraction(keep):
    exact = dirichlet(3, 16)
    noisy = keep * exact + (1 - keep) / 16
    left = signal_left(exact, noisy, shots=100_000)
    np.testing.assert_allclose(left.fraction, keep)
    assert not left.erased.any()
    assert f"about {keep:.0%} of the signal is left" in left.sentence()
    assert ("survives" in left.sentence()) == (keep > 0.5)


def test_more_shots_see_a_fainter_signal():
    exact = np.eye(8)[0]
    noisy = 0.03 * exact + 0.97 / 8
    assert signal_left(exact, noisy, shots=100).erased
    assert not signal_left(exact, noisy, shots=100_000).erased


def test_erased_signal_is_said_in_words():
    exact = dirichlet(4, 16)
    noisy = np.random.default_rng(1).multinomial(1000, np.full(16, 1 / 16), size=3) / 1000
    left = signal_left(exact, noisy, shots=1000)
    assert left.erased.all()
    assert left.sentence().startswith("The device's noise has erased the signal")
    noisy[0] = exact[0]
    mixed = signal_left(exact, noisy, shots=1000)
    assert mixed.erased.tolist() == [False, True, True]
    assert "in 2 of 3 rows" in mixed.sentence()


def test_no_signal_to_begin_with_is_none_left():
    uniform = np.full((1, 4), 0.25)
    left = signal_left(uniform, uniform, shots=100)
    assert left.fraction.tolist() == [0.0]
    assert left.erased.all()


def test_erased_distribution_may_be_given():
    """Relaxation to 0 looks like half a signal in 0 unless it is said to be noise."""
    exact, relaxed = np.array([1.0, 0, 0, 0]), np.array([0.625, 0.125, 0.125, 0.125])
    assert signal_left(exact, relaxed, shots=1000).fraction == pytest.approx(0.5)
    assert signal_left(exact, relaxed, relaxed, shots=1000).erased


def test_counts_are_normalized():
    assert normalized(np.array([[1, 3], [2, 2]])).tolist() == [[0.25, 0.75], [0.5, 0.5]]


@pytest.mark.parametrize("bad", [np.zeros((1, 2)), np.array([-1, 2]), np.array([np.inf, 1])])
def test_counts_without_sense_are_refused(bad):
    with pytest.raises(InvalidData, match="Counts"):
        normalized(bad)


def test_bad_input_is_refused():
    with pytest.raises(InvalidData, match="same number of outcomes"):
        total_variation_distance(np.ones(2) / 2, np.ones(4) / 4)
    with pytest.raises(InvalidData, match="project quasi"):
        hellinger_fidelity(np.array([1.1, -0.1]), np.array([0.5, 0.5]))
    with pytest.raises(InvalidOption, match="shots must be at least 1, got 0"):
        signal_left(np.ones(2) / 2, np.ones(2) / 2, shots=0)
