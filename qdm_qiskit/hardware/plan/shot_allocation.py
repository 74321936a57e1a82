"""Allocation of a total of shots to the steps of the reverse chain.

Every step is one job, and one job has one shot count, so all images of a step share it. A step's
shot noise reaches the final images through all later steps. To first order their mean squared error
is ``sum_t c_t / s_t`` with s_t the shots of step t; c_t is measured on the engine from the trained
model (:func:`step_variances`), propagation included, and for a given sum of shots the error is least
with ``s_t`` proportional to ``sqrt(c_t)`` (Neyman's allocation).

With few shots the first order fails: the noise of one step changes what the next ones do to it. So
the shots are made proportional to ``c_t**(power / 2)``, and the power, 0 (uniform) to 1 (Neyman), is
the one whose whole chains, sampled on the engine with these very shots, end nearest to the exact
ones (:func:`best_allocation`).

The device's own noise is not in it: shots cannot lower it.

Reference: Neyman, J. R. Stat. Soc. 97, 558 (1934).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InvalidData, InvalidOption
from ...progress import Message, Progress, silent
from ...rng import derived_seed, stream

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from ...sampling import TrainedRun

__all__ = [
    "LEAST_SHOTS",
    "MAX_MEASURED_STEPS",
    "MAX_TOTAL",
    "MAX_TRIES",
    "PILOT_IMAGES",
    "PILOT_REPEATS",
    "PILOT_SHOTS",
    "POWERS",
    "PilotChains",
    "ShotAllocation",
    "StepVariances",
    "best_allocation",
    "check_precision",
    "fewest_shots",
    "interpolated",
    "measured_steps",
    "precise_allocation",
    "step_variances",
    "uniform_shots",
    "variance_shots",
]

LEAST_SHOTS = 32
"""Fewest shots of a step, unless the total holds less: an image needs some that pass post-selection."""
POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
PILOT_IMAGES, PILOT_SHOTS, PILOT_REPEATS = 32, 1024, 2
"""Chains, shots and repetitions that measure a step's variance."""
MAX_MEASURED_STEPS = 16
"""Longer chains are measured at this many steps, near t = 1 more densely, and interpolated."""


@dataclass(frozen=True)
class StepVariances:
    """Effect of each step's shot noise on the images; arrays in the order t = T .. 1."""

    local: np.ndarray
    """``(T,)``: mean squared pixel error of the step's own prediction, times its shots."""
    final: np.ndarray
    """``(T,)``: c_t, mean squared pixel error of the final images, times the step's shots."""
    measured: tuple[int, ...]
    """The steps t that were measured; the others are interpolated in log c over log t."""


@dataclass(frozen=True)
class ShotAllocation:
    """Shots of t = T .. 1, and the grounds of their choice."""

    shots: tuple[int, ...]
    power: float
    """Power of c_t: 0 is uniform, 1 is Neyman's allocation."""
    error: float
    """Root mean square pixel error of the pilot chains' final images, shot noise alone."""
    uniform_error: float
    """The same with as many shots spread evenly."""


