from __future__ import annotations

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest

from qdm_qiskit import archives
from qdm_qiskit.data import load_dataset
from qdm_qiskit.data import npz as npz_module
from qdm_qiskit.errors import InvalidData, InvalidOption, MissingData


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(2).random((10, 6, 6)) * 0.9 + 0.05


def load(path, **options):
    return load_dataset(f"npz:{path}", **{"image_size": 8, **options})


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("channels", [None, 1, 3])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
def test_own_images(save, channels, dtype, images, tmp_path):
    if channels:
        images = np.repeat(images[:, None], channels, axis=1)
    images = (images * 255).astype("uint8") if dtype == "uint8" else images.astype(dtype)
    path = tmp_path / "own.npz"
    save(path, images=images, labels=np.arange(10, dtype=np.int16) % 2 - 1)
    split = load(path)
    assert split.train.images.shape == (8, 1, 8, 8)
    assert split.test.images.shape == (2, 1, 8, 8)
    assert sorted(split.test.labels.tolist()) == [-1, 0]
    assert split.train.name == f"npz:{path}"
    assert set(load(path, classes=[-1]).train.labels.tolist()) == {-1}


def test_without_labels_all_are_0_and_no_class_can_be_chosen(images, tmp_path):
    np.savez(tmp_path / "own.npz", images=images)
    assert set(load(tmp_path / "own.npz").train.labels.tolist()) == {0}
    with pytest.raises(InvalidOption, match="has no array 'labels'"):
        load(tmp_path / "own.npz", classes=[0])


def test_unknown_classes_and_a_single_image(images, tmp_path):
    np.savez(tmp_path / "own.npz", images=images, labels=np.array([5] * 9 + [6]))
    with pytest.raises(InvalidOption, match=r"are 5, 6; got 7"):
        load(tmp_path / "own.npz", classes=[7])
    with pytest.raises(InvalidOption, match="no test image of the classes 6"):
        load(tmp_path / "own.npz", classes=[6])
    np.savez(tmp_path / "one.npz", images=images[:1])
    with pytest.raises(InvalidOption, match="no test image"):
        load(tmp_path / "one.npz")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": np.ones((4, 4, 4))}, "must hold an array 'images'"),
        ({"images": np.ones((4, 4))}, "'images' needs shape"),
        ({"images": np.ones((4, 2, 4, 4))}, "'images' needs shape"),
        ({"images": np.ones((0, 4, 4))}, "'images' needs shape"),
        ({"images": np.ones((4, 4, 4), np.int64)}, "must be uint8 or floats"),
        ({"images": np.ones((4, 4, 4), complex)}, "must be uint8 or floats"),
        ({"images": np.full((4, 4, 4), np.nan)}, "image 0 holds NaN"),
        ({"images": np.full((4, 4, 4), 2.0)}, "must lie in"),
        ({"images": np.zeros((4, 4, 4))}, "no norm"),
        ({"images": np.ones((4, 4, 4)), "labels": np.ones(4)}, "'labels' must be integers"),
        ({"images": np.ones((4, 4, 4)), "labels": np.arange(3)}, "'labels' must be integers"),
    ],
)
def test_other_arrays_are_refused(arrays, message, tmp_path):
    path = tmp_path / "own.npz"
    np.savez(path, **arrays)
    with pytest.raises(InvalidData, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


class _Bomb:
    def __reduce__(self):
        return (pytest.fail, ("the file was unpickled",))


def test_nothing_is_unpickled(tmp_path):
    path = tmp_path / "own.npz"
    np.savez(path, images=np.array([_Bomb()], dtype=object))
    with pytest.raises(InvalidData, match="holds Python objects"):
        load(path)
    path.write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(InvalidData, match=r"cannot be read as a \.npz"):
        load(path)


def _npy(header: str, body: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode() + b"\n"
    length = struct.pack("<H" if version == b"\x01\x00" else "<I", len(text))
    return b"\x93NUMPY" + version + length + text + body


def _zip(path, **members: bytes):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no array",
        _npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000000), }"),
        _npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -8), }", b"x" * 64),
        _npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 4, 4), }", b"x" * 9),
        _npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"x"),
        _npy("__import__('os').abort()"),
        _npy("{((((", version=b"\x02\x00"),
        _npy("{}", version=b"\x03\x00"),
        _npy("{'descr': '<f8'}"),
    ],
)
def test_hostile_arrays_are_refused_before_anything_is_allocated(content, tmp_path):
    path = _zip(tmp_path / "own.npz", images=content)
    with pytest.raises(InvalidData, match=r"own.npz") as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_an_array_over_the_limit_is_refused(tmp_path, images, monkeypatch):
    monkeypatch.setattr(npz_module, "LARGEST_BYTES", 1000)
    np.savez(tmp_path / "own.npz", images=images)
    with pytest.raises(InvalidData, match="at most 1000 are read"):
        load(tmp_path / "own.npz")


def test_images_that_are_too_many_as_floats_and_labels_are_refused_unread(tmp_path, monkeypatch):
    """Bytes take a fourth of the memory that images do as they are used."""
    monkeypatch.setattr(npz_module, "LARGEST_BYTES", 2**14)
    monkeypatch.setattr(npz_module, "MOST_LABELS", 100)
    path = tmp_path / "own.npz"
    np.savez(path, images=np.full((64, 8, 8), 7, np.uint8), labels=np.arange(64))
    assert len(npz_module.read_npz(path)[0].pixels) == 64
    monkeypatch.setattr(archives, "_read_values", None)
    np.savez(path, images=np.full((65, 8, 8), 7, np.uint8))
    with pytest.raises(InvalidData, match="have 16640 bytes as 32-bit floats; at most 16384"):
        npz_module.read_npz(path)
    np.savez(path, labels=np.arange(101))
    with pytest.raises(InvalidData, match="it has 101 labels; at most 100 are read"):
        npz_module.read_npz_classes(path)


def test_every_damaged_file_gives_our_error_or_images(tmp_path, images, message_of):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=images, labels=np.arange(10))
    whole = buffer.getvalue()
    path = tmp_path / "own.npz"
    rng = np.random.default_rng(4)
    for trial in range(150):
        content = bytearray(whole)
        if trial % 3 == 0:
            del content[int(rng.integers(0, len(content))) :]
        else:
            for place in rng.integers(0, len(content), size=2):
                content[place] = int(rng.integers(0, 256))
        path.write_bytes(content)
        assert "\n" not in message_of(lambda: load(path), InvalidData, InvalidOption)


def test_a_missing_file(tmp_path):
    for name in (tmp_path / "none.npz", tmp_path, ""):
        with pytest.raises(MissingData, match=r"needs a \.npz file"):
            load(name)
