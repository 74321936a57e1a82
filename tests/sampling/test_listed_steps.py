"""Every scheduler, number of steps and T: against a perfect prediction and the chain's recursion."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from qdm_qiskit.diffusion import GaussianChain, NoisePrediction, VariancePreserving
from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.sampling.continuous import training_steps
from qdm_qiskit.sampling.discrete import trailing_steps
from qdm_qiskit.sampling.schedulers import SCHEDULERS, planned_chain, scheduled_chain
from tests.helpers import generator

MEAN, STD = 0.4, 0.125
"""Of the states x_0 of normal data; three deviations and more inside of every process's range."""
FREE = [name for name in SCHEDULERS if name != "process"]
"""Schedulers that take any number of steps."""


def signals(process) -> np.ndarray:
    """alpha_bar at t = 0 .. T, by numpy."""
    return np.concatenate([[1.0], np.cumprod(1 - process.noise_betas.numpy())])


def oracle(process, mean: float, std: float):
    """The best prediction there is for normal states; for ``std = 0`` they are constant."""
    a = signals(process)

    def prediction(x, t):
        variance = a[t] * std**2 + 1 - a[t]
        eps = math.sqrt(1 - a[t]) * (x - math.sqrt(a[t]) * mean) / variance
        if isinstance(process, GaussianChain):
            return eps / 6 + 0.5  # predictions in [0, 1] stand for noise in [-3, 3]
        if getattr(process, "predicts", "noise") == "score":
            return -eps / math.sqrt(1 - a[t])
        return eps

    return prediction


def sampled(process, scheduler: str, *, std: float = 0.0, mean: float = MEAN, **options):
    """States of a chain with the oracle from float64 noise, and that noise."""
    start = torch.randn(32, 1, 1, 1, generator=generator(0), dtype=torch.float64)
    data = scheduled_chain(
        process,
        oracle(process, mean, std),
        start.clone(),
        lambda t: generator(t + 1),
        scheduler=scheduler,
        **options,
    )
    return process.to_states(data), start


def error(process, scheduler: str, **options) -> float:
    """Largest distance of a chain's states from the constant MEAN, in units of their range of 2."""
    states, _ = sampled(process, scheduler, **options)
    return float((states - MEAN).abs().max()) / 2


@pytest.mark.parametrize("scheduler", FREE)
@pytest.mark.parametrize(
    "process",
    [
        NoisePrediction(10),
        NoisePrediction(13, schedule="linear"),
        GaussianChain(12, "noise"),
        VariancePreserving(11, predicts="score"),
    ],
    ids=["cosine 10", "linear 13", "chain 12", "score 11"],
)
def test_constant_images_for_every_number_of_steps(process, scheduler):
    """Right: 0. By T // steps DDIM was off by .128 at T = 10 and 6 steps."""
    for steps in range(1, process.num_steps + 1):
        assert error(process, scheduler, steps=steps) < 1e-9, steps
        if scheduler in ("ddim", "analytic"):
            for eta in (0.3, 1.0):
                assert error(process, scheduler, steps=steps, eta=eta) < 1e-9, (steps, eta)


def recursion(process, scheduler: str, times: list[int], eta: float = 0.0) -> np.ndarray:
    """Coefficients of 1, x_T and each step's noise in the result, from the textbooks' alpha_bar.

    With the oracle of normal data a chain is linear in all of them.
    """
    a = signals(process)
    one, x, *fresh_noise = np.eye(2 + len(times))
    past = None

    def noise(x, t):
        variance = a[t] * STD**2 + 1 - a[t]
        return math.sqrt(1 - a[t]) * (x - math.sqrt(a[t]) * MEAN * one) / variance

    for index, (t, s) in enumerate(zip(times, [*times[1:], 0], strict=True)):
        eps = noise(x, t)
        x_0 = (x - math.sqrt(1 - a[t]) * eps) / math.sqrt(a[t])
        fresh = fresh_noise[index]
        posterior = math.sqrt((1 - a[s]) / (1 - a[t]) * (1 - a[t] / a[s]))
        if scheduler in ("ddpm", "sde"):
            mean = math.sqrt(a[s]) * (1 - a[t] / a[s]) / (1 - a[t]) * x_0
            mean = mean + math.sqrt(a[t] / a[s]) * (1 - a[s]) / (1 - a[t]) * x
            x = mean + posterior * fresh
        elif scheduler in ("ddim", "analytic"):  # the latter without errors
            kept = math.sqrt(max(0.0, 1 - a[s] - (eta * posterior) ** 2))
            x = math.sqrt(a[s]) * x_0 + kept * eps + eta * posterior * fresh
        elif scheduler == "ode":
            if s == 0:
                x = x_0
                continue
            y, before, after = x / math.sqrt(a[t]), math.sqrt(1 / a[t] - 1), math.sqrt(1 / a[s] - 1)
            tried = math.sqrt(a[s]) * (y + (after - before) * eps)
            x = math.sqrt(a[s]) * (y + (after - before) * (eps + noise(tried, s)) / 2)
        else:
            log = [0.5 * math.log(a[v] / (1 - a[v])) if v else math.inf for v in (t, s)]
            data = x_0
            if past is not None and s:
                data = x_0 + (x_0 - past[0]) * (log[1] - log[0]) / (2 * (log[0] - past[1]))
            x = (
                math.sqrt((1 - a[s]) / (1 - a[t])) * x
                - math.sqrt(a[s]) * math.expm1(log[0] - log[1]) * data
            )
            past = x_0, log[0]
    return x