class PilotChains:
    """Chains on the engine, exact and with shots, to which an allocation is fitted; nothing is sent.

    Args:
        trained: A run whose model is one circuit with a probability readout.
        seed: Of x_T and the shots; the run's own are other draws.
        label: Class of all images of a guided model.
        num_images: Chains.
    """

    def __init__(
        self,
        trained: TrainedRun,
        *,
        seed: int,
        label: int | None = None,
        num_images: int = PILOT_IMAGES,
    ) -> None:
        from ...sampling import SamplingConfig, chosen_labels

        self.seed, self.process, self.model = seed, trained.process, trained.model
        labels = chosen_labels(trained, SamplingConfig(num_images=num_images, label=label))
        self._answers = _Predictions(trained, labels)
        x = self.process.start((num_images, *self.model.state_shape), self._generator(0))
        self.exact = {self.num_steps: x}
        """x_t of the exact chains."""
        for step in range(self.num_steps, 0, -1):
            x = self.exact[step - 1] = self._onward(x, step, self._answers.exact(x, step))

    @property
    def num_steps(self) -> int:
        """T."""
        return self.process.num_steps

    def noisy_step(self, step: int, shots: int, repeat: int) -> Tensor:
        """Return x_{t-1} from the exact x_t with shots."""
        return self._noisy(self.exact[step], step, shots, repeat)

    def finished(self, x: Tensor, step: int) -> Tensor:
        """Return x_0 from x_t without shots."""
        for t in range(step, 0, -1):
            x = self._onward(x, t, self._answers.exact(x, t))
        return x

    def error(self, shots: Sequence[int], *, repeats: int = PILOT_REPEATS) -> float:
        """Return the root mean square pixel error of final images with these shots in every step.

        Args:
            shots: Of t = T .. 1.
            repeats: Draws for each chain; the same ones whatever the shots.
        """
        squares = 0.0
        for repeat in range(repeats):
            x = self.exact[self.num_steps]
            for step, count in zip(range(self.num_steps, 0, -1), shots, strict=True):
                x = self._noisy(x, step, count, repeat)
            squares += self.squared_distance(x, 0)
        return math.sqrt(squares / repeats)

    def squared_distance(self, x: Tensor, step: int) -> float:
        """Return the mean squared pixel distance of images from the exact x_t's."""
        return float(np.mean((self._data(x) - self._data(self.exact[step])) ** 2))

    def _noisy(self, x: Tensor, step: int, shots: int, repeat: int) -> Tensor:
        rng = stream(self.seed, "evaluation", 2, step, repeat)
        return self._onward(x, step, self._answers.drawn(x, step, shots, rng))

    def _onward(self, x: Tensor, step: int, prediction: Tensor) -> Tensor:
        from ...diffusion import own_step

        return own_step(self.process, x, step, prediction, self._generator(step))

    def _generator(self, step: int) -> Generator:
        import torch

        return torch.Generator().manual_seed(derived_seed(self.seed, "evaluation", 1, step))

    def _data(self, x: Tensor) -> np.ndarray:
        from ...layers.arrays import to_array

        images = self.model.decode_data(self.process.to_images(x)).clamp(0, 1)
        return np.asarray(to_array(images), np.float64)


def step_variances(
    pilot: PilotChains, *, shots: int = PILOT_SHOTS, repeats: int = PILOT_REPEATS
) -> StepVariances:
    """Measure c_t: chains that are exact but for the shots of step t, against the exact chains.

    Args:
        pilot: The chains.
        shots: Shots of the noisy step; best the mean of those that will be used.
        repeats: Draws for each chain and step.

    Returns:
        The variances.

    Raises:
        InvalidData: If no step makes a difference, so that there is nothing to split by.
    """
    measured = measured_steps(pilot.num_steps)
    local, final = np.zeros(len(measured)), np.zeros(len(measured))
    for k, step in enumerate(measured):
        for repeat in range(repeats):
            x = pilot.noisy_step(step, shots, repeat)
            local[k] += pilot.squared_distance(x, step - 1) * shots / repeats
            end = pilot.finished(x, step - 1)
            final[k] += pilot.squared_distance(end, 0) * shots / repeats
    if not final.any():
        raise InvalidData(
            "Shot noise moves no pixel of this model's images; use schedule 'uniform'."
        )
    return StepVariances(
        local=interpolated(local, measured, range(pilot.num_steps, 0, -1)),
        final=interpolated(final, measured, range(pilot.num_steps, 0, -1)),
        measured=measured,
    )


def best_allocation(
    pilot: PilotChains,
    variances: np.ndarray,
    total: int,
    *,
    most: int | None = None,
    bucket: int = 1,
) -> ShotAllocation:
    """Return the best of uniform shots and of shots by powers of the variances, by sampled chains.

    Args:
        pilot: The chains.
        variances: ``(T,)`` c_t.
        total: Shots of all steps, for one image.
        most: Most shots of a step, where a job has a limit.
        bucket: A step's shots are a multiple of it.

    Returns:
        The allocation whose pilot chains end nearest to the exact ones.

    Raises:
        InvalidOption: If there is not one bucket for each step.
    """
    even = uniform_shots(pilot.num_steps, total, bucket=bucket)
    uniform = pilot.error(even)
    best = ShotAllocation(shots=even, power=0.0, error=uniform, uniform_error=uniform)
    for power in POWERS[1:]:
        shots = variance_shots(variances**power, total, most=most, bucket=bucket)
        error = pilot.error(shots)
        if error < best.error:
            best = ShotAllocation(shots=shots, power=power, error=error, uniform_error=uniform)
    return best


