"""Sampled images with their record, and their files."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..archives import Headers, read_arrays
from ..arguments import checked_path
from ..data import RowFormat, save_grid
from ..data.row_format import row_format_from_dict
from ..errors import InvalidData, OutputNotWritable
from ..files import check_writable, read_json_object, write_atomic, write_json, write_text
from ..mitigation.readout import ReadoutCalibration
from ..notebook import one_line
from .shown import samples_card, summary
from .step_records import StepRecord

__all__ = [
    "OUTPUTS",
    "SCHEMA",
    "Samples",
    "check_output",
    "read_calibration",
    "read_images",
    "write_samples",
]

SCHEMA = "qdm-samples/1"
OUTPUTS = ("samples.npz", "samples.png", "samples.csv", "calibration.json", "manifest.json")
"""Files that a sampling run may leave in its folder, in the order of writing."""


@dataclass(frozen=True)
class Samples:
    """Sampled images, with their path and record."""

    images: np.ndarray
    """``(count, channels, height, width)`` float32 in [0, 1]."""
    trajectory: np.ndarray
    """``(T + 1, count, channels, height, width)``: x_T .. x_0, the last of which are the images."""
    manifest: dict[str, Any]
    """Versions, seeds, shots, layout, calibration, steps."""
    records: tuple[StepRecord, ...]
    """Measurements of each step, for targets that run circuits."""
    circuit: Any = None
    """Transpiled circuit of a model of one, for targets that run circuits."""

    @property
    def rows(self) -> RowFormat | None:
        """What the images mean, where the run's data are rows of numbers."""
        record = (self.manifest.get("run") or {}).get("record") or {}
        return row_format_from_dict(record["rows"]) if "rows" in record else None

    def table(self) -> str:
        """Return samples of rows as the text of a CSV file; a guided model's class is the last column.

        Raises:
            InvalidData: If the run's data are images.
        """
        rows, told = self.rows, self.manifest.get("labels")
        if rows is None:
            raise InvalidData("These samples are images, and only rows of numbers make a table.")
        if told is None:
            return rows.csv(self.images)
        names = {
            int(position): rows.classes[int(label)]
            for label, position in self.manifest["classes"].items()
        }
        return rows.csv(self.images, [names[position] for position in told])

    def __repr__(self) -> str:
        return one_line("Samples", *summary(self.images, self.manifest))

    def _repr_html_(self) -> str:
        return samples_card("Samples", self.images, self.manifest, self.records)


def write_samples(samples: Samples, folder: str | Path) -> tuple[Path, ...]:
    """Write ``samples.npz``, ``samples.png``, the calibration if there is one, ``manifest.json``.

    Of a run on rows of numbers ``samples.csv`` has them as a table.

    Args:
        samples: From :func:`sample`.
        folder: Output folder, without samples.

    Returns:
        The files, with the manifest last: if it exists, all of them do.

    Raises:
        OutputNotWritable: If the folder holds samples already or cannot be written; then nothing of
            the attempt remains.
    """
    folder = checked_path(folder, "folder")
    check_output(folder)
    device = samples.manifest["device"]
    calibration = None if device is None else device["calibration"]
    writers: dict[str, Callable[[Path], None]] = {
        "samples.npz": lambda path: write_atomic(path, lambda part: _arrays(samples, part)),
        "samples.png": lambda path: write_atomic(path, lambda part: _grid(samples.images, part)),
        "samples.csv": lambda path: write_text(path, samples.table()),
        "calibration.json": lambda path: write_json(path, calibration),
        "manifest.json": lambda path: write_json(path, samples.manifest),
    }
    if calibration is None:
        del writers["calibration.json"]
    if samples.rows is None:
        del writers["samples.csv"]
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        for name, write in writers.items():
            write(folder / name)
    except BaseException:  # Ctrl-C too leaves all files or none
        for name in writers:
            (folder / name).unlink(missing_ok=True)
        for each in made:
            with suppress(OSError):  # not made yet, or somebody else's files are in it by now
                each.rmdir()
        raise
    return tuple(folder / name for name in writers)


def check_output(folder: str | Path) -> None:
    """Refuse, before any work, a folder to which samples cannot be written.

    Raises:
        OutputNotWritable: If it holds samples already or cannot be written.
    """
    folder = checked_path(folder, "folder")
    check_writable(folder)
    for name in OUTPUTS:
        if (folder / name).exists():
            raise OutputNotWritable(
                f"{folder} holds a file {name} already, which is not overwritten; choose another "
                "folder."
            )


def read_images(path: str | Path, count: int | None) -> np.ndarray:
    """Read the images of a file that holds them under this name.

    Args:
        path: ``samples.npz``, or ``images.npz`` of a hardware run.
        count: Images that its record says; a file of others is refused before it is unpacked. None
            if there is no record.

    Returns:
        ``(count, channels, height, width)`` floats.

    Raises:
        InvalidData: If it holds something else, or is damaged. The message is the bare reason.
    """

    path = checked_path(path, "path")

    def check(headers: Headers) -> None:
        found = headers.get("images")
        if found is None:
            raise InvalidData("it holds no images")
        if found.ndim != 4 or found.dtype.kind != "f" or count not in (None, found.shape[0]):
            number = "any number of" if count is None else count
            raise InvalidData(
                f"it holds {found.dtype} of shape {found.shape} and not {number} images"
            )

    return read_arrays(path, ["images"], check=check)["images"]


def read_calibration(path: str | Path) -> ReadoutCalibration:
    """Read a readout calibration that :func:`write_samples` wrote.

    Raises:
        InvalidData: If the file is missing or cannot be used.
    """
    path = checked_path(path, "path")
    return ReadoutCalibration.from_dict(read_json_object(path))


def _arrays(samples: Samples, part: Path) -> None:
    arrays = {"images": samples.images, "trajectory": samples.trajectory}
    if samples.manifest["labels"] is not None:
        arrays["labels"] = np.array(samples.manifest["labels"], dtype=np.int64)
    # numpy's annotations take a keyword for its option `allow_pickle`.
    np.savez_compressed(part, **arrays)  # type: ignore[arg-type] # not allow_pickle


def _grid(images: np.ndarray, part: Path) -> None:
    save_grid(images, part, overwrite=True)
