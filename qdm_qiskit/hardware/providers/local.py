"""This machine as a provider: the same path with a simulator at its end, free of charge."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import final

import numpy as np

from ...execution.counts import Pub
from ...execution.runner import CircuitRunner
from ...rng import derived_seed
from ..ledger.ledger import Ledger
from ..ledger.run_files import StoredCounts
from ..plan.run_plan import RunPlan
from .base import Cancelled, Place, Report
from .requests import JobRequest

LOCAL_INSTANCE = ""


@final
class LocalPlace(Place):
    """This machine: the same path with a simulator at its end, free of charge.

    Args:
        plan: The run.
        ledger: Where everything is written down.
        report: Is told in words what happens.
        exact_counts: Draws a step's counts for target ``engine``, which takes no circuits.
    """

    def __init__(
        self,
        plan: RunPlan,
        ledger: Ledger,
        report: Report,
        exact_counts: Callable[[JobRequest], np.ndarray],
    ) -> None:
        super().__init__(plan, ledger, report)
        self._exact_counts = exact_counts
        self._runner: CircuitRunner | None = None

    def start(self, request: JobRequest) -> None:
        """Runs it: nothing goes on here without a process."""
        self.obtain(request)

    def obtain(self, request: JobRequest) -> StoredCounts:
        """See :meth:`Place.obtain`."""
        intention = self.latest(request.part)
        if intention is None or intention.state in ("failed", "dropped"):
            attempt = 1 if intention is None else intention.attempt + 1
            intention = self.ledger.intend(
                tag=request.tag(attempt),
                run_id=request.run_id,
                part=request.part,
                attempt=attempt,
                payload_sha256=request.payload_sha256,
                backend=request.backend,
                instance=LOCAL_INSTANCE,
                mode="job",
                session_id=None,
            )
        if intention.state == "intended":
            job_id = intention.tag.replace("qdm-", "local-", 1)
            self.ledger.sent(intention.tag, job_id, how="answered")
            intention = self.ledger.intention(intention.tag)
        counts = self._run(request)
        stored = self.store(intention, counts, request.shots, time.time())
        self.settle()
        return stored

    def fetch(self, request: JobRequest) -> StoredCounts | None:
        """Nothing runs here while nobody waits for it."""
        return None

    def settle(self, *, wait: bool = False) -> None:
        """See :meth:`Place.settle`: nothing is charged."""
        for intention in self.ledger.unsettled(self.plan.run_id):
            assert intention.job_id is not None
            self.ledger.settle(intention.tag, {intention.job_id: 0.0}, 0)

    def cancel(self) -> Cancelled:
        """Nothing waits; what was begun is given up."""
        for intention in self.ledger.intentions(self.plan.run_id):
            if intention.state in ("intended", "submitted"):
                self.ledger.dropped(intention.tag, "the run was cancelled")
        return Cancelled()

    def close(self, *, keep: bool = False) -> None:
        """Nothing is open."""

    def _run(self, request: JobRequest) -> list[np.ndarray]:
        if self.plan.target.partition(":")[0] == "engine":
            return [self._exact_counts(request)]
        if self._runner is None:  # once: a device's noise model takes longer than a step
            from ...execution.factory import make_runner

            self._runner = make_runner(self.plan.target, seed=self.plan.seed)
        # One stream a part: a run that is taken up again draws the same shots.
        number = int(request.part.rpartition("-")[2])
        name = "shots" if request.part.startswith("step-") else "calibration"
        seed = derived_seed(derived_seed(self.plan.seed, name, number), "shots", 0)
        pubs: list[Pub] = list(request.pubs)
        return self._runner.run(pubs, shots=request.shots, seed=seed)
