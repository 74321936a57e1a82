"""Grids, draws and seeds, and the training runs that they make."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import checked_text
from ..canonical_json import content_sha256
from ..errors import InvalidOption
from ..rng import stream
from ..training import RunConfig, resolve_run
from ..training.run_data import at_absolute_place
from .halving import Halving

__all__ = [
    "MOST_RUNS",
    "Draw",
    "PlannedRun",
    "SweepPlan",
    "option_value",
    "plan_sweep",
    "typed_ends",
]

MOST_RUNS = 10_000
"""Most runs of a sweep; a grid multiplies quickly."""
_UNSAFE = re.compile(r"[^A-Za-z0-9_.,=+-]+")


@dataclass(frozen=True)
class Draw:
    """Values of an option that are drawn between two ends, both possible.

    Args:
        low: The lower end: text or a number.
        high: The upper end.
        log: Draw the logarithm evenly, for values that span powers of ten.
    """

    low: Any
    high: Any
    log: bool = False

    @classmethod
    def from_text(cls, text: str) -> Draw:
        """Return the draw that ``LOW:HIGH`` or ``LOW:HIGH:log`` says.

        Raises:
            InvalidOption: If it says none.
        """
        parts = [each.strip() for each in text.split(":")]
        if len(parts) not in (2, 3) or parts[2:] not in ([], ["log"]) or "" in parts:
            raise InvalidOption(
                f"draw takes LOW:HIGH, LOW:HIGH:log, or a list A,B,C; got '{text}'."
            )
        return cls(parts[0], parts[1], log=len(parts) == 3)


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep."""

    name: str
    """Its folder below ``runs/``, made of what it differs in and a hash of all its options."""
    group: str
    """The same without the seed: runs of one group differ by chance alone."""
    values: dict[str, Any]
    """The options that the sweep varies, by name."""
    config: RunConfig


@dataclass(frozen=True)
class SweepPlan:
    """The runs of a sweep."""

    name: str
    """The model or preset."""
    varied: tuple[str, ...]
    """Options that differ between runs, the seed last."""
    runs: tuple[PlannedRun, ...]
    halving: Halving | None = None


def plan_sweep(
    name: str,
    settings: Mapping[str, Any] | None = None,
    *,
    grid: Mapping[str, Sequence[Any]] | None = None,
    draw: Mapping[str, Draw | Sequence[Any]] | None = None,
    draws: int = 0,
    seeds: int = 1,
    seed: int = 0,
    halving: Halving | None = None,
) -> SweepPlan:
    """Plan the runs of a sweep: each point of the grid, with each draw, with each seed.

    Args:
        name: A model, preset or circuit, as for :func:`~qdm_qiskit.training.resolve_run`.
        settings: Options that all runs share.
        grid: Option to its values.
        draw: Option to its ends, or to values of which one is drawn.
        draws: Points that are drawn, at least 1 where there is a draw; one that is drawn twice is
            trained once.
        seeds: Runs of each point, at least 1.
        seed: The first run's seed; the others have the next ones. Draws depend on it too.
        halving: Stop bad points early.

    Returns:
        The runs, in the order of the grid.

    Raises:
        UnknownName: If there is no model of this name.
        InvalidOption: If an option is unknown, out of range or named twice, two points are equal, or
            there are more than :data:`MOST_RUNS`.

    >>> plan = plan_sweep("eeqdm", grid={"depth": [1, 2]}, seeds=2)
    >>> [each.values for each in plan.runs][:2]
    [{'depth': 1, 'seed': 0}, {'depth': 1, 'seed': 1}]
    """
    checked_text(name, "model", "a sweep takes a name, which its workers know too")
    settings, grid, draw = dict(settings or {}), dict(grid or {}), dict(draw or {})
    _check_counts(draw, draws, seeds)
    for option in ("seed", *grid, *draw):
        count = (option in settings) + (option in grid) + (option in draw)
        if count > (option != "seed"):
            raise InvalidOption(
                f"Option '{option}' is set twice, or is a sweep's own: a sweep sets seed by its own "
                "seeds, and each option in one of settings, grid and draw."
            )
    points = [
        {**chosen, **drawn}
        for drawn in _draw_points(name, settings, draw, draws, seed)
        for chosen in _grid_points(grid)
    ]
    if len(points) * seeds > MOST_RUNS:
        raise InvalidOption(
            f"A sweep has at most {MOST_RUNS} runs, got {len(points)} points x {seeds} seeds; lower "
            "seeds or draws, or take values out of grid."
        )
    runs: list[PlannedRun] = []
    for point in points:
        resolved = resolve_run(name, {**settings, **point, "seed": seed})
        resolved = replace(resolved, data=at_absolute_place(resolved.data))
        start = resolved.training.start_from
        if start is not None:  # a worker may stand in another folder
            started = replace(resolved.training, start_from=str(Path(start).absolute()))
            resolved = replace(resolved, training=started)
        if halving is not None:
            halving.check(resolved.training.epochs)
        values = {option: option_value(resolved, option) for option in point}
        for each in range(seed, seed + seeds):
            config = replace(resolved, training=replace(resolved.training, seed=each))
            runs.append(_planned(config, values, each))
    return SweepPlan(name, (*grid, *draw, "seed"), _each_once(runs, drawn=bool(draw)), halving)


