"""Record of a refit beside the model that it made: read, and turned into options of sampling."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import InvalidData
from ..files import read_json_object
from .config import SamplingConfig

__all__ = ["FILE", "SCHEMA", "on_refitted_qubits", "read_refit"]

FILE = "refit.json"
"""Name of the record in the fitted run's folder."""
SCHEMA = "qdm-refit/1"


def read_refit(folder: Path) -> dict[str, Any] | None:
    """Return the record of a refit.

    Args:
        folder: Folder of a run.

    Returns:
        Target, shots, circuits, qubits or tiles, errors; None of a run that was not fitted again.

    Raises:
        InvalidData: If the record cannot be used.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    content = read_json_object(path)
    if content.get("schema") != SCHEMA:
        raise InvalidData(f"{path} is not of schema '{SCHEMA}'.")
    qubits, tiles = content.get("physical_qubits"), content.get("tiles")
    if qubits is not None and not (
        isinstance(qubits, list) and all(type(each) is int for each in qubits)
    ):
        raise InvalidData(f"{path} names physical qubits by whole numbers, got {qubits!r:.60}.")
    if tiles is not None and type(tiles) not in (int, str):
        raise InvalidData(f"{path} names tiles by a number or a rule, got {tiles!r:.60}.")
    return content


def on_refitted_qubits(config: SamplingConfig, record: dict[str, Any] | None) -> SamplingConfig:
    """Return options that sample a run where it was fitted.

    Args:
        config: The options; a layout or tiles that are given stay.
        record: From :func:`read_refit`.

    Returns:
        The options, changed only if the run was fitted to the same target.
    """
    if record is None or config.initial_layout or config.tiles is not None:
        return config
    if record.get("target") != config.target:
        return config
    if record.get("tiles") is not None:  # found again by the same rule on the same device
        buffer = record.get("tile_buffer") is True
        return replace(config, tiles=record["tiles"], tile_buffer=buffer)
    if record.get("physical_qubits") is None:
        return config
    return replace(config, initial_layout=tuple(record["physical_qubits"]))
