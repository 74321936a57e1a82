"""Looks at targets: whether a device takes jobs now, and how many wait for it."""

from __future__ import annotations

from pathlib import Path

from ..execution.targets import Target
from ..hardware.ibm.account import look
from ..hardware.plan.types import Availability, Look
from ..hardware.providers.door import look_at
from ..hardware.providers.settings import read_settings

__all__ = ["look_for"]


def look_for(root: Path, offered: Availability | None = None) -> Look:
    """Return a function that looks at ``ibm:`` and providers' targets; it connects to IBM once.

    Args:
        root: Folder of all runs, for its settings.
        offered: State of a provider object, which is looked at already.
    """
    at_ibm = look(read_settings(root))

    def state_of(target: Target) -> Availability:
        if offered is not None:
            return offered
        return look_at(target) if target.kind == "provider" else at_ibm(target)

    return state_of
