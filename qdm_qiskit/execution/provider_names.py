"""Names of other packages' providers: first words of targets such as ``acme:chip-1``."""

from __future__ import annotations

from typing import Any

from ..doors import Door

__all__ = [
    "BUILT_IN",
    "note_provider",
    "provider_names",
]

BUILT_IN = ("engine", "aer", "noisy", "local", "ibm")
"""First words of this package's own targets."""
_OUTSIDE: Door[Any] = Door("provider", "provider", {}, lambda part, name: part)
_in_hand: set[str] = set()
"""Names of provider objects of this process."""


def provider_names() -> tuple[str, ...]:
    """Return the names of installed packages' providers, and of objects; nothing is imported."""
    return tuple(sorted({*_OUTSIDE.names(), *_in_hand} - set(BUILT_IN)))


def note_provider(name: str) -> None:
    """Let a provider object's name stand in targets of this process."""
    _in_hand.add(name)
