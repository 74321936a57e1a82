"""A run that several devices share, as tables: its plan, where it stands, and its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import checked_path
from ..evaluation.step_decisions import RoutedStep
from ..files import write_bytes, write_json, write_text
from ..hardware.ledger.budget import BudgetState
from ..hardware.plan.fleet_plan import FLEET, FleetPlan
from ..hardware.plan.run_plan import RunPlan
from ..hardware.run.fleet_results import FleetReplay, FleetState
from .decision_rows import group_lines, group_rows

__all__ = [
    "SCHEMA",
    "fleet_lines",
    "fleet_summary",
    "state_lines",
    "write_fleet_report",
]

SCHEMA = "qdm-fleet-report/1"


def fleet_summary(
    fleet: FleetPlan, plans: Sequence[RunPlan], budget: BudgetState | None
) -> dict[str, Any]:
    """Return the plan of a fleet in numbers, ready for JSON.

    Args:
        fleet: The fleet.
        plans: Those of its runs.
        budget: The budget that pays, as it stands.
    """
    return {
        "plan": str(fleet.folder / FLEET),
        "run": fleet.fleet_id,
        "model": fleet.model,
        "images": fleet.num_images,
        "split": fleet.split,
        "longest_wait_seconds": fleet.longest_wait_seconds,
        "jobs": sum(each.num_jobs for each in plans),
        "circuits": sum(each.num_circuits for each in plans),
        "shots": sum(each.total_shots for each in plans),
        "seconds": sum(each.total_seconds for each in plans),
        "spends": any(each.is_qpu for each in plans),
        "devices": [_device(fleet, number, plans) for number in range(len(fleet.costs))],
        "budget": fleet.budget,
        "fits": None if budget is None else _fits(plans, budget),
    }


def _device(fleet: FleetPlan, number: int, plans: Sequence[RunPlan]) -> dict[str, Any]:
    cost = fleet.costs[number]
    own = [each for each in plans if each.target == cost.target]
    plan = own[0] if own else None
    tiles = None if plan is None or plan.calls is None else plan.calls.tiles
    return {
        "target": cost.target,
        "run": None if plan is None else plan.run_id,
        **({} if len(own) < 2 else {"runs": [each.run_id for each in own]}),
        "images": sum(each.num_images for each in own),
        "jobs": sum(each.num_jobs for each in own),
        "circuits": sum(each.num_circuits for each in own),
        "shots": sum(each.total_shots for each in own),
        "seconds": sum((each.total_seconds for each in own), 0.0),
        "seconds_an_image": cost.image_seconds,
        "queue": cost.queue,
        "tiles": None if tiles is None else max(len(each.tiles) for each in tiles.circuits),
        "expected_success": None if plan is None else plan.circuit.expected_success,
    }


def fleet_lines(
    fleet: FleetPlan, plans: Sequence[RunPlan], budget: BudgetState | None
) -> list[str]:
    """Return the plan of a fleet as lines: a table with a line for each device, then their sum.

    Args:
        fleet, plans, budget: As for :func:`fleet_summary`.
    """
    said = fleet_summary(fleet, plans, budget)
    lines = [
        f"run        {fleet.fleet_id}",
        f"model      {fleet.model} ({fleet.model_run})",
        f"images     {fleet.num_images} over {_shared_by(fleet, plans)}, split: {fleet.split}",
    ]
    if fleet.config.routing is not None:
        lines.append(f"routing    {fleet.config.routing}, asked before each step of each run")
    if fleet.longest_wait_seconds is not None:
        lines.append(
            f"moves      images of a job that waits longer than {fleet.longest_wait_seconds:g} s"
        )
    lines += [
        "",
        f"{'device':<26}{'images':>7}{'queue':>7}{'jobs':>6}{'circuits':>10}{'shots':>12}"
        f"{'QPU s':>9}{'an image':>10}{'success':>9}{'tiles':>7}",
    ]
    for each in said["devices"]:
        success = each["expected_success"]
        lines.append(
            f"{each['target']:<26}{each['images']:>7}{_known(each['queue']):>7}{each['jobs']:>6}"
            f"{each['circuits']:>10}{each['shots']:>12,}{each['seconds']:>9.2f}"
            f"{each['seconds_an_image']:>10.4f}"
            f"{'' if success is None else format(success, '.3f'):>9}{_known(each['tiles']):>7}"
        )
    lines.append(
        f"{'all':<26}{fleet.num_images:>7}{'':>7}{said['jobs']:>6}{said['circuits']:>10}"
        f"{said['shots']:>12,}{said['seconds']:>9.2f}"
    )
    idle = [each["target"] for each in said["devices"] if not each["images"]]
    if idle:
        lines.append(f"reserve    {', '.join(idle)}: no images now, takes those of a failed device")
    if budget is not None:
        lines += ["", f"budget     {_budget(plans, budget)}"]
    return lines


def _shared_by(fleet: FleetPlan, plans: Sequence[RunPlan]) -> str:
    used = len({each.target for each in plans})
    devices = f"{used} of {len(fleet.costs)} devices"
    return devices if fleet.config.groups == 1 else f"{len(plans)} groups on {devices}"


def _known(value: int | None) -> str:
    return "-" if value is None else str(value)


def _fits(plans: Sequence[RunPlan], budget: BudgetState) -> bool:
    paid = [each for each in plans if each.is_qpu]
    seconds, shots = budget.remaining_seconds, budget.remaining_shots
    return (seconds is None or sum(each.total_seconds for each in paid) <= seconds) and (
        shots is None or sum(each.total_shots for each in paid) <= shots
    )


def _budget(plans: Sequence[RunPlan], budget: BudgetState) -> str:
    left = [
        f"{amount:.6g} {unit}"
        for amount, unit in (
            (budget.remaining_seconds, "QPU seconds"),
            (budget.remaining_shots, "shots"),
        )
        if amount is not None
    ]
    verdict = "" if _fits(plans, budget) else "; THIS RUN DOES NOT FIT and will be refused"
    if not any(each.is_qpu for each in plans):
        verdict = "; these targets take nothing from it"
    return f"'{budget.name}' has {' and '.join(left)} left for all of it{verdict}"


def state_lines(state: FleetState) -> list[str]:
    """Return where a fleet stands: what it has reached, and a line for each run."""
    lines = [
        f"run        {state.fleet_id}",
        f"state      {state.state}, {state.images_done} of {state.images} images done",
        f"QPU        {state.jobs} jobs, {state.seconds_charged:.1f} s charged, about "
        f"{state.seconds_estimated:.1f} s estimated for the whole run",
    ]
    if state.reason:
        lines.append(f"reason     {state.reason}")
    lines += [
        "",
        f"{'device':<26}{'run':<34}{'images':>7}{'steps':>8}{'jobs':>6}{'QPU s':>9}{'charged':>9}  "
        "state",
    ]
    for each in state.members:
        run = each.run
        done = each.begins_at + run.total_steps - run.step
        steps = f"{done}/{each.begins_at + run.total_steps}"
        word = run.state if each.retired is None or run.state == "done" else "given up"
        more = "" if each.after is None else f", took over from {each.after}"
        lines.append(
            f"{each.target:<26}{run.run_id:<34}{each.images:>7}{steps:>8}{run.jobs:>6}"
            f"{run.seconds_estimated:>9.2f}{run.seconds_charged:>9.2f}  {word}{more}"
        )
    lines += [f"given up   {each.target}: {each.retired}" for each in state.members if each.retired]
    return lines


def write_fleet_report(
    state: FleetState,
    replayed: FleetReplay,
    pages: Sequence[tuple[str, Path]],
    out: str | Path,
    decisions: Mapping[str, Sequence[RoutedStep]] | None = None,
) -> list[Path]:
    """Write the page of a fleet: its runs, its images, and whether a replay gives them again.

    Args:
        state: Where it stands.
        replayed: Its replay.
        pages: Name and page of each run that has one.
        out: Folder of the page.
        decisions: Decisions of the routing policy of each run, by its id; none without a policy.

    Returns:
        The files.
    """
    out = checked_path(out, "out")
    from ..data import grid_png

    files = [out / "report.json", out / "report.md"]
    numbers = {
        "schema": SCHEMA,
        "run": state.fleet_id,
        "state": state.state,
        "images": state.images,
        "images_done": state.images_done,
        "jobs": state.jobs,
        "seconds_estimated": state.seconds_estimated,
        "seconds_charged": state.seconds_charged,
        "equal": replayed.equal,
        "replay": replayed.sentence(),
        "runs": [
            {
                "run": each.run.run_id,
                "target": each.target,
                "images": each.images,
                "begins_at": each.begins_at,
                "after": each.after,
                "given_up": each.retired,
                "state": each.run.state,
                "jobs": each.run.jobs,
                "seconds_estimated": each.run.seconds_estimated,
                "seconds_charged": each.run.seconds_charged,
            }
            for each in state.members
        ],
    }
    if decisions:
        numbers["decisions"] = group_rows(decisions)
    out.mkdir(parents=True, exist_ok=True)
    lines = [f"# {state.fleet_id}", ""]
    lines += ["```", *state_lines(state), "```", "", replayed.sentence(), ""]
    if replayed.images is not None:
        files.append(out / "samples.png")
        write_bytes(files[-1], grid_png(np.asarray(replayed.images)))
        lines += ["![All images, by their addresses](samples.png)", ""]
    if decisions:
        lines += ["Who answered each step, by the routing policy:", ""]
        lines += ["```", *group_lines(decisions), "```", ""]
    if pages:
        lines += ["Pages of the runs, each of one device:", ""]
        lines += [f"* [{name}]({page.relative_to(out)})" for name, page in pages]
        lines.append("")
    write_json(files[0], numbers)
    write_text(files[1], "\n".join(lines))
    return files
