"""CIFAR-10 in its binary version: records of one label byte and 3 x 32 x 32 pixel bytes.

The archive is read as a stream, member by member, and nothing is extracted: a member counts only
if it is a plain file of exactly the published name, so names like ``../../x`` lead nowhere.
"""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import InvalidData, MissingData, QdmError
from .catalog import DatasetInfo
from .download import candidate_folders, fetch, missing_in_folder
from .raw import RawImages

__all__ = [
    "LARGEST_ARCHIVE",
    "LARGEST_FILE",
    "RECORD_BYTES",
    "TEST_NAMES",
    "TRAIN_NAMES",
    "read_cifar",
]

TRAIN_NAMES = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST_NAMES = ("test_batch.bin",)
RECORD_BYTES = 1 + 3 * 32 * 32
LARGEST_FILE = 10_000 * RECORD_BYTES
"""Bytes of a published batch; no member of the archive is larger."""
LARGEST_ARCHIVE = 2**28
"""Bytes that the archive may unpack to; the published one has 184 million."""

_ARCHIVE_FOLDER = "cifar-10-batches-bin/"


def read_cifar(info: DatasetInfo, folder: str | Path | None) -> tuple[RawImages, RawImages]:
    """Return training and test images, out of the archive or of a folder of ``.bin`` files.

    Args:
        info: ``DATASETS["cifar10"]``.
        folder: The user's folder, with either; None for the cache.

    Returns:
        Training and test images, each image ``(3, 32, 32)``, channels red, green, blue.

    Raises:
        MissingData: If the files are nowhere and cannot be downloaded.
        InvalidData: If a file is damaged or is not of this format.
    """
    archive_name = info.files[0].name
    for place in candidate_folders(info, folder):
        if all((place / name).is_file() for name in (*TRAIN_NAMES, *TEST_NAMES)):
            return _both_parts({name: place / name for name in (*TRAIN_NAMES, *TEST_NAMES)})
        if (place / archive_name).is_file():
            return _both_parts(_archive_members(place / archive_name), place / archive_name)
    if folder is not None:
        wanted = f"{archive_name}, or {', '.join((*TRAIN_NAMES, *TEST_NAMES))}"
        raise missing_in_folder(info, folder, wanted)
    archive = fetch(info, info.files[0])
    return _both_parts(_archive_members(archive), archive)


class _Bounded:
    """A stream that refuses to give more than a limit, which no gzip bomb gets past."""

    def __init__(self, stream: gzip.GzipFile, limit: int) -> None:
        self._stream, self._left = stream, limit

    def read(self, size: int) -> bytes:
        piece = self._stream.read(size)
        self._left -= len(piece)
        if self._left < 0:
            raise tarfile.ReadError(f"it unpacks to more than {LARGEST_ARCHIVE} bytes")
        return piece


def _archive_members(path: Path) -> dict[str, bytes]:
    """Return the six batches of the archive by file name; other members are skipped."""
    wanted = {_ARCHIVE_FOLDER + name: name for name in (*TRAIN_NAMES, *TEST_NAMES)}
    found: dict[str, bytes] = {}
    try:
        with path.open("rb") as file, gzip.GzipFile(fileobj=file) as unpacked:
            bounded = _Bounded(unpacked, LARGEST_ARCHIVE)
            with tarfile.open(  # type: ignore[call-overload] # a stream needs read() only
                fileobj=bounded, mode="r|"
            ) as archive:
                for member in archive:
                    if member.name in wanted:
                        if wanted[member.name] in found:
                            raise InvalidData(
                                f"{path} holds '{member.name}' twice; fetch it again."
                            )
                        found[wanted[member.name]] = _member_bytes(archive, member, path)
            while bounded.read(2**16):  # to the very end, where gzip compares its checksum
                pass
    except QdmError:
        raise
    except Exception as error:  # whatever three parsers raise on hostile bytes
        raise InvalidData(
            f"{path} cannot be read as a gzipped tar archive "
            f"({' '.join(str(error).split()) or type(error).__name__}); fetch it again."
        ) from error
    if missing := sorted(set(wanted.values()) - set(found)):
        raise InvalidData(
            f"{path} lacks {', '.join(_ARCHIVE_FOLDER + name for name in missing)}; it must be "
            "the binary version of CIFAR-10."
        )
    return found


def _member_bytes(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> bytes:
    # isreg() first: extractfile() would follow a link to another member.
    stream = archive.extractfile(member) if member.isreg() and not member.issparse() else None
    if stream is None:
        raise InvalidData(f"{path}: '{member.name}' must be a plain file, not a link or folder.")
    _check_length(member.size, f"{path}: '{member.name}'")
    return stream.read()


def _both_parts(
    batches: dict[str, bytes] | dict[str, Path], archive: Path | None = None
) -> tuple[RawImages, RawImages]:
    """Return training and test images; an archive of both counts as the training part's."""

    def part(names: tuple[str, ...], files: tuple[Path, ...]) -> RawImages:
        read = [_records(batches[name], name) for name in names]
        return RawImages(
            np.concatenate([images for images, _ in read]),
            np.concatenate([labels for _, labels in read]),
            files or tuple(each for name in names if isinstance(each := batches[name], Path)),
        )

    return part(TRAIN_NAMES, () if archive is None else (archive,)), part(TEST_NAMES, ())


def _records(batch: bytes | Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    content = _file_bytes(batch) if isinstance(batch, Path) else batch
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, RECORD_BYTES)
    labels = records[:, 0].astype(np.int64)
    if labels.max() > 9:
        place = batch if isinstance(batch, Path) else name
        raise InvalidData(
            f"{place} must hold labels 0 to 9, but record {int(labels.argmax())} has "
            f"{labels.max()}: it is no CIFAR-10 batch."
        )
    return records[:, 1:].reshape(-1, 3, 32, 32), labels


def _file_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return _checked_file(file, path)
    except OSError as error:
        raise MissingData(
            f"{path} cannot be read: {error.strerror or type(error).__name__}."
        ) from error


def _checked_file(file: BinaryIO, path: Path) -> bytes:
    content = file.read(LARGEST_FILE + 1)
    _check_length(len(content), str(path))
    return content


def _check_length(size: int, place: str) -> None:
    if size == 0 or size % RECORD_BYTES or size > LARGEST_FILE:
        raise InvalidData(
            f"{place} must hold 1 to 10000 records of {RECORD_BYTES} bytes, got {size} bytes"
            f"{' or more' if size > LARGEST_FILE else ''}."
        )
