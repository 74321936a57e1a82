"""The parts of a run, its steps and calibrations: what is sent for each, and what has come back."""

from __future__ import annotations

from typing import final

import numpy as np

from ...errors import InvalidData
from ...execution.counts import Pub
from ..ledger.ledger import Ledger
from ..ledger.run_files import StoredCounts, counts_path, nonce, read_counts
from ..plan.run_plan import CalibrationPlan, RunPlan, StepPlan, check_files, read_circuits
from ..providers.base import Place
from ..providers.requests import JobRequest


@final
class RunParts:
    """Requests and counts of one run.

    Args:
        plan: The run; its files are checked.
        ledger: Is told of counts that a process left behind which died over them.

    Raises:
        InvalidPlan: If a file of the plan is missing or was changed.
    """

    def __init__(self, plan: RunPlan, ledger: Ledger) -> None:
        self._plan = plan
        self._ledger = ledger
        self._nonce = nonce(plan.folder)
        check_files(plan)
        self._circuit, self._calibration_circuits = read_circuits(plan)

    def step(self, step: StepPlan, values: np.ndarray) -> JobRequest:
        """The job of a step.

        Args:
            step: The step.
            values: Of the circuit's parameters, ``(images, parameters)`` in radians.
        """
        return self._request(step.name, [(self._circuit, values)], step.shots)

    def calibration(self, part: str, wanted: CalibrationPlan) -> JobRequest:
        """The job of a readout calibration."""
        nothing = np.zeros((1, 0))
        pubs: list[Pub] = [(circuit, nothing) for circuit in self._calibration_circuits]
        return self._request(part, pubs, wanted.shots)

    def stored(self, part: str, rows: int, place: Place | None) -> StoredCounts | None:
        """Counts of an earlier process; the ledger is told if it died before that.

        Args:
            part: The part.
            rows: How many rows of counts a step has.
            place: Asks what the job cost that the ledger is told of.

        Raises:
            InvalidData: If the counts are not those of this run.
        """
        stored = read_counts(counts_path(self._plan.folder, part))
        if stored is None:
            return None
        width = 1 << self._plan.circuit.qubits
        if part.startswith("step-") and stored.counts[0].shape != (rows, width):
            raise InvalidData(
                f"The counts of {part} of run {self._plan.run_id} have the shape "
                f"{stored.counts[0].shape}, not {(rows, width)}; move the file away and resume."
            )
        known = {each.tag: each for each in self._ledger.intentions(self._plan.run_id)}
        intention = known.get(stored.info.tag)
        if intention is not None and intention.state == "submitted":
            path = counts_path(self._plan.folder, part).relative_to(self._plan.folder)
            self._ledger.collected(intention.tag, str(path))
            assert place is not None
            place.settle()
        return stored

    def _request(self, part: str, pubs: list[Pub], shots: int) -> JobRequest:
        plan = self._plan
        return JobRequest(
            run_id=plan.run_id,
            part=part,
            pubs=pubs,
            shots=shots,
            options=plan.options,
            backend=plan.backend,
            nonce=self._nonce,
        )
