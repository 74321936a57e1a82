"""Kölle's interpolation on complex arrays: the path of the images, and both losses by hand."""

from __future__ import annotations

import pytest
import torch

from qdm_qiskit.diffusion import (
    DiffusionConfig,
    InterpolatedNoise,
    InterpolatedStates,
    make_process,
)
from qdm_qiskit.errors import InvalidOption
from tests.helpers import generator


def images() -> torch.Tensor:
    return torch.rand(3, 1, 4, 4, generator=generator(1))


def test_the_path_is_that_of_the_images():
    process, real = InterpolatedStates(5), InterpolatedNoise(5)
    pairs = process.training_pairs(process.to_states(images()), generator())
    wanted = real.training_pairs(images(), generator())
    assert pairs.noisy.is_complex()
    torch.testing.assert_close(pairs.noisy.real, wanted.noisy)
    torch.testing.assert_close(pairs.target.real, wanted.target)
    assert not pairs.noisy.imag.any()
    assert torch.equal(pairs.step, wanted.step)
    assert torch.equal(pairs.source, wanted.source)
    assert torch.equal(
        process.start((3, 1, 4, 4), generator()).real, real.start((3, 1, 4, 4), generator())
    )


@pytest.mark.parametrize(("name", "power"), [("absolute", 1), ("squared", 2)])
def test_losses_are_distances_of_amplitudes(name, power):
    process = make_process(DiffusionConfig(process="interpolated_states", state_loss=name))
    pairs = process.training_pairs(process.to_states(images()), generator())
    prediction = torch.complex(torch.rand_like(pairs.noisy.real), torch.rand_like(pairs.noisy.real))
    real, imaginary = prediction.real - pairs.target.real, prediction.imag
    wanted = ((real**2 + imaginary**2).sqrt() ** power).flatten(1).mean(1)
    torch.testing.assert_close(process.losses(prediction, pairs), wanted)
    still = ((pairs.noisy.real - pairs.target.real).abs() ** power).flatten(1).mean(1)
    torch.testing.assert_close(process.identity_losses(pairs), still)


def test_images_are_moduli_and_steps_keep_the_phase():
    process = InterpolatedStates(3)
    x = torch.polar(images(), torch.rand(3, 1, 4, 4))
    assert process.reverse_step(x, 2, x * 1j, generator()) is not None
    assert torch.equal(process.reverse_step(x, 2, x * 1j, generator()), x * 1j)
    torch.testing.assert_close(process.to_images(x), images())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"goal": "noise"}, "goal is 'data', got 'noise'"),
        ({"state_loss": "mse"}, "'absolute' or 'squared', got 'mse'"),
        ({"num_steps": 0}, "num_steps must be 1 to"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InvalidOption, match=message) as caught:
        InterpolatedStates(**options)
    assert "\n" not in str(caught.value)
