"""Plan an existing QNN's run on hardware, and take it through: a run like a model's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..errors import InvalidOption, InvalidPlan, MissingData, TargetUnavailable
from ..execution.devices import DeviceLike
from ..execution.targets import Target
from ..files import read_json_object
from ..hardware.ledger.budget import BudgetState
from ..hardware.ledger.ledger import Ledger
from ..hardware.ledger.output_files import read_outputs
from ..hardware.ledger.run_files import MANIFEST
from ..hardware.plan.config import PlanConfig
from ..hardware.plan.prepare import Draft
from ..hardware.plan.prepare_qnn import OPTIONS, draft_qnn
from ..hardware.plan.qnn_question import NAME, QnnQuestion
from ..hardware.plan.run_plan import RunPlan
from ..hardware.plan.target_choice import FallbackPolicy, draft_on_first
from ..hardware.plan.types import Availability, ExecutionOptions, Look
from ..hardware.providers.base import Provider
from ..hardware.providers.door import look_at
from ..hardware.providers.settings import ServiceSettings
from ..options import field_types
from ..progress import Message, Progress, silent
from .hardware import config_of, planned
from .hardware_run import HardwareRun
from .qnn_arguments import parts_of, rows_of, weights_of
from .recorded_runs import ROOT, root_folder, run_folders

if TYPE_CHECKING:
    import torch
    from qiskit_machine_learning.connectors import TorchConnector
    from qiskit_machine_learning.neural_networks import EstimatorQNN, SamplerQNN

    from ..layers.from_qnn import QnnLayer
    from .qnn import QnnRun

__all__ = ["plan_qnn", "read_run", "recorded_run"]

Run = TypeVar("Run", bound="QnnRun")


def plan_qnn(
    qnn: EstimatorQNN | SamplerQNN | TorchConnector | QnnLayer,
    inputs: np.ndarray | torch.Tensor | Sequence[Any] | float | None = None,
    weights: np.ndarray | torch.Tensor | Sequence[float] | None = None,
    *,
    target: str | DeviceLike | Sequence[str | DeviceLike] | None = None,
    provider: Provider | None = None,
    policy: FallbackPolicy | None = None,
    root: str | Path = ROOT,
    ledger: Ledger | None = None,
    progress: Progress = silent,
    **options: Any,
) -> RunPlan:
    """Plan the run of a QNN on hardware and state its cost; free, nothing is sent.

    The folder of the plan holds all that the run needs, and no object of the QNN: ``submit``,
    ``resume`` and ``replay`` take it in any process, and so do the commands of ``qdm run``.

    Args:
        qnn, inputs, weights: As for :func:`~qdm_qiskit.tasks.qnn.run_qnn`.
        target: One target, or several in the order of preference, as for
            :func:`~qdm_qiskit.tasks.hardware.plan`.
        provider: Provider object, which needs no registration, in place of ``target``.
        policy: Reasons to pass over a target; by default that it cannot be used.
        root: Folder of all hardware runs.
        ledger: The root's ledger, if it is open already.
        progress: Receives the progress messages.
        options: ``shots=4096`` of each row and circuit or ``seconds=20.0`` of the whole run,
            ``mitigation="m3"``, ``budget="open"``, ``seed=1``, ``layout_trials=5``,
            ``optimization_level=3``, ``mode="job"``, ``calibration_shots``, ``calibration_method``,
            ``calibration_ttl_seconds``, ``primitive="estimator"`` with ``primitive_options``
            (IBM's Estimator, on ``ibm:`` and ``local:`` targets), and the fields of
            :class:`~qdm_qiskit.hardware.plan.types.ExecutionOptions`.

    Returns:
        The plan; ``submit(plan, yes=True)`` sends it, and ``QnnRun.read(run)`` reads the outputs.

    Raises:
        UnsupportedCircuit, InvalidData: As :func:`~qdm_qiskit.tasks.qnn.run_qnn`.
        Others: As :func:`~qdm_qiskit.tasks.hardware.plan`.

    >>> import tempfile, qdm_qiskit as qdm
    >>> from qiskit.circuit.library import real_amplitudes
    >>> from qiskit_machine_learning.neural_networks import EstimatorQNN
    >>> ansatz = real_amplitudes(2, reps=1)
    >>> qnn = EstimatorQNN(circuit=ansatz, weight_params=ansatz.parameters)
    >>> with tempfile.TemporaryDirectory() as root:
    ...     planned = qdm.plan_qnn(qnn, None, [0.1, 0.2, 0.3, 0.4], target="aer", shots=100, root=root)
    ...     run = qdm.submit(planned, yes=True)
    ...     print(planned.num_jobs, planned.num_circuits, run.outputs.shape, run.replay().equal)
    1 1 (1, 1) True
    """
    root = root_folder(root)
    config, offered = _config(target, provider, options)
    question = _question(qnn, inputs, weights)
    return _planned(question, config, offered, policy, root=root, ledger=ledger, progress=progress)


def recorded_run(
    kind: type[Run],
    qnn: Any,
    inputs: Any,
    weights: Any,
    *,
    where: Target,
    provider: Provider | None,
    given: dict[str, Any],
    budget: str | None,
    root: str | Path,
    settings: ServiceSettings | None,
    progress: Progress,
    options: dict[str, Any],
) -> Run:
    """Run a QNN as a recorded run: go on with one that was stopped, or plan and send one.

    Args:
        kind: :class:`~qdm_qiskit.tasks.qnn.QnnRun`.
        qnn, inputs, weights, budget, root, settings, progress: As for ``run_qnn``.
        where: The target.
        provider: Provider object of the target.
        given: Its arguments ``shots``, ``primitive``, ``primitive_options`` and ``calibration``.
        options: Those of :func:`plan_qnn`, but for ``seconds``.
    """
    root = root_folder(root)
    _check_budget(where, provider, budget)
    shots = _checked(given, options, where)
    text = None if provider is not None else str(where)
    asked = {
        "shots": shots,
        "budget": budget,
        "primitive": given["primitive"],
        "primitive_options": given["primitive_options"] or {},
        **options,
    }
    config, offered = _config(text, provider, asked)
    question = _question(qnn, inputs, weights)
    run = _same_run(question, config, root)
    if run is None:
        made = _planned(question, config, offered, None, root=root, ledger=None, progress=progress)
        run = HardwareRun(made.folder)
    else:
        progress(Message(f"run {run.folder.name} asks the same; it goes on"))
    run.submit(yes=True, progress=progress, settings=settings, provider=provider)
    return read_run(run, kind)


def read_run(run: HardwareRun, kind: type[Run]) -> Run:
    """Return the outputs of a recorded run, with its cost and manifest.

    Raises:
        MissingData: If it is not done, or the run of a model.
    """
    plan = run.plan
    if plan.qnn is None:
        raise MissingData(f"Run {plan.run_id} is a model's: it has images, and no outputs.")
    found, path = read_outputs(run.folder, plan.qnn.count), run.folder / MANIFEST
    if found is None or not path.is_file():
        raise MissingData(
            f"Run {plan.run_id} has no outputs yet; go on with `qdm run resume {plan.run_id}`."
        )
    assert plan.calls is not None
    circuits = sum(each.circuits for each in plan.calls.jobs)
    state = run.state
    return kind(
        outputs=found.outputs,
        standard_errors=found.standard_errors,
        target=plan.target,
        shots=plan.calls.jobs[0].shots,
        circuits=circuits,
        cost=(),
        record={
            "primitive": "sampler" if plan.estimator is None else "estimator",
            **read_json_object(path),
            "circuits": [asdict(each.plan) for each in plan.calls.circuits],
        },
        jobs=state.jobs,
        qpu_seconds=state.seconds_charged,
        estimated_seconds=plan.total_seconds,
        folder=run.folder,
    )


def _planned(
    question: QnnQuestion,
    config: PlanConfig,
    offered: Availability | None,
    policy: FallbackPolicy | None,
    *,
    root: Path,
    ledger: Ledger | None,
    progress: Progress,
) -> RunPlan:
    def drafted(fitting: PlanConfig, target: str, state: Availability) -> Draft:
        return draft_qnn(
            question,
            fitting,
            target=target,
            root=root,
            backend=state.backend,
            availability=state,
            progress=progress,
        )

    def make(look: Look, budget: BudgetState | None) -> RunPlan:
        return draft_on_first(
            drafted,
            config,
            policy or FallbackPolicy(),
            root=root,
            look=look,
            budget=budget,
            progress=progress,
        )

    return planned(make, config, offered, root=root, ledger=ledger, progress=progress)


def _config(
    target: str | DeviceLike | Sequence[str | DeviceLike] | None,
    provider: Provider | None,
    options: dict[str, Any],
) -> tuple[PlanConfig, Availability | None]:
    known = (*OPTIONS, *field_types(ExecutionOptions))
    unknown = [name for name in options if name not in known]
    if unknown:
        raise InvalidOption(
            f"A QNN's run has the options {', '.join(known)}, got {', '.join(unknown)}."
        )
    return config_of(target, provider, None, options)


def _question(qnn: Any, inputs: Any, weights: Any) -> QnnQuestion:
    parts, own = parts_of(qnn)
    rows, leading = rows_of(inputs, len(parts.inputs))
    table = parts.table
    return QnnQuestion(
        kind="EstimatorQNN" if parts.observables else "SamplerQNN",
        spec=parts.spec,
        weights=weights_of(own if weights is None else weights, len(parts.weights)),
        inputs=rows,
        rows_shape=leading,
        output_shape=table.shape,
        places=table.places,
    )


def _check_budget(where: Target, provider: Provider | None, budget: str | None) -> None:
    """Refuse to send to what charges without a budget."""
    if budget is not None:
        return
    charges = where.kind == "ibm"
    if where.kind == "provider":
        said = (look_at(where) if provider is None else provider.offered()).provider
        charges = said is None or said.charges
    if charges:
        raise TargetUnavailable(
            f"Target '{where}' charges for its jobs, so nothing was sent; name the budget that pays, "
            "as in budget='open' (qdm.set_budget makes one), or see the cost by qdm.plan_qnn(...)."
        )


def _checked(given: dict[str, Any], options: dict[str, Any], where: Target) -> int:
    """Return the shots; refuse arguments that a recorded run has no use for."""
    if given["shots"] is None:
        raise InvalidOption(f"A recorded run on '{where}' takes shots; set shots, as in 4096.")
    if given["calibration"] is not None:
        raise InvalidOption(
            "A recorded run takes its readout calibration itself, or that of an earlier run; leave "
            "calibration out."
        )
    if "seconds" in options:
        raise InvalidOption("run_qnn takes shots; plan_qnn takes seconds in their place.")
    shots: Any = given["shots"]
    whole: int = int(shots) if isinstance(shots, np.integer) else shots  # the plan checks the rest
    return whole


def _same_run(question: QnnQuestion, config: PlanConfig, root: Path) -> HardwareRun | None:
    """Return the latest run that asks the same and was begun, or was planned or done today."""
    today = date.today().isoformat()
    for folder in reversed(run_folders(root)):
        if f"-{NAME}-" not in folder.name:
            continue
        run = HardwareRun(folder)
        try:
            plan, state = run.plan, run.state.state
        except InvalidPlan:
            continue
        begun = state not in ("planned", "done")
        if _asks_the_same(plan, question, config) and (begun or plan.date == today):
            return run
    return None


def _asks_the_same(plan: RunPlan, question: QnnQuestion, config: PlanConfig) -> bool:
    if plan.qnn is None or plan.calls is None:
        return False
    wanted = plan.calibration
    calibrates = (config.calibration_method, config.calibration_shots)
    return (
        plan.qnn.question_sha256 == question.sha256
        and plan.targets == config.targets
        and {each.shots for each in plan.calls.jobs} == {config.shots}
        and (plan.mitigation, plan.mode, plan.options)
        == (config.mitigation, config.mode, config.options)
        and (plan.seed, plan.budget) == (config.seed, config.budget)
        and (None if plan.estimator is None else plan.estimator.options)
        == (None if config.primitive == "sampler" else config.primitive_options)
        and plan.circuit.optimization_level == config.optimization_level
        and (wanted is None or (wanted.method, wanted.shots) == calibrates)
    )
