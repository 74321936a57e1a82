"""Saved devices, each a file in one of the user's folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InvalidOption, OutputNotWritable, unknown_name
from ..files import write_text
from .device import Device
from .device_files import NAME, checked_name, device_text, load_device

if TYPE_CHECKING:
    from .devices import DeviceLike

__all__ = [
    "HOME",
    "add_device",
    "devices_folder",
    "remove_device",
    "saved_device",
    "saved_names",
]

HOME = "QDM_HOME"
"""Environment variable for the folder of a user's saved parts; ``~/.qdm_qiskit`` without it."""


def devices_folder() -> Path:
    """Return the folder of saved devices: ``devices`` in the folder that :data:`HOME` names."""
    home = os.environ.get(HOME)
    return (Path(home).expanduser() if home else Path.home() / ".qdm_qiskit") / "devices"


def saved_names() -> tuple[str, ...]:
    """Return the names of saved devices, in alphabetical order; no file is read."""
    folder = devices_folder()
    try:
        found = [each.stem for each in folder.iterdir() if each.suffix == ".json"]
    except OSError:  # there is none yet
        return ()
    return tuple(sorted(name for name in found if NAME.fullmatch(name)))


def saved_device(name: str) -> Device:
    """Read a saved device.

    Raises:
        MissingData, InvalidData: If its file is missing or damaged.
    """
    return load_device(devices_folder() / f"{checked_name(name)}.json", name=name)


def add_device(name: str, device: DeviceLike | Path, *, replace: bool = False) -> Device:
    """Save a device under a name, after which ``noisy:NAME`` and ``local:NAME`` are targets.

    Args:
        name: Letters, digits, ``.``, ``_`` and ``-``.
        device: A device, or the path of a file or folder that :func:`.device_files.load_device` reads.
        replace: True to replace a saved device of this name.

    Returns:
        The device as it was saved.

    Raises:
        InvalidOption: If the name is not valid, or stands for a snapshot or a package's device.
        OutputNotWritable: If a device of this name was saved already.
        MissingData, InvalidData: If the file is no device; nothing is saved then.
    """
    from .devices import DEVICES, make_device

    checked_name(name)
    if name in DEVICES or name in ("least_busy", "engine", "aer"):
        raise InvalidOption(f"'{name}' is the name of another device already; choose a new one.")
    if name in saved_names() and not replace:
        raise OutputNotWritable(
            f"A device '{name}' was saved already, and is not overwritten; remove it first "
            f"(`qdm devices remove {name}`), or choose another name."
        )
    found = load_device(device, name=name) if isinstance(device, Path) else make_device(device)
    path = devices_folder() / f"{name}.json"
    write_text(path, device_text(found))
    return saved_device(name)


def remove_device(name: str) -> None:
    """Delete a saved device.

    Raises:
        UnknownName: If none of this name was saved.
        OutputNotWritable: If its file cannot be deleted.
    """
    if name not in saved_names():
        raise unknown_name("saved device", name, saved_names())
    try:
        (devices_folder() / f"{name}.json").unlink()
    except OSError as error:
        raise OutputNotWritable(f"Cannot delete device '{name}': {error.strerror}.") from error
