from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d
from torchmetrics.functional.image import peak_signal_noise_ratio

from qdm_qiskit.errors import InvalidData
from qdm_qiskit.evaluation.image_metrics import (
    check_images,
    nearest,
    peak_signal_to_noise,
    squared_errors,
    ssim_window,
    structural_similarity,
)


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(9)
    images = rng.random((3, 1, 16, 16))
    return images, np.clip(images + 0.2 * rng.normal(size=images.shape), 0, 1)


def plain_ssim(x: np.ndarray, y: np.ndarray, window: np.ndarray) -> float:
    """SSIM of two images by its formula; the frame mirrors without repeating the edge."""

    def blur(image: np.ndarray) -> np.ndarray:
        for axis in (0, 1):
            image = correlate1d(image, window, axis=axis, mode="mirror")
        return image

    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    top, bottom = (2 * mx * my + c1) * (2 * cov + c2), (mx**2 + my**2 + c1) * (vx + vy + c2)
    return float((top / bottom).mean())


@pytest.mark.parametrize("size", [3, 4, 8, 16])
def test_ssim_is_its_formula(pair, size):
    x, y = (each[:, :, :size, :size] for each in pair)
    if size >= 11:
        window = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    else:
        window = np.ones(min(7, size - 1 + size % 2))
    wanted = [plain_ssim(a[0], b[0], window / window.sum()) for a, b in zip(x, y, strict=True)]
    assert structural_similarity(x, y) == pytest.approx(wanted, abs=2e-4)  # float32 in torchmetrics
    assert structural_similarity(x, x) == pytest.approx(np.ones(3), abs=1e-5)
    assert str(len(window)) in ssim_window(size)


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
