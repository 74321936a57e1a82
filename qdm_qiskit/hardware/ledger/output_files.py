"""The file of a QNN's outputs, ``outputs.npz``, in the folder of its run."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...archives import read_arrays
from ...errors import InvalidData
from ...files import write_bytes

__all__ = ["OUTPUTS", "StoredOutputs", "read_outputs", "write_outputs"]

OUTPUTS = "outputs.npz"


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


def read_outputs(folder: Path) -> StoredOutputs | None:
    """Read the outputs of a run; None before it is done, or of a model's run.

    Raises:
        InvalidData: If the file cannot be used.
    """
    path = folder / OUTPUTS
    if not path.is_file():
        return None
    try:
        arrays = read_arrays(path)
        errors = arrays.get("standard_errors")
        found = StoredOutputs(outputs=arrays["outputs"], standard_errors=errors)
        good = found.outputs.dtype == np.float64
        if errors is not None:
            good &= errors.dtype == np.float64 and errors.shape == found.outputs.shape
        if not good:
            raise InvalidData(f"outputs of shape {found.outputs.shape}")
    except Exception as error:  # zip, numpy and key errors alike
        raise InvalidData(f"{path} cannot be used: {error}.") from error
    return found
