"""The executor-based primitives of IBM's client: options of a plan in their terms, and their jobs."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from ...arguments import wrong
from ...execution.estimators import ibm_options
from ..plan.types import ExecutionOptions
from ..providers.joint import joint_pubs
from ..providers.requests import EstimatorRequest, JobRequest, Request

if TYPE_CHECKING:
    from qiskit.providers import BackendV2
    from qiskit_ibm_runtime import RuntimeJobV2, Session
    from qiskit_ibm_runtime.options_models.sampler import SamplerOptions

__all__ = [
    "MAX_EXECUTION_SECONDS",
    "resolved_options",
    "sampler_options",
    "send_job",
]

MAX_EXECUTION_SECONDS = 10_800


def send_job(
    request: Request, target: BackendV2 | Session | None, *, tag: str, max_seconds: int | None
) -> RuntimeJobV2:
    """Send the work of a job through IBM's client, once.

    Args:
        request: Circuits to sample, or expectation values to estimate.
        target: The backend, or the open session.
        tag: The job's tag.
        max_seconds: IBM cancels the job after this much QPU time.

    Returns:
        IBM's job.

    Raises:
        InvalidArgument: If the request is of another kind.
    """
    from qiskit_ibm_runtime.executor_sampler import Sampler

    if isinstance(request, EstimatorRequest):
        return _send_estimator(request, target, tag=tag, max_seconds=max_seconds)
    if not isinstance(request, JobRequest):
        raise wrong(request, "request", "a JobRequest or an EstimatorRequest")
    options = sampler_options(request.options, tag=tag, max_seconds=max_seconds)
    pubs = [(c, values) if c.num_parameters else (c,) for c, values in joint_pubs(request)]
    return Sampler(mode=target, options=options).run(pubs, shots=request.shots)


def _send_estimator(
    request: EstimatorRequest,
    target: BackendV2 | Session | None,
    *,
    tag: str,
    max_seconds: int | None,
) -> RuntimeJobV2:
    """Send the work of a job of IBM's Estimator, once."""
    from qiskit_ibm_runtime.executor_estimator import Estimator

    options = ibm_options(json.loads(request.estimator_options))
    given = request.options
    if given.rep_delay_seconds is not None:
        options.execution.rep_delay = given.rep_delay_seconds
    limit = _time_limit(given, max_seconds, options.max_execution_time)
    if limit is not None:
        options.max_execution_time = limit
    options.environment.job_tags = [*(options.environment.job_tags or []), tag]
    # Observables along the last axis, rows along the first: both are broadcast.
    pubs = [
        (circuit, [list(observables)], values[:, None, :])
        if circuit.num_parameters
        else (circuit, [list(observables)])
        for circuit, observables, values in request.pubs
    ]
    return Estimator(mode=target, options=options).run(pubs, precision=1 / math.sqrt(request.shots))


def _time_limit(
    options: ExecutionOptions, max_seconds: int | None, other: int | None = None
) -> int | None:
    """Return the lowest of the limits of a job's QPU seconds; None without one."""
    given = (options.max_execution_seconds, max_seconds, other)
    limits = [each for each in given if each is not None]
    return max(1, min(*limits, MAX_EXECUTION_SECONDS)) if limits else None


def sampler_options(
    options: ExecutionOptions, *, tag: str | None = None, max_seconds: int | None = None
) -> SamplerOptions:
    """Return IBM's options for a job.

    Args:
        options: Options of the plan.
        tag: The job's tag.
        max_seconds: IBM cancels the job after this much QPU time; the plan's own limit if lower.

    Returns:
        Options of the executor-based Sampler.
    """
    from qiskit_ibm_runtime.options_models.sampler import SamplerOptions

    found = SamplerOptions()
    if options.dynamical_decoupling != "off":
        found.dynamical_decoupling.enable = True
        found.dynamical_decoupling.sequence_type = options.dynamical_decoupling
    found.twirling.enable_gates = options.twirl_gates
    found.twirling.enable_measure = options.twirl_measure
    if options.rep_delay_seconds is not None:
        found.execution.rep_delay = options.rep_delay_seconds
    limit = _time_limit(options, max_seconds)
    if limit is not None:
        found.max_execution_time = limit
    if tag is not None:
        found.environment.job_tags = [tag]
    return found


def resolved_options(options: ExecutionOptions) -> dict[str, Any]:
    """Return IBM's options, all of them resolved, ready for JSON."""
    from qiskit_ibm_runtime.executor_sampler.finalize_options import finalize_sampler_options

    found = finalize_sampler_options(sampler_options(options)).model_dump(mode="json")
    keys = ("dynamical_decoupling", "execution", "twirling", "max_execution_time")
    return {key: found[key] for key in keys}
