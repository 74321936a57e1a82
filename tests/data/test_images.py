from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qdm_qiskit.data import (
    ImageSet,
    check_image_size,
    convert_channels,
    resize,
    validate_images,
)
from qdm_qiskit.errors import InvalidData, InvalidOption

UNIT = st.floats(0, 1, width=32)
IMAGES = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 2), st.sampled_from([1, 3]), st.integers(1, 20), st.integers(1, 20)),
    elements=UNIT,
)
SIZES = st.sampled_from([2, 4, 8, 16, 32])


def triangle_weights(source: int, target: int) -> np.ndarray:
    """The bilinear filter with antialiasing, written out: (target, source), rows sum to 1."""
    scale = source / target
    width = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    distance = (np.arange(source) + 0.5)[None] - centres[:, None]
    weights = np.clip(1 - np.abs(distance) / width, 0, None)
    return weights / weights.sum(axis=1, keepdims=True)


@settings(deadline=None, max_examples=80)
@given(images=IMAGES, size=SIZES)
def test_resize_is_the_triangle_filter_and_stays_in_range(images, size):
    result = resize(images, size)
    assert result.shape == (*images.shape[:2], size, size)
    assert result.dtype == np.float32
    rows = triangle_weights(images.shape[2], size)
    columns = triangle_weights(images.shape[3], size)
    np.testing.assert_allclose(result, rows @ images @ columns.T, atol=1e-5)
    low, high = images.min(axis=(2, 3)), images.max(axis=(2, 3))
    assert (result.min(axis=(2, 3)) >= low - 1e-5).all()
    assert (result.max(axis=(2, 3)) <= high + 1e-5).all()
    # The mean moves only as far as the filter's column sums are uneven (at the borders).
    uneven = np.outer(rows.sum(axis=0) * images.shape[2] / size, columns.sum(axis=0))
    uneven = np.abs(uneven * images.shape[3] / size - 1).mean()
    assert np.abs(result.mean(axis=(2, 3)) - images.mean(axis=(2, 3))).max() <= uneven + 1e-5


@settings(deadline=None, max_examples=30)
@given(value=UNIT, size=SIZES, height=st.integers(1, 40), width=st.integers(1, 40))
def test_resize_keeps_constant_images(value, size, height, width):
    images = np.full((1, 1, height, width), value, dtype=np.float32)
    np.testing.assert_allclose(resize(images, size), value, atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(images=IMAGES, size=SIZES)
def test_resize_commutes_with_mirroring(images, size):
    mirrored = resize(images[..., ::-1], size)
    np.testing.assert_allclose(mirrored, resize(images, size)[..., ::-1], atol=1e-5)


def test_resize_to_the_same_size_is_a_copy():
    images = np.random.default_rng(0).random((2, 1, 8, 8), dtype=np.float32)
    result = resize(images, 8)
    np.testing.assert_array_equal(result, images)
    result[:] = 0
    assert images.any()


def test_resize_clips_to_the_unit_interval():
    images = np.array([-0.5, 1.5], dtype=np.float32).reshape(2, 1, 1, 1)
    assert resize(images, 2)[:, 0, 0, 0].tolist() == [0, 1]
    assert convert_channels(images, 1)[:, 0, 0, 0].tolist() == [0, 1]


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (0, 1, 8, 8), (1, 1, 0, 8)])
def test_resize_and_channels_refuse_other_ranks(shape):
    with pytest.raises(InvalidData, match=r"need shape \(count"):
        resize(np.zeros(shape, np.float32), 8)
    with pytest.raises(InvalidData, match=r"need shape \(count"):
        convert_channels(np.zeros(shape, np.float32), 1)


def test_grey_has_the_itu_r_601_weights():
    images = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)  # pure red, green, blue
    grey = convert_channels(images, 1)
    np.testing.assert_allclose(grey.ravel(), [0.299, 0.587, 0.114], atol=1e-7)


@settings(deadline=None)
@given(images=IMAGES)
def test_grey_to_rgb_and_back_is_the_identity(images):
    grey = convert_channels(images, 1)
    rgb = convert_channels(grey, 3)
    assert rgb.shape[1] == 3
    np.testing.assert_allclose(convert_channels(rgb, 1), grey, atol=1e-6)


@pytest.mark.parametrize("channels", [0, 2, 4, True, "1"])
def test_other_channels_are_refused(channels):
    with pytest.raises(InvalidOption, match="channels=1"):
        convert_channels(np.ones((1, 1, 2, 2), np.float32), channels)


def test_two_channels_cannot_be_converted():
    with pytest.raises(InvalidData, match="1 or 3 channels"):
        convert_channels(np.ones((1, 2, 2, 2), np.float32), 1)


@pytest.mark.parametrize("size", [2, 3, 8, 12, 28, 32, 1024, np.int64(8)])
def test_whole_numbers_are_image_sizes(size):
    check_image_size(size)


@pytest.mark.parametrize("size", [-8, 0, 1, 1025, 2048, 2**40, 8.0, "8", True, None])
def test_other_image_sizes_are_refused(size):
    with pytest.raises(InvalidOption, match="An image of size S x S needs S to be a whole number"):
        check_image_size(size)


def _good() -> np.ndarray:
    return np.random.default_rng(1).random((5, 1, 4, 4), dtype=np.float32)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "image 3 holds NaN or an infinity"),
        (np.inf, "image 3 holds NaN or an infinity"),
        (-np.inf, "image 3 holds NaN or an infinity"),
        (1.00001, r"image 3 has values from .* to 1.00001"),
        (-0.1, "image 3 has values from -0.1"),
        (255, "image 3 has values .* rescale"),
    ],
)
def test_a_bad_value_is_refused_and_its_image_named(value, message):
    images = _good()
    images[3, 0, 2, 1] = value
    with pytest.raises(InvalidData, match=message) as caught:
        validate_images(images, what="pictures")
    assert "The pictures must" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_values_within_the_tolerance_pass():
    images = _good().astype(np.float64)
    images[0, 0, 0, :2] = -9e-7, 1 + 9e-7
    validate_images(images)


def test_an_all_zero_image_is_refused():
    images = _good()
    images[4] = 0
    with pytest.raises(InvalidData, match="image 4 is: it has no norm"):
        validate_images(images)


@pytest.mark.parametrize(
    "images",
    [[[0.5]], np.ones((4, 4)), np.ones((0, 1, 4, 4)), np.ones((1, 1, 2, 2), complex), None],
)
def test_what_is_no_stack_of_images_is_refused(images):
    with pytest.raises(InvalidData, match="The images"):
        validate_images(images)


def test_image_set_checks_dtypes_and_lengths():
    images, labels = _good(), np.arange(5)
    assert len(ImageSet(images, labels, "mine")) == 5
    with pytest.raises(InvalidData, match="must be float32, got float64"):
        ImageSet(images.astype(np.float64), labels, "mine")
    with pytest.raises(InvalidData, match="int64 array, got float64"):
        ImageSet(images, labels.astype(float), "mine")
    with pytest.raises(InvalidData, match="int64 array, got list"):
        ImageSet(images, labels.tolist(), "mine")
    with pytest.raises(InvalidData, match=r"shape \(5,\), got \(4,\)"):
        ImageSet(images, labels[:4], "mine")
    with pytest.raises(InvalidData, match="images of 'mine'"):
        ImageSet(images * np.nan, labels, "mine")
