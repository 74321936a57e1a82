"""The model that a training run ends with, a run folder in the folder of the hardware run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InvalidData
from ...files import read_json_object, write_bytes

__all__ = [
    "SCHEMA",
    "TRAINED",
    "TRAINING",
    "StoredTraining",
    "read_training",
    "trained_files",
    "write_trained",
]

SCHEMA = "qdm-hardware-training/1"
TRAINED = "trained"
"""The run folder, which `qdm sample` and `qdm evaluate` take."""
TRAINING = f"{TRAINED}/training.json"
"""Losses of its steps; written last."""


@dataclass(frozen=True, kw_only=True)
class StoredTraining:
    """What a run's training is told of by its file."""

    losses: tuple[float, ...]
    """Loss of each optimizer step, by the counts, before the step."""
    exact_before: float | None
    """Exact loss of all batches at the weights it began with; None of too many qubits."""
    exact_after: float | None
    """The same at the trained weights."""
    weights_sha256: str
    """SHA-256 of the trained weights' bytes."""


def write_trained(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write the trained run, each file unless it is there, the losses last.

    Args:
        folder: Folder of the hardware run.
        contents: The files, by their path in it.

    Raises:
        OutputNotWritable: If one cannot be written.
    """
    for path in sorted(contents, key=lambda each: each == TRAINING):
        if not (folder / path).exists():
            write_bytes(folder / path, contents[path])


def trained_files(folder: Path) -> list[str]:
    """Return the paths of the trained run's files in a hardware run's folder."""
    found = (path for path in (folder / TRAINED).rglob("*") if path.is_file())
    kept = (path for path in found if ".damaged-" not in path.name and path.name[0] != ".")
    return sorted(str(path.relative_to(folder)) for path in kept)


def read_training(folder: Path) -> StoredTraining | None:
    """Read the losses of a training run; None before it is done, and of other runs.

    Raises:
        InvalidData: If the file cannot be used.
    """
    path = folder / TRAINING
    if not path.is_file():
        return None
    content = read_json_object(path)
    try:
        if content["schema"] != SCHEMA:
            raise InvalidData(f"its schema is {content['schema']!r:.60}, not '{SCHEMA}'")
        return StoredTraining(
            losses=tuple(float(each) for each in content["losses"]),
            exact_before=_number(content["exact_before"]),
            exact_after=_number(content["exact_after"]),
            weights_sha256=str(content["weights_sha256"]),
        )
    except (InvalidData, KeyError, TypeError, ValueError) as error:
        raise InvalidData(f"{path} cannot be used: {error}.") from error


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
