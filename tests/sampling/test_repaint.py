"""Restoring with a chain: what is known stays, and a perfect model draws what a Gaussian conditions."""

import math

import numpy as np
import pytest
import torch

from qdm_qiskit.data.known import Known, mask_of
from qdm_qiskit.diffusion import (
    ComplexGaussian,
    Depolarizing,
    DiffusionProcess,
    InterpolatedNoise,
    LevelChain,
    MixedStates,
    NoisePrediction,
)
from qdm_qiskit.diffusion.level_kernels import walk_kernel
from qdm_qiskit.errors import InvalidOption
from qdm_qiskit.models import build_model, resolve
from qdm_qiskit.sampling.discrete import DDIM, DDPM, DPMSolver
from qdm_qiskit.sampling.repaint import (
    MOST_ROLLOUTS,
    RepaintLatents,
    RepaintRollouts,
    repaint_sampler,
)
from qdm_qiskit.sampling.samplers import ProcessSampler
from qdm_qiskit.sampling.schedulers import scheduled_chain
from tests.helpers import generator


def walked(sampler, process: DiffusionProcess, predict, x: torch.Tensor) -> torch.Tensor:
    return scheduled_chain(
        process, predict, x, lambda step: generator(100 + step), scheduler=sampler
    )


def model_of(size: int = 2):
    return build_model(resolve("qddm", {"image_size": size, "depth": 1}), generator=generator())


def known_of(count: int, size: int = 2, **options) -> Known:
    images = np.random.default_rng(0).random((count, 1, size, size)).astype(np.float32)
    if not options:
        options = {"mask": mask_of("left", images.shape)}
    return Known(images, **options)


PROCESSES = {
    "interpolated": InterpolatedNoise(4),
    "walk": LevelChain(4, walk_kernel(5, 2, 0.2)),
}


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("resamples", [1, 3])
def test_what_is_known_is_in_the_result_and_the_rest_is_the_models(name, resamples):
    process, known = PROCESSES[name], known_of(3)
    asked = []

    def predict(x, step):
        asked.append(step)
        return torch.full_like(x, 0.25)

    sampler = repaint_sampler(model_of(), process, ProcessSampler(), known, resamples)
    x = walked(sampler, process, predict, process.start((3, 1, 2, 2), generator()))
    np.testing.assert_allclose(x[..., 1].numpy(), known.images[..., 1])
    assert (x[..., 0] == 0.25).all()
    assert asked == [step for step in (4, 3, 2) for _ in range(resamples)] + [1]


def test_with_nothing_known_it_is_the_chain_itself():
    process, known = InterpolatedNoise(4), known_of(2, mask=np.zeros((2, 1, 2, 2), dtype=bool))

    def predict(x, step):
        return 0.9 * x

    x = process.start((2, 1, 2, 2), generator())
    sampler = repaint_sampler(model_of(), process, ProcessSampler(), known, 1)
    expected = walked("process", process, predict, x)
    torch.testing.assert_close(walked(sampler, process, predict, x), expected)


def test_block_means_are_kept():
    process, known = InterpolatedNoise(3), known_of(2, 4, factor=2)
    sampler = repaint_sampler(model_of(4), process, ProcessSampler(), known, 1)
    x = walked(sampler, process, lambda x, t: 0.5 + 0 * x, process.start((2, 1, 4, 4), generator()))
    part = known.part(x.numpy())
    np.testing.assert_allclose(part, known.part(known.images), atol=1e-6)


