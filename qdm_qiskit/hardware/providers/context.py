"""Context of a run, which all parts of the code that drives it share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ...progress import Message, Progress, silent
from ..ledger.ledger import Ledger
from ..plan.run_plan import RunPlan
from .settings import ServiceSettings, read_settings

__all__ = [
    "RunContext",
]


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
        """Name of the budget that pays; None where nothing is charged."""
        return self.plan.budget if self.plan.is_qpu else None

    def tell(self, text: str) -> None:
        """Tell the progress what happens."""
        self.progress(Message(text))
