"""How many shots each step of the reverse chain gets, out of one total.

Every step is one job, and one job has one shot count, so all images of a step share it. A step's
shot noise reaches the final images through all later steps. To first order their mean squared error
is ``sum_t c_t / s_t`` with s_t the shots of step t; c_t is measured on the engine from the trained
model (:func:`step_variances`), propagation included, and for a given sum of shots the error is least
with ``s_t`` proportional to ``sqrt(c_t)`` (Neyman's allocation).

The device's own noise is not in c_t: shots cannot lower it.

Reference: Neyman, J. R. Stat. Soc. 97, 558 (1934).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InvalidData, InvalidOption
from ..rng import derived_seed, stream

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from ..sampling import TrainedRun

LEAST_SHOTS = 32
"""Fewest shots of a step, unless the total holds less: an image needs some that pass post-selection."""
PILOT_IMAGES, PILOT_SHOTS, PILOT_REPEATS = 32, 1024, 2
"""Chains, shots and repetitions that measure a step's variance."""
MAX_MEASURED_STEPS = 16
"""Longer chains are measured at this many steps, near t = 1 more densely, and interpolated."""


@dataclass(frozen=True)
class StepVariances:
    """What shot noise in each step does to the images; arrays in the order t = T .. 1."""

    local: np.ndarray
    """``(T,)``: mean squared pixel error of the step's own answer, times its shots."""
    final: np.ndarray
    """``(T,)``: c_t, mean squared pixel error of the final images, times the step's shots."""
    measured: tuple[int, ...]
    """The steps t that were measured; the others are interpolated in log c over log t."""

    def predicted_error(self, shots: Sequence[int]) -> float:
        """Root mean square pixel error of the final images, to first order.

        Args:
            shots: Shots of t = T .. 1.
        """
        return float(np.sqrt(np.sum(self.final / np.asarray(shots, dtype=np.float64))))


def step_variances(
    trained: TrainedRun,
    *,
    seed: int,
    label: int | None = None,
    num_images: int = PILOT_IMAGES,
    shots: int = PILOT_SHOTS,
    repeats: int = PILOT_REPEATS,
) -> StepVariances:
    """Measure c_t: run the chain exactly, draw shots in step t alone, compare the final images.

    Args:
        trained: A run whose model is one circuit with a probability readout.
        seed: Of x_T and the shots; the run's own shots are other draws.
        label: Class of all images of a guided model.
        num_images: Chains.
        shots: Shots of the noisy step; c_t hardly depends on it while the noise is small.
        repeats: Draws for each chain and step.

    Returns:
        The variances, by the engine; nothing is sent anywhere.

    Raises:
        InvalidData: If no step makes a difference, so that there is nothing to split by.
    """
    import torch

    from ..sampling import SamplingConfig
    from ..sampling.sample import _labels

    process, model = trained.process, trained.model
    labels = _labels(trained, SamplingConfig(num_images=num_images, label=label))
    answers = _Answers(trained, labels)

    def generator(step: int) -> Generator:
        return torch.Generator().manual_seed(derived_seed(seed, "evaluation", 1, step))

    def onward(x: Tensor, step: int, answer: Tensor) -> Tensor:
        return process.reverse_step(x, step, process.prediction(answer), generator(step))

    def data(x: Tensor) -> np.ndarray:
        return np.asarray(model.decode_data(process.to_images(x)).clamp(0, 1).numpy(), np.float64)

    with torch.no_grad():
        x = process.start((num_images, *model.state_shape), generator(0))
        exact = {process.num_steps: x}
        for step in range(process.num_steps, 0, -1):
            exact[step - 1] = onward(exact[step], step, answers.exact(exact[step]))
        measured = measured_steps(process.num_steps)
        local, final = np.zeros(len(measured)), np.zeros(len(measured))
        for k, t in enumerate(measured):
            for repeat in range(repeats):
                rng = stream(seed, "evaluation", 2, t, repeat)
                x = onward(exact[t], t, answers.drawn(exact[t], shots, rng))
                local[k] += np.mean((data(x) - data(exact[t - 1])) ** 2)
                for step in range(t - 1, 0, -1):
                    x = onward(x, step, answers.exact(x))
                final[k] += np.mean((data(x) - data(exact[0])) ** 2)
    scale = shots / repeats
    if not final.any():
        raise InvalidData(
            "Shot noise moves no pixel of this model's images; use schedule 'uniform'."
        )
    return StepVariances(
        local=_interpolated(local * scale, measured, process.num_steps),
        final=_interpolated(final * scale, measured, process.num_steps),
        measured=measured,
    )


