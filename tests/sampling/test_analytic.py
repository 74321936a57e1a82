"""Analytic-DPM: on Gaussian data every marginal is exact, in any number of steps, by two ways."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import qdm_qiskit as qdm
from qdm_qiskit.diffusion import GaussianChain
from qdm_qiskit.errors import InvalidOption, MissingData
from qdm_qiskit.sampling import analytic, load_run, sample
from qdm_qiskit.sampling.analytic import AnalyticDPM, data_errors, fitted
from qdm_qiskit.sampling.chain import Chain
from qdm_qiskit.sampling.discrete import DDIM, trailing_steps
from tests.helpers import generator, write_run

MEAN, STD, T = 0.3, 0.5, 12
PROCESS = GaussianChain(T, "noise")
SHARE = torch.cumprod(1 - PROCESS.noise_betas, 0).tolist()


def perfect(x, t):
    """E[eps | x_t] of Gaussian data, as this process's predictions: (a - 0.5) * 6 is the noise."""
    share = SHARE[t - 1]
    total = share * STD**2 + 1 - share
    noise = math.sqrt(1 - share) * (x - math.sqrt(share) * MEAN) / total
    return noise / 6 + 0.5


def data_variance(t: int) -> float:
    """Var[x_0 | x_t] of Gaussian data."""
    share = SHARE[t - 1]
    return STD**2 * (1 - share) / (share * STD**2 + 1 - share)


def states(sampler, steps: int, count: int = 40_000, prediction=perfect):
    """State and time after each step."""
    times = trailing_steps(T, steps)
    x = math.sqrt(SHARE[-1]) * (MEAN + STD * torch.randn(count, generator=generator(1)))
    x = (x + math.sqrt(1 - SHARE[-1]) * torch.randn(count, generator=generator(2))).double()
    chain = Chain(PROCESS, sampler, times, x, lambda t: generator(100 + t))
    while (question := chain.question) is not None:
        assert chain.advance(prediction(*question))
        yield [*times, 0][chain.index], chain.x


@settings(max_examples=25, deadline=None)
@given(st.integers(1, T), st.floats(0, 1))
def test_the_recursion_of_moments_stays_on_the_marginals(steps, eta):
    """Mean and variance of each step in closed form: the step is affine in x for Gaussian data."""
    times = trailing_steps(T, steps)
    share = SHARE[T - 1]
    mean, variance = math.sqrt(share) * MEAN, share * STD**2 + 1 - share
    for index, t in enumerate(times[:-1]):
        x = torch.tensor([0.0, 1.0], dtype=torch.float64)
        sampler = AnalyticDPM(errors=(data_variance(t),), eta=eta)
        quiet = AnalyticDPM(eta=eta)
        following = times[index + 1]
        ends = []
        for each in (sampler, quiet):  # same generator: the noise of both is the same draw
            chain = Chain(PROCESS, each, [t, following], x, lambda t: generator(t))
            chain.advance(perfect(x, t))
            ends.append(chain.x)
        noise = torch.randn(2, generator=generator(t)).double()
        share = SHARE[following - 1]
        before, after = SHARE[t - 1], share
        fresh = eta * math.sqrt((1 - after) / (1 - before)) * math.sqrt(1 - before / after)
        offset, end = (ends[1] - fresh * noise).tolist()
        spread = float(((ends[0] - ends[1]) / noise + fresh)[0])
        mean = offset + (end - offset) * mean
        variance = (end - offset) ** 2 * variance + spread**2
        assert mean == pytest.approx(math.sqrt(share) * MEAN, abs=1e-6)
        assert variance == pytest.approx(share * STD**2 + 1 - share, rel=1e-5)


@pytest.mark.parametrize("steps", [2, 3, 6])
def test_drawn_states_have_the_marginals_and_ddim_has_not(steps):
    errors = tuple(data_variance(t) for t in trailing_steps(T, steps))
    for t, x in states(AnalyticDPM(errors=errors), steps):
        if t:
            wanted = SHARE[t - 1] * STD**2 + 1 - SHARE[t - 1]
            # Variances of n normal numbers scatter by sqrt(2 / n).
            assert abs(float(x.var()) / wanted - 1) < 5 * math.sqrt(2 / len(x))
    t, x = [found for found in states(DDIM(), steps) if found[0]][-1]
    assert float(x.var()) < 0.98 * (SHARE[t - 1] * STD**2 + 1 - SHARE[t - 1])