def option_value(config: RunConfig, option: str) -> Any:
    """Return an option of a run, wherever it belongs."""
    for section in (config.model_options, config.diffusion, config.data, config.training):
        if hasattr(section, option):
            return getattr(section, option)
    raise AssertionError(option)  # resolve_run has taken it


def _check_counts(draw: Mapping[str, Any], draws: int, seeds: int) -> None:
    for what, count, least in (("seeds", seeds, 1), ("draws", draws, 1 if draw else 0)):
        if isinstance(count, bool) or not isinstance(count, int) or count < least:
            raise InvalidOption(f"{what} is a whole number of at least {least}, got {count!r}.")
    if draws and not draw:
        raise InvalidOption(f"draws={draws} draws nothing: name an option in draw.")


def _grid_points(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    for option, values in grid.items():
        if isinstance(values, str) or not values:
            raise InvalidOption(f"grid takes a list of values for '{option}', got {values!r}.")
    return [dict(zip(grid, point, strict=True)) for point in product(*grid.values())]


def _draw_points(
    name: str, settings: Mapping[str, Any], draw: Mapping[str, Any], draws: int, seed: int
) -> list[dict[str, Any]]:
    """Return the drawn points; each value depends on the seed, its option and its number alone."""
    if not draw:
        return [{}]
    ends = {
        option: typed_ends(name, settings, option, each)
        for option, each in draw.items()
        if isinstance(each, Draw)
    }
    points = []
    for number in range(draws):
        point = {}
        for option, each in draw.items():
            word = int(content_sha256(option)[:8], 16)
            generator = stream(seed, "work", number, word)
            if isinstance(each, Draw):
                point[option] = _between(generator, *ends[option], log=each.log)
            elif isinstance(each, str) or not each:
                raise InvalidOption(f"draw takes ends or a list for '{option}', got {each!r}.")
            else:
                point[option] = each[int(generator.integers(len(each)))]
        points.append(point)
    return points


def typed_ends(name: str, settings: Mapping[str, Any], option: str, draw: Draw) -> tuple[Any, Any]:
    """Return both ends in the option's own type, checked by the option itself.

    Args:
        name: A model, preset or circuit.
        settings: Options that all runs share.
        option: The option.
        draw: Its ends.

    Raises:
        InvalidOption: If they are no numbers in order, or the option does not take them.
    """
    low, high = (
        option_value(resolve_run(name, {**settings, option: end}), option)
        for end in (draw.low, draw.high)
    )
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high))
    if not numbers or not low < high or (draw.log and low <= 0):
        least = "0 < LOW < HIGH" if draw.log else "LOW < HIGH"
        raise InvalidOption(f"draw takes numbers {least} for '{option}', got {low!r} and {high!r}.")
    return low, high


def _between(generator: np.random.Generator, low: Any, high: Any, *, log: bool) -> Any:
    whole = isinstance(low, int) and isinstance(high, int)
    if not log:
        if whole:
            return int(generator.integers(low, high + 1))
        return float(generator.uniform(low, high))
    if whole:  # each whole number owns the part of the line that rounds to it
        drawn = math.exp(generator.uniform(math.log(low - 0.5), math.log(high + 0.5)))
        return min(max(round(drawn), low), high)
    return float(math.exp(generator.uniform(math.log(low), math.log(high))))


def _planned(config: RunConfig, values: Mapping[str, Any], seed: int) -> PlannedRun:
    whole = content_sha256(config.to_dict())[:10]
    words = [f"{option}={_short(value)}" for option, value in values.items()]
    told = _UNSAFE.sub("-", ",".join([*words, f"seed={seed}"])).lstrip("-.,=+_")[:120]
    unseeded = replace(config, training=replace(config.training, seed=0))
    return PlannedRun(
        name=f"{told}-{whole}",
        group=content_sha256(unseeded.to_dict()),
        values={**values, "seed": seed},
        config=config,
    )


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple):
        return "+".join(map(str, value))
    return str(value)


def _each_once(runs: Sequence[PlannedRun], *, drawn: bool) -> tuple[PlannedRun, ...]:
    """Return runs that all differ: what chance drew twice is one run, what a grid says twice is not."""
    found: dict[str, PlannedRun] = {}
    for each in runs:
        if each.name in found and not drawn:
            raise InvalidOption(
                f"Two runs of this sweep are one and the same, {each.values}: take equal values out "
                "of grid."
            )
        found.setdefault(each.name, each)
    return tuple(found.values())
