"""Devices as files: one JSON file for each device, and two other forms that can be read.

=================================  ============================================================
``qdm-device/1``                   this package's own: gates, errors, durations, T1, T2, readout
``NoiseModel.to_dict()``           Aer's noise model as JSON, ``serializable=True``
folder of ``conf_*``, ``props_*``  IBM's two files, as its snapshots are shipped
=================================  ============================================================

The first form is written; docs/extending/device.md has its keys. No pickles, nothing evaluated.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qiskit.providers import BackendV2

from ..arguments import checked_path
from ..errors import InvalidData, InvalidOption, MissingData
from ..files import write_text
from .device import Device, Facts, facts_of_backend, facts_of_noise
from .device_format import content_of, facts_from
from .device_noise_format import noise_from
from .device_numbers import shown

if TYPE_CHECKING:
    from .devices import DeviceLike

__all__ = [
    "MAX_BYTES",
    "NAME",
    "SCHEMA",
    "checked_name",
    "device_text",
    "load_device",
    "save_device",
]

SCHEMA = "qdm-device/1"
MAX_BYTES = 32 << 20
"""Most bytes of a device's file; a device of 156 qubits takes 0.2 MB."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""Name of a device."""


def save_device(device: DeviceLike, path: str | os.PathLike[str]) -> Path:
    """Write a device to a JSON file of the form ``qdm-device/1``.

    Args:
        device: A name, a ``BackendV2``, an Aer ``NoiseModel`` or a :class:`.device.Device`.
        path: The file; an older one is replaced, as a whole or not at all.

    Returns:
        The path.

    Raises:
        InvalidOption: If the device has instructions that are not Qiskit's own.
        InvalidData: If it holds an impossible value, such as a probability above 1.
        UnknownName: If there is no device of this name.
        OutputNotWritable: If the file cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_device("fake_quito", f"{folder}/mine.json")
    ...     device = load_device(path)
    >>> device.label, device.num_qubits
    ('mine', 5)
    """
    path = checked_path(path, "path")
    write_text(path, device_text(device))
    return path


def device_text(device: DeviceLike) -> str:
    """Return the content of a device's file, checked as if it were read.

    Raises:
        InvalidOption, InvalidData, UnknownName: As for :func:`save_device`.
    """
    from .devices import make_device

    found = make_device(device)
    content = content_of(found.facts)
    try:
        facts_from(content)
    except InvalidData as error:
        raise InvalidData(f"Device '{found.label}' cannot be saved: {error}.") from None
    return json.dumps({"schema": SCHEMA, **content}, allow_nan=False, indent=1) + "\n"


def load_device(path: str | os.PathLike[str], *, name: str | None = None) -> Device:
    """Read a device from a file, or from a folder with IBM's two files.

    Args:
        path: A file as :func:`save_device` writes it, a noise model as JSON, or a folder with one
            ``conf_*.json`` and one ``props_*.json``.
        name: Name of the device; the file's or folder's own if None.

    Returns:
        The device.

    Raises:
        MissingData: If there is no such file.
        InvalidData: If it is no device: truncated, of another form, or with impossible numbers.
        InvalidOption: If the name has other characters than letters, digits, ``.``, ``_`` and
            ``-``.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     device = load_device(save_device("fake_lima", f"{folder}/mine.json"), name="yours")
    >>> device.label, sorted(device.operation_names)[:3]
    ('yours', ['cx', 'delay', 'id'])
    """
    path = checked_path(path, "path")
    label = checked_name((path.name if path.is_dir() else path.stem) if name is None else name)
    if path.is_dir():
        facts = _ibm_facts(path)
    else:
        content = _read(path)
        try:
            facts = _facts(content)
        except (InvalidData, InvalidOption) as error:
            raise InvalidData(f"{path} is no device: {str(error).rstrip('.')}.") from None
    return Device(label, facts)


def checked_name(name: str) -> str:
    """Return the name, if a device may be called so.

    Raises:
        InvalidOption: If not.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InvalidOption(
            f"A device's name is 1 to 64 letters, digits, '.', '_' and '-', got {shown(name)}."
        )
    return name


def _facts(content: dict[str, Any]) -> Facts:
    if "schema" in content:
        if content["schema"] != SCHEMA:
            raise InvalidData(f"its schema is '{SCHEMA}', got {shown(content['schema'])}")
        return facts_from({key: value for key, value in content.items() if key != "schema"})
    if "errors" in content:
        return facts_of_noise(noise_from(content, None))
    raise InvalidData(
        f"it has neither a schema '{SCHEMA}' nor the errors of a noise model; "
        "`qdm devices export fake_torino PATH` writes an example"
    )


def _read(path: Path) -> dict[str, Any]:
    """Read a JSON object without NaN or infinity, from a file no larger than a device's."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidData(f"{path} is larger than any device ({MAX_BYTES} bytes).")
        content = json.loads(path.read_bytes(), parse_constant=_no_constant)
    except FileNotFoundError:
        raise MissingData(f"There is no file {path} to read a device from.") from None
    except OSError as error:
        raise InvalidData(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, InvalidData):
            raise
        reason = " ".join(str(error).split())[:100].rstrip(".")
        raise InvalidData(f"{path} is no device: it is no JSON, {reason}.") from None
    if not isinstance(content, dict):
        raise InvalidData(f"{path} is no device: it holds no JSON object.")
    return content


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _ibm_facts(folder: Path) -> Facts:
    """Read IBM's configuration and properties by IBM's own reader, and check the result."""
    files = [sorted(folder.glob(f"{kind}_*.json")) for kind in ("conf", "props")]
    if any(len(found) != 1 for found in files):
        raise MissingData(
            f"{folder} holds no device of IBM's: one conf_*.json and one props_*.json are wanted, got "
            f"{len(files[0])} and {len(files[1])}."
        )
    for [file] in files:
        _read(file)
    from qiskit_ibm_runtime.fake_provider.fake_backend import FakeBackendV2

    kind = type(
        "_FolderBackend",
        (FakeBackendV2,),
        {
            "dirname": str(folder),
            "conf_filename": files[0][0].name,
            "props_filename": files[1][0].name,
            "backend_name": "device",
        },
    )
    try:
        backend: BackendV2 = kind()
        content = json.loads(json.dumps(content_of(facts_of_backend(backend))))
        return facts_from(content)
    except Exception as error:  # IBM's reader has no error of its own for every kind of damage
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise InvalidData(f"{folder} is no device: {reason or type(error).__name__}.") from None
