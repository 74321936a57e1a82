"""Repeated post-processing, offline, from a run's folder alone: from counts to images or outputs.

Nothing is asked of any service or ledger. The same counts give the same images to the bit on the same
versions of the libraries; a replay says whether they are the stored ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...arguments import checked_path
from ...errors import CalibrationMismatch, MissingData
from ...mitigation.readout import ReadoutCalibration
from ...notebook import card, folded, note, one_line, table
from ..ledger.output_files import StoredOutputs, read_outputs
from ..ledger.run_files import (
    counts_path,
    read_calibrations,
    read_counts,
    read_refits,
)
from ..ledger.trained_files import TRAINED, StoredTraining, read_training
from ..plan.calibration_reuse import calibration_of
from ..plan.plan_file import read_plan
from ..plan.planned_files import check_files
from ..plan.run_plan import RunPlan
from .parts import Unanswered
from .recorded_step import (
    RecordedStep,
    StepReplay,
    calibration_name,
    compared,
    kept_here,
    recorded_routes,
    step_counts,
)
from .reverse_chain import PlannedChain, probabilities_of
from .stored_images import stored_trajectory

if TYPE_CHECKING:
    from ...sampling import Sampler
    from ...sampling.coherent import ChainResult
    from .call_chain import CallChain, PlannedTarget

__all__ = ["ROUNDING", "RecordedState", "Replay", "recorded_state", "replay"]

ROUNDING = 1e-6
"""Largest difference of images in [0, 1] from stored ones that another processor may make; counts are
compared by their hashes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Replay:
    """Images, or outputs of a QNN, and steps that a run's record gives."""

    plan: RunPlan
    steps: tuple[StepReplay, ...]
    """The steps that are recorded, t = T first."""
    trajectory: np.ndarray
    """``(steps + 1, images, channels, height, width)``: x_T .. x_t as images; empty of a QNN."""
    stored: bool
    """True if the record holds images, or outputs, to compare with."""
    difference: float | None
    """Largest difference of a pixel of any step, or of an output or its error, from the stored one;
    None without stored ones."""
    kept: np.ndarray | None = None
    """``(images,)`` share of each image's shots that passed the projections of a chain in one circuit,
    or that have its history, mitigated where the readout is; None of other chains, and before."""
    histories: np.ndarray | None = None
    """``(images,)`` int: outcomes of recorded ancillas; None of other chains."""
    answer: StoredOutputs | None = None
    """Outputs of a QNN; None of a model's run, and before they are recorded."""
    training: StoredTraining | None = None
    """Losses of a training run so far; None of others, and before a step is recorded."""

    @property
    def done(self) -> bool:
        """True if all steps are recorded."""
        return len(self.steps) == len(self.plan.steps)

    @property
    def equal(self) -> bool:
        """True if the images are the stored ones to the bit, or none are stored yet."""
        return self.difference in (None, 0.0) and self.stored == self.done

    @property
    def images(self) -> np.ndarray:
        """The last of the trajectory, ``(images, channels, height, width)``.

        Raises:
            MissingData: If it is the run of a QNN.
        """
        if self.plan.qnn is not None:
            raise MissingData(
                f"Run {self.plan.run_id} is a QNN's: it has outputs (.outputs), and no images."
            )
        if self.plan.training is not None:
            raise MissingData(
                f"Run {self.plan.run_id} trained a model: it has weights, and no images; sample its "
                f"folder '{TRAINED}'."
            )
        return np.asarray(self.trajectory[-1])

    def __repr__(self) -> str:
        return one_line("Replay", self.plan.run_id, self.sentence().rstrip("."))

    def _repr_html_(self) -> str:
        rows = [(each.step, each.shots, each.job_id) for each in self.steps]
        steps = folded(f"{len(rows)} steps", table(("t", "shots", "job"), rows))
        return card("Replay", note(self.sentence()), steps, about=self.plan.run_id)

    @property
    def outputs(self) -> np.ndarray | None:
        """Outputs of a QNN, ``(..., *output_shape)``; None before they are recorded."""
        return None if self.answer is None else self.answer.outputs

    @property
    def standard_errors(self) -> np.ndarray | None:
        """Standard errors of the outputs, of their shape; None where they are not known."""
        return None if self.answer is None else self.answer.standard_errors

    @property
    def rounded(self) -> bool:
        """True if the images are the stored ones but for the last digits, as another processor has."""
        return self.done and self.stored and 0 < (self.difference or 0) <= ROUNDING

    def sentence(self) -> str:
        """Return the verdict in words."""
        what = "images" if self.plan.qnn is None else "outputs"
        what = what if self.plan.training is None else "weights"
        recorded = f"{len(self.steps)} of {len(self.plan.steps)} steps are recorded"
        if not self.done:
            return f"{recorded}; go on with `qdm run resume {self.plan.run_id}`."
        if not self.stored:
            return f"{recorded}, but no {what} are stored; `qdm run resume` writes them."
        if self.equal:
            return f"{recorded}; the {what} are the stored ones to the bit."
        if self.rounded:
            return (
                f"{recorded}; the {what} are the stored ones up to rounding ({self.difference:.3g}): "
                "another processor, or other versions of the libraries, add in another order."
            )
        return (
            f"{recorded}; the {what} DIFFER from the stored ones by up to {self.difference:.3g}: the "
            "record was changed, or other versions of the libraries compute otherwise."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict and the steps, ready for JSON."""
        return {
            "run": self.plan.run_id,
            "done": self.done,
            "equal": self.equal,
            "rounded": self.rounded,
            "difference": self.difference,
            **({} if self.kept is None else {"kept": self.kept.tolist()}),
            "note": self.plan.note,
            "steps": [each.to_dict() for each in self.steps],
        }


def replay(folder: str | Path, *, sampler: Sampler | None = None) -> Replay:
    """Compute a run's images again from its folder.

    Args:
        folder: The run's folder.
        sampler: The sampler object, for a plan that was made with one.

    Returns:
        The images of all steps that are recorded, and whether they are the stored ones.

    Raises:
        InvalidPlan: If the plan or a file of it was changed.
        InvalidData: If counts or images cannot be used, or do not fit the plan.
        CalibrationMismatch: If counts that were to be mitigated have no fitting calibration, or one
            that its own counts do not give.
    """
    folder = checked_path(folder, "folder")
    plan = read_plan(folder)
    check_files(plan)
    calibrations = read_calibrations(folder, plan.correction)
    for name, calibration in calibrations.items():
        _check_calibration(plan, folder, name, calibration)
    if plan.refit is not None:
        _check_refits(plan, calibrations)
    if plan.qnn is not None:
        return _qnn(plan, calibrations)
    if plan.training is not None:
        return _training(plan, calibrations)
    walk = _one_circuit if plan.calls is None else partial(_calls, sampler=sampler)
    path, steps, whole = walk(plan, calibrations)
    trajectory = np.stack(path)
    kept = stored_trajectory(folder, plan)
    difference = None
    if kept is not None:
        same = kept.shape == trajectory.shape
        difference = float(np.abs(kept - trajectory).max()) if same else float("inf")
    return Replay(
        plan=plan,
        steps=tuple(steps),
        trajectory=trajectory,
        stored=kept is not None,
        difference=difference,
        kept=None if whole is None else whole.kept,
        histories=None if whole is None else whole.histories,
    )


@dataclass(frozen=True, eq=False)
class RecordedState:
    """State of a run's images, from which another run can go on."""

    steps: int
    """Steps that are recorded. One whose counts have no calibration or refit near enough is not."""
    state: np.ndarray | None
    """``(images, ...)`` after them; None at x_T."""
    again: int = 0
    """Recorded steps that have to be answered again, since the sampler looks back on them."""


def recorded_state(plan: RunPlan) -> RecordedState:
    """Return how far a run's images came, by its folder alone.

    Args:
        plan: The plan, in its folder.

    Raises:
        InvalidPlan, InvalidData: As :func:`replay`.
    """
    check_files(plan)
    calibrations = read_calibrations(plan.folder, plan.correction)
    if plan.is_coherent:  # its one step is all, or nothing
        return RecordedState(0, None)
    memory = 0
    chain: PlannedChain | CallChain
    if plan.calls is None:
        chain = PlannedChain(plan)
        walked = _walked_circuit(plan, chain, calibrations)
    else:
        from .call_chain import CallChain, PlannedTarget

        chain = CallChain(plan)
        memory = chain.memory
        record = RecordedStep(plan, calibrations, exact=False)
        target = PlannedTarget(plan, record.answer)
        walked = _walked_calls(plan, chain, target)
    steps, state = 0, None
    with suppress(Unanswered, CalibrationMismatch):
        for _ in walked:
            steps, state = steps + 1, chain.state()
    return RecordedState(0, None, steps) if memory else RecordedState(steps, state)


def _walked_circuit(
    plan: RunPlan, chain: PlannedChain, calibrations: dict[str, ReadoutCalibration]
) -> Iterator[None]:
    """Walk a chain of one circuit as far as it is recorded."""
    shape, routes = (plan.num_images, 1 << plan.circuit.qubits), recorded_routes(plan)
    for planned in plan.steps:
        route = routes(planned.step)
        if route != "device":
            chain.keep(route)
            yield
            continue
        stored = read_counts(counts_path(plan.folder, planned.name), [shape])
        if stored is None:
            return
        counts = step_counts(plan, stored, planned.name)
        used = calibration_name(plan, calibrations, stored.info.ran_at)
        chain.advance(probabilities_of(plan, counts, calibrations[used] if used else None))
        yield


def _walked_calls(plan: RunPlan, chain: CallChain, target: PlannedTarget) -> Iterator[None]:
    """Walk a chain of calls until one has no counts."""
    routes = recorded_routes(plan)
    for planned in plan.steps:
        route = routes(planned.step)
        if route == "device":
            chain.walk(target)
        else:
            chain.keep(route)
        yield


def _one_circuit(
    plan: RunPlan, calibrations: dict[str, ReadoutCalibration]
) -> tuple[list[np.ndarray], list[StepReplay], None]:
    """Return the images of x_T and after each recorded step, and the steps, of one circuit."""
    chain, routes = PlannedChain(plan), recorded_routes(plan)
    path, steps = [chain.images()], []
    for planned in plan.steps:
        try:
            route = routes(planned.step)
        except Unanswered:
            break
        if route != "device":
            chain.keep(route)
            steps.append(kept_here(planned.step, route))
            path.append(chain.images())
            continue
        shape = (plan.num_images, 1 << plan.circuit.qubits)
        stored = read_counts(counts_path(plan.folder, planned.name), [shape])
        if stored is None:
            break
        counts = step_counts(plan, stored, planned.name)
        used = calibration_name(plan, calibrations, stored.info.ran_at)
        exact = chain.exact_probabilities()
        probabilities = probabilities_of(plan, counts, calibrations[used] if used else None)
        steps.append(compared(planned.step, stored, counts, probabilities, exact, used))
        chain.advance(probabilities)
        path.append(chain.images())
    return path, steps, None


def _calls(
    plan: RunPlan, calibrations: dict[str, ReadoutCalibration], *, sampler: Sampler | None
) -> tuple[list[np.ndarray], list[StepReplay], ChainResult | None]:
    """Return the same of calls, and the outcome of a chain in one circuit."""
    from .call_chain import CallChain, PlannedTarget
    from .whole_chain import chain_of_calls

    record = RecordedStep(plan, calibrations)
    chain = chain_of_calls(plan, sampler)
    target = PlannedTarget(plan, record.answer, record.see, record.note)
    routes = recorded_routes(plan)
    path, steps = [chain.images()], []
    for planned in plan.steps:
        record.clear()
        try:
            route = routes(planned.step)
            if route == "device":
                chain.walk(target)
            else:
                assert isinstance(chain, CallChain)  # a chain in one circuit is not routed
                chain.keep(route)
        except Unanswered:
            break
        steps.append(
            record.summary(planned.step) if route == "device" else kept_here(planned.step, route)
        )
        path.append(chain.images())
    return path, steps, None if isinstance(chain, CallChain) else chain.result


def _qnn(plan: RunPlan, calibrations: dict[str, ReadoutCalibration]) -> Replay:
    """Return the outputs of a QNN, as far as they are recorded."""
    from .qnn_chain import MOST_EXACT_QUBITS, QnnChain

    assert plan.qnn is not None
    record = RecordedStep(plan, calibrations, exact=plan.qnn.qubits <= MOST_EXACT_QUBITS)
    stored = read_outputs(plan.folder, plan.qnn.count)
    answer = None
    with suppress(Unanswered):
        answer = QnnChain(plan).ask(record.answer, record.see)
    difference = None
    if stored is not None:
        difference = float("inf") if answer is None else answer.difference(stored)
    return Replay(
        plan=plan,
        steps=() if answer is None else (record.summary(plan.steps[0].step),),
        trajectory=np.zeros((0, 0, 1, 1, 1)),
        stored=stored is not None,
        difference=difference,
        answer=answer,
    )


def _training(plan: RunPlan, calibrations: dict[str, ReadoutCalibration]) -> Replay:
    """Return the losses of a training run, and whether its weights are the stored ones."""
    from .call_chain import PlannedTarget
    from .training_chain import MOST_EXACT_QUBITS, TrainingChain

    assert plan.calls is not None
    wide = max(each.plan.qubits for each in plan.calls.circuits)
    record = RecordedStep(plan, calibrations, exact=wide <= MOST_EXACT_QUBITS)
    chain, steps = TrainingChain(plan), list[StepReplay]()
    target = PlannedTarget(plan, record.answer, record.see)
    for planned in plan.steps:
        record.clear()
        try:
            chain.walk(target)
        except Unanswered:
            break
        steps.append(record.summary(planned.step))
    stored, told, difference = read_training(plan.folder), None, None
    if steps:
        files = chain.files()
        told = chain.record(next(c for p, c in files.items() if p.endswith(".safetensors")))
        if stored is not None:
            difference = float("inf")
            if not chain.left:
                difference = _weights_apart(plan.folder, files, stored, told)
    return Replay(
        plan=plan,
        steps=tuple(steps),
        trajectory=np.zeros((0, 0, 1, 1, 1)),
        stored=stored is not None,
        difference=difference,
        training=told,
    )


def _weights_apart(
    folder: Path, files: dict[str, bytes], stored: StoredTraining, told: StoredTraining
) -> float:
    """Return the largest difference of a weight or a loss from the stored ones."""
    from safetensors.numpy import load

    [name] = [each for each in files if each.endswith(".safetensors")]
    try:
        content = (folder / name).read_bytes()
    except OSError:
        return float("inf")
    if content == files[name] and stored == told:
        return 0.0
    try:
        theirs, ours = load(content), load(files[name])
    except Exception:  # safetensors has an error of its own for each damage
        return float("inf")
    if theirs.keys() != ours.keys() or len(stored.losses) != len(told.losses):
        return float("inf")
    apart = [float(np.abs(theirs[key] - ours[key]).max(initial=0.0)) for key in ours]
    apart += [abs(a - b) for a, b in zip(stored.losses, told.losses, strict=True)]
    return max(apart) or float("inf")  # what differs is neither a weight nor a loss


def _check_calibration(
    plan: RunPlan, folder: Path, name: str, calibration: ReadoutCalibration
) -> None:
    """Refuse a calibration that its own counts do not give; one taken over has no counts here."""
    stored = read_counts(counts_path(folder, name))
    if stored is None or plan.calibration is None:
        return
    again = calibration_of(plan, plan.calibration, stored.counts, stored.info.ran_at)
    wanted, found = again.to_dict(), calibration.to_dict()
    if "qubit_shots" not in found:  # before 0.2 a calibration of tiles said all shots alone
        wanted.pop("qubit_shots", None)
    if wanted != found:
        raise CalibrationMismatch(
            f"{folder / name}.json is not what the counts of {name} give; it was changed."
        )


def _check_refits(plan: RunPlan, calibrations: dict[str, ReadoutCalibration]) -> None:
    """Refuse a refit that its own counts do not give; one taken over has no counts here.

    Raises:
        CalibrationMismatch: With its name.
    """
    from .call_chain import refit_job
    from .refits import fit_of

    for name, fit in read_refits(plan.folder).items():
        job = refit_job(plan)
        stored = read_counts(counts_path(plan.folder, name), job.shapes)
        if stored is None:
            continue
        used = calibration_name(plan, calibrations, stored.info.ran_at)
        again = fit_of(plan, job, stored, calibrations[used] if used else None)
        if not fit.agrees(again):
            raise CalibrationMismatch(
                f"{plan.folder / name}.json is not what the counts of {name} give; it was changed."
            )
