"""Few steps, each with the variance that the model's own error asks for.

A step from t to s with q(x_s | x_t, x_0) at the *estimated* x_0 has the right mean and too little
variance: of all x_0 that may lie behind an x_t it takes one. Bao et al. add what is missing. It is more
with fewer steps, and more for a model that errs more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, final

import torch
from torch import Tensor

from ..arguments import real_number, whole_number
from ..errors import InvalidOption
from ..layers.arrays import device_of
from ..rng import derived_seed
from ..training import load_split
from .continuous import estimate, sigma
from .discrete import Trailing, check_eta, radius_of
from .samplers import Sampler, Step

if TYPE_CHECKING:
    from .trained_run import TrainedRun

__all__ = ["AnalyticDPM", "data_errors", "fitted"]

COUNT = 256
"""Training images by default, each with one draw of the noise."""
DIGITS = 6
"""Significant digits of a kept error: a plan keeps them all in its text of a thousand characters."""


@final
@dataclass(frozen=True)
class AnalyticDPM(Trailing):
    """Analytic-DPM, of a model whose estimates of x_0 are not perfect.

    The mean of a step is DDIM's. Its variance is DDIM's own, plus ``kappa**2`` times the mean squared
    error of the estimate of x_0, where ``kappa`` is how far the mean moves with that estimate. The last
    step, which ends at the data, gives the estimate itself.

    References:
        Bao et al., arXiv:2201.06503, theorem 1, and arXiv:2206.07309, section 4, for means that are not
        the best; there the errors are those of the predicted noise.
    """

    name: ClassVar[str] = "analytic"
    errors: tuple[float, ...] = ()
    """Mean squared error of the estimate of x_0 at each time of the chain, from :func:`data_errors`.
    Without any, estimates are taken for perfect, which is DDIM; a run that is sampled or planned by the
    sampler's name fits them."""
    eta: float = 0.0
    """Share of DDPM's noise that is added besides, 0 to 1."""

    def __post_init__(self) -> None:
        errors = tuple(real_number(each, "errors") for each in self.errors)
        if not all(math.isfinite(each) and each >= 0 for each in errors):
            raise InvalidOption(f"errors are finite numbers >= 0, got {self.errors}.")
        object.__setattr__(self, "errors", errors)
        check_eta(self.eta)

    def step(self, x: Tensor, prediction: Tensor, here: Step) -> Tensor:
        """See :meth:`~.Sampler.step`."""
        before, after = here.u, here.u_following
        fresh = self.eta * sigma(after) / sigma(before) * math.sqrt(-math.expm1(after - before))
        kept = math.sqrt(max(0.0, sigma(after) ** 2 - fresh**2)) / sigma(before)
        data = estimate(x, prediction, before, 0.0, radius=radius_of(here.process))
        kappa = math.exp(-after / 2) - kept * math.exp(-before / 2)
        mean = kappa * data + kept * x
        if not here.following:
            return mean
        variance = fresh**2 + kappa**2 * self._error(here)
        return mean + math.sqrt(variance) * here.normal(x) if variance else mean

    def _error(self, here: Step) -> float:
        if not self.errors:
            return 0.0
        if here.index >= len(self.errors):
            raise InvalidOption(
                f"errors holds one number for each step, got {len(self.errors)} and step "
                f"{here.index + 1}."
            )
        return self.errors[here.index]


@torch.no_grad()
def data_errors(
    run: TrainedRun, times: list[int], *, count: int = COUNT, seed: int = 0
) -> tuple[float, ...]:
    """Return the mean squared error of a model's estimates of x_0, on its training data.

    Args:
        run: The run; its model is evaluated exactly.
        times: Times t, 1 to T.
        count: Training images, the first so many; all if there are fewer.
        seed: Seed of the noise.

    Returns:
        One error for each time, of a pixel, with :data:`DIGITS` digits.

    Raises:
        InvalidOption: If the run's model does not predict noise.
        MissingData, InvalidData: If its training data are not there.
    """
    process, model = run.process, run.model
    if process.noise_betas is None:
        raise InvalidOption(
            f"Sampler '{AnalyticDPM.name}' needs a model that predicts the noise of a Gaussian process."
        )
    train = load_split(run.config).train
    images = torch.from_numpy(train.images[: whole_number(count, "count")])
    x_0 = process.to_states(model.encode_data(images.to(device_of(model)))).cpu()
    labels = _positions(run, train.labels[: len(images)])
    u = torch.cat(
        [torch.zeros(1, dtype=torch.float64), -torch.log1p(-process.noise_betas).cumsum(0)]
    )
    found = []
    for t in times:
        at = float(u[t])
        generator = torch.Generator().manual_seed(derived_seed(seed, "evaluation", 41, t))
        eps = torch.randn(x_0.shape, generator=generator).to(x_0)
        x = math.exp(-at / 2) * x_0 + sigma(at) * eps
        told = torch.full((len(x),), t / process.num_steps)
        moved = [each if each is None else each.to(device_of(model)) for each in (x, told, labels)]
        noise = process.noise_of(model(*moved).cpu(), t, x)
        error = estimate(x, noise, at, 0.0, radius=radius_of(process)) - x_0
        found.append(float(f"{float((error**2).mean()):.{DIGITS}g}"))
    return tuple(found)


def _positions(run: TrainedRun, labels: object) -> Tensor | None:
    if not getattr(run.config.model_options, "guided", False):
        return None
    position = run.class_positions()
    return torch.tensor([position[int(each)] for each in labels])  # type: ignore[attr-defined]


def fitted(run: TrainedRun, sampler: Sampler, times: list[int]) -> Sampler:
    """Return a sampler for a run: this module's with the run's errors, any other as it is.

    Args:
        run: The run that is sampled.
        sampler: Its sampler.
        times: Times that it visits.

    Raises:
        InvalidOption, MissingData, InvalidData: As :func:`data_errors`.
    """
    if not isinstance(sampler, AnalyticDPM) or sampler.errors:
        return sampler
    return replace(sampler, errors=data_errors(run, times))