def precise_allocation(
    pilot: PilotChains,
    precision: float,
    *,
    most: int | None = None,
    bucket: int = 1,
    progress: Progress = silent,
) -> tuple[ShotAllocation, np.ndarray]:
    """Return few shots that bring the error of the pilot chains' images to ``precision``.

    The total that the variances ask for to first order is the start; then it follows the sampled
    error, which falls as one over the square root of the shots, until it is met within 5 %.

    Args:
        pilot: The chains.
        precision: Root mean square pixel error wanted, above 0.
        most: Most shots of a step.
        bucket: A step's shots are a multiple of it.
        progress: Receives each stage of the work, in words.

    Returns:
        The allocation, and the variances that it is made of.

    Raises:
        InvalidOption: If the precision is not above 0, or jobs cannot hold the shots.
    """
    check_precision(precision)
    variances = step_variances(pilot, shots=16 * PILOT_SHOTS).final
    limit = MAX_TOTAL if most is None else most * pilot.num_steps
    found = fewest_shots(
        precision,
        lambda total: best_allocation(pilot, variances, total, most=most, bucket=bucket),
        first=(np.sqrt(variances).sum() / precision) ** 2,
        least=max(bucket, LEAST_SHOTS) * pilot.num_steps,
        limit=limit,
        what=("shots", f"{pilot.num_steps} jobs"),
        progress=progress,
    )
    return found, variances


def check_precision(precision: float) -> None:
    """Refuse a precision that is no finite number above 0."""
    if not (math.isfinite(precision) and precision > 0):
        raise InvalidOption(f"precision must be a finite number above 0, got {precision}.")


def fewest_shots(
    precision: float,
    allocate: Callable[[int], ShotAllocation],
    *,
    first: float,
    least: float,
    limit: float,
    what: tuple[str, str],
    cost: Callable[[Sequence[int]], float] = sum,
    progress: Progress = silent,
) -> ShotAllocation:
    """Return the allocation of the least total whose sampled error is the precision, or up to 5 % less.

    Args:
        precision: Error wanted.
        allocate: Gives the allocation of a total, for one image.
        first: Total to begin with.
        least: Least total.
        limit: Most that fits.
        what: Words for what is counted, and for what holds it.
        cost: Total that an allocation's shots take.
        progress: Receives each total.

    Raises:
        InvalidOption: If the limit is passed, or the error is not reached.
    """
    counted, holders = what
    total = float(max(least, first))
    best: ShotAllocation | None = None
    for _ in range(MAX_TRIES):
        if total > limit:
            raise InvalidOption(
                f"An error of {precision:g} would take about {total:.3g} {counted} for each image, "
                f"and {holders} hold {limit:.3g}; ask for less precision."
            )
        progress(Message(f"trying {total:.3g} {counted} an image"))
        found = allocate(math.ceil(total))
        if found.error <= precision:
            if best is None or cost(found.shots) < cost(best.shots):
                best = found
            if found.error >= 0.95 * precision or total <= least:
                break
        total = max(least, total * (found.error / (0.975 * precision)) ** 2)
    if best is None:
        raise InvalidOption(
            f"An error of {precision:g} was not reached in {MAX_TRIES} tries; the last, with "
            f"{cost(found.shots):.0f} {counted} for each image, left {found.error:.4g}. Ask for less "
            "precision."
        )
    return best


MAX_TOTAL, MAX_TRIES = 10**8, 12


def measured_steps(num_steps: int) -> tuple[int, ...]:
    """Return the steps to measure, T first: all of a short chain, else evenly spread in log t.

    >>> measured_steps(4), len(measured_steps(1000)) <= MAX_MEASURED_STEPS
    ((4, 3, 2, 1), True)
    """
    if num_steps <= MAX_MEASURED_STEPS:
        return tuple(range(num_steps, 0, -1))
    spread = np.geomspace(1, num_steps, MAX_MEASURED_STEPS).round().astype(int)
    return tuple(sorted({int(t) for t in spread}, reverse=True))


def interpolated(values: np.ndarray, measured: Sequence[int], steps: Sequence[int]) -> np.ndarray:
    """Return values at all steps from those at the measured ones, in their logs over that of t."""
    if len(measured) == len(steps):
        return values
    floor = max(values.max() * 1e-12, 1e-300)  # a step without influence has no logarithm
    order = np.argsort(measured)
    log_t, log_c = np.log(measured), np.log(np.maximum(values, floor))
    return np.exp(np.interp(np.log(steps), log_t[order], log_c[order]))


