"""Budgets of a root folder: set them, and see what is left."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import InvalidOption, MissingData, ServiceUnavailable
from ..hardware.ledger.budget import OPEN_PLAN, BudgetState, Window
from ..hardware.ledger.ledger import FILE, Ledger
from ..progress import Progress, silent
from .recorded_runs import ROOT, root_folder

__all__ = ["AccountUsage", "account_usage", "budget", "set_budget"]


@dataclass(frozen=True, kw_only=True)
class AccountUsage:
    """Use of IBM's account: by IBM's own count, and by this root's ledger."""

    consumed_seconds: float
    """QPU seconds that IBM counts in its own period, of all jobs of the instance, ours or not."""
    limit_seconds: float | None
    """QPU seconds that IBM allows in its period; None if it does not say."""
    remaining_seconds: float | None
    """QPU seconds that IBM says are left; None if it does not say."""
    limit_reached: bool
    instance: str
    """CRN of the instance."""
    settled_seconds: float
    """QPU seconds of all jobs that this root's ledger has settled, since it began."""


def account_usage(*, root: str | Path = ROOT, progress: Progress = silent) -> AccountUsage:
    """Ask IBM what its account has used, to stand beside what was settled here.

    The two need not agree: IBM counts its own period, and what others ran on the instance.

    Args:
        root: Folder of all hardware runs.
        progress: Receives what happens, in words.

    Raises:
        MissingData: If there is no ledger in the root folder.
        ServiceUnavailable: If there is no account, or IBM does not answer.
    """
    from ..hardware.ibm.account import connect
    from ..hardware.providers.failures import CallFailed
    from ..hardware.providers.settings import read_settings

    folder = root_folder(root)
    ledger = _to_read(folder)
    try:
        settled = ledger.settled_seconds()
    finally:
        ledger.close()
    handle = connect(settings=read_settings(folder), progress=progress)
    try:
        found = handle.usage()
    except CallFailed as error:
        raise ServiceUnavailable(f"IBM does not say what its account has used: {error}") from None
    return AccountUsage(**asdict(found), instance=handle.instance, settled_seconds=settled)


def _to_read(root: Path) -> Ledger:
    if not list(root.glob(f"{FILE}*")):
        raise MissingData(f"There is no ledger in {root}; set_budget and plan make one.")
    return Ledger.open_to_read(root)


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
    root = root_folder(root)
    ledger = _to_read(root)
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
        name: Name of the budget; ``rehearsal`` and ``rehearsal-...`` pay for runs that charge nothing,
            which take from it what they would cost, and for no others.
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
    opened = Ledger.open(root_folder(root)) if ledger is None else ledger
    try:
        return opened.set_budget(
            name, seconds=seconds, shots=shots, period_days=period_days, window=window
        )
    finally:
        if ledger is None:
            opened.close()
