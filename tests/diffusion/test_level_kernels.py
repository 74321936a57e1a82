"""Kernels of levels: a walk's against its closed forms, a register's against its bits."""

import numpy as np
import pytest

from qdm_qiskit.diffusion.level_kernels import (
    LEFT_AT_LAST,
    flip_kernel,
    ring_signal,
    steps_of_walk,
    walk_kernel,
)
from qdm_qiskit.diffusion.ring_walks import classical_walk, momentum_walk
from qdm_qiskit.errors import InvalidOption


@pytest.mark.parametrize(("closed", "decoherence"), [(momentum_walk, 0.0), (classical_walk, 1.0)])
def test_a_row_is_the_walks_closed_form_shifted(closed, decoherence):
    kernel = walk_kernel(9, 4, decoherence)
    chances = (closed(9, 4) + closed(9, 5)) / 2
    for level in range(9):
        np.testing.assert_allclose(kernel[level], np.roll(chances, level), atol=1e-12)
    np.testing.assert_array_equal(kernel, kernel.T)


@pytest.mark.parametrize("decoherence", [0.0, 0.3, 1.0])
def test_several_steps_are_powers_of_the_signal_in_momentum_space(decoherence):
    kernel = walk_kernel(17, 3, decoherence)
    stepped = np.linalg.matrix_power(kernel, 6)
    closed = np.fft.ifft(ring_signal(kernel) ** 6).real
    np.testing.assert_allclose(stepped[0], closed, atol=1e-12)


def test_the_classical_walks_signal_is_a_power_of_the_cosine():
    momenta = 2 * np.pi * np.arange(11) / 11
    expected = np.cos(momenta) ** 4 * (1 + np.cos(momenta)) / 2
    np.testing.assert_allclose(ring_signal(walk_kernel(11, 4, 1.0)), expected, atol=1e-12)


def test_a_quantum_walk_spreads_with_the_steps_and_a_classical_one_with_their_root():
    places = np.arange(65)
    off = np.minimum(places, 65 - places)
    steps = np.array([4, 8, 16])
    slopes = []
    for decoherence in (0.0, 1.0):
        widths = [np.sqrt((walk_kernel(65, n, decoherence)[0] * off**2).sum()) for n in steps]
        slopes.append(np.polyfit(np.log(steps + 0.5), np.log(widths), 1)[0])
    assert slopes[0] == pytest.approx(1.0, abs=0.06)
    assert slopes[1] == pytest.approx(0.5, abs=0.02)


def test_the_chosen_steps_are_the_fewest_that_mix():
    for decoherence in (0.0, 1.0):
        steps = steps_of_walk(17, 10, decoherence)
        left = [
            np.abs(ring_signal(walk_kernel(17, n, decoherence))[1:]).max() ** 10
            for n in range(1, steps + 1)
        ]
        assert left[-1] <= LEFT_AT_LAST
        assert all(each > LEFT_AT_LAST for each in left[:-1])


def test_flips_of_a_register_are_those_of_each_bit_by_itself():
    flips = (0.1, 0.2, 0.05, 0.3, 0.0, 0.4)
    kernel = flip_kernel(flips)
    for true in range(8):
        for read in range(8):
            chance = 1.0
            for bit in range(3):
                up, down = flips[2 * bit : 2 * bit + 2]
                was, now = true >> bit & 1, read >> bit & 1
                wrong = down if was else up
                chance *= wrong if was != now else 1 - wrong
            assert kernel[true, read] == pytest.approx(chance, abs=1e-15)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: walk_kernel(16, 3, 0.1), "odd number from 3 to 65, got 16"),
        (lambda: walk_kernel(17, 0, 0.1), "walk_steps must be at least 1, got 0"),
        (lambda: walk_kernel(17, 3, 1.5), "decoherence is a chance"),
        (lambda: steps_of_walk(65, 1, 1.0), "do not mix 65 levels"),
        (lambda: flip_kernel((0.1, 0.2, 0.3)), "got 3 numbers"),
        (lambda: flip_kernel((0.0, 0.0)), "forgets nothing"),
        (lambda: flip_kernel((0.1, 1.2)), "chances from 0 to 1"),
        (lambda: flip_kernel((0.1, float("nan"))), "chances from 0 to 1"),
    ],
)
def test_what_is_no_kernel_is_refused_in_one_line(make, words):
    with pytest.raises(InvalidOption, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)
