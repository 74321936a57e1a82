"""Choice of a run's target from a list: tried in order, the first that satisfies the policy.

A target is passed over when, in this order,

1. it is not available: unknown to the account, paused, no device;
2. more jobs wait in its queue than the policy allows;
3. a circuit does not run on its device, which has too few qubits for example;
4. its circuit's expected success is below what the policy asks for;
5. its estimated QPU seconds or its shots are more than the budget or the account has left, and
   another target follows. (The last one is planned all the same: submitting it is refused.)

Each verdict, with its numbers, goes into the plan.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InvalidOption, TargetUnavailable, UnsupportedCircuit
from ...execution.targets import Target, parse_target
from ...files import check_writable
from ...progress import Message, Progress, silent
from ..ledger.budget import BudgetState
from .circuits import find_device
from .prepare import Draft, PlanConfig, draft_plan
from .prepare_training import check_training_budget
from .run_plan import Decision, ExecutionOptions, RunPlan
from .types import Availability, Look

if TYPE_CHECKING:
    from ...sampling import Sampler

__all__ = [
    "Drafter",
    "FallbackPolicy",
    "draft_on_first",
    "plan_on_first",
]


Drafter = Callable[[PlanConfig, str, Availability], Draft]
"""Function that plans for a target, by its text, from options that fit it and its state."""


@dataclass(frozen=True, kw_only=True)
class FallbackPolicy:
    """Limits beyond which a target is passed over."""

    max_queue: int | None = None
    """Most jobs that may wait before ours; None takes any queue."""
    min_success: float | None = None
    """Least expected success of the step's circuit; None takes any."""

    def __post_init__(self) -> None:
        if self.max_queue is not None and self.max_queue < 0:
            raise InvalidOption(f"max_queue must be at least 0, got {self.max_queue}.")
        if self.min_success is not None and not 0 <= self.min_success <= 1:
            raise InvalidOption(f"min_success is 0 to 1, got {self.min_success}.")


def plan_on_first(
    run: Path,
    config: PlanConfig,
    policy: FallbackPolicy,
    *,
    root: Path,
    look: Look,
    budget: BudgetState | None = None,
    sampler: Sampler | None = None,
    today: date | None = None,
    progress: Progress = silent,
) -> RunPlan:
    """Plan a run for the first target that satisfies the policy, and write its folder.

    Args:
        run: Folder of a trained run, or of one of its checkpoints.
        config: Options of the run, with its list of targets.
        policy: Limits beyond which a target is passed over.
        root: Folder of all hardware runs.
        look: Function that looks at an ``ibm:`` target, or one of another package's provider.
        budget: The budget that pays, as it stands.
        sampler: A sampler object in the place of the one that ``config`` names.
        today: The day of planning; today if None.
        progress: Receives each stage of the work, in words.

    Returns:
        The plan; ``plan.decisions`` holds one verdict for each target up to the one taken.

    Raises:
        TargetUnavailable: If no target satisfies the policy, with all reasons.
        InvalidOption, MissingData, ...: What makes every target impossible.
    """

    def draft(fitting: PlanConfig, target: str, state: Availability) -> Draft:
        made = draft_plan(
            run,
            fitting,
            target=target,
            root=root,
            backend=state.backend,
            availability=state,
            sampler=sampler,
            today=today,
            progress=progress,
        )
        if made.plan.training is not None:
            check_training_budget(made.plan, budget)
        return made

    return draft_on_first(
        draft, config, policy, root=root, look=look, budget=budget, progress=progress
    )


