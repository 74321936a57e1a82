"""A share of the images takes the noise that the whole run draws at their addresses."""

from __future__ import annotations

import pytest
import torch

from qdm_qiskit.diffusion import DiffusionConfig, make_process
from qdm_qiskit.sampling.chain import Chain
from qdm_qiskit.sampling.schedulers import planned_chain
from qdm_qiskit.sampling.shared import SharedSampler, shared_step
from tests.helpers import generator

IMAGES = (1, 4, 5)
ROWS = [0, 0, 0, 0, 1, 2, 0]


def walked(sampler, times, x, process):
    chain = Chain(process, sampler, times, x, lambda t: torch.Generator().manual_seed(t))
    while (question := chain.question) is not None:
        at, t = question
        chain.advance(torch.tanh(at) * 0.3 + 0.01 * t)  # each image alone
    return chain.x


@pytest.mark.parametrize("name", ["process", "ddpm", "ddim", "dpm-solver++", "sde", "ode"])
@pytest.mark.parametrize("late", [0, 2])
def test_a_share_is_that_of_the_whole(name, late):
    process = make_process(DiffusionConfig(process="ddpm", num_steps=6))
    eta = 0.7 if name == "ddim" else 0.0
    sampler, times = planned_chain(process, name, None, eta)
    if late and sampler.memory:
        pytest.skip("such a chain cannot begin late")
    x = torch.randn(7, 1, 2, 2, generator=generator(2))
    whole = walked(sampler, times, x, process)
    begun = x
    if late:
        begun = walked_until(sampler, times, x, process, late)
    share = SharedSampler(sampler, ROWS, IMAGES, late)
    found = walked(share, times[late:], begun[list(IMAGES)], process)
    torch.testing.assert_close(found, whole[list(IMAGES)], rtol=1e-5, atol=1e-6)


def walked_until(sampler, times, x, process, steps):
    chain = Chain(process, sampler, times, x, lambda t: torch.Generator().manual_seed(t))
    while chain.index < steps:
        assert chain.question is not None
        at, t = chain.question
        chain.advance(torch.tanh(at) * 0.3 + 0.01 * t)
    return chain.x


def test_a_step_of_the_process_itself():
    process = make_process(DiffusionConfig(process="ddpm", num_steps=4))
    x = torch.randn(7, 1, 2, 2, generator=generator(3))
    said = 0.1 * x
    whole = process.reverse_step(x, 3, said, torch.Generator().manual_seed(5))
    own = list(IMAGES)
    found = shared_step(
        process, x[own], 3, said[own], torch.Generator().manual_seed(5), ROWS, IMAGES
    )
    torch.testing.assert_close(found, whole[own])
    assert not torch.allclose(whole[own], whole[:3])
