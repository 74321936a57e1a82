"""Koelle's interpolation against its formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qdm_qiskit.diffusion import DiffusionConfig, InterpolatedNoise, make_process
from qdm_qiskit.errors import InvalidOption
from tests.helpers import generator


def images(count: int = 3) -> torch.Tensor:
    return torch.rand(count, 1, 4, 4, dtype=torch.float64, generator=generator(42))


def test_path_is_the_formula_with_one_noise_image():
    process = InterpolatedNoise(10)
    x_0 = images()
    path = process.trajectory(x_0, generator())
    noise = process.start(tuple(x_0.shape), generator()).double()
    assert path.shape == (11, 3, 1, 4, 4)
    for t in range(11):
        w = (t / 10) ** 3
        expected = np.clip((1 - w) * x_0.numpy() + w * noise.numpy(), 0, 1)
        np.testing.assert_allclose(path[t].numpy(), expected, atol=1e-15)


@pytest.mark.parametrize("steps", [1, 2, 10, 100])
def test_path_starts_at_the_image_and_ends_in_pure_noise(steps):
    process = InterpolatedNoise(steps)
    x_0 = images()
    path = process.trajectory(x_0, generator())
    assert torch.equal(path[0], x_0)
    # ... whatever the image was.
    assert torch.equal(path[-1], process.trajectory(torch.zeros_like(x_0), generator())[-1])
    assert torch.equal(path[-1], process.start(tuple(x_0.shape), generator()).double())
    weights = process.weights()
    assert weights[0] == 0
    assert weights[-1] == 1
    assert bool((weights.diff() > 0).all())


def test_noise_is_normal_with_the_papers_mean_and_deviation():
    draws = InterpolatedNoise().start((1000, 1, 8, 8), generator())
    assert draws.min() >= 0
    assert draws.max() <= 1
    # Clipping at 2.5 sigma keeps the mean and shrinks the deviation: the variance of a normal
    # clipped at c is 1 - 2 [(1 - c^2) Q(c) + c phi(c)], with Q(2.5) = 0.00621, phi(2.5) = 0.01753:
    # 0.9775. 64000 draws: sigma of the mean is 0.2 / 253 = 8e-4, of the deviation 5.6e-4; 5 sigma.
    assert abs(float(draws.mean()) - 0.5) < 4e-3
    assert abs(float(draws.std()) - 0.2 * 0.9775**0.5) < 2.8e-3


@pytest.mark.parametrize("goal", ["data", "noise"])
def test_pairs_are_neighbours_on_the_path(goal):
    process = InterpolatedNoise(4, goal)
    x_0 = images()
    path = process.trajectory(x_0, generator())
    pairs = process.training_pairs(x_0, generator())
    assert pairs.step.tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    for row, t in enumerate(pairs.step.tolist()):
        assert torch.equal(pairs.noisy[row], path[t, row % 3])
        target = path[t - 1, row % 3] if goal == "data" else path[t, row % 3] - path[t - 1, row % 3]
        assert torch.equal(pairs.target[row], target)
    identity = pairs.noisy if goal == "data" else torch.zeros_like(pairs.noisy)
    assert torch.equal(process.identity_prediction(pairs), identity)


def test_reverse_steps_with_the_true_answer_walk_the_path_back():
    x_0 = images()
    for goal in ("data", "noise"):
        process = InterpolatedNoise(10, goal)
        path = process.trajectory(x_0, generator())
        x = path[-1]
        for t in range(10, 0, -1):
            truth = path[t - 1] if goal == "data" else path[t] - path[t - 1]
            x = process.reverse_step(x, t, truth, generator())
        torch.testing.assert_close(x, x_0, rtol=0, atol=1e-14)


def test_answers_are_scaled_by_a_tenth_around_a_half():
    prediction = torch.tensor([0.0, 0.5, 1.0])
    torch.testing.assert_close(
        InterpolatedNoise(goal="noise").predicted_target(prediction),
        torch.tensor([-0.05, 0.0, 0.05]),
    )
    assert torch.equal(InterpolatedNoise(goal="data").predicted_target(prediction), prediction)


@pytest.mark.parametrize("steps", [0, -1, 10_001, 10**12])
@pytest.mark.parametrize("process", ["interpolated", "gaussian"])
def test_step_counts_are_limited_before_memory_is_taken(steps, process):
    with pytest.raises(InvalidOption, match=rf"num_steps must be 1 to 10000, got {steps}"):
        DiffusionConfig(process=process, num_steps=steps)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"process": "cosine"}, "process is .*, got 'cosine'"),
        ({"goal": "velocity"}, "goal is 'data' or 'noise', got 'velocity'"),
        ({"process": "gaussian", "beta_start": 0.0}, "between 0 and 1, got 0.0"),
        ({"process": "gaussian", "beta_end": 1.0}, "between 0 and 1, got 0.02, 1.0"),
        ({"process": "gaussian", "beta_end": float("nan")}, "between 0 and 1"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InvalidOption, match=message):
        DiffusionConfig(**options)


def test_processes_by_name():
    assert type(make_process(DiffusionConfig())).__name__ == "InterpolatedNoise"
    chain = make_process(DiffusionConfig(process="gaussian", num_steps=3, goal="noise"))
    assert (type(chain).__name__, chain.num_steps, chain.goal) == ("GaussianChain", 3, "noise")
