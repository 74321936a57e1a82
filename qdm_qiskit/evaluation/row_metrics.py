"""Metrics of rows of numbers: tables, series, spins, showers; and none of pictures.

Rows are compared as ``samples.csv`` has them, after rounding and within the range of the data. Where
the class of each sample is known, as of a guided model, distances of series, spins and showers are
means over the classes of the distance within a class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import numpy as np

from ..data.ising import spin_energies
from ..data.row_format import Column, RowFormat, RowKind
from .bootstrap import Interval
from .metric import ImageSets, Metric

__all__ = [
    "NEIGHBOURS",
    "OF_ROWS",
    "Correlations",
    "Marginals",
    "OfRows",
    "TrainedOnSamples",
    "autocorrelation",
    "autocorrelations",
    "column_distance",
    "correlation_matrix",
    "correlations",
    "energy_sum",
    "magnetisation",
    "marginals",
    "series_spread",
    "shower_depth",
    "shower_profile",
    "spectra",
    "spectrum",
    "spin_energy",
    "tstr",
]

NEIGHBOURS = 10
"""Nearest rows that name a row in ``tstr``, fewer where there are fewer."""

Distance = Callable[[np.ndarray, np.ndarray], float]


def column_distance(column: Column, ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return how far a column's values are from others, 0 to 1.

    Args:
        column: Of numbers: Wasserstein distance in units of its range. Of categories and spins: total
            variation.
        ours, theirs: ``(count,)`` and ``(others,)``.
    """
    if column.kind == "number":
        return _wasserstein(ours, theirs) / (column.high - column.low)
    known = np.union1d(ours, theirs)
    shares = [(values[:, None] == known).mean(axis=0) for values in (ours, theirs)]
    return float(abs(shares[0] - shares[1]).sum() / 2)


def correlation_matrix(cells: np.ndarray) -> np.ndarray:
    """Return Pearson's correlations of ``(count, cells)``; 0 with a cell that does not vary."""
    off = cells - cells.mean(axis=0)
    norms = np.linalg.norm(off, axis=0)
    off = off / np.where(norms > 1e-9, norms, np.inf)
    return off.T @ off