def measured_steps(num_steps: int) -> tuple[int, ...]:
    """The steps to measure, T first: all of a short chain, else evenly spread in log t.

    >>> measured_steps(4), len(measured_steps(1000)) <= MAX_MEASURED_STEPS
    ((4, 3, 2, 1), True)
    """
    if num_steps <= MAX_MEASURED_STEPS:
        return tuple(range(num_steps, 0, -1))
    spread = np.geomspace(1, num_steps, MAX_MEASURED_STEPS).round().astype(int)
    return tuple(sorted({int(t) for t in spread}, reverse=True))


def _interpolated(values: np.ndarray, measured: Sequence[int], num_steps: int) -> np.ndarray:
    if len(measured) == num_steps:
        return values
    floor = max(values.max() * 1e-12, 1e-300)  # a step without influence has no logarithm
    order = np.argsort(measured)
    log_t, log_c = np.log(measured), np.log(np.maximum(values, floor))
    steps = np.log(np.arange(num_steps, 0, -1))
    return np.exp(np.interp(steps, log_t[order], log_c[order]))


class _Answers:
    """The model's answer, exact or from shots, on the engine."""

    def __init__(self, trained: TrainedRun, labels: Tensor | None) -> None:
        from ..models import CircuitDenoiser

        assert isinstance(trained.model, CircuitDenoiser)  # planning refuses others
        self.model, self.labels = trained.model, labels

    def _probabilities(self, x: Tensor) -> np.ndarray:
        from ..layers.quantum_layer import normalised
        from ..sampling import register_probabilities

        amplitudes, inputs = self.model.encode(x, self.labels)
        size = self.model.spec.num_amplitudes
        rows = None if amplitudes is None else normalised(amplitudes, size)
        p = register_probabilities(self.model, rows, inputs)
        return p / p.sum(axis=1, keepdims=True)

    def _decoded(self, probabilities: np.ndarray, x: Tensor) -> Tensor:
        import torch

        from ..layers.executors import read_probabilities

        outputs = read_probabilities(self.model.spec, torch.from_numpy(probabilities))
        return self.model.decode(outputs.to(x.dtype))

    def exact(self, x: Tensor) -> Tensor:
        return self._decoded(self._probabilities(x), x)

    def drawn(self, x: Tensor, shots: int, rng: np.random.Generator) -> Tensor:
        return self._decoded(rng.multinomial(shots, self._probabilities(x)) / shots, x)


def uniform_shots(num_steps: int, total: int, *, bucket: int = 1) -> tuple[int, ...]:
    """The same shots for each step; what does not divide is left over.

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
    """Shots in proportion to the square root of each step's variance, at most ``total`` in all.

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
    """``clip(scale * weight, least, most)`` with the scale that makes the sum ``total``."""
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


def precision_shots(
    variances: np.ndarray, precision: float, *, least: int = LEAST_SHOTS, bucket: int = 1
) -> tuple[int, ...]:
    """The fewest shots that bring the predicted error of the final images to ``precision``.

    Args:
        variances: ``(T,)`` c_t.
        precision: Root mean square pixel error wanted, above 0.
        least: Fewest shots of a step.
        bucket: A step's shots are a multiple of it.

    Returns:
        Whole shots of t = T .. 1.

    Raises:
        InvalidOption: If the precision is not above 0, or no job could hold the shots.
    """
    if not (math.isfinite(precision) and precision > 0):
        raise InvalidOption(f"precision must be a finite number above 0, got {precision}.")
    root = np.sqrt(np.asarray(variances, dtype=np.float64))
    shots = np.ceil(np.maximum(root * root.sum() / precision**2, least) / bucket) * bucket
    if shots.max() > 1e7:
        raise InvalidOption(
            f"An error of {precision:g} would take {shots.max():.3g} shots in one step; ask for less "
            f"precision, such as {precision * math.sqrt(shots.max() / 1e5):.2g}."
        )
    return tuple(int(each) for each in shots)


def _check_total(num_steps: int, total: int, bucket: int) -> None:
    if total < num_steps * bucket:
        raise InvalidOption(
            f"{total} shots for one image do not reach over {num_steps} steps; give at least "
            f"{bucket} for each step."
        )
