"""Diffusion of levels: its draws against the kernel's powers, its reverse step against Bayes' rule."""

import itertools

import numpy as np
import pytest
import torch

from qdm_qiskit.diffusion import DiffusionConfig, LevelChain, make_process
from qdm_qiskit.diffusion.level_kernels import flip_kernel, walk_kernel
from qdm_qiskit.errors import InvalidOption
from tests.helpers import generator, tensor

KERNELS = {"walk": walk_kernel(5, 2, 0.3), "device": flip_kernel((0.1, 0.2, 0.3, 0.15))}


def chances_of(x: torch.Tensor, levels: int) -> np.ndarray:
    found = (x * (levels - 1)).round().long().flatten()
    return torch.bincount(found, minlength=levels).double().numpy() / len(found)


def close(found: np.ndarray, expected: np.ndarray, count: int) -> None:
    sigma = np.sqrt(expected * (1 - expected) / count)
    assert (np.abs(found - expected) < 5 * sigma + 1e-12).all()


@pytest.mark.parametrize("name", KERNELS)
def test_x_t_has_the_chances_of_the_kernels_power(name):
    kernel, count = KERNELS[name], 40_000
    process = LevelChain(4, kernel)
    levels = len(kernel)
    x_0 = torch.full((count, 1), 1 / (levels - 1))
    for step in (1, 3):
        expected = np.linalg.matrix_power(kernel, step)[1]
        close(chances_of(process.noised(x_0, step, generator(step)), levels), expected, count)
    # Two steps and one after are three.
    twice = process.noised(x_0, 2, generator(8))
    again = process.forward_steps(twice, 2, 3, generator(9))
    close(chances_of(again, levels), np.linalg.matrix_power(kernel, 3)[1], count)


@pytest.mark.parametrize("name", KERNELS)
def test_the_posterior_is_that_of_all_paths(name):
    kernel, step = KERNELS[name], 3
    process, levels = LevelChain(4, kernel), len(KERNELS[name])
    for first, last in itertools.product(range(levels), repeat=2):
        paths = np.zeros(levels)
        for way in itertools.product(range(levels), repeat=2):
            chance = kernel[first, way[0]] * kernel[way[0], way[1]] * kernel[way[1], last]
            paths[way[1]] += chance
        x_0, x_t = (tensor([each / (levels - 1)]) for each in (first, last))
        found = process.posterior(x_0, x_t, step)[0].numpy()
        np.testing.assert_allclose(found, paths / paths.sum(), atol=1e-9)


@pytest.mark.parametrize("name", KERNELS)
def test_with_the_right_x_0_the_reverse_chain_gives_each_x_t_its_chances(name):
    kernel, count = KERNELS[name], 40_000
    process, levels = LevelChain(3, kernel), len(KERNELS[name])
    x_0 = torch.full((count, 1), 2 / (levels - 1))
    x = process.noised(x_0, 3, generator(1))
    for step in (3, 2):
        x = process.reverse_step(x, step, x_0, generator(10 + step))
        expected = np.linalg.matrix_power(kernel, step - 1)[2]
        close(chances_of(x, levels), expected, count)
    assert torch.equal(process.reverse_step(x, 1, x_0, generator()), x_0)


def test_a_prediction_between_levels_stands_for_both():
    process = LevelChain(3, KERNELS["walk"])
    low, high, x = (torch.tensor([[each]]).double() for each in (0.25, 0.5, 0.75))
    mixed = process.posterior(0.75 * low + 0.25 * high, x, 2)
    expected = 0.75 * process.posterior(low, x, 2) + 0.25 * process.posterior(high, x, 2)
    torch.testing.assert_close(mixed, expected)


def test_where_x_0_cannot_lead_to_x_t_it_decides_alone():
    process = LevelChain(3, walk_kernel(17, 1, 0.0))
    found = process.posterior(torch.tensor([0.0]).double(), torch.tensor([0.5]).double(), 2)
    torch.testing.assert_close(found[0], process.powers[1][0])


def test_the_start_has_the_lasting_chances():
    kernel, count = KERNELS["device"], 40_000
    process = LevelChain(50, kernel)
    values, vectors = np.linalg.eig(kernel.T)
    lasting = vectors[:, np.argmax(values.real)].real
    lasting = lasting / lasting.sum()
    np.testing.assert_allclose(process.stationary.numpy(), lasting, atol=1e-12)
    np.testing.assert_allclose(process.powers[-1][0].numpy(), lasting, atol=1e-9)
    close(chances_of(process.start((count, 1), generator()), 4), lasting, count)


def test_training_pairs_know_their_x_0_and_levels():
    process = LevelChain(3, KERNELS["walk"])
    x_0 = torch.rand(4, 1, 2, 2, generator=generator())
    pairs = process.training_pairs(x_0, generator())
    assert pairs.noisy.shape == (12, 1, 2, 2)
    assert torch.equal(pairs.target, x_0[pairs.source])
    assert torch.equal(pairs.noisy * 4, (pairs.noisy * 4).round())
    assert pairs.step.tolist() == [1] * 4 + [2] * 4 + [3] * 4
    assert process.losses(pairs.target, pairs).tolist() == [0.0] * 12
    assert process.identity_losses(pairs).mean() > 0


def test_options_choose_the_processes_and_are_resolved_once():
    config = DiffusionConfig(process="walk", num_steps=6).resolved()
    assert config.walk_steps is not None
    assert config.resolved() == config
    process = make_process(config)
    assert isinstance(process, LevelChain)
    assert process.num_levels == 17
    by_bits = make_process(DiffusionConfig(process="device", flips=(0.1, 0.2, 0.2, 0.1)))
    assert isinstance(by_bits, LevelChain)
    assert by_bits.num_levels == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"process": "walk", "goal": "noise"}, "goal is 'data'"),
        ({"process": "walk", "grey_levels": 8}, "odd number"),
        ({"process": "device"}, "give device, such as fake_torino"),
        ({"process": "device", "flips": (0.2,)}, "got 1 numbers"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_one_line(options, words):
    with pytest.raises(InvalidOption, match=words) as caught:
        DiffusionConfig(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kernel", "words"),
    [(np.ones((2, 3)) / 3, "square matrix"), (np.ones((2, 2)), "sums to 1")],
)
def test_what_is_no_kernel_is_refused(kernel, words):
    with pytest.raises(InvalidOption, match=words):
        LevelChain(2, kernel)
