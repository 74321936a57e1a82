"""Default betas fit any T; betas that a run has stored stay what they are."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from qdm_qiskit.diffusion import DiffusionConfig, GaussianChain, NoisePrediction, make_process
from qdm_qiskit.diffusion.fitted_betas import HO, SHORT_CHAIN, constant_beta, linear_ends
from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.training import resolve_run, run_from_dict

LENGTHS = [1, 2, 3, 7, 10, 97, 1000, 10_000]


@pytest.mark.parametrize("num_steps", LENGTHS)
@pytest.mark.parametrize("reference", [SHORT_CHAIN, HO])
def test_any_length_leaves_as_much_of_the_data(reference, num_steps):
    """The product by numpy, in logarithms; at the reference's own T its own betas, bit for bit."""
    start, end = linear_ends(reference, num_steps)
    assert 0 < start <= end < 1
    left = np.log1p(-np.linspace(start, end, num_steps)).sum()
    own = np.linspace(reference.beta_start, reference.beta_end, reference.num_steps)
    assert left == pytest.approx(np.log1p(-own).sum(), rel=1e-9)
    assert num_steps * math.log1p(-constant_beta(reference, num_steps)) == pytest.approx(left)
    if num_steps == reference.num_steps:
        assert (start, end) == (reference.beta_start, reference.beta_end)
    elif num_steps > 1:
        assert start / end == pytest.approx(reference.beta_start / reference.beta_end)


def test_ends_of_the_known_schedules():
    """Ours at T = 10 leaves .0166 of the data, Ho's at T = 1000 4.04e-5."""
    assert float(GaussianChain().alpha_bar[-1]) == pytest.approx(0.016638, abs=1e-6)
    assert float(GaussianChain(1000).alpha_bar[-1]) == pytest.approx(0.016638, abs=1e-6)
    ho = NoisePrediction(1000, schedule="linear")
    assert torch.equal(ho.beta, torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64))
    assert float(ho.alpha_bar[-1]) == pytest.approx(4.04e-5, rel=0.01)
    assert float(NoisePrediction(25, schedule="constant").alpha_bar[-1]) == pytest.approx(
        4.04e-5, rel=0.01
    )


@pytest.mark.parametrize("process", ["gaussian", "ddpm", "complex_gaussian"])
@pytest.mark.parametrize("schedule", ["linear", "constant"])
def test_options_without_betas_are_fit_and_stored(process, schedule):
    for num_steps in LENGTHS[:-1]:
        config = DiffusionConfig(process=process, schedule=schedule, num_steps=num_steps)
        resolved = config.resolved()
        assert resolved.resolved() == resolved
        assert isinstance(resolved.beta_start, float)
        assert isinstance(resolved.beta_end, float)
        assert torch.equal(make_process(config).beta, make_process(resolved).beta)
        if process != "complex_gaussian":
            assert float(make_process(config).alpha_bar[-1]) == pytest.approx(0.016638, abs=1e-6)


def test_betas_that_are_given_are_taken():
    config = DiffusionConfig(process="gaussian", num_steps=300, beta_start=0.02, beta_end=0.6)
    old = torch.linspace(0.02, 0.6, 300, dtype=torch.float64)
    assert torch.equal(make_process(config).beta, old)
    assert torch.equal(GaussianChain(300, beta_start=0.02, beta_end=0.6).beta, old)
    half = DiffusionConfig(process="gaussian", num_steps=300, beta_end=0.1).resolved()
    assert half.beta_end == 0.1
    assert half.beta_start == linear_ends(SHORT_CHAIN, 300)[0]


def test_runs_of_0_1_keep_their_betas():
    """Their config.json holds numbers; a process without betas held the defaults of T = 10."""
    new = resolve_run("classical_unet", {"process": "gaussian", "num_steps": 50})
    content = new.to_dict()
    content["diffusion"] |= {"beta_start": 0.02, "beta_end": 0.6}
    process = make_process(run_from_dict(content).diffusion)
    assert torch.equal(process.beta, torch.linspace(0.02, 0.6, 50, dtype=torch.float64))
    other = resolve_run("classical_unet", {"num_steps": 50}).diffusion
    assert (other.process, other.beta_start, other.beta_end) == ("interpolated", 0.02, 0.6)


@pytest.mark.parametrize("num_steps", [0, -3, 10_001, 10**12])
def test_lengths_out_of_range_are_refused_before_anything_is_scaled(num_steps):
    for process in ("gaussian", "ddpm", "interpolated"):
        with pytest.raises(InvalidOption, match="num_steps must be 1 to 10000"):
            DiffusionConfig(process=process, num_steps=num_steps)


def test_targets_of_a_slow_start_have_variance_one():
    """1 - alpha_bar_1 is 2.6e-5 at T = 10,000: from a float32 alpha_bar it is off by up to .1 %."""
    process = GaussianChain(10_000, "noise", beta_start=1e-7, beta_end=2e-7)
    x_0 = torch.full((1, 1, 64, 64), 0.5, dtype=torch.float64)
    eps = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a = process.alpha_bar.reshape(-1, 1, 1, 1, 1)[:3]
    path = torch.cat([x_0[None], a.sqrt() * x_0 + (1 - a).sqrt() * eps])
    short = GaussianChain(3, "noise", beta_start=1e-7, beta_end=1e-7 + 2 * (1e-7 / 9999))
    assert torch.allclose(short.noise_target(path), eps.expand(3, *eps.shape), atol=1e-6)
    single = short.noise_target(path.float())
    # Of x_t in float32 only its own rounding is left: 6e-8 / sqrt(1e-7).
    assert torch.allclose(single.double(), eps.expand(3, *eps.shape), atol=1e-3)
