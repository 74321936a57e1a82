from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio

from qdm_qiskit.errors import InvalidData
from qdm_qiskit.evaluation.image_metrics import (
    check_images,
    nearest,
    peak_signal_to_noise,
    squared_errors,
    structural_similarity,
)


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(9)
    images = rng.random((3, 1, 16, 16))
    return images, np.clip(images + 0.2 * rng.normal(size=images.shape), 0, 1)


def test_psnr_is_torchmetrics(pair):
    x, y = (torch.from_numpy(each) for each in pair)
    errors = squared_errors(*pair)
    assert errors[1] == pytest.approx(np.mean((pair[0][1] - pair[1][1]) ** 2))
    wanted = float(peak_signal_noise_ratio(x, y, data_range=1.0))
    assert peak_signal_to_noise(float(errors.mean())) == pytest.approx(wanted)
    assert peak_signal_to_noise(0.0) == np.inf


def test_nearest_against_its_definition(monkeypatch):
    rng = np.random.default_rng(3)
    images, references = rng.random((9, 1, 4, 4)), rng.random((7, 1, 4, 4))
    images[4] = references[2]
    slow = np.array([[np.sqrt(np.mean((a - b) ** 2)) for b in references] for a in images])
    monkeypatch.setattr("qdm_qiskit.evaluation.image_metrics._CHUNK", 14)  # two rows at a time
    indices, distances = nearest(images, references)
    assert indices.tolist() == slow.argmin(axis=1).tolist()
    assert distances == pytest.approx(slow.min(axis=1))
    assert (indices[4], distances[4]) == (2, 0)


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (np.zeros((2, 8, 8)), "need shape"),
        (np.zeros((0, 1, 8, 8)), "need shape"),
        (np.full((2, 1, 8, 8), np.nan), r"lie in \[0, 1\]"),
        (np.full((2, 1, 8, 8), 255.0), "rescale"),
        (np.full((2, 1, 8, 8), -0.1), "rescale"),
        (np.array(["a"]), "array of numbers"),
        ([[1.0]], "array of numbers"),
    ],
)
def test_images_that_cannot_be_compared_are_refused(images, says):
    with pytest.raises(InvalidData, match=says) as error:
        check_images(images, "samples")
    assert "\n" not in str(error.value)


def test_black_images_are_images():
    check_images(np.zeros((2, 1, 8, 8)), "samples")


def test_mismatched_sizes_are_refused(pair):
    small = pair[1][:, :, :8, :8]
    for function in (structural_similarity, squared_errors, nearest):
        with pytest.raises(InvalidData):
            function(pair[0], small)
    with pytest.raises(InvalidData, match="at least 3 x 3"):
        structural_similarity(pair[0][:, :, :2, :2], pair[1][:, :, :2, :2])
