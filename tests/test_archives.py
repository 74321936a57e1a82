"""Archives and JSON from anywhere: right values, or one error of ours; never memory on their word."""

from __future__ import annotations

import io
import json
import random
import re
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qdm_qiskit import archives
from qdm_qiskit.archives import Header, read_arrays
from qdm_qiskit.circuits.spec import CircuitSpec
from qdm_qiskit.data.npz import read_npz
from qdm_qiskit.errors import InvalidData, QdmError
from qdm_qiskit.execution.device_files import load_device, save_device
from qdm_qiskit.execution.snapshots import load_backend
from qdm_qiskit.files import parse_json, read_json_object
from qdm_qiskit.hardware.ledger.output_files import read_outputs
from qdm_qiskit.hardware.ledger.run_files import (
    CountsInfo,
    StoredCounts,
    nonce,
    read_counts,
    write_counts,
)
from qdm_qiskit.hardware.plan.qnn_question import QnnQuestion
from qdm_qiskit.hardware.providers.settings import read_settings
from qdm_qiskit.hardware.run.stored_images import stored_trajectory

ARRAYS = {
    "numbers": np.arange(12.0).reshape(3, 4),
    "columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "none": np.zeros((0, 3), dtype=np.uint8),
    "text": np.array("a text"),
    "states": np.full((2, 2), 1 + 2j, dtype=np.complex64),
}


PLAN = SimpleNamespace(num_images=2, image_shape=(1, 2, 2), steps=())
"""Of a plan, what says how many images it stores."""


def _turned() -> QuantumCircuit:
    found = QuantumCircuit(1)
    found.rx(Parameter("a"), 0)
    found.ry(Parameter("b"), 0)
    return found


def _with_rows(rows: int, inputs: bytes) -> dict[str, bytes]:
    """Return the files of a question that claims so many rows."""
    content = json.loads(QNN.files()["qnn.json"]) | {"rows_shape": [rows]}
    return {"qnn.json": json.dumps(content).encode(), "inputs.npz": inputs}


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
    monkeypatch.setattr(archives, "UNCHECKED_BYTES", 2**24)
    for most, words in (
        (2**25, {"check": lambda headers: None}),
        (2**25, {"foreign": True}),
        (2**24, {}),
        (2**23, {"most_bytes": 2**23}),
    ):
        tracemalloc.start()
        with pytest.raises(InvalidData, match=f"at most {most} are read"):
            read_arrays(path, **words)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**21


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_large_foreign_file_that_unpacks_too_far_is_refused(tmp_path, monkeypatch, method):
    monkeypatch.setattr(archives, "LARGE_BYTES", 2**16)
    size = 2**17
    path = archive(tmp_path, member("|u1", (size,), bytes(size)), method)
    assert len(read_arrays(path)["x"]) == size  # what we wrote may be so
    if method == zipfile.ZIP_STORED:
        assert len(read_arrays(path, foreign=True)["x"]) == size
        return
    with pytest.raises(
        InvalidData, match=r"unpack into 131\d+, more than 200 for one.*numpy.savez"
    ):
        read_arrays(path, foreign=True)


@pytest.fixture
def unpacked(monkeypatch) -> list[int]:
    """Number of bytes of each piece that is unpacked of an archive."""
    pieces: list[int] = []
    read = zipfile.ZipExtFile.read

    def counted(self, n=-1):
        piece = read(self, n)
        pieces.append(len(piece))
        return piece

    monkeypatch.setattr(zipfile.ZipExtFile, "read", counted)
    return pieces


def test_all_headers_are_checked_before_any_values_are_unpacked(tmp_path, unpacked):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, first=np.zeros(2**20), last=np.zeros(3, dtype=np.int64))

    def check(headers):
        assert headers == {
            "first": Header((2**20,), np.dtype("f8")),
            "last": Header((3,), np.dtype("i8")),
        }
        raise InvalidData("it is not wanted")

    with pytest.raises(InvalidData, match="it is not wanted"):
        read_arrays(path, check=check)
    assert 0 < sum(unpacked) <= 2 * 2**8
    read_arrays(path)
    assert sum(unpacked) > 2**23
    assert max(unpacked) <= archives.CHUNK_BYTES


def test_values_that_end_early_or_fail_their_sum_are_refused(tmp_path):
    """Stored, so that nothing but the sum sees a flipped bit."""
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(100_000))
    whole = path.read_bytes()
    at = len(whole) // 2
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(InvalidData, match="Bad CRC-32"):
        read_arrays(path)


