"""Epsilon of noisy gradients by integration: against closed forms, and Opacus if it is there."""

from __future__ import annotations

import importlib.util
import math

import numpy as np
import pytest

from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.privacy import gradient_epsilon
from qdm_qiskit.privacy.accounting import ORDERS, step_divergence

needs_opacus = pytest.mark.skipif(
    importlib.util.find_spec("opacus") is None, reason="Opacus is an extra; see make test-opacus"
)


@pytest.mark.parametrize("noise", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("rate", [0.01, 0.3])
@pytest.mark.parametrize("order", [2, 5, 20])
def test_whole_orders_are_the_binomial_sum(noise, rate, order):
    # Mironov et al. (2019), section 3.3.
    terms = [
        math.log(math.comb(order, k))
        + (order - k) * math.log1p(-rate)
        + k * math.log(rate)
        + (k * k - k) / (2 * noise**2)
        for k in range(order + 1)
    ]
    wanted = np.logaddexp.reduce(terms) / (order - 1)
    assert step_divergence(noise, rate, order) == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_a_batch_of_all_rows_is_the_limit_of_large_rates():
    for order in (1.5, 8.0):
        near = step_divergence(1.3, 1 - 1e-9, order)
        assert near == pytest.approx(step_divergence(1.3, 1.0, order), rel=1e-6)


def test_epsilon_grows_with_steps_and_rate_and_falls_with_noise():
    base = gradient_epsilon(1.0, 0.1, 50, 1e-3)
    assert gradient_epsilon(1.0, 0.1, 100, 1e-3) > base
    assert gradient_epsilon(1.0, 0.2, 50, 1e-3) > base
    assert gradient_epsilon(2.0, 0.1, 50, 1e-3) < base
    assert gradient_epsilon(1.0, 0.1, 50, 1e-5) > base


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0.0, 0.1, 1, 0.1), "noise lies"),
        ((1.0, 0.0, 1, 0.1), "rate"),
        ((1.0, 1.1, 1, 0.1), "rate"),
        ((1.0, 0.1, 0, 0.1), "steps"),
        ((1.0, 0.1, 1, 1.0), "delta"),
    ],
)
def test_what_is_out_of_range_is_refused(arguments, words):
    with pytest.raises(InvalidOption, match=words):
        gradient_epsilon(*arguments)


@needs_opacus
@pytest.mark.parametrize("noise", [0.6, 1.1, 3.0])
@pytest.mark.parametrize(("rate", "steps"), [(0.05, 1), (0.05, 400), (1.0, 20)])
@pytest.mark.filterwarnings("ignore:Optimal order is the")
def test_epsilon_is_that_of_opacus(noise, rate, steps):
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    assert tuple(accountant.DEFAULT_ALPHAS) == ORDERS
    accountant.history = [(noise, rate, steps)]
    wanted = max(0.0, accountant.get_epsilon(delta=1e-5))
    assert gradient_epsilon(noise, rate, steps, 1e-5) == pytest.approx(wanted, rel=1e-6, abs=1e-9)


@needs_opacus
def test_numerical_composition_spends_no_more():
    from opacus.accountants import PRVAccountant

    accountant = PRVAccountant()
    accountant.history = [(1.1, 0.05, 100)]
    tight = accountant.get_epsilon(delta=1e-5, eps_error=0.05, delta_error=1e-8)
    ours = gradient_epsilon(1.1, 0.05, 100, 1e-5)
    assert 0.5 * ours < tight - 0.05 < ours
