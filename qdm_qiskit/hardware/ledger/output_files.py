"""The file of a QNN's outputs, ``outputs.npz``, in the folder of its run."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...archives import MOST_BYTES, Headers, read_arrays
from ...errors import InvalidData
from ...files import write_bytes

__all__ = ["OUTPUTS", "StoredOutputs", "read_outputs", "write_outputs"]

OUTPUTS = "outputs.npz"
MOST_HEADER_BYTES = 1 << 12


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredOutputs:
    """Outputs of a QNN, and their standard errors."""

    outputs: np.ndarray
    """``(..., *output_shape)`` float64, as ``QNN.forward`` gives them."""
    standard_errors: np.ndarray | None
    """Of their shape; None where they are not known."""

    def difference(self, other: StoredOutputs) -> float:
        """Return the largest difference of an output or an error; infinity between other shapes."""
        pairs = [(self.outputs, other.outputs), (self.standard_errors, other.standard_errors)]
        found = 0.0
        for mine, theirs in pairs:
            if mine is None and theirs is None:
                continue
            if mine is None or theirs is None or mine.shape != theirs.shape:
                return float("inf")
            found = max(found, float(np.abs(mine - theirs).max()))
        return found


def write_outputs(folder: Path, found: StoredOutputs) -> None:
    """Write the outputs, unless the file is there.

    Raises:
        OutputNotWritable: If it cannot be written.
    """
    if (folder / OUTPUTS).exists():
        return
    arrays = {"outputs": found.outputs}
    if found.standard_errors is not None:
        arrays["standard_errors"] = found.standard_errors
    buffer = io.BytesIO()
    # numpy's annotations take a keyword for its option `allow_pickle`.
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_bytes(folder / OUTPUTS, buffer.getvalue())


def read_outputs(folder: Path, count: int | None = None) -> StoredOutputs | None:
    """Read the outputs of a run; None before it is done, or of a model's run.

    Args:
        folder: The run's folder.
        count: Number of all outputs, as planned: a file of more is refused before it is unpacked.
            None if it is not known.

    Raises:
        InvalidData: If the file cannot be used.
    """
    path = folder / OUTPUTS
    if not path.is_file():
        return None
    try:
        most = MOST_BYTES if count is None else 2 * (8 * count + MOST_HEADER_BYTES)
        arrays = read_arrays(path, most_bytes=most, check=_check_headers)
        errors = arrays.get("standard_errors")
        found = StoredOutputs(outputs=arrays["outputs"], standard_errors=errors)
    except Exception as error:  # zip, numpy and key errors alike
        raise InvalidData(f"{path} cannot be used: {error}.") from error
    return found


def _check_headers(headers: Headers) -> None:
    """Refuse what is no file of outputs, before it is unpacked."""
    if not {"outputs"} <= set(headers) <= {"outputs", "standard_errors"}:
        raise InvalidData(f"it holds the arrays {sorted(headers)[:5]}")
    shape = headers["outputs"].shape
    for name, each in headers.items():
        if each.dtype != np.float64 or each.shape != shape:
            raise InvalidData(f"{name} of shape {each.shape} and type {each.dtype}")
