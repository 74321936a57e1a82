"""QPU seconds of a job before it runs, from IBM's published formula; no network, no account.

``seconds = overhead + executions * (rep_delay + circuit length)``, where an execution is one shot of
one bound circuit. IBM gives an overhead of about 2 s for each sub-job, and 0.00035 s for each
execution as a rule of thumb where nothing else is known; here the second number comes from the
device's own repetition delay and the duration of the transpiled circuit.

Reference: IBM Quantum documentation, "Workload usage" (guides/estimate-job-run-time).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from qiskit import QuantumCircuit
from qiskit.providers import BackendV2

from ...errors import InvalidOption
from ...transpiling.cost import circuit_cost

__all__ = [
    "DEFAULT_REP_DELAY_SECONDS",
    "JOB_OVERHEAD_SECONDS",
    "MAX_EXECUTIONS",
    "Timing",
    "backend_configuration",
    "timing",
]

JOB_OVERHEAD_SECONDS = 2.0
"""Seconds that IBM's formula adds for each sub-job."""
DEFAULT_REP_DELAY_SECONDS = 250e-6
"""IBM's default repetition delay, where a backend does not name its own."""
MAX_EXECUTIONS = 5_000_000
"""IBM's limit on circuits times shots in one job."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Duration of one execution, and the numbers that it rests on."""

    overhead_seconds: float
    """Overhead of each job."""
    rep_delay_seconds: float
    """Delay between two shots."""
    circuit_seconds: float
    """Length of the step's circuit; 0 where the device gives no durations."""
    calibration_seconds: float
    """Length of a readout calibration circuit; 0 without calibration."""

    def __post_init__(self) -> None:
        values = vars(self).values()
        if not all(math.isfinite(value) and 0 <= value <= 1e6 for value in values):
            raise InvalidOption(f"Times are finite seconds >= 0, got {vars(self)}.")

    def job_seconds(self, executions: int, *, calibration: bool = False) -> float:
        """Return the QPU seconds of one job.

        Args:
            executions: Bound circuits times shots.
            calibration: True for the readout calibration.

        Returns:
            ``overhead + executions * (rep_delay + circuit length)``.
        """
        length = self.calibration_seconds if calibration else self.circuit_seconds
        return self.overhead_seconds + executions * (self.rep_delay_seconds + length)

    def assumptions(self) -> tuple[str, ...]:
        """Assumptions of the QPU seconds, in words."""
        circuit = (
            f"{self.circuit_seconds * 1e6:.2f} us circuit (as-soon-as-possible schedule)"
            if self.circuit_seconds
            else "0 us circuit (the device gives no durations)"
        )
        return (
            "seconds = overhead + executions x (repetition delay + circuit length); an execution is "
            "one shot of one bound circuit (IBM, Workload usage).",
            f"{self.overhead_seconds:g} s overhead a job, one sub-job each; IBM splits large jobs "
            "and charges the overhead again for each part.",
            f"{self.rep_delay_seconds * 1e6:g} us repetition delay + {circuit}.",
            "In session mode IBM charges wall-clock time instead, waits between jobs included.",
        )


def timing(
    backend: BackendV2,
    circuit: QuantumCircuit,
    calibration: Iterable[QuantumCircuit] = (),
    *,
    rep_delay_seconds: float | None = None,
) -> Timing:
    """Return the timing of a transpiled circuit on a device.

    Args:
        backend: A device or snapshot.
        circuit: The step's circuit, transpiled for it.
        calibration: The readout calibration's circuits.
        rep_delay_seconds: A repetition delay in place of the device's default.

    Returns:
        The timing.

    Raises:
        InvalidOption: If the repetition delay is outside the device's range.
    """
    lengths = [circuit_cost(each, backend.target).duration_seconds or 0.0 for each in calibration]
    return Timing(
        overhead_seconds=JOB_OVERHEAD_SECONDS,
        rep_delay_seconds=_rep_delay(backend, rep_delay_seconds),
        circuit_seconds=circuit_cost(circuit, backend.target).duration_seconds or 0.0,
        calibration_seconds=max(lengths, default=0.0),
    )


def backend_configuration(backend: BackendV2 | None) -> Any:
    """Return the limits and defaults that IBM's backends and snapshots have; else None."""
    read = getattr(backend, "configuration", None)
    return None if read is None else read()


def _rep_delay(backend: BackendV2, asked: float | None) -> float:
    configuration = backend_configuration(backend)
    if asked is None:
        default = getattr(configuration, "default_rep_delay", None)
        return DEFAULT_REP_DELAY_SECONDS if default is None else float(default)
    lowest, highest = getattr(configuration, "rep_delay_range", None) or (0.0, 5e-4)
    if not lowest <= asked <= highest:
        raise InvalidOption(
            f"A repetition delay on {backend.name} is {lowest:g} to {highest:g} seconds, "
            f"got {asked:g}."
        )
    return asked
