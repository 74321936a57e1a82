"""The process in continuous time: its scales, its loss, its discretisation."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from qdm_qiskit.diffusion import DiffusionConfig, VariancePreserving, make_process
from qdm_qiskit.errors import InvalidOption
from tests.helpers import generator


# The integral is scipy's, which warns of intervals of 1e-305.
@given(st.floats(1e-6, 1), st.floats(0.01, 1), st.floats(1, 20))
def test_alpha_bar_is_the_integral_of_beta(t, low, high):
    process = VariancePreserving(beta_min=low, beta_max=high)
    integral, _ = quad(lambda s: low + s * (high - low), 0, t)
    ours = float(process.log_alpha_bar(torch.tensor(t, dtype=torch.float64)))
    assert abs(ours + integral) < 1e-9


def test_betas_multiply_to_alpha_bar():
    process = VariancePreserving(100)
    t = torch.arange(1, 101, dtype=torch.float64) / 100
    product = torch.cumprod(1 - process.noise_betas, 0)
    assert torch.allclose(product.log(), process.log_alpha_bar(t))


def test_pairs_hold_their_own_noise():
    process = VariancePreserving(100)
    x_0 = torch.rand(500, 1, 2, 2, generator=generator(1)) * 2 - 1
    pairs = process.training_pairs(x_0, generator(2))
    t = (pairs.step / 100).reshape(-1, 1, 1, 1)
    assert 0 < float(t.min()) < 0.02
    assert 0.98 < float(t.max()) <= 1
    alpha_bar = process.log_alpha_bar(t).exp()
    expected = alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * pairs.target
    assert torch.allclose(pairs.noisy, expected, atol=1e-5)
    assert not torch.equal(pairs.step, pairs.step.round())


def test_score_and_noise_have_the_same_loss():
    """The score of a Gaussian at x_0 = 0 is -x / sigma^2, and its noise is x / sigma."""
    noise, score = (VariancePreserving(50, predicts=each) for each in ("noise", "score"))
    pairs = noise.training_pairs(torch.zeros(64, 1, 2, 2), generator())
    sigma = (1 - noise.log_alpha_bar(pairs.step / 50).exp()).sqrt().reshape(-1, 1, 1, 1)
    of_noise = noise.losses(0.5 * pairs.noisy / sigma, pairs)
    of_score = score.losses(-0.5 * pairs.noisy / sigma**2, pairs)
    assert torch.allclose(of_noise, of_score, rtol=1e-4)
    assert torch.allclose(noise.losses(pairs.noisy / sigma, pairs), torch.zeros(64), atol=1e-5)
    assert torch.equal(noise.identity_losses(pairs), score.identity_losses(pairs))


@pytest.mark.parametrize("predicts", ["noise", "score"])
def test_own_chain_ends_at_the_data(predicts):
    """Euler-Maruyama with the ideal prediction for normal data."""
    process = VariancePreserving(300, predicts=predicts)
    mean, std = 0.3, 0.2
    x = process.start((4000,), generator(1))
    for step in range(300, 0, -1):
        alpha_bar = math.exp(float(process.log_alpha_bar(torch.tensor(step / 300))))
        variance = alpha_bar * std**2 + 1 - alpha_bar
        score = -(x - math.sqrt(alpha_bar) * mean) / variance
        prediction = score if predicts == "score" else -math.sqrt(1 - alpha_bar) * score
        x = process.reverse_step(x, step, prediction, generator(step))
    assert abs(float(x.mean()) - mean) < 0.02
    assert abs(float(x.std()) - std) < 0.02


@pytest.mark.parametrize(
    "options",
    [{"beta_min": 0.0}, {"beta_min": 5.0, "beta_max": 1.0}, {"beta_max": math.inf}],
)
def test_bad_options_are_refused(options):
    with pytest.raises(InvalidOption, match="beta_min"):
        make_process(DiffusionConfig(process="vp_sde", **options))


def test_unknown_prediction_is_refused():
    with pytest.raises(InvalidOption, match="noise' or 'score"):
        VariancePreserving(predicts="data")
