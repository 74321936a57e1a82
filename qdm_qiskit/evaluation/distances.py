"""Distances between sets of feature vectors, and the score of a set of class probabilities.

A set is an array ``(images, features)`` of a network's features. The formulas are those of
FID (Heusel et al., arXiv:1706.08500), KID (Bińkowski et al., arXiv:1801.01401) and the Inception
score (Salimans et al., arXiv:1606.03498), whatever the network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax, logsumexp

from ..arguments import random_generator, real_array, whole_number
from ..errors import InvalidData, InvalidOption

__all__ = [
    "KernelMatrices",
    "classifier_score",
    "frechet_distance",
    "kernel_distance",
    "polynomial_kernel",
    "subset_kernel_distance",
]


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Fréchet distance (squared 2-Wasserstein distance) of the Gaussians with their moments.

    ``|mean_x - mean_y|^2 + tr(S_x + S_y - 2 (S_x S_y)^(1/2))`` with the unbiased covariances S. With
    ``S = R^T R`` the last trace is the sum of the singular values of ``R_x R_y^T``, so no matrix
    root is taken and singular covariances do no harm. Few images make the distance too large.

    Args:
        x: ``(images, features)``, at least 2 images.
        y: ``(others, features)``, likewise.

    Returns:
        0 for equal moments, up to rounding.

    Raises:
        InvalidData: If the shapes do not fit or a number is not finite.
    """
    x, y = _checked_pair(x, y)
    roots = []
    for each in (x, y):
        centred = (each - each.mean(axis=0)) / np.sqrt(len(each) - 1)
        roots.append(np.asarray(np.linalg.qr(centred, mode="r")))
    shift = x.mean(axis=0) - y.mean(axis=0)
    overlap = np.linalg.svdvals(roots[0] @ roots[1].T).sum()
    return float(shift @ shift + sum((root**2).sum() for root in roots) - 2 * overlap)


def polynomial_kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """KID's kernel ``(x y^T / features + 1)^3``, ``(images, others)``.

    Raises:
        InvalidData: If the shapes do not fit or a number is not finite.
    """
    x, y = _checked(x, "x"), _checked(y, "y")
    _check_features(x, y)
    return (x @ y.T / x.shape[1] + 1) ** 3


@dataclass(frozen=True, eq=False)
class KernelMatrices:
    """The kernels of two sets, computed once for all resamples."""

    xx: np.ndarray
    """``(images, images)``"""
    yy: np.ndarray
    """``(others, others)``"""
    xy: np.ndarray
    """``(images, others)``"""

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray) -> KernelMatrices:
        """The matrices of two sets of features.

        Raises:
            InvalidData: If the shapes do not fit or a number is not finite.
        """
        x, y = _checked_pair(x, y)
        return cls(polynomial_kernel(x, x), polynomial_kernel(y, y), polynomial_kernel(x, y))

    def distance(self, indices_x: np.ndarray, indices_y: np.ndarray) -> float:
        """The squared maximum mean discrepancy of the chosen images; an image may stand twice.

        Pairs of an image with itself are left out, also where a resample holds it twice: over
        resamples with replacement the mean is then the distance of the sets themselves.
        """
        w = np.bincount(indices_x, minlength=len(self.xx)).astype(np.float64)
        v = np.bincount(indices_y, minlength=len(self.yy)).astype(np.float64)
        cross = w @ self.xy @ v / (w.sum() * v.sum())
        return float(_mean_of_pairs(self.xx, w) + _mean_of_pairs(self.yy, v) - 2 * cross)


def kernel_distance(x: np.ndarray, y: np.ndarray) -> float:
    """KID of whole sets: the unbiased squared maximum mean discrepancy.

    Its expectation for sets of one distribution is 0, whatever their size, so it is negative about
    as often as not.

    Args:
        x: ``(images, features)``, at least 2 images.
        y: ``(others, features)``, likewise; the counts may differ.

    Raises:
        InvalidData: If the shapes do not fit or a number is not finite.
    """
    matrices = KernelMatrices.of(x, y)
    return matrices.distance(np.arange(len(x)), np.arange(len(y)))