def test_the_variance_is_the_papers():
    """Theorem 1 of arXiv:2201.06503, from the second moment of the noise that is predicted."""
    t, s = 12, 5
    a, b = SHARE[t - 1], SHARE[s - 1]
    noise_moment = (1 - a) / (a * STD**2 + 1 - a)  # E[eps_hat**2]
    gamma = math.sqrt(b) * math.sqrt((1 - a) / a) - math.sqrt(1 - b)
    paper = gamma**2 * (1 - noise_moment)
    kappa = math.sqrt(b) - math.sqrt(a * (1 - b) / (1 - a))
    assert kappa**2 * data_variance(t) == pytest.approx(paper)
    x = torch.zeros(1, dtype=torch.float64)
    ends = []
    for errors in ((data_variance(t),), ()):
        chain = Chain(PROCESS, AnalyticDPM(errors=errors), [t, s], x, lambda t: generator(t))
        chain.advance(perfect(x, t))
        ends.append(float(chain.x))
    drawn = float(torch.randn(1, generator=generator(t)))
    assert ((ends[0] - ends[1]) / drawn) ** 2 == pytest.approx(paper, rel=1e-5)


def test_an_imperfect_model_has_the_right_variance_from_its_own_error():
    """A step's second moment about its mean, over data: the best variance of a wrong mean."""

    def wrong(x, t):
        return perfect(0.7 * x, t)

    t, s, count = 12, 5, 200_000
    rng = np.random.default_rng(3)
    x_0 = MEAN + STD * rng.normal(size=count)
    a, b = SHARE[t - 1], SHARE[s - 1]
    eps = rng.normal(size=count)
    x_t = math.sqrt(a) * x_0 + math.sqrt(1 - a) * eps
    noise = 6 * (wrong(torch.from_numpy(x_t), t).numpy() - 0.5)
    error = float((((x_t - math.sqrt(1 - a) * noise) / math.sqrt(a) - x_0) ** 2).mean())
    # DDIM's x_s of the true x_0, which is what a step should be like.
    x_s = math.sqrt(b) * x_0 + math.sqrt(1 - b) * eps
    x = torch.from_numpy(x_t)
    chain = Chain(PROCESS, AnalyticDPM(errors=(error,)), [t, s], x, lambda t: generator(t))
    plain = Chain(PROCESS, AnalyticDPM(), [t, s], x, lambda t: generator(t))
    for each in (chain, plain):
        each.advance(wrong(x, t))
    needed = float(((x_s - plain.x.numpy()) ** 2).mean())
    assert float(((chain.x - plain.x) ** 2).mean()) == pytest.approx(needed, rel=0.02)
    assert error > 1.5 * data_variance(t)


def test_without_errors_it_is_ddim_and_its_last_step_is_the_estimate():
    for eta in (0.0, 0.4, 1.0):
        ours = [x for _, x in states(AnalyticDPM(eta=eta), 5, 50)]
        theirs = [x for _, x in states(DDIM(eta=eta), 5, 50)]
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-9)
    one = [x for _, x in states(AnalyticDPM(errors=(0.2,)), 1, 50)][-1]
    other = [x for _, x in states(DDIM(), 1, 50)][-1]
    torch.testing.assert_close(one, other)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    noise = {"process": "gaussian", "goal": "noise", "num_steps": 6, "depth": 1}
    settings = {**noise, "dataset": "digits", "train_count": 64, "image_size": 4}
    return write_run(tmp_path_factory.mktemp("runs") / "r", "q_dense", **settings)


def test_errors_are_those_of_the_runs_own_estimates(folder):
    run = load_run(folder)
    found = data_errors(run, [6, 3], count=64)
    from qdm_qiskit.training import load_split

    images = torch.from_numpy(load_split(run.config).train.images[:64])
    share = torch.cumprod(1 - run.process.noise_betas, 0)
    rng = torch.Generator().manual_seed(5)
    for t, error in zip([6, 3], found, strict=True):
        a = float(share[t - 1])
        eps = torch.randn(images.shape, generator=rng)
        x = math.sqrt(a) * images + math.sqrt(1 - a) * eps
        with torch.no_grad():
            noise = 6 * (run.model(x, torch.full((len(x),), t / 6), None) - 0.5)
        again = ((x - math.sqrt(1 - a) * noise) / math.sqrt(a) - images).square().mean()
        assert error == pytest.approx(float(again), rel=0.15)  # other draws of the noise
    assert data_errors(run, [6, 3], count=64) == found
    assert all(each == float(f"{each:.6g}") for each in found)


