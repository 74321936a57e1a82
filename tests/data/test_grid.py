from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from qdm_qiskit.data import image_grid, save_grid
from qdm_qiskit.errors import InvalidOption, OutputNotWritable


def test_images_go_row_by_row_with_a_white_gap():
    images = np.zeros((3, 1, 2, 2), np.float32)
    images[1], images[2] = 0.2, 0.4
    grid = image_grid(images, columns=2)[:, :, 0]
    assert grid.shape == (5, 5)
    assert grid[0].tolist() == [0, 0, 255, 51, 51]
    assert grid[2].tolist() == [255] * 5
    assert grid[4].tolist() == [102, 102, 255, 255, 255]


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_the_file_holds_the_enlarged_grid(channels, mode, tmp_path):
    images = np.random.default_rng(0).random((4, channels, 2, 2), dtype=np.float32)
    path = save_grid(images, tmp_path / "grid.png", scale=3)
    with Image.open(path) as picture:
        assert (picture.mode, picture.size) == (mode, (15, 15))
        pixels = np.asarray(picture).reshape(15, 15, channels)
    np.testing.assert_array_equal(pixels[::3, ::3], image_grid(images))


def test_an_existing_file_is_kept_unless_overwriting_was_asked(tmp_path):
    images, path = np.ones((1, 1, 2, 2), np.float32), tmp_path / "grid.png"
    path.write_text("mine")
    with pytest.raises(OutputNotWritable, match="exists already"):
        save_grid(images, path)
    assert path.read_text() == "mine"
    assert save_grid(images, path, overwrite=True).read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OutputNotWritable, match="cannot be written: No such file"):
        save_grid(images, tmp_path / "none" / "grid.png")


def test_counts_below_one_are_refused(tmp_path):
    images = np.ones((1, 1, 2, 2), np.float32)
    with pytest.raises(InvalidOption, match="columns >= 1"):
        image_grid(images, columns=0)
    with pytest.raises(InvalidOption, match="scale >= 1"):
        save_grid(images, tmp_path / "grid.png", scale=0)
