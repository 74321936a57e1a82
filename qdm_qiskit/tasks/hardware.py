"""Plan a hardware run, send it, find it again in any process, and see its cost.

Only :func:`submit` with ``yes=True``, and :func:`resume` of a run that began so, can spend QPU time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..arguments import checked_path, of_kind, wrong
from ..errors import InvalidOption
from ..execution.devices import DeviceLike
from ..execution.estimator_options import text_of_options
from ..execution.targets import target_text
from ..hardware.ledger.budget import BudgetState, is_rehearsal
from ..hardware.ledger.ledger import Ledger
from ..hardware.plan.job_limits import note_asked
from ..hardware.plan.prepare import PlanConfig
from ..hardware.plan.routing import RoutingPolicy
from ..hardware.plan.run_plan import ExecutionOptions, RunPlan
from ..hardware.plan.target_choice import FallbackPolicy, plan_on_first
from ..hardware.plan.types import Availability, Look
from ..hardware.providers.base import Provider, checked_provider
from ..hardware.providers.settings import ServiceSettings
from ..hardware.run.replay import Replay
from ..options import build, field_types
from ..progress import Message, Progress, silent
from .hardware_run import HardwareRun
from .looks import look_for
from .recorded_runs import ROOT, root_folder

if TYPE_CHECKING:
    from ..sampling import Sampler

__all__ = [
    "plan",
    "replay",
    "resume",
    "submit",
]


def plan(
    run: str | Path,
    target: str | DeviceLike | Sequence[str | DeviceLike] | None = None,
    *,
    provider: Provider | None = None,
    sampler: Sampler | None = None,
    config: PlanConfig | None = None,
    policy: FallbackPolicy | None = None,
    root: str | Path = ROOT,
    ledger: Ledger | None = None,
    progress: Progress = silent,
    **options: Any,
) -> RunPlan:
    """Plan a sampling run on hardware and state its cost; free, nothing is sent.

    The plan is bound by a hash, with its circuits and a copy of the model beside it.

    Args:
        run: Folder of a trained run, or of one of its checkpoints.
        target: One target, or several in the order of preference: ``"ibm:least_busy"``,
            ``"local:fake_torino"``, ``"acme:chip-1"`` of a provider that a package brings; a
            ``BackendV2`` or an Aer ``NoiseModel`` stands for ``local:`` of it.
        provider: Provider object, which needs no registration, in place of ``target``.
        sampler: A sampler object, which needs no registration, in place of ``scheduler``; give it
            again to send, resume or replay the run.
        config: All options at once, targets included, in place of ``target`` and ``options``.
        policy: Reasons to pass over a target; by default that it cannot be used.
        root: Folder of all hardware runs.
        ledger: The root's ledger, if it is open already.
        progress: Receives the progress messages.
        options: Fields of :class:`~qdm_qiskit.hardware.plan.config.PlanConfig` and
            :class:`~qdm_qiskit.hardware.plan.types.ExecutionOptions`: ``num_images=4``,
            ``shots=1024``, ``mitigation="m3"``, ``budget="open"``, ``twirl_gates=True``,
            ``primitive="estimator"`` with ``primitive_options={"resilience_level": 1}``.

    Returns:
        The plan; ``submit(plan, yes=True)`` sends it.

    Raises:
        InvalidOption: If an option is unknown or out of range.
        TargetUnavailable: If no target can be used.
        UnknownName: If there is no such target or budget.
        MissingData: If there is no run.
        OutputNotWritable: If this very run is planned already, or the folder cannot be written.

    >>> import tempfile, qdm_qiskit as qdm
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     small = dict(image_size=2, depth=1, num_steps=2, train_count=8, epochs=1, baseline=False)
    ...     run = qdm.train("eeqdm", f"{folder}/first", **small).run
    ...     planned = qdm.plan(run, "aer", num_images=2, shots=64, root=f"{folder}/runs")
    >>> planned.num_jobs, planned.total_shots, planned.is_qpu
    (2, 256, False)
    """
    root = root_folder(root)
    config, offered = config_of(target, provider, config, options)
    if config.groups > 1:
        raise InvalidOption(
            f"groups={config.groups} are several runs that go on side by side; plan them by "
            "qdm_qiskit.tasks.plan_fleet(run, [target], groups=...)."
        )

    def make(look: Look, budget: BudgetState | None) -> RunPlan:
        return plan_on_first(
            checked_path(run, "run"),
            config,
            policy or FallbackPolicy(),
            root=root,
            look=look,
            budget=budget,
            sampler=sampler,
            progress=progress,
        )

    # A sampler object, or a provider's, is not on the command line.
    told = None if sampler is not None or provider is not None else str(run)
    return planned(make, config, offered, root=root, ledger=ledger, progress=progress, run=told)


def config_of(
    target: str | DeviceLike | Sequence[str | DeviceLike] | None,
    provider: Provider | None,
    config: PlanConfig | None,
    options: dict[str, Any],
) -> tuple[PlanConfig, Availability | None]:
    """Return the options of a plan, and the state of a provider object.

    Raises:
        InvalidOption: If an option is unknown, or two arguments say where to run.
    """
    offered = None if provider is None else checked_provider(provider).offered()
    if provider is not None:
        if target is not None or config is not None:
            raise InvalidOption("provider says where to run; leave target and config out.")
        target = provider.target
    return _config(target, config, options), offered


def planned(
    make: Callable[[Look, BudgetState | None], RunPlan],
    config: PlanConfig,
    offered: Availability | None,
    *,
    root: Path,
    ledger: Ledger | None,
    progress: Progress,
    run: str | None = None,
) -> RunPlan:
    """Make a plan and write it down in the root's ledger.

    Args:
        make: Function that plans, from a look at targets and the budget as it stands.
        config: Options of the run.
        offered: State of a provider object; None looks at the target.
        root: Folder of all hardware runs.
        ledger: The root's ledger, if it is open already.
        progress: Receives the progress messages.
        run: Folder of the trained run, for a command that plans it again; None of other plans.
    """
    check_budget_of(config)
    opened = Ledger.open(root) if ledger is None else ledger
    try:
        if ledger is None:
            for notice in opened.notices:
                progress(Message(notice))
        made = make(
            look_for(root, offered), None if config.budget is None else opened.budget(config.budget)
        )
        opened.add_run(
            made.run_id,
            plan_sha256=made.content_sha256,
            budget=made.budget,
            total_steps=len(made.steps),
            seconds_estimated=made.total_seconds,
        )
        note_asked(opened, made.run_id, config, run)
    finally:
        if ledger is None:
            opened.close()
    return made


def check_budget_of(config: PlanConfig) -> None:
    """Refuse a budget of rehearsals for IBM's devices, before anything is planned.

    Raises:
        InvalidOption: If one of the targets is IBM's; other providers that charge are refused when
            a job is to be sent.
    """
    paid = [each for each in config.targets if str(each).startswith("ibm:")]
    if is_rehearsal(config.budget) and paid:
        raise InvalidOption(
            f"Budget '{config.budget}' is one of rehearsals, and '{paid[0]}' charges; plan with "
            "another budget, or for a target such as local:fake_torino."
        )


def _config(
    target: str | DeviceLike | Sequence[str | DeviceLike] | None,
    config: PlanConfig | None,
    options: dict[str, Any],
) -> PlanConfig:
    if config is not None:
        if target is not None or options:
            raise InvalidOption(
                "config holds all options, the targets too; leave target and other options out, got "
                f"target={target!r} and {', '.join(options) or 'no others'}."
            )
        of_kind(config, PlanConfig, "config")
        return config
    if target is None:
        raise InvalidOption("A plan needs a target, such as 'local:fake_torino', got none.")
    if isinstance(target, str):
        target = [each.strip() for each in target.split(",")]
    elif not isinstance(target, Sequence):
        target = [target]
    texts = tuple(target_text(each, "local") for each in target)
    if isinstance(options.get("primitive_options"), dict):
        options = {**options, "primitive_options": text_of_options(options["primitive_options"])}
    routing = options.get("routing")
    if routing is not None and not isinstance(routing, str):
        raise InvalidOption(
            "A plan keeps a routing policy by name; of an object plan routing='given', and give the "
            "object to submit(plan, routing=policy)."
        )
    execution = {n: options.pop(n) for n in list(options) if n in field_types(ExecutionOptions)}
    made = build(PlanConfig, {"targets": texts, **options})
    return replace(made, options=build(ExecutionOptions, execution)) if execution else made


def submit(
    plan: RunPlan | HardwareRun | str | Path,
    *,
    yes: bool = False,
    detach: bool = False,
    root: str | Path = ROOT,
    progress: Progress = silent,
    settings: ServiceSettings | None = None,
    provider: Provider | None = None,
    sampler: Sampler | None = None,
    routing: RoutingPolicy | None = None,
) -> HardwareRun:
    """Send a planned run and work through its chain, step by step; this may spend QPU time.

    It can be stopped at any moment: sent jobs stay sent, and :func:`resume` goes on.

    Args:
        plan: A plan from ``plan``, a run, its folder or id, or ``"latest"``.
        yes: True to really send the jobs, and pay. Else an error states the price.
        detach: True to return when the first job is sent.
        root: Folder of all runs, for an id or ``"latest"``.
        progress: Receives the progress messages.
        settings: Limits and intervals; by default those of the root's ``service.json``.
        provider: The provider object of the plan's target; an installed package's by default.
        sampler: The sampler object, for a plan that was made with one.
        routing: The policy object, for a plan with ``routing="given"``.

    Returns:
        The run: ``.state``, ``.images``, ``.resume()``.

    Raises:
        InvalidOption: Without ``yes``; the message states the cost.
        BudgetExceeded: If the budget, or the account, does not allow the whole run.
        Others: As :func:`~qdm_qiskit.hardware.run.commands.submit_run`.

    >>> import tempfile, qdm_qiskit as qdm
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     small = dict(image_size=2, depth=1, num_steps=2, train_count=8, epochs=1, baseline=False)
    ...     run = qdm.train("eeqdm", f"{folder}/first", **small).run
    ...     planned = qdm.plan(run, "aer", num_images=2, shots=64, root=f"{folder}/runs")
    ...     sent = qdm.submit(planned, yes=True)
    ...     print(sent.state.state, sent.images.shape, sent.replay().equal)
    done (2, 1, 2, 2) True
    """
    return _run(plan, root).submit(
        yes=yes,
        detach=detach,
        progress=progress,
        settings=settings,
        provider=provider,
        sampler=sampler,
        routing=routing,
    )


def resume(
    run: RunPlan | HardwareRun | str | Path,
    *,
    root: str | Path = ROOT,
    progress: Progress = silent,
    settings: ServiceSettings | None = None,
    provider: Provider | None = None,
    sampler: Sampler | None = None,
    routing: RoutingPolicy | None = None,
) -> HardwareRun:
    """Go on with a run that was sent, at the step it has reached, in any process, on any day.

    Args:
        run: The run, its plan, folder or id, or ``"latest"``.
        root, progress, settings, provider, sampler, routing: As for :func:`submit`.

    Returns:
        The run.

    Raises:
        MissingData: If the run was never submitted.
        Others: As :func:`submit`.

    >>> import tempfile, qdm_qiskit as qdm
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     small = dict(image_size=2, depth=1, num_steps=2, train_count=8, epochs=1, baseline=False)
    ...     run = qdm.train("eeqdm", f"{folder}/first", **small).run
    ...     planned = qdm.plan(run, "aer", num_images=2, shots=64, root=f"{folder}/runs")
    ...     begun = qdm.submit(planned, yes=True, detach=True)
    ...     print(begun.state.state, qdm.resume("latest", root=f"{folder}/runs").state.state)
    running done
    """
    return _run(run, root).resume(
        progress=progress,
        settings=settings,
        provider=provider,
        sampler=sampler,
        routing=routing,
    )


def replay(
    run: RunPlan | HardwareRun | str | Path,
    *,
    root: str | Path = ROOT,
    sampler: Sampler | None = None,
) -> Replay:
    """Compute a run's images again from its record alone, and compare them with the stored ones.

    Args:
        run: The run, its plan, folder or id, or ``"latest"``.
        root: As for :func:`submit`.
        sampler: The sampler object, for a plan that was made with one.

    Returns:
        The images; ``equal`` is True if they are the stored ones to the bit.

    Raises:
        InvalidPlan, InvalidData: If the record was changed.

    >>> import tempfile, qdm_qiskit as qdm
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     small = dict(image_size=2, depth=1, num_steps=2, train_count=8, epochs=1, baseline=False)
    ...     run = qdm.train("eeqdm", f"{folder}/first", **small).run
    ...     planned = qdm.plan(run, "aer", num_images=2, shots=64, root=f"{folder}/runs")
    ...     sent = qdm.submit(planned, yes=True)
    ...     found = qdm.replay(planned)
    >>> found.equal, found.images.shape
    (True, (2, 1, 2, 2))
    """
    return _run(run, root).replay(sampler=sampler)


def _run(run: object, root: str | Path) -> HardwareRun:
    if isinstance(run, HardwareRun):
        return run
    if isinstance(run, RunPlan):
        return HardwareRun(run.folder)
    if isinstance(run, str | Path):
        return HardwareRun.find(run, root=root)
    raise wrong(
        run, "run", "a plan, a run, its folder or id, or 'latest'", "plan(...) makes a plan"
    )
