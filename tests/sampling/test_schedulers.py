"""Schedulers: the same model through DDPM, DDIM and DPM-Solver++."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from qdm_qiskit.diffusion import (
    DiffusionConfig,
    GaussianChain,
    InterpolatedNoise,
    NoisePrediction,
    VariancePreserving,
    make_process,
)
from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.sampling import Ask, Seen, Step
from qdm_qiskit.sampling.continuous import FlowODE, u_of_steps
from qdm_qiskit.sampling.schedulers import SCHEDULERS, planned_chain, scheduled_chain
from tests.helpers import generator

MEAN, STD = 0.3, 0.2


def ideal(process):
    """The best prediction there is where x_0 is normal with mean MEAN and standard deviation STD."""

    def prediction(x, step):
        alpha_bar = float(process.alpha_bar[step - 1])
        variance = alpha_bar * STD**2 + 1 - alpha_bar
        return math.sqrt(1 - alpha_bar) * (x - math.sqrt(alpha_bar) * MEAN) / variance

    return prediction


def chain(process, **options):
    x = process.start((4000, 1, 1, 1), generator(1))
    data = scheduled_chain(process, ideal(process), x, lambda step: generator(step + 5), **options)
    return process.to_states(data)


def test_ddpm_of_diffusers_is_our_chain():
    process = NoisePrediction(50)
    x = process.start((8, 1, 2, 2), generator(1))
    ours, theirs = (
        scheduled_chain(process, ideal(process), x, generator, scheduler=name)
        for name in ("process", "ddpm")
    )
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_ddim_with_all_steps_and_eta_one_is_ddpm():
    """Not in its marginals only: with the same noise it is the same path."""
    process = NoisePrediction(50)
    x = process.start((8, 1, 2, 2), generator(1))
    ours = scheduled_chain(process, ideal(process), x, generator)
    theirs = scheduled_chain(process, ideal(process), x, generator, scheduler="ddim", eta=1.0)
    assert torch.allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scheduler": "ddpm"},
        {"scheduler": "ddim", "eta": 1.0},
        {"scheduler": "ddim"},
        {"scheduler": "ddim", "steps": 50},
        {"scheduler": "dpm-solver++", "steps": 20},
        {"scheduler": "sde"},
        {"scheduler": "sde", "steps": 60},
        {"scheduler": "ode", "steps": 25},
    ],
)
def test_each_ends_at_the_data(options):
    """With the ideal prediction each chain gives the data's mean and standard deviation."""
    states = chain(NoisePrediction(200), **options)
    assert abs(float(states.mean()) - MEAN) < 0.03
    assert abs(float(states.std()) - STD) < 0.03


def test_deterministic_chains_take_no_noise():
    process = NoisePrediction(50)
    x = process.start((8, 1, 2, 2), generator(1))
    for name in ("ddim", "dpm-solver++", "ode"):
        one, other = (
            scheduled_chain(
                process, ideal(process), x, lambda step, s=s: generator(s), scheduler=name, steps=10
            )
            for s in (1, 2)
        )
        assert torch.equal(one, other)


def flow_step(process, x, eps, u, t, following, predict):
    """Heun's step between two times, in either direction."""
    here = Step(process, 0, t, following, u[t], u[following], generator())
    asked = FlowODE().step(x, eps, here)
    assert isinstance(asked, Ask)
    tried = Seen(asked.t, u[asked.t], asked.x, predict(asked.x, asked.t))
    return FlowODE().step(x, eps, replace(here, tried=(tried,)))


def test_flow_runs_back_to_where_it_came_from():
    """The ODE is a flow: noise to data to noise again."""
    process = VariancePreserving(400)
    process.alpha_bar = torch.cumprod(1 - process.noise_betas, 0)
    u, predict = u_of_steps(process), ideal(process)
    x = start = process.start((50,), generator()).double()
    for step in range(400, 1, -1):
        x = flow_step(process, x, predict(x, step), u, step, step - 1, predict)
    assert not torch.allclose(x, start, atol=0.1)
    for step in range(1, 400):
        x = flow_step(process, x, predict(x, step), u, step, step + 1, predict)
    assert torch.allclose(x, start, atol=1e-4)


