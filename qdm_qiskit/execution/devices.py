"""Devices by name, and objects in place of names.

A name is that of a snapshot of ``qiskit_ibm_runtime``, of a device that an installed package brings
by an entry point of the group ``qdm_qiskit.device``, or of a saved one. From Python a ``BackendV2``
or an Aer ``NoiseModel`` stands wherever a name does.

``mine@3f0c2ab91d54`` is a device with the hash of its content: run plans and readout calibrations
name a user's own device like this, and another one of the same name is refused.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from qiskit.providers import BackendV2
from qiskit.transpiler import CouplingMap

from ..arguments import wrong
from ..doors import Door, Origin
from ..errors import (
    InvalidArgument,
    InvalidOption,
    TargetUnavailable,
    UnknownName,
    unknown_name,
)
from .device import Device, facts_of_backend, facts_of_noise
from .device_files import NAME, checked_name
from .saved_devices import devices_folder, saved_device, saved_names

if TYPE_CHECKING:
    from qiskit_aer.noise import NoiseModel

__all__ = [
    "DEVICES",
    "PINNED",
    "DeviceLike",
    "as_backend",
    "device_names",
    "device_origin",
    "is_device",
    "is_device_name",
    "make_device",
    "named_device",
    "target_of",
    "unknown_device",
]

DeviceLike: TypeAlias = Union[str, BackendV2, "NoiseModel"]
"""A device's name, a backend, or an Aer noise model."""

PINNED = re.compile(rf"({NAME.pattern})@([0-9a-f]{{12}})")
"""A device's name with the first 12 digits of the hash of its content."""
_WORD = "device snapshot"

_in_hand: dict[str, Device] = {}
"""Devices that came as objects, by name and hash. A content never changes, so neither does an entry."""


def _built_in() -> Mapping[str, str]:
    from .snapshots import snapshot_points

    return snapshot_points()


def _checked(part: Any, name: str) -> Any:
    """A backend or noise model, made by the part if it is a function of no arguments."""
    if not is_device(part) and callable(part):
        try:
            part = part()
        except Exception as error:  # whatever another package raises
            raise InvalidArgument(f"calling it raises {type(error).__name__}: {error}.") from error
    if not is_device(part):
        raise wrong(part, name, "a BackendV2, an Aer NoiseModel, or a function that makes one")
    return part


def is_device(value: Any) -> bool:
    """Return True if a value is an object that can stand for a device."""
    return isinstance(value, BackendV2) or _is_noise(value)


def _is_noise(value: Any) -> bool:
    # What is not imported has no instances; importing Aer takes longer than all the rest here.
    module = sys.modules.get("qiskit_aer.noise")
    return module is not None and isinstance(value, module.NoiseModel)


DEVICES: Door[Any] = Door("device", _WORD, _built_in, _checked)
"""Snapshots, and the devices of other packages."""


def device_names() -> tuple[str, ...]:
    """Return all names: snapshots, then devices of other packages, then saved ones."""
    known = DEVICES.names()
    return (*known, *(name for name in saved_names() if name not in known))


def is_device_name(text: str) -> bool:
    """Return True if a text names a device; a hash is checked only on loading."""
    return bool(PINNED.fullmatch(text)) or text in device_names()


def unknown_device(name: str) -> UnknownName:
    """Return the error for a name that no device has, for the caller to raise.

    A QPU's own name and a class's name lead to the snapshot: ``ibm_torino`` and ``FakeTorino`` to
    ``fake_torino``.
    """
    known = device_names()
    letters = re.sub(r"[\W_]", "", name.rpartition(":")[2]).lower()
    for maker in ("ibmq", "ibm", "fake"):
        letters = letters.removeprefix(maker)
    snapshot = f"fake_{letters}"
    if snapshot not in known:
        near = difflib.get_close_matches(snapshot, known, n=1, cutoff=0.8)
        return unknown_name(_WORD, name, known, near[0] if near else None)
    message = f"There is no {_WORD} '{name}'. Did you mean '{snapshot}'?"
    if name.startswith("ibm_"):
        message += f" The QPU itself is target 'ibm:{name}', by `qdm run plan`."
    return UnknownName(message)


def device_origin(name: str) -> Origin:
    """Return the origin of a named device.

    Raises:
        UnknownName: If there is none of this name.
    """
    if name not in DEVICES and name in saved_names():
        return Origin("saved", "", str(devices_folder() / f"{name}.json"))
    if name not in DEVICES:
        raise unknown_device(name)
    return DEVICES.origin(name)


def named_device(name: str) -> BackendV2:
    """Load a device by its name, or by its name and hash.

    Returns:
        A snapshot as it is; a :class:`.device.Device` of everything else.

    Raises:
        UnknownName: If there is none of this name.
        TargetUnavailable: If the device of this name has another content than the hash says.
        InvalidExtension, InvalidData: If a package's or a saved device cannot be used.
    """
    if name in _in_hand:
        return _in_hand[name]
    pinned = PINNED.fullmatch(name)
    label = pinned[1] if pinned else name
    known = label in device_names()
    if not known and pinned:
        raise TargetUnavailable(
            f"Device '{name}' is not known here: save it under this name (`qdm devices add {label} "
            "PATH`), or install the package that brings it."
        )
    if not known:
        raise unknown_device(name)
    if label in DEVICES and label in saved_names():
        raise InvalidOption(
            f"'{label}' is a saved device and one of {DEVICES.origin(label).package}; remove the "
            f"saved one (`qdm devices remove {label}`)."
        )
    if label in saved_names():
        found: BackendV2 = saved_device(label)
    else:
        part = DEVICES.get(label)
        own = DEVICES.origin(label).package == "qdm_qiskit"
        found = part if own else Device(checked_name(label), _facts(part))
    if pinned and found.name != name:
        raise TargetUnavailable(
            f"Device '{label}' has changed: '{name}' is wanted, and it is '{found.name}' now; bring "
            "the old one back, or plan again."
        )
    return found


