"""Every distance equals torchmetrics or a few lines of numpy, and has the mean that it should."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.evaluation.distances import (
    KernelMatrices,
    classifier_score,
    frechet_distance,
    kernel_distance,
    subset_kernel_distance,
)


class Features(nn.Module):
    """Hands features through, so that torchmetrics measures ours."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.num_features = number

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.fixture
def sets() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    mix = rng.normal(size=(6, 6))
    return rng.normal(size=(60, 6)) @ mix, rng.normal(size=(60, 6)) + 0.4


def moments_frechet(x: np.ndarray, y: np.ndarray) -> float:
    """The formula with scipy's matrix root."""
    a, b = np.cov(x.T), np.cov(y.T)
    root = scipy.linalg.sqrtm(a @ b)
    shift = x.mean(0) - y.mean(0)
    return float(shift @ shift + np.trace(a + b - 2 * root.real))


def slow_kid(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimator, pair by pair."""

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / len(a) + 1) ** 3)

    xx = np.mean([k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    yy = np.mean([k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    return float(xx + yy - 2 * np.mean([k(a, b) for a in x for b in y]))


def test_frechet_distance_is_torchmetrics_and_the_formula(sets):
    x, y = sets
    metric = FrechetInceptionDistance(feature=Features(6), normalize=True)
    metric.update(torch.from_numpy(y), real=True)
    metric.update(torch.from_numpy(x), real=False)
    assert frechet_distance(x, y) == pytest.approx(float(metric.compute()), rel=1e-9)
    assert frechet_distance(x, y[:41]) == pytest.approx(moments_frechet(x, y[:41]), rel=1e-9)


def test_frechet_distance_of_known_gaussians():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200_000, 2)) * [1, 2]
    y = rng.normal(size=(200_000, 2)) * [3, 1] + [0.5, 0]
    # Diagonal covariances: |shift|^2 + sum (sigma_x - sigma_y)^2.
    assert frechet_distance(x, y) == pytest.approx(0.25 + 4 + 1, rel=0.02)


@pytest.mark.parametrize("images", [5, 60])
def test_frechet_distance_of_a_set_with_itself_is_zero(sets, images):
    x = sets[0][:images]  # 5 images of 6 features: a singular covariance
    assert abs(frechet_distance(x, x)) < 1e-9
    assert frechet_distance(x, x + 1) == pytest.approx(6)


def test_kernel_distance_is_torchmetrics_and_the_definition(sets):
    x, y = sets
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells of the memory that features take
        metric = KernelInceptionDistance(feature=Features(6), subsets=2, subset_size=60)
    metric.update(torch.from_numpy(y), real=True)
    metric.update(torch.from_numpy(x), real=False)
    assert kernel_distance(x, y) == pytest.approx(float(metric.compute()[0]), rel=1e-9)
    assert kernel_distance(x, y[:13]) == pytest.approx(slow_kid(x, y[:13]), rel=1e-9)
    rng = np.random.default_rng(0)
    mean, spread = subset_kernel_distance(x, y, rng, subset_size=60, subsets=2)
    assert (mean, spread) == (pytest.approx(kernel_distance(x, y)), pytest.approx(0, abs=1e-12))


def test_kernel_distance_is_unbiased_and_the_frechet_distance_is_not():
    rng = np.random.default_rng(2)
    pairs = [rng.normal(size=(2, 12, 4)) for _ in range(1500)]
    kid = np.array([kernel_distance(x, y) for x, y in pairs])
    error = kid.std() / np.sqrt(len(kid))
    assert abs(kid.mean()) < 4 * error
    # The plug-in estimate, which counts each image with itself, would be far off on this scale.
    plug_in = np.array([_plug_in(x, y) for x, y in pairs])
    assert plug_in.mean() > 20 * error
    assert np.mean([frechet_distance(x, y) for x, y in pairs[:200]]) > 0.5


def _plug_in(x: np.ndarray, y: np.ndarray) -> float:
    k = KernelMatrices.of(x, y)
    return float(k.xx.mean() + k.yy.mean() - 2 * k.xy.mean())


def test_resampled_kernel_distance_keeps_its_mean(sets):
    x, y = sets[0][:15], sets[1][:20]
    kernels = KernelMatrices.of(x, y)
    whole = kernels.distance(np.arange(15), np.arange(20))
    assert whole == pytest.approx(kernel_distance(x, y))
    rng = np.random.default_rng(3)
    again = [
        kernels.distance(rng.integers(15, size=15), rng.integers(20, size=20)) for _ in range(4000)
    ]
    assert np.mean(again) == pytest.approx(whole, abs=4 * np.std(again) / np.sqrt(len(again)))
    assert np.isfinite(kernels.distance(np.zeros(15, int), np.zeros(20, int)))


@pytest.mark.parametrize("splits", [1, 10])
def test_classifier_score_is_the_inception_score(splits):
    logits = np.random.default_rng(4).normal(size=(97, 7)) * 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metric = InceptionScore(feature=Features(7), splits=splits)
    metric.update(torch.from_numpy(logits))
    torch.manual_seed(8)
    order = torch.randperm(97).numpy()  # the order in which torchmetrics will take them
    torch.manual_seed(8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no deviation of one split
        mean, spread = metric.compute()
    ours = classifier_score(logits[order], splits)
    assert ours[0] == pytest.approx(float(mean), rel=1e-6)
    assert ours[1] == pytest.approx(0 if splits == 1 else float(spread), rel=1e-6)


def test_classifier_score_at_its_ends():
    sure = 200.0 * np.eye(5)[np.arange(50) % 5]
    assert classifier_score(sure)[0] == pytest.approx(5)
    assert classifier_score(np.zeros((50, 5)))[0] == pytest.approx(1)
    assert classifier_score(sure[:1].repeat(50, axis=0))[0] == pytest.approx(1)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3))),
        (np.zeros((5, 3)), np.zeros((5, 4))),
        (np.zeros(5), np.zeros((5, 1))),
        (np.full((5, 3), np.nan), np.zeros((5, 3))),
        (np.zeros((5, 3)), np.full((5, 3), np.inf)),
    ],
)
def test_sets_that_have_no_distance_are_refused(x, y):
    for distance in (frechet_distance, kernel_distance):
        with pytest.raises(InvalidData, match=r"(?i)features"):
            distance(x, y)


def test_subsets_and_splits_that_do_not_fit_are_refused(sets):
    rng = np.random.default_rng(0)
    for size in (1, 61):
        with pytest.raises(InvalidOption, match="2 to 60 images"):
            subset_kernel_distance(*sets, rng, subset_size=size)
    with pytest.raises(InvalidOption, match="1 to 60 splits"):
        classifier_score(sets[0], 61)
