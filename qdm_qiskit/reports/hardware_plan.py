"""A run plan as a table, before anything is spent; functions of plain values."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from ..hardware.ledger.budget import BudgetState
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
        "images": plan.num_images,
        "schedule": plan.schedule,
        "steps": [
            {"step": each.step, "shots": each.shots, "seconds": each.seconds} for each in plan.steps
        ],
        "pilot_error": None if plan.shot_choice is None else plan.shot_choice.error,
        "pilot_error_uniform": None if plan.shot_choice is None else plan.shot_choice.uniform_error,
        "mitigation": plan.mitigation,
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
            "sampler": plan.calls.sampler.name,
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
        f"model      {plan.model} ({plan.model_run}), {circuit.num_qubits} qubits, "
        f"T = {plan.num_steps}",
        f"circuit    depth {circuit.depth}, {circuit.two_qubit_gates} two-qubit gates, "
        f"expected success {success}",
        *_calls(plan),
        "",
        *_job_table(plan),
        "",
        f"in all     {plan.num_jobs} jobs, {plan.num_circuits} circuits, {plan.total_shots} shots, "
        f"{_seconds(plan)}",
    ]
    if plan.calibration is not None and plan.calibration.found is not None:
        lines += _found(plan.calibration, plan.calibration.found, plan.most_seconds)
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


def _calls(plan: RunPlan) -> list[str]:
    """Say what a step's jobs take: all images, or the step's calls one after the other."""
    calls = plan.calls
    if calls is None:
        return [f"images     {plan.num_images}, all of a step in one job"]
    count, steps = len(calls.circuits), len(plan.steps)
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
    return [
        *chain,
        f"calls      {count} distinct circuit{'s' if count > 1 else ''} (the worst is above) in "
        f"{len(names)} call{'s' if len(names) > 1 else ''} a step",
        f"sampler    {calls.sampler.name}, {steps} steps from t = {plan.steps[0].step}",
        f"images     {plan.num_images}, rows of every call",
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
        verdict = "; too little if the readout has to be calibrated anew"
    if not plan.is_qpu:
        verdict = "; this target takes nothing from it"
    return f"'{budget.name}' has {' and '.join(left)} left{verdict}"


def _verdict(taken: bool) -> str:
    return "taken  " if taken else "passed "