def drawn_from_a_perfect_model(
    resamples: int, count: int = 1000, *, steps: int = 60, rollouts: bool = False
) -> np.ndarray:
    """Return draws of a pixel of deviation 1 given one at 0.5 with which it correlates by 0.8."""
    scale = 0.25  # of both pixels, so that nothing is cut off at 1
    process = NoisePrediction(steps, schedule="linear")
    covariance = scale**2 * torch.tensor([[1.0, 0.8], [0.8, 1.0]])

    def predict(x, step):
        alpha_bar = float(process.alpha_bar[step - 1])
        both = alpha_bar * covariance + (1 - alpha_bar) * torch.eye(2)
        flat = x.reshape(len(x), 4)[:, :2]
        eps = math.sqrt(1 - alpha_bar) * flat @ torch.linalg.inv(both)
        return torch.cat([eps, torch.zeros(len(x), 2)], dim=1).reshape(x.shape)

    images = np.full((count, 1, 2, 2), (1 + scale * 0.5) / 2, dtype=np.float32)
    mask = np.ones(images.shape, dtype=bool)
    mask[:, 0, 0, 1] = False
    known = Known(images, mask)
    sampler = repaint_sampler(model_of(), process, DDPM(), known, resamples)
    if rollouts:  # a model of pixels is its own codec
        sampler = RepaintRollouts(ProcessSampler(), known, resamples, model_of(), None)
    x = walked(sampler, process, predict, process.start((count, 1, 2, 2), generator()))
    return ((2 * x[:, 0, 0, 1] - 1) / scale).numpy()


def test_resampling_heeds_what_is_known_where_replacement_does_not():
    """The conditional has mean 0.4 and deviation 0.6; replacement's mean is about 0.23."""
    replaced, resampled = drawn_from_a_perfect_model(1), drawn_from_a_perfect_model(8)
    assert abs(resampled.mean() - 0.4) < 0.12 < abs(replaced.mean() - 0.4)
    assert resampled.std() == pytest.approx(0.6, abs=0.2)


def test_latents_are_restored_through_their_codec():
    options = {"image_size": 4, "codec": "pca", "latents": 6}
    model = build_model(resolve("line", options), generator=generator())
    images = torch.rand(40, 1, 4, 4, generator=generator(1))
    model.fit_data(images, generator())
    from qdm_qiskit.diffusion import VelocityPrediction

    process = VelocityPrediction(5, radius=3.5)
    known = Known(images[:3].numpy(), mask_of("left", (3, 1, 4, 4)))
    sampler = repaint_sampler(model, process, ProcessSampler(), known, 2)
    assert isinstance(sampler, RepaintLatents)
    made = walked(sampler, process, lambda x, t: 0 * x, process.start((3, 6), generator()))
    free = walked("ddpm", process, lambda x, t: 0 * x, process.start((3, 6), generator()))
    errors = [
        float((model.decode_data(each) - images[:3])[..., 2:].square().mean())
        for each in (made, free)
    ]
    assert errors[0] < errors[1]


@pytest.mark.parametrize(
    ("process", "inner", "resamples", "words"),
    [
        (InterpolatedNoise(3), ProcessSampler(), 0, "resamples is 1 to 16"),
        (InterpolatedNoise(3), ProcessSampler(), 17, "resamples is 1 to 16"),
        (NoisePrediction(3), DPMSolver(), 1, "looks back on earlier steps"),
        (ComplexGaussian(3), ProcessSampler(), 2, "take 1 resample"),
    ],
)
def test_what_cannot_restore_is_refused_in_one_line(process, inner, resamples, words):
    with pytest.raises(InvalidOption, match=words) as caught:
        repaint_sampler(model_of(), process, inner, known_of(2), resamples)
    assert "\n" not in str(caught.value)


def test_other_shapes_and_models_of_states_are_refused():
    with pytest.raises(InvalidOption, match="restores images of"):
        repaint_sampler(model_of(4), InterpolatedNoise(3), DDIM(), known_of(2), 1)
    states = build_model(resolve("quddpm", {"num_qubits": 1}), generator=generator())
    with pytest.raises(InvalidOption, match="no images to restore"):
        repaint_sampler(states, Depolarizing(3), ProcessSampler(), known_of(2), 1)


def coded_of():
    options = {"image_size": 4, "side": 2, "inner_options": ("depth=1",)}
    return build_model(resolve("coded", options), generator=generator())