def draft_on_first(
    drafted: Drafter,
    config: PlanConfig,
    policy: FallbackPolicy,
    *,
    root: Path,
    look: Look,
    budget: BudgetState | None = None,
    progress: Progress = silent,
) -> RunPlan:
    """Plan what a drafter plans for the first target that satisfies the policy.

    Args:
        drafted: Function that plans for a target, from the options that fit it and its state.
        config, policy, root, look, budget, progress: As for :func:`plan_on_first`.

    Returns, raises:
        As :func:`plan_on_first`.
    """
    check_writable(root)
    decisions: list[Decision] = []
    for position, text in enumerate(config.targets):
        target = parse_target(text)
        last = position == len(config.targets) - 1
        try:
            state = look(target) if target.kind in ("ibm", "provider") else _look_here(target)
        except (TargetUnavailable, ConnectionError, LookupError) as error:
            if len(config.targets) == 1:
                raise
            decisions.append(Decision(target=text, taken=False, reason=str(error)))
            continue
        refusal = _queue_refusal(state, policy)
        if refusal is None:
            fitting, remark = _fitting(config, target)
            progress(Message(f"planning for {text}"))
            try:
                draft = drafted(fitting, text, state)
            except UnsupportedCircuit as error:
                if len(config.targets) == 1:
                    raise
                decisions.append(Decision(target=text, taken=False, reason=str(error)))
                continue
            refusal = _plan_refusal(draft.plan, policy, state, budget, last=last)
            if refusal is None:
                reason = _reason(draft, target, state, budget) + remark
                taken = Decision(target=text, taken=True, reason=reason)
                return draft.write(root, (*decisions, taken))
        decisions.append(Decision(target=text, taken=False, reason=refusal))
    reasons = " ".join(f"{each.target}: {each.reason}" for each in decisions)
    raise TargetUnavailable(
        f"No target satisfies the policy. {reasons} Add one, such as 'engine', or allow more."
    )


def _look_here(target: Target) -> Availability:
    """Return the state of a target on this machine: it is there, unless it lacks a GPU."""
    if target.device == "cuda":
        find_device(target, None, 0)
    if target.device == "gpu":
        from ...execution.aer import AerRunner

        AerRunner(seed=0, device=target.device)
    return Availability()


def _fitting(config: PlanConfig, target: Target) -> tuple[PlanConfig, str]:
    """Return the options that a target can use, and those that were left out, in words."""
    if len(config.targets) == 1:
        return config, ""  # planning refuses what it cannot use
    remark = ""
    if config.mitigation != "none" and target.kind not in ("noisy", "local", "ibm"):
        config = dataclasses.replace(config, mitigation="none")
        remark += " No readout errors, so no mitigation."
    if config.tiles is not None and target.kind not in ("noisy", "local", "ibm"):
        config = dataclasses.replace(config, tiles=None, tile_buffer=False)
        remark += " No places on a chip, so no tiles."
    if config.options != ExecutionOptions() and target.kind != "ibm":
        config = dataclasses.replace(config, options=ExecutionOptions())
        remark += " A simulation, so no options of IBM's Sampler."
    return config, remark


def _queue_refusal(state: Availability, policy: FallbackPolicy) -> str | None:
    if policy.max_queue is None or state.queue is None or state.queue <= policy.max_queue:
        return None
    return f"{state.queue} jobs wait, more than {policy.max_queue}."


def _plan_refusal(
    plan: RunPlan,
    policy: FallbackPolicy,
    state: Availability,
    budget: BudgetState | None,
    *,
    last: bool,
) -> str | None:
    success = plan.circuit.expected_success
    if policy.min_success is not None and success is not None and success < policy.min_success:
        return f"its expected success is {success:.3g}, below {policy.min_success:g}."
    if last or not plan.is_qpu:
        return None
    if state.seconds_left is not None and plan.total_seconds > state.seconds_left:
        return (
            f"the account has {state.seconds_left:.1f} QPU seconds left, and the run takes about "
            f"{plan.total_seconds:.1f}."
        )
    if budget is None:
        return None
    seconds, shots = budget.remaining_seconds, budget.remaining_shots
    if seconds is not None and plan.total_seconds > seconds:
        return (
            f"budget '{budget.name}' has {seconds:.1f} QPU seconds left, and the run takes about "
            f"{plan.total_seconds:.1f}."
        )
    if shots is not None and plan.total_shots > shots:
        return (
            f"budget '{budget.name}' has {shots} shots left, and the run takes {plan.total_shots}."
        )
    return None


def _reason(draft: Draft, target: Target, state: Availability, budget: BudgetState | None) -> str:
    """Return the reasons for the target, with their numbers."""
    plan = draft.plan
    parts = [f"available as {plan.backend}" if target.backend == "least_busy" else "available"]
    if state.queue is not None:
        parts.append(f"{state.queue} jobs wait")
    if plan.circuit.expected_success is not None:
        parts.append(f"expected success {plan.circuit.expected_success:.3g}")
    if plan.is_qpu:
        parts.append(f"about {plan.total_seconds:.1f} QPU seconds")
        if budget is not None and budget.remaining_seconds is not None:
            parts.append(f"{budget.remaining_seconds:.1f} left in budget '{budget.name}'")
    return ", ".join(parts) + "."
