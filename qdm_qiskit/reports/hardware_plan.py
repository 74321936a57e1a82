"""A run plan as a table, before anything is spent; functions of plain values."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from ..hardware.ledger.budget import BudgetState, is_rehearsal
from ..hardware.plan.run_plan import PLAN, CalibrationPlan, FoundCalibration, RunPlan

__all__ = [
    "fits",
    "plan_lines",
    "plan_summary",
]


def plan_summary(plan: RunPlan, budget: BudgetState | None = None) -> dict[str, Any]:
    """Return a plan in numbers, ready for JSON.

    Args:
        plan: The plan.
        budget: The budget that pays, as it stands.
    """
    return {
        "plan": str(plan.folder / PLAN),
        "run": plan.run_id,
        "model": plan.model,
        "target": plan.target,
        "backend": plan.backend,
        "spends": plan.is_qpu,
        "jobs": plan.num_jobs,
        "circuits": plan.num_circuits,
        "shots": plan.total_shots,
        "seconds": plan.total_seconds,
        "seconds_if_calibrated": plan.most_seconds,
        "images": plan.num_images if plan.qnn is None else None,
        "qnn": None
        if plan.qnn is None
        else {
            "kind": plan.qnn.kind,
            "rows": plan.num_images,
            "inputs": plan.qnn.num_inputs,
            "weights": plan.qnn.num_weights,
            "output_shape": list(plan.qnn.output_shape),
        },
        **({} if plan.training is None else {"training": asdict(plan.training)}),
        "schedule": plan.schedule,
        "steps": [
            {"step": each.step, "shots": each.shots, "seconds": each.seconds} for each in plan.steps
        ],
        "pilot_error": None if plan.shot_choice is None else plan.shot_choice.error,
        "pilot_error_uniform": None if plan.shot_choice is None else plan.shot_choice.uniform_error,
        "mitigation": plan.mitigation,
        "estimator": None
        if plan.estimator is None
        else {"options": plan.estimator.options, "resolved": plan.estimator.resolved},
        "calibration": None
        if plan.calibration is None
        else {
            "circuits": plan.calibration.circuits,
            "shots": plan.calibration.shots,
            "seconds": plan.calibration.seconds,
            "ttl_seconds": plan.calibration.ttl_seconds,
            "correction": plan.calibration.correction,
            "found": None
            if plan.calibration.found is None
            else {
                "path": plan.calibration.found.path,
                "taken_at": plan.calibration.found.taken_at,
            },
        },
        "refit": _refit_summary(plan),
        "chain": None
        if plan.chain is None
        else {
            "way": plan.chain.way,
            "because": plan.chain.because or None,
            "reuses_qubits": plan.chain.reuse_qubits,
            "histories": plan.chain.histories,
            "kept": list(plan.chain.kept),
            "least_kept_shots": plan.chain.least_kept * plan.steps[0].shots
            if plan.is_coherent
            else None,
        },
        "calls": None
        if plan.calls is None
        else {
            "sampler": None if plan.calls.sampler is None else plan.calls.sampler.name,
            "distinct_circuits": len(plan.calls.circuits),
            "jobs": [
                {
                    "name": job.name,
                    "step": job.step,
                    "shots": job.shots,
                    "seconds": job.seconds,
                    "calls": [
                        {
                            "name": call.name,
                            "circuits": list(call.circuits),
                            "rows": call.rows,
                            "seconds": call.seconds,
                        }
                        for call in job.calls
                    ],
                }
                for job in plan.calls.jobs
            ],
        },
        "tiles": _tiles_summary(plan),
        "depth": plan.circuit.depth,
        "two_qubit_gates": plan.circuit.two_qubit_gates,
        "expected_success": plan.circuit.expected_success,
        "physical_qubits": plan.circuit.physical_qubits,
        "mode": plan.mode,
        "assumptions": list(plan.timing.assumptions()),
        "decisions": [
            {"target": each.target, "taken": each.taken, "reason": each.reason}
            for each in plan.decisions
        ],
        "budget": None
        if budget is None
        else {
            "name": budget.name,
            "seconds_left": budget.remaining_seconds,
            "shots_left": budget.remaining_shots,
            "fits": fits(plan, budget),
        },
    }


def _refit_summary(plan: RunPlan) -> dict[str, Any] | None:
    """Return the refit, ready for JSON."""
    refit = plan.refit
    if refit is None:
        return None
    return {
        "kind": refit.kind,
        "circuits": refit.circuits,
        "bound_circuits": refit.bound,
        "shots": refit.shots,
        "seconds": refit.seconds,
        "ttl_seconds": refit.ttl_seconds,
        "places": len({refit.place(each) for each in refit.calls}),
        "found": None
        if refit.found is None
        else {"path": refit.found.path, "taken_at": refit.found.taken_at},
    }


def _tiles_summary(plan: RunPlan) -> dict[str, Any] | None:
    """Return the tiles and the price without them, ready for JSON."""
    if plan.calls is None or plan.calls.tiles is None:
        return None
    tiles = plan.calls.tiles
    return {
        "choice": tiles.choice,
        "buffer": tiles.buffer,
        "seconds_without": tiles.seconds_without,
        "executions_without": tiles.executions_without,
        "circuits": [
            {
                "content": one.content,
                "floor": one.floor,
                "places": one.places,
                "refused": one.refused,
                "proven": one.proven,
                "tiles": [
                    {
                        "qubits": list(tile.qubits),
                        "gate_success": tile.gate_success,
                        "readout_success": tile.readout_success,
                        "idle_success": tile.idle_success,
                        "expected_success": tile.success,
                    }
                    for tile in one.tiles
                ],
            }
            for one in tiles.circuits
        ],
    }


def fits(plan: RunPlan, budget: BudgetState) -> bool:
    """Return True if the whole run fits into the rest of a budget."""
    seconds, shots = budget.remaining_seconds, budget.remaining_shots
    return (seconds is None or plan.total_seconds <= seconds) and (
        shots is None or plan.total_shots <= shots
    )


def plan_lines(plan: RunPlan, budget: BudgetState | None = None) -> list[str]:
    """Return a plan as lines of text.

    Args:
        plan: The plan.
        budget: The budget that pays, as it stands.
    """
    circuit = plan.circuit
    success = "-" if circuit.expected_success is None else f"{circuit.expected_success:.3f}"
    where = plan.target if plan.is_qpu else f"{plan.target} (no QPU: nothing is charged)"
    lines = [
        f"run        {plan.run_id}",
        f"target     {where}",
        _subject(plan),
        f"circuit    depth {circuit.depth}, {circuit.two_qubit_gates} two-qubit gates, "
        f"expected success {success}",
        *_calls(plan),
        *_tiles(plan),
        *_estimator(plan),
        "",
        *_job_table(plan),
        "",
        f"in all     {plan.num_jobs} jobs, {plan.num_circuits} circuits, {plan.total_shots} shots, "
        f"{_seconds(plan)}",
        *_saved(plan),
    ]
    if plan.calibration is not None and plan.calibration.found is not None:
        lines += _found(plan.calibration, plan.calibration.found, plan.most_seconds)
    lines += _refit(plan, budget)
    choice = plan.shot_choice
    if choice is not None:
        even = (
            f"{choice.uniform_error:.3f} if spread evenly"
            if choice.power
            else "and no power of the variances was better than shots spread evenly"
        )
        lines.append(
            f"error      shot noise alone leaves {choice.error:.3f} a pixel (root mean square) in "
            f"the final images of pilot chains, {even}"
        )
    if plan.routing is not None:
        lines.append(f"routing    {plan.routing.text}, asked before each step")
    if budget is not None:
        lines.append(f"budget     {_budget(plan, budget)}")
    if plan.timing.overhead_seconds:
        lines += ["", *[f"* {each}" for each in plan.timing.assumptions()]]
    if len(plan.targets) > 1:
        lines += [
            "",
            *[f"{_verdict(each.taken)} {each.target}: {each.reason}" for each in plan.decisions],
        ]
    return lines


def _subject(plan: RunPlan) -> str:
    qnn = plan.qnn
    if qnn is None:
        name = f"{plan.model} ({plan.model_run})"
        steps = "" if plan.training is not None else f", T = {plan.num_steps}"
        return f"model      {name}, {plan.circuit.num_qubits} qubits{steps}"
    return (
        f"QNN        {qnn.kind}, {qnn.qubits} qubits, {qnn.num_inputs} inputs, {qnn.num_weights} "
        f"weights, output {qnn.output_shape}"
    )


def _calls(plan: RunPlan) -> list[str]:
    """Say what a step's jobs take: all images, or the step's calls one after the other."""
    calls = plan.calls
    if calls is None:
        return [f"images     {plan.num_images}, all of a step in one job"]
    count, steps = len({each.content for each in calls.circuits}), len(plan.steps)
    if calls.tiles is None:
        count = len(calls.circuits)
    said, kept = plan.chain_lines()
    chain = [f"chain      {said}"] if said else []
    if plan.is_coherent:
        rows = sum(call.rows for job in calls.jobs for call in job.calls)
        bases = "" if rows == plan.num_images else f" in {rows // plan.num_images} bases each"
        return [
            *chain,
            f"kept       {kept}",
            f"images     {plan.num_images}{bases}, rows of one circuit",
        ]
    names = {call.name for job in calls.jobs for call in job.calls}
    if plan.training is not None:
        return [
            f"training   {plan.training.sentence()}",
            f"images     {plan.num_images} with noise"
            + (", measured once" if plan.training.once else " in each step"),
        ]
    if calls.sampler is None:
        bases = ", one for each basis" if count > 1 else ""
        plural = "s" if count > 1 else ""
        return [f"rows       {plan.num_images}, each with {count} circuit{plural}{bases}"]
    return [
        *chain,
        f"calls      {count} distinct circuit{'s' if count > 1 else ''} (the worst is above) in "
        f"{len(names)} call{'s' if len(names) > 1 else ''} a step",
        f"sampler    {calls.sampler.name}, {steps} steps from t = {plan.steps[0].step}",
        f"images     {plan.num_images}, rows of every call",
    ]


def _tiles(plan: RunPlan) -> list[str]:
    """Say on how many places of the chip each circuit runs at once, and how good they are."""
    if plan.calls is None or plan.calls.tiles is None:
        return []
    lines = []
    for one in plan.calls.tiles.circuits:
        best, worst = one.tiles[0].success, one.tiles[-1].success
        number = len(one.tiles)
        lines.append(
            f"tiles      {number} place{'s' if number > 1 else ''} of the chip at once, expected "
            f"success {worst:.3f} to {best:.3f} ({one.refused} of {one.places} places below "
            f"{one.floor:.3f})"
        )
    return lines


def _saved(plan: RunPlan) -> list[str]:
    """Say what an image costs with tiles and without."""
    if plan.calls is None or plan.calls.tiles is None:
        return []
    tiles, images = plan.calls.tiles, plan.num_images
    executions = sum(each.circuits * each.shots for each in plan.calls.jobs)
    return [
        f"an image   {plan.most_seconds / images:.2f} QPU seconds an image, "
        f"{tiles.seconds_without / images:.2f} without tiles: "
        f"{tiles.executions_without / executions:.1f} times as many executions"
    ]


def _estimator(plan: RunPlan) -> list[str]:
    if plan.estimator is None:
        return []
    asked = "its defaults" if plan.estimator.options == "{}" else plan.estimator.options
    return [
        f"primitive  IBM's Estimator with {asked}; shots are 1/precision^2, and it runs "
        f"{max(plan.estimator.weights):.3g} of them a row at most"
    ]


def _job_table(plan: RunPlan) -> list[str]:
    """Return a line for each job; a run of steps with equal shots is one line."""
    lines = [f"{'job':<16}{'jobs':>6}{'circuits':>10}{'shots each':>12}{'QPU s':>10}"]
    lines += [
        f"{name:<16}{jobs:>6}{circuits:>10}{shots:>12}{seconds:>10.2f}"
        for name, jobs, circuits, shots, seconds in plan.jobs()
    ]
    return lines


def _found(wanted: CalibrationPlan, found: FoundCalibration, most_seconds: float) -> list[str]:
    """Say which calibration is used again, when it ends, and the cost if that fails."""
    taken = datetime.fromisoformat(found.taken_at)
    end = taken + timedelta(seconds=wanted.ttl_seconds)
    return [
        f"readout    calibrated {taken:%Y-%m-%d %H:%M} UTC by {found.path.partition('/')[0]}, and "
        f"used again until {end:%Y-%m-%d %H:%M};",
        f"           calibrating anew ({wanted.circuits} circuits, {wanted.shots} shots each) makes "
        f"it {most_seconds:.1f} QPU seconds in all",
    ]


def _refit(plan: RunPlan, budget: BudgetState | None) -> list[str]:
    """Say what is fitted, on how much, until when, and which share of run and budget that takes."""
    refit = plan.refit
    if refit is None:
        return []
    what = "its linear head" if refit.kind == "head" else "gain and offset of each measured value"
    places = len({each.circuits for each in refit.calls})
    if refit.found is not None:
        taken = datetime.fromisoformat(refit.found.taken_at)
        end = taken + timedelta(seconds=refit.ttl_seconds)
        return [
            f"refit      {what}, of {taken:%Y-%m-%d %H:%M} UTC by "
            f"{refit.found.path.partition('/')[0]}, and used again until {end:%Y-%m-%d %H:%M};",
            f"           a new one ({refit.circuits} circuits, {refit.shots} shots each) makes it "
            f"{plan.most_seconds:.1f} QPU seconds in all",
        ]
    share = refit.seconds / plan.total_seconds if plan.total_seconds else 0.0
    left = None if budget is None else budget.remaining_seconds
    of_budget = "" if not left else f" and {refit.seconds / left:.0%} of the budget's rest"
    at = f" at {places} places" if places > 1 else ""
    return [
        f"refit      {what}, on {refit.circuits} circuits{at}: {refit.seconds:.2f} QPU seconds, "
        f"{share:.0%} of the run{of_budget}"
    ]


def _seconds(plan: RunPlan) -> str:
    seconds = plan.total_seconds
    if plan.is_qpu or not seconds:
        return f"about {seconds:.1f} QPU seconds"
    return f"about {seconds:.1f} QPU seconds if the device itself ran it"


def _budget(plan: RunPlan, budget: BudgetState) -> str:
    left = [
        f"{amount:.6g} {unit}"
        for amount, unit in (
            (budget.remaining_seconds, "QPU seconds"),
            (budget.remaining_shots, "shots"),
        )
        if amount is not None
    ]
    verdict = "" if fits(plan, budget) else "; THIS RUN DOES NOT FIT and will be refused"
    seconds = budget.remaining_seconds
    if not verdict and seconds is not None and plan.most_seconds > seconds:
        verdict = f"; too little if {plan.anew}"
    if not (plan.is_qpu or is_rehearsal(budget.name)):
        verdict = "; this target takes nothing from it"
    return f"'{budget.name}' has {' and '.join(left)} left{verdict}"


def _verdict(taken: bool) -> str:
    return "taken  " if taken else "passed "
