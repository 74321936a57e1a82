"""Digits are scikit-learn's, read from its file without the package."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from sklearn.datasets import load_digits

from qdm_qiskit.data import digits


def test_the_file_holds_what_scikit_learn_gives():
    pixels, labels = digits._embedded()
    bunch = load_digits()
    np.testing.assert_array_equal(pixels, bunch.data)
    np.testing.assert_array_equal(labels, bunch.target)


@pytest.mark.parametrize("there", [True, False])
def test_digits_are_the_same_where_the_file_has_moved(monkeypatch, there):
    if not there:
        monkeypatch.setattr(digits, "_embedded", lambda: None)
    found, bunch = digits.read_digits(), load_digits()
    np.testing.assert_array_equal(found.pixels[:, 0], (bunch.images / 16).astype(np.float32))
    np.testing.assert_array_equal(found.labels, bunch.target)
    assert (found.pixels.dtype, found.labels.dtype) == (np.float32, np.int64)


@pytest.mark.parametrize("content", [None, b"", b"not gzip", "other", "cut"])
def test_another_file_is_not_taken_for_it(monkeypatch, tmp_path, content):
    class Spec:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(digits, "find_spec", lambda name: Spec)
    if content is not None:
        path = tmp_path / "datasets" / "data" / "digits.csv.gz"
        path.parent.mkdir(parents=True)
        other = gzip.compress(b"1,2\n3,4\n")
        path.write_bytes({"other": other, "cut": other[:-9]}.get(content, content))
    assert digits._embedded() is None
    assert len(digits.read_digits().pixels) == digits.COUNT