def as_backend(device: DeviceLike, argument: str = "device") -> BackendV2:
    """Return the device that a name, a backend or a noise model stands for.

    Args:
        device: One of the three.
        argument: Its name, for messages.

    Returns:
        A snapshot as it is, by name or object; a :class:`.device.Device` of everything else.

    Raises:
        UnknownName: If there is no device of this name.
        InvalidArgument: If it is something else.
        InvalidOption: If it has no noise, or cannot be a device for another reason.
    """
    if isinstance(device, str):
        return named_device(device)
    if isinstance(device, type) or not is_device(device):
        raise wrong(
            device,
            argument,
            "a device's name, a BackendV2 or an Aer NoiseModel",
            "see `qdm devices list` for names",
        )
    if isinstance(device, Device) or (isinstance(device, BackendV2) and _is_snapshot(device)):
        return device
    return make_device(device)


def make_device(
    source: DeviceLike,
    *,
    name: str | None = None,
    num_qubits: int | None = None,
    coupling_map: CouplingMap | list[tuple[int, int]] | None = None,
) -> Device:
    """Make your own device, of a backend or a noise model.

    Args:
        source: A ``BackendV2`` with errors, an Aer simulator with a noise model, a ``NoiseModel``, or
            the name of a device.
        name: Letters, digits, ``.``, ``_`` and ``-``; the backend's own if None.
        num_qubits, coupling_map: Those of a noise model, see :func:`.device.facts_of_noise`.

    Returns:
        The device, which stands wherever a device's name does.

    Raises:
        InvalidArgument: If the source is something else.
        InvalidOption: If it has no noise, the name is not valid, or a backend is given qubits or
            couplers.

    >>> from qiskit_aer.noise import NoiseModel, depolarizing_error
    >>> noise = NoiseModel(basis_gates=["rz", "sx", "cz"])
    >>> noise.add_all_qubit_quantum_error(depolarizing_error(0.01, 2), ["cz"])
    >>> make_device(noise, name="line", coupling_map=[(0, 1), (1, 2)]).num_qubits
    3
    """
    if isinstance(source, str):
        source = named_device(source)
    if isinstance(source, type) or not is_device(source):
        raise wrong(source, "source", "a BackendV2, an Aer NoiseModel, or a device's name")
    label = checked_name(_label(source) if name is None else name)
    facts = _facts(source, num_qubits=num_qubits, coupling_map=coupling_map)
    return Device(label, facts)


def target_of(kind: str, device: DeviceLike) -> str:
    """Return the target of a device: ``noisy:mine@3f0c2ab91d54``.

    Args:
        kind: ``noisy`` or ``local``.
        device: A name, a backend or a noise model.

    Returns:
        Text for configurations and plans. That of an object stands for it in this process; another
        one needs the device saved under its name.

    Raises:
        InvalidOption: If the kind is another.
        UnknownName, InvalidArgument: As for :func:`as_backend`.
    """
    if kind not in ("noisy", "local"):
        raise InvalidOption(f"kind is 'noisy' or 'local', got {kind!r}.")
    found = as_backend(device)
    if isinstance(found, Device) and not isinstance(device, str):
        _in_hand.setdefault(found.name, found)
    return f"{kind}:{found.name}"


def _label(source: BackendV2 | NoiseModel) -> str:
    if isinstance(source, Device):
        return source.label
    if _is_noise(source):
        return "noise-model"
    own = re.sub(r"[^A-Za-z0-9_.-]+", "-", str(source.name or "")).strip("-._")[:64]
    return own or "device"


def _facts(source: Any, **options: Any) -> Any:
    from qiskit_aer import AerSimulator

    if isinstance(source, AerSimulator):
        noise = getattr(source.options, "noise_model", None)
        if noise is None:
            raise InvalidOption(
                "An Aer simulator without a noise model has no noise; use target 'aer'."
            )
        if options.get("coupling_map") is None:
            options["coupling_map"] = source.coupling_map
        source = noise
    if _is_noise(source):
        return facts_of_noise(source, **options)
    if any(value is not None for value in options.values()):
        raise InvalidOption(
            "num_qubits and coupling_map are of noise models; a backend has its own."
        )
    return facts_of_backend(source)


@cache
def _snapshot_digest(name: str) -> str:
    return Device("snapshot", facts_of_backend(DEVICES.get(name))).digest


def _is_snapshot(backend: BackendV2) -> bool:
    """Return True if an object is one of the snapshots, unchanged."""
    from .snapshots import backend_names

    name = backend.name
    if not type(backend).__module__.startswith("qiskit_ibm_runtime.fake_provider"):
        return False
    if name not in backend_names():
        return False
    return Device("snapshot", facts_of_backend(backend)).digest == _snapshot_digest(name)
