"""Gaussian noise on complex states: closed form, posterior mean, infidelity."""

from __future__ import annotations

import math

import pytest
import torch

from qdm_qiskit.diffusion import DiffusionConfig, make_process, reverse_chain
from qdm_qiskit.diffusion.states import ComplexGaussian, infidelity, unit_states
from qdm_qiskit.errors import InvalidData, InvalidOption
from tests.helpers import generator

COUNT = 40_000


def process(steps: int = 10, **options) -> ComplexGaussian:
    return ComplexGaussian(steps, **options)


def random_states(count: int, size: int, seed: int = 5) -> torch.Tensor:
    return torch.randn(count, size, dtype=torch.complex128, generator=generator(seed))


def step_by_step(chain: ComplexGaussian, x_0: torch.Tensor, noises: torch.Tensor) -> torch.Tensor:
    """x_1 .. x_T by ``x_t = sqrt(1 - beta_t) x_{t-1} + sqrt(beta_t) noise_t``."""
    path = [x_0]
    for beta, noise in zip(chain.beta.tolist(), noises, strict=True):
        path.append(math.sqrt(1 - beta) * path[-1] + math.sqrt(beta) * noise)
    return torch.stack(path[1:])


@pytest.mark.parametrize("steps", [1, 2, 10, 100])
@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_steps_compose_to_the_closed_form_with_the_same_noises(steps, schedule):
    chain = process(steps, schedule=schedule, beta_start=0.01, beta_end=0.3)
    x_0 = random_states(3, 16)
    noises = torch.stack([random_states(3, 16, seed=10 + t) for t in range(steps)])
    path = step_by_step(chain, x_0, noises)
    for t in range(1, steps + 1):
        # The noises of all steps, each scaled down by the steps after it, as one.
        sum_ = torch.zeros_like(x_0)
        for s in range(1, t + 1):
            later = math.prod(1 - b for b in chain.beta[s:t].tolist())
            sum_ = sum_ + math.sqrt(float(chain.beta[s - 1]) * later) * noises[s - 1]
        noise = sum_ / math.sqrt(1 - float(chain.alpha_bar[t - 1]))
        closed = chain.add_noise(x_0, noise, torch.full((3,), t))
        torch.testing.assert_close(path[t - 1], closed, rtol=0, atol=1e-12)


@pytest.mark.parametrize("noise", ["complex", "real"])
def test_steps_and_closed_form_have_one_distribution(noise):
    chain = process(noise=noise, beta_start=0.05)
    x_0 = torch.full((COUNT, 1), 0.8, dtype=torch.complex64)
    noises = torch.stack([chain.draw((COUNT, 1), generator(t)) for t in range(10)])
    path = step_by_step(chain, x_0, noises)
    parts = 2 if noise == "complex" else 1
    for t in (1, 4, 10):
        closed = chain.add_noise(
            x_0, chain.draw((COUNT, 1), generator(50 + t)), torch.full((COUNT,), t)
        )
        alpha_bar = float(chain.alpha_bar[t - 1])
        for x in (path[t - 1], closed):
            mean, centred = x.mean(), x - x.mean()
            v = 1 - alpha_bar  # of each part; 5 sigma of a mean and of a variance of normals
            assert abs(float(mean.real) - math.sqrt(alpha_bar) * 0.8) < 5 * math.sqrt(v / COUNT)
            assert abs(float(centred.real.var()) - v) < 5 * v * math.sqrt(2 / COUNT)
            assert abs(float(mean.imag)) < 5 * math.sqrt(v / COUNT) * (parts - 1) + 1e-12
            assert abs(float(centred.imag.var()) - v * (parts - 1)) < 5 * v * math.sqrt(2 / COUNT)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_mu_is_the_mean_of_the_posterior(schedule):
    """Bayes in one dimension, by numbers: the mean of q(x_{t-1} | x_t, x_0) on a fine grid."""
    chain = process(5, schedule=schedule, beta_start=0.1, beta_end=0.4)
    x_0, x_t = 0.7, -0.4
    grid = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    for t in range(2, 6):
        beta, before = float(chain.beta[t - 1]), float(chain.alpha_bar[t - 2])
        log = -((x_t - math.sqrt(1 - beta) * grid) ** 2) / (2 * beta)
        log = log - (grid - math.sqrt(before) * x_0) ** 2 / (2 * (1 - before))
        weight = torch.exp(log - log.max())
        expected = float((grid * weight).sum() / weight.sum())
        found = chain.posterior_mean(
            torch.tensor([[x_0 + 0j]], dtype=torch.complex128),
            torch.tensor([[x_t + 0j]], dtype=torch.complex128),
            torch.tensor([t]),
        )
        assert abs(complex(found[0, 0]) - expected) < 1e-8
    first = chain.posterior_mean(
        random_states(2, 4), random_states(2, 4, seed=6), torch.tensor([1, 1])
    )
    torch.testing.assert_close(first, random_states(2, 4))  # nothing but x_0 is left


