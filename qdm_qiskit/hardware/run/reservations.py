"""Reservations of a run: what its jobs may spend is taken from the budget before one is sent."""

from __future__ import annotations

from typing import final

from ...errors import BudgetExceeded
from ..ledger.run_files import counts_path
from ..plan.run_plan import RunPlan
from ..providers.jobs import RunJobs
from .calibrations import RunCalibrations
from .refits import RunRefits

__all__ = [
    "Reservations",
]


@final
class Reservations:
    """Reservations for the jobs of a run.

    Args:
        plan: The run's plan.
        calibrations: Of its readout; None without mitigation.
        refits: To its device; None without.
    """

    def __init__(
        self, plan: RunPlan, calibrations: RunCalibrations | None, refits: RunRefits | None
    ) -> None:
        self._plan = plan
        self._needed = [each for each in (calibrations, refits) if each is not None]

    def reserve(self, jobs: RunJobs, first_time: bool) -> None:
        """Reserve for every job that has not been sent, all of them or none.

        Where a policy decides step by step, each step's are reserved when it says so.

        Raises:
            BudgetExceeded: If the budget, or at the first time the account, has not enough left.
        """
        plan = self._plan
        if plan.routing is not None:
            return
        parts = self._with_records(self._missing(plan.parts()))
        left = jobs.provider.seconds_left() if first_time and plan.is_qpu else None
        needed = sum(part[1] for part in parts)
        if left is not None and needed > left:
            raise BudgetExceeded(
                f"{jobs.provider.title} says that the account has {left:.6g} QPU seconds left, and "
                f"run {plan.run_id} takes about {needed:.6g}; plan fewer shots or images, or wait."
            )
        jobs.reserve(parts)

    def reserve_step(self, jobs: RunJobs, step: int) -> None:
        """Reserve for the jobs of a step that has no counts, and for the records that it needs.

        Raises:
            BudgetExceeded: If the budget has not enough left.
        """
        parts = self._with_records(self.missing(step))
        if parts:
            jobs.reserve(parts)

    def missing(self, step: int) -> list[tuple[str, float, int]]:
        """Return the jobs of a step whose counts are not here, as :meth:`.RunPlan.parts_of`."""
        return self._missing(self._plan.parts_of(step))

    def _missing(self, parts: list[tuple[str, float, int]]) -> list[tuple[str, float, int]]:
        return [each for each in parts if not counts_path(self._plan.folder, each[0]).exists()]

    def _with_records(self, parts: list[tuple[str, float, int]]) -> list[tuple[str, float, int]]:
        """Add the calibration and the refit that the jobs need, unless there are none."""
        if not parts:
            return parts
        more = (each.to_reserve() for each in self._needed)
        return parts + [each for each in more if each is not None]
