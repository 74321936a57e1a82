"""Variational bound of a trained run, with fixed covariances of the reverse steps or learned ones.

QAMP's text has the bound, and covariances "often fixed to beta_t I or learned". Every step is
p(x_{t-1} | x_t) = N(mu, s_t I), where mu is the mean that the model's estimate of x_0 stands for,
and s_t is ``beta_t``, the posterior's ``beta~_t``, or the one with the lowest bound on training
data. The latter has a closed form, ``beta~_t`` plus the mean squared error of the mean, so every
model that predicts noise has it, circuits included, and its training stays as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch

from ..arguments import of_kind, whole_number
from ..errors import InvalidOption
from ..layers.arrays import device_of
from ..rng import derived_seed
from ..training import load_split
from .continuous import estimate, sigma
from .discrete import radius_of
from .trained_run import TrainedRun

__all__ = [
    "Bound",
    "Covariance",
    "bound_of_errors",
    "learned_variances",
    "mean_errors",
    "posterior_variances",
    "variational_bound",
]

Covariance = Literal["beta", "posterior", "learned"]
"""Variance of the reverse steps: beta_t, that of q(x_{t-1} | x_t, x_0), or fitted to the bound."""
COUNT = 256
"""Images by default, each with one draw of the noise at every step."""


@dataclass(frozen=True, eq=False)
class Bound:
    """Terms of a bound of -log2 of the density of x_0, in bits a dimension."""

    covariance: Covariance
    prior: float
    """KL of x_T from the standard normal, L_T."""
    steps: np.ndarray
    """``(T - 1,)``: KL of the steps t = 2 .. T, L_{t-1}."""
    data: float
    """-log2 of the density of x_0 given x_1, L_0. x_0 is continuous, so it may be below 0."""
    variances: np.ndarray
    """``(T,)``: s_1 .. s_T."""

    @property
    def total(self) -> float:
        """The bound: the sum of all terms."""
        return self.prior + float(self.steps.sum()) + self.data


def posterior_variances(betas: np.ndarray) -> np.ndarray:
    """Return beta~_1 .. beta~_T of betas ``(T,)``; the first is 0."""
    kept = np.cumprod(1 - betas)
    before = np.concatenate([[1.0], kept[:-1]])
    return betas * (1 - before) / (1 - kept)


def learned_variances(betas: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return the variances with the lowest bound, ``(T,)``.

    Args:
        betas: ``(T,)``.
        errors: ``(T,)``, mean squared errors of the means, from :func:`mean_errors`.
    """
    return posterior_variances(betas) + errors


def bound_of_errors(
    betas: np.ndarray,
    errors: np.ndarray,
    square: float,
    covariance: Covariance,
    fitted: np.ndarray | None = None,
) -> Bound:
    """Return the bound of a chain whose means have these errors.

    Args:
        betas: ``(T,)``, in (0, 1).
        errors: ``(T,)``, mean squared errors of the means of the steps, a dimension; above 0 at t = 1.
        square: Mean square of x_0, a dimension.
        covariance: Variance of the steps. The posterior's is 0 at t = 1 and takes that of t = 2 there,
            as Ho et al. have it; with T = 1, beta_1.
        fitted: ``(T,)``, errors to which "learned" is fitted, as those of other images; None for
            ``errors``.

    Raises:
        InvalidOption: If the covariance is unknown.

    References:
        Ho et al., arXiv:2006.11239, equation 5; Bao et al., arXiv:2201.06503, theorem 1.
    """
    if covariance not in get_args(Covariance):
        raise InvalidOption(
            f"covariance is one of {', '.join(get_args(Covariance))}, got {covariance!r:.40}."
        )
    posterior = posterior_variances(betas)
    if covariance == "beta":
        variances = betas.copy()
    elif covariance == "learned":
        variances = learned_variances(betas, errors if fitted is None else fitted)
    else:
        first = posterior[1] if len(betas) > 1 else betas[0]
        variances = np.concatenate([[first], posterior[1:]])
    later, spread = slice(1, None), variances[1:]
    steps = (np.log(spread / posterior[later]) + (posterior + errors)[later] / spread - 1) / 2
    data = (math.log(2 * math.pi * variances[0]) + errors[0] / variances[0]) / 2
    left = float(np.prod(1 - betas))
    prior = ((1 - left) + left * square - 1 - math.log1p(-left)) / 2
    bits = math.log(2)
    return Bound(covariance, prior / bits, steps / bits, data / bits, variances)


