"""IDX, the file format of MNIST: a four-byte magic, big-endian dimensions, then the values.

The header is checked against a limit before anything of its size is read, and a file must hold
exactly as many bytes as its header says: neither a short file nor a gzip bomb gets through.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..arguments import checked_path
from ..errors import InvalidData, MissingData

__all__ = [
    "LARGEST_BYTES",
    "read_idx",
]

LARGEST_BYTES = 2**28
"""Most bytes that one file may decode to; MNIST's largest file has 47 million."""

_DTYPES: dict[int, np.dtype] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: str | Path) -> np.ndarray:
    """Read one IDX file, raw or gzip (told apart by its first bytes, not by its name).

    Args:
        path: The file.

    Returns:
        An array of the dimensions and the type that the header gives, in native byte order.

    Raises:
        MissingData: If the file cannot be opened.
        InvalidData: If it is no IDX file, is damaged, is shorter or longer than its header says,
            or claims more than 2**28 bytes.

    References:
        Y. LeCun, C. Cortes and C. J. C. Burges, The MNIST database, "The IDX file format".
    """
    path = checked_path(path, "path")
    path = Path(path)
    try:
        with path.open("rb") as file:
            compressed = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            if not compressed:
                return _read_stream(file, path)
            with gzip.GzipFile(fileobj=file) as stream:
                return _read_stream(stream, path)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InvalidData(f"{path} is a damaged gzip file ({error}); fetch it again.") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise MissingData(f"{path} cannot be read: {reason}.") from error


def _read_stream(stream: BinaryIO | gzip.GzipFile, path: Path) -> np.ndarray:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES or not 1 <= magic[3] <= 4:
        raise InvalidData(
            f"{path} is not an IDX file: it must begin with 00 00, a type and 1 to 4 dimensions, "
            f"got {magic.hex(' ') or 'an empty file'}."
        )
    dtype, ndim = _DTYPES[magic[2]], magic[3]
    header = stream.read(4 * ndim)
    if len(header) < 4 * ndim:
        raise InvalidData(f"{path} ends inside its IDX header; fetch it again.")
    shape = tuple(int(n) for n in np.frombuffer(header, dtype=">u4"))
    size = math.prod(shape) * dtype.itemsize
    if not 0 < size <= LARGEST_BYTES:
        raise InvalidData(
            f"{path} claims dimensions {shape}, {size} bytes; an IDX file here has from 1 to "
            f"{LARGEST_BYTES}."
        )
    body = _read_up_to(stream, size + 1)
    if len(body) != size:
        got = f"only {len(body)}" if len(body) < size else "more"
        raise InvalidData(
            f"{path} needs {size} bytes after its header for dimensions {shape}, but holds {got}; "
            "fetch it again."
        )
    return np.frombuffer(body, dtype=dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _read_up_to(stream: BinaryIO | gzip.GzipFile, size: int) -> bytearray:
    # In pieces, so that memory grows with what the file holds, not with what it claims.
    body = bytearray()
    while len(body) < size and (piece := stream.read(min(size - len(body), 2**20))):
        body += piece
    return body
