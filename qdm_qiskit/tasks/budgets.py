"""Budgets of a root folder: set them, and see what is left."""

from __future__ import annotations

from pathlib import Path

from ..arguments import checked_path
from ..errors import InvalidOption, MissingData
from ..hardware.ledger.budget import OPEN_PLAN, BudgetState, Window
from ..hardware.ledger.ledger import FILE, Ledger
from .recorded_runs import ROOT

__all__ = ["budget", "set_budget"]


def budget(name: str, *, root: str | Path = ROOT) -> BudgetState:
    """Return a budget's limits and its reserved, spent and remaining amounts.

    Args:
        name: Name of the budget.
        root: Folder of all hardware runs.

    Raises:
        MissingData: If there is no ledger in the root folder.
        UnknownName: If there is no such budget.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = set_budget("open", preset="open-plan", root=folder)
    ...     budget("open", root=folder).remaining_seconds
    600.0
    """
    root = checked_path(root, "root")
    if not list(root.glob(f"{FILE}*")):
        raise MissingData(f"There is no ledger in {root}; set_budget and plan make one.")
    ledger = Ledger.open_to_read(root)
    try:
        return ledger.budget(name)
    finally:
        ledger.close()


def set_budget(
    name: str,
    *,
    preset: str | None = None,
    seconds: float | None = None,
    shots: int | None = None,
    period_days: float | None = None,
    window: Window = "rolling",
    root: str | Path = ROOT,
    ledger: Ledger | None = None,
) -> BudgetState:
    """Set the limits of a budget; its spent and reserved amounts stay.

    Args:
        name: Name of the budget.
        preset: ``"open-plan"``: 600 QPU seconds in every 28 days.
        seconds: QPU seconds in a period.
        shots: Shots in a period.
        period_days: Length of the period in days; None is for ever.
        window: ``"rolling"``, or ``"calendar"``: fixed periods, one after the other.
        root: Folder of all hardware runs.
        ledger: The root's ledger, if it is open already.

    Returns:
        The budget as it now is.

    Raises:
        InvalidOption: If there is no such preset, it is given beside a limit that it sets, or a
            limit is impossible.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     set_budget("tests", seconds=60, root=folder).remaining_seconds
    60.0
    """
    if preset is not None:
        if preset != "open-plan":
            raise InvalidOption(f"The presets of a budget are: open-plan; got '{preset}'.")
        if seconds is not None or period_days is not None or window != "rolling":
            raise InvalidOption("Preset 'open-plan' sets seconds and period; leave them out.")
        seconds, period_days = OPEN_PLAN.seconds, OPEN_PLAN.period_days
    opened = Ledger.open(checked_path(root, "root")) if ledger is None else ledger
    try:
        return opened.set_budget(
            name, seconds=seconds, shots=shots, period_days=period_days, window=window
        )
    finally:
        if ledger is None:
            opened.close()
