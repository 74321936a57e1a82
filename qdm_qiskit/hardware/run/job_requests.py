"""Parts of a run, its steps and calibrations: the requests and the counts of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import final

import numpy as np
from qiskit import QuantumCircuit

from ...errors import InvalidData
from ...execution.counts import Pub
from ...mitigation.readout import prepared_bits
from ..ledger.run_files import StoredCounts, counts_path, read_counts
from ..ledger.stored_files import file_sha256, kept_nonce
from ..plan.calls import JobPlan
from ..plan.planned_files import check_files, read_all_circuits
from ..plan.run_plan import CalibrationPlan, StepPlan
from ..plan.tiles import side_by_side
from ..providers.context import RunContext
from ..providers.requests import EstimatorPub, EstimatorRequest, JobRequest

__all__ = [
    "RunParts",
    "check_shapes",
]


@final
class RunParts:
    """Requests and counts of one run.

    Args:
        run: The run; its files are checked.

    Raises:
        InvalidPlan: If a file of the plan is missing or was changed.
    """

    def __init__(self, run: RunContext) -> None:
        self._run = run
        self._nonce = kept_nonce(run.plan.folder, run.ledger, run.run_id, run.tell)
        check_files(run.plan)
        self._circuits, self._calibration_circuits = read_all_circuits(run.plan)

    def circuit(self, number: int) -> QuantumCircuit:
        """Return an entry of ``circuits.qpy``."""
        return self._circuits[number]

    def step(
        self, step: StepPlan, values: np.ndarray, probabilities: np.ndarray | None = None
    ) -> JobRequest:
        """Return the job of a step.

        Args:
            step: The step.
            values: Of the circuit's parameters, ``(images, parameters)`` in radians.
            probabilities: The exact distribution, for the engine.
        """
        return self.request(step.name, [(self._circuits[0], values)], step.shots, probabilities)

    def calibration(self, part: str, wanted: CalibrationPlan) -> JobRequest:
        """Return the job of a readout calibration."""
        nothing = np.zeros((1, 0))
        pubs: list[Pub] = [(circuit, nothing) for circuit in self._calibration_circuits]
        return self.request(part, pubs, wanted.shots, together=self._calibrated_together())

    def _calibrated_together(self) -> tuple[tuple[int, ...], ...]:
        """Return which calibration circuits run as one: those of tiles, side by side."""
        plan = self._run.plan
        if plan.calls is None or plan.calls.tiles is None or plan.calibration is None:
            return ()
        found: tuple[tuple[int, ...], ...] = ()
        first = 0
        for groups in plan.calibrated:
            numbers = []
            for group in groups:
                count = len(prepared_bits(len(group), plan.calibration.method))
                numbers.append(range(first, first + count))
                first += count
            found += side_by_side(numbers)
        return found

    def stored(
        self, part: str, shapes: Sequence[tuple[int, int]] | None, settle: Callable[[], None]
    ) -> StoredCounts | None:
        """Return the counts of an earlier process; tell the ledger of them if it died before that.

        Args:
            part: The part.
            shapes: Rows and outcomes of the counts of each of its circuits; None where another
                check follows.
            settle: Asks what the job cost that the ledger is told of.

        Raises:
            InvalidData: If the counts are not those of this run.
        """
        plan, ledger = self._run.plan, self._run.ledger
        stored = read_counts(counts_path(plan.folder, part), shapes)
        if stored is None:
            return None
        if shapes is not None:
            check_shapes(plan.run_id, part, stored, shapes)
        known = {each.tag: each for each in ledger.intentions(plan.run_id)}
        intention = known.get(stored.info.tag)
        if intention is not None and intention.state == "submitted":
            path = counts_path(plan.folder, part)
            name = str(path.relative_to(plan.folder))
            ledger.collected(intention.tag, name, file_sha256(path))
            settle()
        return stored

    def request(
        self,
        part: str,
        pubs: list[Pub],
        shots: int,
        probabilities: np.ndarray | Sequence[np.ndarray] | None = None,
        together: tuple[tuple[int, ...], ...] = (),
    ) -> JobRequest:
        """Return a job.

        Args:
            part: The part.
            pubs: Circuits and their values.
            shots: Of each row.
            probabilities: Exact distributions, for the engine.
            together: Circuits that run as one.
        """
        plan = self._run.plan
        return JobRequest(
            run_id=plan.run_id,
            part=part,
            pubs=pubs,
            shots=shots,
            options=plan.options,
            backend=plan.backend,
            nonce=self._nonce,
            probabilities=probabilities,
            together=together,
        )

    def estimate(self, job: JobPlan, pubs: Sequence[EstimatorPub]) -> EstimatorRequest:
        """Return a job of an Estimator.

        Args:
            job: The job.
            pubs: Circuits, observables and values.
        """
        plan = self._run.plan
        assert plan.estimator is not None
        return EstimatorRequest(
            run_id=plan.run_id,
            part=job.name,
            pubs=tuple(pubs),
            shots=job.shots,
            options=plan.options,
            backend=plan.backend,
            nonce=self._nonce,
            estimator_options=plan.estimator.options,
            executions=plan.executions(job),
        )


def check_shapes(
    run_id: str, part: str, stored: StoredCounts, shapes: Sequence[tuple[int, int]]
) -> None:
    """Refuse counts that are not those of a part.

    Raises:
        InvalidData: With both shapes.
    """
    found = [each.shape for each in stored.counts] or [each.shape[1:] for each in stored.estimates]
    if found == list(shapes):
        return
    pairs = [(a, b) for a, b in zip(found, shapes, strict=False) if a != b]
    got, wanted = pairs[0] if pairs else (f"{len(found)} circuits", len(shapes))
    raise InvalidData(
        f"The counts of {part} of run {run_id} have the shape {got}, not {wanted}; move the file "
        "away and resume."
    )