LATENTS = {
    "coded": (coded_of, InterpolatedNoise(4), lambda x: x),
    "cacioppo_latent": (
        lambda: build_model(
            resolve("cacioppo_latent", {"image_size": 4, "num_steps": 4}), generator=generator()
        ),
        ComplexGaussian(4, schedule="linear", beta_start=0.1, beta_end=0.6, data_norm=4.0),
        lambda x: x,
    ),
    "mixed_quddpm": (
        lambda: build_model(resolve("mixed_quddpm", {"image_size": 4}), generator=generator()),
        MixedStates(4),
        MixedStates(4).certain,
    ),
}


@pytest.mark.parametrize("name", LATENTS)
@pytest.mark.parametrize("resamples", [1, 2])
def test_latents_that_tell_no_x_0_are_restored_by_walking_on(name, resamples):
    make, process, kept = LATENTS[name]
    model = make()
    images = torch.rand(40, 1, 4, 4, generator=generator(1))
    model.fit_data(images, generator())
    known = Known(images[:8].numpy(), mask_of("left", (8, 1, 4, 4)))
    asked = []

    def predict(x, step):
        asked.append(step)
        return kept(x)

    sampler = repaint_sampler(model, process, ProcessSampler(), known, resamples)
    assert isinstance(sampler, RepaintRollouts)
    x = process.start((8, *model.state_shape), generator())
    made = walked(sampler, process, predict, x)
    walks = [list(range(t, 0, -1)) * (resamples if t > 1 else 1) for t in (4, 3, 2, 1)]
    assert asked == [step for walk in walks for step in walk]
    free = walked("process", process, lambda x, t: kept(x), x)
    errors = [
        float((model.decode_data(each) - images[:8])[..., 2:].square().mean())
        for each in (made, free)
    ]
    assert errors[0] < errors[1]
    torch.testing.assert_close(walked(sampler, process, predict, x), made, rtol=0, atol=0)


def test_of_a_long_chain_some_steps_are_walked_on_from_and_the_last_is():
    model, process, asked = coded_of(), InterpolatedNoise(40), []
    model.fit_data(torch.rand(40, 1, 4, 4, generator=generator(1)), generator())

    def predict(x, step):
        asked.append(step)
        return x

    sampler = repaint_sampler(model, process, ProcessSampler(), known_of(2, 4), 1)
    walked(sampler, process, predict, process.start((2, 4), generator()))
    from_steps = range(40, 0, -1)
    expected = [
        step
        for t in from_steps
        for step in (range(t, 0, -1) if (t - 1) % 3 == 0 else [t])  # 40 / 16 rounds up to 3
    ]
    assert asked == expected
    assert sum((t - 1) % 3 == 0 for t in from_steps) <= MOST_ROLLOUTS


def test_walking_on_with_a_perfect_model_is_as_good_as_replacement():
    """In 15 steps both stay behind the conditional's 0.4; whoever heeds nothing gives 0."""
    replaced = drawn_from_a_perfect_model(1, steps=15)
    led = drawn_from_a_perfect_model(1, steps=15, rollouts=True)
    error = 0.55 / len(led) ** 0.5
    assert led.mean() > 0.1
    assert abs(led.mean() - replaced.mean()) < 4 * error
    assert led.std() == pytest.approx(0.6, abs=0.1)


class Bare(DiffusionProcess):
    """A process that can do no more than it has to."""

    state_space = "unit"

    def training_pairs(self, x_0, generator):
        raise NotImplementedError

    def losses(self, prediction, pairs):
        raise NotImplementedError

    def identity_losses(self, pairs):
        raise NotImplementedError

    def start(self, shape, generator):
        return torch.rand(shape, generator=generator)

    def reverse_step(self, x, step, prediction, generator):
        return prediction


def test_a_process_without_noise_of_one_step_leads_to_candidates():
    with pytest.raises(InvalidOption, match="candidates=512") as caught:
        repaint_sampler(coded_of(), Bare(3), ProcessSampler(), known_of(2, 4), 1)
    assert "\n" not in str(caught.value)
