"""Tiny files in the published formats, written where a test wants them."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

TYPES = {"uint8": 8, "int8": 9, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def _idx_bytes(array: np.ndarray) -> bytes:
    header = struct.pack(">BBBB", 0, 0, TYPES[array.dtype.name], array.ndim)
    header += struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture(scope="session")
def idx_bytes() -> Callable[[np.ndarray], bytes]:
    return _idx_bytes


@pytest.fixture(scope="session")
def write_mnist() -> Callable[..., Path]:
    """Four IDX files: image k of each part holds the value k + 1 (training) or 101 + k (test)."""

    def write(folder: Path, train: int = 40, test: int = 20, compress: bool = True) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for part, count, base in (("train", train, 1), ("t10k", test, 101)):
            values = np.arange(base, base + count, dtype=np.uint8)
            images = np.broadcast_to(values[:, None, None], (count, 28, 28)).astype(np.uint8)
            labels = (np.arange(count) % 10).astype(np.uint8)
            for name, array in (("images-idx3", images), ("labels-idx1", labels)):
                content = _idx_bytes(array)
                path = folder / f"{part}-{name}-ubyte{'.gz' if compress else ''}"
                path.write_bytes(gzip.compress(content) if compress else content)
        return folder

    return write


@pytest.fixture(scope="session")
def cifar_batches() -> dict[str, bytes]:
    """Six batches of 20 records: labels 0..9 twice, random pixels."""
    rng = np.random.default_rng(5)
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    batches = {}
    for name in names:
        records = rng.integers(0, 256, size=(20, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(20) % 10
        batches[name] = records.tobytes()
    return batches


@pytest.fixture(scope="session")
def write_tar() -> Callable[..., Path]:
    """A gzipped tar archive of (name or TarInfo, content) pairs."""

    def write(path: Path, members: Iterable[tuple[str | tarfile.TarInfo, bytes]]) -> Path:
        with tarfile.open(path, "w:gz") as archive:
            for name, content in members:
                info = tarfile.TarInfo(name) if isinstance(name, str) else name
                if info.isreg():
                    info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return path

    return write


@pytest.fixture(scope="session")
def message_of() -> Callable[..., str]:
    """Call something that may fail with these errors only: the message, or "" if it succeeds."""

    def message(call: Callable[[], object], *errors: type[Exception]) -> str:
        try:
            call()
        except errors as error:
            return str(error)
        return ""

    return message


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache folder, and a proxy at a closed port of this machine; returns the cache."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://user:secret@127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    cache = tmp_path / "cache"
    monkeypatch.setattr("qdm_qiskit.data.download.cache_folder", lambda: cache)
    return cache
