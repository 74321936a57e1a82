"""Arrays from ``.npz`` files that anybody may have written, damaged or made to do harm.

Nothing is unpickled, and nothing is allocated on an array header's word: its claim is compared with
the size of the member, and the sizes of the members, unpacked, with a limit.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO

import numpy as np

from .errors import InvalidData

__all__ = [
    "MOST_BYTES",
    "read_arrays",
]

MOST_BYTES = 2**31
"""Most bytes that the arrays of a file may have together, unpacked."""
_VERSIONS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_arrays(
    source: Path | bytes, names: Collection[str] | None = None, *, most_bytes: int | None = None
) -> dict[str, np.ndarray]:
    """Read arrays of a ``.npz`` file.

    Args:
        source: The file, or its content.
        names: Arrays that are wanted; those that are not there are left out of the result. None is
            all.
        most_bytes: Most bytes of the wanted arrays together, unpacked; :data:`MOST_BYTES` by default.

    Returns:
        Name to array, in the order of the file.

    Raises:
        InvalidData: If the file cannot be read, is damaged, is too large, or an array holds Python
            objects. The message is one line without the file's name.
    """
    limit = MOST_BYTES if most_bytes is None else most_bytes
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
            return {name: _read_array(archive, member) for name, member in wanted.items()}
    except InvalidData:
        raise
    except Exception as error:  # whatever zipfile, zlib and numpy raise on hostile bytes
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InvalidData(f"it is no whole .npz file ({reason})") from error


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    name = member.filename
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InvalidData(f"'{name}' is packed in a way that numpy does not use")
    with archive.open(member) as stream:
        _check_header(stream, name, member.file_size)
    with archive.open(member) as stream:
        # Its header again, and its values piece by piece; the archive checks their sum at the end.
        found: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
        stream.read(1)
        return found


def _check_header(stream: IO[bytes], name: str, size: int) -> None:
    version = np.lib.format.read_magic(stream)
    if version not in _VERSIONS:
        raise InvalidData(f"'{name}' is of .npy version {version}, not 1.0 or 2.0")
    shape, _, dtype = _VERSIONS[version](stream)
    if dtype.hasobject:
        raise InvalidData(f"'{name}' holds Python objects; only numbers and text are read")
    claimed, there = math.prod(shape) * dtype.itemsize, size - stream.tell()
    if claimed != there or min(shape, default=1) < 0:
        raise InvalidData(
            f"'{name}' claims shape {shape} of {dtype}, {claimed} bytes, but holds {there}"
        )
