"""Plan of a hardware run: everything that decides it, written once, bound by one hash.

A run is a folder ``<root>/<run id>/``. Planning writes into it

===================  ==============================================================
``plan.json``        the plan, and ``content_sha256`` over its canonical JSON
``circuits.qpy``     the step's transpiled circuit, or those of its calls; then the calibration circuits
``inputs.npz``       ``x``: x_T, and ``labels`` of a guided model
``model/``           the model as it was: a run folder with one checkpoint
``refit.npz``        where it is refitted: training images with noise, their times and labels
``inputs.npz``       of training: ``x``, ``step``, ``target`` (and ``labels``) of the batch of each step
``qnn.json``         in place of a model, a QNN's circuit and readout; ``inputs.npz`` has its values
===================  ==============================================================

The plan holds the SHA-256 of each of the other files; none is read before its hash fits. So a
changed plan, circuit or weight is refused, and the run goes on even if the model's own folder was
trained further or deleted. The run's id ends in the first eight digits of the plan's hash: the same
plan on the same day is the same run.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

from ...canonical_json import content_sha256
from ...errors import InvalidOption
from ...execution.targets import parse_target
from ...notebook import card, facts, note, one_line, table
from ...rng import derived_seed
from .calls import CallsPlan, JobPlan, calibration_groups
from .chains import ChainPlan
from .estimator_plan import EstimatorPlan
from .qnn_plan import QnnPlan
from .qpu_seconds import Timing
from .refit_plan import REFIT, RefitPlan
from .routing import PolicyRecord
from .share import SharePlan
from .training_plan import TrainingPlan
from .types import (
    MAX_IMAGES,
    MAX_STEPS,
    CalibrationMethod,
    CalibrationPlan,
    CircuitPlan,
    Correction,
    Decision,
    Decoupling,
    ExecutionOptions,
    FoundCalibration,
    Mitigation,
    Mode,
    PlannedFile,
    ProviderRecord,
    Schedule,
    ShotChoice,
    StepPlan,
    check,
)

__all__ = [
    "CIRCUITS",
    "INPUTS",
    "MODEL",
    "PLAN",
    "QNN",
    "CalibrationMethod",
    "CalibrationPlan",
    "ChainPlan",
    "CircuitPlan",
    "Correction",
    "Decision",
    "Decoupling",
    "ExecutionOptions",
    "FoundCalibration",
    "Mitigation",
    "Mode",
    "PlannedFile",
    "RunPlan",
    "Schedule",
    "ShotChoice",
    "StepPlan",
    "files_of",
    "is_run_id",
    "own_seed",
]

SCHEMA = "qdm-run-plan/1"
"""Format of a run whose step is one circuit, from T down to 1."""
CALLS_SCHEMA = "qdm-run-plan/2"
"""Format with ``calls``: a step is several circuit calls, or a sampler walks the chain."""
QNN_SCHEMA = "qdm-run-plan/3"
"""Format with ``qnn``: one question, of a QNN, in place of a model's chain."""
TRAINING_SCHEMA = "qdm-run-plan/4"
"""Format with ``training``: steps of an optimizer, in place of a model's chain."""
PLAN, CIRCUITS, INPUTS, MODEL = "plan.json", "circuits.qpy", "inputs.npz", "model"
QNN = "qnn.json"