def subset_kernel_distance(
    x: np.ndarray,
    y: np.ndarray,
    rng: np.random.Generator,
    *,
    subset_size: int,
    subsets: int = 100,
) -> tuple[float, float]:
    """KID as papers print it: mean and standard deviation over random subsets.

    Args:
        x: ``(images, features)``.
        y: ``(others, features)``.
        rng: Chooses the subsets, each without replacement.
        subset_size: Images of each set in a subset, at least 2 and at most what both have.
        subsets: Number of subsets, at least 1.

    Returns:
        Mean, and standard deviation with divisor ``subsets``: the spread of small subsets, no
        interval for the mean.

    Raises:
        InvalidOption: If ``subset_size`` or ``subsets`` is out of range.
        InvalidData: If the shapes do not fit or a number is not finite.
    """
    x, y = _checked_pair(x, y)
    random_generator(rng, "rng")
    subset_size = whole_number(subset_size, "subset_size")
    subsets = whole_number(subsets, "subsets")
    if not 2 <= subset_size <= min(len(x), len(y)) or subsets < 1:
        raise InvalidOption(
            f"KID takes at least 1 subset of 2 to {min(len(x), len(y))} images, got {subsets} of "
            f"{subset_size}: take smaller subsets, or more images."
        )
    values = [
        kernel_distance(
            x[rng.permutation(len(x))[:subset_size]], y[rng.permutation(len(y))[:subset_size]]
        )
        for _ in range(subsets)
    ]
    return float(np.mean(values)), float(np.std(values))


def classifier_score(logits: np.ndarray, splits: int = 1) -> tuple[float, float]:
    """The Inception score of a classifier's predictions: exp of their mutual information.

    Args:
        logits: ``(images, classes)`` before the softmax.
        splits: Parts, in the order of the images, each scored by itself: of ``ceil(images / splits)``
            images, as torchmetrics cuts them, so that 11 images in 10 splits are 6 parts.

    Returns:
        Mean over the parts, from 1 to the number of classes, and their sample standard deviation; 0
        for one part.

    Raises:
        InvalidOption: If there are fewer images than parts.
        InvalidData: If the array has another shape or a number is not finite.
    """
    logits = _checked(logits, "logits")
    splits = whole_number(splits, "splits")
    if not 1 <= splits <= len(logits):
        raise InvalidOption(
            f"The score takes 1 to {len(logits)} splits of {len(logits)} images, got {splits}."
        )
    size = -(-len(logits) // splits)
    scores = []
    for start in range(0, len(logits), size):
        log_p = log_softmax(logits[start : start + size], axis=1)
        log_mean = logsumexp(log_p, axis=0) - np.log(len(log_p))
        scores.append(np.exp((np.exp(log_p) * (log_p - log_mean)).sum(axis=1).mean()))
    spread = float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0
    return float(np.mean(scores)), spread


def _mean_of_pairs(kernel: np.ndarray, weights: np.ndarray) -> float:
    """Mean kernel over pairs of different images, each pair weighted by how often it stands there."""
    total = weights @ kernel @ weights - weights**2 @ kernel.diagonal()
    pairs = weights.sum() ** 2 - (weights**2).sum()
    if pairs == 0:  # a resample of one image alone
        return float(kernel.diagonal()[weights > 0][0])
    return float(total / pairs)


def _checked(x: np.ndarray, name: str) -> np.ndarray:
    x = real_array(x, name)
    if x.ndim != 2 or 0 in x.shape or not np.isfinite(x).all():
        raise InvalidData(
            f"Features are finite numbers of shape (images, features), got shape {x.shape}."
        )
    return x


def _checked_pair(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = _checked(x, "x"), _checked(y, "y")
    _check_features(x, y)
    if min(len(x), len(y)) < 2:
        raise InvalidData(
            "A distance needs the features of at least 2 images in each set, got shapes "
            f"{x.shape} and {y.shape}."
        )
    return x, y


def _check_features(x: np.ndarray, y: np.ndarray) -> None:
    if x.shape[1] != y.shape[1]:
        raise InvalidData(
            "Two sets of images are compared by the same number of features, got shapes "
            f"{x.shape} and {y.shape}."
        )