def test_schedules_have_the_published_indexing():
    assert process(10, beta_start=0.01).beta.tolist() == [0.01] * 10
    linear = process(4, schedule="linear", beta_start=0.1, beta_end=0.5)
    torch.testing.assert_close(linear.beta, torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64))
    cosine = process(10, schedule="cosine")
    s = 1e-4
    f = [math.cos(math.pi / 2 * (math.sqrt(t) / 10 + s) / (1 + s)) ** 2 for t in range(11)]
    torch.testing.assert_close(
        cosine.alpha_bar, torch.tensor([each / f[0] for each in f[1:]], dtype=torch.float64)
    )
    assert float(process(1, schedule="cosine").beta[0]) == 0.999  # clipped


@pytest.mark.parametrize("noise", ["complex", "real"])
def test_pairs_are_normalised_and_belong_together(noise):
    chain = process(3, noise=noise)
    images = torch.rand(5, 1, 4, 4, generator=generator())
    x_0 = chain.to_states(images)
    pairs = chain.training_pairs(x_0, generator(1))
    assert pairs.step.tolist() == [1] * 5 + [2] * 5 + [3] * 5
    assert pairs.source.tolist() == list(range(5)) * 3
    ones = torch.ones(15)
    for states in (pairs.noisy, pairs.target):
        assert states.shape == (15, 1, 4, 4)
        assert states.dtype == torch.complex64
        torch.testing.assert_close(torch.linalg.vector_norm(states.flatten(1), dim=1), ones)
    # t = 1: the target is x_0 itself; and the noise differs between the steps.
    torch.testing.assert_close(pairs.target[:5], unit_states(x_0))
    assert (pairs.noisy[:5] - pairs.noisy[5:10]).abs().max() > 0.01
    assert (pairs.noisy.imag.abs().max() > 0.01) == (noise == "complex")
    again = chain.training_pairs(x_0, generator(1))
    assert torch.equal(again.noisy, pairs.noisy)


def test_identity_baseline_of_the_published_setting():
    """0.097 over all steps and 0.938 at t = 1: 256 pixels, norm 0.567, ten steps of beta 0.01."""
    chain = process()
    x_0 = chain.to_states(torch.rand(400, 1, 16, 16, generator=generator()))
    torch.testing.assert_close(
        torch.linalg.vector_norm(x_0.flatten(1), dim=1), torch.full((400,), 0.567)
    )
    pairs = chain.training_pairs(x_0, generator(1))
    losses = chain.identity_losses(pairs)
    assert abs(float(losses.mean()) - 0.097) < 0.002
    assert abs(float(losses[pairs.step == 1].mean()) - 0.938) < 0.005
    assert 0.02 < float(losses[pairs.step == 2].mean()) < 0.035
    torch.testing.assert_close(losses, chain.losses(pairs.noisy, pairs))


