"""``qdm run plan``: what a run would be and cost, before anything is spent."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .budget import ROOT, RootOption, open_ledger
from .models import JsonOption
from .run_fleet import plan_shared
from .run_names import QuietOption, command_line

if TYPE_CHECKING:
    from ..hardware.ibm.dry_run import DryRun
    from ..hardware.plan.run_plan import RunPlan

__all__ = [
    "plan",
]


def plan(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run, or of a checkpoint.")],
    target: Annotated[
        list[str],
        typer.Option(
            help="Where to run, with commas between targets tried in order: ibm:NAME, "
            "ibm:least_busy, local:DEVICE, engine ... Given again, devices share the images."
        ),
    ],
    num_images: Annotated[int, typer.Option(help="Images; all of a step go in one job.")] = 16,
    shots: Annotated[
        int | None, typer.Option(help="Shots for each image and step, on average (4096).")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="QPU seconds of the whole run, in place of --shots.")
    ] = None,
    precision: Annotated[
        float | None, typer.Option(help="Pixel error wanted, for --shot-allocation precision.")
    ] = None,
    schedule: Annotated[
        str,
        typer.Option(
            "--shot-allocation",
            "--schedule",
            help="Shots over steps and their calls: uniform, variance or precision.",
        ),
    ] = "uniform",
    mitigation: Annotated[str, typer.Option(help="Readout mitigation: none or m3.")] = "none",
    primitive: Annotated[
        str,
        typer.Option(help="sampler, or estimator for models that read expectation values."),
    ] = "sampler",
    primitive_options: Annotated[
        str, typer.Option(help="The estimator's options as JSON, nested as IBM has them.")
    ] = "{}",
    calibration_shots: Annotated[
        int, typer.Option(help="Shots of each calibration circuit.")
    ] = 8192,
    calibration_method: Annotated[
        str, typer.Option(help="Calibration circuits: balanced or independent.")
    ] = "balanced",
    calibration_hours: Annotated[
        float, typer.Option(help="Age at which a calibration or a refit is taken again.")
    ] = 24.0,
    mode: Annotated[
        str, typer.Option(help="auto, job, batch or session; auto by the account's plan.")
    ] = "auto",
    dynamical_decoupling: Annotated[
        str, typer.Option(help="Pulses on idle qubits: off, XX, XpXm or XY4.")
    ] = "off",
    twirl_gates: Annotated[
        bool, typer.Option("--twirl-gates", help="Pauli twirling of two-qubit gates.")
    ] = False,
    twirl_measure: Annotated[
        bool, typer.Option("--twirl-measure", help="Twirling of the readout.")
    ] = False,
    rep_delay: Annotated[
        float | None, typer.Option(help="Repetition delay in seconds; the device's own without.")
    ] = None,
    max_execution_seconds: Annotated[
        int | None, typer.Option(help="IBM cancels a job that takes longer.")
    ] = None,
    max_job_executions: Annotated[
        int | None, typer.Option(help="Most circuits times shots of a job; larger ones are split.")
    ] = None,
    max_job_circuits: Annotated[
        int | None, typer.Option(help="Most circuits of a job, each with its values.")
    ] = None,
    max_job_values: Annotated[
        int | None, typer.Option(help="Most values of parameters that a job sends.")
    ] = None,
    budget: Annotated[str | None, typer.Option(help="Budget that pays.")] = None,
    max_queue: Annotated[
        int | None, typer.Option(help="Pass over a QPU with more waiting jobs.")
    ] = None,
    min_success: Annotated[
        float | None, typer.Option(help="Pass over a target with less expected success.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Images of devices that share them: auto, by cost and queue; even; or numbers, 12,4."
        ),
    ] = None,
    max_wait: Annotated[
        float | None,
        typer.Option(
            help="Seconds that a job may wait in a device's queue before its images move to others."
        ),
    ] = None,
    routing: Annotated[
        str | None,
        typer.Option(
            help="Policy that is asked before each step who answers it, the device or this machine: "
            "limits:seconds=30,queue=20, or another package's."
        ),
    ] = None,
    groups: Annotated[
        int,
        typer.Option(
            help="Groups of images with jobs of their own, which go on as their calls come back."
        ),
    ] = 1,
    ask_ibm: Annotated[
        bool,
        typer.Option("--dry-run", help="Ask IBM for its estimate too, free; not on the Open Plan."),
    ] = False,
    loader: Annotated[
        str | None,
        typer.Option(help="What loads images into the circuit; the model's own if not given."),
    ] = None,
    start: Annotated[
        str,
        typer.Option(help="x_T: noise of the process, or of the loader's own circuit: loader."),
    ] = "process",
    scheduler: Annotated[
        str,
        typer.Option(
            "--sampler",
            "--scheduler",
            help="process; of noise models ddpm, ddim, analytic, dpm-solver++, sde, ode; or another's.",
        ),
    ] = "process",
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            "--num-inference-steps",
            help="Steps of the sampler, each with its jobs; all by default.",
        ),
    ] = None,
    eta: Annotated[float, typer.Option(help="Share of DDPM's noise that ddim adds, 0 to 1.")] = 0.0,
    tiles: Annotated[
        str | None,
        typer.Option(
            help="Places of the chip that run the circuit at once, images spread over them: a "
            "number, auto, or the least expected success of each, '>=0.7'."
        ),
    ] = None,
    tile_buffer: Annotated[
        bool, typer.Option("--tile-buffer", help="Leave a qubit between tiles.")
    ] = False,
    refit: Annotated[
        str | None,
        typer.Option(
            help="Fit the model's linear tail to the device first: auto, circuits, or circuits and "
            "shots, 300x256."
        ),
    ] = None,
    chain: Annotated[
        str,
        typer.Option(help="Models of states: coherent, all steps in one circuit; steps; or auto."),
    ] = "auto",
    kept_shots: Annotated[
        int | None,
        typer.Option(help="Shots that a chain in one circuit keeps, in place of --shots."),
    ] = None,
    train: Annotated[
        int | None,
        typer.Option(
            help="Train the model on the target by so many steps of an optimizer, in place of "
            "sampling; --num-images are then the noisy images of a step."
        ),
    ] = None,
    train_optimizer: Annotated[
        str,
        typer.Option(help="adam by parameter shift, spsa, ridge for a linear tail, or auto."),
    ] = "auto",
    train_rate: Annotated[float, typer.Option(help="Step size of the optimizer.")] = 0.05,
    train_perturbation: Annotated[float, typer.Option(help="Perturbation of spsa.")] = 0.1,
    train_weights: Annotated[
        str,
        typer.Option(
            help="What is trained: all; tail, the weights that no circuit depends on; or names."
        ),
    ] = "all",
    layout_trials: Annotated[int, typer.Option(help="Transpiler seeds tried.")] = 5,
    fractional_gates: Annotated[
        bool,
        typer.Option("--fractional-gates", help="Use rzz for free angles, folded into its range."),
    ] = False,
    label: Annotated[
        int | None, typer.Option(help="Class of all images; guided models only.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random stream.")] = 0,
    root: RootOption = ROOT,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Plan a run and show what it would cost; free, nothing is sent.

    The plan cannot be changed afterwards: it is bound by a hash, with its circuits and a copy of the
    model beside it. Of several targets, as in ibm:least_busy,local:fake_torino, the first that
    satisfies the policy is taken. With --target several times, the devices share the images: each has
    a run of its own, one budget pays, and a device that fails leaves its images to the others.

    Example:

        qdm run plan runs/first --target aer --shots 256 --num-images 2
    """
    from ..errors import InvalidOption
    from ..hardware.plan.prepare import PlanConfig
    from ..hardware.plan.run_plan import ExecutionOptions
    from ..hardware.plan.target_choice import FallbackPolicy
    from ..options import build
    from ..reports.hardware_plan import plan_lines, plan_summary
    from ..tasks import plan as make_plan

    if shots is not None and not (seconds is None and precision is None and kept_shots is None):
        raise InvalidOption(
            "Give one of --shots, --kept-shots, --seconds and --precision: each decides the shots."
        )
    targets = tuple(each.strip() for text in target for each in text.split(","))
    shared = len(target) > 1 or groups > 1
    _check_shared(shared, target, split, max_wait, max_queue, min_success, ask_ibm)
    options = build(
        ExecutionOptions,
        {
            "dynamical_decoupling": dynamical_decoupling,
            "twirl_gates": twirl_gates,
            "twirl_measure": twirl_measure,
            "rep_delay_seconds": rep_delay,
            "max_execution_seconds": max_execution_seconds,
        },
    )
    values = {
        "targets": targets,
        "num_images": num_images,
        "shots": 4096 if shots is None else shots,
        "seconds": seconds,
        "precision": precision,
        "schedule": schedule,
        "mitigation": mitigation,
        "primitive": primitive,
        "primitive_options": primitive_options,
        "calibration_shots": calibration_shots,
        "calibration_method": calibration_method,
        "calibration_ttl_seconds": _whole_seconds(calibration_hours),
        "mode": mode,
        "max_job_executions": max_job_executions,
        "max_job_circuits": max_job_circuits,
        "max_job_values": max_job_values,
        "budget": budget,
        "loader": loader,
        "start": start,
        "scheduler": scheduler,
        "num_inference_steps": steps,
        "eta": eta,
        "tiles": tiles,
        "tile_buffer": tile_buffer,
        "refit": refit,
        "chain": chain,
        "train": train,
        "train_optimizer": train_optimizer,
        "train_rate": train_rate,
        "train_perturbation": train_perturbation,
        "train_weights": train_weights,
        "kept_shots": kept_shots,
        "routing": routing,
        "groups": groups,
        "layout_trials": layout_trials,
        "fractional_gates": fractional_gates,
        "label": label,
        "seed": seed,
    }
    config = replace(build(PlanConfig, values), options=options)

    def tell(text: object) -> None:
        if not (quiet or as_json):
            typer.echo(text, err=True)

    if shared:
        plan_shared(
            run,
            config,
            split=split or "auto",
            max_wait=max_wait,
            root=root,
            as_json=as_json,
            progress=tell,
        )
        return
    ledger = open_ledger(root)
    made = make_plan(
        run,
        config=config,
        policy=FallbackPolicy(max_queue=max_queue, min_success=min_success),
        root=root,
        ledger=ledger,
        progress=tell,
    )
    state = None if budget is None else ledger.budget(budget)
    asked = _dry_run(made, root) if ask_ibm else None
    if as_json:
        summary = plan_summary(made, state)
        summary["dry_run"] = None if asked is None else asdict(asked)
        typer.echo(json.dumps(summary, indent=2))
        return
    for line in plan_lines(made, state):
        typer.echo(line)
    if asked is not None:
        ibm = "gives no estimate" if asked.seconds is None else f"estimates {asked.seconds:.2f} s"
        typer.echo(f"\ndry run    t = {asked.step}: IBM {ibm}, we {asked.ours:.2f} s")
    typer.echo(f"\nplan       {made.folder / 'plan.json'}")
    typer.echo(f"go on by   {command_line('submit', made.run_id, root)} --yes")