@pytest.mark.parametrize("scheduler", FREE)
def test_normal_data_follow_the_recursion_for_every_number_of_steps(scheduler):
    """Two ways to one number: a chain without noise point by point, one with noise in its deviation."""
    process = GaussianChain(13, "noise")
    for steps in range(1, 14):
        listed = training_steps if scheduler in ("sde", "ode") else trailing_steps
        for eta in (0.0, 0.6, 1.0) if scheduler in ("ddim", "analytic") else (0.0,):
            wanted = recursion(process, scheduler, listed(13, steps), eta)
            spread = float(np.linalg.norm(wanted[2:]))
            if scheduler in ("ode", "dpm-solver++"):
                assert spread == 0
            if spread < 1e-9:
                states, start = sampled(process, scheduler, std=STD, steps=steps, eta=eta)
                expected = (wanted[0] + wanted[1] * start).clamp(0, 1)
                assert torch.allclose(states, expected, atol=1e-9), (steps, eta)
            else:
                check_deviation(process, scheduler, wanted, steps=steps, eta=eta)


def check_deviation(process, scheduler, wanted, **options) -> None:
    """Mean and deviation of many samples, to five standard errors."""
    count = 10_000
    data = scheduled_chain(
        process,
        oracle(process, MEAN, STD),
        torch.randn(count, 1, 1, 1, generator=generator(0)),
        lambda t: generator(t + 1),
        scheduler=scheduler,
        **options,
    )
    std = float(np.linalg.norm(wanted[1:]))
    assert float(data.mean()) == pytest.approx(wanted[0], abs=5 * std / math.sqrt(count))
    assert float(data.std()) == pytest.approx(std, rel=5 / math.sqrt(2 * count))


def deviation(process, scheduler: str, steps: int) -> float:
    """Of the result over x_T, for chains without noise: their slope between two points."""
    ends = torch.tensor([-0.5, 0.5], dtype=torch.float64).reshape(2, 1, 1, 1)
    data = scheduled_chain(
        process, oracle(process, MEAN, STD), ends, generator, scheduler=scheduler, steps=steps
    )
    return float(process.to_states(data).flatten().diff())


def test_many_steps_of_a_long_chain():
    """600 of 1000 gave .214 by T // steps for data of .125; and two siblings, one of a prime T."""
    for process, steps, right in (
        (NoisePrediction(1000), 600, 0.12359),
        (NoisePrediction(1000, schedule="linear"), 601, 0.12217),
        (VariancePreserving(997), 313, 0.1201),
    ):
        wanted = recursion(process, "ddim", trailing_steps(process.num_steps, steps))
        assert deviation(process, "ddim", steps) == pytest.approx(wanted[1], rel=1e-9)
        # STD less what steps of first order lose.
        assert wanted[1] == pytest.approx(right, abs=2e-5)


@pytest.mark.parametrize(
    ("scheduler", "order"), [("ddim", 1.0), ("dpm-solver++", 1.6), ("ode", 2.0)]
)
def test_the_deviation_converges_with_the_order_of_the_method(scheduler, order):
    """T is prime, so that no number of steps divides it. DPM-Solver++ ends in a step of first order."""
    process = VariancePreserving(9973)
    steps = np.array([40, 80, 160, 320])
    off = [abs(deviation(process, scheduler, n) - STD) for n in steps]
    slope = np.polyfit(np.log2(steps), np.log2(off), 1)[0]
    assert slope == pytest.approx(-order, abs=0.3), off


@pytest.mark.parametrize("scheduler", ["ddpm", "ddim", "dpm-solver++"])
@pytest.mark.parametrize("steps", [5, 10, 20])
def test_where_steps_divide_t_diffusers_says_the_same(scheduler, steps):
    """Its own steps, of float32 schedules, with timesteps that both list."""
    from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

    process = NoisePrediction(20)
    common = {"num_train_timesteps": 20, "trained_betas": process.beta.numpy()}
    other = {
        "ddpm": lambda: DDPMScheduler(**common, timestep_spacing="trailing"),
        "ddim": lambda: DDIMScheduler(**common, timestep_spacing="trailing"),
        "dpm-solver++": lambda: DPMSolverMultistepScheduler(**common, timestep_spacing="trailing"),
    }[scheduler]()
    other.set_timesteps(steps)
    listed = planned_chain(process, scheduler, steps)[1]
    assert torch.equal(other.timesteps, torch.tensor(listed) - 1)  # diffusers counts from 0
    # One that clamps: off by as much as a bad model is.
    prediction = oracle(process, 1.4 if scheduler != "dpm-solver++" else MEAN, STD)
    x = start = torch.randn(8, 1, 2, 2, generator=generator(0))
    for t in other.timesteps.tolist():
        x = other.step(prediction(x, t + 1), t, x, generator=generator(t + 1)).prev_sample
    ours = scheduled_chain(process, prediction, start, generator, scheduler=scheduler, steps=steps)
    assert torch.allclose(ours, process.to_images(x).clamp(0, 1), atol=1e-4)