def test_infidelity_is_one_minus_the_squared_overlap():
    a, b = random_states(6, 8), random_states(6, 8, seed=7)
    unit_a, unit_b = unit_states(a), unit_states(b)
    expected = 1 - (unit_a.conj() * unit_b).sum(1).abs() ** 2
    torch.testing.assert_close(infidelity(a, b), expected)
    torch.testing.assert_close(infidelity(a, (2 - 3j) * a), torch.zeros(6, dtype=torch.float64))
    orthogonal = torch.eye(4, dtype=torch.complex128)
    assert infidelity(orthogonal[:2], orthogonal[2:]).tolist() == [1, 1]


def test_a_perfect_oracle_walks_to_the_image():
    chain = process(5)
    images = torch.rand(3, 1, 4, 4, generator=generator(2))
    x_0 = chain.to_states(images)

    def oracle(x: torch.Tensor, step: int) -> torch.Tensor:
        return unit_states(chain.posterior_mean(x_0, x, torch.full((3,), step)))

    start = chain.start(tuple(x_0.shape), generator(3))
    torch.testing.assert_close(torch.linalg.vector_norm(start.flatten(1), dim=1), torch.ones(3))
    found = reverse_chain(chain, oracle, start, lambda step: generator(step))
    expected = images / images.flatten(1).amax(dim=1).reshape(-1, 1, 1, 1)
    torch.testing.assert_close(found, expected)


def test_images_are_moduli_scaled_to_their_maximum():
    states = torch.tensor([[3 + 4j, 0j, -1j], [0.1j, 0.2 + 0j, 0j]])
    expected = torch.tensor([[1, 0, 0.2], [0.5, 1, 0]])
    torch.testing.assert_close(process().to_images(states), expected)


def test_real_noise_stays_real():
    chain = process(noise="real")
    assert not chain.start((4, 8), generator()).imag.any()
    assert chain.start((4, 8), generator()).is_complex()
    pairs = chain.training_pairs(
        chain.to_states(torch.rand(4, 8, generator=generator())), generator()
    )
    assert not pairs.noisy.imag.any()
    assert not pairs.target.imag.any()


def test_noise_is_independent_in_its_parts_and_entries():
    noise = process().draw((COUNT, 2), generator())
    values = torch.cat([noise.real, noise.imag], dim=1).t()
    correlation = torch.corrcoef(values) - torch.eye(4)
    assert float(correlation.abs().max()) < 5 / math.sqrt(COUNT)


def test_options_reach_the_process():
    made = make_process(
        DiffusionConfig(
            process="complex_gaussian",
            num_steps=7,
            schedule="linear",
            beta_start=0.1,
            beta_end=0.2,
            noise="real",
            data_norm=2.0,
        )
    )
    assert isinstance(made, ComplexGaussian)
    assert (made.num_steps, made.noise, made.data_norm) == (7, "real", 2.0)
    assert abs(float(made.beta[-1]) - (0.1 + 0.1 * 6 / 7)) < 1e-12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_steps": 0}, "num_steps must be 1"),
        ({"goal": "noise"}, "goal is 'data', got 'noise'"),
        ({"noise": "quaternion"}, "noise is 'complex' or 'real'"),
        ({"data_norm": 0.0}, "data_norm must be a finite number above 0, got 0.0"),
        ({"data_norm": math.nan}, "data_norm .* got nan"),
        ({"beta_start": 0.0}, "between 0 and 1"),
        ({"beta_end": 1.0}, "between 0 and 1"),
        ({"schedule": "sine"}, "schedule is 'linear', 'cosine' or 'constant'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InvalidOption, match=message) as caught:
        ComplexGaussian(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf])
def test_images_without_a_norm_are_refused(bad):
    images = torch.rand(3, 1, 2, 2, generator=generator())
    images[1] = bad
    with pytest.raises(InvalidData, match="State 1 of 3"):
        process().to_states(images)


def test_tiny_and_huge_states_keep_their_direction():
    states = torch.tensor([[1e-30 + 0j, 1e-30j], [1e30 + 0j, 1e30j]])
    found = unit_states(states)
    expected = torch.tensor([1 + 0j, 1j]) / math.sqrt(2)
    torch.testing.assert_close(found, expected.expand(2, 2).to(found))
