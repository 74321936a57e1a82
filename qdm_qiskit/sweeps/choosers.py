"""Rules by which a search chooses its next points: chance, SPSA, QAOA, or a surrogate alone.

Each is a function of the space, of what is known, of a seed and of the round, so that a search that was
stopped asks the same again. What a point is worth is the caller's: a number that is to be small.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, product
from typing import Any, Literal, get_args

import numpy as np

from ..errors import InvalidOption
from ..rng import stream

__all__ = [
    "MAX_CODE",
    "Chooser",
    "Point",
    "check_space",
    "choose",
]

Chooser = Literal["random", "spsa", "qaoa", "surrogate"]
"""Uniform draws; SPSA between ends; the least of a surrogate over choices, found by QAOA on the engine,
or by looking at all of them, which is QAOA's classical counterpart."""
Point = dict[str, Any]
Known = Sequence[tuple[Point, float | None]]
MAX_CODE = 10
"""Most qubits of QAOA: an option of m choices takes log2 m of them, rounded up."""
RATE, WIDTH = 0.15, 0.15
"""Of SPSA, in shares of the way between the ends: the first step, and the first perturbation."""
RATE_POWER, WIDTH_POWER = 0.602, 0.101
"""Spall's: both fall with the number of the pair."""
RIDGE = 0.1
"""Weight of the surrogate's squared effects, whose losses have deviation 1."""
LAYERS, STEPS, STARTS = 2, 60, 3
"""Of QAOA: layers, and the training of its angles."""


def check_space(method: str, space: Mapping[str, Mapping[str, Any]], at_once: int) -> None:
    """Refuse a space in which a rule cannot choose.

    Args:
        method: The rule.
        space: Option to ``low``, ``high`` and ``log``, or to ``choices``.
        at_once: Points of a round.

    Raises:
        InvalidOption: With the way out.
    """
    if method not in get_args(Chooser):
        raise InvalidOption(
            f"search is one of optuna, {', '.join(get_args(Chooser))}, got {method!r}."
        )
    for option, each in space.items():
        if set(each) not in ({"choices"}, {"low", "high", "log"}):
            raise InvalidOption(
                f"The space of '{option}' is choices alone, or low, high and log; got "
                f"{', '.join(map(str, each)) or 'nothing'}."
            )
    lists = [option for option, each in space.items() if "choices" in each]
    if method == "spsa":
        if lists:
            raise InvalidOption(
                f"SPSA moves between two ends, and '{lists[0]}' is a list; give ends as low:high, or "
                "search by qaoa, surrogate, random or optuna."
            )
        if at_once % 2:
            raise InvalidOption(f"SPSA compares pairs of points: at_once is even, got {at_once}.")
    if method in ("qaoa", "surrogate"):
        ends = [option for option in space if option not in lists]
        if ends:
            raise InvalidOption(
                f"Search {method} chooses from lists, and '{ends[0]}' has two ends; name values, as "
                "0.01,0.03,0.1, or search by spsa, random or optuna."
            )
        bits = sum(_widths(space).values())
        if bits > MAX_CODE:
            raise InvalidOption(
                f"Search {method} takes at most {MAX_CODE} qubits, and these choices take {bits}: name "
                "fewer values."
            )


def choose(
    method: Chooser,
    space: Mapping[str, Mapping[str, Any]],
    told: Known,
    *,
    seed: int,
    number: int,
    count: int,
) -> list[Point]:
    """Return the points of a round.

    Args:
        method: The rule.
        space: As for :func:`check_space`.
        told: Points of all rounds before and what each is worth; None where it failed.
        seed: Of the whole search.
        number: Of the round, from 0.
        count: Points to return. Beyond pairs SPSA returns the point where it stands.

    Raises:
        InvalidOption: As :func:`check_space`.

    >>> space = {"depth": {"choices": ["1", "2"]}}
    >>> choose("random", space, [], seed=0, number=0, count=2)
    [{'depth': '2'}, {'depth': '1'}]
    """
    check_space(method, space, at_once=2)
    if method == "random":
        return _random(space, seed, number, count)
    if method == "spsa":
        return _spsa(space, told, seed, number, count)
    ask = _by_qaoa if method == "qaoa" else _by_looking
    return _by_surrogate(ask, space, told, seed, number, count)


# --- random and SPSA ----------------------------------------------------------------------------


def _random(
    space: Mapping[str, Mapping[str, Any]], seed: int, number: int, count: int
) -> list[Point]:
    source = stream(seed, "work", number)
    found = []
    for _ in range(count):
        point = {}
        for option, each in space.items():
            if "choices" in each:
                point[option] = each["choices"][int(source.integers(len(each["choices"])))]
            else:
                point[option] = _between(each, float(source.random()))
        found.append(point)
    return found