class _Predictions:
    """The model's prediction, exact or from shots, on the engine."""

    def __init__(self, trained: TrainedRun, labels: Tensor | None) -> None:
        from ...models import CircuitDenoiser

        assert isinstance(trained.model, CircuitDenoiser)  # planning refuses others
        self.model, self.labels = trained.model, labels
        self.num_steps = trained.process.num_steps

    def _probabilities(self, x: Tensor, step: int) -> np.ndarray:
        from ...sampling import register_probabilities

        given = self.model.circuit_inputs(x, self.labels, step / self.num_steps)
        p = register_probabilities(self.model, *given)
        return p / p.sum(axis=1, keepdims=True)

    def _decoded(self, probabilities: np.ndarray, x: Tensor) -> Tensor:
        import torch

        from ...layers.executors import read_probabilities

        outputs = read_probabilities(self.model.spec, torch.from_numpy(probabilities))
        return self.model.decode(outputs.to(x.dtype))

    def exact(self, x: Tensor, step: int) -> Tensor:
        return self._decoded(self._probabilities(x, step), x)

    def drawn(self, x: Tensor, step: int, shots: int, rng: np.random.Generator) -> Tensor:
        p = self._probabilities(x, step)
        return self._decoded(rng.multinomial(shots, p) / shots, x)


def uniform_shots(num_steps: int, total: int, *, bucket: int = 1) -> tuple[int, ...]:
    """Return the same shots for each step; a remainder is left over.

    Args:
        num_steps: T.
        total: Shots of all steps, for one image.
        bucket: A step's shots are a multiple of it.

    Raises:
        InvalidOption: If there is not one bucket for each step.
    """
    _check_total(num_steps, total, bucket)
    return (total // bucket // num_steps * bucket,) * num_steps


def variance_shots(
    variances: np.ndarray,
    total: int,
    *,
    least: int = LEAST_SHOTS,
    most: int | None = None,
    bucket: int = 1,
) -> tuple[int, ...]:
    """Return shots in proportion to the square root of each step's variance, at most ``total`` in all.

    Args:
        variances: ``(T,)`` c_t, >= 0.
        total: Shots of all steps, for one image.
        least: Fewest shots of a step; a smaller uniform share goes before it.
        most: Most shots of a step, where a job has a limit.
        bucket: A step's shots are a multiple of it.

    Returns:
        Whole shots; their sum misses ``total`` by less than a bucket unless ``most`` holds it down.

    Raises:
        InvalidOption: If there is not one bucket for each step.
        InvalidData: If a variance is negative or not finite, or all are 0.
    """
    c = np.asarray(variances, dtype=np.float64)
    if c.ndim != 1 or not np.isfinite(c).all() or (c < 0).any() or not c.any():
        raise InvalidData(f"Variances are finite numbers >= 0, not all 0, got {c.tolist()[:5]}.")
    _check_total(len(c), total, bucket)
    units = total // bucket
    fewest = min(-(-least // bucket), units // len(c))
    limit = units if most is None else max(most // bucket, fewest)
    shots = _water_filled(np.sqrt(c), units, fewest, limit)
    whole = np.floor(shots).astype(np.int64)
    # What rounding left goes to the largest fractions.
    left = min(units, math.floor(shots.sum() + 1e-6)) - int(whole.sum())
    for k in np.argsort(whole - shots, kind="stable")[:left]:
        whole[k] += whole[k] < limit
    return tuple(int(each) * bucket for each in whole)


def _water_filled(weight: np.ndarray, total: int, least: int, most: int) -> np.ndarray:
    """Return ``clip(scale * weight, least, most)`` with the scale that makes the sum ``total``."""
    low, high = 0.0, total / weight.max() + 1.0
    for _ in range(200):
        if np.clip(high * weight, least, most).sum() >= total or high > 1e300:
            break
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if np.clip(middle * weight, least, most).sum() > total:
            high = middle
        else:
            low = middle
    return np.clip(low * weight, least, most)


def _check_total(num_steps: int, total: int, bucket: int) -> None:
    if total < num_steps * bucket:
        raise InvalidOption(
            f"{total} shots for one image do not reach over {num_steps} steps; give at least "
            f"{bucket} for each step."
        )