QNN = QnnQuestion(
    kind="SamplerQNN",
    spec=CircuitSpec.from_circuit(_turned(), inputs=["a"], weights=["b"], readout=[0]),
    weights=np.array([0.5]),
    inputs=np.zeros((3, 1)),
    rows_shape=(3,),
    output_shape=(2,),
    places=np.array([0, 1]),
)
ROWS = 2**18
"""Of what is too large here: 2 MB, where 2 GB would do the same."""
TOO_LARGE = {
    "counts": (
        "c.npz",
        {"counts_0000": np.ones((ROWS, 2), np.int64), "info": np.array("{}")},
        lambda path: read_counts(path, [(3, 2)]),
        "at most 66144 are read",
    ),
    "estimates": (
        "c.npz",
        {"estimates_0000": np.ones((2, ROWS, 2)), "info": np.array("{}")},
        lambda path: read_counts(path, [(3, 2)]),
        "at most 66144 are read",
    ),
    "counts of another type": (
        "c.npz",
        {"counts_0000": np.ones((ROWS, 2)), "info": np.array("{}")},
        read_counts,
        "counts of shape (262144, 2) and type float64",
    ),
    "info": (
        "c.npz",
        {"counts_0000": np.ones((1, 2), np.int64), "info": np.array(" " * ROWS)},
        read_counts,
        "info of shape () and type <U262144",
    ),
    "images": (
        "images.npz",
        {"images": np.ones((2, 1, 2, 2)), "trajectory": np.ones((ROWS, 2, 1, 2, 2))},
        lambda path: stored_trajectory(path.parent, PLAN),
        "at most 4224 are read",
    ),
    "outputs": (
        "outputs.npz",
        {"outputs": np.ones((ROWS, 2))},
        lambda path: read_outputs(path.parent, 6),
        "at most 8288 are read",
    ),
    "other outputs": (
        "outputs.npz",
        {"outputs": np.ones(2), "standard_errors": np.ones(ROWS)},
        lambda path: read_outputs(path.parent),
        "standard_errors of shape (262144,)",
    ),
    "inputs of a qnn": (
        "inputs.npz",
        {"weights": np.zeros(1), "inputs": np.zeros((ROWS, 1))},
        lambda path: QnnQuestion.from_files(QNN.files() | {"inputs.npz": path.read_bytes()}),
        "its inputs have the shape (262144, 1)",
    ),
    "rows of a qnn": (
        "inputs.npz",
        {"weights": np.zeros(1), "inputs": np.zeros((ROWS, 1))},
        lambda path: QnnQuestion.from_files(_with_rows(ROWS, path.read_bytes()), 3),
        "its rows have the shape (262144,), 3 were planned",
    ),
}


@pytest.mark.parametrize("kind", TOO_LARGE)
def test_what_is_not_planned_is_refused_before_it_is_unpacked(tmp_path, unpacked, kind):
    name, arrays, read, says = TOO_LARGE[kind]
    np.savez_compressed(tmp_path / name, **arrays)
    with pytest.raises(InvalidData, match=re.escape(says)):
        read(tmp_path / name)
    assert sum(unpacked) <= len(arrays) * 2**8


def test_what_is_planned_fits(tmp_path):
    """The largest text of a job, and counts of many circuits; a question's own files."""
    info = CountsInfo(job_id="j" * 4000, tag="t" * 4000, shots=4, ran_at=1.0)
    counts = tuple(np.ones((3, 2), dtype=np.int64) for _ in range(500))
    write_counts(tmp_path / "c.npz", StoredCounts(counts=counts, info=info))
    assert len(read_counts(tmp_path / "c.npz", [(3, 2)] * 500).counts) == 500
    np.testing.assert_array_equal(QnnQuestion.from_files(QNN.files(), 3).inputs, QNN.inputs)


def test_rows_without_counts_and_negative_counts_are_refused_wherever_they_are(tmp_path):
    info = CountsInfo(job_id="j", tag="t", shots=4, ran_at=1.0)
    for value, says in ((0, "a row without counts"), (-1, "negative counts")):
        counts = np.ones((2**16, 2), dtype=np.int64)
        counts[-1] = value
        path = tmp_path / f"{value}.npz"
        write_counts(path, StoredCounts(counts=(counts,), info=info))
        with pytest.raises(InvalidData, match=says):
            read_counts(path)


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
    "trajectory": ("images.npz", _trajectory, lambda path: stored_trajectory(path.parent, PLAN)),
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