def autocorrelations(values: np.ndarray) -> np.ndarray:
    """Return each series' share in the autocorrelation.

    Args:
        values: ``(count, length)``, less the mean of all.

    Returns:
        ``(count, length // 2 + 1)``: mean of products at lags 0, 1 ..; the mean over series, divided by
        its first, is the autocorrelation.
    """
    length = values.shape[1]
    lags = range(length // 2 + 1)
    found = [(values[:, : length - lag] * values[:, lag:]).mean(axis=1) for lag in lags]
    return np.stack(found, axis=1)


def spectra(values: np.ndarray) -> np.ndarray:
    """Return the periodograms of ``(count, length)`` series, frequency 0 left out."""
    return abs(np.fft.rfft(values, axis=1)[:, 1:]) ** 2


@final
class Marginals(Metric):
    """Mean over the columns of :func:`column_distance`."""

    name, title = "marginals", "distance of columns"

    def measure(self, sets: ImageSets) -> Interval | None:
        """See :meth:`.Metric.measure`."""
        if sets.rows is None:
            return None
        columns = sets.rows.columns
        x, y = sets.rows.values(sets.images), sets.rows.values(sets.reference)

        def distance(a: np.ndarray, b: np.ndarray) -> float:
            each = [
                column_distance(column, x[a, place], y[b, place])
                for place, column in enumerate(columns)
            ]
            return float(np.mean(each))

        return sets.interval(distance)


@final
class Correlations(Metric):
    """Root mean square difference of the correlations of all pairs of cells."""

    name, title = "correlations", "correlations, off by RMS"

    def measure(self, sets: ImageSets) -> Interval | None:
        """See :meth:`.Metric.measure`."""
        form = sets.rows
        if form is None or form.cells < 2:
            return None
        x, y = (
            form.row_cells(form.images(form.values(each))) for each in (sets.images, sets.reference)
        )
        pairs = np.triu_indices(form.cells, 1)

        def distance(a: np.ndarray, b: np.ndarray) -> float:
            off = correlation_matrix(x[a])[pairs] - correlation_matrix(y[b])[pairs]
            return float(np.sqrt((off**2).mean()))

        return sets.interval(distance)


@final
class TrainedOnSamples(Metric):
    """Train on samples, test on the reference: the nearest samples name the target of a real row.

    Accuracy for a target of categories, R^2 for one of numbers. The row of real images is trained on
    real rows, and is what there is to reach.
    """

    name, title = "tstr", "trained on it, tested on real"
    better = "higher"

    def measure(self, sets: ImageSets) -> Interval | None:
        """See :meth:`.Metric.measure`."""
        form = sets.rows
        if form is None or not form.target:
            return None
        place = [column.name for column in form.columns].index(form.target)
        (x, goals), (y, truths) = (
            _features(form, each, place) for each in (sets.images, sets.reference)
        )

        def score(a: np.ndarray, b: np.ndarray) -> float:
            learner = _neighbours(form.columns[place], min(NEIGHBOURS, len(x)))
            return float(learner.fit(x[a], goals[a]).score(y[b], truths[b]))

        return sets.interval(score)


def _neighbours(target: Column, count: int) -> Any:
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    kind = KNeighborsClassifier if target.kind == "category" else KNeighborsRegressor
    return kind(count)


def _features(form: RowFormat, images: np.ndarray, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the cells of all columns but the target, and the target's values."""
    values = form.values(images)
    cells = form.row_cells(form.images(values))
    start = sum(column.cells for column in form.columns[:target])
    taken = range(start, start + form.columns[target].cells)
    return np.delete(cells, taken, axis=1), values[:, target]


@final
class OfRows(Metric):
    """A distance of one kind of rows, within classes where they are known.

    Args:
        kind: The kind that it is of.
        name, title: Those of the metric.
        values: Format and rows ``(count, columns)`` to what is compared, ``(count, ...)``.
        distance: Distance of two such arrays.
    """

    def __init__(
        self,
        kind: RowKind,
        name: str,
        title: str,
        values: Callable[[RowFormat, np.ndarray], np.ndarray],
        distance: Distance,
    ) -> None:
        self.kind, self.name, self.title = kind, name, title
        self._values, self._distance = values, distance

    def measure(self, sets: ImageSets) -> Interval | None:
        """See :meth:`.Metric.measure`."""
        form = sets.rows
        if form is None or form.kind != self.kind:
            return None
        x, y = (self._values(form, form.values(each)) for each in (sets.images, sets.reference))
        ours, theirs = sets.labels, sets.reference_labels
        if ours is None or theirs is None:
            return sets.interval(lambda a, b: self._distance(x[a], y[b]))
        shared = np.intersect1d(ours, theirs)
        if not len(shared):
            return None

        def within(a: np.ndarray, b: np.ndarray) -> float:
            parts = [(x[a][ours[a] == label], y[b][theirs[b] == label]) for label in shared]
            found = [self._distance(*each) for each in parts if min(map(len, each)) > 0]
            return float(np.mean(found))

        return sets.interval(within)


def _centred(form: RowFormat, values: np.ndarray) -> np.ndarray:
    return values - (form.columns[0].low + form.columns[0].high) / 2


def _of_means(shape: Callable[[np.ndarray], np.ndarray]) -> Distance:
    """Return the root mean square difference of a function of two sets' means."""

    def distance(x: np.ndarray, y: np.ndarray) -> float:
        off = shape(x.mean(axis=0)) - shape(y.mean(axis=0))
        return float(np.sqrt((off**2).mean()))

    return distance


def _later(products: np.ndarray) -> np.ndarray:
    return products[1:] / max(float(products[0]), 1e-12)


def _variation(x: np.ndarray, y: np.ndarray) -> float:
    """Total variation between two mean spectra, each of sum 1."""
    shares = [each.mean(axis=0) / max(float(each.mean(axis=0).sum()), 1e-12) for each in (x, y)]
    return float(abs(shares[0] - shares[1]).sum() / 2)


def _wasserstein(x: np.ndarray, y: np.ndarray, *weights: np.ndarray) -> float:
    from scipy.stats import wasserstein_distance  # a third of a second, so only when asked

    return float(wasserstein_distance(x, y, *weights))


def _relative(x: np.ndarray, y: np.ndarray) -> float:
    """Wasserstein distance in units of the mean of the second."""
    return _wasserstein(x, y) / max(float(y.mean()), 1e-12)


def _lattices(form: RowFormat, values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, *form.shape)


def _layers(form: RowFormat, values: np.ndarray) -> np.ndarray:
    """Deposit of each layer, ``(count, layers)``."""
    return values.reshape(-1, *form.shape).sum(axis=2)


def _depths(form: RowFormat, values: np.ndarray) -> np.ndarray:
    """Mean layer of each shower, weighted by its deposits; 0 of an empty one."""
    layers = _layers(form, values)
    return layers @ np.arange(layers.shape[1]) / np.maximum(layers.sum(axis=1), 1e-12)


def _profiles(x: np.ndarray, y: np.ndarray) -> float:
    """Wasserstein distance in layers of two mean profiles."""
    places = np.arange(x.shape[1])
    weights = [each.mean(axis=0) for each in (x, y)]
    if min(float(each.sum()) for each in weights) <= 0:
        return float(x.shape[1] - 1)
    return _wasserstein(places, places, *weights)


marginals, correlations, tstr = Marginals(), Correlations(), TrainedOnSamples()
autocorrelation = OfRows(
    "series",
    "autocorrelation",
    "autocorrelation, off by RMS",
    lambda form, values: autocorrelations(_centred(form, values)),
    _of_means(_later),
)
spectrum = OfRows(
    "series",
    "spectrum",
    "spectrum, total variation",
    lambda form, values: spectra(_centred(form, values)),
    _variation,
)
series_spread = OfRows(
    "series",
    "series_spread",
    "deviation of a series, Wasserstein",
    lambda form, values: values.std(axis=1),
    _wasserstein,
)
spin_energy = OfRows(
    "spins",
    "spin_energy",
    "energy of a spin, Wasserstein",
    lambda form, values: spin_energies(_lattices(form, values)) / values.shape[1],
    _wasserstein,
)
magnetisation = OfRows(
    "spins",
    "magnetisation",
    "magnetisation, Wasserstein",
    lambda form, values: values.mean(axis=1),
    _wasserstein,
)
energy_sum = OfRows(
    "showers",
    "energy_sum",
    "energy sum, Wasserstein by mean",
    lambda form, values: values.sum(axis=1),
    _relative,
)
shower_profile = OfRows(
    "showers", "shower_profile", "profile, Wasserstein in layers", _layers, _profiles
)
shower_depth = OfRows(
    "showers", "shower_depth", "depth, Wasserstein in layers", _depths, _wasserstein
)
OF_ROWS = (
    *("marginals", "correlations", "tstr"),
    *("autocorrelation", "spectrum", "series_spread"),
    *("spin_energy", "magnetisation"),
    *("energy_sum", "shower_profile", "shower_depth"),
)
"""Metrics of rows, in the order of tables."""
