"""One step's x_t, and noise added again, of every process: means and variances against the path."""

import pytest
import torch

from qdm_qiskit.diffusion import (
    ComplexGaussian,
    Depolarizing,
    GaussianChain,
    InterpolatedNoise,
    InterpolatedStates,
    NoisePrediction,
    VariancePreserving,
    VelocityPrediction,
)
from qdm_qiskit.errors import InvalidOption
from tests.helpers import generator

COUNT = 40_000
GAUSSIAN = {
    "gaussian": GaussianChain(6),
    "ddpm": NoisePrediction(6, schedule="linear"),
    "vp_sde": VariancePreserving(6),
    "velocity": VelocityPrediction(6),
}


@pytest.mark.parametrize("name", GAUSSIAN)
@pytest.mark.parametrize("step", [1, 4])
def test_x_t_of_gaussian_processes_and_a_later_one_from_it(name, step):
    process = GAUSSIAN[name]
    kept = torch.cumprod(1 - process.forward_betas, dim=0)
    x_0 = torch.full((COUNT,), 0.7, dtype=torch.float64)
    x = process.noised(x_0, step, generator(step))
    later = process.forward_steps(x, step, 6, generator(9))
    for values, alpha_bar in ((x, float(kept[step - 1])), (later, float(kept[5]))):
        variance = 1 - alpha_bar
        assert abs(values.mean() - alpha_bar**0.5 * 0.7) < 5 * (variance / COUNT) ** 0.5
        assert abs(values.var() - variance) < 5 * variance * (2 / COUNT) ** 0.5


def test_interpolated_noise_keeps_mean_and_variance_when_noise_is_added_again():
    process = InterpolatedNoise(10)
    x_0 = torch.full((COUNT,), 0.5)
    path = process.trajectory(x_0.reshape(-1, 1, 1, 1), generator(1))
    x = process.noised(x_0, 6, generator(2))
    later = process.forward_steps(x, 6, 8, generator(3))
    for values, t in ((x, 6), (later, 8)):
        expected = path[t].flatten()
        spread = float(expected.std())
        assert abs(values.mean() - expected.mean()) < 5 * spread * (2 / COUNT) ** 0.5
        assert abs(values.std() - spread) < 5 * spread * (1 / COUNT) ** 0.5
    last = process.forward_steps(x, 6, 10, generator(3))
    assert abs(torch.corrcoef(torch.stack([x, last]))[0, 1]) < 5 / COUNT**0.5


def test_states_are_noised_as_the_model_sees_them():
    images = torch.rand(3, 1, 2, 2, generator=generator(4))
    complex_images = InterpolatedStates(5)
    x = complex_images.noised(complex_images.to_states(images), 5, generator(1))
    torch.testing.assert_close(x.real, complex_images.start((3, 1, 2, 2), generator(1)).real)
    states = ComplexGaussian(5)
    x = states.noised(states.to_states(images), 2, generator(1))
    torch.testing.assert_close(torch.linalg.vector_norm(x.flatten(1), dim=1), torch.ones(3))
    for process in (complex_images, states):
        with pytest.raises(InvalidOption, match="take 1 resample"):
            process.forward_steps(x, 2, 3, generator())


def test_ensembles_have_no_single_noisy_image():
    with pytest.raises(InvalidOption, match="ensembles"):
        Depolarizing(3).noised(torch.ones(2, 2), 1, generator())
