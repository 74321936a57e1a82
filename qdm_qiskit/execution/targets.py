"""Target strings: the simulator or device of a model's circuits, as one word.

========================  ============================================================
``engine``                the torch engine on the CPU, exact
``engine:cuda``           the torch engine on a CUDA device
``aer``                   Qiskit Aer without noise
``aer:gpu``               the same on a GPU (needs a GPU build of Aer)
``noisy:fake_torino``     Qiskit Aer with the noise of a device: a snapshot or your own
``local:fake_torino``     IBM's Sampler in local mode on such a device
``ibm:ibm_fez``           a QPU, by name
``ibm:least_busy``        the QPU with the shortest queue
``acme:chip-1``           a device of a provider that another package brings, or an object
========================  ============================================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from ..arguments import checked_text
from ..errors import UnknownName, unknown_name

__all__ = [
    "FORMS",
    "Device",
    "Kind",
    "Target",
    "is_provider",
    "parse_target",
]

Kind = Literal["engine", "aer", "noisy", "local", "ibm", "provider"]
Device = Literal["cpu", "cuda", "gpu", "qpu"]

FORMS = (
    "engine",
    "engine:cuda",
    "aer",
    "aer:gpu",
    "noisy:SNAPSHOT",
    "local:SNAPSHOT",
    "ibm:NAME",
    "ibm:least_busy",
)
"""Forms of a target; SNAPSHOT is a name like ``fake_torino`` or that of your own device
(:mod:`.devices`), NAME one like ``ibm_fez``."""

_FIXED: dict[str, tuple[Kind, Device]] = {
    "engine": ("engine", "cpu"),
    "engine:cuda": ("engine", "cuda"),
    "aer": ("aer", "cpu"),
    "aer:gpu": ("aer", "gpu"),
}
_DEVICE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}(@[0-9a-f]{12})?")
_QPU_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")  # only the account knows the names


@dataclass(frozen=True)
class Target:
    """A parsed target."""

    kind: Kind
    """``engine``, ``aer``, ``noisy``, ``local`` or ``ibm``; ``provider`` is anyone else's."""
    device: Device = "cpu"
    """``cpu``, ``cuda`` (the engine), ``gpu`` (Aer) or ``qpu`` (``ibm``)."""
    backend: str | None = None
    """Name of a device or QPU; None for ``engine`` and ``aer``."""
    provider: str | None = None
    """Name of the provider, of kind ``provider`` only."""

    def __str__(self) -> str:
        """Return the text that parses to this target.

        >>> str(parse_target("noisy:fake_torino"))
        'noisy:fake_torino'
        """
        if self.backend is not None:
            return f"{self.provider or self.kind}:{self.backend}"
        return self.kind if self.device == "cpu" else f"{self.kind}:{self.device}"


def parse_target(text: str, *, known: bool = True) -> Target:
    """Read a target string; the name of a device is checked, the name of a QPU only for its form.

    Args:
        text: One of :data:`FORMS`, for example ``"noisy:fake_torino"``.
        known: True if a device of the name has to exist; records of runs outlive devices.

    Returns:
        The target. ``ibm:`` targets parse, though nothing in this folder can run them.

    Raises:
        UnknownName: If there is no such target; the message lists what exists.

    >>> parse_target("engine:cuda")
    Target(kind='engine', device='cuda', backend=None, provider=None)
    """
    checked_text(text, "text", "name the device as in 'noisy:fake_torino'")
    if text in _FIXED:
        kind, device = _FIXED[text]
        return Target(kind, device)
    prefix, _, name = text.partition(":")
    if prefix == "ibm" and _QPU_NAME.fullmatch(name):
        return Target("ibm", "qpu", name)
    if prefix in ("noisy", "local") and name:
        from .devices import is_device_name, unknown_device

        if not (is_device_name(name) if known else _DEVICE_NAME.fullmatch(name)):
            raise unknown_device(name)
        return Target("noisy" if prefix == "noisy" else "local", "cpu", name)
    if is_provider(prefix) and _QPU_NAME.fullmatch(name):
        return Target("provider", "qpu", name, prefix)
    raise _unknown_target(text, prefix)


def target_text(target: Any, kind: Literal["noisy", "local"]) -> Any:
    """Return the text of a target that is a device object; anything else stays as it is.

    Args:
        target: A ``BackendV2`` or an Aer ``NoiseModel``, or a target.
        kind: Kind of target for an object.

    Raises:
        InvalidOption: If the object has no noise, or cannot be a device for another reason.
    """
    if isinstance(target, Target):
        return str(target)
    if isinstance(target, str):
        return target
    from .devices import is_device, target_of

    return target_of(kind, target) if is_device(target) else target


def is_provider(name: str) -> bool:
    """Return True if a package, or an object of this process, is a provider of this name."""
    from .provider_names import provider_names

    return name in provider_names()


def _unknown_target(text: str, prefix: str) -> UnknownName:
    from .provider_names import provider_names

    others = provider_names()
    if ":" not in text and re.match(r"(fake|ibm)_?[a-z]", text, re.IGNORECASE):
        from .devices import is_device_name, unknown_device

        if is_device_name(text):
            return UnknownName(
                f"There is no target '{text}'. Did you mean 'noisy:{text}'? A device's name stands "
                "behind what runs its circuits, noisy:, local: or ibm:."
            )
        return unknown_device(text)
    error = unknown_name("target", text, (*FORMS, *(f"{name}:DEVICE" for name in others)))
    example = f"{prefix}:chip-1" if prefix in others else _EXAMPLE.get(prefix)
    if example is not None:
        return UnknownName(f"{error} '{prefix}:' is followed by a name, as in {example}.")
    return error


_EXAMPLE = {
    "noisy": "noisy:fake_torino",
    "local": "local:fake_torino",
    "ibm": "ibm:ibm_fez",
}