_OTHER_TARGET = re.compile(r"(?!(?:engine|aer|noisy|local|ibm):)[a-z][a-z0-9_-]*:[A-Za-z0-9_.-]+")
_RUN_ID = re.compile(r"\d{4}-\d{2}-\d{2}-[A-Za-z0-9_-]+-[0-9a-f]{8}")


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """Everything that decides a run; see the module for the files beside it."""

    date: str
    """The day of planning, ISO 8601; part of the run's id."""
    model: str
    """Name of the model in the catalogue; ``qnn`` of a QNN."""
    model_run: str
    """Name of the folder that the model was trained in; its copy is used."""
    num_steps: int
    """T; 1 of a QNN."""
    image_shape: tuple[int, int, int] | None
    """(channels, height, width); None of a QNN."""
    state_shape: tuple[int, ...] | None
    """Shape of one x_t; that of an image, unless the model diffuses latents; None of a QNN."""
    targets: tuple[str, ...]
    """Targets asked for, in the order of preference."""
    target: str
    """Target that was chosen; ``ibm:least_busy`` is replaced by the QPU's name."""
    backend: str
    """Name of the device or snapshot; ``engine`` and ``aer`` for those targets."""
    calibrated_at: str | None
    """Time of the device's calibration that chose the layout."""
    num_images: int
    """Images; of a QNN the rows of its inputs."""
    seed: int
    label: int | None
    steps: tuple[StepPlan, ...]
    """Steps t = T .. 1, or the times of the sampler."""
    schedule: Schedule
    shot_choice: ShotChoice | None
    """Grounds of the shot allocation; None of rule ``uniform``."""
    mitigation: Mitigation
    calibration: CalibrationPlan | None
    """Calibration of mitigation ``m3``."""
    mode: Mode
    options: ExecutionOptions
    budget: str | None
    """Name of the budget that pays."""
    circuit: CircuitPlan
    """Circuit of the step; of several the one that succeeds least."""
    timing: Timing
    decisions: tuple[Decision, ...]
    files: tuple[PlannedFile, ...]
    """All files beside the plan, in the order of their paths."""
    provider: ProviderRecord | None = None
    """The provider, if it is not this package's; a plan without one is written without the key."""
    calls: CallsPlan | None = None
    """The work of steps of several circuit calls; a plan without is written without the key."""
    chain: ChainPlan | None = None
    """The way of a model of states, where it was chosen; a plan without is written without the key."""
    qnn: QnnPlan | None = None
    """The QNN that is asked in place of a model; a plan without one is written without the key."""
    estimator: EstimatorPlan | None = None
    """Jobs of an Estimator in place of the Sampler's; a plan without is written without the key."""
    refit: RefitPlan | None = None
    """The refit of its model to the device; a plan without is written without the key."""
    training: TrainingPlan | None = None
    """Training of its model, whose steps are the optimizer's; a plan without is written without the
    key."""
    share: SharePlan | None = None
    """Images that it answers of a fleet's; a plan without is written without the key."""
    routing: PolicyRecord | None = None
    """Policy that is asked who answers each step; a plan without is written without the key."""
    folder: Path = field(default=Path(), compare=False)
    """Folder of the run; it decides nothing and is not in the hash."""
    before_found: bool = field(default=False, compare=False)
    """True if it was written when a calibration had no key ``found``: its hash is without it."""
    before_correction: bool = field(default=False, compare=False)
    """The same of the key ``correction``, which says what 0.1 did where it is left out."""

    def __post_init__(self) -> None:
        try:
            date.fromisoformat(self.date)
        except ValueError:
            raise InvalidOption(f"date is ISO 8601, got {self.date!r}.") from None
        check(len(self.date) == 10, "date is ISO 8601", self.date)
        named = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", self.model)
        check(named is not None, "model is a name", self.model)
        for name in ("model_run", "backend", "calibrated_at", "budget"):
            text = getattr(self, name)
            good = text is None or (text.isprintable() and len(text) <= 128)
            check(good, f"{name} is printable and has at most 128 characters", text)
        for each in (*self.targets, self.target):
            self._check_target(each)
        check(bool(self.targets), "targets is not empty", self.targets)
        check(1 <= self.num_images <= MAX_IMAGES, "num_images is 1 to 1e6", self.num_images)
        check(self.seed >= 0, "seed is >= 0", self.seed)
        check(1 <= self.num_steps <= MAX_STEPS, f"num_steps <= {MAX_STEPS}", self.num_steps)
        self._check_subject()
        if self.estimator is not None:
            weighted = self.calls is not None and len(self.calls.circuits) == len(
                self.estimator.weights
            )
            check(weighted, "an Estimator has a weight for each circuit of its calls", self.model)
            check(self.mitigation == "none", "an Estimator mitigates by itself", self.mitigation)
        steps = [each.step for each in self.steps]
        if self.calls is None:
            all_steps = list(range(self.num_steps, 0, -1))
            check(steps == all_steps, "steps go from T down to 1", steps[:3])
        else:
            self._check_calls(self.calls, steps)
        check(
            all(each.rows == self.num_images for each in self.steps),
            "each step has num_images rows",
            sorted({each.rows for each in self.steps})[:3],
        )
        choice = self.shot_choice
        check(
            (self.schedule == "uniform") == (choice is None)
            and (choice is None or len(choice.variances) == self._num_shared),
            "variances are one number for each step or call, and none of schedule 'uniform'",
            None if choice is None else choice.variances[:3],
        )
        check(
            (self.mitigation == "m3") == (self.calibration is not None),
            "a calibration belongs to mitigation 'm3' and to no other",
            self.mitigation,
        )
        self._check_chain(self.chain)
        self._check_refit(self.refit)
        self._check_training(self.training)
        self._check_share(self.share)
        chain = self.qnn is None and self.training is None and not self.is_coherent
        check(self.routing is None or chain, "routing is of a chain of steps", self.model)
        paths = [each.path for each in self.files]
        check(paths == sorted(set(paths)), "files are listed once, in order", paths)
        subject = f"{MODEL}/config.json" if self.qnn is None else QNN
        refit = () if self.refit is None else (REFIT,)
        for needed in (CIRCUITS, INPUTS, subject, *refit):
            check(needed in paths, f"files include {needed}", paths)

    def _check_refit(self, refit: RefitPlan | None) -> None:
        """Refuse a refit that is not of the model's calls, or leaves one of their places out."""
        if refit is None:
            return
        calls = self.calls
        good = calls is not None and self.qnn is None and self.estimator is None
        good = good and not self.is_coherent
        check(good, "a refit is of a model's calls, step by step", self.model)
        assert calls is not None
        check(
            len(refit.places) == len(calls.circuits),
            "a refit's places are those of the circuits",
            len(refit.places),
        )
        fitted = {refit.place(each) for each in refit.calls}
        used = {refit.place(call) for job in calls.jobs for call in job.calls}
        check(used <= fitted, "a refit covers all places of the calls", sorted(used - fitted)[:1])

    def _check_training(self, training: TrainingPlan | None) -> None:
        """Refuse training that is not what the jobs are for."""
        if training is None:
            return
        others = (self.qnn, self.estimator, self.chain, self.refit, self.label)
        good = self.calls is not None and self.calls.sampler is None
        good = good and all(each is None for each in others)
        check(good, "training is of a model's calls, without a sampler", self.model)
        same = self.num_steps == len(self.steps) == training.measured_steps
        check(same, "steps are those of the training", self.num_steps)

    def _check_share(self, share: SharePlan | None) -> None:
        """Refuse a share of other images than the plan's, or one of what has no images."""
        if share is None:
            return
        good = self.qnn is None and self.training is None
        check(good, "a share is of a model's images", self.model)
        number = len(share.images)
        check(number == self.num_images, "num_images are those of the share", self.num_images)
        late = self.calls is not None and not self.is_coherent
        check(late or share.begins_at == 0, "a chain begins late by calls", share.begins_at)
        early = share.begins_at + len(self.steps) <= self.num_steps
        check(early, "steps before and of the run are at most T", share.begins_at)

    def _check_subject(self) -> None:
        """Refuse shapes that are not those of a model's images, or of a QNN's one question."""
        if self.qnn is None:
            shapes = (*(self.image_shape or ()), *(self.state_shape or ()))
            given = bool(self.image_shape) and bool(self.state_shape)
            check(given and min(shapes) >= 1, "shapes are >= 1", shapes)
            asks = self.calls is None or self.calls.sampler is not None or bool(self.training)
            check(asks, "steps of several calls have a sampler", self.model)
            return
        none = self.image_shape is None and self.state_shape is None and self.label is None
        check(none, "a QNN has no images and no labels", self.image_shape)
        check(self.num_steps == 1, "a QNN is one step", self.num_steps)
        calls = self.calls
        one = calls is not None and calls.sampler is None and {e.number for e in calls.jobs} == {1}
        check(one, "a QNN is one question without a sampler", self.model)
        check(self.qnn.rows == self.num_images, "rows are those of the QNN", self.num_images)

    def _check_calls(self, calls: CallsPlan, steps: list[int]) -> None:
        """Refuse work that does not fit the steps, or says another circuit is the worst."""
        falling = bool(steps) and steps == sorted(set(steps), reverse=True)
        check(falling and steps[0] <= self.num_steps, "steps fall from at most T", steps[:3])
        asked = [step for step, _ in groupby(job.step for job in calls.jobs)]
        check(asked == steps, "jobs are those of the steps, in their order", asked[:3])
        known = any(self.circuit == each.plan for each in calls.circuits)
        check(known, "circuit is one of those of the calls", self.circuit.qubits)
        counts = {each.shots for each in calls.jobs}
        own = calls.sampler is not None and calls.tiles is None and self.estimator is None
        good = len(counts) == 1 if self.schedule == "uniform" else own
        check(good, "shots of several calls are uniform, or allocated to a chain's", self.schedule)
        for name, found in calls.shots_of_calls.items():
            check(len(found) == 1, "a call has one number of shots", name)

    @property
    def _num_shared(self) -> int:
        """Number of the steps, or calls of all steps, that shots were shared out to."""
        return self.num_steps if self.calls is None else len(self.calls.shots_of_calls)

    def _check_chain(self, chain: ChainPlan | None) -> None:
        """Refuse a chain that does not fit the work, and qubits that are measured twice without it."""
        circuits = [] if self.calls is None else [each.plan for each in self.calls.circuits]
        for each in (self.circuit, *circuits):
            measured = each.measured_qubits
            check(
                len(set(measured)) == len(measured) or (chain is not None and chain.reuse_qubits),
                "measured_qubits are different numbers, unless a chain uses qubits again",
                measured,
            )
        if chain is None:
            return
        check(self.calls is not None, "a chain's circuits are calls", chain.way)
        if chain.way == "coherent":
            steps = [each.step for each in self.steps]
            check(steps == [self.num_steps], "a coherent chain is one step, from T", steps[:3])
            check(self.schedule == "uniform", "a coherent chain has one call", self.schedule)
            good = len(chain.kept) == self.num_images
            check(good, "kept is a share of each image", len(chain.kept))

    def _check_target(self, text: str) -> None:
        """Refuse a text that is no target; a provider's package may be gone since planning."""
        if self.provider is None or not _OTHER_TARGET.fullmatch(text):
            parse_target(text, known=False)  # what was removed since can still be replayed
        elif text == self.target:
            name = text.partition(":")[0]
            check(name == self.provider.name, "target is of the plan's provider", text)

    def content(self) -> dict[str, Any]:
        """Everything but the folder, as JSON values, with the keys that it was written with."""
        found = dataclasses.asdict(dataclasses.replace(self, folder=Path()))
        del found["folder"], found["before_found"], found["before_correction"]
        if self.provider is None:
            del found["provider"]
        for name in ("calls", "chain", "qnn", "estimator", "refit", "training", "share", "routing"):
            if found[name] is None:
                del found[name]
        if self.calls is not None and self.calls.tiles is None:
            del found["calls"]["tiles"]
        if found["calibration"] is not None:
            if self.before_found:
                del found["calibration"]["found"]
            if self.before_correction:
                del found["calibration"]["correction"]
        return found

    @property
    def schema(self) -> str:
        """Name of the format that it is written in."""
        if self.qnn is not None:
            return QNN_SCHEMA
        if self.training is not None:
            return TRAINING_SCHEMA
        return SCHEMA if self.calls is None else CALLS_SCHEMA

    @property
    def measured_qubits(self) -> tuple[int, ...]:
        """Physical qubits whose readout is calibrated where it is mitigated."""
        return self.circuit.measured_qubits if self.calls is None else self.calls.measured_qubits

    @property
    def calibrated(self) -> list[list[tuple[int, ...]]]:
        """Those qubits in groups with circuits of their own; the groups of a round run at once."""
        if self.calls is not None:
            return self.calls.calibrated
        return [[each] for each in calibration_groups(self.measured_qubits)]

    def parts(self) -> list[tuple[str, float, int]]:
        """Return the name, QPU seconds and executions of each job of the steps, in their order."""
        if self.calls is not None:
            return [(e.name, e.seconds, self.executions(e)) for e in self.calls.jobs]
        return [(each.name, each.seconds, each.shots * each.rows) for each in self.steps]

    def parts_of(self, step: int) -> list[tuple[str, float, int]]:
        """Return the same of the jobs of step t alone."""
        jobs = self.steps if self.calls is None else self.calls.jobs
        names = {each.name for each in jobs if each.step == step}
        return [each for each in self.parts() if each[0] in names]

    def executions(self, job: JobPlan) -> int:
        """Return circuits times shots of a job of calls."""
        if self.estimator is None:
            return job.shots * job.circuits
        weights = self.estimator.weights
        rows = sum(e.rows * weights[number] for e in job.calls for number in e.circuits)
        return round(job.shots * rows) + self.estimator.extra

    @property
    def content_sha256(self) -> str:
        """SHA-256 of the canonical JSON of :meth:`content`."""
        return content_sha256(self.content())

    @property
    def run_id(self) -> str:
        """Id of the run: ``<date>-<model>-<first 8 digits of the hash>``."""
        return f"{self.date}-{self.model}-{self.content_sha256[:8]}"

    @property
    def is_qpu(self) -> bool:
        """True if running it spends QPU time."""
        return self.target.startswith("ibm:") or (
            self.provider is not None and self.provider.charges
        )

    @property
    def is_coherent(self) -> bool:
        """True if all steps are one circuit."""
        return self.chain is not None and self.chain.way == "coherent"

    @property
    def correction(self) -> Correction:
        """Correction of its readout, where there is one."""
        return "all" if self.calibration is None else self.calibration.correction

    @property
    def note(self) -> str | None:
        """Remark on a plan of an earlier version that differs from today's; else None."""
        return None if self.calibration is None else self.calibration.note()

    @property
    def new_calibration(self) -> CalibrationPlan | None:
        """The calibration, if the run is expected to take one; None if it needs or finds one."""
        wanted = self.calibration
        return None if wanted is None or wanted.found is not None else wanted

    @property
    def new_refit(self) -> RefitPlan | None:
        """The refit, if the run is expected to take one; None if it needs or finds one."""
        wanted = self.refit
        return None if wanted is None or wanted.found is not None else wanted

    @property
    def anew(self) -> str:
        """Reason in words for which the run may cost more: what it found has to be taken again."""
        refit = self.refit is not None and self.refit.found is not None
        if self.calibration is None or self.calibration.found is None:
            return "the refit has to be taken anew"
        readout = "the readout has to be calibrated anew"
        return "readout and refit have to be taken anew" if refit else readout

    @property
    def num_jobs(self) -> int:
        """Number of jobs: of the steps, and one each for a calibration and a refit to be taken."""
        taken = (self.new_calibration is not None) + (self.new_refit is not None)
        return len(self.parts()) + taken

    @property
    def total_shots(self) -> int:
        """Shots of all jobs that are expected, over all images and calibration circuits."""
        taken = sum(executions for _, _, executions in self.parts())
        if self.new_calibration is not None:
            taken += self.new_calibration.shots * self.new_calibration.circuits
        return taken + (0 if self.new_refit is None else self.new_refit.executions)

    @property
    def num_circuits(self) -> int:
        """Number of bound circuits of all jobs that are expected."""
        calibration = 0 if self.new_calibration is None else self.new_calibration.circuits
        steps = self.steps if self.calls is None else ()
        jobs = () if self.calls is None else self.calls.jobs
        refit = 0 if self.new_refit is None else self.new_refit.bound
        return sum(e.rows for e in steps) + sum(e.circuits for e in jobs) + calibration + refit

    @property
    def total_seconds(self) -> float:
        """Estimated QPU seconds of all jobs that are expected."""
        calibration = 0.0 if self.new_calibration is None else self.new_calibration.seconds
        refit = 0.0 if self.new_refit is None else self.new_refit.seconds
        return math.fsum((calibration, refit, *(each.seconds for each in self.steps)))

    @property
    def most_seconds(self) -> float:
        """Estimated QPU seconds if calibration and refit are taken in place of those found."""
        calibration = 0.0 if self.calibration is None else self.calibration.seconds
        refit = 0.0 if self.refit is None else self.refit.seconds
        return math.fsum((calibration, refit, *(each.seconds for each in self.steps)))

    def jobs(self) -> list[tuple[str, int, int, int, float]]:
        """Return the jobs to be sent: steps that follow each other with equal shots are one row.

        Returns:
            Name, jobs, circuits of each job, shots of each circuit, and QPU seconds of the row.
        """
        rows: list[tuple[str, int, int, int, float]] = []
        calibration = self.new_calibration
        if calibration is not None:
            numbers = (calibration.circuits, calibration.shots, calibration.seconds)
            rows.append(("calibration", 1, *numbers))
        if self.new_refit is not None:
            refit = self.new_refit
            rows.append(("refit", 1, refit.bound, refit.shots, refit.seconds))
        if self.calls is not None:
            return rows + self._call_table(self.calls)
        first = 0
        for last, step in enumerate(self.steps):
            after = self.steps[last + 1] if last + 1 < len(self.steps) else None
            if after is not None and after.shots == step.shots:
                continue
            one, number = self.steps[first], last - first + 1
            name = f"t = {one.step}" + ("" if number == 1 else f" .. {step.step}")
            rows.append((name, number, one.rows, one.shots, number * one.seconds))
            first = last + 1
        return rows

    def _call_table(self, calls: CallsPlan) -> list[tuple[str, int, int, int, float]]:
        if self.training is not None:
            return calls.table(training=True)
        if not self.is_coherent:
            return calls.table()
        name = "t = 1" if self.num_steps == 1 else f"t = {self.num_steps} .. 1"
        parts = [f"{name}, part {job.part}" if job.part else name for job in calls.jobs]
        return [
            (part, 1, job.circuits, job.shots, job.seconds)
            for part, job in zip(parts, calls.jobs, strict=True)
        ]

    def chain_lines(self) -> tuple[str, str]:
        """Return the chain in words and what it keeps; both empty where nothing was chosen."""
        if self.chain is None:
            return "", ""
        measured = self.circuit.measured_qubits
        return self.chain.lines(self.num_steps, self.steps[0].shots, measured)

    def __repr__(self) -> str:
        return one_line(
            "RunPlan",
            self.run_id,
            f"on {self.target}",
            f"{self.num_jobs} jobs",
            f"{self.total_shots} shots",
            f"about {self.total_seconds:.1f} QPU seconds",
        )

    def _repr_html_(self) -> str:
        paid = "QPU seconds" if self.is_qpu else "QPU seconds if the device itself ran it"
        most = self.most_seconds if self.most_seconds > self.total_seconds else None
        found = facts(
            [
                (
                    "target",
                    self.target if self.is_qpu else f"{self.target}, no QPU: nothing is paid",
                ),
                ("model", f"{self.model} ({self.model_run})" if self.qnn is None else None),
                ("QNN", None if self.qnn is None else self.qnn.kind),
                ("images" if self.qnn is None else "rows", self.num_images),
                ("training", None if self.training is None else self.training.sentence()),
                ("jobs", self.num_jobs),
                ("shots", f"{self.total_shots:,}"),
                (paid, f"about {self.total_seconds:.1f}"),
                (f"if {self.anew}", most),
                (
                    "circuit",
                    f"{self.circuit.num_qubits} qubits, depth {self.circuit.depth}, "
                    f"{self.circuit.two_qubit_gates} two-qubit gates",
                ),
                ("expected success", self.circuit.expected_success),
                ("chain", self.chain_lines()[0] or None),
                ("kept", self.chain_lines()[1] or None),
                ("mitigation", self.mitigation),
                ("primitive", None if self.estimator is None else "estimator"),
                ("budget", self.budget),
            ]
        )
        head = ("job", "jobs", "circuits", "shots each", "QPU s")
        rows = [(*row[:4], f"{row[4]:.2f}") for row in self.jobs()]
        said = [note(each) for each in self.timing.assumptions()]
        return card(self.run_id, found, table(head, rows), *said, about="plan of a hardware run")

    def step(self, step: int) -> StepPlan:
        """Return the plan of step t.

        Raises:
            InvalidOption: If there is no such step.
        """
        found = [each for each in self.steps if each.step == step]
        check(bool(found), f"step is 1 to {self.num_steps}, and one of the sampler's", step)
        return found[0]


def own_seed(plan: RunPlan) -> int:
    """Return the seed of what a run draws for itself, as the shots of a simulator.

    Runs of a fleet share the seed of what is drawn for an image; their shots differ.
    """
    share = plan.share
    if share is None:
        return plan.seed
    return derived_seed(plan.seed, "shots", 0, share.images[0], share.begins_at)


def is_run_id(text: str) -> bool:
    """Return True if a text has the form of a run's id, and so is no path."""
    return bool(_RUN_ID.fullmatch(text))


def files_of(hashes: Mapping[str, str]) -> tuple[PlannedFile, ...]:
    """Return the list of files of a plan from path and SHA-256."""
    return tuple(PlannedFile(path=path, sha256=hashes[path]) for path in sorted(hashes))
