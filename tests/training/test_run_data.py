"""The order of batches, classes, and data that cannot be used."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from qdm_qiskit.errors import InvalidData, InvalidOption
from qdm_qiskit.training.run_data import EpochBatches, class_indices


def test_epochs_visit_each_image_once_in_an_order_of_their_own():
    batches = EpochBatches(23, 10, seed=1)
    orders = []
    for epoch in range(3):
        batches.epoch = epoch
        parts = list(batches)
        assert len(batches) == 3
        assert [len(part) for part in parts] == [10, 10, 3]
        orders.append(list(chain(*parts)))
        assert sorted(orders[-1]) == list(range(23))
    assert orders[0] != orders[1] != orders[2]
    batches.epoch, batches.first = 0, 1
    assert list(chain(*batches)) == orders[0][10:]


def test_labels_become_positions():
    assert class_indices(np.array([7, 3, 7, 9]), np.array([3, 7, 9])).tolist() == [1, 0, 1, 2]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"train_count": 10**6}, InvalidOption, "asks for more than"),
        ({"classes": (0, 77)}, InvalidOption, "got 77"),
        (
            {"guided": True, "num_classes": 1},
            InvalidOption,
            "num_classes is 1, but the data have 2 classes",
        ),
    ],
)
def test_data_that_do_not_fit_are_refused_and_nothing_is_written(
    tmp_path, small_run, tree, options, error, message, refused
):
    refused(error, message, small_run(**options), tmp_path / "run")
    assert tree(tmp_path) == []


def black_and_nan(folder):
    images = np.random.default_rng(0).random((20, 8, 8)).astype(np.float32)
    black, nan = images.copy(), images.copy()
    black[3], nan[4, 2, 2] = 0, np.nan
    np.savez(folder / "black.npz", images=black)
    np.savez(folder / "nan.npz", images=nan)


@pytest.mark.parametrize("name", ["black", "nan"])
def test_images_that_are_no_images_are_refused_and_nothing_is_written(
    tmp_path, small_run, tree, name, refused
):
    black_and_nan(tmp_path)
    config = small_run(
        dataset=f"npz:{tmp_path / name}.npz", classes=(), train_count=None, test_count=None
    )
    refused(InvalidData, "image", config, tmp_path / "run")
    assert tree(tmp_path) == ["black.npz", "nan.npz"]
