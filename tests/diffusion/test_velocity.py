"""The process of velocities: what v stands for, its pairs, its chain on Gaussian data."""

from __future__ import annotations

import math

import pytest
import torch

from qdm_qiskit.diffusion import DiffusionConfig, VelocityPrediction, make_process, reverse_chain
from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.sampling.schedulers import scheduled_chain
from tests.helpers import generator


def ideal(process: VelocityPrediction, mean: float, deviation: float):
    """The best velocity for x_0 of independent normal values."""

    def prediction(x: torch.Tensor, step: int) -> torch.Tensor:
        alpha, sigma = process.scales(step, x)
        share = alpha * deviation**2 / (alpha**2 * deviation**2 + sigma**2)
        x_0 = mean + share * (x - alpha * mean)
        return (alpha * x - x_0) / sigma

    return prediction


def test_a_pair_gives_back_its_data_and_its_noise():
    process = VelocityPrediction(7, radius=2.0)
    x_0 = process.to_states(torch.rand(50, 3, generator=generator(1)))
    pairs = process.training_pairs(x_0, generator(2))
    alpha, sigma = process.scales(pairs.step, x_0)
    torch.testing.assert_close(alpha * pairs.noisy - sigma * pairs.target, x_0)
    noise = process.noise_of(pairs.target, pairs.step, pairs.noisy)
    torch.testing.assert_close(alpha * x_0 + sigma * noise, pairs.noisy)
    counts = torch.bincount(pairs.step)[1:]
    assert counts.max() - counts.min() <= 1
    assert float(process.losses(pairs.target, pairs).sum()) == 0
    torch.testing.assert_close(process.to_images(x_0), x_0 / 4 + 0.5)


def test_betas_multiply_to_alpha_bar_and_both_ends_keep_both_parts():
    process = VelocityPrediction(10)
    torch.testing.assert_close(torch.cumprod(1 - process.noise_betas, 0), process.alpha_bar)
    assert 0 < float(process.alpha_bar[-1]) < 1e-3
    assert 0.9 < float(process.alpha_bar[0]) < 1


def test_identity_is_the_map_that_keeps_x_t():
    process = VelocityPrediction(4)
    pairs = process.training_pairs(torch.rand(20, 2, generator=generator()), generator(1))
    alpha, sigma = process.scales(pairs.step, pairs.noisy)
    kept = (alpha - 1) / sigma * pairs.noisy
    torch.testing.assert_close(alpha * pairs.noisy - sigma * kept, pairs.noisy)
    torch.testing.assert_close(process.identity_losses(pairs), process.losses(kept, pairs))


@pytest.mark.parametrize("scheduler", ["process", "ddpm", "ddim", "dpm-solver++", "ode"])
def test_chains_with_the_ideal_velocity_end_at_the_data(scheduler):
    """Mean and deviation of normal data far from the noise's own, nearer with more steps."""
    mean, deviation = 0.7, 0.4
    missing = []
    for steps in (40, 160):
        process = VelocityPrediction(steps, radius=4.0)
        x = process.start((3000, 2), generator())
        best = ideal(process, mean, deviation)
        if scheduler == "process":
            found = reverse_chain(process, best, x, lambda step: generator(step + 1))
        else:
            found = scheduled_chain(
                process, best, x, lambda step: generator(step + 1), scheduler=scheduler
            )
        states = process.to_states(found)
        assert abs(float(states.mean()) - mean) < 5 * deviation / math.sqrt(states.numel()) + 0.02
        missing.append(abs(float(states.std()) / deviation - 1))
    shot = 5 / math.sqrt(2 * 6000)  # five deviations of a standard deviation of so many values
    assert missing[0] < 0.1 + shot
    assert missing[1] < 0.1 / 4 + shot


def test_the_estimate_stays_within_the_radius_on_every_chain():
    process = VelocityPrediction(3, radius=1.5)
    x = process.start((20, 2), generator())

    def far(x: torch.Tensor, step: int) -> torch.Tensor:
        return torch.full_like(x, -50.0)

    for scheduler in ("ddpm", "ddim"):
        found = scheduled_chain(process, far, x, generator, scheduler=scheduler, steps=3)
        assert torch.equal(process.to_states(found), torch.full_like(x, 1.5))
    assert float(process.estimate(x, 2, torch.full_like(x, 50.0)).min()) == -1.5


def test_what_is_out_of_range_is_refused():
    with pytest.raises(InvalidOption, match="radius must be a finite number above 0, got 0"):
        make_process(DiffusionConfig(process="velocity", radius=0))
    with pytest.raises(InvalidData, match="together with its state; give x"):
        VelocityPrediction(3).noise_of(torch.zeros(1, 2), 1)
