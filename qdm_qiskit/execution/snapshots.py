"""Device snapshots by name: couplings, error rates and durations of a real device on one day.

They are the fake backends of ``qiskit_ibm_runtime.fake_provider``; nothing is downloaded.
"""

from __future__ import annotations

from functools import cache

from qiskit.providers import BackendV2

from ..arguments import checked_text

__all__ = [
    "backend_names",
    "load_backend",
]


@cache
def _classes() -> dict[str, type[BackendV2]]:
    from qiskit_ibm_runtime import fake_provider

    found = {}
    for value in vars(fake_provider).values():
        name = getattr(value, "backend_name", None)
        if isinstance(value, type) and isinstance(name, str) and name.startswith("fake_"):
            found[name] = value
    return dict(sorted(found.items()))


def snapshot_points() -> dict[str, str]:
    """Return each snapshot's class by name, as ``"module:attribute"``; the provider is imported."""
    return {
        name: f"qiskit_ibm_runtime.fake_provider:{value.__name__}"
        for name, value in _classes().items()
    }


def backend_names() -> tuple[str, ...]:
    """Return the names of all snapshots, in alphabetical order.

    >>> "fake_torino" in backend_names()
    True
    """
    return tuple(_classes())


def load_backend(name: str) -> BackendV2:
    """Load one device by name.

    Args:
        name: A name from :func:`backend_names`, such as ``"fake_torino"``, or of another device
            (:func:`.devices.device_names`).

    Returns:
        A fresh backend; its ``target`` holds error rates and durations in seconds.

    Raises:
        UnknownName: If there is no such device.

    >>> load_backend("fake_torino").num_qubits
    133
    """
    from .devices import named_device

    checked_text(name, "name", "a backend object needs no loading")
    return named_device(name)