def test_lists_hold_as_many_different_steps_as_asked_for():
    """numpy's arange gives 12 for 11 of 49; float32 lets two fall together for 9969 of 9973."""
    pairs = [(t, n) for t in range(1, 65) for n in range(1, t + 1)]
    for t, n in [*pairs, (9973, 9969), (10_000, 9998), (10_000, 9999), (1000, 600)]:
        for listed in (trailing_steps, training_steps):
            found = listed(t, n)
            assert len(set(found)) == n
            assert found[0] == t
            assert found[-1] >= 1
            assert found == sorted(found, reverse=True)


LENGTHS = (1, 2, 3, 7, 50, 300)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize(
    "make",
    [
        lambda t: GaussianChain(t, "noise"),
        lambda t: GaussianChain(t, "noise", beta_start=0.02, beta_end=0.6),
        NoisePrediction,
        lambda t: NoisePrediction(t, schedule="linear"),
        lambda t: NoisePrediction(t, schedule="linear", beta_start=0.02, beta_end=0.6),
        lambda t: NoisePrediction(t, schedule="constant"),
        VariancePreserving,
    ],
    ids=["chain", "chain of 0.1", "cosine", "linear", "steep", "constant", "continuous"],
)
def test_every_schedule_at_every_length(make, scheduler):
    """All T steps end at the constant image; 0.1 gave NaN for its own chain at T = 300."""
    for num_steps in LENGTHS:
        assert error(make(num_steps), scheduler) < 1e-9, num_steps


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", FREE)
def test_the_longest_chain_in_few_steps(scheduler):
    for process in (NoisePrediction(10_000), GaussianChain(10_000, "noise")):
        for steps in (1, 2, 7, 333):
            assert error(process, scheduler, steps=steps) < 1e-6, steps


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("goal", ["fitted", "steep", "cosine", "continuous"])
def test_every_length_up_to_the_longest(goal, scheduler):
    for num_steps in (*range(1, 32), 97, 300, 1000, 1009):
        process = {
            "fitted": lambda t: GaussianChain(t, "noise"),
            "steep": lambda t: NoisePrediction(t, schedule="linear", beta_start=0.02, beta_end=0.6),
            "cosine": NoisePrediction,
            "continuous": VariancePreserving,
        }[goal](num_steps)
        assert error(process, scheduler) < 1e-9, num_steps
        if scheduler != "process" and goal != "steep":
            for steps in {1, 2, num_steps // 2 + 1, Fraction(3 * num_steps, 5).__ceil__()}:
                if steps <= num_steps:
                    assert error(process, scheduler, steps=steps) < 1e-6, (num_steps, steps)


@pytest.mark.parametrize("scheduler", FREE)
def test_steps_too_wide_for_float32_are_refused(scheduler):
    """A chain that leaves exp(-59) of the data needs more than one step back; 60 do."""
    process = GaussianChain(300, "noise", beta_start=0.02, beta_end=0.6)
    with pytest.raises(InvalidOption, match="take more than 1 steps") as refused:
        sampled(process, scheduler, steps=1)
    assert "\n" not in str(refused.value)
    assert error(process, scheduler, steps=60) < 1e-6
    process = GaussianChain(1, "noise", beta_start=1 - 1e-15, beta_end=0.5)
    with pytest.raises(InvalidOption, match=r"to t=0 it grows by .*: train with smaller betas"):
        sampled(process, scheduler)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_predictions_that_are_not_finite_are_named_by_their_step(scheduler, bad):
    """A clamp makes pixels of an infinity, and did."""
    process = NoisePrediction(6)
    good = oracle(process, MEAN, 0.0)

    def prediction(x, t):
        found = good(x, t)
        if t == 3:
            found[1] = bad
        return found

    x = torch.randn(4, 1, 1, 1, generator=generator(0))
    with pytest.raises(InvalidData, match=r"at step t=3: the prediction of sample 1") as refused:
        scheduled_chain(process, prediction, x, generator, scheduler=scheduler)
    assert "\n" not in str(refused.value)


def test_states_that_overflow_are_named_by_their_step():
    """An untrained model does not cancel what a steep chain multiplies by: e**200 over T = 1000."""
    process = GaussianChain(1000, "noise", beta_start=0.02, beta_end=0.6)
    x = torch.randn(4, 1, 1, 1, generator=generator(0))
    for scheduler in ("process", "ddim", "ddpm", "sde", "ode"):
        with pytest.raises(
            InvalidData, match=r"at step t=\d+: the (state|prediction) of sample \d"
        ):
            scheduled_chain(process, lambda x, t: 0 * x + 0.5, x, generator, scheduler=scheduler)
