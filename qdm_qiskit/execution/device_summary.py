"""A device in a few numbers, for listings."""

from __future__ import annotations

from statistics import median
from typing import Any

from .device import Device

__all__ = [
    "summary",
]


def summary(device: Device) -> dict[str, Any]:
    """Return a device's qubits, gates and errors, ready for JSON.

    Args:
        device: Any device; :func:`.devices.make_device` makes one of a name.

    Returns:
        ``name``, ``sha256``, ``calibrated_at``, ``qubits``, ``couplers`` (pairs with a gate, without
        direction), ``noise``, ``gates`` (``name``, ``places``, and medians ``error`` and ``seconds``
        or None), ``lacks``.
    """
    target = device.target
    pairs: set[frozenset[int]] = set()
    gates = []
    for name in target.operation_names:
        if isinstance(target.operation_from_name(name), type):
            continue
        places = {where: each for where, each in target[name].items() if where is not None}
        pairs |= {frozenset(where) for where in places if len(where) == 2}
        errors = [each.error for each in places.values() if each is not None]
        lengths = [each.duration for each in places.values() if each is not None]
        gates.append(
            {
                "name": name,
                "places": len(places),
                "error": _median(errors),
                "seconds": _median(lengths),
            }
        )
    own = device.facts.noise is not None
    return {
        "name": device.label,
        "sha256": device.digest,
        "calibrated_at": device.facts.calibrated_at,
        "qubits": device.num_qubits,
        "couplers": len(pairs),
        "noise": "its own noise model" if own else "Aer's model of its errors, T1 and T2",
        "gates": gates,
        "lacks": list(device.lacks()),
    }


def _median(values: list[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return float(median(known)) if known else None
