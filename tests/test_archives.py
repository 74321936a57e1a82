"""Archives and JSON from anywhere: right values, or one error of ours; never memory on their word."""

from __future__ import annotations

import io
import json
import random
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qdm_qiskit import archives
from qdm_qiskit.archives import read_arrays
from qdm_qiskit.data.npz import read_npz
from qdm_qiskit.errors import InvalidData, QdmError
from qdm_qiskit.execution.device_files import load_device, save_device
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.files import parse_json, read_json_object
from qdm_qiskit.hardware.ledger.run_files import (
    CountsInfo,
    StoredCounts,
    nonce,
    read_counts,
    write_counts,
)
from qdm_qiskit.hardware.providers.settings import read_settings
from qdm_qiskit.hardware.run.replay import _stored_trajectory

ARRAYS = {
    "numbers": np.arange(12.0).reshape(3, 4),
    "columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "none": np.zeros((0, 3), dtype=np.uint8),
    "text": np.array("a text"),
    "states": np.full((2, 2), 1 + 2j, dtype=np.complex64),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("as_bytes", [False, True])
def test_what_numpy_wrote_comes_back(tmp_path, save, as_bytes):
    path = tmp_path / "a.npz"
    save(path, **ARRAYS)
    found = read_arrays(path.read_bytes() if as_bytes else path)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    assert read_arrays(path, ["text", "nothing"]).keys() == {"text"}


def member(
    dtype: str, shape: tuple[int, ...], body: bytes, *, magic: bytes = b"\x93NUMPY"
) -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return magic + b"\x01\x00" + len(header).to_bytes(2, "little") + header + body


def archive(folder: Path, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> Path:
    path = folder / "a.npz"
    with zipfile.ZipFile(path, "w", method) as made:
        made.writestr("x.npy", content)
    return path


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (member("<f8", (10**6, 10**6), b""), "8000000000000 bytes, but holds 0"),
        (member("<f8", (1,), b"x" * 7), "8 bytes, but holds 7"),
        (member("|O", (1,), b"x" * 8), "holds Python objects"),
        (member("<q9", (1,), b"x" * 9), "no whole .npz"),
        (member("<f8", (1,), b"x" * 8, magic=b"\x93NUMPX"), "no whole .npz"),
        (b"", "no whole .npz"),
    ],
)
def test_members_that_are_not_what_they_say(tmp_path, content, says):
    with pytest.raises(InvalidData, match=says) as caught:
        read_arrays(archive(tmp_path, content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_kinds_of_compression_are_refused(tmp_path, method):
    with pytest.raises(InvalidData, match="numpy does not use"):
        read_arrays(archive(tmp_path, member("<f8", (1,), b"x" * 8), method))


def test_what_comes_out_counts_and_not_what_goes_in(tmp_path, monkeypatch):
    """64 MB of zeros pack into 64 kB; nothing of them is unpacked."""
    size = 2**26
    path = archive(tmp_path, member("|u1", (size,), bytes(size)))
    assert path.stat().st_size < 2**17
    monkeypatch.setattr(archives, "MOST_BYTES", 2**25)
    tracemalloc.start()
    with pytest.raises(InvalidData, match="at most 33554432 are read"):
        read_arrays(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**21


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b'{"a": 1e999}', "beyond double precision"),
        (b'{"a": ' + b"9" * 400 + b"}", "an integer of 400 digits"),
        (b'{"a": ' + b"9" * 5000 + b"}", "an integer of 5000 digits"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a": "\xff"}', "utf-8"),
        (b"", "Expecting value"),
        (b"[1]", "must hold a JSON object"),
    ],
)
def test_json_that_cannot_be_used(tmp_path, text, says):
    path = tmp_path / "a.json"
    path.write_bytes(text)
    with pytest.raises(InvalidData, match=says) as caught:
        read_json_object(path)
    assert "\n" not in str(caught.value)


def test_json_keeps_its_numbers():
    text = '{"a": 18446744073709551615, "b": -0.1, "c": 1e-400, "d": [true, null, "\\u00e4"]}'
    assert parse_json(text) == json.loads(text) == parse_json(text.encode())


# -- every reader, fuzzed ---------------------------------------------------------------------


def _counts(path: Path) -> None:
    info = CountsInfo(job_id="j1", tag="t1", shots=4, ran_at=1.0)
    write_counts(path, StoredCounts(counts=(np.array([[1, 3]], dtype=np.int64),), info=info))


def _trajectory(path: Path) -> None:
    images = np.linspace(0, 1, 8, dtype=np.float32).reshape(2, 1, 2, 2)
    np.savez_compressed(path, images=images, trajectory=images[None])


def _pixels(path: Path) -> None:
    np.savez(path, images=np.full((3, 4, 4), 7, dtype=np.uint8), labels=np.arange(3))


def _json(path: Path) -> None:
    path.write_text('{"poll_seconds": 1.5, "grace_seconds": 60, "lookup_pauses_seconds": [0, 1]}')


def _device(path: Path) -> None:
    save_device(load_backend("fake_manila"), path)


def _nonce(path: Path) -> None:
    path.write_text("0123456789abcdef\n")


READERS: dict[str, tuple[str, Callable[[Path], object], Callable[[Path], object]]] = {
    "counts": ("c.npz", _counts, read_counts),
    "trajectory": ("images.npz", _trajectory, lambda path: _stored_trajectory(path.parent)),
    "own images": ("own.npz", _pixels, read_npz),
    "settings": ("service.json", _json, lambda path: read_settings(path.parent)),
    "json": ("a.json", _json, read_json_object),
    "device": ("d.json", _device, load_device),
    "nonce": ("nonce", _nonce, lambda path: nonce(path.parent)),
}


def damaged(whole: bytes, draw: random.Random) -> bytes:
    """Return bytes cut short, with flipped bits, with a piece removed, doubled or replaced."""
    content = bytearray(whole)
    for _ in range(draw.choice((1, 1, 2, 4))):
        at, width = draw.randrange(len(content) + 1), draw.choice((1, 2, 4, 16))
        kind = draw.randrange(5)
        if kind == 0:
            del content[at:]
        elif kind == 1 and at < len(content):
            content[at] ^= 1 << draw.randrange(8)
        elif kind == 2:
            del content[at : at + width]
        elif kind == 3:
            content[at:at] = content[at : at + width]
        else:
            content[at : at + width] = draw.randbytes(width)
    return bytes(content)


@pytest.mark.parametrize(
    "times", [pytest.param(60, id="60"), pytest.param(3000, marks=pytest.mark.slow, id="3000")]
)
@pytest.mark.parametrize("name", READERS)
def test_damaged_files_give_our_errors_only(tmp_path, name, times):
    file, write, read = READERS[name]
    path = tmp_path / file
    write(path)
    whole, draw = path.read_bytes(), random.Random(times)
    assert read(path) is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(times):
            path.write_bytes(damaged(whole, draw))
            try:
                read(path)
            except QdmError as error:
                if "\n" in str(error):
                    pytest.fail(f"two lines: {error}")


def test_the_readers_above_open_no_archive_by_themselves():
    """One reader for all: no module of the package calls numpy.load."""
    package = Path(archives.__file__).parent
    using = [
        str(path.relative_to(package))
        for path in sorted(package.rglob("*.py"))
        if "np.load(" in path.read_text() and path.name != "archives.py"
    ]
    assert using == []


def test_bytes_are_not_changed_by_reading():
    buffer = io.BytesIO()
    np.savez(buffer, x=np.arange(3))
    content = buffer.getvalue()
    np.testing.assert_array_equal(read_arrays(content)["x"], np.arange(3))
    assert content == buffer.getvalue()