@torch.no_grad()
def mean_errors(
    run: TrainedRun,
    *,
    part: Literal["train", "test"] = "train",
    count: int = COUNT,
    seed: int = 0,
) -> tuple[np.ndarray, float]:
    """Return how far a model's means are from those that know x_0, and the mean square of x_0.

    Args:
        run: The run; its model is evaluated exactly.
        part: Images that it learnt from, or unseen ones.
        count: The first so many images; all if there are fewer.
        seed: Seed of the noise.

    Returns:
        ``(T,)`` mean squared errors of the means of p(x_{t-1} | x_t), a dimension, and the square.

    Raises:
        InvalidOption: If the run's model does not predict noise, or part is unknown.
        MissingData, InvalidData: If its data are not there.
    """
    process, model = run.process, run.model
    if process.noise_betas is None:
        raise InvalidOption(
            "A variational bound needs a model that predicts the noise of a Gaussian process: train it "
            "with process=ddpm, velocity, or gaussian and goal=noise."
        )
    if part not in ("train", "test"):
        raise InvalidOption(f"part is 'train' or 'test', got {part!r:.40}.")
    chosen = getattr(load_split(run.config), part)
    images = torch.from_numpy(chosen.images[: whole_number(count, "count")])
    place = device_of(model)
    x_0 = process.to_states(model.encode_data(images.to(place))).cpu()
    labels = None
    if getattr(run.config.model_options, "guided", False):
        position = run.class_positions()
        labels = torch.tensor([position[int(each)] for each in chosen.labels[: len(images)]])
        labels = labels.to(place)
    betas = process.noise_betas.double()
    u = torch.cat([torch.zeros(1, dtype=torch.float64), -torch.log1p(-betas).cumsum(0)])
    found = []
    for t in range(1, process.num_steps + 1):
        at, before = float(u[t]), float(u[t - 1])
        generator = torch.Generator().manual_seed(derived_seed(seed, "evaluation", 42, t))
        eps = torch.randn(x_0.shape, generator=generator).to(x_0)
        x = math.exp(-at / 2) * x_0 + sigma(at) * eps
        told = torch.full((len(x),), t / process.num_steps).to(place)
        noise = process.noise_of(model(x.to(place), told, labels).cpu(), t, x)
        off = estimate(x, noise, at, 0.0, radius=radius_of(process)) - x_0
        moved = math.exp(-before / 2) * float(betas[t - 1]) / sigma(at) ** 2
        found.append(moved**2 * float((off.double() ** 2).mean()))
    return np.array(found), float((x_0.double() ** 2).mean())


def variational_bound(
    run: TrainedRun,
    covariance: Covariance = "learned",
    *,
    count: int = COUNT,
    seed: int = 0,
) -> Bound:
    """Return the bound of a run on unseen images; learned variances are those of training images.

    Args:
        run: The run.
        covariance: Variance of the reverse steps.
        count: Images of each part at most.
        seed: Seed of the noise.

    Raises:
        InvalidOption, MissingData, InvalidData: As :func:`mean_errors`.
    """
    of_kind(run, TrainedRun, "run", "`qdm_qiskit.sampling.load_run(folder)` makes one")
    errors, square = mean_errors(run, part="test", count=count, seed=seed)
    fitted = None
    if covariance == "learned":
        fitted, _ = mean_errors(run, count=count, seed=seed)
    betas = run.process.noise_betas
    assert betas is not None  # else there were no errors
    return bound_of_errors(betas.double().numpy(), errors, square, covariance, fitted)