def test_flow_keeps_the_order_and_the_shape_of_normal_data():
    """For normal data the ODE is affine: x_0 = mean + std x_T, up to what T leaves of the data."""
    process = NoisePrediction(200)
    x = process.start((1000, 1, 1, 1), generator(1))
    data = scheduled_chain(process, ideal(process), x, generator, scheduler="ode")
    states = process.to_states(data)
    inside = (states.abs() < 0.99).flatten()  # images are clamped
    error = (states - (MEAN + STD * x)).flatten()[inside].abs()
    assert float(error.max()) < 0.01


def test_models_of_continuous_time_take_every_scheduler():
    process = VariancePreserving(100, predicts="score")
    alpha_bar = torch.cumprod(1 - process.noise_betas, 0)

    def prediction(x, step):
        share = float(alpha_bar[step - 1])
        return -(x - math.sqrt(share) * MEAN) / (share * STD**2 + 1 - share)

    for name in SCHEDULERS:
        x = process.start((4000, 1, 1, 1), generator(1))
        data = scheduled_chain(
            process, prediction, x, lambda step: generator(step + 5), scheduler=name
        )
        states = process.to_states(data)
        assert abs(float(states.mean()) - MEAN) < 0.04, name
        assert abs(float(states.std()) - STD) < 0.04, name


def test_gaussian_chain_with_noise_goal_has_schedulers():
    process = make_process(DiffusionConfig(process="gaussian", goal="noise", num_steps=20))
    seen = []
    x = process.start((2, 1, 2, 2), generator())
    scheduled_chain(
        process,
        lambda x, step: torch.full_like(x, 0.5),
        x,
        generator,
        scheduler="ddim",
        steps=5,
        on_step=lambda left, _: seen.append(left),
    )
    assert seen == [4, 3, 2, 1, 0]


def test_a_step_may_replace_the_state():
    process = NoisePrediction(10)
    x = process.start((2, 1, 2, 2), generator())
    for name in SCHEDULERS:
        ended = scheduled_chain(
            process,
            ideal(process),
            x,
            generator,
            scheduler=name,
            on_step=lambda left, x: None if left else torch.zeros_like(x),
        )
        assert torch.equal(ended, torch.full_like(ended, 0.5))


@pytest.mark.parametrize(
    ("process", "options", "message"),
    [
        (NoisePrediction(10), {"scheduler": "euler"}, "scheduler is one of"),
        (NoisePrediction(10), {"steps": 5}, "takes all 10 steps.*choose scheduler ddim"),
        # No named scheduler takes these, so none is a way out.
        (GaussianChain(10, "data"), {"steps": 5}, "takes all 10 steps.*smaller num_steps"),
        (InterpolatedNoise(10, "noise"), {"steps": 5}, "takes all 10 steps.*smaller num_steps"),
        (NoisePrediction(10), {"scheduler": "ddim", "steps": 11}, "1 to 10, got 11"),
        (NoisePrediction(10), {"scheduler": "ddim", "steps": 0}, "1 to 10, got 0"),
        (NoisePrediction(10), {"scheduler": "ddpm", "eta": 0.5}, "eta is 0 to 1"),
        (NoisePrediction(10), {"scheduler": "ddim", "eta": 1.5}, "eta is 0 to 1"),
        (GaussianChain(10, "data"), {"scheduler": "ddim"}, "predicts the noise"),
    ],
)
def test_bad_options_are_refused(process, options, message):
    with pytest.raises(InvalidOption, match=message):
        scheduled_chain(process, lambda x, step: x, torch.zeros(1, 1, 2, 2), generator, **options)


def test_timesteps_reach_the_noisiest_step():
    process = NoisePrediction(1000)
    for name in ("ddim", "dpm-solver++"):
        assert planned_chain(process, name, 50)[1][0] == 1000
