"""The Gaussian Markov chain: its steps against its closed form."""

from __future__ import annotations

import math

import pytest
import torch

from qdm_qiskit.diffusion import GaussianChain
from tests.helpers import generator

COUNT = 40_000
X_0 = 0.8


def many_paths(chain: GaussianChain, seed: int = 0) -> torch.Tensor:
    x_0 = torch.full((COUNT, 1, 1, 1), X_0, dtype=torch.float64)
    return chain.trajectory(x_0, generator(seed)).flatten(1)


@pytest.mark.parametrize("steps", [1, 2, 10, 1000])
def test_steps_compose_to_the_closed_form_exactly(steps):
    chain = GaussianChain(steps, beta_start=0.01, beta_end=0.3)
    mean, variance = X_0, 0.0
    for t, beta in enumerate(chain.beta.tolist()):
        mean, variance = math.sqrt(1 - beta) * mean, (1 - beta) * variance + beta
        alpha_bar = float(chain.alpha_bar[t])
        assert math.isclose(mean, math.sqrt(alpha_bar) * X_0, rel_tol=1e-10)
        assert math.isclose(variance, 1 - alpha_bar, rel_tol=1e-10)


def test_betas_are_linear():
    chain = GaussianChain(5, beta_start=0.1, beta_end=0.5)
    torch.testing.assert_close(
        chain.beta, torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5], dtype=torch.float64)
    )
    assert 0.01 < float(GaussianChain().alpha_bar[-1]) < 0.03  # "near 0.02 at T = 10"


def test_sampled_paths_have_the_closed_forms_moments():
    chain = GaussianChain(10)
    path = many_paths(chain)
    assert torch.equal(path[0], torch.full((COUNT,), X_0, dtype=torch.float64))
    for t in range(1, 11):
        alpha_bar = float(chain.alpha_bar[t - 1])
        variance = 1 - alpha_bar
        # Normal samples: the mean has sigma = sqrt(v / N), the variance v sqrt(2 / N); 5 sigma.
        assert abs(float(path[t].mean()) - math.sqrt(alpha_bar) * X_0) < 5 * math.sqrt(
            variance / COUNT
        )
        assert abs(float(path[t].var()) - variance) < 5 * variance * math.sqrt(2 / COUNT)


def test_every_step_has_noise_of_its_own():
    chain = GaussianChain(10)
    path = many_paths(chain)
    beta = chain.beta.reshape(-1, 1)
    eps = (path[1:] - (1 - beta).sqrt() * path[:-1]) / beta.sqrt()
    correlation = torch.corrcoef(eps) - torch.eye(10)
    # Independent normals: sigma = 1 / sqrt(N) for each of 45 correlations; 5 sigma.
    assert float(correlation.abs().max()) < 5 / math.sqrt(COUNT)
    assert float((eps.var(dim=1) - 1).abs().max()) < 5 * math.sqrt(2 / COUNT)


def test_noise_targets_are_standard_normal():
    chain = GaussianChain(10, "noise")
    noise = chain.noise_target(many_paths(chain))
    assert noise.shape == (10, COUNT)
    assert float(noise.mean(dim=1).abs().max()) < 5 / math.sqrt(COUNT)
    assert float((noise.var(dim=1) - 1).abs().max()) < 5 * math.sqrt(2 / COUNT)
    # Fourth moment 3, sigma = sqrt((105 - 9) / N).
    assert float(((noise**4).mean(dim=1) - 3).abs().max()) < 5 * math.sqrt(96 / COUNT)


@pytest.mark.parametrize("steps", [1, 10])
def test_a_perfect_noise_oracle_ends_at_the_image(steps):
    chain = GaussianChain(steps, "noise")
    x_0 = torch.rand(4, 1, 4, 4, dtype=torch.float64, generator=generator(3))
    x = chain.start(tuple(x_0.shape), generator(1)).double()
    for t in range(steps, 0, -1):
        alpha_bar = float(chain.alpha_bar[t - 1])
        oracle = (x - math.sqrt(alpha_bar) * x_0) / math.sqrt(1 - alpha_bar)
        x = chain.reverse_step(x, t, oracle, generator(t))
    # At t = 1 the formula solves x_1 = sqrt(1 - beta) x_0 + sqrt(beta) eps for x_0, without noise.
    torch.testing.assert_close(x, x_0, rtol=0, atol=1e-12)


def test_reverse_steps_add_the_noise_of_sigma_squared_beta():
    chain = GaussianChain(10, "noise")
    x, prediction = (
        torch.zeros(COUNT, 1, 1, 1, dtype=torch.float64),
        torch.ones(COUNT, 1, 1, 1, dtype=torch.float64),
    )
    for t in (2, 10):
        beta, alpha_bar = float(chain.beta[t - 1]), float(chain.alpha_bar[t - 1])
        stepped = chain.reverse_step(x, t, prediction, generator(t))
        mean = -beta / math.sqrt(1 - alpha_bar) / math.sqrt(1 - beta)
        assert abs(float(stepped.mean()) - mean) < 5 * math.sqrt(beta / COUNT)
        assert abs(float(stepped.var()) - beta) < 5 * beta * math.sqrt(2 / COUNT)
    first = chain.reverse_step(x, 1, prediction, generator(1))
    assert float(first.var()) == 0


def test_data_goal_takes_the_prediction():
    chain = GaussianChain(10, "data")
    prediction = torch.rand(2, 1, 2, 2, generator=generator())
    assert torch.equal(
        chain.reverse_step(torch.zeros(2, 1, 2, 2), 5, prediction, generator()), prediction
    )
    pairs = chain.training_pairs(torch.rand(2, 1, 2, 2, generator=generator()), generator(1))
    path = chain.trajectory(torch.rand(2, 1, 2, 2, generator=generator()), generator(1))
    assert torch.equal(pairs.target, path[:-1].flatten(0, 1))
    assert torch.equal(chain.identity_prediction(pairs), pairs.noisy)


def test_start_is_standard_normal():
    x = GaussianChain().start((COUNT, 1, 1, 1), generator())
    assert abs(float(x.mean())) < 5 / math.sqrt(COUNT)
    assert abs(float(x.var()) - 1) < 5 * math.sqrt(2 / COUNT)
