"""Make the plan of a QNN: one question in place of a model's chain; nothing is sent."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InvalidOption
from ...progress import Progress, silent
from . import files as plan_contents
from .call_jobs import AskedCall
from .circuits import find_device
from .config import JOB_LIMITS, PlanConfig
from .prepare import Draft, chosen_target, recorded_place, with_found_calibration
from .qnn_plan import QnnPlan
from .qnn_question import NAME, QnnQuestion
from .run_plan import CIRCUITS, RunPlan, files_of
from .shots import check_limits
from .types import MAX_IMAGES, Availability
from .work import Asked, Destination, recorded_work, work_of_calls

if TYPE_CHECKING:
    from qiskit.providers import BackendV2

__all__ = ["OPTIONS", "draft_qnn"]

OPTIONS = (
    "shots",
    "seconds",
    "mitigation",
    "calibration_shots",
    "calibration_method",
    "calibration_ttl_seconds",
    "mode",
    "budget",
    "seed",
    "layout_trials",
    "optimization_level",
    "primitive",
    "primitive_options",
    *JOB_LIMITS,
)
"""Fields of :class:`PlanConfig` that concern a QNN, beside its targets and options."""


def draft_qnn(
    question: QnnQuestion,
    config: PlanConfig,
    *,
    target: str | None = None,
    root: Path | None = None,
    backend: BackendV2 | None = None,
    availability: Availability | None = None,
    today: date | None = None,
    progress: Progress = silent,
) -> Draft:
    """Plan a QNN's run; nothing is written.

    Args:
        question: Of the QNN.
        config: Options of the run; those of images, steps and samplers play no part.
        target, root, backend, availability, today, progress: As for :func:`.prepare.draft_plan`.

    Returns:
        The draft.

    Raises:
        TargetUnavailable: If there is nothing to measure, or more than counts are kept of.
        UnsupportedCircuit: If the circuit has more qubits than the device.
        InvalidOption: If an option does not fit, a row outgrows a job, or there are too many rows.
    """
    chosen = chosen_target(config, target)
    config.options.check_target(str(chosen), is_qpu=chosen.kind == "ibm")
    if question.rows > MAX_IMAGES:
        raise InvalidOption(f"A run has at most {MAX_IMAGES} rows, got {question.rows}.")
    _check_measured(question)
    contents = question.files()
    # Planned is what the files say, so that whoever reads them runs the same.
    kept = QnnQuestion.from_files(contents)
    destination = Destination(chosen, find_device(chosen, backend, config.seed), availability)
    call = kept.call(config.shots)
    asked = [[[AskedCall(NAME, call.content, call.num_rows)]]]
    questions = Asked([1], asked, [call], None, kept.rows)
    work = work_of_calls(questions, config, config.shots, destination, progress)
    limit = config.options.max_execution_seconds
    check_limits((), work.calibration, destination.device, limit, availability)
    contents[CIRCUITS] = plan_contents.qpy_bytes(work.circuits)
    plan = RunPlan(
        date=(today or date.today()).isoformat(),
        model=NAME,
        model_run="",
        num_steps=1,
        image_shape=None,
        state_shape=None,
        targets=config.targets,
        **recorded_place(destination),
        **recorded_work(config, work),
        num_images=kept.rows,
        label=None,
        shot_choice=work.choice,
        estimator=work.estimator,
        qnn=QnnPlan(
            kind=kept.kind,
            question_sha256=kept.sha256,
            qubits=kept.spec.num_qubits,
            num_inputs=len(kept.spec.inputs),
            num_weights=len(kept.spec.weights),
            rows_shape=kept.rows_shape,
            output_shape=kept.output_shape,
        ),
        decisions=(),
        files=files_of({path: hashlib.sha256(c).hexdigest() for path, c in contents.items()}),
    )
    return Draft(plan if root is None else with_found_calibration(plan, root), contents)


def _check_measured(question: QnnQuestion) -> None:
    """Refuse what needs no shots."""
    from .call_circuits import reading_of

    if not reading_of(question.spec).num_circuits:
        raise InvalidOption(
            "All observables of the QNN are multiples of the identity, so there is nothing to measure; "
            "run it on target 'engine'."
        )
