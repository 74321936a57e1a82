"""Record of a run's data: their place, content and classes; and a comparison with other data.

Two hashes say it. The hash of each file names its bytes. The hash of the content is taken of the
arrays as they are in memory, pixels and labels, before classes or counts are chosen and before
anything is resized: it is what was trained on, whatever happened to the file meanwhile. Data are
the same if either agrees.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InvalidData, InvalidOption, MissingData
from .images import Split
from .raw import RawImages
from .row_format import RowFormat, row_format_from_dict

__all__ = [
    "DataFile",
    "DataRecord",
    "LoadedData",
    "listed",
    "record_from_dict",
]

_DIGEST = 64
"""Hexadecimal digits of a SHA-256."""


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """One file that images or labels were read from."""

    path: str
    """Absolute path, when it was read."""
    sha256: str
    """SHA-256 of its bytes."""
    bytes: int
    """Its length."""


@dataclass(frozen=True, kw_only=True)
class DataRecord:
    """The data of a run, as they were when it began."""

    files: tuple[DataFile, ...]
    """Files that the data were read from; none if a package brings or generates them."""
    origin: str
    """``files``, or the package and version that the data come from."""
    content_sha256: str
    """SHA-256 of all pixels and labels of the data set, as they were read."""
    train_classes: Mapping[int, int]
    """Label to training images: the classes that the model has seen."""
    test_classes: Mapping[int, int]
    """Label to test images."""
    rows: RowFormat | None = None
    """What the cells of its images mean, if they are rows of numbers."""

    @property
    def classes(self) -> tuple[int, ...]:
        """All labels of the run, sorted: a guided model is told a label's position in them."""
        return tuple(sorted({*self.train_classes, *self.test_classes}))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        counts = {
            key: {str(label): count for label, count in sorted(getattr(self, key).items())}
            for key in ("train_classes", "test_classes")
        }
        found = {**asdict(self), "files": [asdict(file) for file in self.files], **counts}
        if self.rows is None:
            del found["rows"]  # as before there were any
        else:
            found["rows"] = self.rows.to_dict()
        return found


@dataclass(frozen=True, eq=False)
class LoadedData:
    """Images as a run takes them, and the raw arrays that they were chosen from."""

    split: Split
    raw: tuple[RawImages, ...]
    """Training and test arrays, or one of both; :attr:`DataRecord.content_sha256` is their hash."""
    origin: str
    """The same as :attr:`DataRecord.origin`."""
    rows: RowFormat | None = None
    """The same as :attr:`DataRecord.rows`."""

    def record(self) -> DataRecord:
        """Return the record of these data."""
        return DataRecord(
            files=tuple(_described(path) for path in self._paths()),
            origin=self.origin,
            content_sha256=self.content(),
            train_classes=_counts(self.split.train.labels),
            test_classes=_counts(self.split.test.labels),
            rows=self.rows,
        )

    def content(self) -> str:
        """Return the SHA-256 of types, shapes and values of all arrays, and of what rows mean."""
        digest = hashlib.sha256()
        for raw in self.raw:
            for array in (raw.pixels, raw.labels):
                plain = np.ascontiguousarray(
                    array.astype(array.dtype.newbyteorder("<"), copy=False)
                )
                digest.update(f"{plain.dtype.str} {plain.shape} ".encode())
                digest.update(plain.reshape(-1).view(np.uint8).data)
        if self.rows is not None:  # the same cells may stand for other numbers and names
            digest.update(json.dumps(self.rows.to_dict(), sort_keys=True).encode())
        return digest.hexdigest()

    def check(self, expected: DataRecord) -> None:
        """Refuse data that are not those of a record.

        Raises:
            InvalidData: If neither the content nor every file is the same; it names what differs.
        """
        if self.content() == expected.content_sha256:
            return
        found = [_described(path) for path in self._paths()]
        hashes = [file.sha256 for file in expected.files]
        if hashes and [file.sha256 for file in found] == hashes:
            return  # the same bytes, read by another version of this package
        if not found:
            raise InvalidData(
                f"The data of {self.origin} are not those that the run was trained on, which came "
                f"from {expected.origin}: install that version, or give the data set that it was."
            )
        changed = [
            f"{file.path} has SHA-256 {file.sha256[:12]}..., not {old[:12]}..."
            for file, old in zip(found, hashes, strict=False)
            if file.sha256 != old
        ] or [f"there are {len(found)} files, not {len(hashes)}"]
        raise InvalidData(
            f"The data are not those that the run was trained on: {'; '.join(changed)}. Put back what "
            "was there, or say where it is now by data=PATH."
        )

    def _paths(self) -> list[Path]:
        return [path for raw in self.raw for path in raw.files]


def record_from_dict(content: object) -> DataRecord:
    """Return the record that :meth:`DataRecord.to_dict` gave.

    Raises:
        InvalidOption: If a field is missing, unknown or of another kind.
    """
    names = {"files", "origin", "content_sha256", "train_classes", "test_classes"}
    if not isinstance(content, Mapping) or set(content) - {"rows"} != names:
        raise InvalidOption(
            f"A run's 'record' of its data has the fields {', '.join(sorted(names))}."
        )
    files, origin = content["files"], content["origin"]
    if not isinstance(origin, str) or not isinstance(files, list):
        raise InvalidOption("A run's 'record' has a list of 'files' and a text 'origin'.")
    return DataRecord(
        files=tuple(_file_from_dict(each) for each in files),
        origin=origin,
        content_sha256=_digest(content["content_sha256"]),
        train_classes=_counts_from_dict(content["train_classes"]),
        test_classes=_counts_from_dict(content["test_classes"]),
        rows=row_format_from_dict(content["rows"]) if "rows" in content else None,
    )


def _file_from_dict(content: object) -> DataFile:
    if not isinstance(content, Mapping) or set(content) != {"path", "sha256", "bytes"}:
        raise InvalidOption("A file of a run's 'record' has the fields bytes, path and sha256.")
    path, size = content["path"], content["bytes"]
    if not isinstance(path, str) or type(size) is not int or size < 0:
        raise InvalidOption(f"A file of a run's 'record' has a path and bytes >= 0, got {size!r}.")
    return DataFile(path=path, sha256=_digest(content["sha256"]), bytes=size)


def _digest(text: object) -> str:
    if (
        not isinstance(text, str)
        or len(text) != _DIGEST
        or not set(text) <= set("0123456789abcdef")
    ):
        raise InvalidOption(f"A SHA-256 has {_DIGEST} hexadecimal digits, got {text!r:.80}.")
    return text


def _counts_from_dict(content: object) -> dict[int, int]:
    if isinstance(content, Mapping):
        try:
            counts = {int(label): count for label, count in content.items()}
        except (TypeError, ValueError):
            counts = {0: -1}
        if all(type(count) is int and count > 0 for count in counts.values()):
            return counts
    raise InvalidOption("The classes of a run's 'record' are label to count, such as {\"3\": 20}.")


def _counts(labels: np.ndarray) -> dict[int, int]:
    values, counts = np.unique(labels, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _described(path: Path) -> DataFile:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return DataFile(path=str(path.absolute()), sha256=digest, bytes=file.tell())
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise MissingData(f"{path} cannot be read: {reason}.") from error


def listed(labels: Sequence[int], most: int = 20) -> str:
    """Return labels for a message, the first of many."""
    shown = ", ".join(map(str, labels[:most]))
    return shown if len(labels) <= most else f"{shown}, ... ({len(labels)} in all)"
