"""Decisions of a run's routing policy, with what each one cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..hardware.ledger.decision_files import StepDecision, read_decisions
from ..hardware.plan.run_plan import RunPlan

__all__ = ["RoutedStep", "routed_steps"]


@dataclass(frozen=True, kw_only=True)
class RoutedStep:
    """A decision of a routing policy, and its cost."""

    number: int
    """1, 2, ... in the order of the run."""
    step: int
    """t; the last decision of a step holds."""
    route: str
    """``device``, ``exact``, ``hold`` or ``stop``."""
    reason: str
    policy: str
    """The policy with its options, or the class of an object."""
    at: str
    """Time, ISO 8601."""
    failure: str | None
    """Why the device did not answer before; None if it was not asked, or waits."""
    seconds_estimated: float
    """QPU seconds of the step when it was decided; 0 where the device is not asked."""
    seconds_charged: float | None
    """QPU seconds that the jobs which it sent were charged; None while one is not known."""
    told: dict[str, Any]
    """All that the policy was told, by name."""

    def to_dict(self) -> dict[str, Any]:
        """Return the decision for JSON."""
        return asdict(self)


def routed_steps(
    plan: RunPlan, folder: Path, jobs: Sequence[Mapping[str, Any]] | None
) -> tuple[RoutedStep, ...]:
    """Return the decisions of a run in their order.

    The first job of a part belongs to the first decision of its step for the device, the second one to
    the second, and so on; where jobs were sent again without a question, they belong to the last. So
    the charges of the decisions add up to those of the jobs of the steps.

    Args:
        plan: The plan of the run.
        folder: Its folder.
        jobs: ``part``, ``tag`` and ``seconds_charged`` of all jobs of the run, oldest first; None where
            they are not known.

    Raises:
        InvalidData: If a decision cannot be read.
    """
    decisions = read_decisions(folder)
    charged = {each.number: 0.0 if jobs is not None else None for each in decisions}
    if jobs is not None:
        _charge(plan, decisions, jobs, charged)
    return tuple(
        RoutedStep(
            number=each.number,
            step=each.step,
            route=each.route,
            reason=each.reason,
            policy=each.policy,
            at=each.at,
            failure=each.failure,
            seconds_estimated=_estimated(each),
            seconds_charged=charged[each.number],
            told=each.facts,
        )
        for each in decisions
    )


def _charge(
    plan: RunPlan,
    decisions: Sequence[StepDecision],
    jobs: Sequence[Mapping[str, Any]],
    charged: dict[int, float | None],
) -> None:
    """Add what each job was charged to the decision that sent it."""
    for step in {each.step for each in decisions}:
        asked = [e.number for e in decisions if e.step == step and e.route == "device"]
        for part in {part[0] for part in plan.parts_of(step)}:
            own = [job for job in jobs if job["part"] == part]
            tags = list(dict.fromkeys(str(job["tag"]) for job in own))
            for job in own:
                place = min(tags.index(str(job["tag"])), len(asked) - 1)
                if place < 0:
                    continue  # no decision sent it: a ledger of another root
                before, seconds = charged[asked[place]], job["seconds_charged"]
                charged[asked[place]] = (
                    None if before is None or seconds is None else before + float(seconds)
                )


def _estimated(decision: StepDecision) -> float:
    seconds = decision.facts.get("seconds")
    if decision.route != "device" or not isinstance(seconds, int | float):
        return 0.0
    return float(seconds)