def _check_shared(
    shared: bool,
    target: list[str],
    split: str | None,
    max_wait: float | None,
    max_queue: int | None,
    min_success: float | None,
    ask_ibm: bool,
) -> None:
    """Refuse options that belong to one device, or to several that share a run."""
    from ..errors import InvalidOption

    if not shared:
        if split is not None or max_wait is not None:
            raise InvalidOption(
                "--split and --max-wait belong to devices that share a run; give --target once for "
                f"each of them, got '{target[0]}' alone. What a run on one device does about its queue "
                "says --routing."
            )
        return
    listed = [each for each in target if "," in each]
    if listed:
        raise InvalidOption(
            f"Devices that share a run are given one by one, got '{listed[0]}': a list is of targets "
            "of which one is taken."
        )
    if max_queue is not None or min_success is not None or ask_ibm:
        raise InvalidOption(
            "--max-queue, --min-success and --dry-run belong to one run on one device; leave them out. "
            "--split and --max-wait say how several share one."
        )


def _whole_seconds(hours: float) -> int:
    from ..errors import InvalidOption

    if not 0 < hours <= 1e5:
        raise InvalidOption(f"calibration_hours is more than 0 and at most 1e5, got {hours}.")
    return max(1, round(hours * 3600))


def _dry_run(plan: RunPlan, root: Path) -> DryRun | None:
    """Return IBM's estimate; the plan stands without it, so a refusal is a note."""
    from ..errors import ServiceUnavailable, TargetUnavailable
    from ..hardware.ibm.account import connect
    from ..hardware.ibm.dry_run import dry_run
    from ..hardware.providers.settings import read_settings

    try:
        if not plan.target.startswith("ibm:"):
            raise TargetUnavailable(f"'{plan.target}' is no QPU.")
        return dry_run(plan, connect(settings=read_settings(root)))
    except (ServiceUnavailable, TargetUnavailable) as error:
        typer.echo(f"note: no dry run: {error}", err=True)
        return None
