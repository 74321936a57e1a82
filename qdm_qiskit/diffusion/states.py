"""Gaussian noise on complex amplitudes, as Cacioppo et al. and QAMP train on it."""

from __future__ import annotations

import math
from typing import Literal, final

import torch
from torch import Tensor

from ..errors import InvalidData, InvalidOption
from .base import DiffusionProcess, Goal, TrainingPairs, all_steps, check_batch, check_start
from .noise_prediction import LARGEST_BETA, Schedule, betas

__all__ = [
    "COSINE_OFFSET",
    "DATA_NORM",
    "ComplexGaussian",
    "NoiseKind",
    "infidelity",
    "unit_states",
]

NoiseKind = Literal["complex", "real"]
"""Normal numbers for real and imaginary parts alike, or for the real parts alone."""
COSINE_OFFSET = 1e-4
"""Offset of the published code's cosine schedule, which also takes the square root of the step."""
DATA_NORM = 0.567
"""L2 norm that the published code leaves to MNIST: normalised at 28 x 28, then resized to 16 x 16."""


@final
class ComplexGaussian(DiffusionProcess):
    """``x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) (e_r + i e_i)``; the model predicts mu_t.

    e_r and e_i are standard normal, so complex noise has variance 2 in each entry. mu_t is the mean of
    q(x_{t-1} | x_t, x_0)::

        sqrt(alpha_bar_{t-1}) beta_t / (1 - alpha_bar_t) x_0
            + sqrt(1 - beta_t) (1 - alpha_bar_{t-1}) / (1 - alpha_bar_t) x_t

    Both x_t and mu_t are divided by their norms, and the loss is the infidelity
    ``1 - |<prediction|mu_t>|**2``. Sampling starts from normalised noise and takes the prediction as
    x_{t-1}, without any noise.

    beta_t is entry t of ``linspace(beta_start, beta_end, T + 1)``, so that beta_end itself is never
    reached, as in the published code.

    Args:
        num_steps: T, at least 1; both papers take 10.
        goal: "data"; nothing else is predicted.
        schedule: Of the betas; the cosine one takes no betas, the constant one only the first.
        beta_start: beta_1, in (0, 1).
        beta_end: Where the linear schedule would be at T + 1, in (0, 1).
        noise: Complex or real.
        data_norm: L2 norm of x_0 before noise is added; with noise of variance 1 in each entry it
            decides how much of an image is left. See :data:`DATA_NORM`.

    Raises:
        InvalidOption: If an argument is out of range.

    References:
        Cacioppo et al., arXiv:2311.15444, and the authors' code; QAMP 2025.
    """

    state_space = "complex"
    keeps_prediction = True

    def __init__(
        self,
        num_steps: int = 10,
        goal: Goal = "data",
        *,
        schedule: Schedule = "constant",
        beta_start: float = 0.01,
        beta_end: float = 0.01,
        noise: NoiseKind = "complex",
        data_norm: float = DATA_NORM,
    ) -> None:
        super().__init__(num_steps)
        if goal != "data":
            raise InvalidOption(
                f"Process 'complex_gaussian' predicts mu_t: goal is 'data', got {goal!r}."
            )
        if noise not in ("complex", "real"):
            raise InvalidOption(f"noise is 'complex' or 'real', got {noise!r}.")
        if not (math.isfinite(data_norm) and data_norm > 0):
            raise InvalidOption(f"data_norm must be a finite number above 0, got {data_norm}.")
        self.noise: NoiseKind = noise
        self.data_norm = data_norm
        self.beta = _state_betas(schedule, num_steps, beta_start, beta_end)
        self.alpha_bar = torch.cumprod(1 - self.beta, dim=0)

    def to_states(self, images: Tensor) -> Tensor:
        """Complex arrays of norm ``data_norm`` and phase zero.

        Raises:
            InvalidData: If one is zero everywhere or not finite.
        """
        return self.data_norm * unit_states(torch.complex(images, torch.zeros_like(images)))

    def to_images(self, states: Tensor) -> Tensor:
        """Moduli, divided by the largest of each state."""
        moduli = states.abs()
        largest = moduli.flatten(1).amax(dim=1)
        return moduli / largest.reshape(-1, *[1] * (states.ndim - 1))

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Noise ``e_r + i e_i``, or e_r, of a shape; complex64 on the CPU."""
        real = torch.randn(shape, generator=generator)
        if self.noise == "real":
            return torch.complex(real, torch.zeros_like(real))
        return torch.complex(real, torch.randn(shape, generator=generator))

    def add_noise(self, x_0: Tensor, noise: Tensor, step: Tensor) -> Tensor:
        """x_t before it is normalised, from x_0 and noise at steps ``(pairs,)``."""
        # Roots in float64: 1 - alpha_bar_1 is as small as beta_1.
        signal, spread = self.alpha_bar.sqrt(), (1 - self.alpha_bar).sqrt()
        return _column(signal, step - 1, x_0) * x_0 + _column(spread, step - 1, x_0) * noise

    def noised(self, x_0: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """See :meth:`.DiffusionProcess.noised`; normalised, as the model sees it."""
        steps = torch.full((len(x_0),), step, device=x_0.device)
        noise = self.draw(tuple(x_0.shape), generator).to(x_0)
        return unit_states(self.add_noise(x_0, noise, steps))

    def posterior_mean(self, x_0: Tensor, x_t: Tensor, step: Tensor) -> Tensor:
        """mu_t before it is normalised, from x_0 and the x_t that is not, at steps ``(pairs,)``."""
        before = torch.cat([torch.ones(1, dtype=torch.float64), self.alpha_bar[:-1]])
        left = 1 - self.alpha_bar
        of_x_0 = before.sqrt() * self.beta / left
        of_x_t = (1 - self.beta).sqrt() * (1 - before) / left
        return _column(of_x_0, step - 1, x_0) * x_0 + _column(of_x_t, step - 1, x_0) * x_t

    def training_pairs(self, x_0: Tensor, generator: torch.Generator) -> TrainingPairs:
        """All T steps of each x_0, with noise of its own for each.

        Args:
            x_0: ``(batch, ...)`` complex, from :meth:`to_states`.
            generator: Source of the noise, on the CPU.

        Returns:
            ``T * batch`` pairs of normalised states; the first ``batch`` belong to t = 1.
        """
        check_batch(x_0, generator)
        step, source = all_steps(self.num_steps, x_0)
        start = x_0[source]
        x_t = self.add_noise(start, self.draw(tuple(start.shape), generator).to(x_0), step)
        target = self.posterior_mean(start, x_t, step)
        return TrainingPairs(unit_states(x_t), step, unit_states(target), source)

    def losses(self, prediction: Tensor, pairs: TrainingPairs) -> Tensor:
        """Infidelity of prediction and target, ``(pairs,)``."""
        return infidelity(prediction, pairs.target)

    def identity_losses(self, pairs: TrainingPairs) -> Tensor:
        """Infidelity of x_t itself, ``(pairs,)``."""
        return infidelity(pairs.noisy, pairs.target)

    def start(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Normalised noise."""
        check_start(shape, generator)
        return unit_states(self.draw(shape, generator))

    def reverse_step(
        self, x: Tensor, step: int, prediction: Tensor, generator: torch.Generator
    ) -> Tensor:
        """The prediction."""
        return prediction


