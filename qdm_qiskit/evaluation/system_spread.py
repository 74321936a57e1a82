"""How metrics vary over runs that repeat each other: over seeds, over calibrations, over repeats."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ..analysis.estimates import mean_estimate
from .system_rows import ROWS, SystemRow, SystemRun

__all__ = ["Over", "Repeats", "Spread", "SpreadRow", "repeats", "spreads"]

Over = Literal["seeds", "calibrations", "repeats"]


@dataclass(frozen=True, kw_only=True)
class SpreadRow:
    """One metric over runs."""

    key: str
    title: str
    unit: str
    count: int
    """Runs that have it."""
    mean: float
    std: float
    """Sample standard deviation, with ``count - 1`` below."""
    low: float
    """Lower end of the 95 % interval of the mean, by Student's t, cut to what the metric can be."""
    high: float

    @property
    def relative(self) -> float | None:
        """Standard deviation over the size of the mean; None of a mean of 0."""
        return self.std / abs(self.mean) if self.mean else None


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Runs that differ in one thing, and how their metrics vary."""

    over: Over
    """``seeds``: the rest is the same; ``calibrations``: the device or its calibration differs and the
    rest, seeds too, is the same; ``repeats``: nothing that was asked for differs."""
    runs: tuple[str, ...]
    varying: tuple[SpreadRow, ...]
    """Metrics that differ."""
    constant: tuple[str, ...]
    """Keys of metrics that are the same in all."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        rows = [{**asdict(each), "relative": each.relative} for each in self.varying]
        return {
            "over": self.over,
            "runs": list(self.runs),
            "varying": rows,
            "constant": list(self.constant),
        }


@dataclass(frozen=True, kw_only=True)
class Repeats:
    """Runs of the same options, seeds, weights and device: whether they gave the same bits."""

    runs: tuple[str, ...]
    same: bool
    """True if all hashes of what came out are equal."""
    results: int
    """Number of different results."""
    versions: tuple[str, ...]
    """Packages whose versions differ between them."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)

    def sentence(self) -> str:
        """Return the answer in words."""
        names = ", ".join(self.runs)
        if self.same:
            return f"{names}: the same bits in all {len(self.runs)} runs."
        why = f"; other versions of {', '.join(self.versions)}" if self.versions else ""
        return f"Warning: {names}: {self.results} different results of {len(self.runs)} runs{why}."


def repeats(runs: Sequence[SystemRun]) -> tuple[Repeats, ...]:
    """Compare the results of runs that should have given the same bits.

    Args:
        runs: Runs; those without a result, and those without another one of the same options, seeds,
            weights and device, take no part.

    Returns:
        One comparison for each set of such runs.
    """
    done = [each for each in runs if each.values.get("result_sha256") is not None]
    found = []
    for group in _groups(done, lambda each: each.addressed):
        results = {each.values["result_sha256"] for each in group}
        names = sorted({name for each in group for name in each.versions})
        differing = tuple(n for n in names if len({e.versions.get(n) for e in group}) > 1)
        found.append(
            Repeats(
                runs=tuple(each.name for each in group),
                same=len(results) == 1,
                results=len(results),
                versions=differing,
            )
        )
    return tuple(found)


def spreads(runs: Sequence[SystemRun]) -> tuple[Spread, ...]:
    """Return how metrics vary over seeds, over calibrations and over repeats.

    Args:
        runs: Runs.

    Returns:
        One for each set of two runs or more that differ in that alone. Of runs that repeat each
        other the first counts for its seed, or its calibration.
    """
    ways: tuple[tuple[Over, Callable[[SystemRun], Any], Callable[[SystemRun], Any]], ...] = (
        ("seeds", lambda e: (e.addressed.options, e.addressed.device), lambda e: e.addressed.seeds),
        (
            "calibrations",
            # Weights that another device trained may differ; those that were sampled may not.
            lambda e: (e.addressed.options, e.addressed.seeds, e.addressed.weights),
            lambda e: e.addressed.device,
        ),
        ("repeats", lambda e: e.addressed, lambda e: e.name),
    )
    found = []
    for over, same, differs in ways:
        for group in _groups(runs, same):
            first: dict[Any, SystemRun] = {}
            for each in group:
                first.setdefault(differs(each), each)
            if len(first) > 1:
                found.append(_spread(over, list(first.values())))
    return tuple(found)


def _groups(
    runs: Sequence[SystemRun], key: Callable[[SystemRun], Any]
) -> Iterator[list[SystemRun]]:
    """Return sets of two runs or more of one key, in the order of their first."""
    found: dict[Any, list[SystemRun]] = {}
    for each in runs:
        found.setdefault(key(each), []).append(each)
    return (group for group in found.values() if len(group) > 1)


def _spread(over: Over, group: Sequence[SystemRun]) -> Spread:
    varying, constant = [], []
    for row, of, (least, most) in _numbers(group):
        values = np.array([of[each.name] for each in group if each.name in of], dtype=np.float64)
        if len(values) < 2 or not np.isfinite(values).all():
            continue
        if np.ptp(values) == 0:
            constant.append(row.key)
            continue
        mean = mean_estimate(values)
        varying.append(
            SpreadRow(
                key=row.key,
                title=row.title,
                unit=row.unit,
                count=len(values),
                mean=mean.value,
                std=float(values.std(ddof=1)),
                low=max(least, mean.low),
                high=min(most, mean.high),
            )
        )
    return Spread(
        over=over,
        runs=tuple(each.name for each in group),
        varying=tuple(varying),
        constant=tuple(constant),
    )


def _numbers(
    group: Sequence[SystemRun],
) -> Iterator[tuple[SystemRow, Mapping[str, float], tuple[float, float]]]:
    """Return rows with the numbers of the runs that have one, and the ends of what these can be.

    Losses and evaluations come last.
    """
    for rows in ROWS.values():
        for row in rows:
            found = {each.name: each.values.get(row.key) for each in group}
            numbers = {k: float(v) for k, v in found.items() if isinstance(v, int | float)}
            yield row, numbers, (0.0, 1.0 if row.unit == "share" else math.inf)
    for key in dict.fromkeys(key for each in group for key in each.quality):
        of = {each.name: each.quality[key] for each in group if key in each.quality}
        yield SystemRow(key, key), of, (-math.inf, math.inf)
