"""Files of a run in its folder, each written once.

==========================  ========================================================
``nonce``                   random text that makes the tags of this folder its own
``steps/step-0010.npz``     counts of a step as they arrived, with job, shots and time
``calibration-0001.npz``    counts of the calibration circuits
``calibration-0001.json``   the readout calibration made of them, or taken over
``refit-0001.npz``          counts of the circuits of a refit
``refit-0001.json``         the fit made of them, or taken over
``images.npz``              x_0 as images, and the images of x_T .. x_0
``samples.png``             the images as a grid
``outputs.npz``             of a QNN, in place of images: outputs and standard errors
``manifest.json``           all that explains the images
==========================  ========================================================

Only the manifest may be written again, by the same process that finishes a run.
"""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import numpy as np

from ...archives import Headers, read_arrays
from ...errors import InvalidData
from ...files import parse_json, read_json_object, write_bytes, write_json, write_text
from ...mitigation.device_fit import DeviceFit
from ...mitigation.readout import Correction, ReadoutCalibration

__all__ = [
    "IMAGES",
    "MANIFEST",
    "NONCE",
    "SAMPLES",
    "STEPS",
    "CountsInfo",
    "StoredCounts",
    "Timed",
    "calibration_for",
    "calibration_names",
    "counts_path",
    "iso",
    "nonce",
    "read_calibrations",
    "read_counts",
    "read_refits",
    "taken_at",
    "write_calibration",
    "write_counts",
    "write_images",
    "write_refit",
]

NONCE, STEPS, IMAGES, SAMPLES, MANIFEST = (
    "nonce",
    "steps",
    "images.npz",
    "samples.png",
    "manifest.json",
)


MOST_UNPLANNED_BYTES = 1 << 30
"""Most bytes of counts, unpacked, where no plan says how many there are: 134 million numbers."""
MOST_INFO_BYTES = 1 << 16
"""Most bytes of what belongs to counts, and of the headers besides those of arrays."""
MOST_HEADER_BYTES = 1 << 9
VALUES_AT_ONCE = 1 << 15
"""Counts that are looked at together: they stay in the processor's cache, and nothing of the size of
all is made beside them."""


class Timed(Protocol):
    """What was measured at a time: a readout calibration, a refit."""

    @property
    def taken_at(self) -> str:
        """The time, ISO 8601."""


@dataclass(frozen=True, kw_only=True)
class CountsInfo:
    """Job, shots and time of counts."""

    job_id: str
    tag: str
    shots: int
    """Shots of each row."""
    ran_at: float
    """End of the job, since 1970; arrival of the counts where the service does not say."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredCounts:
    """Counts of one job, or what an Estimator gave in their place, and what belongs to them."""

    counts: tuple[np.ndarray, ...]
    """Counts of each circuit, int64 of shape ``(batch, 2**num_clbits)``; none of an Estimator."""
    info: CountsInfo
    estimates: tuple[np.ndarray, ...] = ()
    """Of an Estimator, for each PUB ``(2, rows, observables)`` float64: values, standard errors."""


def counts_path(folder: Path, part: str) -> Path:
    """Return the path of a part's counts: a step's in ``steps/``, a calibration's in the folder."""
    return (folder / STEPS if part.startswith("step-") else folder) / f"{part}.npz"


def write_counts(path: Path, stored: StoredCounts) -> None:
    """Write counts, unless the file is there: the first that arrived stay.

    Raises:
        OutputNotWritable: If they cannot be written.
    """
    if path.exists():
        return
    arrays = {f"counts_{k:04d}": counts for k, counts in enumerate(stored.counts)}
    arrays |= {f"estimates_{k:04d}": found for k, found in enumerate(stored.estimates)}
    buffer = io.BytesIO()
    arrays["info"] = np.array(json.dumps(asdict(stored.info), sort_keys=True))
    # numpy's annotations take a keyword for its option `allow_pickle`.
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_bytes(path, buffer.getvalue())


def read_counts(path: Path, shapes: Sequence[tuple[int, int]] | None = None) -> StoredCounts | None:
    """Read the counts of a file; None if there is none.

    Args:
        path: The file.
        shapes: Rows and outcomes of each circuit as they were planned; of an Estimator rows and
            observables. A file that holds more bytes than these is refused before any are
            unpacked; one that holds others is for the caller to refuse. None if nothing is planned.

    Raises:
        InvalidData: If the file cannot be used.
    """
    if not path.exists():
        return None
    try:
        most = MOST_UNPLANNED_BYTES if shapes is None else _planned_bytes(shapes)
        arrays = read_arrays(path, most_bytes=most, check=_check_headers)
        info = CountsInfo(**parse_json(str(arrays["info"])))
        names = sorted(name for name in arrays if name.startswith("counts_"))
        counts = tuple(arrays[name] for name in names)
        more = sorted(name for name in arrays if name.startswith("estimates_"))
        estimates = tuple(arrays[name] for name in more)
        for each in counts:
            _check_rows(each)
    except Exception as error:  # zip, numpy, JSON and key errors alike
        raise InvalidData(
            f"{path} cannot be used ({error}); move it away, and `qdm run resume` fetches the "
            "counts again from the job."
        ) from error
    return StoredCounts(counts=counts, info=info, estimates=estimates)


