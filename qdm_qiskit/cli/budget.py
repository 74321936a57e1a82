"""``qdm budget``: how much of a QPU may be spent, and what was."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .models import JsonOption

if TYPE_CHECKING:
    from ..hardware.ledger.budget import BudgetState
    from ..hardware.ledger.ledger import Ledger

__all__ = [
    "ROOT",
    "RootOption",
    "account",
    "app",
    "as_row",
    "existing_ledger",
    "history",
    "open_ledger",
    "set_budget",
    "show",
]

app = typer.Typer(
    help="Budgets of QPU seconds and shots: set, show, history.", no_args_is_help=True
)

RootOption = Annotated[
    Path,
    typer.Option(help="Folder of all hardware runs and their ledger.", envvar="QDM_ROOT"),
]
ROOT = Path("hardware_runs")


@app.command("set")
def set_budget(
    name: Annotated[str, typer.Argument(help="Name of the budget.")],
    preset: Annotated[
        str | None, typer.Option(help="open-plan: 600 QPU seconds in every 28 days.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="QPU seconds in a period.")] = None,
    shots: Annotated[int | None, typer.Option(help="Shots in a period.")] = None,
    period_days: Annotated[
        float | None, typer.Option(help="Length of the period; none is for ever.")
    ] = None,
    calendar: Annotated[
        bool, typer.Option("--calendar", help="Fixed periods, one after the other, not rolling.")
    ] = False,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
) -> None:
    """Set the limits of a budget; what was spent and reserved stays.

    Example:

        qdm budget set open --preset open-plan
    """
    from ..tasks import set_budget as set_limits

    state = set_limits(
        name,
        preset=preset,
        seconds=seconds,
        shots=shots,
        period_days=period_days,
        window="calendar" if calendar else "rolling",
        ledger=open_ledger(root),
    )
    _print([state], as_json)


@app.command("show")
def show(
    name: Annotated[str | None, typer.Argument(help="Name of the budget; all without.")] = None,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
) -> None:
    """Show what a budget allows, holds in reserve, has spent and has left.

    Example:

        qdm budget show open --json
    """
    ledger = existing_ledger(root)
    _print([ledger.budget(name)] if name else list(ledger.budgets()), as_json, one=name is not None)


@app.command("history")
def history(
    name: Annotated[str, typer.Argument(help="Name of the budget.")],
    root: RootOption = ROOT,
    as_json: JsonOption = False,
) -> None:
    """List every reservation of a budget: for which job, what was held, what was charged.

    Example:

        qdm budget history open
    """
    rows = existing_ledger(root).budget_history(name)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    typer.echo(f"{'when (UTC)':<18}{'run':<34}{'part':<20}{'state':<10}{'held s':>8}{'spent s':>9}")
    for row in rows:
        when = datetime.fromtimestamp(float(row["reserved_at"] or 0), UTC)
        spent = "-" if row["spent_seconds"] is None else f"{row['spent_seconds']:.2f}"
        typer.echo(
            f"{when:%Y-%m-%d %H:%M}  {row['run_id']!s:<34}{row['part']!s:<20}{row['state']!s:<10}"
            f"{row['seconds']:>8.2f}{spent:>9}"
        )


@app.command("account")
def account(root: RootOption = ROOT, as_json: JsonOption = False) -> None:
    """Ask IBM what its account has used, beside what was settled in this root. Free of charge.

    Example:

        qdm budget account --json
    """
    from ..tasks.budgets import account_usage

    found = account_usage(root=root, progress=lambda text: typer.echo(text, err=True))
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
        return
    of = "" if found.limit_seconds is None else f" of {found.limit_seconds:.6g}"
    left = "" if found.remaining_seconds is None else f", {found.remaining_seconds:.6g} left"
    typer.echo(
        f"IBM        {found.consumed_seconds:.6g} s{of} used in its period{left}: by everybody"
    )
    typer.echo(f"here       {found.settled_seconds:.6g} s settled in {root} since it began")
    if found.limit_reached:
        typer.echo("note       the account's limit is reached: IBM takes no jobs now")


def existing_ledger(root: Path) -> Ledger:
    """Return the ledger of a root to look at it, if there is one.

    No folder is made, and none needs to be writable.

    Raises:
        MissingData: If there is none.
    """
    from ..errors import MissingData
    from ..hardware.ledger.ledger import FILE, Ledger

    if not (root / FILE).exists() and not list(root.glob(f"{FILE}*")):
        raise MissingData(
            f"There is no ledger in {root}; `qdm budget set` and `qdm run plan` make one, --root "
            "names another folder."
        )
    return _told(Ledger.open_to_read(root))


def open_ledger(root: Path) -> Ledger:
    """Return the ledger of a root, to write into it; it is made if there is none."""
    from ..hardware.ledger.ledger import Ledger

    return _told(Ledger.open(root))


def _told(ledger: Ledger) -> Ledger:
    """Say what was repaired when it was opened."""
    for notice in ledger.notices:
        typer.echo(f"note: {notice}", err=True)
    return ledger


def as_row(state: BudgetState) -> dict[str, object]:
    """Return a budget's numbers, with what is left."""
    return {
        **asdict(state),
        "remaining_seconds": state.remaining_seconds,
        "remaining_shots": state.remaining_shots,
    }


def _print(states: list[BudgetState], as_json: bool, *, one: bool = True) -> None:
    if as_json:
        rows = [as_row(state) for state in states]
        typer.echo(json.dumps(rows[0] if one else rows, indent=2))
        return
    for state in states:
        period = "for ever" if state.period_days is None else f"every {state.period_days:g} days"
        typer.echo(f"{state.name}: {period}" + (f", {state.window}" if state.period_days else ""))
        for unit, limit, reserved, spent, left in (
            (
                "QPU seconds",
                state.limit_seconds,
                state.reserved_seconds,
                state.spent_seconds,
                state.remaining_seconds,
            ),
            (
                "shots",
                state.limit_shots,
                state.reserved_shots,
                state.spent_shots,
                state.remaining_shots,
            ),
        ):
            if limit is not None:
                typer.echo(
                    f"  {unit:<12} {left:.6g} of {limit:.6g} left "
                    f"({spent:.6g} spent, {reserved:.6g} reserved)"
                )
