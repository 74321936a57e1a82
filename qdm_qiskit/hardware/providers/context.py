"""Context of a run, which all parts of the code that drives it share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ...errors import InvalidOption
from ...progress import Message, Progress, silent
from ..ledger.budget import is_rehearsal
from ..ledger.ledger import Ledger
from ..plan.run_plan import RunPlan
from .settings import ServiceSettings, read_settings

__all__ = [
    "RunContext",
    "paying_budget",
]


def paying_budget(plan: RunPlan) -> str | None:
    """Return the name of the budget that a run takes from; None where nothing is charged.

    A run that charges nothing takes from a budget of rehearsals what it would cost.

    Raises:
        InvalidOption: If a run that charges names a budget of rehearsals.
    """
    rehearsal = is_rehearsal(plan.budget)
    if plan.is_qpu and rehearsal:
        raise InvalidOption(
            f"Budget '{plan.budget}' is one of rehearsals, and '{plan.target}' charges; plan with "
            "another budget, or for a target such as local:fake_torino."
        )
    return plan.budget if plan.is_qpu or rehearsal else None


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """Run that this process drives: its plan, the ledger, the progress, its patience."""

    plan: RunPlan
    """Plan of the run; its files are checked."""
    ledger: Ledger
    """Record of all that is reserved, sent, found and paid."""
    progress: Progress = silent
    """Callback that receives what happens, in words."""
    given_settings: ServiceSettings | None = None
    """Limits and intervals in the place of those of the root."""

    @cached_property
    def settings(self) -> ServiceSettings:
        """Limits and intervals of a provider."""
        return self.given_settings or read_settings(self.ledger.root)

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self.plan.run_id

    @property
    def budget(self) -> str | None:
        """Name of the budget that pays; see :func:`paying_budget`."""
        return paying_budget(self.plan)

    def tell(self, text: str) -> None:
        """Tell the progress what happens."""
        self.progress(Message(text))
