"""Refits of one run: taken by a job of its own, or taken over from another run, like a calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

import numpy as np

from ...mitigation.device_fit import DeviceFit, fitted_corrections, fitted_heads
from ...mitigation.readout import ReadoutCalibration
from ..ledger.run_files import StoredCounts, iso, read_refits, write_refit
from ..plan.refit_plan import RefitPlan
from ..plan.refit_reuse import check_refit, method_of, places_of, readout_of, reusable_refit
from ..plan.run_plan import RunPlan
from ..providers.context import RunContext
from ..providers.requests import JobRequest
from .calibrations import PaidJobs, RunCalibrations, RunRecords
from .job_requests import RunParts, check_shapes

if TYPE_CHECKING:
    from .call_chain import CallJob

__all__ = ["RunRefits", "fit_of"]


@final
class RunRefits(RunRecords[DeviceFit]):
    """The refits of a run.

    Args:
        run: The run.
        wanted: Its refit: circuits, shots, places, time to live.
        parts: Requests and counts of the run.
        calibrations: Of its readout, which the counts of a refit are corrected by as all others are.
    """

    kind = "refit"
    words = "refit"

    def __init__(
        self,
        run: RunContext,
        wanted: RefitPlan,
        parts: RunParts,
        calibrations: RunCalibrations | None,
    ) -> None:
        super().__init__(run, parts)
        self._wanted, self._calibrations = wanted, calibrations
        self._asked: CallJob | None = None

    @property
    def _ttl_seconds(self) -> float:
        return self._wanted.ttl_seconds

    def _records(self) -> Mapping[str, DeviceFit]:
        return read_refits(self._run.plan.folder)

    def _check(self, record: DeviceFit, at: float) -> None:
        check_refit(record, self._run.plan, at)

    def _of_another_run(self) -> tuple[DeviceFit, str] | None:
        run = self._run
        return reusable_refit(run.ledger, run.plan, self._wanted, run.ledger.now())

    def _write(self, name: str, record: DeviceFit) -> None:
        write_refit(self._run.plan.folder, name, record)

    def _made(self, jobs: PaidJobs, name: str, stored: StoredCounts, *, send: bool) -> bool:
        plan = self._run.plan
        if not (plan.folder / f"{name}.json").exists():
            calibration = None
            if self._calibrations is not None:
                calibration = self._calibrations.obtain(jobs, stored.info.ran_at, send=send)
                if calibration is None:
                    return False
            write_refit(plan.folder, name, fit_of(plan, self._job_of_calls(), stored, calibration))
        self._run.ledger.add_calibration(
            target=plan.target,
            backend=plan.backend,
            qubits=plan.measured_qubits,
            method=method_of(self._wanted),
            shots=self._wanted.executions,
            taken_at=stored.info.ran_at,
            run_id=plan.run_id,
            job_id=stored.info.job_id,
            path=f"{plan.run_id}/{name}.json",
        )
        return True

    def _price(self) -> tuple[float, int]:
        return self._wanted.seconds, self._wanted.executions

    def _job(self, part: str) -> JobRequest:
        job = self._job_of_calls()
        return self._parts.request(
            part, job.pubs(self._parts.circuit), self._wanted.shots, together=self._wanted.together
        )

    def _claim(self) -> tuple[str, Sequence[str], int]:
        plan, wanted = self._run.plan, self._wanted
        what = f"{method_of(wanted)} {plan.target} {wanted.shots} shots {readout_of(plan)}"
        return what, sorted(places_of(plan)), wanted.circuits

    def _doing(self) -> str:
        return f"{self._wanted.circuits} circuits to refit the model to the device"

    def _job_of_calls(self) -> CallJob:
        if self._asked is None:
            from .call_chain import refit_job

            self._asked = refit_job(self._run.plan)
        return self._asked


def fit_of(
    plan: RunPlan,
    job: CallJob,
    stored: StoredCounts,
    calibration: ReadoutCalibration | None,
) -> DeviceFit:
    """Return the fit that counts of a refit give.

    Args:
        plan: The plan, whose copy of the model is read.
        job: From :func:`.call_chain.refit_job`.
        stored: The counts.
        calibration: Of their readout; None without mitigation.

    Raises:
        InvalidData: If the counts are not those of the refit.
    """
    from ...layers.arrays import to_array
    from ...layers.calling import ExactTarget
    from ..plan.planned_files import load_planned_run
    from ..plan.refits import read_pairs
    from .call_chain import place_results

    wanted = plan.refit
    assert wanted is not None
    check_shapes(plan.run_id, "refit", stored, job.shapes)
    measured: dict[str, dict[str, np.ndarray]] = {}
    goal: dict[str, dict[str, np.ndarray]] = {}
    head = None
    calls = {id(each): each for each in job.calls}
    if wanted.kind == "head":
        import torch

        trained, pairs = load_planned_run(plan), read_pairs(plan)
        with torch.no_grad():
            model: Any = trained.model  # a Denoiser has no head by its type
            states = pairs.x, pairs.t, pairs.labels
            every = to_array(model(*states) - model.without_circuit(*states)).astype(np.float64)
        head = model.head
        answers = dict.fromkeys(calls, every)
    else:
        exact = ExactTarget().answer(list(calls.values()))
        answers = {key: np.asarray(e.outputs) for key, e in zip(calls, exact, strict=True)}
    for each, call, result in place_results(plan, job, stored, calibration):
        place = wanted.place(each)
        outputs = np.asarray(result.outputs, dtype=np.float64)
        measured.setdefault(each.name, {})[place] = outputs
        rows = answers[id(call)][each.first : each.first + each.rows]
        goal.setdefault(each.name, {})[place] = rows
    fits = [
        fitted_corrections(places, goal[name])
        if head is None
        else fitted_heads(
            places,
            goal[name],
            to_array(head.weight).astype(np.float64),
            to_array(head.bias).astype(np.float64),
        )
        for name, places in measured.items()
    ]
    return DeviceFit(
        kind=wanted.kind,
        taken_at=iso(stored.info.ran_at),
        target=plan.target,
        backend=plan.backend,
        model_sha256=wanted.model_sha256,
        correction=readout_of(plan),
        circuits=wanted.circuits,
        shots=wanted.shots,
        error_before=float(np.mean([before for _, before, _ in fits])),
        error_after=float(np.mean([after for _, _, after in fits])),
        maps={place: found for maps, _, _ in fits for place, found in maps.items()},
    )
