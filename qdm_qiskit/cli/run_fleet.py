"""Runs that several devices share, for the commands of ``qdm run``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .run_names import command_line, print_verification, state_row

if TYPE_CHECKING:
    from ..hardware.plan.config import PlanConfig
    from ..hardware.run.verify import Verification
    from ..progress import Progress
    from ..tasks.fleets import Fleet

__all__ = [
    "plan_shared",
    "print_fleet",
    "print_verifications",
    "report_fleet",
]


def plan_shared(
    run: Path,
    config: PlanConfig,
    *,
    split: str,
    max_wait: float | None,
    root: Path,
    as_json: bool,
    progress: Progress,
) -> None:
    """Plan a run for several devices, and show what each would cost."""
    from ..reports.fleet_render import fleet_lines, fleet_summary
    from ..tasks.budgets import budget as budget_of
    from ..tasks.fleets import plan_fleet

    fleet = plan_fleet(
        run,
        split=split,
        longest_wait_seconds=max_wait,
        config=config,
        root=root,
        progress=progress,
    )
    plan, plans = fleet.plan, [each.plan for each in fleet.runs]
    left = None if config.budget is None else budget_of(config.budget, root=root)
    if as_json:
        typer.echo(json.dumps(fleet_summary(plan, plans, left), indent=2))
        return
    for line in fleet_lines(plan, plans, left):
        typer.echo(line)
    typer.echo(f"\nplan       {fleet.folder / 'fleet.json'}")
    typer.echo(f"go on by   {command_line('submit', plan.fleet_id, root)} --yes")


def print_fleet(fleet: Fleet, as_json: bool) -> None:
    """Show where a fleet stands, in words or as JSON."""
    from ..reports.decision_rows import group_lines
    from ..reports.fleet_render import state_lines

    state, decided = fleet.state, fleet.decisions
    if as_json:
        runs = [
            {
                **state_row(each.run, fleet.folder.parent / each.run.run_id),
                "target": each.target,
                "images": each.images,
                "begins_at": each.begins_at,
                "after": each.after,
                "given_up": each.retired,
                **(
                    {"decisions": [one.to_dict() for one in decided.get(each.run.run_id, ())]}
                    if decided
                    else {}
                ),
            }
            for each in state.members
        ]
        row = state_row(state.as_run(), fleet.folder)
        done = {"images": state.images, "images_done": state.images_done, "runs": runs}
        typer.echo(json.dumps({**row, **done}, indent=2))
        return
    for line in state_lines(state):
        typer.echo(line)
    if any(decided.values()):
        typer.echo("\n" + "\n".join(group_lines(decided)))
    if state.state == "done":
        typer.echo(f"\nimages     {fleet.folder / 'samples.png'}")
    elif state.state != "planned":
        typer.echo(f"\ngo on by   {command_line('resume', state.fleet_id, fleet.folder.parent)}")


def print_verifications(found: tuple[Verification, ...], as_json: bool) -> None:
    """Show the jobs of all runs as ledger and account have them, and what is wrong."""
    if as_json:
        typer.echo(json.dumps([each.to_dict() for each in found], indent=2))
        return
    for each in found:
        print_verification(each, as_json)
    charged = sum(each.charged_seconds for each in found)
    settled = sum(each.settled_seconds for each in found)
    typer.echo(f"all        {charged:.6g} s charged, {settled:.6g} s settled")


def report_fleet(
    fleet: Fleet, out: Path | None, as_json: bool, formats: tuple[str, ...] = ()
) -> None:
    """Write the page of a fleet, and those of its runs that have a step."""
    from ..errors import MissingData
    from ..evaluation.hardware_run import hardware_report
    from ..reports.fleet_render import write_fleet_report
    from ..reports.hardware_render import write_hardware_report

    folder = out or fleet.folder / "report"
    pages: list[tuple[str, Path]] = []
    for each in fleet.runs:
        try:
            page, pictures = hardware_report(each.folder)
        except MissingData:
            continue  # nothing is recorded yet
        files = write_hardware_report(page, pictures, folder / each.folder.name, formats)
        [shown] = [file for file in files if file.suffix == ".html"]
        pages.append((f"{each.plan.target}, {each.folder.name}", shown))
    written = write_fleet_report(fleet.state, fleet.replay(), pages, folder, fleet.decisions)
    if as_json:
        typer.echo(written[0].read_text(), nl=False)
        return
    for file in [*written, *(page for _, page in pages)]:
        typer.echo(f"report     {file}")
