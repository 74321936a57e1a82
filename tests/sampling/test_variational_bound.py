"""The variational bound: exact Gaussians, gradient descent, draws, and a trained run."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from qdm_qiskit.errors import InvalidArgument, InvalidOption
from qdm_qiskit.sampling import load_run
from qdm_qiskit.sampling.variational_bound import (
    bound_of_errors,
    learned_variances,
    mean_errors,
    posterior_variances,
    variational_bound,
)
from qdm_qiskit.training import resolve_run, train

BETAS = np.linspace(0.05, 0.6, 10)


def exact_errors(betas: np.ndarray, variance: float) -> np.ndarray:
    """Errors of the best means for x_0 ~ N(0, variance): kappa^2 times the posterior variance."""
    kept = np.cumprod(1 - betas)
    before = np.concatenate([[1.0], kept[:-1]])
    left = variance * (1 - kept) / (kept * variance + 1 - kept)
    return (np.sqrt(before) * betas / (1 - kept)) ** 2 * left


@pytest.mark.parametrize("variance", [0.3, 1.0, 2.0])
def test_bound_of_a_gaussian_is_its_entropy_but_for_the_end_of_the_chain(variance):
    """With the exact reverse kernels the bound is tight but for p(x_T), which is not q's own.

    Summed, the terms are the entropy of x_0 plus KL(q(x_T) || N(0, 1)).
    """
    errors = exact_errors(BETAS, variance)
    found = bound_of_errors(BETAS, errors, variance, "learned")
    left = float(np.prod(1 - BETAS))
    last = left * variance + 1 - left
    entropy = math.log(2 * math.pi * math.e * variance) / 2
    gap = (last - 1 - math.log(last)) / 2
    assert found.total == pytest.approx((entropy + gap) / math.log(2), abs=1e-12)
    for other in ("beta", "posterior"):  # beta is the best at variance 1 (Sohl-Dickstein et al.)
        assert bound_of_errors(BETAS, errors, variance, other).total > found.total - 1e-12


def test_learned_variances_are_where_gradient_descent_ends():
    errors = np.random.default_rng(0).uniform(0.01, 0.2, 10)
    posterior = torch.from_numpy(posterior_variances(BETAS))
    e = torch.from_numpy(errors)
    log = torch.zeros(10, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log], max_iter=200, tolerance_grad=1e-12)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        # KL(N(m, posterior) || N(m', s)) less what does not depend on s; at t = 1 -log N(x_0; m', s).
        loss = (log + (posterior + e) / log.exp()).sum() / 2
        loss.backward()
        return loss

    optimizer.step(closure)
    np.testing.assert_allclose(log.detach().exp(), learned_variances(BETAS, errors), rtol=1e-5)


def test_a_step_is_the_divergence_of_two_normals():
    """Against torch's own, for a mean that is off by the root of the error."""
    errors = np.random.default_rng(1).uniform(0.01, 0.2, 10)
    found = bound_of_errors(BETAS, errors, 0.5, "beta")
    posterior = posterior_variances(BETAS)
    for t in range(1, 10):
        exact = torch.distributions.kl_divergence(
            torch.distributions.Normal(0.0, math.sqrt(posterior[t])),
            torch.distributions.Normal(math.sqrt(errors[t]), math.sqrt(BETAS[t])),
        )
        assert found.steps[t - 1] == pytest.approx(float(exact) / math.log(2), rel=1e-5)


def test_posterior_variance_is_that_of_the_process_by_conditioning():
    """Of (x_1, x_2) given x_0, by the covariance matrix."""
    a, b = 1 - BETAS[:2]
    covariance = np.array([[1 - a, math.sqrt(b) * (1 - a)], [0, b * (1 - a) + 1 - b]])
    by_hand = covariance[0, 0] - covariance[0, 1] ** 2 / covariance[1, 1]
    assert posterior_variances(BETAS)[1] == pytest.approx(by_hand)
    assert posterior_variances(BETAS)[0] == 0


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bound") / "run"
    options = {"process": "gaussian", "goal": "noise", "image_size": 4, "depth": 1, "epochs": 1}
    small = {"train_count": 40, "test_count": 20, "baseline": False, "sample_every": 0}
    train(resolve_run("eeqdm", {**options, **small}), folder, log_with="none")
    return load_run(folder)


def test_learned_is_best_on_the_images_that_it_is_fitted_to(run):
    errors, square = mean_errors(run, count=20)
    assert errors.shape == (10,)
    assert (errors > 0).all()
    betas = run.process.noise_betas.numpy()
    totals = {
        each: bound_of_errors(betas, errors, square, each).total
        for each in ("beta", "posterior", "learned")
    }
    assert min(totals, key=totals.__getitem__) == "learned"
    unseen = variational_bound(run, count=20)
    assert unseen.total == pytest.approx(unseen.prior + unseen.steps.sum() + unseen.data)
    assert unseen.total < variational_bound(run, "posterior", count=20).total


def test_refusals(run, tmp_path):
    with pytest.raises(InvalidArgument, match=r"`run` is a TrainedRun, got .*load_run\(folder\)"):
        variational_bound("runs/mine")  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="covariance is one of beta, posterior, learned"):
        bound_of_errors(BETAS, BETAS, 1.0, "full")
    with pytest.raises(InvalidOption, match="part is 'train' or 'test'"):
        mean_errors(run, part="all")
