"""Make the plan of a training run: batches, questions of each step, whole price; nothing is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from datetime import date
from typing import TYPE_CHECKING, Any, final

from ...errors import BudgetExceeded, InvalidOption, QdmError
from ...execution.calls import CallResult, CircuitCall
from ...progress import Message, Progress
from ..ledger.budget import BudgetState
from . import files as plan_contents
from .call_jobs import AskedCall, Question
from .config import PlanConfig
from .run_plan import CIRCUITS, INPUTS, RunPlan, files_of
from .shots import check_limits
from .training_batches import batch_bytes
from .training_plan import TrainingPlan
from .work import Asked, Destination, Work, recorded_work, work_of_calls

if TYPE_CHECKING:
    from ...sampling import TrainedRun
    from ...training.by_calls import Batch

__all__ = ["check_training_budget", "training_draft"]

_OF_CHAINS = (
    "precision",
    "schedule",
    "label",
    "scheduler",
    "num_inference_steps",
    "eta",
    "tiles",
    "tile_buffer",
    "refit",
    "chain",
    "kept_shots",
    "primitive",
    "primitive_options",
)
"""Fields of :class:`PlanConfig` that concern a chain, or an answer that training cannot use."""


def training_draft(
    trained: TrainedRun,
    config: PlanConfig,
    destination: Destination,
    place: dict[str, Any],
    run_name: str,
    today: date | None,
    progress: Progress,
) -> tuple[RunPlan, dict[str, bytes]]:
    """Return the plan of a training run, and the files beside it.

    Args:
        trained: The run whose weights are trained on.
        config: Options of the run.
        destination: Target and device.
        place: Fields of the plan that say where it runs.
        run_name: Name of the trained run's folder.
        today: The day of planning; today if None.
        progress: Receives each stage of the work, in words.

    Raises:
        TargetUnavailable: If the model cannot be trained from counts.
        InvalidOption: If an option does not fit, a weight is unknown, or no budget pays.
        MissingData, InvalidData: If the training images are not there.
    """
    from ...sampling.refit import has_linear_head
    from ...training.by_calls import CallTraining, check_by_calls, chosen_weights

    _check_options(config)
    model, process = trained.model, trained.process
    check_by_calls(model, process, str(destination.target))
    _check_paid(config, destination)
    assert config.train is not None
    progress(Message("listing circuit calls"))
    [first] = _batches(trained, config, 1)
    weights, once = chosen_weights(model, process, first, config.train_weights)
    optimizer = config.train_optimizer
    if optimizer == "auto":
        head = once and has_linear_head(model) and set(weights) == {"head.weight", "head.bias"}
        optimizer = "ridge" if head else "adam"
    _check_optimizer(optimizer, weights, once=once, linear=has_linear_head(model))
    batches = _batches(trained, config, 1 if once else config.train)
    named = dict(model.named_parameters())
    numbers = sum(named[name].numel() for name in weights)
    contents = plan_contents.model_files(trained, config.loader)
    contents[INPUTS] = batch_bytes(batches)
    training = CallTraining(
        model,
        process,
        weights,
        optimizer="spsa" if optimizer == "spsa" else "adam",
        learning_rate=config.train_rate,
        perturbation=config.train_perturbation,
        seed=config.seed,
        shots=config.shots,
    )
    listed = _Listing()
    try:
        training.step(batches[0], listed)
    except QdmError:
        raise
    except (ValueError, RuntimeError) as error:  # of torch: a batch too small to be normalised
        reason = str(error).splitlines()[0]
        raise InvalidOption(
            f"'{model.name}' cannot be trained on {config.num_images} images a step: {reason:.200}"
        ) from error
    plan = TrainingPlan(
        optimizer=optimizer,
        steps=1 if optimizer == "ridge" else config.train,
        learning_rate=config.train_rate,
        perturbation=config.train_perturbation,
        weights=weights,
        numbers=numbers,
        once=once,
        shifted=training.shifted,
    )
    count = plan.measured_steps
    questions = Asked(
        list(range(count, 0, -1)),
        [listed.questions] * count,
        list(listed.distinct.values()),
        None,
        config.num_images,
    )
    work = work_of_calls(questions, config, config.shots, destination, progress)
    limit = config.options.max_execution_seconds
    check_limits((), work.calibration, destination.device, limit, destination.availability)
    contents[CIRCUITS] = plan_contents.qpy_bytes(work.circuits)
    made = _plan(trained, config, work, plan, contents, place, run_name, today)
    return made, contents


def _plan(
    trained: TrainedRun,
    config: PlanConfig,
    work: Work,
    training: TrainingPlan,
    contents: dict[str, bytes],
    place: dict[str, Any],
    run_name: str,
    today: date | None,
) -> RunPlan:
    channels, height, width = (int(side) for side in trained.model.image_shape)
    return RunPlan(
        date=(today or date.today()).isoformat(),
        model=trained.model.name,
        model_run=run_name,
        num_steps=training.measured_steps,
        image_shape=(channels, height, width),
        state_shape=tuple(int(side) for side in trained.model.state_shape),
        targets=config.targets,
        **place,
        **recorded_work(config, work),
        num_images=config.num_images,
        label=None,
        shot_choice=None,
        training=training,
        decisions=(),
        files=files_of({path: hashlib.sha256(c).hexdigest() for path, c in contents.items()}),
    )


def check_training_budget(plan: RunPlan, budget: BudgetState | None) -> None:
    """Refuse to plan a training run that its budget does not hold as a whole, wherever it runs.

    Raises:
        BudgetExceeded: With both numbers.
    """
    if budget is None:
        return
    seconds, shots = budget.remaining_seconds, budget.remaining_shots
    asked = f"training takes about {plan.most_seconds:.6g} QPU seconds and {plan.total_shots} shots"
    way_out = (
        "take fewer train steps, images or shots, 'spsa', or train_weights 'tail'; or allow more"
    )
    if seconds is not None and plan.most_seconds > seconds:
        raise BudgetExceeded(
            f"Budget '{budget.name}' has {seconds:.6g} QPU seconds left, and {asked}; {way_out}."
        )
    if shots is not None and plan.total_shots > shots:
        raise BudgetExceeded(
            f"Budget '{budget.name}' has {shots} shots left, and {asked}; {way_out}."
        )


def _check_options(config: PlanConfig) -> None:
    """Refuse options of a chain, which would be left out in silence."""
    plain = {each.name: each.default for each in fields(PlanConfig)}
    given = [name for name in _OF_CHAINS if getattr(config, name) != plain[name]]
    if given:
        raise InvalidOption(
            f"Training is no chain, and is measured by the Sampler at one place; leave out "
            f"{', '.join(given)}."
        )


def _check_paid(config: PlanConfig, destination: Destination) -> None:
    said = destination.availability
    charges = destination.target.kind == "ibm" or (
        said is not None and said.provider is not None and said.provider.charges
    )
    if charges and config.budget is None:
        raise InvalidOption(
            f"Training on '{destination.target}' is paid by a budget, and none is named; set one with "
            "`qdm budget set NAME --seconds N`, and plan with --budget NAME (budget=)."
        )


def _check_optimizer(optimizer: str, weights: Sequence[str], *, once: bool, linear: bool) -> None:
    if optimizer == "spsa" and once:
        raise InvalidOption(
            "No circuit depends on these weights, so their gradient is exact and free; take the "
            "optimizer 'adam' in place of 'spsa'."
        )
    whole = linear and set(weights) == {"head.weight", "head.bias"}
    if optimizer == "ridge" and not whole:
        raise InvalidOption(
            "'ridge' fits the linear layer behind a model's one circuit, all of it and nothing else; "
            f"take 'adam' for {', '.join(weights[:4])}."
        )


@final
class _Listing:
    """Target that answers exactly, and lists what it is asked."""

    def __init__(self) -> None:
        from ...layers.calling import ExactTarget

        self._exact = ExactTarget()
        self.questions: list[Question] = []
        self.distinct: dict[str, CircuitCall] = {}

    def answer(self, calls: Sequence[CircuitCall]) -> list[CallResult]:
        """Answer calls; see :class:`.CallTarget`."""
        self.questions.append([AskedCall(e.name, e.content, e.num_rows) for e in calls])
        for each in calls:
            self.distinct.setdefault(each.content, each)
        return self._exact.answer(calls)


def _batches(trained: TrainedRun, config: PlanConfig, count: int) -> list[Batch]:
    """Draw training images with noise, as training does."""
    from ...sampling.refit import refit_pairs
    from ...training.by_calls import Batch

    rows, num_steps = config.num_images, trained.process.num_steps
    pairs = refit_pairs(trained, max(3, count * rows), seed=config.seed)  # the fewest that it draws
    steps = (pairs.t * num_steps).round().long()
    found = []
    for first in range(0, count * rows, rows):
        part = slice(first, first + rows)
        labels = None if pairs.labels is None else pairs.labels[part]
        found.append(Batch(pairs.x[part], steps[part], pairs.target[part], labels))
    return found
