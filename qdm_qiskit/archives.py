"""Arrays from ``.npz`` files that anybody may have written, damaged or made to do harm.

Nothing is unpickled, and nothing is allocated on an array header's word: its claim is compared with
the size of the member, and the sizes of the members, unpacked, with a limit. All headers are read
before any values, so whoever knows what a file must hold refuses another one unread.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from .errors import InvalidData

__all__ = [
    "LARGE_BYTES",
    "MOST_BYTES",
    "MOST_RATIO",
    "UNCHECKED_BYTES",
    "Header",
    "Headers",
    "read_arrays",
]

MOST_BYTES = 2**31
"""Most bytes that the arrays of a file may have together, unpacked."""
UNCHECKED_BYTES = 2**30
"""Most of a file of which nothing says what it must hold, and whose headers nobody checks: what is
unpacked within some seconds on a busy machine too."""
LARGE_BYTES = 2**26
"""Bytes from which it counts how far a file from elsewhere was compressed."""
MOST_RATIO = 200
"""Bytes of such a file unpacked for one of its own; zeros have 1,000, images of drawings some 20."""
CHUNK_BYTES = 2**16
"""Values that are unpacked at once: so few that they stay in the processor's cache until their sum
is taken and they are copied."""
_VERSIONS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True)
class Header:
    """What a file says of an array; as many bytes are there."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran_order: bool = False

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)


Headers = Mapping[str, Header]
"""Of the arrays of a file, by name."""


def read_arrays(
    source: Path | bytes,
    names: Collection[str] | None = None,
    *,
    most_bytes: int | None = None,
    foreign: bool = False,
    check: Callable[[Headers], None] | None = None,
) -> dict[str, np.ndarray]:
    """Read arrays of a ``.npz`` file.

    Args:
        source: The file, or its content.
        names: Arrays that are wanted; those that are not there are left out of the result. None is
            all.
        most_bytes: Most bytes of the wanted arrays together, unpacked. By default :data:`MOST_BYTES`
            for a user's own file and where headers are checked, else :data:`UNCHECKED_BYTES`.
        foreign: Whether a user chose the file and nothing says what it must hold; a large one that
            unpacks into more than :data:`MOST_RATIO` times its size is refused. Counts of many
            outcomes may do so rightly.
        check: Called with the headers of the wanted arrays before any values are unpacked; raises
            InvalidData to refuse them.

    Returns:
        Name to array, in the order of the file.

    Raises:
        InvalidData: If the file cannot be read, is damaged, is too large, an array holds Python
            objects, or by `check`. The message is one line without the file's name.
    """
    limit = most_bytes
    if limit is None:
        limit = MOST_BYTES if foreign or check is not None else UNCHECKED_BYTES
    try:
        opened = io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb")  # noqa: SIM115 (closed below)
        with opened as file, zipfile.ZipFile(file) as archive:
            wanted = {
                member.filename.removesuffix(".npy"): member
                for member in archive.infolist()
                if member.filename.endswith(".npy")
                and (names is None or member.filename.removesuffix(".npy") in names)
            }
            total = sum(member.file_size for member in wanted.values())
            if total > limit:
                raise InvalidData(f"its arrays have {total} bytes; at most {limit} are read")
            packed = sum(member.compress_size for member in wanted.values())
            if foreign and total > LARGE_BYTES and total > MOST_RATIO * packed:
                raise InvalidData(
                    f"its {packed} bytes unpack into {total}, more than {MOST_RATIO} for one; if they "
                    "are yours, save them by numpy.savez, which does not compress"
                )
            headers = {name: _read_header(archive, member) for name, member in wanted.items()}
            if check is not None:
                check(headers)
            return {
                name: _read_values(archive, member, headers[name])
                for name, member in wanted.items()
            }
    except InvalidData:
        raise
    except Exception as error:  # whatever zipfile, zlib and numpy raise on hostile bytes
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InvalidData(f"it is no whole .npz file ({reason})") from error


def _read_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Header:
    name = member.filename
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InvalidData(f"'{name}' is packed in a way that numpy does not use")
    with archive.open(member) as stream:
        return _checked_header(stream, name, member.file_size)


def _read_values(archive: zipfile.ZipFile, member: zipfile.ZipInfo, header: Header) -> np.ndarray:
    """Return an array, whose values are unpacked piece by piece into their place."""
    # Memory in the file's order of axes; an array of one axis of Fortran's has the same.
    shape = header.shape[::-1] if header.fortran_order else header.shape
    found = np.empty(shape, header.dtype)
    bare = found.reshape(-1).view(np.uint8) if found.nbytes else np.empty(0, np.uint8)
    target, begin = bare.data, 0
    with archive.open(member) as stream:
        _checked_header(stream, member.filename, member.file_size)
        while piece := stream.read(min(CHUNK_BYTES, len(target) - begin)):
            target[begin : begin + len(piece)] = piece
            begin += len(piece)
        stream.read(1)  # at the end the archive compares its sum
    if begin != found.nbytes:
        raise InvalidData(f"'{member.filename}' ends after {begin} of {found.nbytes} bytes")
    return found.T if header.fortran_order else found


def _checked_header(stream: IO[bytes], name: str, size: int) -> Header:
    version = np.lib.format.read_magic(stream)
    if version not in _VERSIONS:
        raise InvalidData(f"'{name}' is of .npy version {version}, not 1.0 or 2.0")
    shape, fortran_order, dtype = _VERSIONS[version](stream)
    if dtype.hasobject:
        raise InvalidData(f"'{name}' holds Python objects; only numbers and text are read")
    claimed, there = math.prod(shape) * dtype.itemsize, size - stream.tell()
    if claimed != there or min(shape, default=1) < 0:
        raise InvalidData(
            f"'{name}' claims shape {shape} of {dtype}, {claimed} bytes, but holds {there}"
        )
    return Header(shape, dtype, fortran_order)
