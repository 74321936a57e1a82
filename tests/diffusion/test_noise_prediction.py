"""Noise prediction against its closed forms and against diffusers."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers import DDPMScheduler

from qdm_qiskit.diffusion import DiffusionConfig, NoisePrediction, make_process
from qdm_qiskit.errors import InvalidOption
from tests.helpers import generator


def reference() -> DDPMScheduler:
    return DDPMScheduler(
        1000, beta_schedule="squaredcos_cap_v2", variance_type="fixed_small", clip_sample=True
    )


def test_cosine_schedule_is_that_of_diffusers():
    process, other = NoisePrediction(), reference()
    assert torch.allclose(process.beta, other.betas.double(), atol=1e-7)
    assert torch.allclose(process.alpha_bar, other.alphas_cumprod.double(), atol=1e-6)


@pytest.mark.parametrize("step", [1000, 999, 500, 20, 1])
def test_reverse_step_is_that_of_diffusers(step):
    """The two draw the same noise from the same generator."""
    x, noise = (torch.randn(3, 1, 4, 4, generator=generator(seed)) for seed in (1, 2))
    ours = NoisePrediction().reverse_step(x, step, noise, generator(3))
    theirs = reference().step(noise, step - 1, x, generator=generator(3)).prev_sample
    assert torch.allclose(ours, theirs, atol=2e-5)


def test_forward_process_has_its_moments():
    process = NoisePrediction(50)
    x_0 = torch.full((1, 1, 1, 1), 0.7).expand(40_000, 1, 1, 1)
    pairs = process.training_pairs(x_0, generator())
    assert pairs.step.min() == 1
    assert pairs.step.max() == 50
    for t in (1, 25, 50):
        noisy = pairs.noisy[pairs.step == t].flatten().double()
        alpha_bar = float(process.alpha_bar[t - 1])
        error = 4 * math.sqrt((1 - alpha_bar) / len(noisy))
        assert abs(float(noisy.mean()) - math.sqrt(alpha_bar) * 0.7) < error
        assert abs(float(noisy.var()) / (1 - alpha_bar) - 1) < 4 * math.sqrt(2 / len(noisy))


def test_pairs_hold_their_own_noise():
    process = NoisePrediction(100)
    x_0 = torch.rand(8, 1, 4, 4, generator=generator(1)) * 2 - 1
    pairs = process.training_pairs(x_0, generator(2))
    assert torch.equal(pairs.source, torch.arange(8))
    assert torch.equal(process.add_noise(x_0, pairs.target, pairs.step), pairs.noisy)


def test_weights_are_one_minus_alpha_bar():
    """1 / (k + SNR)^gamma with k = gamma = 1."""
    process = NoisePrediction()
    steps = torch.arange(1, 1001)
    ratio = process.alpha_bar / (1 - process.alpha_bar)
    assert torch.allclose(process.weights(steps).double(), 1 / (1 + ratio), atol=1e-6)
    assert torch.equal(NoisePrediction(weighted=False).weights(steps), torch.ones(1000))


def test_predicting_no_noise_scores_the_weight():
    process = NoisePrediction(10)
    pairs = process.training_pairs(torch.zeros(2000, 1, 4, 4), generator())
    assert torch.allclose(
        process.identity_losses(pairs).mean(), process.weights(pairs.step).mean(), rtol=0.05
    )


def test_perfect_prediction_leads_back_to_the_data():
    """With the true noise of one image at each step, the chain ends at that image."""
    process = NoisePrediction(20)
    x_0 = torch.rand(2, 1, 4, 4, generator=generator(5)) * 2 - 1
    x = process.start(x_0.shape, generator(6))
    for step in range(20, 0, -1):
        alpha_bar = float(process.alpha_bar[step - 1])
        noise = (x - math.sqrt(alpha_bar) * x_0) / math.sqrt(1 - alpha_bar)
        x = process.reverse_step(x, step, noise, generator(step))
    assert torch.allclose(x, x_0, atol=1e-5)
    images = process.to_images(x)
    assert torch.allclose(process.to_states(images), x, atol=1e-6)


def test_bad_options_are_refused():
    with pytest.raises(InvalidOption, match="beta_start"):
        make_process(DiffusionConfig(process="ddpm", schedule="linear", beta_start=0.0))
    with pytest.raises(InvalidOption, match="num_steps"):
        NoisePrediction(0)