def test_errors_of_a_model_of_velocities_are_those_of_its_estimates(tmp_path):
    small = {"image_size": 4, "codec": "pca", "latents": 4, "num_qubits": 2, "num_steps": 6}
    quiet = {"epochs": 1, "sample_every": 0, "baseline": False}
    run = load_run(qdm.train("line", tmp_path, train_count=64, **small, **quiet).run)
    assert run.config.diffusion.process == "velocity"
    found = data_errors(run, [6, 3], count=64)
    from qdm_qiskit.training import load_split

    images = torch.from_numpy(load_split(run.config).train.images[:64])
    rng = torch.Generator().manual_seed(5)
    with torch.no_grad():
        x_0 = run.process.to_states(run.model.encode_data(images))
        for t, error in zip([6, 3], found, strict=True):
            again = []
            for _ in range(20):
                alpha, sigma = run.process.scales(t, x_0)
                x = alpha * x_0 + sigma * torch.randn(x_0.shape, generator=rng)
                velocity = run.model(x, torch.full((len(x),), t / 6), None)
                again.append((run.process.estimate(x, t, velocity) - x_0).square().mean())
            assert error == pytest.approx(float(torch.stack(again).mean()), rel=0.15)
    made = qdm.sample(run, scheduler="analytic", num_inference_steps=2, num_images=2)
    assert made.manifest["sampler"]["options"]["errors"] == repr(data_errors(run, [6, 3]))


def test_sampling_by_name_fits_it_and_keeps_the_errors(folder):
    run = load_run(folder)
    found = qdm.sample(run, scheduler="analytic", num_inference_steps=3, num_images=2, eta=0.5)
    options = found.manifest["sampler"]["options"]
    errors = data_errors(run, [6, 4, 2])
    assert options == {"errors": repr(errors), "eta": 0.5}
    again = qdm.sample(run, sampler=AnalyticDPM(errors, 0.5), num_inference_steps=3, num_images=2)
    np.testing.assert_array_equal(found.images, again.images)
    plain = qdm.sample(run, scheduler="ddim", num_inference_steps=3, num_images=2, eta=0.5)
    assert not np.array_equal(found.trajectory[1], plain.trajectory[1])
    other = fitted(run, DDIM(), [6])
    assert other == DDIM()


def test_a_plan_keeps_the_errors_and_needs_no_data(folder, tmp_path, monkeypatch):
    options = {"num_images": 2, "shots": 64, "scheduler": "analytic", "num_inference_steps": 3}
    made = qdm.plan(folder, "aer", root=tmp_path / "hw", **options)
    kept = json.loads(made.calls.sampler.options)["errors"]
    assert kept == repr(data_errors(load_run(folder), [6, 4, 2]))
    monkeypatch.setattr(analytic, "load_split", lambda config: pytest.fail("data were read"))
    done = qdm.submit(made, root=tmp_path / "hw", yes=True)
    assert done.images.shape == (2, 1, 4, 4)
    assert qdm.replay(done, root=tmp_path / "hw")


def test_wrong_errors_are_refused(folder, monkeypatch):
    with pytest.raises(InvalidOption, match=r"errors are finite numbers >= 0, got \(-1.0,\)"):
        AnalyticDPM(errors=(-1.0,))
    with pytest.raises(InvalidOption, match=r"one number for each step, got 1 and step 2"):
        list(states(AnalyticDPM(errors=(0.1,)), 4, 5))
    run = load_run(write_run(folder.parent / "other", "q_dense", dataset="npz:/nowhere.npz"))
    with pytest.raises(InvalidOption, match=r"needs a model that predicts the noise"):
        sample(run, qdm.SamplingConfig(scheduler="analytic"))
    noise = {"process": "gaussian", "goal": "noise", "dataset": "npz:/nowhere.npz"}
    gone = load_run(write_run(folder.parent / "gone", "q_dense", **noise))
    with pytest.raises(MissingData, match="nowhere"):
        sample(gone, qdm.SamplingConfig(scheduler="analytic"))
