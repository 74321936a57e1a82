"""Where a run's circuits stand on the devices it is trained for: a file in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import InvalidCheckpoint, QdmError
from ...files import read_json_object, write_json
from .device import Place

__all__ = ["PLACES", "SCHEMA", "read_places", "write_places"]

SCHEMA = "qdm-train-on/1"
PLACES = "train_on.json"
"""Name of the file."""


def write_places(run: Path, target: str, places: Mapping[str, Sequence[Place]]) -> None:
    """Write the places of each device's circuits."""
    devices = {name: [each.to_dict() for each in found] for name, found in places.items()}
    write_json(run / PLACES, {"schema": SCHEMA, "train_on": target, "devices": devices})


def read_places(run: Path) -> dict[str, list[Place]]:
    """Return the places by device; none where a run has no such file.

    Raises:
        InvalidCheckpoint: If the file cannot be used.
    """
    file = run / PLACES
    if not file.is_file():
        return {}
    try:
        content = read_json_object(file)
        if content.get("schema") != SCHEMA:
            raise ValueError(f"its schema is {content.get('schema')!r}, not '{SCHEMA}'")
        return {
            str(name): [_place(each) for each in found]
            for name, found in content["devices"].items()
        }
    except (QdmError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise InvalidCheckpoint(f"{file} cannot be used: {reason}.") from error


def _place(content: Mapping[str, Any]) -> Place:
    qubits = tuple(content["physical_qubits"])
    seed = content["transpiler_seed"]
    if not all(type(each) is int and each >= 0 for each in (*qubits, seed)):
        raise ValueError("qubits and seeds are integers of at least 0")
    return Place(
        layer=str(content["layer"]),
        physical_qubits=qubits,
        transpiler_seed=seed,
        circuit=str(content["circuit"]),
        two_qubit_gates=int(content["two_qubit_gates"]),
        expected_success=float(content["expected_success"]),
    )
