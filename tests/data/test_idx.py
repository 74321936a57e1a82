from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qdm_qiskit.data import read_idx
from qdm_qiskit.errors import InvalidData, MissingData, QdmError

ARRAYS = st.sampled_from(["uint8", "int8", "int16", "int32", "float32", "float64"]).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=4, max_side=5))
)
PER_FOLDER = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@PER_FOLDER
@given(array=ARRAYS, compress=st.booleans())
def test_round_trip(array, compress, idx_bytes, tmp_path):
    content = idx_bytes(array)
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(content, mtime=0) if compress else content)
    back = read_idx(path)
    assert back.dtype == array.dtype
    assert back.dtype.isnative
    np.testing.assert_array_equal(back, array)


@PER_FOLDER
@given(data=st.data(), compress=st.booleans())
def test_every_shortened_file_is_refused(data, compress, idx_bytes, tmp_path):
    content = idx_bytes(np.arange(60, dtype=np.uint8).reshape(3, 4, 5))
    content = gzip.compress(content, mtime=0) if compress else content
    path = tmp_path / "short-ubyte"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(InvalidData, match="short-ubyte") as caught:
        read_idx(path)
    assert "\n" not in str(caught.value)


@PER_FOLDER
@given(content=st.binary(max_size=64), magic=st.sampled_from([b"", b"\0\0\x08\x01", b"\x1f\x8b"]))
def test_random_bytes_give_an_array_or_our_error(content, magic, tmp_path, message_of):
    path = tmp_path / "random"
    path.write_bytes(magic + content)
    message = message_of(lambda: read_idx(path), InvalidData)
    assert message == "" or str(path) in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"\x89PNG", "not an IDX file.*got 89 50 4e 47"),
        (b"\0\0\x0a\x01" + b"\0" * 8, "not an IDX file"),
        (b"\0\0\x08\x00", "not an IDX file"),
        (b"\0\0\x08\x05" + b"\0\0\0\1" * 5 + b"x", "not an IDX file"),
        (b"\0\0\x08\x03\0\0", "ends inside its IDX header"),
        (b"\0\0\x08\x01\0\0\0\0", r"claims dimensions \(0,\)"),
        (b"\0\0\x08\x01\0\0\0\2x", "needs 2 bytes.*holds only 1"),
        (b"\0\0\x08\x01\0\0\0\2xxx", "needs 2 bytes.*holds more"),
        (b"\0\0\x08\x04" + b"\xff" * 16, "claims dimensions.*4294967295"),
        (b"\0\0\x0e\x01" + struct.pack(">I", 2**25 + 1), "claims dimensions"),
        (gzip.compress(b"\0\0\x08\x01\0\0\0\2xx", mtime=0) + b"tail", "damaged gzip"),
        (gzip.compress(b"\0\0\x08\x01\0\0\0\2xx", mtime=0)[:-2], "damaged gzip"),
        (b"\x1f\x8bnot gzip at all", "damaged gzip"),
    ],
)
def test_what_is_wrong_is_said(content, message, tmp_path):
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(InvalidData, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_a_gzip_bomb_is_read_no_further_than_its_header_says(tmp_path):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\x01\0\0\0\2" + b"\0" * 50_000_000, 1, mtime=0))
    with pytest.raises(InvalidData, match="holds more"):
        read_idx(path)


def test_a_missing_file_and_a_folder_are_missing_data(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(MissingData, match="cannot be read") as caught:
            read_idx(path)
        assert isinstance(caught.value, QdmError)
