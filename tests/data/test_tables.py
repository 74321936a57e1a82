"""The embedded tables: what the catalogue says, and undone exactly."""

from __future__ import annotations

import numpy as np
import pytest

from qdm_qiskit.data import DATASETS, find_dataset
from qdm_qiskit.data.datasets import dataset_origin

TABLES = ("iris", "wine", "breast-cancer", "diabetes")
ROWS = tuple(name for name, info in DATASETS.items() if info.columns)


@pytest.mark.parametrize("name", ROWS)
def test_the_catalogue_says_what_there_is(name):
    info, rows = DATASETS[name], find_dataset(name).loaded_rows
    assert (len(rows.values), len(rows.format.columns)) == (info.count, info.columns)
    assert (rows.format.size, rows.format.classes) == (info.native_size, info.classes)
    assert set(rows.labels) == set(range(len(info.classes)))


@pytest.mark.parametrize("name", ROWS)
def test_rows_are_undone(name):
    rows = find_dataset(name).loaded_rows
    back = rows.format.values(rows.format.images(rows.values))
    scale = np.array([column.high - column.low for column in rows.format.columns])
    assert (abs(back - rows.values) / scale).max() < 1e-6


@pytest.mark.parametrize("name", TABLES)
def test_they_are_scikit_learns(name):
    from sklearn import datasets

    loaders = (
        datasets.load_iris,
        datasets.load_wine,
        datasets.load_breast_cancer,
        lambda: datasets.load_diabetes(scaled=False),
    )
    bunch = dict(zip(TABLES, loaders, strict=True))[name]()
    values = find_dataset(name).loaded_rows.values
    numbers = [k for k in range(bunch.data.shape[1]) if name != "diabetes" or k != 1]
    np.testing.assert_allclose(values[:, numbers], bunch.data[:, numbers])
    if name == "diabetes":
        np.testing.assert_array_equal(values[:, 1], bunch.data[:, 1] - 1)  # sex, coded 1 and 2
    np.testing.assert_allclose(values[:, -1], bunch.target)
    assert dataset_origin(name).startswith("scikit-learn ")
