"""IBM's own estimate of a job's QPU seconds, from a dry run: free, and not on the Open Plan.

A dry run is a job on the QPU's mock: the service validates it, times it and answers with random bits.
It costs nothing and is in no ledger; its tag is ``qdm-dry-run``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from ...errors import ServiceUnavailable, TargetUnavailable
from ..plan.planned_files import read_circuits
from ..plan.run_plan import RunPlan
from .account import ServiceHandle
from .client_errors import CallFailed
from .sampler import sampler_options

__all__ = [
    "TAG",
    "DryRun",
    "dry_run",
]

TAG = "qdm-dry-run"


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """The service's estimate of the longest step's job, beside the plan's."""

    step: int
    seconds: float | None
    """Its estimate; None if it gives none."""
    ours: float
    """The plan's estimate of the same job."""


def dry_run(plan: RunPlan, handle: ServiceHandle, *, limit_seconds: float = 300.0) -> DryRun:
    """Send the job of the step with the most shots to the QPU's mock, and read its estimate.

    The angles are drawn at random: those of the run are not known before it, and do not change its
    length.

    Args:
        plan: A plan for a QPU.
        handle: The account.
        limit_seconds: Wall-clock seconds to wait for the mock.

    Returns:
        The service's estimate beside ours.

    Raises:
        TargetUnavailable: On a target that is no QPU, on the Open Plan, or if there is no mock.
        ServiceUnavailable: If the service does not answer in time.
    """
    from qiskit_ibm_runtime.executor_sampler import Sampler

    if not plan.target.startswith("ibm:"):
        raise TargetUnavailable(f"A dry run asks a QPU's service, and '{plan.target}' has none.")
    if handle.plan_type() == "open":
        raise TargetUnavailable(
            "IBM offers no dry runs on the Open Plan; the offline estimate of `qdm run plan` is "
            "what there is."
        )
    if plan.calls is not None and plan.calls.tiles is not None:
        raise TargetUnavailable(
            "A dry run asks for one circuit, and this plan's circuits lie on tiles; the offline "
            "estimate of `qdm run plan` is what there is."
        )
    longest = max(plan.steps, key=lambda each: each.shots)
    rows, ours = longest.rows, longest.seconds
    if plan.calls is not None and plan.is_coherent:  # of one circuit, in parts where a job is full
        first = plan.calls.jobs[0]
        rows, ours = first.circuits, first.seconds
    circuit, _ = read_circuits(plan)
    angles = np.random.default_rng(0).uniform(0, np.pi, (rows, circuit.num_parameters))
    sampler = Sampler(mode=handle.backend(plan.backend))
    sampler.options = sampler_options(plan.options, tag=TAG)
    end = time.monotonic() + limit_seconds
    try:
        job = handle.once(
            "sending the dry run",
            lambda _: sampler.run([(circuit, angles)], shots=longest.shots, dry_run=True),
            submitting=True,
        )
        while True:
            # The client keeps the first answer that it gets, so the job is asked for anew.
            estimate = handle.ask(
                "asking for its estimate",
                lambda service: service.job(job.job_id()).usage_estimation["quantum_seconds"],
            )
            ended = handle.ask("asking for its state", lambda _: job.in_final_state())
            if estimate is not None or ended or time.monotonic() > end:
                break
            time.sleep(handle.settings.poll_seconds)
    except CallFailed as error:
        if error.failure.name == "QiskitBackendNotFoundError":
            raise TargetUnavailable(f"The account has no mock of {plan.backend}.") from None
        raise ServiceUnavailable(f"The dry run failed: {error}") from None
    seconds = None if estimate is None else float(estimate)
    return DryRun(step=longest.step, seconds=seconds, ours=ours)