def _spsa(
    space: Mapping[str, Mapping[str, Any]], told: Known, seed: int, number: int, count: int
) -> list[Point]:
    """Pairs on both sides of where what is told has led from the middle of the space."""
    place, scale = np.full(len(space), 0.5), 0.0
    pairs = len(told) // 2
    for k in range(pairs):
        width, signs = _perturbation(len(space), seed, k)
        above, below = (each[1] for each in told[2 * k : 2 * k + 2])
        if above is None and below is None:
            continue
        if above is None or below is None:  # the one that failed is worse than the other
            share = 1.0 if above is None else -1.0
        else:
            scale += (abs(above - below) - scale) / (k + 1)
            # Losses have no unit of their own, so differences are counted in their mean so far.
            share = (above - below) / scale if scale else 0.0
        place = np.clip(place - RATE / (k + 1) ** RATE_POWER * share * signs, 0, 1)
    found = []
    for k in range(pairs, pairs + count // 2):
        width, signs = _perturbation(len(space), seed, k)
        # Perturbed points stay in the space by moving the pair, which keeps its distance.
        middle = np.clip(place, width, 1 - width)
        found += [_at(space, middle + width * signs), _at(space, middle - width * signs)]
    return [*found, _at(space, place)][:count]


def _perturbation(options: int, seed: int, pair: int) -> tuple[float, np.ndarray]:
    signs = stream(seed, "perturbations", pair).choice([-1.0, 1.0], size=options)
    return WIDTH / (pair + 1) ** WIDTH_POWER, signs


def _at(space: Mapping[str, Mapping[str, Any]], place: np.ndarray) -> Point:
    return {
        option: _between(each, float(share))
        for (option, each), share in zip(space.items(), place, strict=True)
    }


def _between(each: Mapping[str, Any], share: float) -> float | int:
    low, high = each["low"], each["high"]
    if each["log"]:
        value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    else:
        value = low + share * (high - low)
    value = min(max(value, low), high)
    whole = isinstance(low, int) and isinstance(high, int)
    return round(value) if whole else value


# --- surrogate ----------------------------------------------------------------------------------


def _by_surrogate(
    ask: Callable[[np.ndarray, np.random.Generator, int], list[int]],
    space: Mapping[str, Mapping[str, Any]],
    told: Known,
    seed: int,
    number: int,
    count: int,
) -> list[Point]:
    """Points that are not known and for which the surrogate promises least; at random at first."""
    everything = [
        dict(zip(space, values, strict=True))
        for values in product(*(each["choices"] for each in space.values()))
    ]
    known = [point for point, _ in told]
    left = [point for point in everything if point not in known] or everything
    source = stream(seed, "work", number)
    losses = [loss for _, loss in told if loss is not None]
    if len(losses) < 2 or len(left) <= count:
        drawn = source.permutation(len(left))[:count]
        found = [left[k] for k in drawn]
        return [*found, *_random(space, seed, number, count - len(found))]
    codes = {_code(space, point): point for point in left}
    values = np.full(2 ** sum(_widths(space).values()), np.nan)
    values[list(codes)] = _promised(space, told, list(codes.values()))
    # Codes of no point, and of known ones, are as bad as anything is promised to be, and more.
    spread = float(np.nanstd(values)) or 1.0
    values[np.isnan(values)] = np.nanmax(values) + spread
    asked = [codes[code] for code in ask(values, source, 4 * count) if code in codes][:count]
    rest = sorted((code for code in codes if codes[code] not in asked), key=lambda c: values[c])
    return [*asked, *(codes[code] for code in rest)][:count]


def _promised(
    space: Mapping[str, Mapping[str, Any]], told: Known, points: Sequence[Point]
) -> np.ndarray:
    """Ridge regression of losses on choices and pairs of choices, in deviations of the losses."""
    known = np.array([loss for _, loss in told if loss is not None])
    worst = float(known.max())
    y = np.array([worst if loss is None else loss for _, loss in told])
    y = (y - y.mean()) / (float(y.std()) or 1.0)
    x = _features(space, [point for point, _ in told])
    gram = x @ x.T + RIDGE * np.eye(len(x))
    return _features(space, points) @ x.T @ np.linalg.solve(gram, y)


def _features(space: Mapping[str, Mapping[str, Any]], points: Sequence[Point]) -> np.ndarray:
    """Indicators of choices and of pairs of choices, ``(points, features)``."""
    single = [
        np.array([[float(point[option] == each) for each in choices] for point in points])
        for option, choices in ((option, space[option]["choices"]) for option in space)
    ]
    pairs = [
        (a[:, :, None] * b[:, None, :]).reshape(len(points), -1) for a, b in combinations(single, 2)
    ]
    return np.concatenate([*single, *pairs], axis=1)


def _widths(space: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Bits of each option, at least one."""
    return {
        option: max(1, (len(each["choices"]) - 1).bit_length()) for option, each in space.items()
    }


def _code(space: Mapping[str, Mapping[str, Any]], point: Point) -> int:
    """The number of a point: bits of the first option are the least significant."""
    code, shift = 0, 0
    for option, width in _widths(space).items():
        code |= space[option]["choices"].index(point[option]) << shift
        shift += width
    return code


def _by_looking(values: np.ndarray, source: np.random.Generator, count: int) -> list[int]:
    """The codes of least value, the least first."""
    return [int(code) for code in np.argsort(values, kind="stable")[:count]]


def _by_qaoa(values: np.ndarray, source: np.random.Generator, count: int) -> list[int]:
    """Codes that are drawn from QAOA's state at trained angles, without repetition."""
    from .qaoa import qaoa_probabilities  # torch, which nothing else here needs

    chances = qaoa_probabilities(
        values, layers=LAYERS, steps=STEPS, starts=STARTS, seed=int(source.integers(2**31))
    )
    drawn = source.choice(len(values), size=20 * count, p=chances)
    return list(dict.fromkeys(int(code) for code in drawn))[:count]
