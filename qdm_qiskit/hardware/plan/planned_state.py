"""The state of a run of which the ledger knows nothing yet."""

from __future__ import annotations

from ..ledger.schema import RunState
from .run_plan import RunPlan

__all__ = ["planned_state"]


def planned_state(plan: RunPlan) -> RunState:
    """Return the state of a run that was planned and never sent."""
    return RunState(
        run_id=plan.run_id,
        state="planned",
        step=len(plan.steps),
        total_steps=len(plan.steps),
        jobs=0,
        seconds_estimated=plan.total_seconds,
        seconds_charged=0.0,
        reason=None,
        budget=plan.budget,
        plan_sha256=plan.content_sha256,
        updated_at=0.0,
    )