def infidelity(a: Tensor, b: Tensor) -> Tensor:
    """``1 - |<a|b>|**2 / (<a|a> <b|b>)`` of each row over all its other axes.

    Args:
        a: ``(rows, ...)`` complex, of any non-zero norm.
        b: Of the same shape.

    Returns:
        ``(rows,)`` in [0, 1] up to rounding.
    """
    a, b = a.flatten(1), b.flatten(1)
    overlap = (a.conj() * b).sum(dim=1)
    norms = a.abs().square().sum(dim=1) * b.abs().square().sum(dim=1)
    return 1 - (overlap.real.square() + overlap.imag.square()) / norms


def unit_states(states: Tensor) -> Tensor:
    """States divided by their L2 norms over all but the first axis.

    Raises:
        InvalidData: If one is zero or not finite.
    """
    flat = states.flatten(1)
    # Divided by the largest entry first, so that squares neither overflow nor vanish in float32.
    largest = flat.detach().abs().amax(dim=1, keepdim=True)
    bad = ~(torch.isfinite(largest) & (largest > 0)).squeeze(1)
    if bool(bad.any()):
        row = int(bad.nonzero()[0])
        raise InvalidData(
            f"State {row} of {len(states)} has largest modulus {float(largest[row])}: NaN, infinite or "
            "all-zero states have no norm to divide by."
        )
    scaled = flat / largest
    return (scaled / torch.linalg.vector_norm(scaled, dim=1, keepdim=True)).reshape(states.shape)


def _state_betas(schedule: Schedule, num_steps: int, start: float, end: float) -> Tensor:
    """beta_1 .. beta_T in float64, indexed as in the published code."""
    if schedule == "cosine":
        t = torch.arange(num_steps + 1, dtype=torch.float64).sqrt()
        angle = math.pi * (t / num_steps + COSINE_OFFSET) / (2 * (1 + COSINE_OFFSET))
        f = torch.cos(angle) ** 2
        return (1 - f[1:] / f[:-1]).clamp(0, LARGEST_BETA)
    return betas(schedule, num_steps + 1, start, end)[:-1]


def _column(values: Tensor, index: Tensor, like: Tensor) -> Tensor:
    """``values[index]``, real, shaped to scale rows of ``like``."""
    real = torch.float64 if like.dtype == torch.complex128 else torch.float32
    chosen = values.to(index.device)[index].to(real)
    return chosen.reshape(-1, *[1] * (like.ndim - 1))