def _check_rows(counts: np.ndarray) -> None:
    """Refuse negative counts, and rows without counts."""
    rows, outcomes = counts.shape
    step = max(1, VALUES_AT_ONCE // max(1, outcomes))
    for begin in range(0, rows, step):
        part = counts[begin : begin + step]
        if part.min(initial=0) < 0:
            raise InvalidData(f"negative counts in an array of shape {counts.shape}")
        if not part.any(axis=1).all():
            raise InvalidData("a row without counts")


def _planned_bytes(shapes: Sequence[tuple[int, int]]) -> int:
    """Return the most bytes of a file of counts, unpacked; an Estimator gives two numbers of each."""
    values = sum(rows * outcomes for rows, outcomes in shapes)
    return 2 * 8 * values + MOST_HEADER_BYTES * len(shapes) + MOST_INFO_BYTES


def _check_headers(headers: Headers) -> None:
    """Refuse what is no file of counts, before it is unpacked."""
    kinds = set()
    for name, each in headers.items():
        kind = name.partition("_")[0]
        if kind == "counts":
            good = each.dtype == np.int64 and each.ndim == 2
        elif kind == "estimates":
            good = each.dtype == np.float64 and each.ndim == 3 and each.shape[0] == 2
        else:
            good = name == "info" and each.dtype.kind == "U" and each.shape == ()
            good = good and each.dtype.itemsize <= MOST_INFO_BYTES
        if not good:
            raise InvalidData(f"{kind} of shape {each.shape} and type {each.dtype}")
        kinds.add(kind)
    if len(kinds - {"info"}) != 1:
        raise InvalidData("it holds no counts, or estimates besides")


def nonce(folder: Path) -> str:
    """Return the folder's random text, made when it is first asked for."""
    path = folder / NONCE
    if not path.exists():
        write_text(path, secrets.token_hex(8) + "\n")
    text = path.read_bytes()[:100].decode(errors="replace").strip()
    if len(text) != 16 or any(c not in "0123456789abcdef" for c in text):
        raise InvalidData(f"{path} must hold 16 hex digits, got {text!r:.40}.")
    return text


def calibration_names(folder: Path, kind: str = "calibration") -> list[str]:
    """Return the names of a run's calibrations, ``calibration-0001`` ..., in order of arrival.

    Args:
        folder: The run's folder.
        kind: ``calibration``, or ``refit`` for its fits to the device.
    """
    return sorted(path.stem for path in folder.glob(f"{kind}-[0-9][0-9][0-9][0-9].json"))


def write_calibration(folder: Path, name: str, calibration: ReadoutCalibration) -> None:
    """Write a calibration, unless it is there."""
    path = folder / f"{name}.json"
    if not path.exists():
        write_json(path, calibration.to_dict())


def read_calibrations(
    folder: Path, correction: Correction = "all"
) -> dict[str, ReadoutCalibration]:
    """Read all calibrations of a run, by name.

    Args:
        folder: The run's folder.
        correction: The correction that they are for.

    Raises:
        InvalidData: If one cannot be used.
    """
    return {
        name: ReadoutCalibration.from_dict(read_json_object(folder / f"{name}.json"), correction)
        for name in calibration_names(folder)
    }


def write_refit(folder: Path, name: str, fit: DeviceFit) -> None:
    """Write a refit, unless it is there."""
    path = folder / f"{name}.json"
    if not path.exists():
        write_json(path, fit.to_dict())


def read_refits(folder: Path) -> dict[str, DeviceFit]:
    """Read all refits of a run, by name.

    Raises:
        InvalidData: If one cannot be used.
    """
    return {
        name: DeviceFit.from_dict(read_json_object(folder / f"{name}.json"))
        for name in calibration_names(folder, "refit")
    }


def calibration_for(
    calibrations: Mapping[str, Timed], ran_at: float, ttl_seconds: float
) -> str | None:
    """Return the calibration for counts of a time: the last before it, else the first after it.

    Later calibrations do not change the result, since calibrations are added in time's order.

    Args:
        calibrations: Of one run, by name.
        ran_at: Time of the counts, since 1970.
        ttl_seconds: Largest distance in time.

    Returns:
        A name, or None if all are too far.
    """
    times = {name: taken_at(each) for name, each in calibrations.items()}
    before = [name for name in times if 0 <= ran_at - times[name] <= ttl_seconds]
    if before:
        return max(before, key=lambda name: (times[name], name))
    after = [name for name in times if 0 < times[name] - ran_at <= ttl_seconds]
    return min(after, key=lambda name: (times[name], name)) if after else None


def taken_at(calibration: Timed) -> float:
    """Return the time of a calibration, since 1970; a time without a zone is UTC."""
    found = datetime.fromisoformat(calibration.taken_at)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def iso(seconds: float) -> str:
    """Return a time since 1970 as ISO 8601, UTC.

    >>> iso(0.5)
    '1970-01-01T00:00:00.500000+00:00'
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def write_images(folder: Path, images: np.ndarray, trajectory: Sequence[np.ndarray]) -> None:
    """Write ``images.npz`` and ``samples.png``, each unless it is there."""
    from ...data import save_grid
    from ...files import write_atomic

    if not (folder / IMAGES).exists():
        buffer = io.BytesIO()
        np.savez_compressed(buffer, images=images, trajectory=np.stack(list(trajectory)))
        write_bytes(folder / IMAGES, buffer.getvalue())
    if not (folder / SAMPLES).exists():

        def write(part: Path) -> None:
            save_grid(images, part, overwrite=True)

        write_atomic(folder / SAMPLES, write)
